package eval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// Here values to build with are read: stages, artifacts, images, contexts.

// build reads a build value of one of some kinds.
func (ev *Evaluator) build(it *item, kinds ...Kind) *Value {
	v := it.value()
	if !v.IsKnown() {
		return nil
	}
	v, _ = v.Unmark()
	b := FromCty(v)
	if b != nil {
		for _, k := range kinds {
			if b.Kind == k {
				return b
			}
		}
	}
	want := kindList(kinds)
	if v.IsNull() {
		ev.nullBuild(it, want)
		return nil
	}
	long := ""
	if len(kinds) > 6 {
		long, want = " It takes "+want+".", "a build value"
	}
	switch {
	case b == nil && it.value().IsMarked():
		it.wrongType(want)
		return nil
	case b == nil:
		ev.notBuild(it, v, want, long, kinds)
		return nil
	}
	it.fail(diag.WrongKind, fmt.Sprintf("%s takes %s", it.name, want), fmt.Sprintf("%s is %s.%s%s", b.Describe(), articleKind(b.Kind), kindHint(b, kinds), long), declared(b)...)
	return nil
}

func declared(b *Value) []diag.Option {
	if b.Inst == nil {
		return nil
	}
	return []diag.Option{diag.WithRelated(b.Inst.Node.Base().NameRange, "declared here")}
}

// kindHint says how to get from the value that is there to one that fits.
func kindHint(b *Value, kinds []Kind) string {
	for _, k := range kinds {
		if b.Kind == kTest && k == kStage {
			return " Nothing starts from a test or takes files of it; put what both need into a stage."
		}
		if b.Kind == Kind(lang.KindArtifact) && k == Kind(lang.KindStage) {
			return " A stage starts from a whole stage or image; copy the artifact in a step."
		}
	}
	return ""
}

func articleKind(k Kind) string {
	switch k {
	case KindImage, Kind(lang.KindArtifact), Kind(lang.KindSSH), KindHTTP, KindOutput:
		return "an " + string(k)
	}
	return "a " + string(k)
}

func kindList(kinds []Kind) string {
	// A merge, a diff and a dockerfile stand for stages, and few mean them.
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k Kind) bool { return k == KindMerge || k == KindDiff || k == KindDockerfile })
	var out []string
	for _, k := range kinds {
		if k != KindScratch && k != KindMount {
			out = append(out, articleKind(k))
		}
	}
	if len(out) == 1 {
		return out[0]
	}
	return strings.Join(out[:len(out)-1], ", ") + " or " + out[len(out)-1]
}

// nullBuild reports null where a value is needed: most often the reference of a
// block that is not enabled.
func (ev *Evaluator) nullBuild(it *item, want string) {
	whole := it
	for whole.expr == nil && whole.part != nil {
		whole = whole.part
	}
	if whole.expr != nil {
		if d := ev.disabledIn(whole.expr, map[lang.Node]bool{}); d != nil {
			it.fail(diag.DisabledReference, fmt.Sprintf("%s is not enabled", d.Addr()),
				fmt.Sprintf("%s needs %s here. Choose another value when it is disabled: cond ? %s : other.", it.name, want, d.Addr()),
				diag.WithRelated(d.Enabled.SrcRange, "it is switched off here"))
			return
		}
	}
	it.errorf(diag.NullValue, fmt.Sprintf("%s is null", it.name), "It needs %s.", want)
}

// disabledIn finds a declaration with an instance that is not enabled, in what an
// expression names, itself or through locals.
func (ev *Evaluator) disabledIn(e hclsyntax.Expression, seen map[lang.Node]bool) *lang.Decl {
	for _, t := range hclsyntax.Variables(e) {
		if len(t) < 2 {
			continue
		}
		step, ok := t[1].(hcl.TraverseAttr)
		if !ok {
			continue
		}
		n := ev.mod.Lookup(refKinds[t.RootName()], step.Name)
		if n == nil || seen[n] {
			continue
		}
		seen[n] = true
		if l, ok := n.(*lang.Local); ok {
			if d := ev.disabledIn(l.Value.Expr, seen); d != nil {
				return d
			}
			continue
		}
		if n.Base().Enabled != nil && (len(ev.instances(n).disabled) > 0 || len(ev.instances(n).list) == 0) {
			return n.Base()
		}
	}
	return nil
}

// notBuild reports an ordinary value where a build value is needed. A string is
// most often the name of one.
func (ev *Evaluator) notBuild(it *item, v cty.Value, want, long string, kinds []Kind) {
	if v.Type() == cty.String && v.IsKnown() {
		s := v.AsString()
		if addr, at := ev.findByName(s, kinds); addr != "" {
			ev.add(diag.Error(diag.StringForBuild, it.rng, fmt.Sprintf("%s takes %s, not its name", it.name, want),
				fmt.Sprintf("%q is a string. Did you mean %s?", s, addr), diag.WithRelated(at, "%s is declared here", addr), diag.WithFix(it.rng, addr, "write %s", addr)))
			return
		}
		hint := ""
		for _, k := range kinds {
			if k == KindImage && likeImage(s) {
				hint = fmt.Sprintf(" For an image of a registry write image(%q).", s)
			}
		}
		it.errorf(diag.StringForBuild, fmt.Sprintf("%s takes %s, not a string", it.name, want), "%q is a string, and a string never names something to build with.%s", s, hint)
		return
	}
	if outs := ev.moduleIn(it); outs != "" {
		it.errorf(diag.WrongType, fmt.Sprintf("%s takes %s, not a module", it.name, want), "Name an output of the module: %s.", outs)
		return
	}
	if v.Type().IsObjectType() && v.LengthInt() > 0 {
		for e := v.ElementIterator(); e.Next(); {
			k, el := e.Element()
			if el.IsKnown() && el.IsNull() {
				continue
			}
			if FromCty(el) != nil && FromCty(el).Inst != nil {
				d := FromCty(el).Inst.Node.Base()
				it.errorf(diag.MissingKey, fmt.Sprintf("%s takes one instance", it.name), "%s has for_each; choose one with a key: %s[%q].", d.Addr(), d.Addr(), k.AsString())
				return
			}
			break
		}
	}
	it.errorf(diag.WrongType, fmt.Sprintf("%s takes %s", it.name, want), "It is %s.%s", describe(v), long)
}

// moduleIn is an output as an example, when a value is a whole module.
func (ev *Evaluator) moduleIn(it *item) string {
	e, ok := it.expr.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(e.Traversal) < 2 || !it.value().Type().IsObjectType() {
		return ""
	}
	name, _ := stepName(e.Traversal, 1)
	n, ok := ev.mod.Lookup(refKinds[e.Traversal.RootName()], name).(*lang.ModuleCall)
	if !ok {
		return ""
	}
	text := string(e.Range().SliceBytes(ev.mod.Files[e.Range().Filename]))
	for _, inst := range ev.instances(n).list {
		sub := ev.CalledBy(inst)
		if sub == nil {
			continue
		}
		if n.ForEach != nil && len(e.Traversal) == 2 {
			text += fmt.Sprintf("[%q]", inst.Key)
		}
		if names := sub.mod.Names(lang.KindOutput); len(names) > 0 {
			return text + "." + names[0]
		}
		return text + ".NAME, which takes an output block in the module"
	}
	return ""
}

// likeImage reports whether a text reads like an image of a registry.
func likeImage(s string) bool { return strings.ContainsAny(s, ":/") && checkImageRef(s) == nil }

// findByName looks for a declaration of one of some kinds that a string names or
// nearly names.
func (ev *Evaluator) findByName(s string, kinds []Kind) (string, hcl.Range) {
	for _, k := range kinds {
		kind := lang.Kind(k)
		names := ev.mod.Names(kind)
		n := ev.mod.Lookup(kind, s)
		if n == nil {
			if near := diag.Nearest(s, names); near != "" {
				n = ev.mod.Lookup(kind, near)
			}
		}
		if n != nil && n.Base().NameRange.Filename != "" {
			return n.Base().Addr(), n.Base().NameRange
		}
	}
	return "", hcl.Range{}
}
