package eval

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/lang/funcs"
)

// A module block makes an evaluator of its own for the module that it calls, one
// for each instance, over files that are read once. What crosses the border are
// values: inputs are evaluated by the caller, outputs by the called. A build value
// is an instance and remembers its evaluator, so whoever gets it can use it.

// addr is how messages and the command line name a declaration of this module:
// "stage.build", `svc["api"]/stage.build`.
func (ev *Evaluator) addr(d *lang.Decl) string { return ev.within() + d.Addr() }

// within is what the addresses of this module begin with: "" for the root, "api/",
// `svc["api"]/db/`.
func (ev *Evaluator) within() string { return ev.inAddr }

// calledFrom makes the module one that an instance of a module block calls.
func (ev *Evaluator) calledFrom(caller *Evaluator, inst *Instance) {
	ev.caller, ev.call, ev.inputs, ev.later = caller, inst, map[string]*lang.Attr{}, caller.later
	addr, docker := inst.Node.Base().Name, inst.Node.Base().Name
	if inst.Keyed {
		addr += fmt.Sprintf("[%q]", inst.Key)
		docker += "-" + inst.Key
	}
	ev.inAddr = caller.inAddr + addr + "/"
	ev.inDocker = caller.inDocker + dockerName(docker) + "-"
}

// Path is where the module is called: "" for the root, "api", "svc.api/db", and
// "./tools" for one that nobody calls.
func (ev *Evaluator) Path() string {
	if ev.call == nil {
		return strings.TrimSuffix(ev.apart, "/")
	}
	return ev.caller.At(ev.call.Name())
}

// At is the address of what has a name in this module.
func (ev *Evaluator) At(name string) string {
	if at := ev.Path(); at != "" {
		return at + "/" + name
	}
	return name
}

// CalledAs is the instance of the module block that calls this module; nil for the
// root and for a module that nobody calls.
func (ev *Evaluator) CalledAs() *Instance { return ev.call }

// Apart evaluates a module that nobody calls, as its own caller: only its vars file
// and the environment give values. It is nil when the directory has no module.
func (ev *Evaluator) Apart(dir string) *Evaluator {
	for _, m := range ev.aparts {
		if m.mod.Dir == dir {
			return m
		}
	}
	if ev.loader == nil || !lang.IsModule(ev.fsys, dir) {
		return nil
	}
	mod, diags := ev.loader.Load(dir, nil)
	for _, d := range diags {
		ev.tree.add(d)
	}
	m := ev.tree.evaluator(mod)
	m.apart = "./" + dir + "/"
	m.inAddr, m.inDocker = m.apart, dockerName(path.Clean(m.apart))+"-"
	m.values = map[string]input{}
	m.readOwnVars(m.values)
	m.reserveNames()
	ev.aparts, ev.modules = append(ev.aparts, m), append(ev.modules, mod)
	return m
}

// Below returns the evaluator and those of all modules that were called from it so
// far, callers first.
func (ev *Evaluator) Below() []*Evaluator {
	out := []*Evaluator{ev}
	for _, n := range ev.mod.Decls {
		if x := ev.expanded[n.Base().Index]; x != nil && n.Base().Kind == lang.KindModule {
			for _, inst := range x.list {
				if inst.called != nil {
					out = append(out, inst.called.Below()...)
				}
			}
		}
	}
	return out
}

// LoadAll reads all modules that are called from here, and from them.
func (ev *Evaluator) LoadAll() {
	var calls []lang.Node
	for _, n := range ev.mod.Decls {
		if n.Base().Kind == lang.KindModule {
			calls = append(calls, n)
		}
	}
	ev.Prefetch(calls...)
	for _, n := range calls {
		for _, inst := range ev.instances(n).list {
			if sub := ev.CalledBy(inst); sub != nil {
				sub.LoadAll()
			}
		}
	}
}

// Everyone returns the evaluators of all modules, the root's first.
func (ev *Evaluator) Everyone() []*Evaluator {
	for ev.caller != nil {
		ev = ev.caller
	}
	out := ev.Below()
	for _, m := range ev.aparts {
		out = append(out, m.Below()...)
	}
	return out
}

// Module returns the files that are evaluated.
func (ev *Evaluator) Module() *lang.Module { return ev.mod }

// Modules returns all modules that were called so far, each once, the root first.
func (ev *Evaluator) Modules() []*lang.Module {
	for ev.caller != nil {
		ev = ev.caller
	}
	return append([]*lang.Module{ev.mod}, ev.modules...)
}

// dockerPrefix begins the names that the stages and contexts of this module have
// in a Dockerfile: "", "svc-api-".
func (ev *Evaluator) dockerPrefix() string { return ev.inDocker }

// CalledBy returns the evaluator of the module that an instance of a module block
// calls; nil when there is none, which was reported, and for other instances.
func (ev *Evaluator) CalledBy(inst *Instance) *Evaluator {
	if _, ok := inst.Node.(*lang.ModuleCall); !ok || inst.loaded {
		return inst.called
	}
	inst.loaded = true
	dir, ok := ev.SourceDir(inst)
	if !ok || ev.recursive(inst, dir) {
		return nil
	}
	mod, diags := ev.loader.Load(dir, ev.setsFor(inst))
	sub := ev.tree.evaluator(mod)
	sub.calledFrom(ev, inst)
	ev.inOrder(func() {
		if ev.tree.called[mod] {
			return
		}
		ev.tree.called[mod] = true
		ev.modules = append(ev.modules, mod)
		for _, d := range diags {
			sub.add(d)
		}
	})
	sub.reserveNames()
	sub.readCall(inst.Node.(*lang.ModuleCall))
	inst.called = sub
	return sub
}

// SourceDir is the directory that an instance of a module block names, in the
// compiled file system; false when it names none, which is reported.
func (ev *Evaluator) SourceDir(inst *Instance) (string, bool) {
	n := inst.Node.(*lang.ModuleCall)
	if inst.dir != "" || n.Source == nil || n.Bad {
		return inst.dir, inst.dir != ""
	}
	it := ev.item(n.Source, inst.scope(nil))
	if it.null() {
		it.errorf(diag.NullValue, "source is null", "A module needs a directory; use enabled = false to switch it off.")
		return "", false
	}
	s, ok := ev.str(it)
	if !ok {
		return "", false
	}
	first, _, _ := strings.Cut(s, "/")
	if first != "." && first != ".." {
		it.errorf(diag.BadModuleSource, fmt.Sprintf("%q is no place of a module", s), "A source is a directory, and begins with ./ or ../; write \"./%s\".", path.Clean("/" + s)[1:])
		return "", false
	}
	dir, ok := ev.abs(s)
	switch {
	case !ok:
		it.errorf(diag.BadModuleSource, "The module is outside of the root module", "%q is not below the directory that hbuild works in. A file with an empty workspace block in a directory above makes that the root.", s)
		return "", false
	case ev.loader == nil:
		it.errorf(diag.BadModuleSource, "No module can be called here", "These files are a module by themselves.")
		return "", false
	case !lang.IsModule(ev.fsys, dir):
		it.errorf(diag.BadModuleSource, "There is no module", "%s", ev.noModule(dir))
		return "", false
	}
	inst.dir = dir
	return dir, true
}

// noModule says why a directory has no module.
func (ev *Evaluator) noModule(dir string) string {
	info, err := fs.Stat(ev.fsys, dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Sprintf("%q is a file, and a source is a directory: \"./%s\".", dir, path.Dir(dir))
	case err == nil:
		why := fmt.Sprintf("The directory %q has no %s and no *%s.", dir, lang.MainFile, lang.FileSuffix)
		if below := ev.modulesIn(dir); len(below) > 0 {
			why += " There are modules in " + diag.List(below, 8) + "."
		}
		return why
	}
	if link, err := fs.Lstat(ev.fsys, dir); err == nil && link.Mode()&fs.ModeSymlink != 0 {
		return fmt.Sprintf("%q is a symbolic link to what is not there or not below the root module's directory.", dir)
	}
	return fmt.Sprintf("No directory is at %q.%s", dir, nearestDir(ev.fsys, dir))
}

// modulesIn are the directories right below one that have a module.
func (ev *Evaluator) modulesIn(dir string) (out []string) {
	entries, _ := fs.ReadDir(ev.fsys, dir)
	for _, e := range entries {
		if p := path.Join(dir, e.Name()); e.IsDir() && lang.IsModule(ev.fsys, p) {
			out = append(out, p)
		}
	}
	return out
}

// recursive reports a module that is called from within itself.
func (ev *Evaluator) recursive(inst *Instance, dir string) bool {
	for c := ev; c != nil; c = c.caller {
		if c.mod.Dir != dir {
			continue
		}
		what := "the root module"
		if c.call != nil {
			what = c.call.Addr
		}
		at := inst.Node.(*lang.ModuleCall).Source.Expr.Range()
		ev.errorf(diag.ModuleCycle, at, "A module calls itself", "%s is %q, which %s is too.", inst.Addr, dir, what)
		return true
	}
	return false
}

// readCall takes what a module block gives to the variables of this module.
func (ev *Evaluator) readCall(n *lang.ModuleCall) {
	names := ev.mod.Names(lang.KindVariable)
	for _, a := range n.Inputs {
		if ev.mod.Lookup(lang.KindVariable, a.Name) != nil {
			ev.inputs[a.Name] = a
			continue
		}
		if ev.mod.Lost(lang.KindVariable) {
			continue
		}
		known := append(slices.Clone(names), "for_each", "enabled", "source")
		detail := "The module has no variables."
		var opts []diag.Option
		if near := diag.Nearest(a.Name, known); near != "" {
			detail = fmt.Sprintf("Did you mean %q?", near)
			opts = append(opts, diag.WithFix(a.NameRange, near, "write %s", near))
			if v := ev.mod.Lookup(lang.KindVariable, near); v != nil {
				opts = append(opts, diag.WithRelated(v.Base().NameRange, "%s is declared here", v.Base().Addr()))
			}
		} else if len(names) > 0 {
			detail = "Its variables are " + diag.List(names, 20) + "."
		}
		ev.caller.add(diag.Error(diag.UnknownInput, a.NameRange, fmt.Sprintf("The module %q has no variable %q", ev.mod.Dir, a.Name), detail, opts...))
	}
}

// setsFor are the --set flags for an instance, as the called module reads them.
func (ev *Evaluator) setsFor(inst *Instance) (out []string) {
	at := ev.At(inst.Name())
	for _, s := range ev.opt.ModuleSets {
		if matchPath(s.Module, at) {
			out = append(out, s.Set)
		}
	}
	return out
}

// ModuleSet is a --set flag for what is in modules: api/prod.push=true.
type ModuleSet struct {
	Module string // a pattern for [Evaluator.Path]
	Set    string // prod.push=true
}

// matchPath reports whether the path of a module is what a pattern names: element
// by element, as path.Match does it.
func matchPath(pattern, modulePath string) bool {
	p, m := SplitPath(pattern), SplitPath(modulePath)
	if len(p) != len(m) {
		return false
	}
	for i := range p {
		if ok, err := path.Match(p[i], m[i]); p[i] != m[i] && (err != nil || !ok) {
			return false
		}
	}
	return true
}

// SplitPath splits an address at its slashes, but for those in brackets.
func SplitPath(addr string) (parts []string) {
	depth, from := 0, 0
	for i, c := range addr {
		switch {
		case c == '[':
			depth++
		case c == ']':
			depth--
		case c == '/' && depth == 0:
			parts = append(parts, addr[from:i])
			from = i + 1
		}
	}
	return append(parts, addr[from:])
}

// Start begins to read what instances of a module block call.
func (ev *Evaluator) Start(list []*Instance) {
	if ev.loader == nil || len(list) < 2 {
		return
	}
	// All directories are looked at before the first is read: where that takes a round
	// trip, how many it takes must not depend on how far the reading has got.
	var dirs []string
	var unread []*Instance
	for _, inst := range list {
		if dir, ok := ev.SourceDir(inst); ok && !inst.loaded {
			dirs, unread = append(dirs, dir), append(unread, inst)
		}
	}
	for i, inst := range unread {
		ev.loader.Start(dirs[i], ev.setsFor(inst))
	}
}

// Prefetch begins to read the modules that some declarations use, so that they are
// read side by side and not one when the one before is evaluated. Of a repeated
// block, that is all instances only if it is named itself: what uses it may use one.
func (ev *Evaluator) Prefetch(from ...lang.Node) {
	if !ev.mod.Calls() {
		return
	}
	var list []*Instance
	seen := map[lang.Node]bool{}
	var reach func(n lang.Node)
	reach = func(n lang.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if c, ok := n.(*lang.ModuleCall); ok && (c.ForEach == nil || slices.Contains(from, n)) {
			list = append(list, ev.instances(n).list...)
		}
		for _, u := range n.Base().Uses {
			reach(u.Decl)
		}
	}
	for _, n := range from {
		reach(n)
	}
	ev.Start(list)
}

// traced adds to a diagnostic of a called module who called it, and with what.
func (ev *Evaluator) traced(d *hcl.Diagnostic) *hcl.Diagnostic {
	if ev.call == nil {
		return d
	}
	traced, info := *d, diag.InfoOf(d)
	traced.Extra = &info
	info.Related = slices.Clone(info.Related)
	for c := ev; c.call != nil; c = c.caller {
		n := c.call.Node.(*lang.ModuleCall)
		if c == ev && d.Subject != nil && within(*d.Subject, n) {
			continue // the mistake is what the call says
		}
		diag.WithRelated(n.Range, "called here as %s%s", c.call.Addr, c.firstInputs())(&traced, &info)
	}
	return &traced
}

// within reports whether a place lies in the block of a call.
func within(at hcl.Range, n *lang.ModuleCall) bool {
	return at.Filename == n.Range.Filename && at.Start.Byte >= n.Range.Start.Byte && n.Body != nil && at.End.Byte <= n.Body.EndRange.End.Byte
}

// makeBuiltins is the module's table of built-in functions. Functions whose values mean
// files of the module remember which module that is: the values may be used in another.
func (ev *Evaluator) makeBuiltins() map[string]function.Function {
	table := Functions(funcs.Env{FS: ev.fsys, Dir: ev.mod.Dir})
	if ev.dockerPrefix() == "" && !ev.mod.Calls() {
		return table
	}
	for _, name := range []string{"dockerfile", "oci_layout"} {
		inner := table[name]
		table[name] = function.New(&function.Spec{
			Params: inner.Params(), VarParam: inner.VarParam(), Type: inner.ReturnTypeForValues,
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				out, err := inner.Call(args)
				if v := FromCty(out); err == nil && v != nil {
					ev.placeValue(v)
				}
				return out, err
			},
		})
	}
	return table
}

func (ev *Evaluator) placeValue(v *Value) {
	switch {
	case v.Dockerfile != nil:
		v.Dockerfile.home = ev
	case v.Image != nil && ev.mod.Dir != ".":
		rest := strings.TrimPrefix(v.Image.Layout, layoutPrefix+v.Image.Ref)
		v.Image.Ref = path.Join(ev.mod.Dir, v.Image.Ref)
		v.Image.Layout = layoutPrefix + v.Image.Ref + rest
	}
}

const layoutPrefix = "oci-layout://"

// firstInputs shows what the call of this module gives to variables, the first four.
func (ev *Evaluator) firstInputs() string {
	var out []string
	for _, a := range ev.call.Node.(*lang.ModuleCall).Inputs {
		if ev.inputs[a.Name] == nil {
			continue
		}
		if len(out) == 4 {
			out = append(out, "…")
			break
		}
		v := ev.caller.item(a, ev.call.scope(nil)).value()
		text := "(sensitive)"
		switch {
		case v.ContainsMarked():
		case v.IsWhollyKnown() && v.Type().IsPrimitiveType():
			text = Render(v)
		default:
			text = describe(v)
		}
		out = append(out, a.Name+" = "+text)
	}
	if len(out) == 0 {
		return ""
	}
	return ", with " + strings.Join(out, ", ")
}
