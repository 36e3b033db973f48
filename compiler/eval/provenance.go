package eval

import (
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
)

// Values do not remember the variables that they are made of: what marks values
// would have to pass through every function and every condition. Instead the
// expressions are read a second time, where a Dockerfile could hold a variable,
// for what is plainly one (pieces); and everything else that a target depends on
// is searched for variables, which cannot be left to the caller of a Dockerfile
// then (usage).

// newProvenance is nil unless the options ask for it.
func newProvenance(opt Options) *ir.Provenance {
	if !opt.Provenance {
		return nil
	}
	return &ir.Provenance{Bases: map[*ir.Stage][]ir.Part{}, Args: map[*ir.Arg]string{}, Env: map[*ir.Env]map[int]string{}}
}

// noteBase notes the variables in the reference of a stage's base image.
func (ev *Evaluator) noteBase(st *ir.Stage, it *item) {
	root, ok := st.Root.(ir.ImageRoot)
	if ev.provenance == nil || !ok || it.expr == nil {
		return
	}
	pieces, _, ok := ev.imagePieces(it.expr)
	if !ok {
		return
	}
	var parts []ir.Part
	ref := ""
	for _, p := range pieces {
		part := ir.Part{}
		if p.variable != nil {
			part.Var = p.variable.Name
			part.Text, _ = ev.settable(p.variable)
		} else {
			sc := it.sc
			if p.local {
				sc = &scope{platform: it.sc.platform}
			}
			part.Text, _ = text(ev.value(p.expr, sc))
		}
		ref += part.Text
		parts = append(parts, part)
	}
	if ref == root.Ref {
		ev.provenance.Bases[st] = parts
	}
}

// noteArg notes an argument whose value is a variable's.
func (ev *Evaluator) noteArg(arg *ir.Arg, it *item) {
	if ev.provenance == nil || arg.Value == nil {
		return
	}
	if v := ev.exactly(it.expr); v != nil {
		ev.provenance.Args[arg] = v.Name
	}
}

// noteEnv notes the last pair of an environment, if its value is a variable's.
func (ev *Evaluator) noteEnv(env *ir.Env, it *item) {
	if ev.provenance == nil {
		return
	}
	if v := ev.exactly(it.expr); v != nil {
		if ev.provenance.Env[env] == nil {
			ev.provenance.Env[env] = map[int]string{}
		}
		ev.provenance.Env[env][len(env.Pairs)-1] = v.Name
	}
}

// piece is a part of a template: a variable, or an expression that gives text.
type piece struct {
	variable *lang.Variable
	expr     hclsyntax.Expression
	local    bool // expr stands in a local
}

// pieces takes a template apart, through locals.
func (ev *Evaluator) pieces(e hclsyntax.Expression, local bool) (out []piece) {
	switch e := e.(type) {
	case *hclsyntax.TemplateExpr:
		for _, p := range e.Parts {
			out = append(out, ev.pieces(p, local)...)
		}
		return out
	case *hclsyntax.TemplateWrapExpr:
		return ev.pieces(e.Wrapped, local)
	case *hclsyntax.ParenthesesExpr:
		return ev.pieces(e.Expression, local)
	case *hclsyntax.ScopeTraversalExpr:
		switch n := ev.named(e.Traversal).(type) {
		case *lang.Variable:
			if _, ok := ev.settable(n); ok {
				return []piece{{variable: n}}
			}
		case *lang.Local:
			if !n.Bad {
				return ev.pieces(n.Value.Expr, true)
			}
		}
	}
	return []piece{{expr: e, local: local}}
}

// imagePieces takes the reference of image("…") apart; rest are its other
// arguments.
func (ev *Evaluator) imagePieces(e hclsyntax.Expression) (out []piece, rest []hclsyntax.Expression, ok bool) {
	return ev.imageCall(e, false)
}

func (ev *Evaluator) imageCall(e hclsyntax.Expression, local bool) (out []piece, rest []hclsyntax.Expression, ok bool) {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return ev.imageCall(e.Expression, local)
	case *hclsyntax.ScopeTraversalExpr:
		if l, ok := ev.named(e.Traversal).(*lang.Local); ok && !l.Bad {
			return ev.imageCall(l.Value.Expr, true)
		}
	case *hclsyntax.FunctionCallExpr:
		if e.Name == "image" && len(e.Args) > 0 && !e.ExpandFinal {
			return ev.pieces(e.Args[0], local), e.Args[1:], true
		}
	}
	return nil, nil, false
}

// exactly is the variable that an expression is, and nothing else.
func (ev *Evaluator) exactly(e hclsyntax.Expression) *lang.Variable {
	if e == nil {
		return nil
	}
	if p := ev.pieces(e, false); len(p) == 1 {
		return p[0].variable
	}
	return nil
}

// named is the declaration that a traversal of two names is about, whole.
func (ev *Evaluator) named(t hcl.Traversal) lang.Node {
	if len(t) != 2 {
		return nil
	}
	step, ok := t[1].(hcl.TraverseAttr)
	kind := refKinds[t.RootName()]
	if !ok || kind == "" {
		return nil
	}
	return ev.mod.Lookup(kind, step.Name)
}

// settable is the value of a variable that a build argument can stand for: of a
// plain type, not sensitive, and without what a Dockerfile would expand.
func (ev *Evaluator) settable(n *lang.Variable) (string, bool) {
	if n.Type == nil || n.Sensitive != nil {
		return "", false
	}
	switch hcl.ExprAsKeyword(n.Type.Expr) {
	case "string", "number", "bool":
	default:
		return "", false
	}
	s, ok := text(ev.variable(n))
	return s, ok && !strings.ContainsAny(s, "$\\\"'`\n\r\x00")
}

// text is a known value of a plain type as a template would write it.
func text(v cty.Value) (string, bool) {
	if v.IsMarked() || !v.IsKnown() || v.IsNull() || !v.Type().IsPrimitiveType() {
		return "", false
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil {
		return "", false
	}
	return s.AsString(), true
}

// notInDockerfile are the attributes of a target that say nothing about what a
// Dockerfile or the flags beside it hold.
var notInDockerfile = map[string]bool{
	"tags": true, "annotations": true, "push": true, "requires": true, "cache_from": true, "cache_to": true,
	"attest": true, "outputs": true, "description": true,
}

// variables are those that a declaration is made from.
func (ev *Evaluator) variables(n lang.Node) (out []ir.Variable) {
	if ev.provenance == nil {
		return nil
	}
	u := &usage{ev: ev, seen: map[lang.Node]bool{}, fixed: map[*lang.Variable]hcl.Range{}, all: map[*lang.Variable]bool{}}
	u.decl(n)
	for v := range u.all {
		if value, ok := ev.settable(v); ok {
			out = append(out, ir.Variable{Name: v.Name, Value: value, Fixed: u.fixed[v]})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// usage collects the variables that declarations depend on.
type usage struct {
	ev    *Evaluator
	seen  map[lang.Node]bool
	all   map[*lang.Variable]bool
	fixed map[*lang.Variable]hcl.Range
}

// keep notes a use that is in the provenance. The variable's default is none.
func (u *usage) keep(v *lang.Variable) {
	if u.all[v] {
		return
	}
	u.all[v] = true
	if v.Default != nil {
		u.expr(v.Default.Expr)
	}
}

// expr notes all that an expression uses.
func (u *usage) expr(e hclsyntax.Expression) {
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			if f := u.ev.mod.Lookup(lang.KindFunction, call.Name); f != nil {
				u.decl(f)
			}
		}
		return nil
	})
	for _, t := range hclsyntax.Variables(e) {
		if len(t) < 2 {
			continue
		}
		n := u.ev.named(t[:2])
		v, ok := n.(*lang.Variable)
		if !ok {
			if n != nil {
				u.decl(n)
			}
			continue
		}
		u.keep(v)
		if at, known := u.fixed[v]; !known || before(t.SourceRange(), at) {
			u.fixed[v] = t.SourceRange()
		}
	}
}

func before(a, b hcl.Range) bool {
	if a.Filename != b.Filename {
		return a.Filename < b.Filename
	}
	return a.Start.Byte < b.Start.Byte
}

func (u *usage) pieces(list []piece) {
	for _, p := range list {
		if p.variable != nil {
			u.keep(p.variable)
		} else {
			u.expr(p.expr)
		}
	}
}

func (u *usage) decl(n lang.Node) {
	if u.seen[n] {
		return
	}
	u.seen[n] = true
	switch n := n.(type) {
	case *lang.Local:
		u.expr(n.Value.Expr)
	case *lang.Stage:
		u.attrs(n)
		u.steps(n.Steps)
	case *lang.Test:
		u.attrs(n)
		u.steps(n.Steps)
	default:
		u.attrs(n)
	}
}

func (u *usage) steps(steps []lang.Step) {
	for _, st := range steps {
		for {
			u.attrs(st)
			d, ok := st.(*lang.Dynamic)
			if !ok {
				break
			}
			st = d.Content
		}
	}
}

// attrs notes what the attributes of a block use.
func (u *usage) attrs(node any) {
	_, stage := node.(*lang.Stage)
	_, test := node.(*lang.Test)
	stage = stage || test
	_, set := node.(*lang.Set)
	_, target := node.(*lang.Target)
	lang.EachAttr(node, func(_ *lang.Field, a *lang.Attr) {
		switch {
		case target && notInDockerfile[a.Name], a.Name == "description":
			return
		case stage && a.Name == "from":
			if pieces, rest, ok := u.ev.imagePieces(a.Expr); ok {
				u.pieces(pieces)
				for _, e := range rest {
					u.expr(e)
				}
				return
			}
		case (stage || set) && (a.Name == "args" || a.Name == "env"):
			if obj, ok := a.Expr.(*hclsyntax.ObjectConsExpr); ok {
				u.object(obj)
				return
			}
		}
		u.expr(a.Expr)
	})
}

func (u *usage) object(obj *hclsyntax.ObjectConsExpr) {
	for _, it := range obj.Items {
		u.expr(it.KeyExpr)
		if v := u.ev.exactly(it.ValueExpr); v != nil {
			u.keep(v)
		} else {
			u.expr(it.ValueExpr)
		}
	}
}
