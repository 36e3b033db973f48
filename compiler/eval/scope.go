package eval

import (
	"errors"
	"fmt"
	"maps"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// scope is where an expression stands: for which platform, in which instance,
// under which iterators.
type scope struct {
	platform *ocispecs.Platform // the target's; nil for the default
	each     cty.Value
	key      cty.Value
	matrix   cty.Value
	names    map[string]cty.Value
	keyed    bool
}

func (i *Instance) scope(p *ocispecs.Platform) *scope {
	return &scope{platform: p, each: i.each, key: i.key, matrix: i.matrix, keyed: i.key != cty.NilVal}
}

func (s *scope) withEach(key, value cty.Value) *scope {
	c := *s
	c.key, c.each, c.keyed = key, value, true
	return &c
}

func (s *scope) withName(name string, v cty.Value) *scope {
	c := *s
	c.names = map[string]cty.Value{name: v}
	for k, o := range s.names {
		if k != name {
			c.names[k] = o
		}
	}
	return &c
}

// value evaluates an expression. Errors are reported and give an unknown value,
// which everything downstream passes over in silence.
func (ev *Evaluator) value(e hclsyntax.Expression, sc *scope) cty.Value {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return e.Val
	case *hclsyntax.TemplateExpr:
		if len(e.Parts) == 1 {
			if lit, ok := e.Parts[0].(*hclsyntax.LiteralValueExpr); ok {
				return lit.Val
			}
		}
	case *hclsyntax.ScopeTraversalExpr:
		if v, ok := ev.plainRef(e.Traversal, sc); ok {
			return v
		}
	}
	if ev.mod.IsBad(e.Range()) {
		return cty.DynamicVal
	}
	ctx := ev.context(e, sc)
	v, diags := e.Value(ctx)
	if len(diags) > 0 {
		ev.explain(diags, e)
		if diags.HasErrors() {
			return cty.DynamicVal
		}
	}
	if w, ok := e.(*hclsyntax.TemplateWrapExpr); ok {
		if plain, _ := v.Unmark(); plain.Type() == Type {
			// HCL gives the value itself for a template that is nothing else.
			ev.buildInString(w.SrcRange, v, diag.WithEval(e, ctx))
			return cty.DynamicVal
		}
	}
	return v
}

// plainRef is the short way for `stage.build` and `scratch`.
func (ev *Evaluator) plainRef(t hcl.Traversal, sc *scope) (cty.Value, bool) {
	if len(t) == 1 && t.RootName() == "scratch" && sc.names == nil {
		return scratchValue, true
	}
	if len(t) != 2 || sc.names != nil {
		return cty.NilVal, false
	}
	step, ok := t[1].(hcl.TraverseAttr)
	kind := refKinds[t.RootName()]
	if !ok || kind == "" {
		return cty.NilVal, false
	}
	n := ev.mod.Lookup(kind, step.Name)
	if n == nil {
		return cty.DynamicVal, true // reported by Resolve
	}
	return ev.ref(n, sc), true
}

var scratchValue = Of(&Value{Kind: KindScratch})

var refKinds = map[string]lang.Kind{
	"var": lang.KindVariable, "local": lang.KindLocal, "stage": lang.KindStage, "artifact": lang.KindArtifact, "context": lang.KindContext,
	"cache": lang.KindCache, "secret": lang.KindSecret, "ssh": lang.KindSSH, "target": lang.KindTarget, "group": lang.KindGroup, "test": lang.KindTest, "module": lang.KindModule,
}

// ref is the value of a reference to a declaration.
func (ev *Evaluator) ref(n lang.Node, sc *scope) cty.Value {
	switch n := n.(type) {
	case *lang.Variable:
		return ev.variable(n)
	case *lang.Local:
		return ev.local(n, sc.platform)
	case *lang.ModuleCall:
		return ev.moduleValue(n, nil)
	}
	return ev.instances(n).value
}

// context gives an expression the values of exactly the names that it uses.
func (ev *Evaluator) context(e hclsyntax.Expression, sc *scope) *hcl.EvalContext {
	named := map[string]map[string]cty.Value{}
	var called []*lang.ModuleCall
	calls := map[*lang.ModuleCall][]hcl.Traversal{}
	vars := map[string]cty.Value{}
	for _, t := range hclsyntax.Variables(e) {
		root := t.RootName()
		if v, ok := sc.names[root]; ok {
			vars[root] = v
			continue
		}
		if kind := refKinds[root]; kind != "" && len(t) > 1 {
			if step, ok := t[1].(hcl.TraverseAttr); ok {
				if named[root] == nil {
					named[root] = map[string]cty.Value{}
				}
				switch n := ev.mod.Lookup(kind, step.Name).(type) {
				case nil:
				case *lang.ModuleCall:
					if calls[n] == nil {
						called = append(called, n)
					}
					calls[n] = append(calls[n], t[2:])
				default:
					named[root][step.Name] = ev.ref(n, sc)
				}
			}
			continue
		}
		if v, ok := ev.object(root, sc); ok {
			vars[root] = v
		}
	}
	for _, n := range called {
		named["module"][n.Name] = ev.moduleValue(n, calls[n])
	}
	for root, m := range named {
		vars[root] = cty.ObjectVal(m)
	}
	ctx := &hcl.EvalContext{Variables: vars}
	if callsFunction(e) {
		ctx.Functions = ev.functions(sc.platform)
	}
	return ctx
}

// callsFunction reports whether there is a call in an expression. Of a thousand modules
// few call one, and each that does has a table of its own.
func callsFunction(e hclsyntax.Expression) (found bool) {
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		_, isCall := n.(*hclsyntax.FunctionCallExpr)
		found = found || isCall
		return nil
	})
	return found
}

// object is the value of a built-in object.
func (ev *Evaluator) object(root string, sc *scope) (cty.Value, bool) {
	switch root {
	case "scratch":
		return scratchValue, true
	case "platform":
		return cty.ObjectVal(map[string]cty.Value{"build": platformObject(ev.opt.BuildPlatform), "target": platformObject(ev.target(sc.platform))}), true
	case "path":
		return cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal("."), "root": cty.StringVal(ev.rootPath())}), true
	case "git":
		return ev.gitObject(), true
	case "each":
		if sc.keyed {
			return cty.ObjectVal(map[string]cty.Value{"key": sc.key, "value": sc.each}), true
		}
	case "matrix":
		if sc.matrix != cty.NilVal {
			return sc.matrix, true
		}
	}
	return cty.DynamicVal, true
}

// target is the platform that a stage is evaluated for when none is asked for.
func (ev *Evaluator) target(p *ocispecs.Platform) ocispecs.Platform {
	if p != nil {
		return *p
	}
	return ev.opt.BuildPlatform
}

func platformObject(p ocispecs.Platform) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"os": cty.StringVal(p.OS), "arch": cty.StringVal(p.Architecture), "variant": cty.StringVal(p.Variant),
		"id": cty.StringVal(platforms.FormatAll(p)),
	})
}

func (ev *Evaluator) gitObject() cty.Value {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if ev.git == cty.NilVal {
		ev.git = noGit
		if ev.opt.Git != nil {
			if g := ev.opt.Git(); g != nil {
				ev.git = g.object()
			}
		}
	}
	return ev.git
}

// functions is the table of built-in functions and the module's own.
func (ev *Evaluator) functions(p *ocispecs.Platform) map[string]function.Function {
	names := ev.funcNames
	if len(names) == 0 {
		return ev.builtins()
	}
	key := platformKey(p)
	if m := ev.funcs[key]; m != nil {
		return m
	}
	m := maps.Clone(ev.builtins())
	ev.funcs[key] = m
	for _, name := range names {
		f := ev.mod.Lookup(lang.KindFunction, name).(*lang.Function)
		if f.Bad || f.Result == nil {
			m[name] = anything
			continue
		}
		m[name] = ev.userFunction(f, p)
	}
	return m
}

// anything stands for a function that was refused.
var anything = function.New(&function.Spec{
	VarParam: &function.Parameter{Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true},
	Type:     function.StaticReturnType(cty.DynamicPseudoType),
	Impl:     func([]cty.Value, cty.Type) (cty.Value, error) { return cty.DynamicVal, nil },
})

// userFunction makes a callable of a function block.
func (ev *Evaluator) userFunction(f *lang.Function, p *ocispecs.Platform) function.Function {
	spec := &function.Spec{}
	param := func(e hcl.Expression) function.Parameter {
		return function.Parameter{Name: hcl.ExprAsKeyword(e), Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true}
	}
	if f.Params != nil {
		list, _ := hcl.ExprList(f.Params.Expr)
		for _, e := range list {
			spec.Params = append(spec.Params, param(e))
		}
	}
	if f.Variadic != nil {
		v := param(f.Variadic.Expr)
		spec.VarParam = &v
	}
	call := func(args []cty.Value) (cty.Value, error) {
		names := map[string]cty.Value{}
		for i, p := range spec.Params {
			names[p.Name] = args[i]
		}
		if spec.VarParam != nil {
			names[spec.VarParam.Name] = cty.TupleVal(args[len(spec.Params):])
		}
		ctx := ev.context(f.Result.Expr, &scope{platform: p, names: names})
		v, diags := f.Result.Expr.Value(ctx)
		for _, d := range diags {
			if d.Severity == hcl.DiagError {
				return cty.DynamicVal, inFunction(f, d)
			}
		}
		return v, nil
	}
	spec.Type = func(args []cty.Value) (cty.Type, error) {
		v, err := call(args)
		return v.Type(), err
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) { return call(args) }
	return function.New(spec)
}

// inFunction is the error of a call whose function went wrong; a mistake in a
// function that it calls in turn stays there.
func inFunction(f *lang.Function, d *hcl.Diagnostic) error {
	e := &placedError{codedError{diag.FunctionError, fmt.Sprintf("%s() fails: %s", f.Name, d.Summary), d.Detail}, f.NameRange}
	if d.Subject != nil {
		e.at = *d.Subject
	}
	if extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		var placed *placedError
		var coded *codedError
		switch err := extra.FunctionCallError(); {
		case errors.As(err, &placed):
			return placed
		case errors.As(err, &coded):
			e.codedError = *coded
		}
	}
	return e
}
