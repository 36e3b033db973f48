package llb

import (
	"net"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	bk "github.com/moby/buildkit/client/llb"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/moby/buildkit/solver/pb"
)

// run is one exec operation.
func (w *lowering) run(s *ir.Run) {
	s = w.s.ir.InPlace.Run(s)
	args, opts := w.runArgs(s)
	if len(args) == 0 {
		w.errorf(CodeCommand, s.Range, "A command without words", "The command is an empty list.")
		return
	}
	opts = append(opts, bk.Args(args), w.l.location(s.Range))
	if w.noCache(&s.StepMeta) {
		opts = append(opts, bk.IgnoreCache)
	}
	if w.b.proxy != nil {
		opts = append(opts, bk.WithProxy(*w.b.proxy))
	}
	for i := range s.Mounts {
		m, ok := w.mount(&s.Mounts[i])
		if !ok {
			return
		}
		opts = append(opts, m)
	}
	opts = append(opts, w.runModes(s)...)
	more, ok := w.runLimits(s)
	if !ok {
		return
	}
	opts = append(opts, more...)
	opts = append(opts, bk.WithCustomName(w.name(runText(s))))
	if s.ExitCodes != nil {
		opts = append(opts, bk.ValidExitCodes(s.ExitCodes...))
	}
	done := w.s.state.Run(opts...)
	w.s.state = done.Root()
	w.keepOutputs(s, done)
	w.history("RUN "+w.historyArgs(args)+" # buildkit", true)
}

// keepOutputs keeps what the step left in its output mounts.
func (w *lowering) keepOutputs(s *ir.Run, done bk.ExecState) {
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if m.Output == "" {
			continue
		}
		target, _ := w.expand(m.Target) // expanded before
		if w.s.outputs == nil {
			w.s.outputs = map[string]bk.State{}
		}
		w.s.outputs[m.Output] = done.GetMount(w.mountTarget(target))
	}
}

// output is what the steps left under a name so far.
func (s *stage) output(name string) bk.State {
	if st, ok := s.outputs[name]; ok {
		return st
	}
	return bk.Scratch()
}

// mountTarget is the absolute path of a mount.
func (w *lowering) mountTarget(p string) string {
	if path.IsAbs(path.Clean(p)) {
		return p
	}
	return path.Join("/", w.s.dir, p)
}

// runArgs is the argument vector, and the mount that a script needs.
func (w *lowering) runArgs(s *ir.Run) ([]string, []bk.RunOption) {
	switch {
	case s.Script != nil:
		return w.script(*s.Script)
	case !s.Command.Shell:
		return s.Command.Args, nil
	}
	line := s.Command.Args[0]
	if dockerfile.RunForm(line) == dockerfile.FormExec {
		return w.knownArgs(line), nil
	}
	return w.shellArgs(dockerfile.RunText(line)), nil
}

// script runs a text: by the interpreter that its first line names, which needs
// a file, or by the shell, which does not.
func (w *lowering) script(t ir.Text) ([]string, []bk.RunOption) {
	if w.s.image.OS == "windows" || !strings.HasPrefix(t.Data, "#!") {
		if !strings.HasSuffix(t.Data, "\n") && t.Data != "" && dockerfile.RunForm(t.Data) == dockerfile.FormExec {
			return w.knownArgs(t.Data), nil // no heredoc, so a command like another
		}
		return w.shellArgs(t.Data), nil
	}
	const dir = "/dev/pipes/"
	st := bk.Scratch().Dir("/").File(bk.Mkfile(t.Name, 0o755, []byte(t.Data)),
		bk.WithCustomName("[internal] preparing inline document"), bk.Platform(w.s.platform))
	return w.shellArgs(path.Join(dir, t.Name)), []bk.RunOption{bk.AddMount(dir, st, bk.SourcePath("/"), bk.Readonly)}
}

func (w *lowering) runModes(s *ir.Run) []bk.RunOption {
	var opts []bk.RunOption
	security := pb.SecurityMode_SANDBOX
	if s.Security == ir.SecurityInsecure {
		security = pb.SecurityMode_INSECURE
	}
	opts = append(opts, bk.Security(security))
	switch s.Network {
	case ir.NetNone:
		opts = append(opts, bk.Network(pb.NetMode_NONE))
	case ir.NetHost:
		opts = append(opts, bk.Network(pb.NetMode_HOST))
	}
	for _, d := range s.Devices {
		o := []bk.CDIDeviceOption{bk.CDIDeviceName(d.Name)}
		if !d.Required {
			o = append(o, bk.CDIDeviceOptional)
		}
		opts = append(opts, bk.AddCDIDevice(o...))
	}
	for _, kv := range s.Env {
		opts = append(opts, bk.AddEnv(kv.Key, kv.Value))
	}
	return opts
}

// runLimits are the options that a Dockerfile leaves to the whole build, the
// build's before the step's own.
func (w *lowering) runLimits(s *ir.Run) ([]bk.RunOption, bool) {
	var opts []bk.RunOption
	o := w.b.Options
	for _, u := range slices.Concat(o.Ulimits, s.Ulimits) {
		opts = append(opts, bk.AddUlimit(bk.UlimitName(u.Name), u.Soft, u.Hard))
	}
	for _, h := range w.b.hosts {
		opts = append(opts, bk.AddExtraHost(h.Host, h.IP))
	}
	for _, h := range s.Hosts {
		ip := net.ParseIP(h.IP)
		if ip == nil {
			w.errorf(CodeBuildOption, s.Range, "Bad host", "%q is not an IP address.", h.IP)
			return nil, false
		}
		opts = append(opts, bk.AddExtraHost(strings.ToLower(h.Name), ip))
	}
	if o.ShmSize > 0 {
		opts = append(opts, bk.AddMount("/dev/shm", bk.Scratch(), bk.Tmpfs(bk.TmpfsSize(o.ShmSize))))
	}
	if o.CgroupParent != "" {
		opts = append(opts, bk.WithCgroupParent(o.CgroupParent))
	}
	if l := mergeLimits(o.Limits, s.Limits); l != (ir.Limits{}) {
		opts = append(opts, bk.WithLinuxResources(bk.LinuxResources{
			Memory: l.Memory, MemorySwap: l.MemorySwap, CPUShares: uint64(l.CPUShares), CPUPeriod: uint64(l.CPUPeriod),
			CPUQuota: l.CPUQuota, CpusetCpus: l.CPUSetCPUs, CpusetMems: l.CPUSetMems,
		}))
	}
	return opts, true
}

// mergeLimits lets a step's limits win over the build's, one by one.
func mergeLimits(build, step ir.Limits) ir.Limits {
	out := build
	for _, f := range []struct{ into, from *int64 }{
		{&out.Memory, &step.Memory}, {&out.MemorySwap, &step.MemorySwap}, {&out.CPUShares, &step.CPUShares},
		{&out.CPUPeriod, &step.CPUPeriod}, {&out.CPUQuota, &step.CPUQuota},
	} {
		if *f.from != 0 {
			*f.into = *f.from
		}
	}
	if step.CPUSetCPUs != "" {
		out.CPUSetCPUs = step.CPUSetCPUs
	}
	if step.CPUSetMems != "" {
		out.CPUSetMems = step.CPUSetMems
	}
	return out
}

// mount lowers one mount.
func (w *lowering) mount(m *ir.Mount) (bk.RunOption, bool) {
	target, ok := w.expand(m.Target)
	if !ok {
		return nil, false
	}
	switch m.Kind {
	case ir.MountSecret:
		return w.secret(m, target)
	case ir.MountSSH:
		return w.ssh(m, target)
	}
	st, opts, ok := w.mountSource(m, target)
	if !ok {
		return nil, false
	}
	target = w.mountTarget(target)
	if target == "/" {
		w.errorf(CodeMountTarget, m.Range, "A mount cannot cover the root directory", "Mount it at a directory below /.")
		return nil, false
	}
	return bk.AddMount(target, st, opts...), true
}

// mountSource is what a bind, cache or tmpfs mount shows, and how.
func (w *lowering) mountSource(m *ir.Mount, target string) (bk.State, []bk.MountOption, bool) {
	switch m.Kind {
	case ir.MountTmpfs:
		w.s.stray("/")
		return bk.Scratch(), []bk.MountOption{bk.Tmpfs(bk.TmpfsSize(m.Size))}, true
	case ir.MountCache:
		return w.cache(m, target)
	}
	if m.Output != "" {
		return w.s.output(m.Output), nil, true
	}
	source, ok := w.expand(m.Source)
	if !ok {
		return bk.State{}, nil, false
	}
	if t, isText := m.From.(ir.TextSource); isText && m.Source == "" {
		source = "/" + t.Text.Name
	}
	st, ok := w.source(m.From, []string{source})
	if !ok {
		return bk.State{}, nil, false
	}
	var opts []bk.MountOption
	if m.Writable {
		opts = append(opts, bk.ForceNoOutput)
	} else {
		opts = append(opts, bk.Readonly)
	}
	if sub := path.Join("/", source); sub != "/" {
		opts = append(opts, bk.SourcePath(sub))
	}
	return st, opts, true
}

func (w *lowering) cache(m *ir.Mount, target string) (bk.State, []bk.MountOption, bool) {
	c := m.Cache
	source, ok := w.expand(dockerfile.CacheSource(m))
	if !ok {
		return bk.State{}, nil, false
	}
	st, ok := w.source(c.From, []string{source})
	if !ok {
		return bk.State{}, nil, false
	}
	var opts []bk.MountOption
	if m.ReadOnly {
		opts = append(opts, bk.Readonly)
	}
	id := c.ID
	if id == "" {
		id = path.Clean(target)
	}
	opts = append(opts, bk.AsPersistentCacheDir(w.b.args[argCacheNS]+"/"+id, sharing(c.Sharing)))
	owner, ok := w.owner(dockerfile.CacheOwner(m))
	if !ok {
		return bk.State{}, nil, false
	}
	if sub := path.Join("/", source); c.From != nil && sub != "/" {
		return st, append(opts, bk.SourcePath(sub)), true
	}
	if owner.set {
		perm := os.FileMode(owner.modeOr(0o755))
		st = st.File(bk.Mkdir("/cache", perm, bk.WithUIDGID(owner.uid, owner.gid)), bk.WithCustomName("[internal] setting cache mount permissions"))
		opts = append(opts, bk.SourcePath("/cache"))
	}
	return st, opts, true
}

func sharing(s ir.Sharing) bk.CacheMountSharingMode {
	switch s {
	case ir.SharingPrivate:
		return bk.CacheMountPrivate
	case ir.SharingLocked:
		return bk.CacheMountLocked
	}
	return bk.CacheMountShared
}

// owner is who a mount's file or directory belongs to.
type owner struct {
	set      bool // any of them was given
	uid, gid int
	mode     int
	hasMode  bool
}

func (o owner) modeOr(mode int) int {
	if o.hasMode {
		return o.mode
	}
	return mode
}

func (w *lowering) owner(m ir.Mount) (owner, bool) {
	var o owner
	number := func(name string, v ir.Word, base int, into *int) bool {
		if v == "" {
			return true
		}
		s, ok := w.expand(v)
		if !ok {
			return false
		}
		n, err := strconv.ParseUint(s, base, 32)
		if err != nil {
			w.errorf(CodeMountOption, m.Range, "Not a number", "The %s %q of the mount is not a number in base %d.", name, s, base)
			return false
		}
		*into, o.set = int(n), true
		o.hasMode = o.hasMode || name == "mode"
		return true
	}
	ok := number("mode", m.Mode, 8, &o.mode)
	ok = number("uid", m.UID, 10, &o.uid) && ok
	return o, number("gid", m.GID, 10, &o.gid) && ok
}

func (w *lowering) secret(m *ir.Mount, target string) (bk.RunOption, bool) {
	o, ok := w.owner(*m)
	if !ok {
		return nil, false
	}
	id := m.Secret.ID
	var dest *string
	switch {
	case target != "":
		dest = &target
	case m.Env == "":
		file := "/run/secrets/" + path.Base(id)
		dest = &file
	}
	opts := []bk.SecretOption{bk.SecretID(id)}
	if !m.Secret.Required {
		opts = append(opts, bk.SecretOptional)
	}
	if m.Env != "" {
		opts = append(opts, bk.SecretAsEnvName(m.Env))
	}
	if o.set {
		opts = append(opts, bk.SecretFileOpt(o.uid, o.gid, o.modeOr(0o400)))
	}
	return bk.AddSecretWithDest(id, dest, opts...), true
}

func (w *lowering) ssh(m *ir.Mount, target string) (bk.RunOption, bool) {
	o, ok := w.owner(*m)
	if !ok {
		return nil, false
	}
	id := m.SSH.ID
	if id == "default" {
		id = "" // as in `type=ssh` without an id
	}
	opts := []bk.SSHOption{bk.SSHID(id)}
	if target != "" {
		opts = append(opts, bk.SSHSocketTarget(target))
	}
	if !m.SSH.Required {
		opts = append(opts, bk.SSHOptional)
	}
	if o.set {
		opts = append(opts, bk.SSHSocketOpt(target, o.uid, o.gid, o.modeOr(0o600)))
	}
	return bk.AddSSHSocket(opts...), true
}

// runText is a command as progress shows it: its first line.
func runText(s *ir.Run) string {
	text := ""
	switch {
	case s.Script != nil:
		text = strings.TrimSpace(s.Script.Data)
	case s.Command.Shell:
		text = strings.TrimSpace(s.Command.Args[0])
	default:
		text = strings.Join(s.Command.Args, " ")
	}
	if first, _, more := strings.Cut(text, "\n"); more {
		return strings.TrimRight(first, "\r ") + " ..."
	}
	return text
}

// historyArgs is a command with the build arguments that it saw.
func (w *lowering) historyArgs(args []string) string {
	var seen []string
	index := map[string]int{}
	for _, a := range w.s.args {
		v, ok := w.s.env[a.key]
		if !ok {
			v = a.value
		}
		if i, ok := index[a.key]; ok {
			seen[i] = a.key + "=" + v
			continue
		}
		index[a.key] = len(seen)
		seen = append(seen, a.key+"="+v)
	}
	if len(seen) > 0 {
		seen = append([]string{"|" + strconv.Itoa(len(seen))}, seen...)
	}
	return strings.Join(append(seen, args...), " ")
}
