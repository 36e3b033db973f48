package eval

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

func readFile(fsys fs.FS, name string) ([]byte, error) {
	if fsys == nil {
		return nil, fs.ErrNotExist
	}
	return fs.ReadFile(fsys, name)
}

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
	c := &ir.Context{Name: ev.contextName(inst), Main: n.Name == defaultContext, Path: ".", Range: n.Range}
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
	own, err := ignorefile.ReadAll(strings.NewReader(strings.Join(raw, "\n")))
	more, err2 := ignorefile.ReadAll(strings.NewReader(strings.Join(exclude, "\n")))
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
	if got, ok := ev.ignores[name]; ok {
		return got
	}
	data, err := readFile(ev.fsys, name)
	if err != nil {
		if n.IgnoreFile != nil {
			ev.errorf(diag.MissingFile, n.IgnoreFile.Expr.Range(), "The ignore file is not there", "No file is at %q.", name)
		}
		ev.ignores[name] = nil
		return nil
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(data))
	if err != nil {
		ev.errorf(diag.BadIgnoreFile, n.NameRange, fmt.Sprintf("%s cannot be read", name), "%v.", err)
	}
	ev.ignores[name] = patterns
	return patterns
}

// cache evaluates a cache in the scope of the stage that mounts it.
func (ev *Evaluator) cache(inst *Instance, user *scope) *ir.Cache {
	if inst.owner != ev {
		return inst.owner.cache(inst, user)
	}
	n := inst.Node.(*lang.Cache)
	sc := inst.scope(user.platform)
	if c, ok := inst.memo.(*ir.Cache); ok && !ev.varies(n) {
		return c
	}
	c := &ir.Cache{ID: inst.Name(), Range: n.Range}
	if ev.mod.Dir != "." && ev.mod.Dir != "" {
		c.ID = ev.mod.Dir + "/" + c.ID
	}
	if n.ID != nil {
		if id, ok := ev.checked(ev.item(n.ID, sc), diag.EmptyValue, "id of a cache", notEmpty); ok {
			c.ID = id
		}
	}
	c.Sharing = ir.Sharing(ev.attrEnum(n.Sharing, sc, diag.BadSharing, "sharing mode", sharings))
	if w := ev.chmod(n.Mode, sc); w != "" {
		c.Mode, _ = w.Const()
	}
	c.UID, c.GID = ev.id(n.UID, sc), ev.id(n.GID, sc)
	if n.From != nil {
		it := ev.item(n.From, sc)
		if v := ev.build(it, kStage, KindImage, kContext, KindScratch); v != nil {
			c.From = ev.source(it, v, user.platform)
		}
	}
	c.Path, _ = ev.attrWord(n.Path, sc)
	inst.memo = c
	return c
}

// id reads a user's or a group's number.
func (ev *Evaluator) id(a *lang.Attr, sc *scope) *int {
	if a == nil {
		return nil
	}
	it := ev.item(a, sc)
	n, ok := ev.integer(it)
	if !ok {
		return nil
	}
	if n < 0 || n > 1<<32-2 {
		it.errorf(diag.WrongType, fmt.Sprintf("%s is out of range", a.Name), "An id goes from 0 to 4294967294.")
		return nil
	}
	i := int(n)
	return &i
}

func (ev *Evaluator) secret(inst *Instance) *ir.Secret {
	if inst.owner != ev {
		return inst.owner.secret(inst)
	}
	if s, ok := inst.memo.(*ir.Secret); ok {
		return s
	}
	n := inst.Node.(*lang.Secret)
	sc := inst.scope(nil)
	s := &ir.Secret{ID: inst.Name(), Required: true, Range: n.Range}
	inst.memo = s
	if n.ID != nil {
		if id, ok := ev.checked(ev.item(n.ID, sc), diag.EmptyValue, "id of a secret", notEmpty); ok {
			s.ID = id
		}
	}
	if r, ok := ev.attrBool(n.Required, sc); ok {
		s.Required = r
	}
	s.Env, _ = ev.attrStr(n.Env, sc)
	if f, ok := ev.attrStr(n.File, sc); ok {
		if s.File = f; !path.IsAbs(f) && !strings.HasPrefix(f, "~/") {
			s.File = path.Join(ev.mod.Dir, f)
		}
	}
	if s.Env != "" && s.File != "" {
		ev.add(diag.Error(diag.ConflictingAttrs, n.File.NameRange, "A secret with env and file", "The value is in one of the two.", diag.WithRelated(n.Env.NameRange, "env is set here")))
	}
	return s
}

func (ev *Evaluator) ssh(inst *Instance) *ir.SSH {
	if inst.owner != ev {
		return inst.owner.ssh(inst)
	}
	if s, ok := inst.memo.(*ir.SSH); ok {
		return s
	}
	n := inst.Node.(*lang.SSH)
	sc := inst.scope(nil)
	s := &ir.SSH{ID: inst.Name(), Range: n.Range}
	inst.memo = s
	if n.ID != nil {
		if id, ok := ev.checked(ev.item(n.ID, sc), diag.EmptyValue, "id of an ssh agent", notEmpty); ok {
			s.ID = id
		}
	}
	if r, ok := ev.attrBool(n.Required, sc); ok {
		s.Required = r
	}
	return s
}

// checkOnBuild parses one instruction as BuildKit does when it runs a trigger.
func checkOnBuild(text string) error {
	res, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("%v", err)
	}
	if len(res.AST.Children) != 1 {
		return fmt.Errorf("a trigger is one instruction")
	}
	switch cmd := strings.ToUpper(res.AST.Children[0].Value); cmd {
	case "FROM", "ONBUILD", "MAINTAINER":
		return fmt.Errorf("%s cannot be a trigger", cmd)
	}
	_, err = ir.ParseCommand(res.AST.Children[0])
	return err
}

// triggerFroms are the names in `from` of an instruction that was checked.
func triggerFroms(text string) (out []string) {
	res, err := parser.Parse(strings.NewReader(text))
	if err != nil || len(res.AST.Children) != 1 {
		return nil
	}
	cmd, err := ir.ParseCommand(res.AST.Children[0])
	if err != nil {
		return nil
	}
	switch c := cmd.(type) {
	case *instructions.CopyCommand:
		out = append(out, c.From)
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			out = append(out, m.From)
		}
	}
	return out
}

// defaultContext is the name of the context that copies read when they do not say
// from where.
const defaultContext = "default"

// oneDirectory returns the context that another module has made of the same block
// over the same files, so that many modules over one directory send it once.
func (ev *Evaluator) oneDirectory(inst *Instance, c *ir.Context) *ir.Context {
	if ev.call == nil && ev.apart == "" && !ev.mod.Calls() {
		return c
	}
	key := fmt.Sprintf("%s %q %q", inst.Name(), c.Path, c.Patterns)
	if first := ev.directories[key]; first != nil {
		inst.memo = first
		return first
	}
	c.Name = ev.freeContext(c.Name)
	ev.directories[key] = c
	return c
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
