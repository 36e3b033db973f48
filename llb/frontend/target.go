package frontend

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// selection is what a call builds.
type selection struct {
	graph    *ir.Graph
	target   *ir.Target // the one whose result is returned; others of graph are required by it
	warnings hcl.Diagnostics
}

// choose evaluates the address of a call. A frontend returns one result, so a
// group has to come down to one target: its only one, or the only one that has an
// image.
func (b *builder) choose(m *module) (*selection, error) {
	g, diags := m.Graph([]string{b.call.address}, b.ui.TargetPlatforms)
	if g == nil {
		return nil, m.failure(b.hint(m, diags))
	}
	if err := b.checkContexts(m); err != nil {
		return nil, err
	}
	t, d := pick(m, g, b.call.address)
	if d != nil {
		return nil, m.failure(hcl.Diagnostics{d})
	}
	if len(requested(g)) > 1 {
		if g, diags = m.Graph([]string{t.Name}, b.ui.TargetPlatforms); g == nil {
			return nil, m.failure(diags)
		}
	}
	for _, t := range g.Targets {
		b.call.apply(t)
	}
	g.SkipCaches(b.call.noCache)
	return &selection{graph: g, target: t, warnings: diags}, nil
}

// hint adds to an unknown address that a stage has the name: the word before it
// is what people leave out.
func (b *builder) hint(m *module, diags hcl.Diagnostics) hcl.Diagnostics {
	for _, d := range diags {
		if diag.InfoOf(d).Code != diag.UnknownAddress {
			continue
		}
		for _, kind := range []lang.Kind{lang.KindStage, lang.KindArtifact} {
			if m.Module.Lookup(kind, b.call.address) != nil {
				d.Detail += fmt.Sprintf(" To stop at %s %s, write --target %s.%s.", kind, b.call.address, kind, b.call.address)
			}
		}
	}
	return diags
}

// requested are the targets that no other of a graph requires. Tests beside a target
// are run, and are nothing to return.
func requested(g *ir.Graph) []*ir.Target {
	var out, tests []*ir.Target
	for _, t := range g.Targets {
		switch {
		case slices.ContainsFunc(g.Targets, func(o *ir.Target) bool { return slices.Contains(o.Requires, t) }):
		case t.Test:
			tests = append(tests, t)
		default:
			out = append(out, t)
		}
	}
	if len(out) == 0 {
		return tests
	}
	return out
}

// pick finds the target whose result a call returns.
func pick(m *module, g *ir.Graph, addr string) (*ir.Target, *hcl.Diagnostic) {
	all := requested(g)
	if len(all) == 1 {
		return all[0], nil
	}
	var images []*ir.Target
	var names []string
	for _, t := range all {
		names = append(names, t.Name)
		if slices.ContainsFunc(t.Builds, func(b *ir.Build) bool { return b.Image != nil }) {
			images = append(images, t)
		}
	}
	if len(images) == 1 {
		return images[0], nil
	}
	at := hcl.Range{}
	if n := m.Module.Lookup(lang.KindGroup, strings.TrimPrefix(addr, "group.")); n != nil {
		at = n.Base().Range
	}
	if len(all) == 0 {
		return nil, diag.Error(diag.UnknownAddress, at, fmt.Sprintf("Nothing is to be built at the address %q", addr), "It stands for no target.")
	}
	return nil, diag.Error(diag.BadFlag, at, fmt.Sprintf("%q stands for %d targets", addr, len(all)),
		fmt.Sprintf("A build through # syntax= has one result. Choose with --target one of: %s; `hbuild build` and `docker buildx bake` build several.", diag.List(names, 30)))
}
