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

// selectTargets turns addresses (spec/language.md, "Addresses") into targets,
// those that they require first, each once.
func (p *Program) selectTargets(addrs []string, platforms []ocispecs.Platform) (out []*ir.Target, diags hcl.Diagnostics) {
	if len(addrs) == 0 {
		addrs = []string{"default"}
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
// and of all targets of the module, in source order, when there are none. What
// targets require is not among them.
func (p *Program) Targets(addrs []string, platforms []ocispecs.Platform) (out []string, diags hcl.Diagnostics) {
	if len(addrs) == 0 {
		for _, n := range p.Module.Decls {
			if _, ok := n.(*lang.Target); !ok {
				continue
			}
			for _, i := range p.ev.Instances(n) {
				out = append(out, "target."+i.Name())
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
			addr := t.Name
			if strings.HasPrefix(t.Addr, "target.") {
				addr = "target." + t.Name
			}
			if !seen[addr] {
				seen[addr] = true
				out = append(out, addr)
			}
		}
	}
	return out, append(diags, p.Diagnostics()...)
}

// address finds what one address names.
func (p *Program) address(addr string, platforms []ocispecs.Platform) ([]*ir.Target, *hcl.Diagnostic) {
	kind, name, key := splitAddress(addr)
	if isGlob(addr) {
		return p.glob(addr, platforms)
	}
	var n lang.Node
	switch kind {
	case "":
		for _, k := range []lang.Kind{lang.KindTarget, lang.KindGroup, lang.KindTest} {
			if n == nil {
				n = p.Module.Lookup(k, name)
			}
		}
	default:
		n = p.Module.Lookup(lang.Kind(kind), name)
	}
	if n == nil {
		return nil, p.unknownAddress(addr)
	}
	instances := p.ev.Instances(n)
	if key != "" {
		if instances = withKey(instances, key); instances == nil {
			keys := p.ev.Keys(n)
			if len(keys) == 0 && n.Base().ForEach == nil {
				return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("No instance is at %q", addr),
					fmt.Sprintf("%s has no instances, as it has no for_each: its address is %s.", n.Base().Addr(), name))
			}
			return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("No instance is at %q", addr),
				fmt.Sprintf("%s has the keys %s.%s", n.Base().Addr(), diag.List(keys, 20), diag.DidYouMean(key, keys)))
		}
	}
	if len(instances) == 0 && n.Base().Enabled != nil {
		return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("%s is not enabled", n.Base().Addr()), "Its enabled attribute is false.",
			diag.WithRelated(n.Base().Enabled.SrcRange, "it is switched off here"))
	}
	var out []*ir.Target
	for _, i := range instances {
		out = append(out, p.targets(i, platforms)...)
	}
	return out, nil
}

func withKey(instances []*eval.Instance, key string) []*eval.Instance {
	for _, i := range instances {
		if i.Keyed && i.Key == key {
			return []*eval.Instance{i}
		}
	}
	return nil
}

func (p *Program) targets(i *eval.Instance, platforms []ocispecs.Platform) (out []*ir.Target) {
	switch i.Node.(type) {
	case *lang.Target, *lang.Test:
		return []*ir.Target{p.ev.Target(i, platforms)}
	case *lang.Group:
		for _, t := range p.ev.Group(i) {
			out = append(out, p.ev.Target(t, platforms))
		}
	case *lang.Stage:
		return []*ir.Target{p.ev.StageTarget(i, platforms)}
	case *lang.Artifact:
		return []*ir.Target{p.ev.ArtifactTarget(i, platforms)}
	}
	return out
}

// addressKinds are what an address may name; the word of a target, a group and a
// test may be left out.
var addressKinds = []string{"target", "group", "test", "stage", "artifact"}

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
func (p *Program) glob(addr string, platforms []ocispecs.Platform) (out []*ir.Target, d *hcl.Diagnostic) {
	kind, pattern := lang.KindTarget, strings.TrimPrefix(addr, "target.")
	if rest, ok := strings.CutPrefix(addr, "test."); ok {
		kind, pattern = lang.KindTest, rest
	}
	if out = p.matching(kind, pattern, platforms); len(out) == 0 {
		return nil, p.unknownAddress(addr)
	}
	return out, nil
}

// matching returns the targets or the tests with names that match.
func (p *Program) matching(kind lang.Kind, pattern string, platforms []ocispecs.Platform) (out []*ir.Target) {
	for _, n := range p.Module.Decls {
		if n.Base().Kind != kind {
			continue
		}
		for _, i := range p.ev.Instances(n) {
			if ok, err := path.Match(pattern, i.Name()); err == nil && ok {
				out = append(out, p.targets(i, platforms)...)
			}
		}
	}
	return out
}

func (p *Program) unknownAddress(addr string) *hcl.Diagnostic {
	names := p.Addresses()
	if addr == "default" {
		return diag.Error(diag.UnknownAddress, hcl.Range{}, "Nothing is called default",
			"Without an address hbuild builds the group or the target `default`, which the module does not have. Name what to build: "+diag.List(names, 20)+".")
	}
	hint := diag.DidYouMean(addr, names)
	return diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("Nothing is at the address %q", addr), fmt.Sprintf("There are: %s.%s", diag.List(names, 30), hint))
}

// Addresses returns all addresses of the module, for messages and completion:
// targets, groups and tests first, then stages and artifacts.
func (p *Program) Addresses() []string {
	var out []string
	for _, kind := range []lang.Kind{lang.KindGroup, lang.KindTarget, lang.KindTest, lang.KindStage, lang.KindArtifact} {
		for _, n := range p.Module.Decls {
			if n.Base().Kind != kind {
				continue
			}
			prefix := ""
			if kind == lang.KindStage || kind == lang.KindArtifact {
				prefix = string(kind) + "."
			}
			for _, i := range p.ev.Instances(n) {
				out = append(out, prefix+i.Name())
			}
		}
	}
	return out
}
