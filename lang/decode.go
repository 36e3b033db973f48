package lang

import (
	"fmt"
	"reflect"
	"sort"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/lang/diag"
)

// Field is one attribute of a block, as its struct tag declares it.
type Field struct {
	Name     string
	Type     string
	Doc      string
	Required bool

	index []int
}

// Schema is what a block takes.
type Schema struct {
	Type   string
	Fields []Field // in the order of the struct, which is the order to document
	Blocks []string
	Steps  bool // whether steps stand in it
	Rest   bool // whether it takes attributes of any name

	attrs    map[string]*Field
	required []*Field
	blocks   map[string][]int
	names    []string
}

var schemas sync.Map // reflect.Type → *Schema

// SchemaOf returns the schema that a struct of this package declares.
func SchemaOf(node any) *Schema { return schemaOf(reflect.TypeOf(node)) }

func schemaOf(t reflect.Type) *Schema {
	if s, ok := schemas.Load(t); ok {
		return s.(*Schema)
	}
	s := &Schema{Type: blockType(t.Elem()), attrs: map[string]*Field{}, blocks: map[string][]int{}}
	s.collect(t.Elem(), nil)
	for i := range s.Fields {
		f := &s.Fields[i]
		s.attrs[f.Name] = f
		s.names = append(s.names, f.Name)
		if f.Required {
			s.required = append(s.required, f)
		}
	}
	got, _ := schemas.LoadOrStore(t, s)
	return got.(*Schema)
}

// blockType is the type of the blocks that a struct holds.
func blockType(t reflect.Type) string {
	if t == reflect.TypeFor[ModuleCall]() {
		return string(KindModule) // Module is what such a block calls
	}
	return strings.ToLower(t.Name())
}

// heads are what all blocks of a sort embed.
var heads = map[reflect.Type]bool{reflect.TypeFor[Decl](): true, reflect.TypeFor[StepHead](): true}

// collect reads the tags of t's fields, and those of what all blocks have last; a
// name that t declares itself hides one of those.
func (s *Schema) collect(t reflect.Type, prefix []int) {
	var embedded []int
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(append([]int(nil), prefix...), i)
		tag, ok := f.Tag.Lookup("hb")
		switch {
		case f.Anonymous && heads[f.Type]:
			embedded = append(embedded, i)
		case f.Anonymous:
			s.collect(f.Type, index)
		case !ok:
		case strings.HasSuffix(tag, ",steps"):
			s.Steps = true
		case strings.HasSuffix(tag, ",rest"):
			s.Rest = true
		case strings.HasSuffix(tag, ",block"):
			name := strings.TrimSuffix(tag, ",block")
			s.Blocks = append(s.Blocks, name)
			s.blocks[name] = index
		default:
			name, opt, _ := strings.Cut(tag, ",")
			if !s.has(name) {
				s.Fields = append(s.Fields, Field{Name: name, Type: f.Tag.Get("type"), Doc: f.Tag.Get("doc"), Required: opt == "required", index: index})
			}
		}
	}
	for _, i := range embedded {
		s.collect(t.Field(i).Type, append(append([]int(nil), prefix...), i))
	}
}

func (s *Schema) has(name string) bool {
	for _, f := range s.Fields {
		if f.Name == name {
			return true
		}
	}
	return false
}

// noun is what messages call the block.
func (s *Schema) noun() string {
	if isStep(s.Type) {
		return s.Type + " step"
	}
	return s.Type
}

// Field returns the attribute of a name, or nil.
func (s *Schema) Field(name string) *Field { return s.attrs[name] }

// attr returns the attribute of a decoded node by its name, or nil.
func (f *Field) attr(node reflect.Value) *Attr {
	v := node.Elem().FieldByIndex(f.index)
	if v.IsNil() {
		return nil // as most
	}
	return v.Interface().(*Attr)
}

// AttrOf returns the attribute that was written in node under a name, or nil.
func AttrOf(node any, name string) *Attr {
	v := reflect.ValueOf(node)
	if f := schemaOf(v.Type()).Field(name); f != nil {
		return f.attr(v)
	}
	return nil
}

// EachAttr calls fn for every attribute that is set in node, in schema order.
func EachAttr(node any, fn func(*Field, *Attr)) {
	v := reflect.ValueOf(node)
	s := schemaOf(v.Type())
	for i := range s.Fields {
		if a := s.Fields[i].attr(v); a != nil {
			fn(&s.Fields[i], a)
		}
	}
}

// header is the range of a block's type and labels.
func header(b *hclsyntax.Block) hcl.Range {
	return hcl.RangeBetween(b.TypeRange, b.DefRange())
}

// decodeBody fills node's attributes and nested blocks from body. What is what
// is by struct tags; what is no part of the schema is an error.
func decodeBody(body *hclsyntax.Body, at hcl.Range, node any) (diags hcl.Diagnostics) {
	v := reflect.ValueOf(node)
	s := schemaOf(v.Type())
	for name, attr := range body.Attributes {
		f := s.attrs[name]
		if f == nil && s.Rest {
			continue
		}
		if f == nil {
			diags = append(diags, unknownAttribute(s, attr))
			continue
		}
		v.Elem().FieldByIndex(f.index).Set(reflect.ValueOf(attr))
	}
	if call, ok := node.(*ModuleCall); ok {
		for _, attr := range sortedAttrs(body) {
			if s.attrs[attr.Name] == nil {
				call.Inputs = append(call.Inputs, attr)
			}
		}
	}
	for _, f := range s.required {
		if f.attr(v) == nil {
			diags = append(diags, diag.Error(diag.MissingAttribute, at,
				fmt.Sprintf("Missing attribute %q", f.Name),
				fmt.Sprintf("%s needs %s = … (%s). %s", upperFirst(article(Kind(s.noun()))), f.Name, f.Type, f.Doc)))
		}
	}
	for _, b := range body.Blocks {
		switch {
		case s.blocks[b.Type] != nil:
			diags = append(diags, decodeNested(b, v.Elem().FieldByIndex(s.blocks[b.Type]))...)
		case s.Steps:
			step, ds := decodeStep(b, s.noun())
			diags = append(diags, ds...)
			if step != nil {
				steps := stepsOf(node)
				*steps = append(*steps, step)
			}
		case s.attrs[b.Type] != nil:
			diags = append(diags, diag.Error(diag.UnknownBlock, header(b),
				fmt.Sprintf("%q is an attribute, not a block", b.Type),
				fmt.Sprintf("Write %s = { … } with an equals sign.", b.Type),
				diag.WithFix(hcl.Range{Filename: b.TypeRange.Filename, Start: b.TypeRange.End, End: b.TypeRange.End}, " =", "write %s =", b.Type)))
		default:
			diags = append(diags, unknownBlock(b, s.noun(), s.Blocks))
		}
	}
	return diags
}

func decodeNested(b *hclsyntax.Block, slice reflect.Value) hcl.Diagnostics {
	diags := checkLabels(b, 0)
	el := reflect.New(slice.Type().Elem().Elem())
	if r := el.Elem().FieldByName("Range"); r.IsValid() {
		r.Set(reflect.ValueOf(header(b)))
	}
	diags = append(diags, decodeBody(b.Body, header(b), el.Interface())...)
	slice.Set(reflect.Append(slice, el))
	return diags
}

func unknownAttribute(s *Schema, attr *Attr) *hcl.Diagnostic {
	detail := fmt.Sprintf("A %s has no attribute %q.", s.noun(), attr.Name)
	var opts []diag.Option
	if near := diag.Nearest(attr.Name, s.names); near != "" {
		detail += fmt.Sprintf(" Did you mean %q?", near)
		opts = append(opts, diag.WithFix(attr.NameRange, near, "write %s", near))
	} else {
		detail += " It takes " + diag.List(s.names, 40) + "."
	}
	return diag.Error(diag.UnknownAttribute, attr.NameRange, fmt.Sprintf("Unknown attribute %q", attr.Name), detail, opts...)
}

func unknownBlock(b *hclsyntax.Block, parent string, known []string) *hcl.Diagnostic {
	in := "An hbuild file"
	if parent != "" {
		in = "A " + parent
	}
	detail := fmt.Sprintf("%s has no block %q.", in, b.Type)
	var opts []diag.Option
	if near := diag.Nearest(b.Type, known); near != "" {
		detail += fmt.Sprintf(" Did you mean %q?", near)
		opts = append(opts, diag.WithFix(b.TypeRange, near, "write %s", near))
	} else if len(known) > 0 {
		detail += " It takes " + diag.List(known, 40) + "."
	} else {
		detail += " It takes attributes only."
	}
	return diag.Error(diag.UnknownBlock, header(b), fmt.Sprintf("Unknown block %q", b.Type), detail, opts...)
}

func checkLabels(b *hclsyntax.Block, want int) hcl.Diagnostics {
	if len(b.Labels) == want {
		return nil
	}
	detail := fmt.Sprintf("A %s block has no label: write %s { … }.", b.Type, b.Type)
	if want == 1 {
		detail = fmt.Sprintf("A %s block has one label, its name: write %s \"name\" { … }.", b.Type, b.Type)
	}
	return hcl.Diagnostics{diag.Error(diag.WrongLabels, header(b), fmt.Sprintf("Wrong number of labels on %q", b.Type), detail)}
}

// stepTypes are the blocks of a stage that are steps.
var stepTypes = []string{"copy", "dynamic", "mkdir", "remove", "run", "set", "symlink", "write"}

func newStep(kind string) Step {
	switch kind {
	case "run":
		return &Run{}
	case "copy":
		return &Copy{}
	case "write":
		return &Write{}
	case "set":
		return &Set{}
	case "mkdir":
		return &Mkdir{}
	case "remove":
		return &Remove{}
	case "symlink":
		return &Symlink{}
	}
	return nil
}

// stepsOf returns where the steps of a stage or a test are kept.
func stepsOf(node any) *[]Step {
	if t, ok := node.(*Test); ok {
		return &t.Steps
	}
	return &node.(*Stage).Steps
}

// decodeStep reads a step of a stage or a test, which parent names.
func decodeStep(b *hclsyntax.Block, parent string) (Step, hcl.Diagnostics) {
	if b.Type == "dynamic" {
		return decodeDynamic(b, parent)
	}
	step := newStep(b.Type)
	if step == nil {
		return nil, hcl.Diagnostics{unknownBlock(b, parent, append([]string{"precondition"}, stepTypes...))}
	}
	diags := checkLabels(b, 0)
	h := step.Head()
	h.Type, h.Range, h.Body = b.Type, header(b), b.Body
	return step, append(diags, decodeBody(b.Body, header(b), step)...)
}

func decodeDynamic(b *hclsyntax.Block, parent string) (Step, hcl.Diagnostics) {
	d := &Dynamic{StepHead: StepHead{Type: "dynamic", Range: header(b), Body: b.Body}}
	if len(b.Labels) != 1 || newStep(b.Labels[0]) == nil {
		return nil, hcl.Diagnostics{diag.Error(diag.WrongLabels, header(b), "A dynamic block names a step",
			`Write dynamic "run" { for_each = … content { … } }; the steps are run, copy, write, set, mkdir, remove and symlink.`)}
	}
	d.Of = b.Labels[0]
	d.Iterator = d.Of
	var diags hcl.Diagnostics
	for name, attr := range b.Body.Attributes {
		switch name {
		case "for_each":
			d.ForEach = attr
		case "iterator":
			d.Iterator = hcl.ExprAsKeyword(attr.Expr)
			if d.Iterator == "" {
				diags = append(diags, diag.Error(diag.BadName, attr.Expr.Range(), "An iterator is a bare name", "Write iterator = item, without quotes."))
			}
		default:
			diags = append(diags, diag.Error(diag.UnknownAttribute, attr.NameRange, fmt.Sprintf("Unknown attribute %q", name),
				"A dynamic block has for_each, iterator and one content block."+diag.DidYouMean(name, []string{"for_each", "iterator"})))
		}
	}
	if d.ForEach == nil {
		diags = append(diags, diag.Error(diag.MissingAttribute, header(b), `Missing attribute "for_each"`, "A dynamic block needs for_each = …, the elements to repeat its content for."))
	}
	for _, c := range b.Body.Blocks {
		switch {
		case c.Type != "content":
			diags = append(diags, unknownBlock(c, "dynamic", []string{"content"}))
		case d.Content != nil:
			diags = append(diags, diag.Error(diag.RepeatedBlock, header(c), "A second content block", "A dynamic block has one content block.",
				diag.WithRelated(d.Content.Head().Range, "the first is here")))
		default:
			content := *c
			content.Type = d.Of
			step, ds := decodeStep(&content, parent)
			diags = append(diags, ds...)
			d.Content = step
		}
	}
	if d.Content == nil {
		diags = append(diags, diag.Error(diag.MissingAttribute, header(b), "Missing content block", "A dynamic block needs content { … }, the body of the step that it repeats."))
		return nil, diags
	}
	if d.ForEach == nil || d.Iterator == "" {
		return nil, diags
	}
	return d, diags
}

// sortedAttrs returns a body's attributes in source order.
func sortedAttrs(body *hclsyntax.Body) []*Attr {
	out := make([]*Attr, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		out = append(out, a)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].SrcRange.Start.Byte < out[j].SrcRange.Start.Byte })
	return out
}
