package eval

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// expansion is what a declaration stands for.
type expansion struct {
	list     []*Instance
	byKey    map[string]*Instance // of a matrix
	value    cty.Value            // of a reference to it: a capsule, an object of capsules, null
	disabled []string             // keys of instances that enabled leaves out: references to them are null
	unknown  bool                 // the keys depend on a value that is not known
}

// instances expands a declaration, once.
func (ev *Evaluator) instances(n lang.Node) *expansion {
	if x := ev.expanded[n.Base().Index]; x != nil {
		return x
	}
	x := &expansion{value: cty.DynamicVal}
	ev.expanded[n.Base().Index] = x // a second visit in a cycle, which Resolve reported, ends here
	d := n.Base()
	matrix := lang.MatrixOf(n)
	switch {
	case d.Bad && d.ForEach == nil && matrix == nil && d.Enabled == nil:
		ev.single(x, n)
	case matrix != nil:
		ev.matrixInstances(x, n, matrix)
	case d.ForEach != nil:
		ev.eachInstances(x, n)
	default:
		if on, known := ev.enabled(d, &scope{}); !known || on {
			ev.single(x, n)
		} else {
			x.value = Null
		}
	}
	return x
}

func (ev *Evaluator) single(x *expansion, n lang.Node) {
	inst := &Instance{Node: n, Addr: ev.addr(n.Base()), owner: ev, each: cty.DynamicVal}
	x.list = []*Instance{inst}
	inst.value = instanceValue(inst)
	x.value = inst.value
}

func instanceValue(i *Instance) cty.Value {
	return Of(&Value{Kind: Kind(i.Node.Base().Kind), Inst: i})
}

// enabled evaluates an enabled attribute; known is false when its value is not.
func (ev *Evaluator) enabled(d *lang.Decl, sc *scope) (on, known bool) {
	if d.Enabled == nil {
		return true, true
	}
	return ev.condition(d.Enabled, sc)
}

// condition evaluates a bool attribute; null counts as not set, which is true.
func (ev *Evaluator) condition(a *lang.Attr, sc *scope) (on, known bool) {
	it := ev.item(a, sc)
	b, ok := ev.boolean(it, diag.BadEnabled)
	if !ok {
		return false, !it.unknown() && it.null()
	}
	return b, true
}

// finish makes the value of a repeated declaration of its instances.
func (x *expansion) finish() {
	if x.unknown {
		x.value = cty.DynamicVal
		return
	}
	if len(x.list)+len(x.disabled) == 0 {
		x.value = cty.EmptyObjectVal
		return
	}
	m := make(map[string]cty.Value, len(x.list)+len(x.disabled))
	for _, k := range x.disabled {
		m[k] = Null
	}
	for _, i := range x.list {
		m[i.Key] = i.value
	}
	x.value = cty.ObjectVal(m)
}

func (ev *Evaluator) addInstance(x *expansion, n lang.Node, inst *Instance) {
	if on, known := ev.enabled(n.Base(), inst.scope(nil)); known && !on {
		x.disabled = append(x.disabled, inst.Key)
		return
	}
	inst.Addr = fmt.Sprintf("%s[%q]", ev.addr(n.Base()), inst.Key)
	inst.Node, inst.Keyed, inst.owner = n, true, ev
	inst.value = instanceValue(inst)
	x.list = append(x.list, inst)
	if x.byKey != nil {
		x.byKey[inst.Key] = inst
	}
}

// unknownInstance lets a block with an unknown for_each be checked once.
func (ev *Evaluator) unknownInstance(x *expansion, n lang.Node) {
	x.unknown = true
	inst := &Instance{Node: n, Key: "…", Keyed: true, Addr: ev.addr(n.Base()) + "[…]", owner: ev, key: cty.UnknownVal(cty.String), each: cty.DynamicVal, matrix: cty.DynamicVal}
	inst.value = instanceValue(inst)
	x.list = []*Instance{inst}
}

func (ev *Evaluator) eachInstances(x *expansion, n lang.Node) {
	defer x.finish()
	elems, ok := ev.elements(n.Base().ForEach, &scope{})
	if !ok {
		ev.unknownInstance(x, n)
		return
	}
	for _, el := range elems {
		ev.addInstance(x, n, &Instance{Key: el.name, key: el.key, each: el.value})
	}
}

// calls reports whether an expression calls a function.
func calls(e hclsyntax.Expression, name string) (found bool) {
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		c, ok := n.(*hclsyntax.FunctionCallExpr)
		found = found || ok && c.Name == name
		return nil
	})
	return found
}

// element is one of what a for_each repeats for.
type element struct {
	name       string
	key, value cty.Value
}

// elements evaluates a for_each. ok is false when it is unknown or was refused.
func (ev *Evaluator) elements(a *lang.Attr, sc *scope) (out []element, ok bool) {
	it := ev.item(a, sc)
	v := it.value()
	if it.unknown() {
		return nil, false
	}
	if it.null() {
		return nil, true
	}
	if v.IsMarked() {
		it.errorf(diag.SensitiveValue, "for_each cannot be sensitive", "The keys of instances are shown in names and messages.")
		return nil, false
	}
	t := v.Type()
	switch {
	case t.IsObjectType() || t.IsMapType():
		for e := v.ElementIterator(); e.Next(); {
			k, val := e.Element()
			if val.Type() == Type && val.IsKnown() && val.IsNull() {
				continue // an instance that is not enabled
			}
			out = append(out, element{k.AsString(), k, val})
		}
	case t.IsListType() || t.IsTupleType() || t.IsSetType():
		seen := map[string]bool{}
		for e := v.ElementIterator(); e.Next(); {
			_, val := e.Element()
			s, err := convert.Convert(val, cty.String)
			if err != nil || s.IsNull() || !s.IsWhollyKnown() {
				if !val.IsKnown() {
					return nil, false
				}
				it.errorf(diag.BadForEach, "for_each over a list takes distinct strings", "An element is %s. Use a map or an object, whose keys name the instances, for other values.", describe(val))
				return nil, false
			}
			if seen[s.AsString()] {
				it.errorf(diag.BadForEach, fmt.Sprintf("for_each has %q twice", s.AsString()), "The elements name the instances, so they must differ; toset([…]) drops repetitions.")
				return nil, false
			}
			seen[s.AsString()] = true
			out = append(out, element{s.AsString(), s, s})
		}
	default:
		it.errorf(diag.BadForEach, "for_each takes a map, an object, a set or a list of strings", "It is %s.", describe(v))
		return nil, false
	}
	if len(out) == 0 && calls(it.expr, "fileset") {
		if ev.opt.Check { // the directory may be filled before the build
			ev.add(diag.New(hcl.DiagWarning, diag.MissingSource, it.rng, "for_each is empty", "No file is like the pattern of fileset(), so there are no instances."))
		}
		return out, true
	}
	if len(out) == 0 && len(hclsyntax.Variables(it.expr)) == 0 {
		it.errorf(diag.BadForEach, "for_each is empty", "It is written out and has no elements, so there is nothing to repeat; use enabled = false to switch a block off.")
		return nil, false
	}
	for _, el := range out {
		if el.name == "" {
			it.errorf(diag.BadForEach, "for_each has an empty key", "A key names an instance, so it cannot be empty.")
			return nil, false
		}
	}
	return out, true
}

// axis is one dimension of a matrix.
type axis struct {
	name   string
	values []cty.Value
}

func (ev *Evaluator) matrixInstances(x *expansion, n lang.Node, m *lang.Repeat) {
	defer x.finish()
	x.byKey = map[string]*Instance{}
	d := n.Base()
	if d.ForEach != nil {
		ev.add(diag.Error(diag.ConflictingAttrs, d.ForEach.NameRange, "for_each and matrix on one "+string(d.Kind), "Each makes the instances; use one of them.", diag.WithRelated(m.Matrix.NameRange, "matrix is set here")))
		ev.unknownInstance(x, n)
		return
	}
	axes, ok := ev.axes(m)
	if !ok {
		ev.unknownInstance(x, n)
		return
	}
	excluded, ok := ev.excludes(m, axes)
	if !ok {
		ev.unknownInstance(x, n)
		return
	}
	combos := []map[string]cty.Value{{}}
	for _, ax := range axes {
		var next []map[string]cty.Value
		for _, c := range combos {
			for _, v := range ax.values {
				combo := map[string]cty.Value{ax.name: v}
				for k, o := range c {
					combo[k] = o
				}
				next = append(next, combo)
			}
		}
		combos = next
	}
	for _, c := range combos {
		if !matchesAny(c, excluded) {
			ev.matrixInstance(x, n, m, axes, c)
		}
	}
	if len(x.list) == 0 && d.Enabled == nil {
		ev.errorf(diag.BadMatrix, m.Matrix.Expr.Range(), "The matrix is empty", "matrix_exclude leaves out every combination.")
	}
}

func (ev *Evaluator) matrixInstance(x *expansion, n lang.Node, m *lang.Repeat, axes []axis, c map[string]cty.Value) {
	inst := &Instance{matrix: cty.ObjectVal(c)}
	if m.MatrixKey != nil {
		it := ev.item(m.MatrixKey, inst.scope(nil))
		k, ok := ev.str(it)
		if !ok {
			return
		}
		inst.Key = k
	} else {
		var parts []string
		for _, ax := range axes {
			parts = append(parts, keyText(c[ax.name]))
		}
		inst.Key = strings.Join(parts, "-")
	}
	if x.byKey[inst.Key] != nil {
		at := m.Matrix.Expr.Range()
		if m.MatrixKey != nil {
			at = m.MatrixKey.Expr.Range()
		}
		ev.errorf(diag.BadMatrix, at, fmt.Sprintf("Two combinations have the key %q", inst.Key), "The key names the instance; set matrix_key to an expression that differs for every combination.")
		return
	}
	ev.addInstance(x, n, inst)
}

func keyText(v cty.Value) string {
	s, err := convert.Convert(v, cty.String)
	if err != nil || s.IsNull() {
		return "null"
	}
	return s.AsString()
}

// axes evaluates a matrix in the order in which it is written.
func (ev *Evaluator) axes(m *lang.Repeat) ([]axis, bool) {
	it := ev.item(m.Matrix, &scope{})
	entries, ok := ev.entries(it, "a map of lists: { os = [\"linux\"], go = [\"1.25\", \"1.26\"] }")
	if !ok {
		return nil, false
	}
	if len(entries) == 0 {
		it.errorf(diag.BadMatrix, "The matrix is empty", "A matrix has one axis at least: matrix = { go = [\"1.25\", \"1.26\"] }.")
		return nil, false
	}
	var out []axis
	for _, e := range entries {
		v := e.item.value()
		if e.item.unknown() {
			return nil, false
		}
		ty := v.Type()
		if e.item.null() || !(ty.IsListType() || ty.IsTupleType() || ty.IsSetType()) {
			e.item.errorf(diag.BadMatrix, fmt.Sprintf("The axis %q is not a list", e.key), "It is %s; write the values of the axis in brackets.", describe(v))
			return nil, false
		}
		ax := axis{name: e.key}
		for i := v.ElementIterator(); i.Next(); {
			_, val := i.Element()
			if !val.IsKnown() {
				return nil, false
			}
			ax.values = append(ax.values, val)
		}
		if len(ax.values) == 0 {
			e.item.errorf(diag.BadMatrix, fmt.Sprintf("The axis %q has no values", e.key), "A matrix over an empty axis has no instances; use enabled = false to switch a target off.")
			return nil, false
		}
		out = append(out, ax)
	}
	return out, true
}

func (ev *Evaluator) excludes(x *lang.Repeat, axes []axis) ([]map[string]cty.Value, bool) {
	if x.MatrixExclude == nil {
		return nil, true
	}
	items, ok := ev.list(ev.item(x.MatrixExclude, &scope{}), "a list of objects")
	if !ok {
		return nil, false
	}
	var names []string
	for _, ax := range axes {
		names = append(names, ax.name)
	}
	var out []map[string]cty.Value
	for _, it := range items {
		entries, ok := ev.entries(it, "an object of axis values")
		if !ok {
			return nil, false
		}
		m := map[string]cty.Value{}
		for _, e := range entries {
			if !slices.Contains(names, e.key) {
				ev.errorf(diag.BadMatrix, e.keyRange, fmt.Sprintf("The matrix has no axis %q", e.key), "Its axes are %s.%s", diag.List(names, 20), diag.DidYouMean(e.key, names))
				return nil, false
			}
			m[e.key] = e.item.value()
		}
		out = append(out, m)
	}
	return out, true
}

func matchesAny(c map[string]cty.Value, patterns []map[string]cty.Value) bool {
	for _, p := range patterns {
		all := true
		for k, v := range p {
			all = all && keyText(c[k]) == keyText(v)
		}
		if all {
			return true
		}
	}
	return false
}

// repeat expands a step's for_each and enabled into the scopes it runs in.
func (ev *Evaluator) repeat(h *lang.StepHead, sc *scope) []*scope {
	scopes := []*scope{sc}
	if h.ForEach != nil {
		elems, ok := ev.elements(h.ForEach, sc)
		if !ok {
			elems = []element{{key: cty.UnknownVal(cty.String), value: cty.DynamicVal}}
		}
		scopes = scopes[:0]
		for _, el := range elems {
			scopes = append(scopes, sc.withEach(el.key, el.value))
		}
	}
	if h.Enabled == nil {
		return scopes
	}
	var out []*scope
	for _, s := range scopes {
		if on, known := ev.condition(h.Enabled, s); !known || on {
			out = append(out, s)
		}
	}
	return out
}

// dynamic expands a dynamic block in place.
func (ev *Evaluator) dynamic(d *lang.Dynamic, sc *scope, each func(lang.Step, *scope) []ir.Step) []ir.Step {
	it := ev.item(d.ForEach, sc)
	v := it.value()
	one := func(k, val cty.Value) []ir.Step {
		return each(d.Content, sc.withName(d.Iterator, cty.ObjectVal(map[string]cty.Value{"key": k, "value": val})))
	}
	switch {
	case !v.IsKnown():
		return one(cty.DynamicVal, cty.DynamicVal)
	case v.IsNull():
		return nil
	case v.IsMarked() || !v.CanIterateElements():
		it.errorf(diag.BadForEach, "for_each takes a collection", "It is %s.", describe(v))
		return nil
	}
	var out []ir.Step
	for e := v.ElementIterator(); e.Next(); {
		k, val := e.Element()
		if v.Type().IsSetType() {
			k = val
		}
		out = append(out, one(k, val)...)
	}
	return out
}

// Keys returns the keys of a repeated declaration, in order; nil for others.
func (ev *Evaluator) Keys(n lang.Node) []string {
	x := ev.instances(n)
	var out []string
	for _, i := range x.list {
		if i.Keyed {
			out = append(out, i.Key)
		}
	}
	return out
}
