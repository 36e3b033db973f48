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
// named targets require, and without an address all of the module where one stands
// and of those that it calls. The graph is nil when there are errors.
func (p *Program) TestGraph(addrs []string) (*ir.Graph, hcl.Diagnostics) {
	var tests []*ir.Target
	if len(addrs) == 0 {
		for _, m := range p.Below() {
			tests = append(tests, matching(m, lang.KindTest, "*", nil)...)
		}
		if len(tests) == 0 {
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
	all := p.Diagnostics()
	if all.HasErrors() {
		return nil, all
	}
	return assemble(p.Files(), gates(tests)), all
}

// testsAt returns the tests that one address stands for.
func (p *Program) testsAt(addr string) ([]*ir.Target, *hcl.Diagnostic) {
	found, d := p.testable(addr)
	if d != nil {
		return nil, d
	}
	tests := gates(found)
	if len(tests) == 0 {
		return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("%q has no tests", addr), "It is no test, and nothing that it stands for requires one.")
	}
	return tests, nil
}

// testable finds what one address names; a pattern, and all modules below a
// directory, stand for tests too.
func (p *Program) testable(addr string) (found []*ir.Target, d *hcl.Diagnostic) {
	if dir, ok := strings.CutSuffix(addr, "/..."); ok {
		modules, d := p.modulesUnder(dir)
		for _, m := range modules {
			found = append(found, matching(m, lang.KindTest, "*", nil)...)
		}
		return found, d
	}
	modules, name, d := p.locate(addr)
	if d != nil || !isGlob(name) {
		if d == nil {
			found, d = p.address(addr, nil)
		}
		return found, d
	}
	pattern := strings.TrimPrefix(strings.TrimPrefix(name, "target."), "test.")
	for _, m := range modules {
		if !strings.HasPrefix(name, "target.") {
			found = append(found, matching(m, lang.KindTest, pattern, nil)...)
		}
		if !strings.HasPrefix(name, "test.") {
			found = append(found, matching(m, lang.KindTarget, pattern, nil)...)
		}
	}
	if len(found) == 0 && len(modules) > 0 {
		return nil, p.unknownAddress(modules[0], name)
	}
	return found, nil
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
