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
var blockTypes = []string{"artifact", "cache", "context", "function", "group", "locals", "module", "output", "secret", "ssh", "stage", "target", "test", "variable", "workspace"}

// reservedBlocks are kept for what may come.
var reservedBlocks = map[string]bool{"service": true, "action": true, "policy": true, "check": true, "import": true, "moved": true, "plugin": true}

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
	case "module":
		return &ModuleCall{}
	case "output":
		return &Output{}
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
		switch b.Type {
		case "locals":
			diags = append(diags, m.declareLocals(b)...)
		case workspaceBlock:
			diags = append(diags, m.declareWorkspace(b)...)
		default:
			diags = append(diags, m.declareBlock(b)...)
		}
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

// workspaceBlock marks the root of a tree of modules.
const workspaceBlock = "workspace"

func (m *Module) declareWorkspace(b *hclsyntax.Block) hcl.Diagnostics {
	diags := checkLabels(b, 0)
	for _, attr := range sortedAttrs(b.Body) {
		diags = append(diags, diag.Error(diag.UnknownAttribute, attr.NameRange, fmt.Sprintf("Unknown attribute %q", attr.Name),
			"A workspace block is empty: it says that this directory is the root of the modules below it."))
	}
	for _, nested := range b.Body.Blocks {
		diags = append(diags, unknownBlock(nested, "workspace", nil))
	}
	if m.Workspace.Filename != "" {
		diags = append(diags, diag.Error(diag.RepeatedBlock, header(b), "A second workspace block", "One block says it all.", diag.WithRelated(m.Workspace, "the first is here")))
		return diags
	}
	m.Workspace = header(b)
	return diags
}

func (m *Module) declareBlock(b *hclsyntax.Block) hcl.Diagnostics {
	n := newDecl(b.Type)
	switch {
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
	switch d.Kind {
	case KindVariable, KindFunction, KindOutput:
	default:
		return nil
	}
	for _, a := range []*Attr{d.ForEach, d.Enabled} {
		if a != nil {
			diags = append(diags, diag.Error(diag.UnknownAttribute, a.NameRange, fmt.Sprintf("Unknown attribute %q", a.Name),
				fmt.Sprintf("%s is always there, once; for_each and enabled do not work on it.", upperFirst(article(d.Kind)))))
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
	keys, taken := namespaces(d.Kind, d.Name)
	for _, k := range keys[:taken] {
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
			return hcl.Diagnostics{diag.Error(diag.Duplicate, d.NameRange, upperFirst(what), detail, diag.WithRelated(f.NameRange, "first declared here"))}
		}
	}
	d.Index = len(m.Decls)
	m.Decls = append(m.Decls, n)
	m.calls = m.calls || d.Kind == KindModule
	for _, k := range keys[:taken] {
		m.byKey[k] = n
	}
	return nil
}

// namespaces returns the keys that a name takes, and how many these are: its own
// kind's, and that of the namespace that kinds share.
func namespaces(kind Kind, name string) (keys [2]declKey, n int) {
	own := declKey{kind, name}
	switch kind {
	case KindTarget, KindGroup, KindTest, KindModule:
		return [2]declKey{own, {"target|group|test|module", name}}, 2
	case KindStage, KindContext:
		return [2]declKey{own, {"stage|context", strings.ToLower(name)}}, 2
	}
	return [2]declKey{own}, 1
}

func article(k Kind) string {
	switch k {
	case KindArtifact, KindSSH, KindOutput:
		return "an " + string(k)
	}
	return "a " + string(k)
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
