// Package view shows what a module is, without building anything: the lists and
// graphs of the command line. It reads programs and graphs and writes text; what
// a build needs does not pass through it.
package view

import (
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/lang"
)

// Description is what a block says about itself; "" when it says nothing, or
// something that depends on an instance.
func Description(p *compiler.Program, n lang.Node) string {
	return text(p.Evaluator(), lang.AttrOf(n, "description"))
}

// text evaluates an attribute that takes a string.
func text(ev *eval.Evaluator, a *lang.Attr) string {
	if a == nil {
		return ""
	}
	v, diags := ev.Expression(a.Expr)
	if diags.HasErrors() {
		return ""
	}
	return textOf(v)
}

// textOf is a string that may be shown; "" for any other value.
func textOf(v cty.Value) string {
	if v.IsMarked() || !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}
