package eval

import (
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/lang"
)

// varies reports whether what a declaration evaluates to depends on the target
// platform: by itself, through what a module gives, or through what the caller
// gives to this one.
func (ev *Evaluator) varies(n lang.Node) bool {
	d := n.Base()
	if d.Kind == lang.KindStage && ev.givenByPlatform() {
		return true
	}
	if d.TargetPlatform || ev.call == nil && !ev.mod.Calls() {
		return d.TargetPlatform
	}
	if v, ok := ev.varying[n]; ok {
		return v
	}
	ev.varying[n] = false
	v := ev.inputVaries(d) || ev.outputVaries(n)
	for i := 0; i < len(d.Uses) && !v; i++ {
		v = ev.varies(d.Uses[i].Decl)
	}
	ev.varying[n] = v
	return v
}

func (ev *Evaluator) inputVaries(d *lang.Decl) bool {
	a := ev.inputs[d.Name]
	if d.Kind != lang.KindVariable || a == nil {
		return false
	}
	for _, t := range hclsyntax.Variables(a.Expr) {
		if name, ok := stepName(t, 1); ok {
			if n := ev.caller.mod.Lookup(refKinds[t.RootName()], name); n != nil && ev.caller.varies(n) {
				return true
			}
		}
	}
	return false
}

func (ev *Evaluator) outputVaries(n lang.Node) bool {
	if _, ok := n.(*lang.ModuleCall); !ok {
		return false
	}
	for _, inst := range ev.instances(n).list {
		sub := ev.CalledBy(inst)
		if sub == nil {
			continue
		}
		for _, name := range sub.mod.Names(lang.KindOutput) {
			if sub.varies(sub.mod.Lookup(lang.KindOutput, name)) {
				return true
			}
		}
	}
	return false
}
