package eval

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// stepper appends steps to a stage.
type stepper struct {
	ev    *Evaluator
	stage *ir.Stage
	sc    *scope
	// mayMiss is what says so while a copy is read whose paths may be missing.
	mayMiss *item
}

func (s *stepper) add(steps ...ir.Step) { s.stage.Steps = append(s.stage.Steps, steps...) }

// settings appends what sets where steps start, in the language's order.
func (s *stepper) settings(args, env, shell, workdir, user, labels *lang.Attr) {
	s.args(args)
	s.env(env)
	ev := s.ev
	if shell != nil {
		if list, ok := ev.attrStrings(shell, s.sc); ok {
			if len(list) == 0 {
				ev.errorf(diag.EmptyValue, shell.Expr.Range(), "shell is empty", `A shell is a program and its arguments: ["/bin/bash", "-c"].`)
			} else {
				s.add(&ir.Shell{StepMeta: ev.meta(shell.SrcRange), Args: list})
			}
		}
	}
	if workdir != nil {
		if w, ok := ev.checkedWord(ev.item(workdir, s.sc), diag.BadPath, "directory", notEmpty); ok {
			s.add(&ir.Workdir{StepMeta: ev.meta(workdir.SrcRange), Path: w})
		}
	}
	if user != nil {
		if w, ok := ev.checkedWord(ev.item(user, s.sc), diag.EmptyValue, "user", notEmpty); ok {
			s.add(&ir.User{StepMeta: ev.meta(user.SrcRange), User: w})
		}
	}
	s.labels(labels)
}

// autoArg is the value of an argument that BuildKit gives one itself; false for others.
func (ev *Evaluator) autoArg(name string, p *ocispecs.Platform) (value string, ok bool) {
	if !strings.HasPrefix(name, "TARGET") && !strings.HasPrefix(name, "BUILD") {
		return "", false
	}
	t, b := ev.target(p), ev.opt.BuildPlatform
	value, ok = map[string]string{
		"TARGETPLATFORM": platforms.FormatAll(t), "TARGETOS": t.OS, "TARGETARCH": t.Architecture, "TARGETVARIANT": t.Variant, "TARGETOSVERSION": t.OSVersion,
		"BUILDPLATFORM": platforms.Format(b), "BUILDOS": b.OS, "BUILDARCH": b.Architecture, "BUILDVARIANT": b.Variant, "BUILDOSVERSION": b.OSVersion,
	}[name]
	return value, ok
}

// argName is the name of an argument: BuildKit takes more than a shell does, and
// only what reads the environment cannot use it then.
var argName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

func (s *stepper) args(a *lang.Attr) {
	if a == nil {
		return
	}
	entries, _ := s.ev.entries(s.ev.item(a, s.sc), "a map of strings")
	for _, e := range entries {
		if !argName.MatchString(e.key) {
			s.ev.errorf(diag.BadName, e.keyRange, fmt.Sprintf("%q is no name of an argument", e.key), "A name has letters, digits, _, - and . and begins with a letter or _.")
			continue
		}
		arg := &ir.Arg{StepMeta: s.ev.entryMeta(a, e), Key: e.key}
		value, automatic := s.ev.autoArg(e.key, s.sc.platform)
		switch {
		case e.item.unknown():
		case e.item.null():
			arg.Auto = automatic
		default:
			w, ok := s.ev.word(e.item)
			if !ok {
				continue
			}
			arg.Value = &w
			text, constant := w.Const()
			arg.Auto = automatic && constant && text == value
			s.ev.noteArg(arg, e.item)
		}
		s.add(arg)
	}
}

// entryMeta is the meta of a step that one entry of an object asks for.
func (ev *Evaluator) entryMeta(a *lang.Attr, e entry) ir.StepMeta {
	if e.keyRange == a.Expr.Range() {
		return ev.meta(a.SrcRange)
	}
	m := ev.meta(hcl.RangeBetween(e.keyRange, e.item.rng))
	if e.keyRange.Start.Line == a.SrcRange.Start.Line {
		m.Comment = ev.mod.CommentAbove(a.SrcRange)
	}
	return m
}

// env appends Env steps: one for as long as no entry needs what an earlier entry
// of the same step sets.
func (s *stepper) env(a *lang.Attr) {
	if a == nil {
		return
	}
	it := s.ev.item(a, s.sc)
	if list, isList := it.expr.(*hclsyntax.TupleConsExpr); isList && allObjects(list) {
		s.envTogether(a, list)
		return
	}
	entries, _ := s.ev.entries(it, "a map of strings")
	var cur *ir.Env
	set := map[string]bool{}
	for _, e := range entries {
		if e.item.unknown() {
			continue
		}
		if e.item.null() {
			continue // declares a name; an environment has no such thing
		}
		kv, ok := s.pair(e)
		if !ok {
			continue
		}
		if cur == nil || kv.Value.Refs(set) || kv.Key.Refs(set) {
			cur = &ir.Env{StepMeta: s.ev.meta(a.SrcRange)}
			if len(set) > 0 {
				cur.Comment = nil
			}
			set = map[string]bool{}
			s.add(cur)
		}
		cur.Pairs = append(cur.Pairs, kv)
		s.ev.noteEnv(cur, e.item)
		if k, constant := kv.Key.Const(); constant {
			set[k] = true
		}
	}
}

// allObjects reports whether a list is one of written-out objects.
func allObjects(list *hclsyntax.TupleConsExpr) bool {
	for _, e := range list.Exprs {
		if _, ok := e.(*hclsyntax.ObjectConsExpr); !ok {
			return false
		}
	}
	return len(list.Exprs) > 0
}

// envTogether appends one Env step for each object of a list: its values all see
// the environment before it, as those of one ENV of a Dockerfile do.
func (s *stepper) envTogether(a *lang.Attr, list *hclsyntax.TupleConsExpr) {
	for i, e := range list.Exprs {
		step := &ir.Env{StepMeta: s.ev.meta(a.SrcRange)}
		if step.Range = e.Range(); i > 0 {
			step.Comment = nil
		}
		entries, _ := s.ev.entries(&item{ev: s.ev, sc: s.sc, name: a.Name, expr: e, rng: e.Range()}, "a map of strings, or a list of such maps")
		for _, kv := range entries {
			if kv.item.unknown() || kv.item.null() {
				continue
			}
			if p, ok := s.pair(kv); ok {
				step.Pairs = append(step.Pairs, p)
			}
		}
		if len(step.Pairs) > 0 {
			s.add(step)
		}
	}
}

// pair reads a key and a value that both expand.
func (s *stepper) pair(e entry) (ir.WordKV, bool) {
	if e.key == "" || strings.ContainsAny(e.key, "= \t\n") {
		s.ev.errorf(diag.BadName, e.keyRange, fmt.Sprintf("%q is no name", e.key), "A name in %s is not empty and has no = and no blanks.", e.item.name)
		return ir.WordKV{}, false
	}
	k, ok := s.ev.quote(e.key, s.ev.given(e.item.name, e.item.v, e.keyRange))
	if !ok {
		return ir.WordKV{}, false
	}
	v, ok := s.ev.word(e.item)
	return ir.WordKV{Key: k, Value: v}, ok
}

func (s *stepper) labels(a *lang.Attr) {
	if a == nil {
		return
	}
	entries, _ := s.ev.entries(s.ev.item(a, s.sc), "a map of strings")
	l := &ir.Label{StepMeta: s.ev.meta(a.SrcRange)}
	for _, e := range entries {
		if e.item.unknown() || e.item.null() {
			continue
		}
		if kv, ok := s.pair(e); ok {
			l.Pairs = append(l.Pairs, kv)
		}
	}
	if len(l.Pairs) > 0 {
		s.add(l)
	}
}
