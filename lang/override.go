package lang

import (
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang/diag"
)

// override merges the blocks of an override file into the bodies that declare
// them. Attributes are replaced whole, any step replaces all steps of a stage,
// other nested blocks of one type replace all of that type, locals merge by name.
func override(bodies []*hclsyntax.Body, over *hclsyntax.Body) (diags hcl.Diagnostics) {
	for _, attr := range sortedAttrs(over) {
		diags = append(diags, diag.Error(diag.TopLevelAttribute, attr.NameRange, "An attribute outside of a block", "An override file holds blocks only."))
	}
	for _, b := range over.Blocks {
		if b.Type == "locals" {
			diags = append(diags, overrideLocals(bodies, b)...)
			continue
		}
		base := findBlock(bodies, b.Type, b.Labels)
		if base == nil {
			diags = append(diags, diag.Error(diag.OverrideUnknown, header(b), "Nothing to override",
				fmt.Sprintf("No file of the module declares %s %s, and an override may only name what exists.%s", b.Type, strings.Join(b.Labels, " "), diag.DidYouMean(strings.Join(b.Labels, " "), blockNames(bodies, b.Type)))))
			continue
		}
		overrideBody(base.Body, b.Body)
	}
	return diags
}

func overrideLocals(bodies []*hclsyntax.Body, b *hclsyntax.Block) (diags hcl.Diagnostics) {
	for _, attr := range sortedAttrs(b.Body) {
		found := false
		var names []string
		for _, body := range bodies {
			if body == nil {
				continue
			}
			for _, l := range body.Blocks {
				if l.Type != "locals" {
					continue
				}
				for name := range l.Body.Attributes {
					names = append(names, name)
				}
				if _, ok := l.Body.Attributes[attr.Name]; ok {
					l.Body.Attributes[attr.Name] = attr
					found = true
				}
			}
		}
		if !found {
			diags = append(diags, diag.Error(diag.OverrideUnknown, attr.NameRange, "Nothing to override",
				fmt.Sprintf("No local is called %q, and an override may only name what exists.%s", attr.Name, diag.DidYouMean(attr.Name, names))))
		}
	}
	return diags
}

func overrideBody(base, over *hclsyntax.Body) {
	for name, attr := range over.Attributes {
		base.Attributes[name] = attr
	}
	replaced := map[string]bool{}
	for _, b := range over.Blocks {
		replaced[b.Type] = true
		if isStep(b.Type) {
			for _, s := range stepTypes {
				replaced[s] = true
			}
		}
	}
	if len(replaced) == 0 {
		return
	}
	kept := base.Blocks[:0:0]
	for _, b := range base.Blocks {
		if !replaced[b.Type] {
			kept = append(kept, b)
		}
	}
	base.Blocks = append(kept, over.Blocks...)
}

func isStep(blockType string) bool {
	for _, s := range stepTypes {
		if s == blockType {
			return true
		}
	}
	return false
}

func findBlock(bodies []*hclsyntax.Body, blockType string, labels []string) *hclsyntax.Block {
	for _, body := range bodies {
		if body == nil {
			continue
		}
		for _, b := range body.Blocks {
			if b.Type == blockType && strings.Join(b.Labels, "\x00") == strings.Join(labels, "\x00") {
				return b
			}
		}
	}
	return nil
}

func blockNames(bodies []*hclsyntax.Body, blockType string) []string {
	var out []string
	for _, body := range bodies {
		if body == nil {
			continue
		}
		for _, b := range body.Blocks {
			if b.Type == blockType && len(b.Labels) == 1 {
				out = append(out, b.Labels[0])
			}
		}
	}
	return out
}

// set is one --set flag, taken apart.
type set struct {
	kind, name, attr, value string
	add                     bool
	source                  string // the name of the range
}

func parseSet(flag string, n int) (set, *hcl.Diagnostic) {
	bad := func(detail string) *hcl.Diagnostic {
		return diag.Error(diag.BadFlag, hcl.Range{}, fmt.Sprintf("--set %q is not ADDR.ATTR=VALUE", flag), detail)
	}
	left, value, ok := strings.Cut(flag, "=")
	if !ok {
		return set{}, bad("There is no = in it. Example: --set 'prod.tags=[\"app:dev\"]'.")
	}
	s := set{value: value, source: fmt.Sprintf("<--set #%d>", n+1)}
	left, s.add = strings.CutSuffix(left, "+")
	i := strings.LastIndex(left, ".")
	if i <= 0 {
		return set{}, bad("An address and an attribute stand before the =: target.prod.push=true, stage.build.user=root.")
	}
	addr := left[:i]
	s.attr = left[i+1:]
	s.kind, s.name, ok = strings.Cut(addr, ".")
	if !ok || newDecl(s.kind) == nil {
		s.kind, s.name = "target", addr
	}
	return s, nil
}

// applySets changes attributes as --set asks. The address is a glob over names of
// one kind; a target's kind may be left out.
func (m *Module) applySets(bodies []*hclsyntax.Body, flags []string) (diags hcl.Diagnostics) {
	for i, flag := range flags {
		s, d := parseSet(flag, i)
		if d != nil {
			diags = append(diags, d)
			continue
		}
		names := blockNames(bodies, s.kind)
		matched := false
		for _, name := range names {
			if ok, err := path.Match(s.name, name); err == nil && ok {
				matched = true
				diags = append(diags, m.applySet(findBlock(bodies, s.kind, []string{name}), s)...)
			}
		}
		if !matched {
			diags = append(diags, diag.Error(diag.OverrideUnknown, hcl.Range{}, fmt.Sprintf("--set names no %s", s.kind),
				fmt.Sprintf("No %s is called %q.%s", s.kind, s.name, didYouMeanOrList(s.name, names))))
		}
	}
	return diags
}

func (m *Module) applySet(b *hclsyntax.Block, s set) hcl.Diagnostics {
	field := SchemaOf(newDecl(s.kind)).Field(s.attr)
	if field == nil {
		return hcl.Diagnostics{diag.Error(diag.UnknownAttribute, hcl.Range{}, fmt.Sprintf("--set names no attribute %q", s.attr),
			fmt.Sprintf("A %s has no attribute %q.%s", s.kind, s.attr, diag.DidYouMean(s.attr, SchemaOf(newDecl(s.kind)).names)))}
	}
	m.Files[s.source] = []byte(s.value)
	expr, diags := valueExpr(Source{Name: s.source, Data: []byte(s.value)}, field.Type == "string")
	if diags.HasErrors() {
		return diags
	}
	rng := hcl.Range{Filename: s.source, Start: hcl.InitialPos, End: hcl.InitialPos}
	if old := b.Body.Attributes[s.attr]; old != nil && s.add {
		fn := "concat"
		if strings.HasPrefix(field.Type, "map") {
			fn = "merge"
		}
		expr = &hclsyntax.FunctionCallExpr{Name: fn, Args: []hclsyntax.Expression{old.Expr, expr}, NameRange: rng, OpenParenRange: rng, CloseParenRange: rng}
	}
	b.Body.Attributes[s.attr] = &Attr{Name: s.attr, Expr: expr, SrcRange: rng, NameRange: rng, EqualsRange: rng}
	return nil
}

// valueExpr reads a value of the command line: text for a string, else an HCL
// expression.
func valueExpr(src Source, text bool) (hclsyntax.Expression, hcl.Diagnostics) {
	if text {
		end := hcl.InitialPos
		end.Byte += len(src.Data)
		end.Column += len(src.Data)
		return &hclsyntax.LiteralValueExpr{Val: cty.StringVal(string(src.Data)), SrcRange: hcl.Range{Filename: src.Name, Start: hcl.InitialPos, End: end}}, nil
	}
	expr, diags := hclsyntax.ParseExpression(src.Data, src.Name, hcl.InitialPos)
	for _, d := range diags {
		d.Extra = &diag.Info{Code: diag.Syntax}
	}
	return expr, diags
}

// ParseValue reads a value of the command line as an HCL expression, or as text
// when the place takes a string.
func ParseValue(src Source, text bool) (hclsyntax.Expression, hcl.Diagnostics) {
	return valueExpr(src, text)
}

func didYouMeanOrList(name string, names []string) string {
	if s := diag.DidYouMean(name, names); s != "" {
		return s
	}
	return " There are: " + diag.List(names, 20) + "."
}
