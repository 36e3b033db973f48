package eval

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang"
)

// Called modules are evaluated side by side, on all processors, and what comes out is
// the same as if it were one after the other. That rests on three things:
//
//   - A module that is given plain values, and nothing to build with, asks no other
//     module for anything (standsAlone). Its evaluator, and those of the modules that
//     it calls in turn, belong to one goroutine.
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
			alone = !holdsBuild(ev.variable(v)) && alone
			ev.varies(v)
		}
	}
	return alone
}

// holdsBuild reports whether there is a build value in v.
func holdsBuild(v cty.Value) (found bool) {
	if v.Type().IsPrimitiveType() {
		return false
	}
	_ = cty.Walk(v, func(_ cty.Path, el cty.Value) (bool, error) {
		el, _ = el.Unmark()
		found = found || FromCty(el) != nil
		return !found, nil
	})
	return found
}

// sideBySide evaluates all of some modules on all processors.
func sideBySide(modules []*Evaluator) {
	next, bugs := atomic.Int64{}, make([]any, len(modules))
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(modules) {
				return
			}
			func() {
				defer func() { bugs[i] = recover() }()
				modules[i].putOff(&later{})
				modules[i].All()
			}()
		}
	}
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(modules)) {
		wg.Go(work)
	}
	wg.Wait()
	for i, m := range modules {
		if bugs[i] != nil {
			panic(bugs[i])
		}
		effects := m.later.effects
		m.putOff(nil)
		for _, effect := range effects {
			effect()
		}
	}
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
