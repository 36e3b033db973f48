package eval

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// explain turns HCL's evaluation errors into hbuild's.
func (ev *Evaluator) explain(diags hcl.Diagnostics, e hclsyntax.Expression) {
	for _, d := range diags {
		at := e.Range()
		if d.Subject != nil {
			at = *d.Subject
		}
		var opts []diag.Option
		if d.Expression != nil {
			opts = append(opts, diag.WithEval(d.Expression, d.EvalContext))
		}
		ev.explainOne(d, at, opts)
	}
}

func (ev *Evaluator) explainOne(d *hcl.Diagnostic, at hcl.Range, opts []diag.Option) {
	code, summary, detail := diag.Operation, d.Summary, d.Detail
	switch {
	case d.Summary == "Invalid template interpolation value":
		if v := buildIn(d); v != cty.NilVal {
			ev.buildInString(at, v, opts...)
			return
		}
		code = diag.WrongType
	case d.Summary == "Error in function call" || strings.HasPrefix(d.Summary, "Invalid function argument"):
		code = diag.FunctionError
		if v := buildIn(d); v != cty.NilVal && (strings.Contains(d.Detail, "string required") || strings.Contains(d.Detail, "cannot become part of a string")) {
			ev.buildInString(at, v, opts...)
			return
		}
		if i := strings.Index(d.Detail, "the module has no "); i >= 0 {
			code, summary, detail = diag.MissingFile, "There is no such file", upperFirst(d.Detail[i:])
		} else if m := argument.FindStringSubmatch(d.Detail); m != nil {
			summary, detail = fmt.Sprintf("A wrong %s for %s()", m[1], calledName(d)), upperFirst(m[2])
		}
		var coded *codedError
		var placed *placedError
		extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d)
		switch {
		case !ok:
		case errors.As(extra.FunctionCallError(), &placed):
			opts = []diag.Option{diag.WithRelated(at, "called here")}
			coded, at = &placed.codedError, placed.at
		default:
			errors.As(extra.FunctionCallError(), &coded)
		}
		if coded != nil {
			code, summary, detail = coded.code, coded.summary, sentence(upperFirst(coded.detail))
		}
	case strings.HasPrefix(d.Summary, "Not enough function arguments"), strings.HasPrefix(d.Summary, "Too many function arguments"):
		code = diag.FunctionError
		if f, ok := ev.mod.Lookup(lang.KindFunction, calledName(d)).(*lang.Function); ok {
			opts = append(opts, diag.WithRelated(f.NameRange, "the function is declared here"))
		}
	case d.Summary == "Unsupported attribute", d.Summary == "Invalid index", d.Summary == "Missing map element":
		code = diag.UnknownKey
		if got, text := missingKey(d, at); got != "" {
			summary, detail = got, text
		}
	case d.Summary == "Attempt to get attribute from null value", d.Summary == "Attempt to index null value":
		code = diag.NullValue
	case d.Summary == "Inconsistent conditional result types":
		code = diag.WrongType
	}
	ev.add(diag.New(d.Severity, code, at, summary, detail, opts...))
}

// argument matches what HCL says of an argument that a function refuses.
var argument = regexp.MustCompile(`^Invalid value for "([^"]*)" parameter: (.*)$`)

// calledName is the name of the function that a diagnostic is about.
func calledName(d *hcl.Diagnostic) string {
	if extra, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		return extra.CalledFunctionName()
	}
	if call, ok := d.Expression.(*hclsyntax.FunctionCallExpr); ok {
		return call.Name
	}
	return "the function"
}

// missingKey says which keys there are, for a key that an object does not have.
func missingKey(d *hcl.Diagnostic, at hcl.Range) (summary, detail string) {
	if d.Expression == nil || d.EvalContext == nil {
		return "", ""
	}
	for _, t := range d.Expression.Variables() {
		v, ok := d.EvalContext.Variables[t.RootName()]
		if !ok {
			continue
		}
		name := t.RootName()
		for _, step := range t[1:] {
			v, _ = v.Unmark()
			if !v.IsKnown() || v.IsNull() || !(v.Type().IsObjectType() || v.Type().IsMapType()) {
				break
			}
			key := ""
			switch s := step.(type) {
			case hcl.TraverseAttr:
				key = s.Name
			case hcl.TraverseIndex:
				if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
					key = s.Key.AsString()
				}
			}
			if key == "" {
				break
			}
			has := v.Type().IsObjectType() && v.Type().HasAttribute(key) || v.Type().IsMapType() && v.HasIndex(cty.StringVal(key)).True()
			if !has {
				keys := keysOf(v)
				if len(keys) == 0 {
					return fmt.Sprintf("%s has no %q", name, key), "It is empty."
				}
				return fmt.Sprintf("%s has no %q", name, key), "It has " + diag.List(keys, 20) + "." + diag.DidYouMean(key, keys)
			}
			if v.Type().IsObjectType() {
				v = v.GetAttr(key)
			} else {
				v = v.Index(cty.StringVal(key))
			}
			name += "." + key
		}
	}
	return "", ""
}

func keysOf(v cty.Value) (out []string) {
	for it := v.ElementIterator(); it.Next(); {
		k, _ := it.Element()
		out = append(out, k.AsString())
	}
	return out
}

// buildIn returns a build value that the expression of a diagnostic has in it.
func buildIn(d *hcl.Diagnostic) cty.Value {
	if d.Expression == nil || d.EvalContext == nil {
		return cty.NilVal
	}
	if v, diags := d.Expression.Value(d.EvalContext); !diags.HasErrors() {
		return buildWithin(v)
	}
	for _, t := range d.Expression.Variables() {
		if v, diags := t.TraverseAbs(d.EvalContext); !diags.HasErrors() {
			if b := buildWithin(v); b != cty.NilVal {
				return b
			}
		}
	}
	return cty.NilVal
}

// buildWithin returns the first build value in v, null ones included.
func buildWithin(v cty.Value) cty.Value {
	found := cty.NilVal
	_ = cty.Walk(v, func(_ cty.Path, el cty.Value) (bool, error) {
		el, _ = el.Unmark()
		if el.Type() == Type && found == cty.NilVal {
			found = el
		}
		return found == cty.NilVal, nil
	})
	return found
}

// buildInString reports a build value, which may be null, where text is made.
func (ev *Evaluator) buildInString(at hcl.Range, value cty.Value, opts ...diag.Option) {
	value, _ = value.Unmark()
	v := FromCty(value)
	if v == nil {
		ev.add(diag.Error(diag.BuildInString, at, "A build value cannot become text", "It is a value to build with, and no name. Put the text that is meant into a local.", opts...))
		return
	}
	opts = append(opts, declared(v)...)
	if v.Kind == Kind(lang.KindSecret) {
		ev.add(diag.Error(diag.SecretInValue, at, "A secret cannot become text",
			fmt.Sprintf("%s is known to the running step only, and hbuild writes it nowhere. Mount it (mounts = { \"/run/secrets/x\" = %s }) or put it into the env of a run step.", v.Describe(), v.Describe()), opts...))
		return
	}
	ev.add(diag.Error(diag.BuildInString, at, fmt.Sprintf("%s cannot become text", upperFirst(articleKind(v.Kind))),
		fmt.Sprintf("%s is a value to build with, not a name. Use it without quotes and ${ } where %s is taken; for its name, put that into a local.", v.Describe(), articleKind(v.Kind)), opts...))
}

// codedError carries a code of its own through a function call.
type codedError struct {
	code            diag.Code
	summary, detail string
}

func (e *codedError) Error() string { return e.summary + ": " + e.detail }

// placedError is a mistake in a function of the module, found by a call of it.
type placedError struct {
	codedError
	at hcl.Range
}
