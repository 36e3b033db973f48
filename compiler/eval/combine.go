package eval

import (
	"fmt"
	"slices"
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// parts are the kinds that merge() and diff() take.
var parts = []Kind{kStage, KindImage, kContext, KindGit, KindHTTP, KindScratch, KindMerge, KindDiff, KindDockerfile}

// mergeWith adds to the merge() of maps the one of file systems.
func mergeWith(maps function.Function) function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "maps", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true},
		Type: func(args []cty.Value) (cty.Type, error) {
			if layersOf(args) {
				return Type, nil
			}
			return maps.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if !layersOf(args) {
				return maps.Call(args)
			}
			if !args[0].IsWhollyKnown() {
				return cty.UnknownVal(Type), nil
			}
			v := &Value{Kind: KindMerge}
			for e := args[0].ElementIterator(); e.Next(); {
				if _, el := e.Element(); !el.IsNull() {
					v.Parts = append(v.Parts, FromCty(el))
				}
			}
			if len(v.Parts) == 0 {
				return cty.NilVal, function.NewArgErrorf(0, "merge() of nothing")
			}
			return Of(v), checkParts("merge", v.Parts)
		},
	})
}

// layersOf reports whether arguments are one list of build values.
func layersOf(args []cty.Value) bool {
	if len(args) != 1 || !args[0].IsKnown() || args[0].IsMarked() || args[0].IsNull() {
		return false
	}
	t := args[0].Type()
	switch {
	case t.IsListType(), t.IsSetType():
		return t.ElementType() == Type
	case t.IsTupleType():
		return len(t.TupleElementTypes()) > 0 && !slices.ContainsFunc(t.TupleElementTypes(), func(e cty.Type) bool { return e != Type && e != cty.DynamicPseudoType })
	}
	return false
}

func checkParts(fn string, values []*Value) error {
	for _, v := range values {
		if v != nil && !slices.Contains(parts, v.Kind) {
			return &codedError{code: diag.WrongKind, summary: fmt.Sprintf("%s() takes file systems", fn), detail: fmt.Sprintf("%s is %s; it takes stages, images, contexts, git(), http(), merge() and diff().", v.Describe(), articleKind(v.Kind))}
		}
	}
	return nil
}

var diffFunc = buildFunc([]function.Parameter{{Name: "lower", Type: Type}, {Name: "upper", Type: Type}}, func(args []cty.Value) (*Value, error) {
	if len(args) > 2 {
		return nil, function.NewArgErrorf(2, "diff() takes two values")
	}
	v := &Value{Kind: KindDiff, Parts: []*Value{FromCty(args[0]), FromCty(args[1])}}
	return v, checkParts("diff", v.Parts)
})

var outputFunc = buildFunc([]function.Parameter{{Name: "name", Type: cty.String}}, func(args []cty.Value) (*Value, error) {
	if len(args) > 1 {
		return nil, function.NewArgErrorf(1, "output() takes a name")
	}
	if name := args[0].AsString(); !envName.MatchString(strings.ReplaceAll(name, "-", "_")) {
		return nil, &codedError{code: diag.BadName, summary: fmt.Sprintf("%q is no name of an output", name), detail: "A name has letters, digits, _ and - and does not begin with a digit."}
	}
	return &Value{Kind: KindOutput, Output: args[0].AsString()}, nil
})

// combined is the stage that merge() or diff() stands for, once for each platform
// that it differs by.
func (ev *Evaluator) combined(it *item, v *Value, p *ocispecs.Platform) *ir.Stage {
	key := v.identity() + "|" + platformKey(p)
	if st := ev.combines[key]; st != nil {
		return st
	}
	st := ev.helperStage(string(v.Kind), it.rng)
	ev.combines[key] = st
	rest := v.Parts
	if v.Kind == KindMerge {
		rest = ev.mergeRoot(st, it, rest, p)
	}
	var srcs []ir.Source
	for _, part := range rest {
		src := ev.source(it, part, p)
		if src == nil {
			return st // reported
		}
		srcs = append(srcs, src)
	}
	if v.Kind == KindDiff {
		st.Steps = []ir.Step{&ir.Diff{StepMeta: ir.StepMeta{Range: it.rng}, Lower: srcs[0], Upper: srcs[1]}}
	} else if len(srcs) > 0 {
		st.Steps = []ir.Step{&ir.Merge{StepMeta: ir.StepMeta{Range: it.rng}, Of: srcs}}
	}
	st.Deps(func(d *ir.Stage) {
		if d.For != nil {
			st.For = d.For
		}
	})
	return st
}

// mergeRoot lets a merge start from its first part, whose image configuration it
// has; it returns the other parts.
func (ev *Evaluator) mergeRoot(st *ir.Stage, it *item, of []*Value, p *ocispecs.Platform) []*Value {
	switch first := of[0]; first.Kind {
	case kStage:
		st.Root = ir.StageRoot{Stage: ev.stage(first.Inst, p)}
	case KindMerge, KindDiff:
		st.Root = ir.StageRoot{Stage: ev.combined(it, first, p)}
	case KindImage:
		st.Root = ev.imageRoot(first.Image, it, p)
		if first.Image.Platform != nil {
			st.Platform = &ir.Platform{Platform: *first.Image.Platform, Auto: ev.autoPlatform(it.expr, *first.Image.Platform)}
		}
	case KindScratch:
	default:
		return of
	}
	return of[1:]
}

// optional makes a pattern of a path of a copy, so that it is no error when it is not
// there: a pattern may match nothing. A Dockerfile can say the same.
func (ev *Evaluator) optional(w ir.Word, at *item) (ir.Word, bool) {
	text, constant := w.Const()
	if !constant {
		at.errorf(diag.BadPath, "A path that expands cannot be optional", "%s is known at build time only. Write the path, or a pattern such as %s*.", w.Text(), w.Text())
		return w, false
	}
	return ir.Literal(optionalPattern(text)), true
}

// optionalPattern puts the first character that can be a class of its own into
// brackets. A path with wildcards, and the whole directory, are as they are.
func optionalPattern(p string) string {
	if strings.ContainsAny(p, `*?[\`) {
		return p
	}
	for i, r := range p {
		if !strings.ContainsRune("/.^-]!", r) {
			return p[:i] + "[" + string(r) + "]" + p[i+len(string(r)):]
		}
	}
	return p
}
