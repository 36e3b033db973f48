package funcs

import (
	"errors"
	"strings"

	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// Sensitive marks a value that must not be shown. It is the one mark for this
// in the whole language: value.Mark(funcs.Sensitive).
const Sensitive = valueMark("sensitive")

type valueMark string

// GoString is what a %#v of a marked value shows of its mark.
func (m valueMark) GoString() string { return "funcs.Sensitive" }

// guard puts the rules for all functions around f.Func: its parameters get the
// names of the table (the ones in errors are then the ones in the reference),
// an error about a sensitive argument does not quote it, and a textual function
// refuses build values. Everything else is left to the function itself, so the
// guard lets all arguments through to it.
func guard(f Func, text bool) function.Function {
	inner := f.Func
	spec := &function.Spec{Description: f.Doc}
	for i, p := range inner.Params() {
		spec.Params = append(spec.Params, passThrough(p, f.Params[i]))
	}
	if v := inner.VarParam(); v != nil {
		p := passThrough(*v, f.Params[len(f.Params)-1])
		spec.VarParam = &p
	}
	spec.Type = func(args []cty.Value) (cty.Type, error) {
		if text {
			if err := refuseBuildValues(args); err != nil {
				return cty.NilType, err
			}
		}
		ty, err := inner.ReturnTypeForValues(args)
		return ty, withoutSecrets(err, args)
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		v, err := inner.Call(args)
		if err != nil {
			return cty.NilVal, withoutSecrets(err, args)
		}
		return withMarksOf(args, v), nil
	}
	return function.New(spec)
}

func passThrough(p function.Parameter, name string) function.Parameter {
	p.Name = strings.TrimRight(name, ".?")
	p.AllowNull, p.AllowUnknown, p.AllowDynamicType, p.AllowMarked = true, true, true, true
	return p
}

// withMarksOf puts the marks of args on a result that is not known yet: the
// functions of stdlib that look at marks themselves are not called then, and
// lose them. The marks inside an argument are left alone, because the element
// that the result becomes may not be one of those that have them.
func withMarksOf(args []cty.Value, v cty.Value) cty.Value {
	if v.IsKnown() {
		return v
	}
	for _, arg := range args {
		if arg.IsMarked() {
			v = v.WithMarks(arg.Marks())
		}
	}
	return v
}

// withoutSecrets replaces an error of a call with a sensitive argument. Which
// part of a message came from which argument cannot be told, so none is kept.
func withoutSecrets(err error, args []cty.Value) error {
	if err == nil || !anySensitive(args) {
		return err
	}
	const hidden = "the call fails, and the reason is not shown because an argument is sensitive"
	var arg function.ArgError
	if errors.As(err, &arg) {
		return function.NewArgErrorf(arg.Index, hidden)
	}
	return errors.New(hidden)
}

func anySensitive(args []cty.Value) bool {
	for _, arg := range args {
		if !arg.ContainsMarked() {
			continue
		}
		if _, marks := arg.UnmarkDeep(); hasMark(marks, Sensitive) {
			return true
		}
	}
	return false
}

func hasMark(marks cty.ValueMarks, mark any) bool {
	_, ok := marks[mark]
	return ok
}

// refuseBuildValues looks at types only, so that the answer is the same for a
// null, such as a reference to a disabled block. Without it, jsonencode and
// format("%v") would print the Go value behind the capsule.
func refuseBuildValues(args []cty.Value) error {
	for i, arg := range args {
		if ty, found := buildType(arg.Type()); found {
			return function.NewArgErrorf(i, "a %s is not text and cannot become part of a string; "+
				"give it to an attribute that takes one (from, mounts, files, image), or write the name or path meant here as a string", ty.FriendlyName())
		}
	}
	return nil
}

// buildType finds a capsule type in ty.
func buildType(ty cty.Type) (cty.Type, bool) {
	switch {
	case ty.IsCapsuleType():
		return ty, !ty.Equals(customdecode.ExpressionClosureType)
	case ty.IsCollectionType():
		return buildType(ty.ElementType())
	case ty.IsTupleType():
		for _, ety := range ty.TupleElementTypes() {
			if found, ok := buildType(ety); ok {
				return found, true
			}
		}
	case ty.IsObjectType():
		for _, aty := range ty.AttributeTypes() {
			if found, ok := buildType(aty); ok {
				return found, true
			}
		}
	}
	return cty.NilType, false
}
