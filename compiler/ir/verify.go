package ir

import (
	"errors"
	"fmt"
	"strings"
)

// Verify reports where a graph breaks the rules of this package: what a pass that
// made it got wrong, never a user's mistake. Tests run it after every pass.
func Verify(g *Graph) error {
	v := &verifier{known: map[*Stage]bool{}, contexts: map[*Context]bool{}}
	for _, c := range g.Contexts {
		v.contexts[c] = true
		if c.Name == "" {
			v.fail("a context without a name")
		}
	}
	names := map[string][]*Stage{}
	for _, s := range g.Stages {
		v.at = s.Addr
		s.Deps(func(d *Stage) {
			if !v.known[d] {
				v.fail("it is made from %s, which is not before it", d.Addr)
			}
		})
		if v.known[s] {
			v.fail("it is there twice")
		}
		v.known[s] = true
		v.stage(s)
		names[s.Name] = append(names[s.Name], s)
	}
	for name, same := range names {
		for _, s := range same {
			if len(same) > 1 && s.For == nil {
				v.at = s.Addr
				v.fail("another stage is called %q, and they are no variants", name)
			}
		}
	}
	for _, t := range g.Targets {
		v.target(t)
	}
	return errors.Join(v.errs...)
}

type verifier struct {
	at       string
	known    map[*Stage]bool
	contexts map[*Context]bool
	errs     []error
}

func (v *verifier) fail(format string, args ...any) {
	v.errs = append(v.errs, fmt.Errorf("ir: %s: %s", v.at, fmt.Sprintf(format, args...)))
}

func (v *verifier) require(ok bool, format string, args ...any) {
	if !ok {
		v.fail(format, args...)
	}
}

func (v *verifier) target(t *Target) {
	v.at = t.Addr
	v.require(len(t.Builds) > 0, "it builds nothing")
	v.require(!t.Test || len(t.Builds) == 1 && t.Builds[0].Files == nil && !t.Push && len(t.Tags)+len(t.Outputs)+len(t.Requires) == 0, "a test with effects")
	switch from := t.Options.EpochFrom.(type) {
	case nil:
	case ContextSource:
		v.require(v.contexts[from.Context], "its time is of a context that is not in the graph")
	case StageSource:
		v.require(v.known[from.Stage], "its time is of a stage that is not in the graph")
	default:
		v.fail("its time is of a %T", from)
	}
	v.require(t.Options.Epoch == nil || t.Options.EpochFrom == nil, "it has two times")
	for _, b := range t.Builds {
		v.require(b.Image != nil || b.Files != nil, "a build without a stage")
		v.require(b.Platform != nil || len(t.Builds) == 1, "several builds, one of them without a platform")
		for _, s := range []*Stage{b.Image, b.Files} {
			v.require(s == nil || v.known[s], "it builds a stage that is not in the graph")
		}
	}
}

func (v *verifier) stage(s *Stage) {
	v.require(s.Addr != "" && s.Name != "", "it has no name")
	v.require(s.Name == strings.ToLower(s.Name), "its name %q is not in lower case", s.Name)
	switch r := s.Root.(type) {
	case ScratchRoot:
	case ImageRoot:
		v.require(r.Ref != "" && !strings.Contains(r.Ref, "$"), "bad image %q", r.Ref)
	case ContextRoot:
		v.require(v.contexts[r.Context], "it starts from a context that is not in the graph")
	case StageRoot:
		v.require(s.Platform == nil, "a platform over another stage")
		if v.known[r.Stage] && r.Stage.For != nil {
			v.require(s.For != nil && s.For.OS == r.Stage.For.OS && s.For.Architecture == r.Stage.For.Architecture && s.For.Variant == r.Stage.For.Variant,
				"it is built on a variant of %s for another platform", r.Stage.Addr)
		}
	default:
		v.fail("it has no root")
	}
	for i, step := range s.Steps {
		v.at = fmt.Sprintf("%s step %d (%T)", s.Addr, i+1, step)
		if step == nil || step.Meta() == nil {
			v.fail("it is nil")
			continue
		}
		v.step(step)
		Sources(step, v.source)
	}
	v.at = s.Addr
}

func (v *verifier) source(src Source) {
	switch s := src.(type) {
	case ContextSource:
		v.require(v.contexts[s.Context], "it reads a context that is not in the graph")
	case ImageSource:
		v.require(s.Ref != "", "it reads an image without a name")
	case TextSource:
		v.require(s.Text.Name != "", "a text without a name")
	}
}

func (v *verifier) words(ws ...Word) {
	for _, w := range ws {
		if _, err := w.Expand(permissive{}); err != nil {
			v.fail("the word %q is broken: %v", string(w), err)
		}
	}
}

func (v *verifier) pairs(kvs []WordKV) {
	v.require(len(kvs) > 0, "it is empty")
	for _, kv := range kvs {
		v.words(kv.Key, kv.Value)
	}
}

func (v *verifier) command(c Command) {
	v.require(!c.Shell || len(c.Args) == 1, "a shell command has %d arguments", len(c.Args))
}

func (v *verifier) step(step Step) {
	switch s := step.(type) {
	case *Arg:
		v.require(s.Key != "" && !strings.ContainsAny(s.Key, "= "), "bad name %q", s.Key)
		if s.Value != nil {
			v.words(*s.Value)
		}
	case *Env:
		v.pairs(s.Pairs)
	case *Label:
		v.pairs(s.Pairs)
	case *Shell:
		v.require(len(s.Args) > 0, "an empty shell")
	case *Workdir:
		v.words(s.Path)
	case *User:
		v.words(s.User)
	case *StopSignal:
		v.words(s.Signal)
	case *Expose:
		v.words(s.Ports...)
	case *Volume:
		v.words(s.Paths...)
	case *Entrypoint:
		v.command(s.Command)
	case *Cmd:
		v.command(s.Command)
	case *OnBuild:
		v.require(s.Trigger != "", "an empty trigger")
	case *Healthcheck:
		v.require(len(s.Test) > 0, "an empty test")
		if len(s.Test) > 0 {
			v.require(s.Test[0] != "NONE" || len(s.Test) == 1 && s.Interval+s.Timeout+s.StartPeriod+s.StartInterval == 0 && s.Retries == 0, "no test, and yet more about it")
			v.require(s.Test[0] == "NONE" || s.Test[0] == "CMD" || s.Test[0] == "CMD-SHELL" && len(s.Test) == 2, "bad test %q", s.Test)
		}
	case *Run:
		v.run(s)
	case *Copy:
		v.words(append(s.Src, s.Dest, s.Chown, s.Chmod, s.Checksum)...)
		v.require(len(s.Src) > 0 || len(s.Texts) > 0, "it copies nothing")
		v.require(s.From != nil || len(s.Src) == 0 || s.Add, "paths of no source")
		v.require(s.Add || s.Checksum == "" && s.KeepGitDir == nil, "options of an address")
		for _, t := range s.Texts {
			v.require(t.Name != "", "a text without a name")
		}
	case *Merge:
		v.require(len(s.Of) > 0, "it merges nothing")
	case *Diff:
		v.require(s.Lower != nil && s.Upper != nil, "a difference of nothing")
	case *Mkdir:
		v.words(append(s.Paths, s.Chown)...)
	case *Remove:
		v.words(s.Paths...)
	case *Symlink:
		v.words(s.Path, s.Target)
	case *Author, *Clear:
	default:
		v.fail("an unknown step")
	}
}

func (v *verifier) run(s *Run) {
	v.require((s.Command == nil) != (s.Script == nil), "exactly one of command and script is set")
	if s.Command != nil {
		v.command(*s.Command)
	}
	for _, m := range s.Mounts {
		v.words(m.Target, m.Source, m.Mode, m.UID, m.GID)
		switch m.Kind {
		case MountBind:
			v.require(m.From != nil, "a bind mount of nothing")
			v.require(m.Mode == "" && m.UID == "" && m.GID == "", "an owner of a bind mount")
		case MountCache:
			v.require(m.Cache != nil, "a cache mount without a cache")
		case MountSecret:
			v.require(m.Secret != nil, "a secret mount without a secret")
		case MountSSH:
			v.require(m.SSH != nil, "an ssh mount without an agent")
		case MountTmpfs:
		default:
			v.fail("a mount of kind %q", m.Kind)
		}
	}
}
