package lang

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/lang/diag"
)

// HCL's parser stops making sense of a file at the first brace or quote that is
// missing, and reports that at the end of the file. So a file that does not parse
// is read again in pieces, one for each block that begins in the first column. In
// a piece, what is wrong is looked for where it is: mistakes of one character are
// mended in a copy of the bytes, of the same length so that all positions hold,
// and the piece is parsed again until it is whole or beyond mending. What one
// piece lacks hides nothing in the others.

// parsed is what could be read of a file.
type parsed struct {
	body *hclsyntax.Body
	// broken are the blocks that could be read in part only; nothing but their
	// type and name is to be trusted.
	broken map[*hclsyntax.Block]bool
	// lost says that there may be declarations that could not be read at all.
	lost bool
}

// parse reads a file that is UTF-8.
func parse(src Source) (parsed, hcl.Diagnostics) {
	if body, ok := parseParts(src); ok {
		return parsed{body: body}, nil
	}
	file, diags := hclsyntax.ParseConfig(src.Data, src.Name, hcl.InitialPos)
	body, _ := file.Body.(*hclsyntax.Body)
	if !diags.HasErrors() {
		return parsed{body: body}, nil
	}
	out := parsed{body: &hclsyntax.Body{Attributes: hclsyntax.Attributes{}, SrcRange: body.SrcRange, EndRange: body.EndRange}, broken: map[*hclsyntax.Block]bool{}}
	diags = nil
	if d := otherLanguage(src); d != nil {
		return parsed{body: out.body, lost: true}, hcl.Diagnostics{d}
	}
	for _, p := range pieces(src) {
		diags = append(diags, p.read(&out)...)
	}
	return out, diags
}

var dockerfileStart = regexp.MustCompile(`(?i)^(?:[ \t]*(?:#[^\n]*)?\r?\n)*((?:FROM|ARG)[ \t]+[^={\s][^\n]*)`)

// otherLanguage recognises a file that is none of HCL's.
func otherLanguage(src Source) *hcl.Diagnostic {
	whole := &piece{src: src, start: hcl.InitialPos, data: src.Data}
	if m := dockerfileStart.FindSubmatchIndex(src.Data); m != nil {
		return diag.Error(diag.Syntax, whole.rng(m[2], m[3]), "The file is a Dockerfile", "An hbuild file is HCL: stage \"build\" { from = image(\"…\") }.")
	}
	if text := bytes.TrimLeft(src.Data, " \t\r\n"); bytes.HasPrefix(text, []byte("{")) {
		at := len(src.Data) - len(text)
		return diag.Error(diag.Syntax, whole.rng(at, at+1), "The file begins with a brace", "An hbuild file is HCL's own syntax, and neither JSON nor one object: stage \"build\" { … }.")
	}
	return nil
}

// piece is a part of a file, most often one block.
type piece struct {
	src    Source // the whole file
	start  hcl.Pos
	data   []byte // the piece, with mended bytes
	header bool   // begins with the header of a block
}

// blockStart matches the first line of a block that begins in the first column:
// anything with a brace, and what begins with a block's type even without.
var blockStart = regexp.MustCompile(`^(?:([A-Za-z_][A-Za-z0-9_-]*)[ \t]*(?:"[^"]*"?|[A-Za-z0-9_-]+"?)?[ \t]*\{|(` + strings.Join(blockTypes, "|") + `)[ \t]*["\r\n])`)

// startsBlock returns the type of the block that a line begins, or "".
func startsBlock(line []byte) string {
	m := blockStart.FindSubmatch(line)
	if m == nil {
		return ""
	}
	return string(m[1]) + string(m[2])
}

// heredocStart matches a line that ends by beginning a heredoc.
var heredocStart = regexp.MustCompile(`<<-?([\p{L}\p{N}_-]+)[ \t\r]*$`)

// pieces cuts a file where blocks begin in the first column.
func pieces(src Source) (out []*piece) {
	lines := bytes.SplitAfter(src.Data, []byte("\n"))
	pos, begin, beginPos := 0, 0, hcl.InitialPos
	until := -1 // the line that ends the heredoc that we are in
	header := false
	cut := func(end int) {
		if end > begin {
			out = append(out, &piece{src: src, start: beginPos, data: bytes.Clone(src.Data[begin:end]), header: header})
		}
	}
	for i, l := range lines {
		switch {
		case i <= until:
		case startsBlock(l) != "":
			cut(pos)
			begin, beginPos, header = pos, hcl.Pos{Line: i + 1, Column: 1, Byte: pos}, true
			fallthrough
		default:
			if w := heredocWord(l); w != "" {
				until = heredocEnd(lines, i, w)
			}
		}
		pos += len(l)
	}
	cut(len(src.Data))
	return out
}

// heredocWord returns the word that ends a heredoc which a line begins.
func heredocWord(line []byte) string {
	m := heredocStart.FindSubmatch(bytes.TrimRight(line, "\r\n"))
	if m == nil || bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
		return ""
	}
	return string(m[1])
}

// heredocEnd returns the line that ends a heredoc begun on line i, or i when none
// does: a block and then another heredoc with the same word before its end are
// taken for what follows a heredoc that was not ended.
func heredocEnd(lines [][]byte, i int, word string) int {
	block := false
	for j := i + 1; j < len(lines); j++ {
		if string(bytes.TrimSpace(lines[j])) == word {
			return j
		}
		if slices.Contains(blockTypes, startsBlock(lines[j])) {
			block = true
		}
		if block && heredocWord(lines[j]) == word {
			return i
		}
	}
	return i
}

// edit replaces bytes of a piece by as many others.
type edit struct {
	at   int // in the piece
	text string
}

// read parses a piece, mending it as it goes.
func (p *piece) read(out *parsed) (diags hcl.Diagnostics) {
	for range 200 {
		file, ds := hclsyntax.ParseConfig(p.data, p.src.Name, p.start)
		body := file.Body.(*hclsyntax.Body)
		var errs hcl.Diagnostics
		for _, d := range ds {
			if d.Summary == "Attribute redefined" {
				continue
			}
			errs = append(errs, d)
		}
		if len(errs) == 0 {
			for _, d := range ds {
				diags = append(diags, p.redefined(d, body))
			}
			p.keep(body, out, false)
			return diags
		}
		d, edits := p.explain(errs)
		diags = append(diags, d)
		if len(edits) == 0 {
			p.keep(body, out, true)
			return diags
		}
		for _, e := range edits {
			copy(p.data[e.at:], e.text)
		}
	}
	out.lost = true
	return diags
}

// keep adds what was parsed to the file.
func (p *piece) keep(body *hclsyntax.Body, out *parsed, broken bool) {
	for name, a := range body.Attributes {
		if out.body.Attributes[name] == nil && !broken {
			out.body.Attributes[name] = a
		}
	}
	if !broken {
		out.body.Blocks = append(out.body.Blocks, body.Blocks...)
		return
	}
	if !p.header || len(body.Blocks) == 0 || body.Blocks[0].Type != startsBlock(p.data) {
		out.lost = true
		return
	}
	// What follows the first block of a broken piece may be a part of it.
	b := body.Blocks[0]
	if b.Body == nil {
		b.Body = &hclsyntax.Body{}
	}
	out.broken[b] = true
	out.body.Blocks = append(out.body.Blocks, b)
}

// redefined reports an attribute that is set twice, with both places.
func (p *piece) redefined(d *hcl.Diagnostic, body *hclsyntax.Body) *hcl.Diagnostic {
	name := string(d.Subject.SliceBytes(p.src.Data))
	var opts []diag.Option
	if first := attributeAround(body, name, *d.Subject); first != nil {
		opts = append(opts, diag.WithRelated(first.NameRange, "first set here"))
	}
	return diag.Error(diag.Duplicate, *d.Subject, fmt.Sprintf("%q is set twice", name), "An attribute is set once; remove one of the two.", opts...)
}

// attributeAround returns the attribute of a name in the innermost block around a
// place.
func attributeAround(body *hclsyntax.Body, name string, at hcl.Range) *Attr {
	for _, b := range body.Blocks {
		if b.Body != nil && b.OpenBraceRange.End.Byte <= at.Start.Byte && at.End.Byte <= b.CloseBraceRange.Start.Byte {
			return attributeAround(b.Body, name, at)
		}
	}
	return body.Attributes[name]
}

// rng is the range of bytes of the piece.
func (p *piece) rng(from, to int) hcl.Range {
	return hcl.Range{Filename: p.src.Name, Start: p.pos(from), End: p.pos(to)}
}

func (p *piece) pos(at int) hcl.Pos {
	at = min(max(at, 0), len(p.data))
	pos := p.start
	before := p.data[:at]
	if n := bytes.Count(before, []byte("\n")); n > 0 {
		pos.Line += n
		pos.Column = 1
		before = before[bytes.LastIndexByte(before, '\n')+1:]
	}
	pos.Column += utf8.RuneCount(before)
	pos.Byte = p.start.Byte + at
	return pos
}

// line returns the bounds of the line that holds an offset, without its end.
func (p *piece) line(at int) (start, end int) {
	at = min(max(at, 0), len(p.data))
	start = bytes.LastIndexByte(p.data[:at], '\n') + 1
	end = len(p.data)
	if i := bytes.IndexByte(p.data[at:], '\n'); i >= 0 {
		end = at + i
	}
	for end > start && p.data[end-1] == '\r' {
		end--
	}
	return start, end
}

// explain finds the cause that comes first, and how to mend the piece so that
// parsing can go on; no edits when it cannot.
func (p *piece) explain(errs hcl.Diagnostics) (*hcl.Diagnostic, []edit) {
	first, at := errs[0], len(p.data)+1
	for _, d := range errs {
		off := d.Subject.Start.Byte - p.start.Byte
		if strings.HasPrefix(d.Summary, "Unclosed configuration") {
			off = len(p.data) // HCL names the brace, and finds out at the end
		}
		if off < at {
			first, at = d, off
		}
	}
	if open, word := p.openHeredoc(); open >= 0 && p.notBefore(at, open) {
		return p.unclosedHeredoc(open, word), nil
	}
	tokens, _ := hclsyntax.LexConfig(p.data, p.src.Name, p.start)
	if d, edits := p.explainAt(first, at, tokens, true); d != nil {
		return d, edits
	}
	if open := p.openString(tokens); open >= 0 && p.notBefore(at, open) {
		if d, edits := p.shellComment(open); d != nil {
			return d, edits
		}
		if d, edits := p.openInterpolation(open); d != nil {
			return d, edits
		}
		return p.unclosedString(open), nil
	}
	if c := p.unbalanced(tokens); c != nil && p.notBefore(at, c.at) {
		if c.stray {
			return p.strayCloser(c), []edit{{c.at, " "}}
		}
		return p.unclosed(c), nil
	}
	return p.explainAt(first, at, tokens, false)
}

// notBefore reports whether an error is on the line of a possible cause or below.
func (p *piece) notBefore(err, cause int) bool {
	start, _ := p.line(cause)
	return err >= start
}

// openHeredoc returns where a heredoc begins that the piece does not end.
func (p *piece) openHeredoc() (at int, word string) {
	lines := bytes.SplitAfter(p.data, []byte("\n"))
	pos, until := 0, -1
	for i, l := range lines {
		if i > until {
			if w := heredocWord(l); w != "" {
				if until = heredocEnd(lines, i, w); until == i {
					return pos + bytes.LastIndex(l, []byte("<<")), w
				}
			}
		}
		pos += len(l)
	}
	return -1, ""
}

func (p *piece) unclosedHeredoc(open int, word string) *hcl.Diagnostic {
	_, end := p.line(open)
	opts := []diag.Option{diag.WithHelp("End the text with a line that holds %s and nothing else.", word)}
	for _, m := range regexp.MustCompile(`(?m)^[ \t]*`+regexp.QuoteMeta(word)+`\b.*$`).FindAllIndex(p.data[end:], 1) {
		opts = append(opts, diag.WithRelated(p.rng(end+m[0], end+m[1]), "%s ends the text only when it is alone on its line", word))
	}
	return diag.Error(diag.UnclosedBlock, p.rng(open, end), "The heredoc is never ended",
		fmt.Sprintf("No line after it holds %s alone, so the text would go on to the end of the file.", word), opts...)
}

// openString returns where the quote stands whose string runs into the end of its
// line.
func (p *piece) openString(tokens hclsyntax.Tokens) int {
	open := -1
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOQuote:
			open = t.Range.Start.Byte - p.start.Byte
		case hclsyntax.TokenQuotedNewline:
			return open
		}
	}
	return -1
}

func (p *piece) unclosedString(open int) *hcl.Diagnostic {
	_, end := p.line(open)
	return diag.Error(diag.UnclosedString, p.rng(open, end), "The string is never closed",
		"A quoted string ends on the line that it begins on, and this line has an odd number of quotes.",
		diag.WithHelp(`Add the missing ". A text of several lines is written as a heredoc: <<-EOF, the lines, EOF.`))
}
