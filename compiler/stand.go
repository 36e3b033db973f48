package compiler

import (
	"io/fs"
	"strings"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/lang"
)

// loadFrom is [Load] for a caller who stands in a module below the root and gives
// flags with names in them. As in addresses, a name is relative to that module and
// one with a leading / to the root; which module that is, the files say, so they are
// read without those flags first.
func loadFrom(fsys fs.FS, dir string, opt Options) *Program {
	probe := opt
	probe.Sets, probe.Contexts = nil, nil
	for _, set := range opt.Sets {
		if strings.HasPrefix(set, "/") {
			probe.Sets = append(probe.Sets, set)
		}
	}
	p := load(fsys, dir, probe)
	switch {
	case p.Diagnostics().HasErrors():
		return p
	case p.Module.Dir != dir: // nobody calls the module, and it is a root by itself
		opt.Stand = ""
		return load(fsys, p.Module.Dir, opt)
	}
	var sets []string
	for _, set := range opt.Sets {
		sets = append(sets, p.SetsFromRoot(set)...)
	}
	contexts := map[string]string{}
	for name, value := range opt.Contexts {
		for _, n := range p.ContextsFromRoot(name) {
			contexts[n] = value
		}
	}
	opt.Sets, opt.Contexts = sets, contexts
	return load(fsys, dir, opt)
}

// SetsFromRoot are a --set flag with its address as it reads in the root: one for
// each module that the caller stands in.
func (p *Program) SetsFromRoot(set string) (out []string) {
	if strings.HasPrefix(set, "/") {
		return []string{set}
	}
	for _, m := range p.here {
		out = append(out, m.At(set))
	}
	return out
}

// ContextsFromRoot are the name of a --context flag as it reads in the root: one for
// each module that the caller stands in and that has such a context or stage. Another
// is an image's, or the root's.
func (p *Program) ContextsFromRoot(name string) (out []string) {
	if rest, ok := strings.CutPrefix(name, "/"); ok {
		return []string{rest}
	}
	whole, _, _ := strings.Cut(name, "::")
	base, _, _ := strings.Cut(whole, ".")
	for _, m := range p.here {
		if m.Module().Lookup(lang.KindContext, base) != nil || m.Module().Lookup(lang.KindStage, base) != nil || p.calls(m, whole) {
			out = append(out, m.At(name))
		}
	}
	if len(out) == 0 {
		return []string{name}
	}
	return out
}

// calls reports whether the first part of an address is a module that m calls.
func (p *Program) calls(m *eval.Evaluator, addr string) bool {
	parts := eval.SplitPath(addr)
	_, name, _ := splitAddress(parts[0])
	return len(parts) > 1 && m.Module().Lookup(lang.KindModule, name) != nil
}
