package llb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/sys/signal"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
)

// lower lowers one step.
func (w *lowering) lower(step ir.Step) {
	switch s := step.(type) {
	case *ir.Arg:
		w.arg(s)
	case *ir.Env:
		w.env(s)
	case *ir.Shell:
		w.s.shell = s.Args
		w.s.image.Config.Shell = slices.Clone(s.Args)
		w.history(fmt.Sprintf("SHELL %v", s.Args), false)
	case *ir.Workdir:
		w.workdir(s)
	case *ir.User:
		if u, ok := w.expand(s.User); ok {
			w.s.state = w.s.state.User(u)
			w.s.image.Config.User = u
			w.history("USER "+u, false)
		}
	case *ir.Label:
		w.label(s)
	case *ir.Author:
		w.s.image.Author = s.Author
		w.history("MAINTAINER "+s.Author, false)
	case *ir.Entrypoint:
		w.entrypoint(s)
	case *ir.Cmd:
		w.cmd(s)
	case *ir.Expose:
		w.expose(s)
	case *ir.Volume:
		w.volume(s)
	case *ir.StopSignal:
		w.stopSignal(s)
	case *ir.OnBuild:
		w.addTrigger(s)
	case *ir.Healthcheck:
		h := &dockerspec.HealthcheckConfig{
			Test: slices.Clone(s.Test), Interval: s.Interval, Timeout: s.Timeout,
			StartPeriod: s.StartPeriod, StartInterval: s.StartInterval, Retries: s.Retries,
		}
		w.s.image.Config.Healthcheck = h
		w.history(fmt.Sprintf("HEALTHCHECK %+v", *h), false)
	case *ir.Clear:
		w.clear(s)
	case *ir.Run:
		w.run(s)
	case *ir.Copy:
		w.copy(s)
	case *ir.Merge:
		w.merge(s)
	case *ir.Diff:
		w.diff(s)
	case *ir.Mkdir:
		w.mkdir(s)
	case *ir.Remove:
		w.remove(s)
	case *ir.Symlink:
		w.symlink(s)
	default:
		panic(fmt.Sprintf("llb: unknown step %T", step))
	}
}

// arg declares a build argument: what the caller set, or the automatic value, or
// the default.
func (w *lowering) arg(s *ir.Arg) {
	value, set := w.b.args[s.Key]
	if !set && (s.Auto || s.Value == nil) {
		value, set = w.b.auto[s.Key]
	}
	if !set && s.Value != nil {
		var ok bool
		if value, ok = w.expand(*s.Value); !ok {
			return
		}
		set = true
	}
	text := s.Key
	if set {
		text += "=" + value
		if !notEnv[s.Key] {
			w.s.state = w.s.state.AddEnv(s.Key, value)
			w.s.env[s.Key] = value
		}
	}
	w.s.args = append(w.s.args, argument{s.Key, value, set})
	w.history("ARG "+text, false)
}

// pairs expands all pairs of a step before the first of them counts.
func (w *lowering) pairs(pairs []ir.WordKV) ([]ir.KV, bool) {
	var out []ir.KV
	ok := true
	for _, p := range pairs {
		k, kok := w.expand(p.Key)
		v, vok := w.expand(p.Value)
		if kok && k == "" {
			w.errorf(CodeEmpty, w.at(), "Empty name", "%s expands to nothing.", p.Key.Text())
			kok = false
		}
		ok = ok && kok && vok
		out = append(out, ir.KV{Key: k, Value: v})
	}
	return out, ok
}

func (w *lowering) env(s *ir.Env) {
	pairs, ok := w.pairs(s.Pairs)
	if !ok {
		return
	}
	text := "ENV"
	for _, kv := range pairs {
		w.s.state = w.s.state.AddEnv(kv.Key, kv.Value)
		w.s.env[kv.Key] = kv.Value
		w.s.image.Config.Env = setEnv(w.s.image.Config.Env, kv.Key, kv.Value)
		text += " " + kv.Key + "=" + kv.Value
	}
	w.history(text, false)
}

func (w *lowering) label(s *ir.Label) {
	pairs, ok := w.pairs(s.Pairs)
	if !ok {
		return
	}
	if w.s.image.Config.Labels == nil {
		w.s.image.Config.Labels = map[string]string{}
	}
	text := "LABEL"
	for _, kv := range pairs {
		w.s.image.Config.Labels[kv.Key] = kv.Value
		text += " " + kv.Key + "=" + kv.Value
	}
	w.history(text, false)
}

func (w *lowering) workdir(s *ir.Workdir) {
	dir, ok := w.expand(s.Path)
	if !ok {
		return
	}
	if err := w.chdir(dir); err != nil {
		w.errorf(CodePath, s.Range, "Bad working directory", "%s: %v.", dir, err)
		return
	}
	layer := w.s.dir != "/"
	if layer {
		opts := []bk.MkdirOption{bk.WithParents(true)}
		if u := w.s.image.Config.User; u != "" {
			opts = append(opts, bk.WithUser(u))
		}
		if w.b.epoch != nil {
			opts = append(opts, bk.WithCreatedTime(*w.b.epoch))
		}
		c := []bk.ConstraintsOpt{bk.WithCustomName(w.name("WORKDIR " + dir)), w.l.location(s.Range), bk.Platform(w.s.platform)}
		if s.NoCache {
			c = append(c, bk.IgnoreCache)
		}
		w.s.state = w.s.state.File(bk.Mkdir(w.s.dir, 0o755, opts...), c...)
	}
	w.history("WORKDIR "+w.s.dir, layer)
}

// shellArgs is a command for the shell that the image has here.
func (w *lowering) shellArgs(line string) []string {
	if sh := w.s.image.Config.Shell; len(sh) > 0 {
		return append(slices.Clone(sh), line)
	}
	return append(dockerfile.DefaultShell(w.s.image.OS), line)
}

// knownArgs is a command for the shell that the files know of, where a Dockerfile
// has to name it.
func (w *lowering) knownArgs(line string) []string {
	if len(w.s.shell) > 0 {
		return append(slices.Clone(w.s.shell), line)
	}
	return append(dockerfile.DefaultShell(w.s.platform.OS), line)
}

// commandArgs is the argument vector of CMD or ENTRYPOINT.
func (w *lowering) commandArgs(c ir.Command) []string {
	switch {
	case !c.Shell:
		return slices.Clone(c.Args)
	case dockerfile.CommandForm(c.Args[0]) == dockerfile.FormExec:
		return w.knownArgs(c.Args[0])
	}
	return w.shellArgs(c.Args[0])
}

func (w *lowering) cmd(s *ir.Cmd) {
	args := w.commandArgs(s.Command)
	if args == nil {
		args = []string{}
	}
	w.s.image.Config.Cmd = args
	w.cmdSet = true
	//lint:ignore SA1019 Docker's images have it, and so has what BuildKit makes of a CMD
	w.s.image.Config.ArgsEscaped = true
	w.history(fmt.Sprintf("CMD %q", args), false)
}

func (w *lowering) entrypoint(s *ir.Entrypoint) {
	args := w.commandArgs(s.Command)
	if len(args) == 0 {
		args = nil
	}
	w.s.image.Config.Entrypoint = args
	if !w.cmdSet {
		w.s.image.Config.Cmd = nil // an inherited command is for the old entrypoint
	}
	w.history(fmt.Sprintf("ENTRYPOINT %q", args), false)
}

func (w *lowering) volume(s *ir.Volume) {
	paths, ok := w.words(s.Paths)
	if !ok {
		return
	}
	if w.s.image.Config.Volumes == nil {
		w.s.image.Config.Volumes = map[string]struct{}{}
	}
	for i, p := range paths {
		if p == "" {
			w.errorf(CodeEmpty, s.Range, "Empty volume", "%s expands to nothing.", s.Paths[i].Text())
			continue
		}
		w.s.image.Config.Volumes[p] = struct{}{}
	}
	w.history(fmt.Sprintf("VOLUME %v", paths), false)
}

func (w *lowering) stopSignal(s *ir.StopSignal) {
	sig, ok := w.expand(s.Signal)
	if !ok {
		return
	}
	if _, err := signal.ParseSignal(sig); err != nil {
		w.errorf(CodeSignal, s.Range, "Not a signal", "%q is not a signal: use a name such as SIGTERM, or a number.", sig)
		return
	}
	w.s.image.Config.StopSignal = sig
	w.history("STOPSIGNAL "+sig, false)
}

func (w *lowering) expose(s *ir.Expose) {
	raw := make([]string, len(s.Ports))
	for i, p := range s.Ports {
		raw[i] = string(p)
	}
	slices.Sort(raw)
	var ports []string
	for _, r := range raw {
		// A variable may hold several ports.
		words, err := shell.NewLex('\\').ProcessWords(r, w.s.env)
		if err != nil {
			w.errorf(CodeExpand, s.Range, "The expansion failed", "%s: %v.", r, rootCause(err))
			return
		}
		for _, word := range words {
			found, err := parsePorts(word)
			if err != nil {
				w.errorf(CodePort, s.Range, "Not a port", "%q: %v.", word, err)
				return
			}
			ports = append(ports, found...)
		}
	}
	if w.s.image.Config.ExposedPorts == nil {
		w.s.image.Config.ExposedPorts = map[string]struct{}{}
	}
	for _, p := range ports {
		w.s.image.Config.ExposedPorts[p] = struct{}{}
	}
	w.history(fmt.Sprintf("EXPOSE %v", ports), false)
}

// parsePorts reads "8080", "8000-8010", "53/udp" as the keys of an image's ports.
// A host part before a colon is dropped, as BuildKit does.
func parsePorts(s string) ([]string, error) {
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		s = s[i+1:]
	}
	ports, proto, _ := strings.Cut(s, "/")
	proto = strings.ToLower(proto)
	switch proto {
	case "":
		proto = "tcp"
	case "tcp", "udp", "sctp":
	default:
		return nil, fmt.Errorf("the protocol is tcp, udp or sctp")
	}
	first, last, ranged := strings.Cut(ports, "-")
	from, err := port(first)
	if err != nil {
		return nil, err
	}
	to := from
	if ranged {
		if to, err = port(last); err != nil {
			return nil, err
		}
	}
	if to < from {
		return nil, fmt.Errorf("the range ends before it starts")
	}
	var out []string
	for p := from; p <= to; p++ {
		out = append(out, strconv.Itoa(p)+"/"+proto)
	}
	return out, nil
}

func port(s string) (int, error) {
	p, err := strconv.Atoi(s)
	if err != nil || p < 0 || p > 65535 {
		return 0, fmt.Errorf("a port is a number from 0 to 65535")
	}
	return p, nil
}

// clear empties what the base set. No Dockerfile can.
func (w *lowering) clear(s *ir.Clear) {
	c := &w.s.image.Config
	switch s.What {
	case "expose":
		c.ExposedPorts = nil
	case "volumes":
		c.Volumes = nil
	case "labels":
		c.Labels = nil
	case "env":
		// Steps keep the variables: a process without PATH finds nothing.
		c.Env = nil
	case "onbuild":
		c.OnBuild = nil
	case "healthcheck":
		c.Healthcheck = nil
	case "shell":
		c.Shell = nil
	case "stop_signal":
		c.StopSignal = ""
	default:
		panic("llb: nothing is called " + s.What)
	}
	w.history("# clear "+s.What, false)
}

// addTrigger stores an onbuild instruction in the image.
func (w *lowering) addTrigger(s *ir.OnBuild) {
	text, err := dockerfile.Trigger(s.Trigger)
	if err != nil {
		w.errorf(CodeTrigger, s.Range, "Not an onbuild instruction", "%s: %v.", strconv.Quote(s.Trigger), err)
		return
	}
	w.s.image.Config.OnBuild = append(w.s.image.Config.OnBuild, text)
}
