package eval

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// defaultContext is the name of the context that copies read when they do not say
// from where.
const defaultContext = "default"

// DefaultContext is the module's main context, declared or not; nil when it is
// declared and disabled, or repeated, which is an error.
func (ev *Evaluator) DefaultContext() *ir.Context {
	n := ev.mod.Lookup(lang.KindContext, defaultContext)
	if each := n.Base().ForEach; each != nil {
		ev.errorf(diag.BadForEach, each.NameRange, "context.default is repeated", "It is the one directory that copies read when they do not say from where. Give contexts that are repeated another name.")
		return nil
	}
	if all := ev.instances(n).list; len(all) > 0 {
		return ev.localContext(all[0])
	}
	return nil
}

// localContext evaluates a context; nil when it has errors.
func (ev *Evaluator) localContext(inst *Instance) *ir.Context {
	if inst.owner != ev {
		return inst.owner.localContext(inst)
	}
	if c, ok := inst.memo.(*ir.Context); ok {
		return c
	}
	n := inst.Node.(*lang.Context)
	sc := inst.scope(nil)
	c := &ir.Context{Name: ev.contextName(inst), Addr: inst.Addr, Main: n.Name == defaultContext, Path: ".", Range: n.Range}
	inst.memo = c
	if p, ok := ev.attrStr(n.Path, sc); ok {
		c.Path = p
	}
	at := n.NameRange
	if n.Path != nil {
		at = n.Path.Expr.Range()
	}
	if dir, ok := ev.opt.Contexts[inst.Path()]; ok {
		ev.usedGiven[inst.Path()] = true
		// The caller's directory takes the place of the module's; what is left out
		// of it, its own ignore file says.
		put(c, dir)
		return c
	}
	full, ok := ev.abs(c.Path)
	if !ok || path.IsAbs(c.Path) {
		of := "the module's directory"
		if ev.call != nil {
			of = "the root module's directory"
		}
		ev.errorf(diag.BadPath, at, fmt.Sprintf("The context %q leaves the module", n.Name), "%q is not below %s. A caller may give a context any directory with --context %s=DIR.", c.Path, of, inst.Path())
		return c
	}
	if ev.fsys != nil && n.NameRange.Filename != "" {
		if info, err := fs.Stat(ev.fsys, full); err != nil || !info.IsDir() {
			ev.errorf(diag.MissingContext, at, fmt.Sprintf("The directory of the context %q is not there", n.Name), "No directory is at %q.%s", c.Path, nearestDir(ev.fsys, full))
			return c
		}
	}
	c.Path = full
	file := ".dockerignore"
	if f, ok := ev.attrStr(n.IgnoreFile, sc); ok {
		file = f
	}
	if file != "" {
		file = path.Join(full, file)
	}
	ev.patterns(c, n, sc, file)
	if n.IgnoreFile == nil {
		ev.placeWithin(c)
	}
	return ev.oneDirectory(inst, c)
}

// nearestDir suggests a directory in place of one that is missing, or in place of
// the one above it that is.
func nearestDir(fsys fs.FS, full string) string {
	for path.Dir(full) != "." {
		if _, err := fs.Stat(fsys, path.Dir(full)); err == nil {
			break
		}
		full = path.Dir(full)
	}
	entries, err := fs.ReadDir(fsys, path.Dir(full))
	if err != nil {
		return ""
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, e.Name())
		}
	}
	return diag.DidYouMean(path.Base(full), dirs)
}

// patterns collects what a context leaves out: everything but the includes, then
// the ignore file (a path from the root; "" is none), then the excludes; the last
// match wins.
func (ev *Evaluator) patterns(c *ir.Context, n *lang.Context, sc *scope, file string) {
	var raw []string
	include, hasInclude := ev.attrStrings(n.Include, sc)
	if hasInclude {
		ev.checkIncludes(c, ev.item(n.Include, sc))
		raw = append(raw, "**")
		for _, p := range include {
			if strings.HasPrefix(p, "!") {
				ev.errorf(diag.BadIgnoreFile, n.Include.Expr.Range(), fmt.Sprintf("%q is no include pattern", p), "An include has no !; put what is left out into exclude.")
				continue
			}
			raw = append(raw, "!"+p)
		}
	}
	fromFile := ev.ignoreFile(n, file)
	exclude, _ := ev.attrStrings(n.Exclude, sc)
	own, err := ignoreLines(raw)
	more, err2 := ignoreLines(exclude)
	if err != nil || err2 != nil {
		return
	}
	c.Patterns = append(append(own, fromFile...), more...)
	if len(own) == 0 && len(more) == 0 && len(fromFile) > 0 {
		if rel, below := strings.CutPrefix(file, strings.TrimPrefix(c.Path+"/", "./")); below {
			c.IgnoreFile = rel
		}
	}
	for _, p := range append(own, more...) {
		if _, err := patternmatcher.New([]string{strings.TrimPrefix(p, "!")}); err != nil {
			ev.errorf(diag.BadIgnoreFile, n.NameRange, fmt.Sprintf("%q is no pattern", p), "%v.", err)
		}
	}
}

// ignoreLines are patterns as an ignore file of them would have them.
func ignoreLines(patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	return ignorefile.ReadAll(strings.NewReader(strings.Join(patterns, "\n")))
}

// checkIncludes warns of includes that nothing is like.
func (ev *Evaluator) checkIncludes(c *ir.Context, it *item) {
	if ev.fsys == nil || !ev.opt.Check {
		return
	}
	items, _ := ev.list(it, "a list of strings")
	for _, el := range items {
		if p, ok := ev.str(el); ok && p != "" && !strings.HasPrefix(p, "!") {
			ev.checkPath(c, p, el.rng)
		}
	}
}

func (ev *Evaluator) ignoreFile(n *lang.Context, name string) []string {
	if name == "" {
		return nil
	}
	f := ev.readIgnores(name)
	switch {
	case f.missing && n.IgnoreFile != nil:
		ev.errorf(diag.MissingFile, n.IgnoreFile.Expr.Range(), "The ignore file is not there", "No file is at %q.", name)
	case f.err != nil:
		ev.errorf(diag.BadIgnoreFile, n.NameRange, fmt.Sprintf("%s cannot be read", name), "%v.", f.err)
	}
	return f.patterns
}

// ignores is what an ignore file says.
type ignores struct {
	patterns []string
	missing  bool
	err      error
}

// readIgnores reads an ignore file, once for all contexts.
func (ev *tree) readIgnores(name string) *ignores {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	f := ev.ignores[name]
	if f == nil {
		f = &ignores{}
		ev.ignores[name] = f
		data, err := readFile(ev.fsys, name)
		if f.missing = err != nil; err == nil {
			f.patterns, f.err = ignorefile.ReadAll(bytes.NewReader(data))
		}
	}
	return f
}

// oneDirectory returns the context that another module has made of the same block
// over the same files, so that many modules over one directory send it once.
func (ev *Evaluator) oneDirectory(inst *Instance, c *ir.Context) *ir.Context {
	if ev.call == nil && ev.apart == "" && !ev.mod.Calls() {
		return c
	}
	key := fmt.Sprintf("%s %q %q %t", inst.Name(), c.Path, c.Patterns, c.Within != nil)
	ev.mu.Lock()
	shared := ev.directories[key]
	if shared == nil {
		shared = c
		ev.directories[key] = c
	}
	ev.mu.Unlock()
	inst.memo = shared
	mine := *c
	ev.inOrder(func() {
		if !ev.claimed[shared] { // the first to say how it is called, and where it is declared
			ev.claimed[shared] = true
			*shared = mine
			shared.Name = ev.freeContext(mine.Name)
		}
	})
	return shared
}

// contextName is the name that a context has in a Dockerfile, unless that is taken:
// context.default of a called module has the module's.
func (ev *Evaluator) contextName(inst *Instance) string {
	name := ev.dockerPrefix() + dockerName(inst.Node.Base().Name)
	if ev.dockerPrefix() != "" && inst.Node.Base().Name == defaultContext {
		name = strings.TrimSuffix(ev.dockerPrefix(), "-")
	}
	if inst.Keyed {
		return name + "-" + dockerName(inst.Key)
	}
	return name
}

// freeContext makes a name of a context of a called module unlike any other's. Those
// of the root have their own names, whenever they are evaluated; which keys a repeated
// one has is not known before, so all are its that begin like it.
func (ev *Evaluator) freeContext(name string) string {
	if ev.call == nil && ev.apart == "" {
		return name
	}
	repeated := func() bool {
		return slices.ContainsFunc(ev.contextsEach, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
	}
	if repeated() {
		name = "module-" + name
	}
	for repeated() {
		name = "m" + name
	}
	for n, try := 2, name; ; n++ {
		if !ev.contextIDs[try] {
			ev.contextIDs[try] = true
			return try
		}
		try = fmt.Sprintf("%s-%d", name, n)
	}
}

// A called module's directory is a part of the root's, and so the steps of a whole
// workspace read one context, which is sent once: "main.go" of services/api is
// services/api/main.go there. A module that says for itself what is left out of a
// context has that for its own, and so has a directory that the root's context
// leaves out.

// placeWithin makes a context of a called module a part of the root's main context,
// if it is one.
func (ev *Evaluator) placeWithin(c *ir.Context) {
	if ev == ev.rootModule || len(c.Patterns) > 0 || strings.ContainsAny(c.Path, `*?[\`) {
		return
	}
	main := ev.rootModule.sentContext()
	if main == nil {
		return
	}
	if _, below := dirWithin(main, c); below && !ev.leavesOut(main, c.Path) {
		c.Within = main
	}
}

// sentContext is the main context of a module, if it is a directory of the module's
// own that is declared once; nil, without a report, if not.
func (ev *Evaluator) sentContext() *ir.Context {
	n := ev.mod.Lookup(lang.KindContext, defaultContext)
	if n.Base().ForEach != nil {
		return nil
	}
	all := ev.instances(n).list
	if len(all) == 0 {
		return nil
	}
	if _, given := ev.opt.Contexts[all[0].Path()]; given {
		return nil
	}
	return ev.localContext(all[0])
}

// leavesOut reports whether the patterns of a context leave out a directory, which is
// named from the root of the compiled file system.
func (ev *tree) leavesOut(main *ir.Context, dir string) bool {
	if len(main.Patterns) == 0 {
		return false
	}
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if ev.ignored == nil {
		m, err := patternmatcher.New(main.Patterns)
		if err != nil {
			return true // reported
		}
		ev.ignored = m
	}
	rel, _ := dirWithin(main, &ir.Context{Path: dir})
	out, err := ev.ignored.MatchesOrParentMatches(rel)
	return out || err != nil
}

// dirWithin is where in a context another one's directory is; false when that is not
// below it.
func dirWithin(main, c *ir.Context) (string, bool) {
	if main.Path == "." {
		return c.Path, c.Path != "."
	}
	return strings.CutPrefix(c.Path, main.Path+"/")
}

// placed is what a step reads in place of a source that is a part of another, and
// where it does: "" for the whole of it.
func placed(src ir.Source) (ir.Source, string) {
	from, ok := src.(ir.ContextSource)
	if !ok || from.Context.Within == nil {
		return src, ""
	}
	dir, _ := dirWithin(from.Context.Within, from.Context)
	from.Context = from.Context.Within
	return from, dir
}

// pivot is what COPY --parents does not keep of a path: all before it.
const pivot = "/./"

// placePath is a path of a directory as one of the context that the directory lies
// in. With parents the directory is none of what is kept.
func placePath(dir string, w ir.Word, parents bool) ir.Word {
	if dir == "" {
		return w
	}
	text := w.Text()
	if _, constant := w.Const(); constant {
		text = cleanPath(text)
	}
	text = strings.TrimLeft(strings.TrimPrefix(text, "./"), "/")
	join := "/"
	if parents && !strings.Contains(text, pivot) {
		join = pivot
	}
	full := strings.ReplaceAll(dir, "$", `\$`)
	if text != "" && text != "." {
		full += join + text
	}
	out, err := ir.Quote(full)
	if err != nil {
		return w // which was a word: the directory adds nothing that expands
	}
	return out
}

// cleanPath takes out of a path what leads upwards: nothing leads out of a context.
// A pivot and a slash at the end stay.
func cleanPath(p string) string {
	if kept, rest, ok := strings.Cut(p, pivot); ok {
		return strings.TrimPrefix(cleanPath(kept)+pivot+cleanPath(rest), "/")
	}
	slash := ""
	if strings.HasSuffix(p, "/") {
		slash = "/"
	}
	return strings.TrimPrefix(strings.TrimSuffix(path.Clean("/"+p), "/")+slash, "/")
}
