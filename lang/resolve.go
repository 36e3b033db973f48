package lang

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang/diag"
)

// Builtins says what names a resolver may take for granted.
type Builtins struct {
	Functions map[string]bool // all functions that are no block of the module
	// PerPlatform are functions whose value may depend on the target platform
	// although no argument says so.
	PerPlatform map[string]bool
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
	uses   uses
	direct bool // the walk met platform.target
	at     hcl.Range

	decisions []decision
}

// scope is what else than declarations an expression may name.
type scope struct {
	each   bool
	matrix []string        // the names of the axes of the target or test; nil for none
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
	r.node, r.direct, r.uses = n, false, uses{}
	r.scope = scope{each: d.ForEach != nil}
	if matrix := MatrixOf(n); matrix != nil {
		r.scope.matrix = axisNames(matrix.Matrix)
	}
	switch n := n.(type) {
	case *Local:
		r.expr(n.Value.Expr)
	case *Function:
		r.function(n)
	case *Target:
		r.target(n)
	case *ModuleCall:
		r.moduleCall(n)
	default:
		r.attrs(n)
	}
	switch n.(type) {
	case *Stage, *Test:
		for _, st := range *stepsOf(n) {
			r.step(st, r.scope)
		}
	}
	d.Uses, d.TargetPlatform = r.uses.list, r.direct
}

// attrs resolves a block's attributes and its nested conditions.
func (r *resolver) attrs(n Node) {
	d := n.Base()
	var axes *Attr
	if m := MatrixOf(n); m != nil {
		axes = m.Matrix
	}
	EachAttr(n, func(f *Field, a *Attr) {
		switch {
		case a == d.ForEach || a == axes:
			r.decide(a, scope{})
		case a == d.Enabled && d.ForEach == nil:
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
	case *Test:
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
		r.uses.self = self
	}
	for _, a := range attrs {
		if a != nil {
			r.expr(a.Expr)
		}
	}
}

// evaluatedOnce are the kinds of blocks that have one value for all platforms: the
// caller gives it, or is asked for it, once.
var evaluatedOnce = map[Kind]bool{KindVariable: true, KindContext: true, KindSecret: true, KindSSH: true, KindGroup: true, KindOutput: true}

// perPlatform are the attributes of a target that each platform has a value of its
// own for; defaults may hold such.
var perPlatform = map[string]bool{"image": true, "files": true, "defaults": true}

func (r *resolver) target(t *Target) {
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

// moduleCall resolves a module block. Which modules there are must be known before
// any is read, so what says it sees plain values only.
func (r *resolver) moduleCall(c *ModuleCall) {
	for _, a := range []*Attr{c.ForEach, c.Enabled, c.Source} {
		if a == nil {
			continue
		}
		sc := r.scope
		if a == c.ForEach {
			sc = scope{}
		}
		for _, u := range r.decide(a, sc) {
			switch d := u.Decl.Base(); d.Kind {
			case KindVariable, KindLocal, KindFunction:
			default:
				c.Bad = true
				r.errorAt(u.Range, diag.Error(diag.NotInModuleCall, u.Range, fmt.Sprintf("%s of a module cannot use %s", a.Name, d.Addr()),
					"Which modules there are is known before any of them is read: from each, var, local, path and functions.", diag.WithRelated(d.NameRange, "%s is declared here", d.Addr())))
			}
		}
	}
	for _, a := range c.Inputs {
		r.decide(a, r.scope)
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

// decide resolves an attribute that may not depend on the target platform, and
// returns what it uses.
func (r *resolver) decide(a *Attr, sc scope) []Use {
	old, before, direct := r.scope, r.uses, r.direct
	r.scope, r.uses, r.direct = sc, uses{}, false
	r.expr(a.Expr)
	dec := decision{attr: a, uses: r.uses.list, direct: r.direct, at: r.at}
	r.scope, r.uses, r.direct = old, before, direct
	if len(dec.uses) == 0 && !dec.direct {
		return nil // as most
	}
	r.decisions = append(r.decisions, dec)
	for _, u := range dec.uses {
		r.uses.add(u)
	}
	return dec.uses
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
	if !ok || kind == "" || kind == KindVariable || kind == KindLocal || kind == KindModule || r.m.Lookup(kind, step.Name) == nil {
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

func (r *resolver) use(n Node, at hcl.Range) { r.uses.add(Use{Decl: n, Range: at}) }

// uses are the declarations that expressions name, each once.
type uses struct {
	list []Use
	self Node          // which does not count
	seen map[Node]bool // of a list that is too long to be searched
}

// fewUses is the length of a list that is quicker to search than a map is to make.
const fewUses = 16

func (u *uses) add(use Use) {
	if use.Decl == u.self || u.has(use.Decl) {
		return
	}
	u.list = append(u.list, use)
	if u.seen != nil {
		u.seen[use.Decl] = true
	}
}

func (u *uses) has(n Node) bool {
	if len(u.list) <= fewUses {
		return slices.ContainsFunc(u.list, func(have Use) bool { return have.Decl == n })
	}
	if u.seen == nil {
		u.seen = make(map[Node]bool, 2*len(u.list))
		for _, have := range u.list {
			u.seen[have.Decl] = true
		}
	}
	return u.seen[n]
}

func (r *resolver) call(c *hclsyntax.FunctionCallExpr) {
	if f := r.m.Lookup(KindFunction, c.Name); f != nil {
		r.use(f, c.NameRange)
		return
	}
	if r.b.PerPlatform[c.Name] && !r.direct {
		r.direct, r.at = true, c.NameRange
	}
	if r.b.Functions[c.Name] {
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
