package importer

import (
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// layout writes a stage.
func (im *importer) layout(st *stage) {
	b := &block{head: "stage " + quote(st.name), from: st.node, comment: im.comments[st.node]}
	st.block = b
	if st.cmd.DocComment != "" && len(trimComment(b.comment)) == 1 {
		b.comment = nil
		b.set("description", str(described(st.cmd.DocComment)), st.node)
	}
	b.set("from", st.from, st.node)
	if st.plat != nil {
		b.set("platform", st.plat, st.node)
	}
	if st.base != nil {
		st.shell = st.base.shell
		if len(st.bases) == 1 {
			for k, v := range st.base.env {
				st.env[k] = v
			}
		}
	}
	im.float(st)
	head := &settings{}
	leading := true
	var set *settings
	flush := func() {
		if set != nil && !set.empty() {
			sb := &block{head: "set", from: set.node}
			set.write(sb)
			if len(sb.attrs) == 1 && len(sb.attrs[0].comment) > 0 {
				sb.comment, sb.attrs[0].comment = sb.attrs[0].comment, nil
			}
			b.blocks = append(b.blocks, sb)
		}
		set = nil
	}
	for _, s := range st.steps {
		if s.floats {
			im.learn(st, s)
			continue
		}
		list, isSetting, ok := im.settingsOf(st, s)
		if !ok {
			continue
		}
		if isSetting {
			for _, x := range list {
				if leading && x.leads() && head.takes(x) {
					head.add(x, s)
					continue
				}
				leading = false
				if set == nil || !set.takes(x) {
					flush()
					set = &settings{}
				}
				set.add(x, s)
			}
			im.learn(st, s)
			continue
		}
		if reads, ok := im.copyReads(s); ok && leading {
			head.pass(reads)
		} else {
			leading = false
		}
		flush()
		im.step(st, s)
	}
	flush()
	head.write(b)
	im.image(st)
	if st.index == len(im.stages)-1 {
		b.end = trimComment(im.rest)
	}
}

func trimComment(c []string) []string {
	for len(c) > 0 && c[len(c)-1] == "" {
		c = c[:len(c)-1]
	}
	return c
}

// described is a doc comment ("NAME is the …") without its first words.
func described(text string) string { return strings.TrimPrefix(text, "is ") }

// float decides which instructions only describe the image and can stand behind
// the steps.
func (im *importer) float(st *stage) {
	changed := map[string]bool{} // by instructions below
	odd, shell := false, false
	placed := map[string]bool{} // labels that stay in place
	signal := false             // a signal does
	for i := len(st.steps) - 1; i >= 0; i-- {
		s := st.steps[i]
		free := func(words ...string) bool {
			r := im.refs(words...)
			return len(r) == 0 || !odd && !overlap(r, changed)
		}
		switch c := s.cmd.(type) {
		case *instructions.ArgCommand:
			for _, a := range c.Args {
				changed[a.Key] = true
			}
		case *instructions.EnvCommand:
			for _, kv := range c.Env {
				k, ok := im.constant(kv.Key)
				changed[k], odd = true, odd || !ok
			}
		case *instructions.ShellCommand:
			shell = true
		case *instructions.LabelCommand:
			s.floats = true
			for _, kv := range c.Labels {
				k, ok := im.constant(kv.Key)
				s.floats = s.floats && free(kv.Key, kv.Value) && !placed[k] && (ok || len(placed) == 0)
			}
			if !s.floats {
				for _, kv := range c.Labels {
					k, _ := im.constant(kv.Key)
					placed[k] = true
				}
			}
		case *instructions.ExposeCommand:
			s.floats = im.fixed(st, s, c.Ports, free)
		case *instructions.VolumeCommand:
			s.floats = im.fixed(st, s, c.Volumes, free)
		case *instructions.StopSignalCommand:
			words := []string{c.Signal}
			s.floats = im.fixed(st, s, words, free) && !signal
			signal = signal || !s.floats
			c.Signal = words[0]
		case *instructions.CmdCommand:
			s.floats = true
			im.explicit(st, s, &c.ShellDependantCmdLine, shell)
		case *instructions.EntrypointCommand:
			s.floats = true
			im.explicit(st, s, &c.ShellDependantCmdLine, shell)
		case *instructions.HealthCheckCommand, *instructions.OnbuildCommand, *instructions.MaintainerCommand:
			s.floats = true
		}
	}
}

// fixed makes words that cannot be moved into ones that can, by what is known of
// them; false when that is not enough.
func (im *importer) fixed(st *stage, s *step, words []string, free func(...string) bool) bool {
	for i, w := range words {
		if free(w) {
			continue
		}
		before := &stage{env: map[string]known{}}
		for k, v := range st.env {
			before.env[k] = v
		}
		for _, earlier := range st.steps {
			if earlier == s {
				break
			}
			im.learn(before, earlier)
		}
		v, ok := im.static(before, w)
		if !ok {
			return false
		}
		words[i] = im.literalWord(v)
	}
	return true
}

// explicit gives a shell command that a later SHELL would change its shell.
func (im *importer) explicit(st *stage, s *step, c *instructions.ShellDependantCmdLine, shellBelow bool) {
	if !c.PrependShell || !shellBelow {
		return
	}
	shell := st.shell
	for _, earlier := range st.steps {
		if earlier == s {
			break
		}
		if sh, ok := earlier.cmd.(*instructions.ShellCommand); ok {
			shell = sh.Shell
		}
	}
	if shell == nil {
		shell = []string{"/bin/sh", "-c"}
		im.warnf(CodeFixed, s.node, "The shell was taken to be /bin/sh -c", "A SHELL further down would change this command, so it is written as a list; should the base image have a shell of its own, write that.")
	}
	c.CmdLine = append(append([]string{}, shell...), strings.Join(c.CmdLine, " "))
	c.PrependShell = false
}

// cannot reports a word that hbuild cannot say, or that BuildKit cannot read.
func (im *importer) cannot(_ *stage, n *parser.Node, err error) {
	code := CodeInvalid
	if strings.HasPrefix(err.Error(), "hbuild has no") {
		code = CodeUnsayable
	}
	im.errorf(code, n, sentence(err.Error()), "The instruction cannot be imported.")
}
