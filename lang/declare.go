package lang

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/lang/diag"
)

var validName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)

// blockTypes are the blocks of a file.
var blockTypes = []string{"artifact", "cache", "context", "function", "group", "locals", "secret", "ssh", "stage", "target", "test", "variable"}

// laterBlocks are in the design and not in this version; reservedBlocks are kept
// for what may come.
var (
	laterBlocks    = map[string]bool{"workspace": true, "module": true, "output": true}
	reservedBlocks = map[string]bool{"service": true, "action": true, "policy": true, "check": true, "import": true, "moved": true, "plugin": true}
)

// newDecl returns an empty declaration for a block type, nil for none.
func newDecl(blockType string) Node {
	switch blockType {
	case "variable":
		return &Variable{}
	case "function":
		return &Function{}
	case "context":
		return &Context{}
	case "stage":
		return &Stage{}
	case "artifact":
		return &Artifact{}
	case "cache":
		return &Cache{}
	case "secret":
		return &Secret{}
	case "ssh":
		return &SSH{}
	case "target":
		return &Target{}
	case "group":
		return &Group{}
	case "test":
		return &Test{}
	}
	return nil
}

// decodeFile declares everything in a file.
func (m *Module) decodeFile(body *hclsyntax.Body) (diags hcl.Diagnostics) {
	for _, attr := range sortedAttrs(body) {
		diags = append(diags, diag.Error(diag.TopLevelAttribute, attr.NameRange, "An attribute outside of a block",
			fmt.Sprintf("A file holds blocks only. For a value of your own write locals { %s = … }.", attr.Name)))
	}
	for _, b := range body.Blocks {
		if b.Type == "locals" {
			diags = append(diags, m.declareLocals(b)...)
			continue
		}
		diags = append(diags, m.declareBlock(b)...)
	}
	return diags
}

func (m *Module) declareLocals(b *hclsyntax.Block) hcl.Diagnostics {
	diags := checkLabels(b, 0)
	for _, attr := range sortedAttrs(b.Body) {
		l := &Local{Decl: Decl{Kind: KindLocal, Name: attr.Name, NameRange: attr.NameRange, Range: attr.SrcRange, Body: b.Body, Bad: m.broken[b]}, Value: attr}
		diags = append(diags, m.declare(l)...)
	}
	for _, nested := range b.Body.Blocks {
		diags = append(diags, unknownBlock(nested, "locals block", nil))
	}
	return diags
}

func (m *Module) declareBlock(b *hclsyntax.Block) hcl.Diagnostics {
	n := newDecl(b.Type)
	switch {
	case laterBlocks[b.Type]:
		if m.later == nil {
			m.later = map[string]bool{}
		}
		m.later[b.Type] = true
		return hcl.Diagnostics{diag.Error(diag.NotYet, header(b), fmt.Sprintf("%q blocks are not supported yet", b.Type),
			"The block is part of the language but this version cannot take it.")}
	case reservedBlocks[b.Type]:
		return hcl.Diagnostics{diag.Error(diag.ReservedBlock, header(b), fmt.Sprintf("%q is reserved", b.Type),
			"No block has this name now; it is kept for later.")}
	case n == nil:
		diags := hcl.Diagnostics{unknownBlock(b, "", blockTypes)}
		if n = newDecl(diag.Nearest(b.Type, blockTypes)); n != nil && len(b.Labels) == 1 {
			// What was most likely meant is declared, so that references to it are
			// not reported as well.
			d := n.Base()
			d.Kind, d.Name, d.NameRange, d.Range = Kind(diag.Nearest(b.Type, blockTypes)), b.Labels[0], b.LabelRanges[0], header(b)
			d.Bad, d.Partial, d.Body = true, true, &hclsyntax.Body{}
			if validName.MatchString(d.Name) && m.byKey[declKey{d.Kind, d.Name}] == nil {
				diags = append(diags, m.declare(n)...)
			}
		}
		return diags
	}
	if m.broken[b] && len(b.Labels) != 1 {
		m.lose(Kind(b.Type))
		return nil
	}
	if diags := checkLabels(b, 1); diags.HasErrors() {
		m.lose(Kind(b.Type))
		return diags
	}
	d := n.Base()
	d.Kind, d.Name, d.NameRange, d.Range, d.Body = Kind(b.Type), b.Labels[0], b.LabelRanges[0], header(b), b.Body
	if m.broken[b] {
		d.Bad, d.Partial, d.Body = true, true, &hclsyntax.Body{}
		return m.declare(n)
	}
	diags := decodeBody(b.Body, d.Range, n)
	diags = append(diags, d.checkMeta()...)
	d.Bad = diags.HasErrors()
	return append(diags, m.declare(n)...)
}

// checkMeta refuses for_each and enabled on what has no instances.
func (d *Decl) checkMeta() (diags hcl.Diagnostics) {
	if d.Kind != KindVariable && d.Kind != KindFunction {
		return nil
	}
	for _, a := range []*Attr{d.ForEach, d.Enabled} {
		if a != nil {
			diags = append(diags, diag.Error(diag.UnknownAttribute, a.NameRange, fmt.Sprintf("Unknown attribute %q", a.Name),
				fmt.Sprintf("A %s is always there, once; for_each and enabled do not work on it.", d.Kind)))
		}
	}
	d.ForEach, d.Enabled = nil, nil
	return diags
}

// declare adds a declaration unless its name is bad or taken.
func (m *Module) declare(n Node) hcl.Diagnostics {
	d := n.Base()
	if !validName.MatchString(d.Name) {
		return hcl.Diagnostics{diag.Error(diag.BadName, d.NameRange, fmt.Sprintf("%q is not a name", d.Name),
			"A name begins with a letter and has letters, digits, _ and - only.")}
	}
	if (d.Kind == KindStage || d.Kind == KindContext) && strings.EqualFold(d.Name, "scratch") {
		m.lose(d.Kind)
		return hcl.Diagnostics{diag.Error(diag.ReservedName, d.NameRange, `"scratch" is reserved`,
			"scratch is the empty image; give the "+string(d.Kind)+" another name.")}
	}
	for _, k := range namespaces(d.Kind, d.Name) {
		if first := m.byKey[k]; first != nil {
			f := first.Base()
			what := fmt.Sprintf("%s %q is declared twice", article(d.Kind), d.Name)
			detail := "Give one of them another name."
			if f.Kind != d.Kind || f.Name != d.Name {
				what = fmt.Sprintf("%s %q and %s %q share a name", article(d.Kind), d.Name, article(f.Kind), f.Name)
				detail = fmt.Sprintf("A %s and a %s live in one namespace; %s", d.Kind, f.Kind, "give one of them another name.")
				if f.Kind == d.Kind {
					detail = "The names of stages and contexts are compared without case, as BuildKit does; give one of them another name."
				}
			}
			return hcl.Diagnostics{diag.Error(diag.Duplicate, d.NameRange, strings.ToUpper(what[:1])+what[1:], detail, diag.WithRelated(f.NameRange, "first declared here"))}
		}
	}
	d.Index = len(m.Decls)
	m.Decls = append(m.Decls, n)
	for _, k := range namespaces(d.Kind, d.Name) {
		m.byKey[k] = n
	}
	return nil
}

// namespaces returns the keys that a name takes: its own kind's, and that of the
// namespace that kinds share.
func namespaces(kind Kind, name string) []declKey {
	own := declKey{kind, name}
	switch kind {
	case KindTarget, KindGroup, KindTest:
		return []declKey{own, {"target|group|test", name}}
	case KindStage, KindContext:
		return []declKey{own, {"stage|context", strings.ToLower(name)}}
	}
	return []declKey{own}
}

func article(k Kind) string {
	switch k {
	case KindArtifact, KindSSH:
		return "an " + string(k)
	}
	return "a " + string(k)
}
