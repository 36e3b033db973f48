package lang

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/lang/diag"
)

// explainAt explains one error of HCL's parser by what stands at its place. Before
// brackets are counted (sure), only what cannot be a consequence of a missing one
// is explained; the result is nil for the rest.
func (p *piece) explainAt(d *hcl.Diagnostic, at int, tokens hclsyntax.Tokens, sure bool) (*hcl.Diagnostic, []edit) {
	at = min(max(at, 0), len(p.data))
	if d.Summary == "Invalid character" {
		return p.wrongCharacter(d, at)
	}
	if strings.Contains(d.Summary, "template") || strings.Contains(d.Summary, "interpolation") || strings.Contains(d.Summary, "directive") || strings.Contains(d.Summary, "Invalid expression") || strings.HasPrefix(d.Summary, "Missing") {
		if got, edits := p.shell(at); got != nil {
			return got, edits
		}
	}
	i := tokenAt(tokens, p.start.Byte+at)
	switch d.Summary {
	case "Argument or block definition required":
		if got, edits := p.notAnItem(at, i, tokens); got != nil {
			return got, edits
		}
	case "Unexpected comma after argument":
		return diag.Error(diag.Syntax, p.rng(at, at+1), "A comma after an attribute", "The attributes of a block stand on lines of their own, without commas.",
			diag.WithFix(p.rng(at, at+1), "", "remove the comma")), []edit{{at, " "}}
	case "Invalid argument name":
		if got, edits := p.quotedName(at); got != nil {
			return got, edits
		}
	case "Invalid escape sequence":
		if at < len(p.data)-1 && p.data[at] == '\\' {
			text := string(p.data[at : at+2])
			return diag.Error(diag.Syntax, p.rng(at, at+2), fmt.Sprintf("%s means nothing in a string", text), `In quotes, a backslash begins \n, \t, \", \\ or \u; a backslash itself is written twice. A heredoc takes it as it is.`,
				diag.WithFix(p.rng(at, at+1), `\\`, `write \%s`, text)), []edit{{at, "_"}}
		}
	case "Missing newline after argument", "Invalid expression":
		if got := p.unquoted(at); got != nil {
			return got, nil
		}
	}
	if sure {
		return nil, nil
	}
	switch d.Summary {
	case "Invalid block definition":
		return p.badBlock(d, at)
	case "Missing item separator", "Missing attribute separator", "Missing argument separator":
		return p.missingComma(at, i, tokens)
	case "Missing attribute value", "Missing key/value separator":
		return p.missingEquals(at, i, tokens)
	case "Invalid single-argument block definition", "Argument definition required":
		return p.oneLine(at), nil
	case "Missing newline after argument":
		return p.secondOnLine(at, "An attribute"), nil
	case "Missing newline after block definition":
		return p.secondOnLine(at, "A block"), nil
	case "Invalid expression":
		start, end := p.line(at)
		if m := attributeLine.FindIndex(p.data[start:end]); m != nil && start+m[1] < end && at >= end {
			return diag.Error(diag.Syntax, p.rng(start+m[1], end), "The expression ends too early", "An operator stands between two values, on one line; an expression of several lines stands in ( )."), nil
		}
		if at >= end || len(bytes.TrimSpace(p.data[at:end])) == 0 {
			return diag.Error(diag.Syntax, p.rng(start+leading(p.data[start:end]), end), "A value is missing", "After the = stands the attribute's value, on the same line."), nil
		}
	}
	return diag.Error(diag.Syntax, *d.Subject, d.Summary, d.Detail), nil
}

func leading(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " \t")) }

// tokenAt returns the index of the token that begins at a byte, or the first one
// behind it.
func tokenAt(tokens hclsyntax.Tokens, at int) int {
	i, _ := slices.BinarySearchFunc(tokens, at, func(t hclsyntax.Token, at int) int { return t.Range.Start.Byte - at })
	return min(i, len(tokens)-1)
}

// otherQuotes are characters that people take for quotes, and what closes them.
var otherQuotes = map[string]string{"'": "'", "`": "`", "“": "”", "”": "”", "‘": "’", "’": "’", "«": "»", "„": "“"}

// wrongCharacter explains a character that HCL has no use for.
func (p *piece) wrongCharacter(d *hcl.Diagnostic, at int) (*hcl.Diagnostic, []edit) {
	_, end := p.line(at)
	rest := string(p.data[at:end])
	for open, close := range otherQuotes {
		if !strings.HasPrefix(rest, open) {
			continue
		}
		inner, _, ok := strings.Cut(rest[len(open):], close)
		if !ok {
			return diag.Error(diag.WrongQuotes, *d.Subject, fmt.Sprintf("%s is no quote", open), `A string stands in double quotes: "text".`), nil
		}
		n := len(open) + len(inner) + len(close)
		fixed := `"` + strings.ReplaceAll(inner, `"`, `\"`) + `"`
		pad := func(s string) string { return strings.Repeat(" ", len(s)-1) }
		mask := pad(open) + `"` + strings.NewReplacer(`"`, "_", `\`, "_").Replace(inner) + `"` + pad(close)
		return diag.Error(diag.WrongQuotes, p.rng(at, at+n), "A string in the wrong quotes", fmt.Sprintf("HCL knows double quotes only, and not %s.", open),
			diag.WithFix(p.rng(at, at+n), fixed, "write %s", fixed)), []edit{{at, mask}}
	}
	if strings.HasPrefix(rest, ";") {
		opts := []diag.Option{diag.WithHelp("Each attribute has a line of its own.")}
		if rest == ";" {
			return diag.Error(diag.Syntax, p.rng(at, at+1), "A semicolon at the end of a line", "A line's end ends an attribute; nothing else is needed.", diag.WithFix(p.rng(at, at+1), "", "remove the semicolon")), []edit{{at, " "}}
		}
		return diag.Error(diag.Syntax, p.rng(at, at+1), "A semicolon between attributes", "HCL separates attributes by line ends.", opts...), nil
	}
	return diag.Error(diag.Syntax, *d.Subject, d.Summary, "This character has no meaning outside of a string."), nil
}

// notAnItem explains a line of a block that is neither attribute nor block.
func (p *piece) notAnItem(at, i int, tokens hclsyntax.Tokens) (*hcl.Diagnostic, []edit) {
	if tokens[i].Type != hclsyntax.TokenIdent || i+1 >= len(tokens) {
		return nil, nil
	}
	name := string(tokens[i].Bytes)
	next := tokens[i+1]
	off := next.Range.Start.Byte - p.start.Byte
	switch next.Type {
	case hclsyntax.TokenColon:
		if _, end := p.line(off); len(bytes.TrimSpace(p.data[off+1:end])) == 0 {
			return diag.Error(diag.ColonForEquals, p.rng(off, off+1), fmt.Sprintf("%s begins with {, not with a colon", name),
				fmt.Sprintf("A block is written %s { … }, an object %s = { … }.", name, name)), nil
		}
		return diag.Error(diag.ColonForEquals, p.rng(off, off+1), fmt.Sprintf("%s is set with =, not with a colon", name),
			fmt.Sprintf("In a block, write %s = … ; a colon may only stand between a key and a value in { }.", name),
			diag.WithFix(p.rng(tokens[i].Range.End.Byte-p.start.Byte, off+1), " =", "write %s =", name)), []edit{{off, "="}}
	case hclsyntax.TokenNewline, hclsyntax.TokenEOF:
		if off > at+len(name) {
			return nil, nil
		}
		return diag.Error(diag.Syntax, p.rng(at, at+len(name)), fmt.Sprintf("%q alone says nothing", name), "A line of a block sets an attribute (name = value) or begins a block (name { … })."),
			[]edit{{at, strings.Repeat(" ", len(name))}}
	}
	return nil, nil
}

var quotedIdent = regexp.MustCompile(`^"([A-Za-z_][A-Za-z0-9_-]*)"`)

// quotedName explains an attribute whose name is in quotes.
func (p *piece) quotedName(at int) (*hcl.Diagnostic, []edit) {
	_, end := p.line(at)
	m := quotedIdent.FindSubmatch(p.data[at:end])
	if m == nil {
		return nil, nil
	}
	name := string(m[1])
	return diag.Error(diag.WrongQuotes, p.rng(at, at+len(m[0])), "The name of an attribute in quotes", fmt.Sprintf("Names of attributes stand without quotes: %s = … ; keys of an object, in { }, may have them.", name),
		diag.WithFix(p.rng(at, at+len(m[0])), name, "write %s", name)), []edit{{at, " " + name + " "}}
}

// attributeLine matches a line that sets an attribute.
var attributeLine = regexp.MustCompile(`^[ \t]*([A-Za-z_][A-Za-z0-9_-]*)[ \t]*=[ \t]*`)

// bareText matches a value that looks like text: words, paths, image references.
var bareText = regexp.MustCompile(`^([A-Za-z_./~@][A-Za-z0-9_./~@:$ -]*|[0-9][0-9A-Za-z_.:/-]*[A-Za-z_.:/][0-9A-Za-z_.:/-]*)$`)

// unquoted explains a value that is a text without quotes.
func (p *piece) unquoted(at int) *hcl.Diagnostic {
	start, end := p.line(at)
	m := attributeLine.FindSubmatchIndex(p.data[start:end])
	if m == nil || start+m[1] > at {
		return nil
	}
	text := strings.TrimRight(string(p.data[start+m[1]:end]), " \t")
	if text == "" || !bareText.MatchString(text) || strings.Contains(text, " - ") || strings.Contains(text, " / ") {
		return nil
	}
	from := start + m[1]
	if name := string(p.data[start+m[2] : start+m[3]]); name == "from" || name == "image" {
		return diag.Error(diag.WrongQuotes, p.rng(from, from+len(text)), "An image without image()", fmt.Sprintf("An image of a registry is written image(%q); a stage of this module is stage.NAME.", text),
			diag.WithFix(p.rng(from, from+len(text)), fmt.Sprintf("image(%q)", text), "write image(%q)", text))
	}
	return diag.Error(diag.WrongQuotes, p.rng(from, from+len(text)), "A text without quotes", "A text stands in double quotes; without them, a word is a name.",
		diag.WithFix(p.rng(from, from+len(text)), `"`+text+`"`, "write %q", text))
}

// badBlock explains a header of a block without a brace: most often an attribute
// without its =.
func (p *piece) badBlock(d *hcl.Diagnostic, at int) (*hcl.Diagnostic, []edit) {
	from := at
	if d.Context != nil {
		from = d.Context.Start.Byte - p.start.Byte
	}
	_, end := p.line(from)
	line := string(p.data[from:end])
	name := line
	if i := strings.IndexFunc(line, func(r rune) bool {
		return !(r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
	}); i >= 0 {
		name = line[:i]
	}
	header := p.rng(from, from+len(strings.TrimRight(line, " \t")))
	if next := bytes.TrimLeft(p.data[end:], " \t\r\n"); bytes.HasPrefix(next, []byte("{")) {
		return diag.Error(diag.Syntax, header, "The { of a block is on the next line", "The brace stands at the end of the header: "+strings.TrimSpace(line)+" {"), nil
	}
	if slices.Contains(blockTypes, name) || slices.Contains(stepTypes, name) {
		return diag.Error(diag.Syntax, header, "A block without a {", "The header of a block ends with a brace: "+strings.TrimSpace(line)+" {",
			diag.WithFix(hcl.Range{Filename: header.Filename, Start: header.End, End: header.End}, " {", "add {")), nil
	}
	var edits []edit
	if rest := line[len(name):]; strings.HasPrefix(rest, " ") {
		edits = []edit{{from + len(name), "="}}
	}
	place := p.rng(from+len(name), from+len(name))
	return diag.Error(diag.MissingEquals, p.rng(from, from+len(name)), fmt.Sprintf("An = is missing after %s", name),
		fmt.Sprintf("Write %s = %s, or a { where a block begins.", name, strings.TrimSpace(line[len(name):])), diag.WithFix(place, " =", "add =")), edits
}

// missingComma explains two elements without a comma between them.
func (p *piece) missingComma(at, i int, tokens hclsyntax.Tokens) (*hcl.Diagnostic, []edit) {
	prev := at
	for j := i - 1; j >= 0; j-- {
		if t := tokens[j]; t.Type != hclsyntax.TokenNewline && t.Type != hclsyntax.TokenComment {
			prev = t.Range.End.Byte - p.start.Byte
			break
		}
	}
	var edits []edit
	switch {
	case prev < len(p.data) && p.data[prev] == ' ':
		edits = []edit{{prev, ","}}
	case at > prev && p.data[at-1] == ' ':
		edits = []edit{{at - 1, ","}}
	}
	place := p.rng(prev, prev)
	return diag.Error(diag.MissingComma, place, "A comma is missing here", "The elements of a list, an object or a call are separated by commas; in an object a line's end does as well.",
		diag.WithFix(place, ",", "add a comma")), edits
}

// missingEquals explains a key of an object without = or value.
func (p *piece) missingEquals(at, i int, tokens hclsyntax.Tokens) (*hcl.Diagnostic, []edit) {
	key := hclsyntax.Token{}
	for j := i - 1; j >= 0; j-- {
		if t := tokens[j]; t.Type != hclsyntax.TokenNewline && t.Type != hclsyntax.TokenComment {
			key = t
			break
		}
	}
	prev := key.Range.End.Byte - p.start.Byte
	var edits []edit
	if prev >= 0 && prev < len(p.data) && p.data[prev] == ' ' && prev+1 <= at {
		edits = []edit{{prev, "="}}
	}
	place := p.rng(prev, prev)
	return diag.Error(diag.MissingEquals, place, "An = is missing here", "An entry of an object is key = value.", diag.WithFix(place, " =", "add =")), edits
}

// oneLine explains a block on one line with more than one attribute.
func (p *piece) oneLine(at int) *hcl.Diagnostic {
	start, end := p.line(at)
	if start == at && at > 0 { // the newline before
		start, end = p.line(at - 1)
	}
	line := p.data[start:end]
	from := start + leading(line)
	head, inner, _ := strings.Cut(string(line[leading(line):]), "{")
	if !strings.Contains(inner, "}") {
		return diag.Error(diag.OneLineBlock, p.rng(from, from+len(head)+1), "A block that begins with an attribute on its line", "After the {, either the line ends, or one attribute and the } follow.",
			diag.WithHelp("Put each attribute on a line of its own, and the } too."))
	}
	return diag.Error(diag.OneLineBlock, p.rng(from, end), "A block on one line holds one attribute", "Several attributes stand on lines of their own.",
		diag.WithHelp("Write %s{, then each attribute on its line, then }.", head))
}

// secondOnLine explains text behind what should end its line.
func (p *piece) secondOnLine(at int, what string) *hcl.Diagnostic {
	_, end := p.line(at)
	return diag.Error(diag.Syntax, p.rng(at, max(at+1, end)), fmt.Sprintf("%s ends with its line", what), "What follows on the same line belongs to nothing.",
		diag.WithHelp("Put it on a line of its own. A text with blanks needs quotes."))
}
