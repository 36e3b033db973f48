package eval

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/lang/funcs"
)

// item is a value at a place: an attribute, an element of a list, an entry of an
// object. It is evaluated when first looked at, so that a list or an object that
// is written out can be read part by part, each part with a range of its own.
type item struct {
	ev   *Evaluator
	sc   *scope
	name string // of the attribute that it belongs to
	expr hclsyntax.Expression
	rng  hcl.Range
	v    cty.Value
	done bool
	part *item // of which it is a part, for one without an expression of its own
}

// fail reports a mistake in the value, with the values of the names in it.
func (it *item) fail(code diag.Code, summary, detail string, opts ...diag.Option) {
	whole := it
	for whole.expr == nil && whole.part != nil {
		whole = whole.part
	}
	if whole.expr != nil && whole.sc != nil {
		if names := hclsyntax.Variables(whole.expr); len(names) > 0 {
			opts = append(opts, diag.WithEval(whole.expr, it.ev.context(whole.expr, whole.sc)))
		}
	}
	it.ev.add(diag.Error(code, it.rng, summary, detail, opts...))
}

// errorf is fail with a format for the detail.
func (it *item) errorf(code diag.Code, summary, format string, args ...any) {
	it.fail(code, summary, fmt.Sprintf(format, args...))
}

func (ev *Evaluator) item(a *lang.Attr, sc *scope) *item {
	return &item{ev: ev, sc: sc, name: a.Name, expr: a.Expr, rng: a.Expr.Range()}
}

// given makes an item of a value that no expression of its own stands for.
func (ev *Evaluator) given(name string, v cty.Value, at hcl.Range) *item {
	return &item{ev: ev, name: name, v: v, done: true, rng: at}
}

// element makes an item of a part of the value that has no expression of its own.
func (it *item) element(v cty.Value) *item {
	el := it.ev.given(it.name, v, it.rng)
	el.part = it
	return el
}

func (it *item) value() cty.Value {
	if !it.done {
		it.v, it.done = it.ev.value(it.expr, it.sc), true
	}
	return it.v
}

// unknown reports whether the value is not known, which is no error of its own.
func (it *item) unknown() bool { return !it.value().IsKnown() }

// set reports whether an attribute is there, and not null, which is the same as
// not being there.
func (ev *Evaluator) set(a *lang.Attr, sc *scope) bool {
	return a != nil && !ev.item(a, sc).null()
}

func (it *item) null() bool {
	if !it.done && neverNull(it.expr) {
		return false
	}
	v := it.value()
	return v.IsKnown() && v.IsNull()
}

// neverNull reports whether an expression cannot be null, whatever is in it: so that
// what is read part by part is not evaluated whole before.
func neverNull(e hclsyntax.Expression) bool {
	switch e.(type) {
	case *hclsyntax.TemplateExpr:
		return true
	}
	return writtenOut(e)
}

// sensitive reports a sensitive value where none may be, and whether it did.
func (it *item) sensitive() bool {
	if !it.value().ContainsMarked() {
		return false
	}
	it.errorf(diag.SensitiveValue, fmt.Sprintf("A sensitive value in %s", it.name),
		"What stands in %s can be read from the image, the Dockerfile or the log. Use a secret block and mount it instead.", it.name)
	it.v = cty.DynamicVal
	return true
}

// ready reports whether there is a value to read: neither unknown, null nor
// sensitive.
func (it *item) ready() bool {
	v := it.value()
	if !v.IsKnown() || it.sensitive() {
		return false
	}
	return !v.IsNull()
}

// describe names a value's type for a message, and the value when it is short.
func describe(v cty.Value) string {
	if b := FromCty(v); b != nil {
		return b.Describe()
	}
	v, marks := v.Unmark()
	t := v.Type()
	switch {
	case v.IsNull():
		return "null"
	case !v.IsKnown():
		return "a " + t.FriendlyName()
	case len(marks) > 0:
		return "a sensitive " + t.FriendlyName()
	case t == cty.String:
		s := v.AsString()
		if len(s) > 60 {
			s = s[:57] + "…"
		}
		return fmt.Sprintf("the string %q", s)
	case t == cty.Number:
		return "the number " + v.AsBigFloat().Text('f', -1)
	case t == cty.Bool:
		return fmt.Sprintf("the bool %t", v.True())
	case t.IsTupleType() || t.IsListType():
		return fmt.Sprintf("a list of %d", v.LengthInt())
	case t.IsObjectType() || t.IsMapType():
		return "an object"
	}
	return "a " + t.FriendlyName()
}

// wrongType reports a value of a type that the place does not take.
func (it *item) wrongType(want string) {
	v := it.value()
	if b := FromCty(v); b != nil {
		if b.Kind == Kind(lang.KindSecret) {
			it.fail(diag.SecretInValue, fmt.Sprintf("A secret in %s", it.name),
				fmt.Sprintf("What stands in %s can be read from the image, the Dockerfile or the log. Mount %s, or put it into the env of a run step.", it.name, b.Describe()), declared(b)...)
			return
		}
		it.fail(diag.BuildInString, fmt.Sprintf("%s takes %s", it.name, want), fmt.Sprintf("%s is a value to build with, and no text.", b.Describe()), declared(b)...)
		return
	}
	it.errorf(diag.WrongType, fmt.Sprintf("%s takes %s", it.name, want), "It is %s.", describe(v))
}

// str reads a string; numbers and bools are taken as HCL converts them.
func (ev *Evaluator) str(it *item) (string, bool) {
	if !it.ready() {
		return "", false
	}
	v := it.value()
	if v.Type() == cty.String {
		return v.AsString(), true
	}
	if t := v.Type(); t == cty.Number || t == cty.Bool {
		if t == cty.Number { // cty's way is slow, and ports are numbers
			if n, exact := v.AsBigFloat().Int64(); exact == big.Exact {
				return strconv.FormatInt(n, 10), true
			}
		}
		if s, err := convert.Convert(v, cty.String); err == nil {
			return s.AsString(), true
		}
	}
	it.wrongType("a string")
	return "", false
}

// attrStr reads a string attribute; ok is false when it is not set.
func (ev *Evaluator) attrStr(a *lang.Attr, sc *scope) (string, bool) {
	if a == nil {
		return "", false
	}
	return ev.str(ev.item(a, sc))
}

// word reads a string that expands at build time.
func (ev *Evaluator) word(it *item) (ir.Word, bool) {
	s, ok := ev.str(it)
	if !ok {
		return "", false
	}
	return ev.quote(s, it)
}

func (ev *Evaluator) quote(s string, it *item) (ir.Word, bool) {
	w, err := ir.Quote(s)
	if err != nil {
		it.errorf(diag.BadExpansion, fmt.Sprintf("A bad expansion in %s", it.name),
			"BuildKit cannot read %q: %v. The forms are $NAME, ${NAME}, ${NAME:-word}, :+ :? # ## %% %%%% / and // (written $${…} in HCL); \\$ is a dollar.", s, err)
		return "", false
	}
	return w, true
}

func (ev *Evaluator) attrWord(a *lang.Attr, sc *scope) (ir.Word, bool) {
	if a == nil {
		return "", false
	}
	return ev.word(ev.item(a, sc))
}

// boolean reads a bool; code is what a wrong type is called.
func (ev *Evaluator) boolean(it *item, code diag.Code) (bool, bool) {
	if !it.ready() {
		return false, false
	}
	b, err := convert.Convert(it.value(), cty.Bool)
	if err != nil || it.value().Type() == Type {
		it.errorf(code, fmt.Sprintf("%s takes true or false", it.name), "It is %s.", describe(it.value()))
		return false, false
	}
	return b.True(), true
}

func (ev *Evaluator) attrBool(a *lang.Attr, sc *scope) (bool, bool) {
	if a == nil {
		return false, false
	}
	return ev.boolean(ev.item(a, sc), diag.WrongType)
}

// integer reads a whole number.
func (ev *Evaluator) integer(it *item) (int64, bool) {
	if !it.ready() {
		return 0, false
	}
	n, err := convert.Convert(it.value(), cty.Number)
	if err == nil && it.value().Type() != Type {
		if i, acc := n.AsBigFloat().Int64(); acc == 0 {
			return i, true
		}
	}
	it.wrongType("a whole number")
	return 0, false
}

// list reads the elements of a list, nulls left out.
func (ev *Evaluator) list(it *item, want string) (out []*item, ok bool) {
	if t, isTuple := it.expr.(*hclsyntax.TupleConsExpr); isTuple {
		for _, e := range t.Exprs {
			el := &item{ev: ev, sc: it.sc, name: it.name, expr: e, rng: e.Range()}
			if !el.null() {
				out = append(out, el)
			}
		}
		return out, true
	}
	if !it.ready() {
		return nil, false
	}
	v := it.value()
	if t := v.Type(); !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
		it.wrongType(want)
		return nil, false
	}
	for e := v.ElementIterator(); e.Next(); {
		_, el := e.Element()
		if el.IsKnown() && el.IsNull() {
			continue
		}
		out = append(out, it.element(el))
	}
	return out, true
}

// strings reads a list of strings.
func (ev *Evaluator) strings(it *item) (out []string, ok bool) {
	items, ok := ev.list(it, "a list of strings")
	if !ok {
		return nil, false
	}
	out = []string{}
	for _, el := range items {
		s, fine := ev.str(el)
		ok = ok && fine
		out = append(out, s)
	}
	return out, ok
}

func (ev *Evaluator) attrStrings(a *lang.Attr, sc *scope) ([]string, bool) {
	if a == nil {
		return nil, false
	}
	return ev.strings(ev.item(a, sc))
}

// entry is a key and its value.
type entry struct {
	key      string
	keyRange hcl.Range
	item     *item
}

// entries reads an object: in source order when it is written out, where a key
// given twice is an error, and by key when it is computed.
func (ev *Evaluator) entries(it *item, want string) (out []entry, ok bool) {
	if obj, isObj := it.expr.(*hclsyntax.ObjectConsExpr); isObj {
		return ev.literalEntries(it, obj)
	}
	if !it.ready() {
		return nil, false
	}
	v := it.value()
	if t := v.Type(); !t.IsObjectType() && !t.IsMapType() {
		it.wrongType(want)
		return nil, false
	}
	for e := v.ElementIterator(); e.Next(); {
		k, val := e.Element()
		out = append(out, entry{key: k.AsString(), keyRange: it.rng, item: it.element(val)})
	}
	return out, true
}

func (ev *Evaluator) literalEntries(it *item, obj *hclsyntax.ObjectConsExpr) (out []entry, ok bool) {
	ok = true
	var seen map[string]hcl.Range
	if len(obj.Items) > 1 {
		seen = make(map[string]hcl.Range, len(obj.Items))
	}
	out = make([]entry, 0, len(obj.Items))
	for _, kv := range obj.Items {
		key, constant := lang.ConstString(kv.KeyExpr)
		if !constant {
			kit := &item{ev: ev, sc: it.sc, name: "a key of " + it.name, expr: kv.KeyExpr, rng: kv.KeyExpr.Range()}
			if key, constant = ev.str(kit); !constant {
				if kit.null() {
					kit.errorf(diag.NullValue, fmt.Sprintf("A key of %s is null", it.name), "A key is a string.")
				}
				ok = false
				continue
			}
		}
		at := kv.KeyExpr.Range()
		if first, twice := seen[key]; twice {
			ev.add(diag.Error(diag.DuplicateKey, at, fmt.Sprintf("%q is given twice in %s", key, it.name), "Which of the two holds is not for the reader to guess; remove one.", diag.WithRelated(first, "first given here")))
			ok = false
			continue
		}
		if seen != nil {
			seen[key] = at
		}
		out = append(out, entry{key: key, keyRange: at, item: &item{ev: ev, sc: it.sc, name: it.name, expr: kv.ValueExpr, rng: kv.ValueExpr.Range()}})
	}
	return out, ok
}

// option reads the keys of an options object, each by its own function; unknown
// keys are errors.
func (ev *Evaluator) options(it *item, what string, known map[string]func(*item)) bool {
	entries, ok := ev.entries(it, "an object")
	for _, e := range entries {
		read := known[e.key]
		if read == nil {
			ev.errorf(diag.UnknownOption, e.keyRange, fmt.Sprintf("Unknown key %q in %s", e.key, what),
				"It takes %s.%s", diag.List(slices.Sorted(maps.Keys(known)), 20), diag.DidYouMean(e.key, slices.Sorted(maps.Keys(known))))
			ok = false
			continue
		}
		if !e.item.null() {
			read(e.item)
		}
	}
	return ok
}

// Sensitive is the mark of values that may be shown nowhere.
var Sensitive = funcs.Sensitive
