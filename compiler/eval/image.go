package eval

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// image appends the attributes of the image, in the language's order.
func (s *stepper) image(n *lang.Stage) {
	ev, sc := s.ev, s.sc
	s.labels(n.Labels)
	if a, ok := ev.attrStr(n.Author, sc); ok {
		s.add(&ir.Author{StepMeta: ev.meta(n.Author.SrcRange), Author: a})
	}
	if c, ok := s.command(n.Entrypoint, true); ok {
		s.add(&ir.Entrypoint{StepMeta: ev.meta(n.Entrypoint.SrcRange), Command: *c})
	}
	if c, ok := s.command(n.Cmd, true); ok {
		s.add(&ir.Cmd{StepMeta: ev.meta(n.Cmd.SrcRange), Command: *c})
	}
	s.expose(n.Expose)
	s.volumes(n.Volumes)
	s.stopSignal(n.StopSignal)
	s.onbuild(n.OnBuild)
	s.healthcheck(n.Healthcheck)
}

// command reads a shell line or an argument vector. An empty one is a value when
// empty says so.
func (s *stepper) command(a *lang.Attr, empty bool) (*ir.Command, bool) {
	if a == nil {
		return nil, false
	}
	it := s.ev.item(a, s.sc)
	if _, isList := it.expr.(*hclsyntax.TupleConsExpr); !isList {
		if !it.ready() {
			return nil, false
		}
		if t := it.value().Type(); !t.IsTupleType() && !t.IsListType() {
			if FromCty(it.value()) == nil && !t.IsPrimitiveType() {
				it.wrongType("a string or a list of strings")
				return nil, false
			}
			line, ok := s.ev.str(it)
			return &ir.Command{Shell: true, Args: []string{joinLines(line)}}, ok
		}
	}
	args, ok := s.ev.strings(it)
	if ok && len(args) == 0 && !empty {
		it.errorf(diag.EmptyValue, fmt.Sprintf("%s is empty", a.Name), "Name a program and its arguments.")
		return nil, false
	}
	return &ir.Command{Args: args}, ok
}

// JoinLines is how a command that is written over several lines becomes the one
// that runs; the importer checks with it what it writes.
func JoinLines(text string) string { return joinLines(text) }

// joinLines joins the lines that end in a backslash, as the parser of a
// Dockerfile does: indentation is kept, and blank and comment lines between
// joined ones are dropped. One final newline goes.
func joinLines(text string) string {
	text = strings.TrimSuffix(text, "\n")
	if !strings.Contains(text, "\n") {
		return text
	}
	var out []string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line, more := continued(lines[i])
		for more && i+1 < len(lines) {
			i++
			trimmed := strings.TrimSpace(lines[i])
			if trimmed == "" || trimmed[0] == '#' {
				continue
			}
			var next string
			next, more = continued(lines[i])
			line += next
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// continued strips the backslash that joins a line to the next one. Two
// backslashes are a backslash, as for BuildKit.
func continued(line string) (string, bool) {
	t := strings.TrimRight(line, " \t\r")
	if !strings.HasSuffix(t, `\`) || strings.HasSuffix(t, `\\`) {
		return line, false
	}
	return t[:len(t)-1], true
}

func (s *stepper) expose(a *lang.Attr) {
	if a == nil {
		return
	}
	items, ok := s.ev.list(s.ev.item(a, s.sc), "a list of ports")
	x := &ir.Expose{StepMeta: s.ev.meta(a.SrcRange)}
	for _, it := range items {
		if w, ok := s.ev.checkedWord(it, diag.BadPort, "port", checkPort); ok {
			x.Ports = append(x.Ports, w)
		}
	}
	s.addOrClear(a, ok && len(items) == 0, "expose", x, len(x.Ports))
}

func (s *stepper) volumes(a *lang.Attr) {
	if a == nil {
		return
	}
	items, ok := s.ev.list(s.ev.item(a, s.sc), "a list of strings")
	v := &ir.Volume{StepMeta: s.ev.meta(a.SrcRange)}
	for _, it := range items {
		if w, ok := s.ev.checkedWord(it, diag.EmptyValue, "volume", notEmpty); ok {
			v.Paths = append(v.Paths, w)
		}
	}
	s.addOrClear(a, ok && len(items) == 0, "volumes", v, len(v.Paths))
}

// addOrClear appends a list attribute; an empty list clears what the base set.
func (s *stepper) addOrClear(a *lang.Attr, empty bool, what string, step ir.Step, n int) {
	if empty && !s.canInherit() {
		return // empty already
	}
	if empty {
		s.add(&ir.Clear{StepMeta: s.ev.meta(a.SrcRange), What: what})
	} else if n > 0 {
		s.add(step)
	}
}

// canInherit reports whether the image of the stage may have attributes that no
// step of the module gave it.
func (s *stepper) canInherit() bool {
	for st := s.stage; ; {
		switch r := st.Root.(type) {
		case ir.StageRoot:
			for _, step := range r.Stage.Steps {
				switch step.(type) {
				case *ir.Expose, *ir.Volume:
					return true
				}
			}
			st = r.Stage
		case ir.ScratchRoot:
			return false
		default:
			return true
		}
	}
}

func (s *stepper) stopSignal(a *lang.Attr) {
	if a == nil {
		return
	}
	if w, ok := s.ev.checkedWord(s.ev.item(a, s.sc), diag.BadSignal, "signal", checkSignal); ok {
		s.add(&ir.StopSignal{StepMeta: s.ev.meta(a.SrcRange), Signal: w})
	}
}

func (s *stepper) onbuild(a *lang.Attr) {
	if a == nil {
		return
	}
	items, _ := s.ev.list(s.ev.item(a, s.sc), "a list of Dockerfile instructions")
	for _, it := range items {
		if text, ok := s.ev.checked(it, diag.BadOnBuild, "instruction for onbuild", checkOnBuild); ok {
			s.add(&ir.OnBuild{StepMeta: s.ev.meta(it.rng), Trigger: text, Reads: s.triggerReads(text)})
		}
	}
}

// triggerReads are the stages of the module that a trigger's `from` names.
func (s *stepper) triggerReads(text string) (out []*ir.Stage) {
	for _, name := range triggerFroms(text) {
		for _, n := range s.ev.mod.Decls {
			st, ok := n.(*lang.Stage)
			if !ok || st.ForEach != nil || dockerName(st.Name) != strings.ToLower(name) {
				continue
			}
			for _, inst := range s.ev.instances(n).list {
				if found := s.ev.stage(inst, s.sc.platform); found != s.stage {
					out = append(out, found)
				}
			}
		}
	}
	return out
}

func (s *stepper) healthcheck(a *lang.Attr) {
	if a == nil {
		return
	}
	ev := s.ev
	it := ev.item(a, s.sc)
	h := &ir.Healthcheck{StepMeta: ev.meta(a.SrcRange)}
	if _, isObj := it.expr.(*hclsyntax.ObjectConsExpr); !isObj {
		if !it.ready() {
			return
		}
		if t := it.value().Type(); !t.IsObjectType() && !t.IsMapType() {
			if ev.enum(it, diag.BadEnum, "healthcheck", []string{"none"}) != "" {
				h.Test = []string{"NONE"}
				s.add(h)
			}
			return
		}
	}
	ok := ev.options(it, "healthcheck", map[string]func(*item){
		"command": func(it *item) {
			c, ok := (&stepper{ev: ev, sc: s.sc}).command(&lang.Attr{Name: "command", Expr: exprOf(it)}, false)
			if !ok {
				return
			}
			h.Test = append([]string{"CMD"}, c.Args...)
			if c.Shell {
				h.Test[0] = "CMD-SHELL"
			}
		},
		"interval":       func(it *item) { h.Interval = ev.duration(it) },
		"timeout":        func(it *item) { h.Timeout = ev.duration(it) },
		"start_period":   func(it *item) { h.StartPeriod = ev.duration(it) },
		"start_interval": func(it *item) { h.StartInterval = ev.duration(it) },
		"retries": func(it *item) {
			if n, ok := ev.integer(it); ok && n < 0 {
				it.errorf(diag.WrongType, "retries is negative", "It is a number of tries, 0 for the default.")
			} else if ok {
				h.Retries = int(n)
			}
		},
	})
	if ok && h.Test == nil {
		it.errorf(diag.MissingAttribute, "A healthcheck without a command", `Write healthcheck = { command = "…" } or healthcheck = "none".`)
	}
	if h.Test != nil {
		s.add(h)
	}
}

// exprOf gives an item's expression back, or a constant of its value.
func exprOf(it *item) hclsyntax.Expression {
	if it.expr != nil && !it.done {
		return it.expr
	}
	return &hclsyntax.LiteralValueExpr{Val: it.value(), SrcRange: it.rng}
}
