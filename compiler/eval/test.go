package eval

import (
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
)

// test evaluates an instance of a test: a target whose one stage has to succeed. It
// runs where the engine runs steps, whatever platforms are built for.
func (ev *Evaluator) test(inst *Instance, n *lang.Test) *ir.Target {
	t := &ir.Target{Addr: inst.Addr, Name: inst.Name(), Test: true, Range: n.Range, Comment: ev.mod.CommentAbove(n.Range)}
	t.Variables, t.Provenance = ev.variables(n), ev.provenance
	sc := inst.scope(nil)
	st := ev.stage(inst, nil)
	t.Description = st.Description
	r := &targetReader{ev: ev, n: n, sc: sc}
	st.NoCache, t.Pull = r.boolean("no_cache"), r.boolean("pull")
	t.Options = ev.buildOptions(r)
	t.Builds = []*ir.Build{{Image: st}}
	return t
}
