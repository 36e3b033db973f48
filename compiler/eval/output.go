package eval

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// moduleValue is the value of module.NAME as some references use it, what follows
// the name in each; none means all of it. Only what is used is read.
func (ev *Evaluator) moduleValue(n *lang.ModuleCall, uses []hcl.Traversal) cty.Value {
	x := ev.instances(n)
	if x.unknown || n.Bad {
		return cty.DynamicVal
	}
	if n.ForEach == nil {
		if len(x.list) == 0 {
			return absent(uses)
		}
		return ev.outputs(x.list[0], uses)
	}
	needed := byKey(uses)
	need := func(key string) ([]hcl.Traversal, bool) {
		if needed == nil {
			return nil, true
		}
		u, ok := needed[key]
		return u, ok
	}
	m := map[string]cty.Value{}
	for _, k := range x.disabled {
		if u, ok := need(k); ok {
			m[k] = absent(u)
		}
	}
	var list []*Instance
	for _, inst := range x.list {
		if _, ok := need(inst.Key); ok {
			list = append(list, inst)
		}
	}
	ev.Start(list)
	for _, inst := range list {
		u, _ := need(inst.Key)
		m[inst.Key] = ev.outputs(inst, u)
	}
	for _, t := range uses {
		if k, ok := stepName(t, 0); ok && m[k] == cty.NilVal && needed != nil {
			ev.noSuchCall(n, x, k, t)
			m[k] = cty.DynamicVal
		}
	}
	return cty.ObjectVal(m)
}

// noSuchCall reports a key, which a reference goes on with, that a module block has
// no instance of.
func (ev *Evaluator) noSuchCall(n *lang.ModuleCall, x *expansion, key string, t hcl.Traversal) {
	var keys []string
	for _, i := range x.list {
		keys = append(keys, i.Key)
	}
	ev.add(diag.Error(diag.UnknownKey, t.SourceRange(), fmt.Sprintf("%s has no instance %q", n.Addr(), key), lang.NoInstance(n.Base(), t, keys), diag.WithRelated(n.NameRange, "declared here")))
}

// byKey sorts references by the key that they begin with; nil when one of them is
// about all instances.
func byKey(uses []hcl.Traversal) map[string][]hcl.Traversal {
	if len(uses) == 0 {
		return nil
	}
	out := map[string][]hcl.Traversal{}
	for _, t := range uses {
		key, ok := stepName(t, 0)
		if !ok {
			return nil
		}
		rest := t[1:]
		if len(rest) == 0 {
			rest = nil
		}
		out[key] = append(out[key], rest)
	}
	return out
}

// stepName is the constant name or key at a place of a traversal.
func stepName(t hcl.Traversal, i int) (string, bool) {
	if i >= len(t) {
		return "", false
	}
	switch s := t[i].(type) {
	case hcl.TraverseAttr:
		return s.Name, true
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString(), true
		}
	}
	return "", false
}

// absent is what a module that is not enabled gives: null for whatever is asked.
func absent(uses []hcl.Traversal) cty.Value {
	m := map[string]cty.Value{}
	for _, t := range uses {
		name, ok := stepName(t, 0)
		if !ok {
			return cty.NullVal(cty.DynamicPseudoType)
		}
		m[name] = Null
	}
	if len(m) == 0 {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	return cty.ObjectVal(m)
}

// outputs is an object of a called module's outputs: those that references name,
// or all.
func (ev *Evaluator) outputs(inst *Instance, uses []hcl.Traversal) cty.Value {
	sub := ev.CalledBy(inst)
	if sub == nil {
		return cty.DynamicVal
	}
	m := map[string]cty.Value{}
	for _, t := range uses {
		name, ok := stepName(t, 0)
		if !ok {
			m = map[string]cty.Value{}
			uses = nil
			break
		}
		if out, ok := sub.mod.Lookup(lang.KindOutput, name).(*lang.Output); ok {
			m[name] = sub.Output(out)
			continue
		}
		m[name] = cty.DynamicVal
		ev.noSuchOutput(inst, sub, name, t[:1].SourceRange())
	}
	if len(uses) == 0 {
		for _, n := range sub.mod.Decls {
			if out, ok := n.(*lang.Output); ok {
				m[out.Name] = sub.Output(out)
			}
		}
	}
	return cty.ObjectVal(m)
}

func (ev *Evaluator) noSuchOutput(inst *Instance, sub *Evaluator, name string, at hcl.Range) {
	if sub.mod.Lost(lang.KindOutput) {
		return
	}
	names := sub.mod.Names(lang.KindOutput)
	var opts []diag.Option
	detail := fmt.Sprintf("The module %q has none; an output block in it shows a value to its callers: output %q { value = … }.", sub.mod.Dir, name)
	if len(names) > 0 {
		detail = fmt.Sprintf("The module %q has %s.%s", sub.mod.Dir, diag.List(names, 20), diag.DidYouMean(name, names))
	}
	if near := diag.Nearest(name, names); near != "" {
		opts = append(opts, diag.WithRelated(sub.mod.Lookup(lang.KindOutput, near).Base().NameRange, "the output %q is declared here", near))
	} else if n := sub.hidden(name); n != nil {
		detail += fmt.Sprintf(" Its %s is not to be seen from outside without an output.", n.Addr())
		opts = append(opts, diag.WithRelated(n.NameRange, "%s is declared here", n.Addr()))
	}
	ev.add(diag.Error(diag.UnknownResult, at, fmt.Sprintf("%s has no output %q", inst.Addr, name), detail, opts...))
}

// hidden finds a declaration that somebody may have meant by an output's name.
func (ev *Evaluator) hidden(name string) *lang.Decl {
	for _, k := range []lang.Kind{lang.KindStage, lang.KindArtifact, lang.KindTarget, lang.KindLocal, lang.KindVariable} {
		if n := ev.mod.Lookup(k, name); n != nil {
			return n.Base()
		}
	}
	return nil
}

// Output is the value of an output of this module, evaluated once.
func (ev *Evaluator) Output(n *lang.Output) cty.Value {
	x := ev.expanded[n.Index]
	if x == nil {
		x = &expansion{value: cty.DynamicVal}
		ev.expanded[n.Index] = x
		if n.Value != nil && !n.Bad {
			x.value = ev.value(n.Value.Expr, &scope{})
		}
		ev.attrStr(n.Description, &scope{})
	}
	return x.value
}
