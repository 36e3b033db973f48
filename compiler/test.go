package compiler

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// TestGraph evaluates tests alone: those that the addresses name, those that the
// named targets require, and all of the module without an address. The graph is
// nil when there are errors.
func (p *Program) TestGraph(addrs []string) (*ir.Graph, hcl.Diagnostics) {
	var tests []*ir.Target
	if len(addrs) == 0 {
		if tests = p.matching(lang.KindTest, "*", nil); len(tests) == 0 {
			p.diags = append(p.diags, diag.Error(diag.UnknownAddress, hcl.Range{}, "There are no tests", `No test block is declared: write test "unit" { from = stage.NAME … }.`))
		}
	}
	for _, a := range addrs {
		found, d := p.testsAt(a)
		if d != nil {
			p.diags = append(p.diags, d)
		}
		tests = append(tests, found...)
	}
	main := p.ev.DefaultContext()
	all := p.Diagnostics()
	if all.HasErrors() {
		return nil, all
	}
	return assemble(p.Module.Files, gates(tests), main), all
}

// testsAt returns the tests that one address stands for.
func (p *Program) testsAt(addr string) ([]*ir.Target, *hcl.Diagnostic) {
	var found []*ir.Target
	if isGlob(addr) {
		name := strings.TrimPrefix(strings.TrimPrefix(addr, "target."), "test.")
		if !strings.HasPrefix(addr, "target.") {
			found = p.matching(lang.KindTest, name, nil)
		}
		if !strings.HasPrefix(addr, "test.") {
			found = append(found, p.matching(lang.KindTarget, name, nil)...)
		}
		if len(found) == 0 {
			return nil, p.unknownAddress(addr)
		}
	} else {
		var d *hcl.Diagnostic
		if found, d = p.address(addr, nil); d != nil {
			return nil, d
		}
	}
	tests := gates(found)
	if len(tests) == 0 {
		return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("%q has no tests", addr), "It is no test, and nothing that it stands for requires one.")
	}
	return tests, nil
}

// gates returns the tests among targets and those that the others require,
// themselves or through what they require, each once.
func gates(targets []*ir.Target) (tests []*ir.Target) {
	seen := map[*ir.Target]bool{}
	var visit func([]*ir.Target)
	visit = func(ts []*ir.Target) {
		for _, t := range ts {
			switch {
			case seen[t]:
				continue
			case t.Test:
				tests = append(tests, t)
			}
			seen[t] = true
			visit(t.Requires)
		}
	}
	visit(targets)
	return tests
}
