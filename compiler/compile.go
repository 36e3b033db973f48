// Package compiler turns hbuild files into what to build. The whole pipeline is
// on this page:
//
//	files ── lang.Load ──▶ declarations ── lang.Resolve ──▶ sorted
//	      ── eval ──▶ stages and targets ── assemble ──▶ ir.Graph
//
// It reads files through an fs.FS and knows no daemon, network or clock.
package compiler

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// Options are what the caller knows and the files do not.
type Options struct {
	lang.LoadOptions
	eval.Options
	// Levels are the warnings that the caller drops or makes errors; directives in
	// the files overrule them.
	Levels lint.Levels
	// Dir is the directory, in the compiled file system, that ./ in addresses is
	// relative to: where the caller stands. Empty is the root module's.
	Dir string
	// Stand is the directory of the module at or above Dir, which other addresses
	// and the names in Sets and Contexts are relative to; empty is the root's.
	Stand string
}

// Program is a module that was read and resolved, the root of those that it calls.
type Program struct {
	Module *lang.Module

	fsys  fs.FS
	opt   Options
	ev    *eval.Evaluator
	here  []*eval.Evaluator // the modules that addresses are relative to
	cwd   string            // what ./ in addresses is relative to
	diags hcl.Diagnostics   // of reading and resolving
}

// Load reads and resolves the module in a directory of fsys. It is usable, for
// views and completion, even when it has errors; [Program.Check] and
// [Program.Graph] return those. The modules that it calls are read when something
// in them is needed.
func Load(fsys fs.FS, dir string, opt Options) *Program {
	if opt.Stand != "" && opt.Stand != dir && len(opt.Sets)+len(opt.Contexts) > 0 {
		return loadFrom(fsys, dir, opt)
	}
	return load(fsys, dir, opt)
}

func load(fsys fs.FS, dir string, opt Options) *Program {
	if opt.Import == nil {
		opt.Import = importDockerfile
	}
	p := &Program{fsys: fsys, opt: opt, cwd: cmp.Or(opt.Dir, dir)}
	own, inModules := splitSets(opt.Sets)
	opt.LoadOptions.Sets, opt.ModuleSets = own, inModules
	p.Module, p.diags = lang.Load(fsys, dir, opt.LoadOptions)
	p.diags = append(p.diags, lang.Resolve(p.Module, eval.Builtins())...)
	p.ev = eval.New(p.Module, fsys, lang.NewLoader(fsys, eval.Builtins()), opt.Options)
	if p.stand(opt.Stand); p.apart() && !p.Diagnostics().HasErrors() {
		// Nobody calls the module, so it is a root: flags and files are about it.
		opt.Sets, opt.Stand = p.opt.Sets, ""
		return load(fsys, p.here[0].Module().Dir, opt)
	}
	p.checkSets()
	return p
}

// splitSets tells --set flags for the root from those for what is in modules.
func splitSets(flags []string) (own []string, inModules []eval.ModuleSet) {
	for _, flag := range flags {
		addr, _, _ := strings.Cut(flag, "=")
		if i := strings.LastIndex(addr, "/"); i > 0 {
			inModules = append(inModules, eval.ModuleSet{Module: strings.TrimPrefix(flag[:i], "/"), Set: flag[i+1:]})
			continue
		}
		own = append(own, strings.TrimPrefix(flag, "/"))
	}
	return own, inModules
}

// checkSets reads the modules that --set flags name, and reports flags that name
// none.
func (p *Program) checkSets() {
	_, sets := splitSets(p.opt.Sets)
	for _, s := range sets {
		modules := []*eval.Evaluator{p.ev}
		for _, part := range eval.SplitPath(s.Module) {
			var d *hcl.Diagnostic
			if modules, d = p.step(modules, part); d != nil {
				p.diags = append(p.diags, diag.Error(diag.OverrideUnknown, hcl.Range{}, fmt.Sprintf("--set %s/%s names no module", s.Module, s.Set), d.Detail))
				break
			}
		}
	}
}

// Diagnostics returns everything found so far, sorted, each mistake once.
func (p *Program) Diagnostics() hcl.Diagnostics {
	all := append(append(hcl.Diagnostics(nil), p.diags...), p.ev.Diagnostics()...)
	return diag.Sort(lint.Apply(p.ev.Modules(), all, p.opt.Levels))
}

// Check evaluates the modules that one stands in, and all that they call, and
// returns all mistakes and warnings.
func (p *Program) Check() hcl.Diagnostics {
	for _, m := range p.here {
		m.All()
	}
	if !p.Diagnostics().HasErrors() { // else what uses what may be a part of the mistake
		for _, m := range p.checked() {
			p.diags = append(p.diags, unused(m)...)
		}
		p.diags = append(p.diags, lint.Check(p.checked(), p.ev.Stages())...)
	}
	return p.Diagnostics()
}

// checked are the modules that Check evaluates, each once.
func (p *Program) checked() (out []*lang.Module) {
	for _, m := range p.below() {
		if !slices.Contains(out, m.Module()) {
			out = append(out, m.Module())
		}
	}
	return out
}

// Files are the sources of all modules that were read, by the names that ranges
// use.
func (p *Program) Files() map[string][]byte {
	modules := p.ev.Modules()
	if len(modules) == 1 {
		return p.Module.Files
	}
	all := map[string][]byte{}
	for _, m := range modules {
		maps.Copy(all, m.Files)
	}
	return all
}

// Graph evaluates what the addresses reach. Without addresses it is `default`.
// The graph is nil when there are errors.
func (p *Program) Graph(addrs []string, platforms []ocispecs.Platform) (*ir.Graph, hcl.Diagnostics) {
	targets, diags := p.selectTargets(addrs, platforms)
	p.diags = append(p.diags, diags...)
	p.diags = append(p.diags, conflicts(targets)...)
	p.ev.OverrideEpoch(targets)
	all := p.Diagnostics()
	if all.HasErrors() {
		return nil, all
	}
	return assemble(p.Files(), targets), all
}

// Evaluator gives views and commands access to values.
func (p *Program) Evaluator() *eval.Evaluator { return p.ev }

// Here are the modules that addresses are relative to: the root, or those called
// in the directory where the caller stands.
func (p *Program) Here() []*eval.Evaluator { return p.here }
