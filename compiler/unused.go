package compiler

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// unused warns of artifacts that nothing uses and of stages that no target and no
// test reaches. A module without targets is a library of stages, which are reached
// from the command line.
func unused(m *lang.Module) (diags hcl.Diagnostics) {
	reached := map[lang.Node]bool{}
	used := map[lang.Node]bool{}
	hasTargets := false
	var reach func(n lang.Node)
	reach = func(n lang.Node) {
		if reached[n] {
			return
		}
		reached[n] = true
		for _, u := range n.Base().Uses {
			reach(u.Decl)
		}
	}
	for _, n := range m.Decls {
		switch n.Base().Kind {
		case lang.KindTarget, lang.KindOutput:
			hasTargets = true
			reach(n)
		case lang.KindTest, lang.KindModule:
			reach(n)
		}
		for _, u := range n.Base().Uses {
			used[u.Decl] = true
		}
	}
	if !hasTargets {
		return nil
	}
	for _, n := range m.Decls {
		d := n.Base()
		switch {
		case d.Kind == lang.KindArtifact && !used[n]:
			diags = append(diags, diag.Warning(diag.UnusedArtifact, d.NameRange, fmt.Sprintf("%s is not used", d.Addr()), "No step copies or mounts it and no target writes it."))
		case d.Kind == lang.KindStage && !reached[n]:
			diags = append(diags, diag.Warning(diag.UnusedStage, d.NameRange, fmt.Sprintf("%s is not part of any target", d.Addr()), fmt.Sprintf("Nothing that is built reaches it, except `hbuild build %s`.", d.Addr())))
		}
	}
	return diags
}
