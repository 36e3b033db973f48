package funcs

import (
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/hbuild/hbuild/lang/diag"
)

var collectionRows = []row{
	{Func: Func{
		Name: "alltrue", Func: quantifier(cty.True), Group: GroupCollection, Params: []string{"list"},
		Doc:     "Tells whether every element of a list is true, as it is of an empty one.",
		Example: `alltrue([true, "true"])`, Result: `true`,
	}},
	{Func: Func{
		Name: "anytrue", Func: quantifier(cty.False), Group: GroupCollection, Params: []string{"list"},
		Doc:     "Tells whether an element of a list is true.",
		Example: `anytrue([false, true])`, Result: `true`,
	}},
	{Func: Func{
		Name: "chunklist", Func: stdlib.ChunklistFunc, Group: GroupCollection, Params: []string{"list", "size"},
		Doc:     "Splits a list into lists of a size, the last of which may be shorter.",
		Example: `chunklist(["a", "b", "c"], 2)`, Result: `[["a", "b"], ["c"]]`,
	}},
	{Func: Func{
		Name: "coalesce", Func: coalesceFunc, Group: GroupCollection, Params: []string{"values..."},
		Doc:     "Gives the first value that is neither null nor an empty string.",
		Example: `coalesce(null, "", "b")`, Result: `"b"`,
	}},
	{Func: Func{
		Name: "coalescelist", Func: stdlib.CoalesceListFunc, Group: GroupCollection, Params: []string{"lists..."},
		Doc:     "Gives the first list that is not empty.",
		Example: `coalescelist([], ["c", "d"])`, Result: `["c", "d"]`,
	}},
	{Func: Func{
		Name: "compact", Func: compactFunc, Group: GroupCollection, Params: []string{"list"},
		Doc:     "Removes nulls and empty strings from a list.",
		Example: `compact(["a", "", null, "b"])`, Result: `["a", "b"]`,
	}},
	{Func: Func{
		Name: "concat", Func: stdlib.ConcatFunc, Group: GroupCollection, Params: []string{"lists..."},
		Doc:     "Joins lists into one.",
		Example: `concat(["a"], ["b", "c"])`, Result: `["a", "b", "c"]`,
	}},
	{Func: Func{
		Name: "contains", Func: containsFunc, Group: GroupCollection, Params: []string{"list", "value"},
		Doc:     "Tells whether a list or set has an element equal to a value.",
		Example: `contains(["a", "b"], "a")`, Result: `true`,
	}},
	{Func: Func{
		Name: "distinct", Func: stdlib.DistinctFunc, Group: GroupCollection, Params: []string{"list"},
		Doc:     "Removes from a list the elements that came before.",
		Example: `distinct(["a", "b", "a"])`, Result: `["a", "b"]`,
	}},
	{Func: Func{
		Name: "element", Func: stdlib.ElementFunc, Group: GroupCollection, Params: []string{"list", "index"},
		Doc:     "Gives an element of a list by its number, counting on from the start when the list is shorter, and from the end when it is negative.",
		Example: `element(["a", "b", "c"], 4)`, Result: `"b"`,
	}},
	{Func: Func{
		Name: "flatten", Func: stdlib.FlattenFunc, Group: GroupCollection, Params: []string{"list"},
		Doc:     "Replaces the lists in a list by their elements, at every depth.",
		Example: `flatten([["a", []], "b", [["c"]]])`, Result: `["a", "b", "c"]`,
	}},
	{Func: Func{
		Name: "index", Func: indexFunc, Group: GroupCollection, Params: []string{"list", "value"},
		Doc:     "Gives the number of the first element that is equal to a value; none is an error.",
		Example: `index(["a", "b", "c"], "b")`, Result: `1`,
	}},
	{Func: Func{
		Name: "keys", Func: stdlib.KeysFunc, Group: GroupCollection, Params: []string{"map"},
		Doc:     "Gives the keys of a map or object, sorted.",
		Example: `keys({ b = 2, a = 1 })`, Result: `["a", "b"]`,
	}},
	{Func: Func{
		Name: "length", Func: lengthFunc, Group: GroupCollection, Params: []string{"value"},
		Doc:     "Counts the elements of a collection, or the characters of a string.",
		Example: `length(["a", "b"])`, Result: `2`,
	}},
	{Func: Func{
		Name: "lookup", Func: lookupFunc, Group: GroupCollection, Params: []string{"map", "key", "default?"},
		Doc:     "Gives the element of a map with a key, or else the default; without one, a missing key is an error.",
		Example: `lookup({ a = "ay" }, "c", "what?")`, Result: `"what?"`,
	}},
	{Func: Func{
		Name: "matchkeys", Func: matchKeysFunc, Group: GroupCollection, Params: []string{"values", "keys", "searchset"},
		Doc:     "Gives the values whose keys, at the same places in a second list, are among those searched for.",
		Example: `matchkeys(["i-1", "i-2", "i-3"], ["west", "east", "west"], ["west"])`, Result: `["i-1", "i-3"]`,
	}},
	{Func: Func{
		Name: "merge", Func: stdlib.MergeFunc, Group: GroupCollection, Params: []string{"maps..."},
		Doc:     "Merges maps or objects; the last one that has a key wins, and nulls are left out.",
		Example: `merge({ a = 1, b = 2 }, { b = 3 })`, Result: `{ a = 1, b = 3 }`,
	}},
	{Func: Func{
		Name: "one", Func: oneFunc, Group: GroupCollection, Params: []string{"list"},
		Doc:     "Gives the only element of a list or set, or null when it is empty; more are an error.",
		Example: `one(["a"])`, Result: `"a"`,
	}},
	{Func: Func{
		Name: "range", Func: stdlib.RangeFunc, Group: GroupCollection, Params: []string{"numbers..."},
		Doc:     "Counts: up to a limit, from a start to a limit, or from a start to a limit in steps; the limit is left out.",
		Example: `range(1, 8, 2)`, Result: `[1, 3, 5, 7]`,
	}},
	{Func: Func{
		Name: "reverse", Func: stdlib.ReverseListFunc, Group: GroupCollection, Params: []string{"list"},
		Doc:     "Gives a list in reverse order.",
		Example: `reverse([1, 2, 3])`, Result: `[3, 2, 1]`,
	}},
	{Func: Func{
		Name: "setintersection", Func: stdlib.SetIntersectionFunc, Group: GroupCollection, Params: []string{"first_set", "other_sets..."},
		Doc:     "Gives the elements that all the sets have.",
		Example: `setintersection(["a", "b"], ["b", "c"])`, Result: `["b"]`,
	}},
	{Func: Func{
		Name: "setproduct", Func: stdlib.SetProductFunc, Group: GroupCollection, Params: []string{"sets..."},
		Doc:     "Gives every combination of one element from each list or set.",
		Example: `setproduct(["linux"], ["amd64", "arm64"])`, Result: `[["linux", "amd64"], ["linux", "arm64"]]`,
	}},
	{Func: Func{
		Name: "setsubtract", Func: stdlib.SetSubtractFunc, Group: GroupCollection, Params: []string{"set", "removed"},
		Doc:     "Gives the elements of a set that a second one does not have.",
		Example: `setsubtract(["a", "b", "c"], ["a", "c"])`, Result: `["b"]`,
	}},
	{Func: Func{
		Name: "setunion", Func: stdlib.SetUnionFunc, Group: GroupCollection, Params: []string{"first_set", "other_sets..."},
		Doc:     "Gives the elements that any of the sets has.",
		Example: `setunion(["a", "b"], ["b", "c"])`, Result: `["a", "b", "c"]`,
	}},
	{Func: Func{
		Name: "slice", Func: stdlib.SliceFunc, Group: GroupCollection, Params: []string{"list", "start", "end"},
		Doc:     "Gives the elements of a list from a start to before an end.",
		Example: `slice(["a", "b", "c", "d"], 1, 3)`, Result: `["b", "c"]`,
	}},
	{Func: Func{
		Name: "sort", Func: stdlib.SortFunc, Group: GroupCollection, Params: []string{"list"},
		Doc:     "Sorts strings by their characters.",
		Example: `sort(["e", "d", "a"])`, Result: `["a", "d", "e"]`,
	}},
	{Func: Func{
		Name: "transpose", Func: transposeFunc, Group: GroupCollection, Params: []string{"map"},
		Doc:     "Turns a map of lists of strings around: the strings become the keys, and the keys the strings.",
		Example: `transpose({ a = ["1", "2"], b = ["2"] })`, Result: `{ "1" = ["a"], "2" = ["a", "b"] }`,
	}},
	{Func: Func{
		Name: "values", Func: stdlib.ValuesFunc, Group: GroupCollection, Params: []string{"map"},
		Doc:     "Gives the values of a map or object, in the order of its keys.",
		Example: `values({ b = 2, a = 1 })`, Result: `[1, 2]`,
	}},
	{Func: Func{
		Name: "zipmap", Func: stdlib.ZipmapFunc, Group: GroupCollection, Params: []string{"keys", "values"},
		Doc:     "Makes a map of a list of keys and a list of values.",
		Example: `zipmap(["a", "b"], [1, 2])`, Result: `{ a = 1, b = 2 }`,
	}},
}

// quantifier makes alltrue (which is true unless an element is not) and anytrue
// (which is false unless an element is not). A null counts as false.
func quantifier(unless cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			result := unless
			for _, v := range args[0].AsValueSlice() {
				switch {
				case !v.IsKnown():
					result = cty.UnknownVal(cty.Bool)
				case (!v.IsNull() && v.True()) != unless.True():
					return unless.Not(), nil
				}
			}
			return result, nil
		},
	})
}

// coalesceFunc is stdlib.CoalesceFunc that also passes over empty strings.
var coalesceFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{
		Name: "values", Type: cty.DynamicPseudoType,
		AllowNull: true, AllowUnknown: true, AllowDynamicType: true,
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		types := make([]cty.Type, len(args))
		for i, v := range args {
			types[i] = v.Type()
		}
		ty, _ := convert.UnifyUnsafe(types)
		if ty == cty.NilType && len(args) > 0 {
			return cty.NilType, function.NewArgErrorf(differsFromFirst(types), "all the values must be of one type")
		}
		return ty, nil
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		for i, v := range args {
			if !v.IsKnown() {
				return cty.UnknownVal(ty), nil
			}
			if v.IsNull() {
				continue
			}
			converted, err := convert.Convert(v, ty)
			if err != nil {
				return cty.NilVal, function.NewArgError(i, err)
			}
			if converted.Type() == cty.String && converted.AsString() == "" {
				continue
			}
			return converted, nil
		}
		return cty.NilVal, function.NewArgErrorf(max(len(args)-1, 0), "every value is null or an empty string; add one that is always set")
	},
})

// differsFromFirst is the place of the first type that cannot be unified with
// the first one.
func differsFromFirst(types []cty.Type) int {
	for i := range types {
		if ty, _ := convert.UnifyUnsafe(types[:i+1]); ty == cty.NilType {
			return i
		}
	}
	return 0
}

// compactFunc gives a list of strings for whatever converts to one, as
// Terraform does. A build value does not, but a list of them with a null in it
// is what `enabled = false` leaves, so those lists can be compacted too.
var compactFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type: func(args []cty.Value) (cty.Type, error) {
		ty := args[0].Type()
		switch {
		case convert.GetConversionUnsafe(ty, cty.List(cty.String)) != nil || ty.Equals(cty.List(cty.String)):
			return cty.List(cty.String), nil
		case ty.IsListType(), ty.IsSetType():
			return cty.List(ty.ElementType()), nil
		case ty.IsTupleType() && args[0].IsKnown():
			var kept []cty.Type
			for _, v := range args[0].AsValueSlice() {
				if !v.IsKnown() {
					return cty.DynamicPseudoType, nil
				}
				if !isBlank(v) {
					kept = append(kept, v.Type())
				}
			}
			return cty.Tuple(kept), nil
		case ty.IsTupleType():
			return cty.DynamicPseudoType, nil
		}
		return cty.NilType, function.NewArgErrorf(0, "a list is required, not %s", ty.FriendlyName())
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		list := args[0]
		if ty.Equals(cty.List(cty.String)) {
			var err error
			if list, err = convert.Convert(list, ty); err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
		}
		if !list.IsKnown() { // a set of unknowns makes a list of unknown length
			return cty.UnknownVal(ty), nil
		}
		var kept []cty.Value
		for it := list.ElementIterator(); it.Next(); {
			_, v := it.Element()
			if !v.IsKnown() {
				return cty.UnknownVal(ty), nil
			}
			if !isBlank(v) {
				kept = append(kept, v)
			}
		}
		switch {
		case !ty.IsListType():
			return cty.TupleVal(kept), nil
		case len(kept) == 0:
			return cty.ListValEmpty(ty.ElementType()), nil
		}
		return cty.ListVal(kept), nil
	},
})

func isBlank(v cty.Value) bool {
	return v.IsNull() || v.Type() == cty.String && v.AsString() == ""
}

// containsFunc is stdlib.ContainsFunc that can also look for a bare null, and in
// a set whose length is not known yet.
var containsFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "list", Type: cty.DynamicPseudoType},
		{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true},
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		if ty := args[0].Type(); !ty.IsListType() && !ty.IsSetType() && !ty.IsTupleType() {
			return cty.NilType, function.NewArgErrorf(0, "a list or set is required, not %s", ty.FriendlyName())
		}
		return cty.Bool, nil
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		result := cty.False
		for it := args[0].ElementIterator(); it.Next(); {
			_, v := it.Element()
			switch eq := args[1].Equals(v); {
			case !eq.IsKnown():
				result = cty.UnknownVal(cty.Bool)
			case eq.True():
				return cty.True, nil
			}
		}
		return result, nil
	},
})

var indexFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "list", Type: cty.DynamicPseudoType},
		{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true},
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		if ty := args[0].Type(); !ty.IsListType() && !ty.IsTupleType() {
			return cty.NilType, function.NewArgErrorf(0, "a list is required, not %s", ty.FriendlyName())
		}
		return cty.Number, nil
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		for i, v := range args[0].AsValueSlice() {
			switch eq := args[1].Equals(v); {
			case !eq.IsKnown():
				return cty.UnknownVal(cty.Number), nil
			case eq.True():
				return cty.NumberIntVal(int64(i)), nil
			}
		}
		return cty.NilVal, function.NewArgErrorf(1, "no element of the list is equal to it; contains() asks without an error")
	},
})

var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{
		Name: "value", Type: cty.DynamicPseudoType,
		AllowUnknown: true, AllowDynamicType: true, AllowMarked: true,
	}},
	Type: func(args []cty.Value) (cty.Type, error) {
		ty := args[0].Type()
		if ty == cty.String || ty == cty.DynamicPseudoType || ty.IsTupleType() || ty.IsObjectType() || ty.IsCollectionType() {
			return cty.Number, nil
		}
		return cty.NilType, function.NewArgErrorf(0, "only collections and strings have a length; this is %s", ty.FriendlyName())
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		// Marks of elements do not matter to their number.
		v, marks := args[0].Unmark()
		n, err := lengthOf(v)
		if err != nil {
			return cty.NilVal, err
		}
		return n.WithMarks(marks), nil
	},
})

func lengthOf(v cty.Value) (cty.Value, error) {
	switch ty := v.Type(); {
	case ty == cty.DynamicPseudoType:
		return cty.UnknownVal(cty.Number), nil
	case ty == cty.String:
		return stdlib.Strlen(v)
	case ty.IsTupleType():
		return cty.NumberIntVal(int64(ty.Length())), nil
	case ty.IsObjectType():
		return cty.NumberIntVal(int64(len(ty.AttributeTypes()))), nil
	}
	return v.Length(), nil
}

var lookupFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "map", Type: cty.DynamicPseudoType, AllowMarked: true},
		{Name: "key", Type: cty.String, AllowMarked: true},
	},
	VarParam: &function.Parameter{
		Name: "default", Type: cty.DynamicPseudoType,
		AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true,
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		if len(args) > 3 {
			return cty.NilType, function.NewArgErrorf(3, "lookup takes a map, a key and at most one default")
		}
		ty := args[0].Type()
		switch {
		case ty.IsMapType():
			if len(args) == 3 {
				if _, err := convert.Convert(args[2], ty.ElementType()); err != nil {
					return cty.NilType, function.NewArgErrorf(2, "the default must be of the type of the map's elements, %s", ty.ElementType().FriendlyName())
				}
			}
			return ty.ElementType(), nil
		case !ty.IsObjectType():
			return cty.NilType, function.NewArgErrorf(0, "a map or object is required, not %s", ty.FriendlyName())
		case !args[1].IsKnown():
			return cty.DynamicPseudoType, nil
		}
		key, _ := args[1].Unmark()
		switch name := key.AsString(); {
		case ty.HasAttribute(name):
			return ty.AttributeType(name), nil
		case len(args) == 3:
			return args[2].Type(), nil
		default:
			return cty.NilType, noSuchKey(name, attributeNames(ty))
		}
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		m, mapMarks := args[0].Unmark()
		key, keyMarks := args[1].Unmark()
		name := key.AsString()
		switch {
		case m.Type().IsObjectType() && m.Type().HasAttribute(name):
			return m.GetAttr(name).WithMarks(mapMarks, keyMarks), nil
		case m.Type().IsMapType() && m.HasIndex(key).True():
			return m.Index(key).WithMarks(mapMarks, keyMarks), nil
		case len(args) < 3:
			return cty.NilVal, noSuchKey(name, mapKeys(m))
		}
		v, err := convert.Convert(args[2], ty)
		if err != nil {
			return cty.NilVal, function.NewArgError(2, err)
		}
		return v.WithMarks(mapMarks, keyMarks), nil
	},
})

func noSuchKey(name string, keys []string) error {
	hint := "give a default as the third argument"
	if near := diag.Nearest(name, keys); near != "" {
		hint = `did you mean "` + near + `"?`
	}
	return function.NewArgErrorf(1, "there is no key %q (%s)", name, hint)
}

func attributeNames(ty cty.Type) []string {
	var names []string
	for name := range ty.AttributeTypes() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func mapKeys(m cty.Value) []string {
	var keys []string
	for it := m.ElementIterator(); it.Next(); {
		k, _ := it.Element()
		keys = append(keys, k.AsString())
	}
	return keys
}

var matchKeysFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "values", Type: cty.List(cty.DynamicPseudoType)},
		{Name: "keys", Type: cty.List(cty.DynamicPseudoType)},
		{Name: "searchset", Type: cty.List(cty.DynamicPseudoType)},
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		if ty, _ := convert.UnifyUnsafe([]cty.Type{args[1].Type(), args[2].Type()}); ty == cty.NilType {
			return cty.NilType, function.NewArgErrorf(2, "the keys searched for must be of the type of the keys")
		}
		return args[0].Type(), nil
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		values, keys := args[0].AsValueSlice(), args[1].AsValueSlice()
		if len(values) != len(keys) {
			return cty.NilVal, function.NewArgErrorf(1, "there must be a key for each value: there are %d values and %d keys", len(values), len(keys))
		}
		both, _ := convert.UnifyUnsafe([]cty.Type{args[1].Type(), args[2].Type()})
		wanted, err := convert.Convert(args[2], both)
		if err != nil {
			return cty.NilVal, function.NewArgError(2, err)
		}
		list, err := convert.Convert(args[1], both)
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		var matched []cty.Value
		for i, key := range list.AsValueSlice() {
			found, err := stdlib.Contains(wanted, key)
			if err != nil {
				return cty.NilVal, err
			}
			if !found.IsKnown() {
				return cty.UnknownVal(ty), nil
			}
			if found.True() {
				matched = append(matched, values[i])
			}
		}
		if len(matched) == 0 {
			return cty.ListValEmpty(ty.ElementType()), nil
		}
		return cty.ListVal(matched), nil
	},
})

var oneFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType, AllowMarked: true}},
	Type: func(args []cty.Value) (cty.Type, error) {
		ty := args[0].Type()
		switch {
		case ty.IsListType(), ty.IsSetType():
			return ty.ElementType(), nil
		case !ty.IsTupleType():
			return cty.NilType, function.NewArgErrorf(0, "a list or set is required, not %s", ty.FriendlyName())
		case ty.Length() == 0:
			return cty.DynamicPseudoType, nil
		case ty.Length() == 1:
			return ty.TupleElementType(0), nil
		}
		return cty.NilType, moreThanOne(ty.Length())
	},
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		list, marks := args[0].Unmark()
		if !list.Type().IsTupleType() && !list.Length().IsKnown() {
			return cty.UnknownVal(ty).WithMarks(marks), nil
		}
		switch elems := list.AsValueSlice(); len(elems) {
		case 0:
			return cty.NullVal(ty).WithMarks(marks), nil
		case 1:
			return elems[0].WithMarks(marks), nil
		default:
			return cty.NilVal, moreThanOne(len(elems))
		}
	},
})

func moreThanOne(n int) error {
	return function.NewArgErrorf(0, "it must have one element or none, and has %d", n)
}

var transposeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "map", Type: cty.Map(cty.List(cty.String))}},
	Type:   function.StaticReturnType(cty.Map(cty.List(cty.String))),
	Impl: func(args []cty.Value, ty cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(ty), nil
		}
		turned := map[string][]cty.Value{}
		for it := args[0].ElementIterator(); it.Next(); {
			key, list := it.Element()
			if list.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "the list of %q is null", key.AsString())
			}
			for _, v := range list.AsValueSlice() {
				if v.IsNull() {
					return cty.NilVal, function.NewArgErrorf(0, "the list of %q has a null in it", key.AsString())
				}
				turned[v.AsString()] = append(turned[v.AsString()], key)
			}
		}
		if len(turned) == 0 {
			return cty.MapValEmpty(ty.ElementType()), nil
		}
		result := make(map[string]cty.Value, len(turned))
		for key, list := range turned {
			result[key] = cty.ListVal(list)
		}
		return cty.MapVal(result), nil
	},
})
