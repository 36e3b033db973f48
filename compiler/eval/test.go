package eval

import (
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
)

// test evaluates an instance of a test: a target whose one stage has to succeed. It
// runs where the engine runs steps, whatever platforms are built for.
func (ev *Evaluator) test(inst *Instance, n *lang.Test) *ir.Target {
	t := ev.newTarget(inst, inst.Path())
	t.Test = true
	sc := inst.scope(nil)
	st := ev.stage(inst, nil)
	t.Description = st.Description
	r := &targetReader{ev: ev, n: n, sc: sc}
	st.NoCache, t.Pull = r.boolean("no_cache"), r.boolean("pull")
	t.Options = ev.buildOptions(r)
	t.Builds = []*ir.Build{{Image: st}}
	return t
}
