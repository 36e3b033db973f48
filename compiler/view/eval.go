package view

import (
	"io/fs"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// Evaluated is the value of an expression.
type Evaluated struct {
	Value cty.Value
	Files map[string][]byte // the sources that the diagnostics speak of
}

// Eval evaluates an expression that a person typed in the scope of the module in
// a directory. Its names are checked like those of an expression in a file.
func Eval(fsys fs.FS, dir string, opt compiler.Options, src lang.Source) (Evaluated, hcl.Diagnostics) {
	p := compiler.Load(fsys, dir, opt)
	ev := p.Here()[0]
	m := ev.Module()
	m.Files[src.Name] = src.Data
	out := Evaluated{Value: cty.DynamicVal, Files: p.Files()}
	expr, diags := lang.ParseValue(src, false)
	if diags = append(diags, p.Diagnostics()...); diags.HasErrors() {
		return out, diag.Sort(diags)
	}
	// A local that no name leads to: Resolve checks its names.
	m.Decls = append(m.Decls, &lang.Local{
		Decl:  lang.Decl{Kind: lang.KindLocal, Range: expr.Range(), Body: &hclsyntax.Body{}, Index: len(m.Decls)},
		Value: &lang.Attr{Expr: expr, SrcRange: expr.Range()},
	})
	diags = append(diags, lang.Resolve(m, eval.Builtins())...)
	if diags.HasErrors() {
		return out, diag.Sort(diags)
	}
	out.Value, _ = ev.Expression(expr)
	return out, diag.Sort(append(diags, p.Diagnostics()...))
}
