package dockerfile

import (
	"net"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/hbuild/hbuild/compiler/ir"
)

// callerSide is what the Dockerfile leaves to whoever builds it: contexts, and
// the options that `docker build` has flags for.
func (e *emitter) callerSide(f *File) {
	for i, b := range e.target.Builds {
		if b.Files != nil {
			f.Files = b.Files.Name
		}
		if b.Image != nil {
			f.Target = b.Image.Name
		}
		if i == 0 && f.Target == "" {
			f.Target = f.Files
		}
	}
	flag := func(name, value string) { f.Flags = append(f.Flags, "--"+name, value) }
	e.platformFlag(f, flag)
	if last := e.groups[len(e.groups)-1].name; last != f.Target {
		flag("target", f.Target)
		f.Attrs["target"] = f.Target
	}
	for _, c := range e.graph.Contexts {
		if name, ok := e.contexts[c]; ok {
			f.Contexts = append(f.Contexts, NamedContext{Name: name, Context: c})
			if c.Given != "" {
				f.Attrs["context:"+name] = c.Given
				flag("build-context", name+"="+c.Given)
				continue
			}
			f.Attrs["context:"+name] = "local:" + name
			flag("build-context", name+"="+c.Path)
		}
	}
	if c := e.main; c != nil && c.Given != "" && c.Given != "-" {
		if strings.HasPrefix(c.Given, "docker-image://") || strings.HasPrefix(c.Given, "oci-layout://") {
			e.errorf(CodeMainContext, c.Range, "docker build takes no image for its main context",
				"The caller gives %s for context.default. docker build takes a directory, the address of a git repository or of an archive, or standard input.", c.Given)
		}
		f.Attrs["context"] = c.Given
	}
	for _, kv := range e.target.Labels {
		flag("label", kv.Key+"="+kv.Value)
		f.Attrs["label:"+kv.Key] = kv.Value
	}
	e.optionFlags(f, flag)
	e.ignore(f)
}

// uncached are the stages that run again as a whole: those of tests. A Dockerfile in
// place says so by a warning.
func (e *emitter) uncached() (names []string) {
	for _, g := range e.groups {
		if s := g.stages[0]; s.NoCache && s.InPlace == nil {
			names = append(names, g.name)
		}
	}
	return names
}

func (e *emitter) platformFlag(f *File, flag func(string, string)) {
	var names []string
	for _, b := range e.target.Builds {
		if b.Platform != nil {
			names = append(names, platforms.FormatAll(*b.Platform))
		}
	}
	if len(names) > 0 {
		flag("platform", strings.Join(names, ","))
		f.Attrs["platform"] = strings.Join(names, ",")
	}
}

func (e *emitter) optionFlags(f *File, flag func(string, string)) {
	o := e.target.Options
	args := append([]ir.KV{}, o.BuildArgs...)
	if o.Hostname != "" {
		args = append(args, ir.KV{Key: "BUILDKIT_SANDBOX_HOSTNAME", Value: o.Hostname})
	}
	if v := e.epoch(); v != "" {
		args = append(args, ir.KV{Key: "SOURCE_DATE_EPOCH", Value: v})
	}
	for _, kv := range args {
		flag("build-arg", kv.Key+"="+kv.Value)
		f.Attrs["build-arg:"+kv.Key] = kv.Value
	}
	var hosts []string
	for _, h := range o.Hosts {
		ip := h.IP
		if p := net.ParseIP(h.IP); p != nil {
			ip = p.String()
		}
		flag("add-host", h.Name+"="+ip)
		hosts = append(hosts, csvField(h.Name+"="+ip))
	}
	if len(hosts) > 0 {
		f.Attrs["add-hosts"] = strings.Join(hosts, ",")
	}
	var limits []string
	for _, u := range o.Ulimits {
		v := u.Name + "=" + strconv.FormatInt(u.Soft, 10) + ":" + strconv.FormatInt(u.Hard, 10)
		flag("ulimit", v)
		limits = append(limits, v)
	}
	if len(limits) > 0 {
		f.Attrs["ulimit"] = strings.Join(limits, ",")
	}
	e.resourceFlags(f, flag)
	if names := e.uncached(); e.target.NoCache {
		f.Flags = append(f.Flags, "--no-cache")
		f.Attrs["no-cache"] = ""
	} else if len(names) > 0 {
		for _, name := range names {
			flag("no-cache-filter", name)
		}
		f.Attrs["no-cache"] = strings.Join(names, ",")
	}
	if e.target.Pull {
		f.Flags = append(f.Flags, "--pull")
		f.Attrs["image-resolve-mode"] = "pull"
	}
}

// epoch is SOURCE_DATE_EPOCH as BuildKit's frontend reads it: seconds, or the name
// of what has the time.
func (e *emitter) epoch() string {
	o := e.target.Options
	switch from := o.EpochFrom.(type) {
	case ir.ContextSource:
		if e.isMain(from.Context) {
			return "context"
		}
		return e.contexts[from.Context]
	case ir.StageSource:
		return from.Stage.Name
	}
	if o.Epoch == nil {
		return ""
	}
	return strconv.FormatInt(*o.Epoch, 10)
}

func (e *emitter) resourceFlags(f *File, flag func(string, string)) {
	o := e.target.Options
	set := func(name, attr, value string) {
		flag(name, value)
		f.Attrs[attr] = value
	}
	num := func(name, attr string, n int64) {
		if n != 0 {
			set(name, attr, strconv.FormatInt(n, 10))
		}
	}
	num("shm-size", "shm-size", o.ShmSize)
	if o.CgroupParent != "" {
		set("cgroup-parent", "cgroup-parent", o.CgroupParent)
	}
	if o.Network != "" && o.Network != ir.NetDefault {
		set("network", "force-network-mode", string(o.Network))
	}
	num("memory", "memory", o.Limits.Memory)
	num("memory-swap", "memswap", o.Limits.MemorySwap)
	num("cpu-shares", "cpushares", o.Limits.CPUShares)
	num("cpu-period", "cpuperiod", o.Limits.CPUPeriod)
	num("cpu-quota", "cpuquota", o.Limits.CPUQuota)
	if o.Limits.CPUSetCPUs != "" {
		set("cpuset-cpus", "cpusetcpus", o.Limits.CPUSetCPUs)
	}
	if o.Limits.CPUSetMems != "" {
		set("cpuset-mems", "cpusetmems", o.Limits.CPUSetMems)
	}
}

// ignore makes the ignore file of the main context, and refuses patterns of
// other contexts, for which BuildKit reads nothing but their own .dockerignore.
func (e *emitter) ignore(f *File) {
	if c := e.main; c != nil && len(c.Patterns) > 0 && c.IgnoreFile != ".dockerignore" {
		dt, ok := ignoreFile(c.Patterns)
		if !ok {
			e.errorf(CodeIgnore, c.Range, "Patterns that no ignore file can hold",
				"One of the patterns of %s has a line break, or blanks at its ends.", c.Address())
			return
		}
		f.IgnoreFile = append([]byte(Generated(c.Range.Filename, c.Address())+"\n"), dt...)
	}
	for _, n := range f.Contexts {
		if c := n.Context; len(c.Patterns) > 0 && c.IgnoreFile != ".dockerignore" {
			e.errorf(CodeIgnore, c.Range, "Patterns of a named context",
				"For %s BuildKit reads the .dockerignore at its root and nothing else. Move include and exclude there, or read the files through context.default.", c.Address())
		}
	}
}

// ignoreFile writes patterns so that BuildKit reads the same ones back.
func ignoreFile(patterns []string) ([]byte, bool) {
	var b strings.Builder
	for _, p := range patterns {
		if strings.HasPrefix(p, "#") {
			p = "/" + p // a comment otherwise; the reader drops the slash
		}
		b.WriteString(p + "\n")
	}
	back, err := ignorefile.ReadAll(strings.NewReader(b.String()))
	if err != nil || len(back) != len(patterns) {
		return nil, false
	}
	for i := range back {
		if back[i] != patterns[i] {
			return nil, false
		}
	}
	return []byte(b.String()), true
}
