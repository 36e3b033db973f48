package eval

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// steps appends what one step block asks for, once for each element of its
// for_each.
func (s *stepper) steps(step lang.Step, sc *scope) {
	if d, ok := step.(*lang.Dynamic); ok {
		s.add(s.ev.dynamic(d, sc, func(content lang.Step, sc *scope) []ir.Step {
			sub := &stepper{ev: s.ev, stage: &ir.Stage{Addr: s.stage.Addr}, sc: sc}
			sub.steps(content, sc)
			return sub.stage.Steps
		})...)
		return
	}
	h := step.Head()
	for _, sc := range s.ev.repeat(h, sc) {
		sub := &stepper{ev: s.ev, stage: s.stage, sc: sc}
		first := len(s.stage.Steps)
		switch step := step.(type) {
		case *lang.Run:
			sub.run(step)
		case *lang.Copy:
			sub.copy(step)
		case *lang.Write:
			sub.write(step)
		case *lang.Mkdir:
			sub.mkdir(step)
		case *lang.Remove:
			sub.remove(step)
		case *lang.Symlink:
			sub.symlink(step)
		case *lang.Set:
			sub.settings(step.Args, step.Env, step.Shell, step.Workdir, step.User, step.Labels)
			sub.expose(step.Expose)
			sub.volumes(step.Volumes)
			sub.stopSignal(step.StopSignal)
		}
		sub.finish(h, s.stage.Steps[first:])
	}
}

// finish gives the steps of one block what the block says of all of them: its
// comment goes to the first.
func (s *stepper) finish(h *lang.StepHead, steps []ir.Step) {
	noCache, _ := s.ev.attrBool(h.NoCache, s.sc)
	name := ""
	if h.Type != "write" {
		name, _ = s.ev.attrStr(h.Name, s.sc)
	}
	for i, st := range steps {
		m := st.Meta()
		m.NoCache, m.Name = noCache, name
		if i == 0 {
			// In a block of one line the attribute has the block's comment already.
			if c := s.ev.mod.CommentAbove(h.Range); !slices.Equal(c, m.Comment) {
				m.Comment = append(c, m.Comment...)
			}
		}
	}
}

// paths reads one or several paths that a step changes.
func (s *stepper) paths(a *lang.Attr) (out []ir.Word) {
	for _, it := range s.oneOrMore(s.ev.item(a, s.sc)) {
		if it.null() {
			continue
		}
		if w, ok := s.ev.checkedWord(it, diag.BadPath, "path", notRoot); ok {
			out = append(out, w)
		}
	}
	return out
}

func notRoot(p string) error {
	if strings.Trim(p, "/.") == "" && !strings.Contains(p, "..") {
		return fmt.Errorf("it names no file or directory below another one")
	}
	return nil
}

func (s *stepper) mkdir(n *lang.Mkdir) {
	if n.Path == nil {
		return // reported
	}
	m := &ir.Mkdir{StepMeta: ir.StepMeta{Range: n.Range}, Paths: s.paths(n.Path), Mode: 0o755}
	if w := s.ev.chmod(n.Mode, s.sc); w != "" {
		text, _ := w.Const()
		mode, err := strconv.ParseUint(text, 8, 12)
		if err != nil {
			s.ev.errorf(diag.BadChmod, n.Mode.Expr.Range(), fmt.Sprintf("%q is no mode of a new directory", text), "Write it in octal: \"0755\".")
		}
		m.Mode = int(mode)
	}
	if n.Chown != nil {
		m.Chown, _ = s.ev.checkedWord(s.ev.item(n.Chown, s.sc), diag.EmptyValue, "owner", notEmpty)
	}
	if len(m.Paths) > 0 {
		s.add(m)
	}
}

func (s *stepper) remove(n *lang.Remove) {
	if n.Path == nil {
		return // reported
	}
	r := &ir.Remove{StepMeta: ir.StepMeta{Range: n.Range}, Paths: s.paths(n.Path)}
	r.Optional, _ = s.ev.attrBool(n.Optional, s.sc)
	if len(r.Paths) > 0 {
		s.add(r)
	}
}

func (s *stepper) symlink(n *lang.Symlink) {
	if n.Path == nil || n.Target == nil {
		return // reported
	}
	path, ok := s.ev.checkedWord(s.ev.item(n.Path, s.sc), diag.BadPath, "path", notRoot)
	target, fine := s.ev.checkedWord(s.ev.item(n.Target, s.sc), diag.BadPath, "target", notEmpty)
	if ok && fine {
		s.add(&ir.Symlink{StepMeta: ir.StepMeta{Range: n.Range}, Path: path, Target: target})
	}
}
