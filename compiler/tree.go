package compiler

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// stand finds the modules that addresses are relative to: the root, or what the
// root calls in the directory where the caller of the program stands. That is
// several when one directory is called several times, and the directory's own
// module when nobody calls it.
func (p *Program) stand(dir string) {
	p.here = []*eval.Evaluator{p.ev}
	if dir == "" || dir == p.Module.Dir {
		return
	}
	if called := p.inDirectory(func(d string) bool { return d == dir }, dir); len(called) > 0 {
		p.here = called
	} else if m := p.ev.Apart(dir); m != nil {
		p.here = []*eval.Evaluator{m}
	}
}

// apart reports whether one stands in a module that nobody calls.
func (p *Program) apart() bool { return p.here[0] != p.ev && strings.HasPrefix(p.here[0].Path(), "./") }

// inDirectory returns the called modules whose directory is wanted. Modules are
// read to find others only where those could be in or below dir.
func (p *Program) inDirectory(wanted func(string) bool, dir string) (out []*eval.Evaluator) {
	var visit func(m *eval.Evaluator)
	visit = func(m *eval.Evaluator) {
		for _, n := range m.Module().Decls {
			if n.Base().Kind != lang.KindModule {
				continue
			}
			var list []*eval.Instance
			for _, i := range m.Instances(n) {
				if d, ok := m.SourceDir(i); ok && (inside(d, dir) || inside(dir, d)) {
					list = append(list, i)
				}
			}
			m.Start(list)
			for _, i := range list {
				sub := m.CalledBy(i)
				if sub == nil {
					continue
				}
				if wanted(sub.Module().Dir) {
					out = append(out, sub)
				}
				visit(sub)
			}
		}
	}
	visit(p.ev)
	return out
}

// inside reports whether a directory is another or lies below it.
func inside(d, dir string) bool {
	return dir == "." || d == dir || strings.HasPrefix(d, dir+"/")
}

// under finds what DIR/... names: of every module in or below the directory what
// its name alone stands for, `default`, or all its targets where it has none.
func (p *Program) under(dir string, platforms []ocispecs.Platform) (out []*ir.Target, d *hcl.Diagnostic) {
	modules, d := p.modulesUnder(dir)
	for _, m := range modules {
		if n, _ := lookup(m, defaultName); n == nil {
			out = append(out, matching(m, lang.KindTarget, "*", platforms)...)
			continue
		}
		ts, d := p.named(m, defaultName, platforms)
		if d != nil {
			return nil, d
		}
		out = append(out, ts...)
	}
	return out, d
}

// modulesUnder are the modules in and below a directory: those that are called, the
// root, and those that nobody calls.
func (p *Program) modulesUnder(dir string) (modules []*eval.Evaluator, d *hcl.Diagnostic) {
	at := path.Join(p.cwd, dir)
	if path.IsAbs(dir) || !fs.ValidPath(at) {
		return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("No directory of modules is at %q", dir), "DIR/... is all modules in and below a directory of the root module.")
	}
	if inside(p.Module.Dir, at) {
		modules = append(modules, p.ev)
	}
	modules = append(modules, p.inDirectory(func(d string) bool { return inside(d, at) }, at)...)
	modules = append(modules, p.uncalled(at, modules)...)
	if len(modules) == 0 {
		return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("No module is in or below %q", dir), "A module is a directory with "+lang.MainFile+" or *"+lang.FileSuffix+" in it.")
	}
	return modules, nil
}

// uncalled are the modules in and below a directory that nobody calls, each as a
// module by itself. Directories whose names begin with a dot are left out.
func (p *Program) uncalled(at string, called []*eval.Evaluator) (out []*eval.Evaluator) {
	seen := map[string]bool{p.Module.Dir: true}
	for _, m := range called {
		seen[m.Module().Dir] = true
	}
	_ = fs.WalkDir(p.fsys, at, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil || !e.IsDir():
			return nil
		case name != at && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case !seen[name] && lang.IsModule(p.fsys, name):
			if m := p.ev.Apart(name); m != nil {
				out = append(out, m)
			}
		}
		return nil
	})
	return out
}

// Below are the modules that one stands in and all that they call, which are read.
func (p *Program) Below() []*eval.Evaluator {
	for _, m := range p.here {
		m.LoadAll()
	}
	return p.below()
}

// below is [Program.Below] as far as they were read.
func (p *Program) below() (out []*eval.Evaluator) {
	for _, m := range p.here {
		out = append(out, m.Below()...)
	}
	return out
}

// locate finds the modules that an address leads to, and what is left of it to be
// looked up there. A leading / begins at the root, ./ at the directory where one
// stands; a part with * or ? stands for all modules that match.
func (p *Program) locate(addr string) (modules []*eval.Evaluator, name string, d *hcl.Diagnostic) {
	modules = p.here
	if rest, ok := strings.CutPrefix(addr, "/"); ok {
		modules, addr = []*eval.Evaluator{p.ev}, rest
	}
	parts := eval.SplitPath(addr)
	name = parts[len(parts)-1]
	if parts[0] == "." || parts[0] == ".." {
		return p.locateDir(parts)
	}
	for _, part := range parts[:len(parts)-1] {
		if modules, d = p.step(modules, part); d != nil {
			return nil, "", d
		}
	}
	return modules, name, nil
}

// locateDir finds ./DIR/NAME: what is called in a directory, or its module by
// itself.
func (p *Program) locateDir(parts []string) ([]*eval.Evaluator, string, *hcl.Diagnostic) {
	dir, name := path.Join(p.cwd, path.Join(parts[:len(parts)-1]...)), parts[len(parts)-1]
	if whole := path.Join(dir, name); fs.ValidPath(whole) && lang.IsModule(p.fsys, whole) {
		dir, name = whole, defaultName
	}
	if dir == p.Module.Dir {
		return []*eval.Evaluator{p.ev}, name, nil
	}
	if called := p.inDirectory(func(d string) bool { return d == dir }, dir); len(called) > 0 {
		return called, name, nil
	}
	if fs.ValidPath(dir) && lang.IsModule(p.fsys, dir) {
		if m := p.ev.Apart(dir); m != nil {
			return []*eval.Evaluator{m}, name, nil
		}
	}
	return nil, "", diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("No module is at %q", strings.Join(parts, "/")),
		fmt.Sprintf("The directory %q has no %s and no *%s.", dir, lang.MainFile, lang.FileSuffix))
}

// step finds what a part of an address that stands before a / leads to.
func (p *Program) step(from []*eval.Evaluator, part string) (out []*eval.Evaluator, d *hcl.Diagnostic) {
	part = strings.TrimPrefix(part, "module.")
	for _, m := range from {
		list, bad := p.callsAt(m, part)
		if bad != nil && d == nil {
			d = bad
		}
		m.Start(list)
		for _, i := range list {
			if sub := m.CalledBy(i); sub != nil {
				out = append(out, sub)
			}
		}
	}
	if len(out) > 0 || d == nil {
		return out, nil // what could not be read was reported
	}
	return nil, d
}

// callsAt are the instances of module blocks that a part of an address names.
func (p *Program) callsAt(m *eval.Evaluator, part string) ([]*eval.Instance, *hcl.Diagnostic) {
	all := instances(m, lang.KindModule)
	if isGlob(part) {
		var out []*eval.Instance
		for _, i := range all {
			if ok, err := path.Match(part, i.Name()); err == nil && ok {
				out = append(out, i)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	} else {
		_, name, key := splitAddress(part)
		if n := m.Module().Lookup(lang.KindModule, name); n != nil {
			return keyed(m, n, key, part)
		}
	}
	var names []string
	for _, i := range all {
		names = append(names, m.At(i.Name()))
	}
	has := "No module is called here."
	if len(names) > 0 {
		has = "There are: " + diag.List(names, 30) + "." + diag.DidYouMean(m.At(part), names)
	}
	return nil, diag.Error(diag.UnknownAddress, hcl.Range{}, fmt.Sprintf("No module is at the address %q", m.At(part)), has)
}
