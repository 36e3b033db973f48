package eval

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang"
)

// Called modules are evaluated side by side, on all processors, and what comes out is
// the same as if it were one after the other. That rests on three things:
//
//   - What a module is given is evaluated before (standsAlone): plain values, and what
//     stands behind those to build with. Then it asks no other module for anything, and
//     its evaluator, and those of the modules that it calls in turn, belong to one
//     goroutine.
//   - What the modules of a tree do to what they share, and whose order shows (a
//     diagnostic, a name that must be unlike others), is put off (inOrder) until all are
//     done, and done then in the order of the modules.
//   - What they share and whose order does not show (a file that was looked for, a
//     context that several read) is behind one lock, tree.mu.

// later is what the evaluators of one goroutine have put off.
type later struct {
	effects []func()
	failed  bool // one of them reports an error
}

// inOrder does what changes the tree in a way that depends on the order: at once, or,
// in a module that is evaluated beside others, when those are done.
func (ev *Evaluator) inOrder(effect func()) {
	if ev.later == nil {
		effect()
		return
	}
	ev.later.effects = append(ev.later.effects, effect)
}

// failed reports whether there are errors so far, of which those of modules that are
// evaluated beside this one are none.
func (ev *Evaluator) failed() bool {
	return ev.diags.HasErrors() || ev.later != nil && ev.later.failed
}

// allCalled evaluates all of the modules that instances of module blocks call: those that
// stand alone side by side, then the others.
func (ev *Evaluator) allCalled(list []*Instance) {
	if len(list) > 0 {
		ev.rootModule.sentContext() // which all may be parts of
	}
	var alone, rest []*Evaluator
	for _, i := range list {
		switch sub := ev.CalledBy(i); {
		case sub == nil:
		case sub.standsAlone():
			alone = append(alone, sub)
		default:
			rest = append(rest, sub)
		}
	}
	sideBySide(alone)
	for _, sub := range rest {
		sub.All()
	}
}

// standsAlone evaluates what the module is given, and reports whether it can be
// evaluated without asking another one.
func (ev *Evaluator) standsAlone() bool {
	if ev.later != nil || len(ev.opt.Contexts) > 0 || ev.caller.provenance != nil {
		return false
	}
	alone := true
	for _, n := range ev.mod.Decls {
		if v, ok := n.(*lang.Variable); ok {
			alone = aheadIn(ev.variable(v)) && alone
			ev.varies(v)
		}
	}
	return alone
}

// aheadIn evaluates the build values in v, and reports whether it could.
func aheadIn(v cty.Value) bool {
	if v.Type().IsPrimitiveType() {
		return true
	}
	ok := true
	_ = cty.Walk(v, func(_ cty.Path, el cty.Value) (bool, error) {
		el, _ = el.Unmark()
		if b := FromCty(el); b != nil {
			ok = b.evalAhead() && ok
		}
		return true, nil
	})
	return ok
}

// evalAhead evaluates what a build value stands for, so that modules that are given it
// need not ask the one that declares it. It reports false for what differs by platform,
// and for what is more than one thing.
func (v *Value) evalAhead() bool {
	switch v.Kind {
	case KindImage, KindScratch, KindText, KindTmpfs, KindGit, KindHTTP, KindOutput:
		return true
	case KindMerge, KindDiff:
		return !slices.ContainsFunc(v.Parts, func(p *Value) bool { return p == nil || !p.evalAhead() })
	case KindMount:
		return v.Mount.Of.evalAhead()
	}
	inst := v.Inst
	if inst == nil || inst.owner.varies(inst.Node) {
		return false
	}
	if inst.ahead != nil {
		return true
	}
	switch v.Kind {
	case kStage:
		inst.ahead = inst.owner.stage(inst, nil)
	case kArtifact:
		inst.owner.artifact(inst, nil)
		inst.ahead = inst.memo // nil for one of no stage
	case kCache:
		inst.ahead = inst.owner.cache(inst, &scope{})
	case kSecret:
		inst.ahead = inst.owner.secret(inst)
	case kSSH:
		inst.ahead = inst.owner.ssh(inst)
	}
	return inst.ahead != nil
}

// sideBySide evaluates all of some modules on all processors. A panic, which is a bug,
// goes on in the caller's goroutine, where it is reported.
func sideBySide(modules []*Evaluator) {
	next, bugs := atomic.Int64{}, make([]string, len(modules))
	work := func() {
		for i := int(next.Add(1)) - 1; i < len(modules); i = int(next.Add(1)) - 1 {
			bugs[i] = modules[i].allBeside()
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(modules)) {
		wg.Go(work)
	}
	wg.Wait()
	for i, m := range modules {
		if bugs[i] != "" {
			panic(bugs[i])
		}
		effects := m.later.effects
		m.putOff(nil)
		for _, effect := range effects {
			effect()
		}
	}
}

// allBeside evaluates all of the module beside others. It returns a panic, if there is
// one, with its stack.
func (ev *Evaluator) allBeside() (bug string) {
	defer func() {
		if r := recover(); r != nil {
			bug = fmt.Sprintf("%v\n\n%s", r, debug.Stack())
		}
	}()
	ev.putOff(&later{})
	ev.All()
	return ""
}

// putOff says where this module and those that it calls put off what has an order; nil
// for not at all.
func (ev *Evaluator) putOff(l *later) {
	for _, m := range ev.Below() {
		m.later = l
		for _, n := range m.nested {
			if n != nil {
				n.ev.later = l
			}
		}
	}
}

// note remembers an error that is put off.
func (l *later) note(d *hcl.Diagnostic) {
	if l != nil && d.Severity == hcl.DiagError {
		l.failed = true
	}
}
