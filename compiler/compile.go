// Package compiler turns hbuild files into what to build. The whole pipeline is
// on this page:
//
//	files ── lang.Load ──▶ declarations ── lang.Resolve ──▶ sorted
//	      ── eval ──▶ stages and targets ── assemble ──▶ ir.Graph
//
// It reads files through an fs.FS and knows no daemon, network or clock.
package compiler

import (
	"io/fs"

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
}

// Program is a module that was read and resolved.
type Program struct {
	Module *lang.Module

	fsys  fs.FS
	opt   Options
	ev    *eval.Evaluator
	diags hcl.Diagnostics // of reading and resolving
}

// Load reads and resolves the module in a directory of fsys. It is usable, for
// views and completion, even when it has errors; [Program.Check] and
// [Program.Graph] return those.
func Load(fsys fs.FS, dir string, opt Options) *Program {
	if opt.Import == nil {
		opt.Import = importDockerfile
	}
	p := &Program{fsys: fsys, opt: opt}
	p.Module, p.diags = lang.Load(fsys, dir, opt.LoadOptions)
	p.diags = append(p.diags, lang.Resolve(p.Module, eval.Builtins())...)
	p.ev = eval.New(p.Module, fsys, opt.Options)
	return p
}

// Diagnostics returns everything found so far, sorted, each mistake once.
func (p *Program) Diagnostics() hcl.Diagnostics {
	all := append(append(hcl.Diagnostics(nil), p.diags...), p.ev.Diagnostics()...)
	return diag.Sort(lint.Apply(p.Module, all, p.opt.Levels))
}

// Check evaluates the whole module and returns all mistakes and warnings.
func (p *Program) Check() hcl.Diagnostics {
	p.ev.All()
	if !p.Diagnostics().HasErrors() { // else what uses what may be a part of the mistake
		p.diags = append(p.diags, unused(p.Module)...)
		p.diags = append(p.diags, lint.Check(p.Module, p.ev.Stages())...)
	}
	return p.Diagnostics()
}

// Graph evaluates what the addresses reach. Without addresses it is `default`.
// The graph is nil when there are errors.
func (p *Program) Graph(addrs []string, platforms []ocispecs.Platform) (*ir.Graph, hcl.Diagnostics) {
	targets, diags := p.selectTargets(addrs, platforms)
	p.diags = append(p.diags, diags...)
	p.diags = append(p.diags, conflicts(targets)...)
	p.ev.OverrideEpoch(targets)
	main := p.ev.DefaultContext()
	all := p.Diagnostics()
	if all.HasErrors() {
		return nil, all
	}
	return assemble(p.Module.Files, targets, main), all
}

// Evaluator gives views and commands access to values.
func (p *Program) Evaluator() *eval.Evaluator { return p.ev }
