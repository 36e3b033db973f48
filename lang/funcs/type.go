package funcs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

var typeRows = []row{
	{rule: bare, Func: Func{
		Name: "can", Func: tryfunc.CanFunc, Group: GroupType, Params: []string{"expression"},
		Doc:     "Tells whether an expression can be evaluated without an error.",
		Example: `can(tonumber("x"))`, Result: `false`,
	}},
	{rule: bare, Func: Func{
		Name: "issensitive", Func: isSensitiveFunc, Group: GroupType, Params: []string{"value"},
		Doc:     "Tells whether a value is sensitive.",
		Example: `issensitive(sensitive("token"))`, Result: `true`,
	}},
	{rule: bare, Func: Func{
		Name: "nonsensitive", Func: nonsensitiveFunc, Group: GroupType, Params: []string{"value"},
		Doc:     "Gives a sensitive value as one that may be shown.",
		Example: `issensitive(nonsensitive(sensitive("token")))`, Result: `false`,
	}},
	{rule: bare, Func: Func{
		Name: "sensitive", Func: sensitiveFunc, Group: GroupType, Params: []string{"value"},
		Doc:     "Gives a value as a sensitive one: it is not shown, and may not reach env, args, labels, tags, commands or paths.",
		Example: `issensitive(sensitive("token"))`, Result: `true`,
	}},
	{rule: textual, Func: Func{
		Name: "tobool", Func: stdlib.MakeToFunc(cty.Bool), Group: GroupType, Params: []string{"value"},
		Doc:     "Converts a value to a bool.",
		Example: `tobool("true")`, Result: `true`,
	}},
	{Func: Func{
		Name: "tolist", Func: stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), Group: GroupType, Params: []string{"value"},
		Doc:     "Converts a value to a list, whose elements are of one type.",
		Example: `tolist(["a", 1])`, Result: `["a", "1"]`,
	}},
	{Func: Func{
		Name: "tomap", Func: stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)), Group: GroupType, Params: []string{"value"},
		Doc:     "Converts a value to a map, whose elements are of one type.",
		Example: `tomap({ a = "x", b = 1 })`, Result: `{ a = "x", b = "1" }`,
	}},
	{rule: textual, Func: Func{
		Name: "tonumber", Func: stdlib.MakeToFunc(cty.Number), Group: GroupType, Params: []string{"value"},
		Doc:     "Converts a value to a number.",
		Example: `tonumber("1.5")`, Result: `1.5`,
	}},
	{Func: Func{
		Name: "toset", Func: stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), Group: GroupType, Params: []string{"value"},
		Doc:     "Converts a value to a set, which holds each element once.",
		Example: `toset(["b", "a", "b"])`, Result: `["a", "b"]`,
	}},
	{rule: textual, Func: Func{
		Name: "tostring", Func: stdlib.MakeToFunc(cty.String), Group: GroupType, Params: []string{"value"},
		Doc:     "Converts a bool or a number to a string.",
		Example: `tostring(8080)`, Result: `"8080"`,
	}},
	{rule: bare, Func: Func{
		Name: "try", Func: tryFunc, Group: GroupType, Params: []string{"expressions..."},
		Doc:     "Gives the value of the first expression that can be evaluated without an error.",
		Example: `try(tonumber("x"), 0)`, Result: `0`,
	}},
}

// anyValue is a parameter that takes every value as it is.
func anyValue(name string) function.Parameter {
	return function.Parameter{
		Name: name, Type: cty.DynamicPseudoType,
		AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true,
	}
}

func typeOfFirst(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil }

var sensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{anyValue("value")},
	Type:   typeOfFirst,
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return args[0].Mark(Sensitive), nil
	},
})

var nonsensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{anyValue("value")},
	Type:   typeOfFirst,
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, marks := args[0].Unmark()
		delete(marks, Sensitive)
		return v.WithMarks(marks), nil
	},
})

var isSensitiveFunc = function.New(&function.Spec{
	Params: []function.Parameter{anyValue("value")},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if args[0].HasMark(Sensitive) {
			return cty.True, nil
		}
		if !args[0].IsKnown() {
			// What becomes known may be marked then.
			return cty.UnknownVal(cty.Bool), nil
		}
		return cty.False, nil
	},
})

// tryFunc differs from tryfunc.TryFunc in two ways: it evaluates each
// expression once instead of twice (which doubles with every level of
// nesting), and keeps the marks of a result that is not known yet.
var tryFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "expressions", Type: customdecode.ExpressionClosureType},
	Type:     function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if len(args) == 0 {
			return cty.NilVal, errors.New("at least one expression is required")
		}
		var failures []string
		for _, arg := range args {
			v, diags := customdecode.ExpressionClosureFromVal(arg).Value()
			if diags.HasErrors() {
				failures = append(failures, describe(diags))
				continue
			}
			if !v.IsWhollyKnown() {
				// It may still turn out to be an error, and another
				// expression, of another type, the result.
				_, marks := v.UnmarkDeep()
				return cty.DynamicVal.WithMarks(marks), nil
			}
			return v, nil
		}
		return cty.NilVal, fmt.Errorf("none of the expressions can be evaluated:\n- %s", strings.Join(failures, "\n- "))
	},
})

// describe puts the first error of diags, which has one, in a sentence of a
// function's error.
func describe(diags hcl.Diagnostics) string {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		text := d.Summary
		if d.Detail != "" {
			text += ": " + strings.TrimSuffix(d.Detail, ".")
		}
		if d.Subject != nil {
			text = fmt.Sprintf("%s:%d: %s", d.Subject.Filename, d.Subject.Start.Line, text)
		}
		return text
	}
	panic("describe: no error among the diagnostics")
}
