package importer

import (
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/zclconf/go-cty/cty"
)

// wide is how long a line may get before a list or an object is broken.
const wide = 100

// expr is an expression that can be printed. render gives its text for a line
// that is indented depth levels.
type expr interface{ render(depth int) string }

// raw is HCL text as it is.
type raw string

func (e raw) render(int) string { return string(e) }

// str is a string literal.
type str string

func (e str) render(int) string { return quote(string(e)) }

// list is a tuple.
type list []expr

func (e list) render(depth int) string {
	var parts []string
	for _, x := range e {
		parts = append(parts, x.render(depth))
	}
	line := "[" + strings.Join(parts, ", ") + "]"
	if len(line)+2*depth <= wide && !strings.Contains(line, "\n") {
		return line
	}
	var b strings.Builder
	b.WriteString("[\n")
	for _, x := range e {
		b.WriteString(pad(depth+1) + x.render(depth+1))
		if _, ok := x.(doc); ok {
			b.WriteString("\n" + pad(depth+1))
		}
		b.WriteString(",\n")
	}
	return b.String() + pad(depth) + "]"
}

// entry is a key and a value of an object, with the comment above it.
type entry struct {
	comment []string
	key     string // the key's text, not yet HCL
	tmpl    bool   // key is the inside of a template
	path    bool   // key is a path, which is quoted although it looks like a name
	val     expr
}

// object is an object. One that is tight is kept on one line.
type object struct {
	entries []entry
	tight   bool
}

func (e object) render(depth int) string {
	if line, ok := e.line(depth); ok {
		return line
	}
	var b strings.Builder
	b.WriteString("{\n")
	for _, x := range e.entries {
		writeComment(&b, x.comment, depth+1)
		b.WriteString(pad(depth+1) + x.name() + " = " + x.val.render(depth+1) + "\n")
	}
	return b.String() + pad(depth) + "}"
}

func (e object) line(depth int) (string, bool) {
	if len(e.entries) > 1 && !e.tight {
		return "", false
	}
	var parts []string
	for _, x := range e.entries {
		if len(x.comment) > 0 {
			return "", false
		}
		parts = append(parts, x.name()+" = "+x.val.render(depth))
	}
	line := "{ " + strings.Join(parts, ", ") + " }"
	return line, !strings.Contains(line, "\n") && (e.tight || len(line)+2*depth <= wide)
}

// call is a function call.
type call struct {
	fn   string
	args []expr
}

func (e call) render(depth int) string {
	var b strings.Builder
	b.WriteString(e.fn + "(")
	for i, a := range e.args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(a.render(depth))
		if _, ok := a.(doc); ok {
			b.WriteString("\n" + pad(depth))
		}
	}
	return b.String() + ")"
}

// doc is a heredoc; its text ends with a line feed. A text that no heredoc gives
// back is written as a string.
type doc string

func (e doc) render(depth int) string {
	text := string(e)
	word := "EOF"
	for strings.Contains(text, word) && hasLine(text, word) {
		word += "_"
	}
	body := escapeTemplate(strings.TrimSuffix(text, "\n"))
	var flush strings.Builder
	for _, l := range strings.Split(body, "\n") {
		if l != "" {
			flush.WriteString(pad(depth + 1))
		}
		flush.WriteString(l + "\n")
	}
	for _, form := range []string{
		"<<-" + word + "\n" + flush.String() + pad(depth) + word,
		"<<" + word + "\n" + body + "\n" + word,
	} {
		if got, ok := evalString(form); ok && got == text {
			return form
		}
	}
	return quote(text)
}

func hasLine(text, word string) bool {
	for _, l := range strings.Split(text, "\n") {
		if strings.TrimSpace(l) == word {
			return true
		}
	}
	return false
}

// evalString evaluates a literal.
func evalString(text string) (string, bool) {
	e, diags := hclsyntax.ParseExpression([]byte(text+"\n"), "", hcl.InitialPos)
	if diags.HasErrors() {
		return "", false
	}
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String {
		return "", false
	}
	return v.AsString(), true
}

// quote writes a string literal.
func quote(s string) string {
	if q := `"` + escapeTemplate(escapeQuoted(s)) + `"`; sameString(q, s) {
		return q
	}
	return string(hclwrite.TokensForValue(cty.StringVal(s)).Bytes())
}

func sameString(literal, s string) bool {
	got, ok := evalString(literal)
	return ok && got == s
}

var quotedEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func escapeQuoted(s string) string { return quotedEscapes.Replace(s) }

var templateEscapes = strings.NewReplacer("${", "$${", "%{", "%%{")

func escapeTemplate(s string) string { return templateEscapes.Replace(s) }

var bareKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// notBare are words that mean something at the start of an object.
var notBare = map[string]bool{"for": true, "true": true, "false": true, "null": true}

func (e entry) name() string {
	if e.tmpl {
		return `"` + e.key + `"`
	}
	if e.path {
		return quote(e.key)
	}
	return objectKey(e.key)
}

func objectKey(k string) string {
	if bareKey.MatchString(k) && !notBare[k] {
		return k
	}
	return quote(k)
}

func pad(depth int) string { return strings.Repeat("  ", depth) }

func writeComment(b *strings.Builder, lines []string, depth int) {
	for _, l := range lines {
		if l == "" {
			b.WriteString("\n")
			continue
		}
		b.WriteString(pad(depth) + l + "\n")
	}
}

// attr is an attribute, or a comment alone when it has no name.
type attr struct {
	comment []string
	name    string
	val     expr
	from    *parser.Node
}

// block is a block; its body holds attrs and blocks in order.
type block struct {
	comment []string
	head    string // `stage "build"`
	attrs   []attr
	blocks  []*block
	tail    []attr // attributes behind the blocks
	end     []string
	from    *parser.Node
}

func (b *block) set(name string, val expr, from *parser.Node, comment ...string) {
	b.attrs = append(b.attrs, attr{comment: comment, name: name, val: val, from: from})
}

// printer writes blocks, and knows which instruction each line came from.
type printer struct {
	b      strings.Builder
	line   int
	origin map[int]*parser.Node
}

func (p *printer) write(text string, from *parser.Node) {
	for i := 0; from != nil && i <= strings.Count(text, "\n"); i++ {
		if p.origin[p.line+i] == nil {
			p.origin[p.line+i] = from
		}
	}
	p.line += strings.Count(text, "\n")
	p.b.WriteString(text)
}

func (p *printer) comment(lines []string, depth int) {
	var b strings.Builder
	writeComment(&b, lines, depth)
	p.write(b.String(), nil)
}

func (p *printer) attr(a attr, depth int) {
	p.comment(a.comment, depth)
	p.write(pad(depth)+a.name+" = "+a.val.render(depth)+"\n", a.from)
}

// oneLine is a block with a single short attribute on one line.
func (b *block) oneLine(depth int) (string, bool) {
	if len(b.blocks)+len(b.tail)+len(b.end) > 0 || len(b.attrs) > 1 {
		return "", false
	}
	if len(b.attrs) == 0 {
		return pad(depth) + b.head + " {}\n", true
	}
	if depth == 0 || len(b.attrs[0].comment) > 0 {
		return "", false
	}
	line := pad(depth) + b.head + " { " + b.attrs[0].name + " = " + b.attrs[0].val.render(depth) + " }\n"
	return line, !strings.Contains(strings.TrimSuffix(line, "\n"), "\n") && len(line) <= wide
}

func (p *printer) block(b *block, depth int) {
	p.comment(b.comment, depth)
	if line, ok := b.oneLine(depth); ok {
		from := b.from
		if len(b.attrs) > 0 && b.attrs[0].from != nil {
			from = b.attrs[0].from
		}
		p.write(line, from)
		return
	}
	p.write(pad(depth)+b.head+" {\n", b.from)
	for _, a := range b.attrs {
		p.attr(a, depth+1)
	}
	p.list(b.blocks, depth+1, len(b.attrs) > 0)
	for i, a := range b.tail {
		if i == 0 && len(b.attrs)+len(b.blocks) > 0 {
			p.write("\n", nil)
		}
		p.attr(a, depth+1)
	}
	if len(b.end) > 0 {
		p.write("\n", nil)
		p.comment(b.end, depth+1)
	}
	p.write(pad(depth)+"}\n", b.from)
}

// list writes blocks with an empty line between them, but for one-line blocks
// that follow each other.
func (p *printer) list(blocks []*block, depth int, something bool) {
	short := false
	for i, b := range blocks {
		_, line := b.oneLine(depth)
		if i > 0 && !(short && line && len(b.comment) == 0) || i == 0 && something {
			p.write("\n", nil)
		}
		short = line
		p.block(b, depth)
	}
}
