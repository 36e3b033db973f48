package compiler

import (
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// defaultName is the target or group that is built when none is named.
const defaultName = "default"

// selectTargets turns addresses (spec/language.md, "Addresses") into targets,
// those that they require first, each once.
func (p *Program) selectTargets(addrs []string, platforms []ocispecs.Platform) (out []*ir.Target, diags hcl.Diagnostics) {
	if len(addrs) == 0 {
		addrs = []string{defaultName}
	}
	seen := map[*ir.Target]bool{}
	var add func(t *ir.Target)
	add = func(t *ir.Target) {
		if seen[t] {
			return
		}
		seen[t] = true
		for _, r := range t.Requires {
			add(r)
		}
		out = append(out, t)
	}
	for _, a := range addrs {
		ts, d := p.address(a, platforms)
		if d != nil {
			diags = append(diags, d)
		}
		for _, t := range ts {
			add(t)
		}
	}
	return out, diags
}

// Targets returns the addresses of the targets that addresses name, each once,
// and of all targets of the module and of those that it calls, in source order,
// when there are none. What targets require is not among them.
func (p *Program) Targets(addrs []string, platforms []ocispecs.Platform) (out []string, diags hcl.Diagnostics) {
	if len(addrs) == 0 {
		for _, m := range p.Below() {
			for _, i := range instances(m, lang.KindTarget) {
				out = append(out, FromRoot(m.At("target."+i.Name())))
			}
		}
		return out, p.Diagnostics()
	}
	seen := map[string]bool{}
	for _, a := range addrs {
		ts, d := p.address(a, platforms)
		if d != nil {
			diags = append(diags, d)
		}
		for _, t := range ts {
			if addr := FromRoot(addressOf(t)); !seen[addr] {
				seen[addr] = true
				out = append(out, addr)
			}
		}
	}
	return out, append(diags, p.Diagnostics()...)
}

// FromRoot makes an address that begins at the root one that means the same wherever
// one stands.
func FromRoot(addr string) string {
	if strings.Contains(addr, "/") && !strings.HasPrefix(addr, "./") {
		return "/" + addr
	}
	return addr
}

// addressOf is the address of a target with its kind: "api/target.prod".
func addressOf(t *ir.Target) string {
	parts := eval.SplitPath(t.Addr)
	if !strings.HasPrefix(parts[len(parts)-1], "target.") {
		return t.Name
	}
	names := eval.SplitPath(t.Name)
	last := len(names) - 1
	names[last] = "target." + names[last]
	return strings.Join(names, "/")
}

// instances are all of one kind of a module, in source order.
func instances(m *eval.Evaluator, kind lang.Kind) (out []*eval.Instance) {
	for _, n := range m.Module().Decls {
		if n.Base().Kind == kind {
			out = append(out, m.Instances(n)...)
		}
	}
	return out
}

// address finds what one address names.
func (p *Program) address(addr string, platforms []ocispecs.Platform) ([]*ir.Target, *hcl.Diagnostic) {
	if addr == "." { // where one stands, as docker build's users write it
		addr = defaultName
	}
	if dir, ok := strings.CutSuffix(addr, "/..."); ok {
		return p.under(dir, platforms)
	}
	modules, name, d := p.locate(addr)
	if d != nil {
		return nil, d
	}
	var out []*ir.Target
	var first *hcl.Diagnostic
	for _, m := range modules {
		ts, d := p.named(m, name, platforms)
		if d != nil && first == nil {
			first = d
		}
		out = append(out, ts...)
	}
	// A pattern for modules need not fit each of them.
	if len(modules) > 1 && len(out) > 0 {
		return out, nil
	}
	return out, first
}

// named finds what the last part of an address names in a module.
func (p *Program) named(m *eval.Evaluator, name string, platforms []ocispecs.Platform) ([]*ir.Target, *hcl.Diagnostic) {
	if isGlob(name) {
		return p.glob(m, name, platforms)
	}
	n, key := lookup(m, name)
	if n == nil {
		return nil, p.unknownAddress(m, name)
	}
	list, d := keyed(m, n, key, name)
	if d != nil {
		return nil, d
	}
	if _, ok := n.(*lang.ModuleCall); ok {
		m.Start(list)
	} else {
		m.Prefetch(n)
	}
	var out []*ir.Target
	for _, i := range list {
		if sub := m.CalledBy(i); sub != nil {
			ts, d := p.named(sub, defaultName, platforms)
			if d != nil {
				return nil, d
			}
			out = append(out, ts...)
			continue
		}
		out = append(out, targets(m, i, platforms)...)
	}
	return out, nil
}

// lookup finds the declaration that an address names in a module.
func lookup(m *eval.Evaluator, addr string) (n lang.Node, key string) {
	kind, name, key := splitAddress(addr)
	if kind != "" {
		return m.Module().Lookup(lang.Kind(kind), name), key
	}
	for _, k := range []lang.Kind{lang.KindTarget, lang.KindGroup, lang.KindTest, lang.KindModule} {
		if n := m.Module().Lookup(k, name); n != nil {
			return n, key
		}
	}
	return nil, key
}

// keyed returns the instances of a declaration, or the one that has a key.
func keyed(m *eval.Evaluator, n lang.Node, key, addr string) ([]*eval.Instance, *hcl.Diagnostic) {
	list, d := m.Instances(n), n.Base()
	if key != "" {
		for _, i := range list {
			if i.Keyed && i.Key == key {
				return []*eval.Instance{i}, nil
			}
		}
		keys := m.Keys(n)
		detail := fmt.Sprintf("%s has the keys %s.%s", d.Addr(), diag.List(keys, 20), diag.DidYouMean(key, keys))
		if len(keys) == 0 && d.ForEach == nil {
			detail = fmt.Sprintf("%s has no instances, as it has no for_each: its address is %s.", d.Addr(), m.At(d.Name))
		}
		return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("No instance is at %q", m.At(addr)), detail)
	}
	if len(list) == 0 && d.Enabled != nil {
		return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("%s is not enabled", d.Addr()), "Its enabled attribute is false.",
			diag.WithRelated(d.Enabled.SrcRange, "it is switched off here"))
	}
	return list, nil
}

// targets are what an instance of a declaration is to be built as.
func targets(m *eval.Evaluator, i *eval.Instance, platforms []ocispecs.Platform) (out []*ir.Target) {
	switch i.Node.(type) {
	case *lang.Target, *lang.Test:
		return []*ir.Target{m.Target(i, platforms)}
	case *lang.Group:
		for _, t := range m.Group(i) {
			out = append(out, m.Target(t, platforms))
		}
	case *lang.Stage:
		return []*ir.Target{m.StageTarget(i, platforms)}
	case *lang.Artifact:
		return []*ir.Target{m.ArtifactTarget(i, platforms)}
	}
	return out
}

// addressKinds are what an address may name; the word of a target, a group, a
// test and a module may be left out.
var addressKinds = []string{"target", "group", "test", "stage", "artifact", "module"}

// splitAddress takes an address apart: `stage.svc.api`, `svc[api]`, `svc["api"]`
// and `svc.api` have a key, which begins after the name's first dot.
func splitAddress(addr string) (kind, name, key string) {
	rest := addr
	for _, k := range addressKinds {
		if r, ok := strings.CutPrefix(addr, k+"."); ok {
			kind, rest = k, r
			break
		}
	}
	if i := strings.IndexAny(rest, ".["); i >= 0 {
		name, key = rest[:i], rest[i+1:]
		if rest[i] == '[' {
			key = strings.Trim(strings.TrimSuffix(key, "]"), `"`)
		}
		return kind, name, key
	}
	return kind, rest, ""
}

// isGlob reports whether an address is a pattern.
func isGlob(addr string) bool { return strings.ContainsAny(addr, "*?") }

// glob matches targets by name, or tests when the pattern begins with "test.": what
// is built is not tested because its name matches.
func (p *Program) glob(m *eval.Evaluator, addr string, platforms []ocispecs.Platform) (out []*ir.Target, d *hcl.Diagnostic) {
	kind, pattern := lang.KindTarget, strings.TrimPrefix(addr, "target.")
	if rest, ok := strings.CutPrefix(addr, "test."); ok {
		kind, pattern = lang.KindTest, rest
	}
	if out = matching(m, kind, pattern, platforms); len(out) == 0 {
		return nil, p.unknownAddress(m, addr)
	}
	return out, nil
}

// matching returns the targets or the tests of a module with names that match.
func matching(m *eval.Evaluator, kind lang.Kind, pattern string, platforms []ocispecs.Platform) (out []*ir.Target) {
	for _, i := range instances(m, kind) {
		if ok, err := path.Match(pattern, i.Name()); err == nil && ok {
			out = append(out, targets(m, i, platforms)...)
		}
	}
	return out
}

// unknownAddress says that a module has nothing at an address, and what it has.
func (p *Program) unknownAddress(m *eval.Evaluator, addr string) *hcl.Diagnostic {
	names := addresses(m)
	of := "the module"
	if at := m.Path(); at != "" {
		of = fmt.Sprintf("the module %q", at)
	}
	if addr == defaultName {
		return diag.Error(diag.UnknownAddress, hcl.Range{}, "Nothing is called "+m.At(defaultName),
			fmt.Sprintf("Without an address hbuild builds the group or the target `default`, which %s does not have. Name what to build: %s.", of, diag.List(names, 20)))
	}
	return diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("Nothing is at the address %q", m.At(addr)),
		fmt.Sprintf("There are: %s.%s", diag.List(names, 30), diag.DidYouMean(m.At(addr), names)))
}

// Addresses returns all addresses of the modules that one stands in, for messages
// and completion: targets, groups, tests and modules first, then stages and
// artifacts. What is in called modules is not among them.
func (p *Program) Addresses() (out []string) {
	for _, m := range p.here {
		out = append(out, addresses(m)...)
	}
	return out
}

func addresses(m *eval.Evaluator) (out []string) {
	for _, kind := range []lang.Kind{lang.KindGroup, lang.KindTarget, lang.KindTest, lang.KindModule, lang.KindStage, lang.KindArtifact} {
		prefix := ""
		if kind == lang.KindStage || kind == lang.KindArtifact {
			prefix = string(kind) + "."
		}
		for _, i := range instances(m, kind) {
			out = append(out, m.At(prefix+i.Name()))
		}
	}
	return out
}
