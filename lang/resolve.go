package lang

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang/diag"
)

// Builtins says what names a resolver may take for granted.
type Builtins struct {
	Functions map[string]bool // all functions that are no block of the module
	Later     map[string]bool // functions of the design that this version cannot take
}

// Resolve turns every name in the module's expressions into a pointer to what it
// names, reports those that name nothing, and sorts the declarations so that
// each comes after what it uses. Nothing is evaluated: a misspelt name is found
// whether or not the expression would ever be reached.
func Resolve(m *Module, b Builtins) hcl.Diagnostics {
	r := &resolver{m: m, b: b}
	for _, n := range m.Decls {
		r.decl(n)
	}
	r.sort()
	r.checkDecisions()
	return r.diags
}

// IsBad reports whether an expression holds a name that resolving refused, so
// that evaluating it could only repeat the error.
func (m *Module) IsBad(r hcl.Range) bool {
	for _, bad := range m.bad {
		if bad.Filename == r.Filename && bad.Start.Byte >= r.Start.Byte && bad.End.Byte <= r.End.Byte {
			return true
		}
	}
	return false
}

type resolver struct {
	m     *Module
	b     Builtins
	diags hcl.Diagnostics

	// What the expression being walked stands in:
	node   Node
	scope  scope
	seen   map[Node]bool
	direct bool // the walk met platform.target
	at     hcl.Range
	uses   []Use

	decisions []decision
}

// scope is what else than declarations an expression may name.
type scope struct {
	each   bool
	matrix []string        // the names of the target's axes; nil for none
	names  map[string]bool // parameters and iterators
	fn     bool            // the result of a function: build blocks are out of sight
}

// decision is an attribute that may not depend on the target platform.
type decision struct {
	attr   *Attr
	uses   []Use
	direct bool
	at     hcl.Range // of platform.target, when it is named directly
}

func (r *resolver) errorAt(at hcl.Range, d *hcl.Diagnostic) {
	r.m.bad = append(r.m.bad, at)
	r.diags = append(r.diags, d)
}

// unknown reports a name that nothing of a kind has, unless the declaration may be
// among what could not be read.
func (r *resolver) unknown(kind Kind, at hcl.Range, d *hcl.Diagnostic) {
	r.m.bad = append(r.m.bad, at)
	if !r.m.lost[kind] {
		r.diags = append(r.diags, d)
	}
}

// decl resolves all expressions of one declaration.
func (r *resolver) decl(n Node) {
	d := n.Base()
	r.node, r.seen, r.direct, r.uses = n, map[Node]bool{}, false, nil
	r.scope = scope{each: d.ForEach != nil}
	switch n := n.(type) {
	case *Local:
		r.expr(n.Value.Expr)
	case *Function:
		r.function(n)
	case *Target:
		r.target(n)
	default:
		r.attrs(n)
	}
	if s, ok := n.(*Stage); ok {
		for _, st := range s.Steps {
			r.step(st, r.scope)
		}
	}
	d.Uses, d.TargetPlatform = r.uses, r.direct
}

// attrs resolves a block's attributes and its nested conditions.
func (r *resolver) attrs(n Node) {
	d := n.Base()
	EachAttr(n, func(f *Field, a *Attr) {
		switch {
		case a == d.ForEach || a == d.Enabled && d.ForEach == nil:
			r.decide(a, scope{each: false, matrix: r.scope.matrix})
		case a == d.Enabled:
			r.decide(a, r.scope)
		case d.Kind == KindVariable && a.Name == "type":
		case evaluatedOnce[d.Kind]:
			r.decide(a, r.scope)
		default:
			r.expr(a.Expr)
		}
	})
	switch n := n.(type) {
	case *Variable:
		for _, v := range n.Validations {
			r.condition(v.Condition, v.ErrorMessage)
		}
	case *Stage:
		for _, p := range n.Preconditions {
			r.condition(p.Condition, p.ErrorMessage)
		}
	case *Target:
		for _, p := range n.Preconditions {
			r.condition(p.Condition, p.ErrorMessage)
		}
	}
}

// condition resolves a condition and its message. A variable may name itself in
// its own validation.
func (r *resolver) condition(attrs ...*Attr) {
	self := r.node
	_, isVar := self.(*Variable)
	if isVar {
		r.seen[self] = true
	}
	for _, a := range attrs {
		if a != nil {
			r.expr(a.Expr)
		}
	}
}

// evaluatedOnce are the kinds of blocks that have one value for all platforms: the
// caller gives it, or is asked for it, once.
var evaluatedOnce = map[Kind]bool{KindVariable: true, KindContext: true, KindSecret: true, KindSSH: true, KindGroup: true}

// perPlatform are the attributes of a target that each platform has a value of its
// own for; defaults may hold such.
var perPlatform = map[string]bool{"image": true, "files": true, "defaults": true}

func (r *resolver) target(t *Target) {
	if t.Matrix != nil {
		r.scope.matrix = axisNames(t.Matrix)
	}
	full := r.scope
	EachAttr(t, func(f *Field, a *Attr) {
		switch {
		case a == t.ForEach || a == t.Matrix:
			r.decide(a, scope{})
		case perPlatform[a.Name]:
			r.expr(a.Expr)
		default:
			r.decide(a, full)
		}
	})
	for _, p := range t.Preconditions {
		r.condition(p.Condition, p.ErrorMessage)
	}
}

// axisNames returns the keys of a literal matrix; a computed one takes any.
func axisNames(a *Attr) []string {
	obj, ok := a.Expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		return []string{"*"}
	}
	out := []string{}
	for _, it := range obj.Items {
		k, ok := ConstString(it.KeyExpr)
		if !ok {
			return []string{"*"}
		}
		out = append(out, k)
	}
	return out
}

// ConstString returns the value of an expression that is a string constant or a
// bare object key.
func ConstString(e hcl.Expression) (string, bool) {
	if k, ok := e.(*hclsyntax.ObjectConsKeyExpr); ok {
		if kw := hcl.ExprAsKeyword(k.Wrapped); kw != "" && !k.ForceNonLiteral {
			return kw, true
		}
		e = k.Wrapped
	}
	switch e := e.(type) {
	case *hclsyntax.TemplateExpr:
		if len(e.Parts) == 0 {
			return "", true
		}
		if len(e.Parts) == 1 {
			return ConstString(e.Parts[0])
		}
	case *hclsyntax.LiteralValueExpr:
		if e.Val.Type() == cty.String && !e.Val.IsNull() {
			return e.Val.AsString(), true
		}
	}
	return "", false
}

// decide resolves an attribute that may not depend on the target platform.
func (r *resolver) decide(a *Attr, sc scope) {
	old, seen, uses, direct := r.scope, r.seen, r.uses, r.direct
	r.scope, r.seen, r.uses, r.direct = sc, map[Node]bool{}, nil, false
	r.expr(a.Expr)
	dec := decision{attr: a, uses: r.uses, direct: r.direct, at: r.at}
	r.decisions = append(r.decisions, dec)
	r.scope, r.seen, r.uses, r.direct = old, seen, uses, direct
	for _, u := range dec.uses {
		if !r.seen[u.Decl] {
			r.seen[u.Decl] = true
			r.uses = append(r.uses, u)
		}
	}
}

func (r *resolver) function(f *Function) {
	names, first := map[string]bool{}, map[string]hcl.Range{}
	add := func(e hcl.Expression) {
		kw := hcl.ExprAsKeyword(e)
		switch {
		case kw == "":
			r.diags = append(r.diags, diag.Error(diag.BadName, e.Range(), "A parameter is a bare name", "Write params = [name, version], without quotes."))
			f.Bad = true
		case names[kw]:
			r.diags = append(r.diags, diag.Error(diag.Duplicate, e.Range(), fmt.Sprintf("The parameter %q is declared twice", kw), "Give one of them another name.", diag.WithRelated(first[kw], "first declared here")))
			f.Bad = true
		default:
			first[kw] = e.Range()
		}
		names[kw] = true
	}
	if f.Params != nil {
		list, diags := hcl.ExprList(f.Params.Expr)
		if diags.HasErrors() {
			r.diags = append(r.diags, diag.Error(diag.WrongType, f.Params.Expr.Range(), "params is a list of names", "Write params = [name, version]."))
			f.Bad = true
		}
		for _, e := range list {
			add(e)
		}
	}
	if f.Variadic != nil {
		add(f.Variadic.Expr)
	}
	if r.b.Functions[f.Name] {
		r.diags = append(r.diags, diag.Error(diag.ReservedName, f.NameRange, fmt.Sprintf("%s() is built in", f.Name), "Give the function another name."))
	}
	if f.Result != nil {
		r.scope = scope{names: names, fn: true}
		r.expr(f.Result.Expr)
	}
}

func (r *resolver) step(s Step, outer scope) {
	h := s.Head()
	sc := outer
	if h.ForEach != nil {
		r.scope = outer
		r.expr(h.ForEach.Expr)
	}
	if d, ok := s.(*Dynamic); ok {
		sc.names = map[string]bool{d.Iterator: true}
		for k := range outer.names {
			sc.names[k] = true
		}
		r.step(d.Content, sc)
		r.scope = outer
		return
	}
	sc.each = sc.each || h.ForEach != nil
	r.scope = sc
	EachAttr(s, func(f *Field, a *Attr) {
		if a != h.ForEach {
			r.expr(a.Expr)
		}
	})
	r.scope = outer
}

// expr walks one expression.
func (r *resolver) expr(e hclsyntax.Expression) {
	switch e := e.(type) { // the common small ones, without a walk
	case *hclsyntax.LiteralValueExpr:
		return
	case *hclsyntax.ScopeTraversalExpr:
		r.traversal(e.Traversal, false)
		return
	case *hclsyntax.TemplateExpr:
		if e.IsStringLiteral() {
			return
		}
	case *hclsyntax.TupleConsExpr:
		for _, el := range e.Exprs {
			r.expr(el)
		}
		return
	case *hclsyntax.ObjectConsExpr:
		for _, it := range e.Items {
			if _, constant := ConstString(it.KeyExpr); !constant {
				r.expr(it.KeyExpr)
			}
			r.expr(it.ValueExpr)
		}
		return
	}
	_ = hclsyntax.Walk(e, &walker{r: r})
}

// walker finds traversals and calls, minding the names that `for` brings.
type walker struct {
	r        *resolver
	scopes   []map[string]struct{}
	template int
}

// Enter implements hclsyntax.Walker.
func (w *walker) Enter(n hclsyntax.Node) hcl.Diagnostics {
	switch n := n.(type) {
	case hclsyntax.ChildScope:
		w.scopes = append(w.scopes, n.LocalNames)
	case *hclsyntax.TemplateWrapExpr:
		w.template++
		w.r.wrapped(n)
	case *hclsyntax.TemplateExpr:
		w.template++
	case *hclsyntax.ScopeTraversalExpr:
		root := n.Traversal.RootName()
		for _, s := range w.scopes {
			if _, ok := s[root]; ok {
				return nil
			}
		}
		w.r.traversal(n.Traversal, w.template > 0)
	case *hclsyntax.FunctionCallExpr:
		w.r.call(n)
	}
	return nil
}

// wrapped refuses "${stage.build}": HCL gives the value itself for a template that
// is nothing else, and a build value is no string in any spelling.
func (r *resolver) wrapped(n *hclsyntax.TemplateWrapExpr) {
	ref, ok := n.Wrapped.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(ref.Traversal) < 2 {
		return
	}
	kind := roots[ref.Traversal.RootName()]
	step, ok := ref.Traversal[1].(hcl.TraverseAttr)
	if !ok || kind == "" || kind == KindVariable || kind == KindLocal || r.m.Lookup(kind, step.Name) == nil {
		return
	}
	text := string(ref.Range().SliceBytes(r.m.Files[n.SrcRange.Filename]))
	decl := r.m.Lookup(kind, step.Name).Base()
	r.errorAt(n.SrcRange, diag.Error(diag.BuildInString, n.SrcRange, fmt.Sprintf("A %s cannot become text", kind),
		fmt.Sprintf("In quotes, %s would be a string, and a %s is a value to build with. Write it without quotes and ${ }.", text, kind),
		diag.WithRelated(decl.NameRange, "%s is declared here", decl.Addr()), diag.WithFix(n.SrcRange, text, "write %s", text)))
}

// Exit implements hclsyntax.Walker.
func (w *walker) Exit(n hclsyntax.Node) hcl.Diagnostics {
	switch n.(type) {
	case hclsyntax.ChildScope:
		w.scopes = w.scopes[:len(w.scopes)-1]
	case *hclsyntax.TemplateExpr, *hclsyntax.TemplateWrapExpr:
		w.template--
	}
	return nil
}

func (r *resolver) use(n Node, at hcl.Range) {
	if !r.seen[n] {
		r.seen[n] = true
		r.uses = append(r.uses, Use{Decl: n, Range: at})
	}
}

func (r *resolver) call(c *hclsyntax.FunctionCallExpr) {
	if f := r.m.Lookup(KindFunction, c.Name); f != nil {
		r.use(f, c.NameRange)
		return
	}
	if r.b.Functions[c.Name] {
		return
	}
	if r.b.Later[c.Name] {
		r.errorAt(c.NameRange, diag.Error(diag.NotYet, c.NameRange, fmt.Sprintf("%s() is not supported yet", c.Name),
			"The function is part of the language but this version cannot take it."))
		return
	}
	names := r.m.Names(KindFunction)
	for n := range r.b.Functions {
		names = append(names, n)
	}
	var opts []diag.Option
	detail := fmt.Sprintf("No function is called %q.", c.Name)
	if near := diag.Nearest(c.Name, names); near != "" {
		detail += fmt.Sprintf(" Did you mean %q?", near)
		opts = append(opts, diag.WithFix(c.NameRange, near, "write %s", near))
		if f := r.m.Lookup(KindFunction, near); f != nil {
			opts = append(opts, diag.WithRelated(f.Base().NameRange, "%s() is declared here", near))
		}
	} else {
		detail += " `hbuild list --functions` and spec/reference.md name all functions."
	}
	r.unknown(KindFunction, c.NameRange, diag.Error(diag.UnknownFunction, c.NameRange, fmt.Sprintf("Unknown function %q", c.Name), detail, opts...))
}

// roots maps the first name of a reference to the kind that it names.
var roots = map[string]Kind{
	"var": KindVariable, "local": KindLocal, "stage": KindStage, "artifact": KindArtifact, "context": KindContext,
	"cache": KindCache, "secret": KindSecret, "ssh": KindSSH, "target": KindTarget, "group": KindGroup,
}

// objects are the built-in objects and their attributes.
var objects = map[string][]string{
	"platform": {"build", "target"},
	"path":     {"module", "root"},
	"git":      {"branch", "commit", "dirty", "short", "tag", "time"},
	"each":     {"key", "value"},
}

var platformAttrs = []string{"arch", "id", "os", "variant"}

var unknownCodes = map[Kind]diag.Code{
	KindVariable: diag.UnknownVariable, KindLocal: diag.UnknownLocal, KindStage: diag.UnknownStage, KindArtifact: diag.UnknownArtifact,
	KindContext: diag.UnknownContext, KindCache: diag.UnknownCache, KindSecret: diag.UnknownSecret, KindSSH: diag.UnknownSSH,
	KindTarget: diag.UnknownTarget, KindGroup: diag.UnknownGroup,
}

// traversal resolves one reference.
func (r *resolver) traversal(t hcl.Traversal, inTemplate bool) {
	root := t.RootName()
	switch {
	case r.scope.names[root], root == "scratch":
		return
	case root == "matrix":
		r.matrixRef(t)
	case objects[root] != nil:
		r.objectRef(t, root)
	case roots[root] != "":
		r.declRef(t, root, roots[root])
	default:
		r.unknownRoot(t, root, inTemplate)
	}
}

func (r *resolver) matrixRef(t hcl.Traversal) {
	at := t.SourceRange()
	if r.scope.matrix == nil {
		r.errorAt(at, diag.Error(diag.ScopeReference, at, "No matrix here", "matrix.NAME has a value in a target that has a matrix attribute, and nowhere else."))
		return
	}
	name, ok := attrName(t, 1)
	if !ok {
		return
	}
	for _, axis := range r.scope.matrix {
		if axis == name || axis == "*" {
			return
		}
	}
	r.errorAt(at, diag.Error(diag.ScopeReference, at, fmt.Sprintf("The matrix has no axis %q", name),
		"Its axes are "+diag.List(r.scope.matrix, 20)+"."+diag.DidYouMean(name, r.scope.matrix)))
}

func attrName(t hcl.Traversal, i int) (string, bool) {
	if i >= len(t) {
		return "", false
	}
	switch s := t[i].(type) {
	case hcl.TraverseAttr:
		return s.Name, true
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String {
			return s.Key.AsString(), true
		}
	}
	return "", false
}

func (r *resolver) objectRef(t hcl.Traversal, root string) {
	at := t.SourceRange()
	if root == "each" && !r.scope.each {
		r.errorAt(at, diag.Error(diag.ScopeReference, at, "No each here", "each.key and each.value have a value in a block that has for_each, and nowhere else (nor in its own for_each)."))
		return
	}
	name, ok := attrName(t, 1)
	if !ok {
		if root == "platform" {
			r.direct, r.at = true, at
		}
		return
	}
	if !contains(objects[root], name) {
		r.unknownBuiltin(t, 1, root, objects[root])
		return
	}
	if root == "platform" {
		if name == "target" && !r.direct {
			r.direct, r.at = true, at
		}
		if sub, ok := attrName(t, 2); ok && !contains(platformAttrs, sub) {
			r.unknownBuiltin(t, 2, root+"."+name, platformAttrs)
		}
	}
}

func (r *resolver) unknownBuiltin(t hcl.Traversal, i int, of string, attrs []string) {
	at := t[i].SourceRange()
	name, _ := attrName(t, i)
	r.errorAt(at, diag.Error(diag.UnknownBuiltinAttr, at, fmt.Sprintf("%s has no attribute %q", of, name),
		"It has "+diag.List(attrs, 20)+"."+diag.DidYouMean(name, attrs)))
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// declRef resolves kind.NAME and what follows it.
func (r *resolver) declRef(t hcl.Traversal, root string, kind Kind) {
	at := t.SourceRange()
	step, ok := at2(t, 1).(hcl.TraverseAttr)
	if !ok {
		example := root + ".NAME"
		if names := r.m.Names(kind); len(names) > 0 {
			example = root + "." + names[0]
		}
		r.errorAt(at, diag.Error(diag.WholeObject, at, fmt.Sprintf("%q alone is no value", root),
			fmt.Sprintf("Name one: %s. An expression in brackets may choose among the instances of a block with for_each only.", example)))
		return
	}
	if r.scope.fn && kind != KindVariable && kind != KindLocal {
		r.errorAt(at, diag.Error(diag.ScopeReference, at, fmt.Sprintf("A function cannot see %s.%s", root, step.Name),
			"The result of a function sees its parameters, var, local, path, git, platform and other functions; pass the value as an argument."))
		return
	}
	n := r.m.Lookup(kind, step.Name)
	if n == nil {
		r.unknownName(t, kind, step)
		return
	}
	r.use(n, at)
	if kind != KindVariable && kind != KindLocal {
		r.instanceRef(t, n)
	}
}

func at2(t hcl.Traversal, i int) hcl.Traverser {
	if i < len(t) {
		return t[i]
	}
	return nil
}

func (r *resolver) unknownName(t hcl.Traversal, kind Kind, step hcl.TraverseAttr) {
	names := r.m.Names(kind)
	at := t[:2].SourceRange()
	root := t.RootName()
	detail := fmt.Sprintf("No %s is called %q.", kind, step.Name)
	var opts []diag.Option
	if near := diag.Nearest(step.Name, names); near != "" {
		detail += fmt.Sprintf(" Did you mean %s.%s?", root, near)
		opts = append(opts, diag.WithFix(at, root+"."+near, "write %s.%s", root, near), diag.WithRelated(r.m.Lookup(kind, near).Base().NameRange, "%s.%s is declared here", root, near))
	} else if other := r.elsewhere(step.Name, kind); other != nil {
		o := other.Base()
		detail += fmt.Sprintf(" There is %s, which is another kind of value.", o.Addr())
		opts = append(opts, diag.WithRelated(o.NameRange, "%s is declared here", o.Addr()))
	} else if len(names) == 0 {
		detail += fmt.Sprintf(" The module declares none; write %s.", example(kind, step.Name))
	} else {
		detail += " There are: " + diag.List(names, 12) + "."
	}
	r.unknown(kind, at, diag.Error(unknownCodes[kind], at, fmt.Sprintf("Unknown %s %q", kind, step.Name), detail, opts...))
}

// example is how a declaration is written.
func example(kind Kind, name string) string {
	if kind == KindLocal {
		return fmt.Sprintf("locals { %s = … }", name)
	}
	return fmt.Sprintf("%s %q { … }", kind, name)
}

// elsewhere finds a declaration of another kind with the name, in the files.
func (r *resolver) elsewhere(name string, not Kind) Node {
	for _, k := range []Kind{KindStage, KindArtifact, KindContext, KindVariable, KindLocal, KindTarget, KindGroup, KindCache, KindSecret, KindSSH} {
		if n := r.m.Lookup(k, name); n != nil && k != not && n.Base().NameRange.Filename != "" {
			return n
		}
	}
	return nil
}

// Repeated reports whether a declaration has instances with keys.
func Repeated(n Node) bool {
	if t, ok := n.(*Target); ok && t.Matrix != nil {
		return true
	}
	return n.Base().ForEach != nil
}

// instanceRef checks what follows stage.NAME: a key when the block has for_each,
// and nothing else ever.
func (r *resolver) instanceRef(t hcl.Traversal, n Node) {
	d := n.Base()
	at := t.SourceRange()
	rest := t[2:]
	if d.Partial {
		return // whether it has instances is not known
	}
	if !Repeated(n) {
		if len(rest) == 0 {
			return
		}
		if _, ok := rest[0].(hcl.TraverseIndex); ok {
			r.errorAt(at, diag.Error(diag.MissingKey, at, fmt.Sprintf("%s has no instances", d.Addr()), fmt.Sprintf("The block has no for_each; write %s.", d.Addr()), diag.WithRelated(d.NameRange, "declared here")))
			return
		}
		r.attributeOfBuild(t, d, 2)
		return
	}
	if len(rest) == 0 {
		return
	}
	if key, ok := attrName(t, 2); ok {
		if keys, known := staticKeys(n); known && !contains(keys, key) {
			r.errorAt(at, diag.Error(diag.UnknownKey, at, fmt.Sprintf("%s has no instance %q", d.Addr(), key),
				"Its keys are "+diag.List(keys, 20)+"."+diag.DidYouMean(key, keys), diag.WithRelated(d.NameRange, "declared here")))
			return
		}
	}
	if len(rest) > 1 {
		r.attributeOfBuild(t, d, 3)
	}
}

func (r *resolver) attributeOfBuild(t hcl.Traversal, d *Decl, i int) {
	at := t.SourceRange()
	name, _ := attrName(t, i)
	r.errorAt(at, diag.Error(diag.AttributeOfBuild, at, fmt.Sprintf("%s has no attributes to read", d.Addr()),
		fmt.Sprintf("A %s is a value to build with; what its block says cannot be read back. Put the value that %q stands for into a local and use it in both places.", d.Kind, name),
		diag.WithRelated(d.NameRange, "declared here")))
}

// staticKeys returns the keys of a for_each that is written out.
func staticKeys(n Node) ([]string, bool) {
	a := n.Base().ForEach
	if a == nil {
		return nil, false
	}
	e := hcl.Expression(a.Expr)
	if call, ok := e.(*hclsyntax.FunctionCallExpr); ok && call.Name == "toset" && len(call.Args) == 1 {
		e = call.Args[0]
	}
	var keys []string
	switch e := e.(type) {
	case *hclsyntax.ObjectConsExpr:
		for _, it := range e.Items {
			k, ok := ConstString(it.KeyExpr)
			if !ok {
				return nil, false
			}
			keys = append(keys, k)
		}
	case *hclsyntax.TupleConsExpr:
		for _, el := range e.Exprs {
			k, ok := ConstString(el)
			if !ok {
				return nil, false
			}
			keys = append(keys, k)
		}
	default:
		return nil, false
	}
	return keys, true
}

// unknownRoot reports a first name that is no kind of value. In a template it is
// most often a shell variable that lost its second dollar.
func (r *resolver) unknownRoot(t hcl.Traversal, root string, inTemplate bool) {
	at := t.SourceRange()
	if whole := expand(r.m, at); inTemplate && len(t) == 1 && whole != at && r.elsewhere(root, "") == nil {
		r.errorAt(at, diag.Error(diag.ShellVariable, whole, fmt.Sprintf("Unknown name %q", root),
			fmt.Sprintf("${…} is hbuild's own interpolation. For the shell's or the build's variable write $%s or $${%s}; for a variable of this file write ${var.%s} and declare it.", root, root, root),
			diag.WithFix(whole, "$${"+root+"}", "write $${%s}", root)))
		return
	}
	if laterBlocks[root] {
		r.m.bad = append(r.m.bad, at)
		if !r.m.later[root] { // the block itself was reported
			r.diags = append(r.diags, diag.Error(diag.NotYet, at, fmt.Sprintf("%q is not supported yet", root), "It is part of the language but this version cannot take it."))
		}
		return
	}
	var opts []diag.Option
	detail := ""
	names := []string{"platform", "path", "git", "each", "matrix", "scratch"}
	for k := range roots {
		names = append(names, k)
	}
	if n := r.elsewhere(root, ""); n != nil && len(t) == 1 {
		addr := n.Base().Addr()
		detail = fmt.Sprintf("Did you mean %s?", addr)
		opts = append(opts, diag.WithFix(at, addr, "write %s", addr), diag.WithRelated(n.Base().NameRange, "%s is declared here", addr))
	} else if near := diag.Nearest(root, names); near != "" {
		detail = fmt.Sprintf("Did you mean %q?", near)
		opts = append(opts, diag.WithFix(t[0].SourceRange(), near, "write %s", near))
	} else {
		detail = "A reference begins with " + strings.ReplaceAll(diag.List(names, 30), " and ", " or ") + "; text stands in quotes."
		if len(t) == 1 && !inTemplate {
			opts = append(opts, diag.WithFix(at, `"`+root+`"`, "write %q", root))
		}
	}
	r.errorAt(at, diag.Error(diag.UnknownRoot, at, fmt.Sprintf("Unknown name %q", root), detail, opts...))
}

// expand widens the range of a name in a template to its ${ and }, when it is
// written without spaces.
func expand(m *Module, at hcl.Range) hcl.Range {
	src := m.Files[at.Filename]
	s, e := at.Start.Byte-2, at.End.Byte+1
	if s >= 0 && e <= len(src) && string(src[s:s+2]) == "${" && src[e-1] == '}' {
		at.Start.Byte, at.Start.Column = s, at.Start.Column-2
		at.End.Byte, at.End.Column = e, at.End.Column+1
	}
	return at
}

// checkDecisions reports attributes that hold for all platforms and depend on
// one.
func (r *resolver) checkDecisions() {
	for _, dec := range r.decisions {
		culprit, at := "", dec.attr.Expr.Range()
		var opts []diag.Option
		if dec.direct {
			culprit, at = "platform.target", dec.at
		}
		for _, u := range dec.uses {
			switch u.Decl.Base().Kind {
			case KindVariable, KindLocal, KindFunction:
				if u.Decl.Base().TargetPlatform && culprit == "" {
					culprit, at = u.Decl.Base().Addr()+", which depends on platform.target", u.Range
					opts = append(opts, diag.WithRelated(u.Decl.Base().NameRange, "%s is declared here", u.Decl.Base().Addr()))
				}
			}
		}
		if culprit != "" {
			r.diags = append(r.diags, diag.Error(diag.PlatformDecides, at, fmt.Sprintf("%s may not depend on the target platform", dec.attr.Name),
				fmt.Sprintf("It uses %s, but has one value for all platforms.", culprit), opts...))
		}
	}
}
