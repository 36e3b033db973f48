package funcs

import (
	"fmt"
	"math"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

var numberRows = []row{
	{Func: Func{
		Name: "abs", Func: stdlib.AbsoluteFunc, Group: GroupNumber, Params: []string{"number"},
		Doc:     "Gives a number without its sign.",
		Example: `abs(-12.4)`, Result: `12.4`,
	}},
	{Func: Func{
		Name: "ceil", Func: stdlib.CeilFunc, Group: GroupNumber, Params: []string{"number"},
		Doc:     "Rounds a number up to a whole one.",
		Example: `ceil(5.1)`, Result: `6`,
	}},
	{Func: Func{
		Name: "floor", Func: stdlib.FloorFunc, Group: GroupNumber, Params: []string{"number"},
		Doc:     "Rounds a number down to a whole one.",
		Example: `floor(4.9)`, Result: `4`,
	}},
	{Func: Func{
		Name: "log", Func: floatFunc("base", func(n, base float64) float64 { return math.Log(n) / math.Log(base) }), Group: GroupNumber, Params: []string{"number", "base"},
		Doc:     "Gives the logarithm of a number in a base.",
		Example: `log(16, 2)`, Result: `4`,
	}},
	{Func: Func{
		Name: "max", Func: stdlib.MaxFunc, Group: GroupNumber, Params: []string{"numbers..."},
		Doc:     "Gives the greatest of some numbers.",
		Example: `max(5, 12, 9)`, Result: `12`,
	}},
	{Func: Func{
		Name: "min", Func: stdlib.MinFunc, Group: GroupNumber, Params: []string{"numbers..."},
		Doc:     "Gives the smallest of some numbers.",
		Example: `min(5, 12, 9)`, Result: `5`,
	}},
	{Func: Func{
		Name: "parseint", Func: stdlib.ParseIntFunc, Group: GroupNumber, Params: []string{"string", "base"},
		Doc:     "Reads a string as a whole number in a base from 2 to 62.",
		Example: `parseint("ff", 16)`, Result: `255`,
	}},
	{Func: Func{
		Name: "pow", Func: floatFunc("power", math.Pow), Group: GroupNumber, Params: []string{"number", "power"},
		Doc:     "Raises a number to a power.",
		Example: `pow(3, 2)`, Result: `9`,
	}},
	{Func: Func{
		Name: "signum", Func: stdlib.SignumFunc, Group: GroupNumber, Params: []string{"number"},
		Doc:     "Gives the sign of a number: -1, 0 or 1.",
		Example: `signum(-13)`, Result: `-1`,
	}},
	{Func: Func{
		Name: "sum", Func: sumFunc, Group: GroupNumber, Params: []string{"list"},
		Doc:     "Adds up the numbers of a list or set, which must not be empty.",
		Example: `sum([10, 13, 6, 4.5])`, Result: `33.5`,
	}},
}

var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Number)}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		numbers := args[0].AsValueSlice()
		if len(numbers) == 0 {
			return cty.NilVal, function.NewArgErrorf(0, "there is nothing to add up: the list is empty")
		}
		total := cty.Zero
		for i, n := range numbers {
			if n.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "element %d is null", i)
			}
			total = total.Add(n)
		}
		return total, nil
	},
})

// floatFunc makes a function of two numbers that is computed in float64. Those
// of stdlib panic where there is no result, such as log(-1, 2).
func floatFunc(second string, f func(a, b float64) float64) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "number", Type: cty.Number}, {Name: second, Type: cty.Number}},
		Type:   function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			a, _ := args[0].AsBigFloat().Float64()
			b, _ := args[1].AsBigFloat().Float64()
			result := f(a, b)
			if math.IsNaN(result) || math.IsInf(result, 0) {
				return cty.NilVal, fmt.Errorf("it has no result for %g and %g", a, b)
			}
			return cty.NumberFloatVal(result), nil
		},
	})
}
