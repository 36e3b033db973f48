package eval

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// input is a value that the caller gives to a variable.
type input struct {
	expr   hclsyntax.Expression // nil for plain text
	text   lang.Source          // the text, read by the variable's type
	origin string               // "--var", "hbuild.vars.hcl"
	at     hcl.Range
}

// readInputs collects what the vars file and the command line say, the strongest
// last. The environment is asked when a variable is evaluated.
func (ev *Evaluator) readInputs() map[string]input {
	in := map[string]input{}
	ev.readOwnVars(in)
	for i, v := range ev.opt.Vars {
		if v.Name == "" {
			ev.readVarsFile(in, v)
			continue
		}
		if !ev.declared(v.Name, hcl.Range{}, v.Origin) {
			continue
		}
		src := v.Source
		src.Name = fmt.Sprintf("<%s %s #%d>", v.Origin, v.Name, i+1)
		ev.mod.Files[src.Name] = src.Data
		in[v.Name] = input{text: src, origin: v.Origin}
	}
	return in
}

// readOwnVars reads the vars file beside the module's files, unless the caller named
// others in their place.
func (ev *Evaluator) readOwnVars(in map[string]input) {
	if ev.mod.Given {
		return
	}
	name := path.Join(ev.mod.Dir, lang.VarsFile)
	if data, err := readFile(ev.fsys, name); err == nil {
		ev.readVarsFile(in, VarSource{Source: lang.Source{Name: name, Data: data}, Origin: lang.VarsFile})
	}
}

func (ev *Evaluator) readVarsFile(in map[string]input, v VarSource) {
	ev.mod.Files[v.Source.Name] = v.Source.Data
	body, diags := lang.Parse(v.Source)
	ev.diags = append(ev.diags, diags...)
	ev.lostInputs = ev.lostInputs || diags.HasErrors()
	if body == nil {
		return
	}
	for _, b := range body.Blocks {
		ev.errorf(diag.UnknownBlock, b.DefRange(), "A block in a vars file", "A vars file holds assignments only: name = value.")
	}
	attrs := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		attrs = append(attrs, a)
	}
	sort.Slice(attrs, func(i, j int) bool { return attrs[i].SrcRange.Start.Byte < attrs[j].SrcRange.Start.Byte })
	for _, a := range attrs {
		if ev.declared(a.Name, a.NameRange, v.Origin) {
			in[a.Name] = input{expr: a.Expr, origin: v.Origin, at: a.SrcRange}
		}
	}
}

func (ev *Evaluator) declared(name string, at hcl.Range, origin string) bool {
	if ev.mod.Lookup(lang.KindVariable, name) != nil {
		return true
	}
	names := ev.mod.Names(lang.KindVariable)
	hint := diag.DidYouMean(name, names)
	if hint == "" {
		hint = " There are: " + diag.List(names, 20) + "."
	}
	ev.errorf(diag.UndeclaredVar, at, fmt.Sprintf("No variable is called %q", name), "%s gives it a value, but no file of the module declares it.%s", origin, hint)
	return false
}

// variable evaluates a variable, once: its value by the order of strength, made
// to be of its type, and validated.
func (ev *Evaluator) variable(n *lang.Variable) cty.Value {
	if v, ok := ev.vars[n]; ok {
		return v
	}
	ev.vars[n] = cty.DynamicVal
	if n.Bad {
		return cty.DynamicVal
	}
	ev.constants(n)
	ty := ev.typeOf(n)
	v, origin, at := ev.rawVariable(n, ty)
	given := at
	v = ev.typed(n, ty, v, origin, at)
	if s, ok := ev.attrBool(n.Sensitive, &scope{}); ok && s {
		v = v.Mark(Sensitive)
	}
	ev.vars[n] = v
	ev.validate(n, v, origin, given)
	return v
}

// constants checks the attributes of a variable that only views read.
func (ev *Evaluator) constants(n *lang.Variable) {
	ev.attrStr(n.Description, &scope{})
}

// rawVariable finds the value that the caller or the default gives.
func (ev *Evaluator) rawVariable(n *lang.Variable, ty *typeSpec) (cty.Value, string, hcl.Range) {
	if ev.call != nil {
		return ev.inputOf(n, ty)
	}
	if in, ok := ev.values[n.Name]; ok {
		return ev.inputValue(n, in, ty), in.origin, in.at
	}
	if ev.opt.LookupEnv != nil {
		names := []string{"HBUILD_VAR_" + n.Name}
		if e, ok := ev.attrStr(n.Env, &scope{}); ok {
			names = append(names, e)
		}
		for _, name := range names {
			if text, ok := ev.opt.LookupEnv(name); ok {
				src := lang.Source{Name: "<" + name + ">", Data: []byte(text)}
				ev.mod.Files[src.Name] = src.Data
				origin := "the environment variable " + name
				return ev.inputValue(n, input{text: src, origin: origin}, ty), origin, hcl.Range{}
			}
		}
	}
	if n.Default != nil {
		return ev.defaultOf(n)
	}
	if !ev.opt.Check && !ev.lostInputs {
		ev.add(diag.Error(diag.MissingVariable, n.NameRange, fmt.Sprintf("The variable %q has no value", n.Name),
			fmt.Sprintf("It has no default. Give it one with --var %s=VALUE, in %s, or in the environment as HBUILD_VAR_%s.", n.Name, lang.VarsFile, n.Name)))
		return cty.DynamicVal, "", hcl.Range{}
	}
	return cty.UnknownVal(ty.cty), "", hcl.Range{}
}

func (ev *Evaluator) defaultOf(n *lang.Variable) (cty.Value, string, hcl.Range) {
	return ev.value(n.Default.Expr, &scope{}), "its default", n.Default.Expr.Range()
}

// inputOf is what the module block that calls this module gives to a variable. As
// everywhere, null is the same as not given. Nothing else counts: what a called
// module builds, its caller says.
func (ev *Evaluator) inputOf(n *lang.Variable, ty *typeSpec) (cty.Value, string, hcl.Range) {
	call := ev.call.Node.Base()
	if a := ev.inputs[n.Name]; a != nil {
		if it := ev.caller.item(a, ev.call.scope(nil)); !it.null() {
			return it.value(), ev.call.Addr, it.rng
		}
	}
	if n.Default != nil {
		return ev.defaultOf(n)
	}
	if !call.Bad {
		ev.caller.add(diag.Error(diag.MissingVariable, call.Range, fmt.Sprintf("%s does not say what %s is", ev.call.Addr, n.Name),
			fmt.Sprintf("The variable %q of the module has no default; write %s = … into the block.", n.Name, n.Name), diag.WithRelated(n.NameRange, "the variable is declared here")))
	}
	return cty.DynamicVal, "", hcl.Range{}
}

// inputValue reads text by the variable's type: a string as it is, all else as
// an HCL expression without names.
func (ev *Evaluator) inputValue(n *lang.Variable, in input, ty *typeSpec) cty.Value {
	at := in.at
	if at.Filename == "" || ev.secretive(n) {
		at = n.NameRange
	}
	expr := in.expr
	if expr == nil {
		var diags hcl.Diagnostics
		expr, diags = lang.ParseValue(in.text, ty.cty == cty.String || ty.cty == cty.DynamicPseudoType && ty.kind == "")
		if diags.HasErrors() || len(hclsyntax.Variables(expr)) > 0 {
			given := fmt.Sprintf("%s gives it %q, which is no value of that type", in.origin, in.text.Data)
			if ev.secretive(n) {
				given = fmt.Sprintf("%s gives it a text that is no value of that type", in.origin)
			}
			ev.errorf(diag.BadVariableValue, at, fmt.Sprintf("The variable %q takes %s", n.Name, ty), "%s. It is read as HCL, in which texts stand in quotes.", upperFirst(given))
			return cty.DynamicVal
		}
	}
	v, diags := expr.Value(&hcl.EvalContext{Functions: ev.builtins()})
	if diags.HasErrors() {
		detail := diags[0].Detail
		if len(hclsyntax.Variables(expr)) > 0 {
			detail = "Values given from outside may use functions, but no names."
		}
		ev.errorf(diag.BadVariableValue, at, fmt.Sprintf("The value of the variable %q cannot be evaluated", n.Name), "It is from %s. %s", in.origin, detail)
		return cty.DynamicVal
	}
	return v
}

// secretive reports whether a variable's value, and the source that has it, must
// not be shown.
func (ev *Evaluator) secretive(n *lang.Variable) bool {
	s, ok := ev.attrBool(n.Sensitive, &scope{})
	return ok && s
}

// typed converts a value to the variable's type.
func (ev *Evaluator) typed(n *lang.Variable, ty *typeSpec, v cty.Value, origin string, at hcl.Range) cty.Value {
	secretive := ev.secretive(n)
	if at.Filename == "" || secretive {
		at = n.NameRange
	}
	if v.IsKnown() && v.IsNull() {
		if nullable, ok := ev.attrBool(n.Nullable, &scope{}); ok && !nullable {
			ev.errorf(diag.BadVariableValue, at, fmt.Sprintf("The variable %q may not be null", n.Name), "Its value is null, from %s, and the variable has nullable = false.", origin)
		}
		return cty.NullVal(ty.cty)
	}
	if ty.defaults != nil && v.IsKnown() {
		v = ty.defaults.Apply(v)
	}
	out, err := convert.Convert(v, ty.cty.WithoutOptionalAttributesDeep())
	if err == nil && (ty.kind == "" || !v.IsWhollyKnown() || ty.fits(v)) {
		return out
	}
	shown := v
	if secretive {
		shown = v.Mark(Sensitive)
	}
	detail := fmt.Sprintf("Its value is %s, from %s.", describe(shown), origin)
	switch {
	case ty.kind != "" && v.Type() == cty.String:
		detail += " A string never names something to build with; write the reference without quotes."
	case err != nil && !secretive:
		detail += " " + upperFirst(err.Error()) + "."
	}
	var opts []diag.Option
	if at != n.NameRange {
		opts = append(opts, diag.WithRelated(n.NameRange, "the variable is declared here"))
	}
	ev.add(diag.Error(diag.BadVariableValue, at, fmt.Sprintf("The variable %q takes %s", n.Name, ty), detail, opts...))
	return cty.UnknownVal(ty.cty)
}

// validate checks the conditions on a value that is known.
func (ev *Evaluator) validate(n *lang.Variable, v cty.Value, origin string, given hcl.Range) {
	if !v.IsKnown() {
		return
	}
	if ev.secretive(n) {
		given = hcl.Range{}
	}
	for _, val := range n.Validations {
		if val.Condition == nil || val.ErrorMessage == nil {
			continue
		}
		ok, known := ev.holds(val.Condition)
		if !known || ok {
			continue
		}
		msg, _ := ev.attrStr(val.ErrorMessage, &scope{})
		shown := describe(v)
		ev.add(diag.Error(diag.ValidationFailed, val.Condition.Expr.Range(), fmt.Sprintf("The variable %q is not valid", n.Name),
			fmt.Sprintf("%s It is %s, from %s.", sentence(msg), shown, origin), diag.WithRelated(n.NameRange, "the variable is declared here"), diag.WithRelated(given, "the value is given here")))
	}
}

// holds evaluates a condition; marks do not count, for only its outcome shows.
func (ev *Evaluator) holds(a *lang.Attr) (ok, known bool) {
	return ev.holdsIn(a, &scope{})
}

func (ev *Evaluator) holdsIn(a *lang.Attr, sc *scope) (ok, known bool) {
	v, _ := ev.value(a.Expr, sc).Unmark()
	if !v.IsKnown() {
		return false, false
	}
	b, err := convert.Convert(v, cty.Bool)
	if err != nil || b.IsNull() {
		ev.errorf(diag.WrongType, a.Expr.Range(), "A condition is true or false", "It is %s.", describe(v))
		return false, false
	}
	return b.True(), true
}

func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".!?") {
		return s
	}
	return s + "."
}

// typeSpec is a variable's type: HCL's part of it, and the kind of build value.
type typeSpec struct {
	cty      cty.Type
	defaults *typeexpr.Defaults
	kind     string // the kind of build value at the leaves; "" for none
	text     string
}

func (t *typeSpec) String() string { return t.text }

// fits reports whether all build values of v are of the type's kind.
func (t *typeSpec) fits(v cty.Value) bool {
	ok := true
	_ = cty.Walk(v, func(_ cty.Path, el cty.Value) (bool, error) {
		el, _ = el.Unmark()
		if b := FromCty(el); b != nil {
			ok = ok && (string(b.Kind) == t.kind || t.kind == "image" && b.Kind == KindScratch)
		}
		return true, nil
	})
	return ok
}

// buildKinds are the words for build values in a type.
var buildKinds = []string{"stage", "image", "artifact", "context", "cache", "secret", "ssh", "text", "target", "group"}

// typeOf reads a variable's type expression.
func (ev *Evaluator) typeOf(n *lang.Variable) *typeSpec {
	if n.Type == nil {
		return &typeSpec{cty: cty.DynamicPseudoType, text: "any value"}
	}
	src := n.Type.Expr.Range()
	t := &typeSpec{text: string(src.SliceBytes(ev.mod.Files[src.Filename]))}
	t.cty, t.defaults = ev.typeExpr(n.Type.Expr, t)
	return t
}

// typeExpr reads a type: a word, or a constructor around types. Types without
// build values are HCL's own.
func (ev *Evaluator) typeExpr(e hcl.Expression, t *typeSpec) (cty.Type, *typeexpr.Defaults) {
	kw := hcl.ExprAsKeyword(e)
	if slices.Contains(buildKinds, kw) {
		t.kind = kw
		return Type, nil
	}
	if call, diags := hcl.ExprCall(e); !diags.HasErrors() && len(call.Arguments) == 1 {
		switch call.Name {
		case "list", "set", "map":
			el, def := ev.typeExpr(call.Arguments[0], t)
			var d *typeexpr.Defaults
			ty := map[string]func(cty.Type) cty.Type{"list": cty.List, "set": cty.Set, "map": cty.Map}[call.Name](el)
			if def != nil {
				d = &typeexpr.Defaults{Type: ty, Children: map[string]*typeexpr.Defaults{"": def}}
			}
			return ty, d
		}
	}
	ty, def, diags := typeexpr.TypeConstraintWithDefaults(e)
	if diags.HasErrors() {
		words := append([]string{"string", "number", "bool", "any", "list", "set", "map", "object", "tuple"}, buildKinds...)
		detail := diags[0].Detail
		if kw != "" {
			detail = fmt.Sprintf("No type is called %q.%s", kw, diag.DidYouMean(kw, words))
		}
		ev.errorf(diag.BadTypeExpr, e.Range(), "This is no type", "%s The types are string, number, bool, any, list(…), set(…), map(…), object({…}), tuple([…]) and the build values %s.", detail, strings.Join(buildKinds, ", "))
		return cty.DynamicPseudoType, nil
	}
	return ty, def
}
