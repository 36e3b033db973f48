package funcs

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/lang/diag"
)

func templateRows(files moduleFiles, funcs func() map[string]function.Function) []row {
	return []row{
		{rule: textual, Func: Func{
			Name: "templatefile", Group: GroupFile, Params: []string{"path", "vars"},
			Func: templateFunc("path", funcs, func(p string) (string, string, error) {
				text, loc, err := files.readText(p)
				return text, loc.written, err
			}),
			Doc:     "Renders a file of the module as an HCL template, which sees the given variables only.",
			Example: `templatefile("hello.tmpl", { name = "you" })`, Result: `"Hello, you!\n"`,
		}},
		{rule: textual, Func: Func{
			Name: "templatestring", Group: GroupString, Params: []string{"template", "vars"},
			Func: templateFunc("template", funcs, func(text string) (string, string, error) {
				return text, "template", nil
			}),
			Doc:     "Renders a string as an HCL template, which sees the given variables only.",
			Example: `templatestring("Hello, $${name}!", { name = "you" })`, Result: `"Hello, you!"`,
		}},
	}
}

// templateFunc makes a function of a template and its variables. load turns the
// first argument into the template's text and the name errors call it by.
func templateFunc(first string, funcs func() map[string]function.Function, load func(string) (text, name string, err error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: first, Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			vars, err := templateVars(args[1])
			if err != nil {
				return cty.NilVal, err
			}
			text, name, err := load(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			return render(text, name, &hcl.EvalContext{Variables: vars, Functions: funcs()})
		},
	})
}

func templateVars(v cty.Value) (map[string]cty.Value, error) {
	if ty := v.Type(); !ty.IsObjectType() && !ty.IsMapType() {
		return nil, function.NewArgErrorf(1, "an object with the template's variables is required, not %s", ty.FriendlyName())
	}
	vars := v.AsValueMap()
	for name := range vars {
		if !hclsyntax.ValidIdentifier(name) {
			return nil, function.NewArgErrorf(1, "%q cannot be the name of a variable: letters, digits, _ and - are allowed, and a letter comes first", name)
		}
	}
	return vars, nil
}

func render(text, name string, ctx *hcl.EvalContext) (cty.Value, error) {
	expr, diags := hclsyntax.ParseTemplate([]byte(text), name, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, function.NewArgErrorf(0, "the template cannot be read: %s", describe(diags))
	}
	if err := undefined(expr, ctx.Variables); err != nil {
		return cty.NilVal, err
	}
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		return cty.NilVal, function.NewArgErrorf(0, "the template cannot be rendered: %s", describe(diags))
	}
	// A template that is only ${x} has the type of x.
	s, err := convert.Convert(v, cty.String)
	if err != nil {
		return cty.NilVal, function.NewArgErrorf(0, "the template renders to %s instead of a string", v.Type().FriendlyName())
	}
	if s.IsNull() {
		return cty.NilVal, function.NewArgErrorf(0, "the template renders to null instead of a string")
	}
	return s, nil
}

// undefined reports the first variable of a template that vars does not set.
// Evaluating would report it too, but without the two things that help: what
// was given, and how ${x} is written when it is text.
func undefined(expr hcl.Expression, vars map[string]cty.Value) error {
	for _, use := range expr.Variables() {
		name := use.RootName()
		if _, ok := vars[name]; ok {
			continue
		}
		var known []string
		for v := range vars {
			known = append(known, v)
		}
		slices.Sort(known)
		hint := fmt.Sprintf("if it is text, write $${%s}", name)
		if near := diag.Nearest(name, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		at := use.SourceRange()
		return function.NewArgErrorf(1, "the template uses %q, which is not set (%s:%d: %s)", name, at.Filename, at.Start.Line, hint)
	}
	return nil
}

// notInTemplate stands in for a function that renders templates: one that
// rendered itself would never end.
func notInTemplate(name string) function.Function {
	p := anyValue("arguments")
	return function.New(&function.Spec{
		VarParam: &p,
		Type: func([]cty.Value) (cty.Type, error) {
			return cty.NilType, errors.New(name + " cannot be called inside a template; render the inner one first and pass it in as a variable")
		},
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) { panic("unreachable: the type check fails") },
	})
}
