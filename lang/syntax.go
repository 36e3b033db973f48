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

// culprit is a bracket that has no partner.
type culprit struct {
	at, end  int
	stray    bool // a closer without an opener
	kind     byte // the bracket
	header   int  // where the block's header begins; at for other brackets
	evidence hcl.Range
	insert   int // where the partner should be; -1 when that is not known
	indent   string
}

var closers = map[hclsyntax.TokenType]hclsyntax.TokenType{
	hclsyntax.TokenOBrace: hclsyntax.TokenCBrace, hclsyntax.TokenOBrack: hclsyntax.TokenCBrack, hclsyntax.TokenOParen: hclsyntax.TokenCParen,
	hclsyntax.TokenTemplateInterp: hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenTemplateControl: hclsyntax.TokenTemplateSeqEnd,
}

type opener struct {
	tok    hclsyntax.Token
	indent int
}

// unbalanced finds the bracket whose partner is missing; nil when all have one.
// Which one of several open ones that is, the indentation says: what stands as
// far left as the line of an open bracket does not belong to it.
func (p *piece) unbalanced(tokens hclsyntax.Tokens) *culprit {
	var stack []opener
	var hint, stray *culprit
	opens, closes := 0, 0
	for i, t := range tokens {
		off := t.Range.Start.Byte - p.start.Byte
		start, _ := p.line(off)
		indent := off - start
		leads := len(bytes.TrimSpace(p.data[start:off])) == 0
		closer := t.Type == hclsyntax.TokenCBrace || t.Type == hclsyntax.TokenCBrack || t.Type == hclsyntax.TokenCParen || t.Type == hclsyntax.TokenTemplateSeqEnd
		if n := len(stack); n > 0 && leads && stack[n-1].tok.Range.Start.Line < t.Range.Start.Line {
			top := stack[n-1]
			switch {
			case closer && indent < top.indent, p.beginsItem(tokens, i) && indent <= top.indent:
				if hint == nil {
					hint = p.unclosedAt(top, t.Range)
				}
			case closer && indent > top.indent && t.Type == closers[top.tok.Type] && stray == nil:
				stray = p.strayAt(t)
			}
		}
		switch {
		case closers[t.Type] != 0:
			opens++
			lead := p.data[start:off]
			stack = append(stack, opener{t, len(lead) - len(bytes.TrimLeft(lead, " \t"))})
		case closer:
			closes++
			if len(stack) == 0 {
				if stray == nil || closes <= opens {
					stray = p.strayAt(t)
				}
				return stray
			}
			top := stack[len(stack)-1]
			if closers[top.tok.Type] != t.Type {
				if hint == nil {
					hint = p.unclosedAt(top, t.Range)
				}
				return hint
			}
			stack = stack[:len(stack)-1]
		}
	}
	switch {
	case len(stack) == 0:
		return nil
	case hint != nil:
		return hint
	}
	return p.unclosedAt(stack[len(stack)-1], p.following())
}

// beginsItem reports whether token i is the name of an attribute or a block.
func (p *piece) beginsItem(tokens hclsyntax.Tokens, i int) bool {
	if tokens[i].Type != hclsyntax.TokenIdent || i+1 >= len(tokens) {
		return false
	}
	switch tokens[i+1].Type {
	case hclsyntax.TokenEqual, hclsyntax.TokenOBrace, hclsyntax.TokenOQuote:
		return true
	}
	return false
}

// following is the line after the piece; no range at the end of the file.
func (p *piece) following() hcl.Range {
	end := p.start.Byte + len(p.data)
	if end >= len(p.src.Data) {
		return hcl.Range{}
	}
	n := bytes.IndexByte(p.src.Data[end:], '\n')
	if n < 0 {
		n = len(p.src.Data) - end
	}
	line := bytes.TrimRight(p.src.Data[end:end+n], "\r")
	from := p.pos(len(p.data))
	to := from
	to.Byte, to.Column = from.Byte+len(line), from.Column+utf8.RuneCount(line)
	return hcl.Range{Filename: p.src.Name, Start: from, End: to}
}

func (p *piece) strayAt(t hclsyntax.Token) *culprit {
	at := t.Range.Start.Byte - p.start.Byte
	return &culprit{at: at, end: at + 1, stray: true, kind: p.data[at], header: at}
}

func (p *piece) unclosedAt(o opener, evidence hcl.Range) *culprit {
	at, end := o.tok.Range.Start.Byte-p.start.Byte, o.tok.Range.End.Byte-p.start.Byte
	c := &culprit{at: at, end: end, kind: p.data[end-1], header: at, evidence: evidence, insert: -1}
	start, _ := p.line(at)
	lead := p.data[start:at]
	c.indent = string(lead[:len(lead)-len(bytes.TrimLeft(lead, " \t"))])
	if c.kind == '{' && o.tok.Type == hclsyntax.TokenOBrace && len(bytes.TrimSpace(lead)) > 0 && !bytes.ContainsAny(lead, "=([") {
		c.header = start + len(c.indent)
	}
	to := len(p.data)
	if evidence.Filename != "" {
		to = evidence.Start.Byte - p.start.Byte
	}
	if to <= len(p.data) && bytes.IndexByte(p.data[at:to], '\n') >= 0 {
		c.insert = at + len(bytes.TrimRight(p.data[at:to], " \t\r\n"))
	}
	return c
}

var partners = map[byte]string{'{': "}", '[': "]", '(': ")", '}': "{", ']': "[", ')': "("}

func (p *piece) unclosed(c *culprit) *hcl.Diagnostic {
	partner := partners[c.kind]
	what := fmt.Sprintf("The %s is never closed", p.data[c.at:c.end])
	if c.header < c.at {
		what = fmt.Sprintf("The block %s is never closed", bytes.TrimSpace(p.data[c.header:c.at]))
	}
	detail := fmt.Sprintf("Its %s has no %s.", p.data[c.at:c.end], partner)
	var opts []diag.Option
	if c.evidence.Filename != "" {
		opts = append(opts, diag.WithRelated(c.evidence, "by its indentation, this stands outside of it"))
		if c.kind != '{' || c.insert < 0 {
			opts = []diag.Option{diag.WithRelated(c.evidence, "this comes before the %s", partner)}
		}
	}
	if c.insert >= 0 {
		at := p.rng(c.insert, c.insert)
		opts = append(opts, diag.WithFix(at, "\n"+c.indent+partner, "add %s after line %d", partner, at.Start.Line))
	}
	return diag.Error(diag.UnclosedBlock, p.rng(c.header, c.end), what, detail, opts...)
}

func (p *piece) strayCloser(c *culprit) *hcl.Diagnostic {
	at := p.rng(c.at, c.end)
	return diag.Error(diag.StrayBrace, at, fmt.Sprintf("A %c that closes nothing", c.kind),
		fmt.Sprintf("Each %s above has its %c already. Remove this one, or add the %s that is missing above.", partners[c.kind], c.kind, partners[c.kind]),
		diag.WithFix(at, "", "remove %c", c.kind))
}

// shellForm matches what stands between ${ and } in shell and never in HCL.
var shellForm = regexp.MustCompile(`^([#!]?[A-Za-z_][A-Za-z0-9_]*(\[[^\]]*\])?(:?[-+=?]|[#%/^,@:]).*|[#!][A-Za-z_].*|[-@*#?$!0-9]+|[@*#?$!0-9][:#%/+=?-].*)$`)

// directive matches what may stand between %{ and }.
var directive = regexp.MustCompile(`^~?\s*(if|else|endif|for|endfor)\b`)

// shell reports shell text in a template, for an error inside of it.
func (p *piece) shell(at int) (*hcl.Diagnostic, []edit) {
	start, end := p.line(at)
	for i := min(at+1, end-2); i >= start; i-- {
		open := p.data[i]
		if open != '$' && open != '%' || p.data[i+1] != '{' {
			continue
		}
		if i > start && p.data[i-1] == open {
			continue // an escape
		}
		close := closeOf(p.data[i+2 : end])
		if close < 0 {
			close = bytes.IndexByte(p.data[i+2:end], '"')
			if open == '$' || close < 0 {
				return nil, nil
			}
			close--
		}
		close += i + 3
		if close <= at {
			continue
		}
		text := string(p.data[i:close])
		inner := strings.TrimSuffix(text[2:], "}")
		if open == '$' && !shellForm.MatchString(inner) || open == '%' && directive.MatchString(inner) {
			return nil, nil
		}
		escaped := string(open) + text
		mask := strings.NewReplacer("$", "_", "%", "_", "{", "_", "}", "_", `"`, "_", `\`, "_").Replace(text)
		kind, other := "shell's ${…}", "an interpolation"
		if open == '%' {
			kind, other = "%{…}", "a directive such as %{ if … }"
		}
		return diag.Error(diag.ShellInTemplate, p.rng(i, close), fmt.Sprintf("%s is not HCL's", text),
			fmt.Sprintf("HCL reads %c{ in a string as the beginning of %s. To keep %s as text, write %s; or keep the script in a file: script = file(\"build.sh\").", open, other, kind, escaped),
			diag.WithFix(p.rng(i, close), escaped, "write %s", escaped)), []edit{{i, mask}}
	}
	return nil, nil
}

// shellComment reports ${#NAME} in a string that seems not to end: HCL takes what
// follows the # for a comment, closing quote and all.
func (p *piece) shellComment(open int) (*hcl.Diagnostic, []edit) {
	_, end := p.line(open)
	for i := open; i+2 < end; i++ {
		if p.data[i] == '$' && p.data[i+1] == '{' && p.data[i-1] != '$' {
			if d, edits := p.shell(i + 1); d != nil {
				return d, edits
			}
		}
	}
	return nil, nil
}

// openInterpolation reports a ${ before a quote on its line that has no }: the
// quote that ends the string then begins another one.
func (p *piece) openInterpolation(quote int) (*hcl.Diagnostic, []edit) {
	start, end := p.line(quote)
	i := bytes.LastIndex(p.data[start:quote], []byte("${"))
	if i < 0 || closeOf(p.data[start+i+2:end]) >= 0 {
		return nil, nil
	}
	i += start
	place := p.rng(quote, quote)
	return diag.Error(diag.UnclosedBlock, p.rng(i, quote), "The ${ is never closed", "An interpolation ends with a }.", diag.WithFix(place, "}", "add }")),
		[]edit{{i, strings.Repeat("_", quote-i)}}
}

// closeOf returns the offset of the brace that closes one that was opened before.
func closeOf(b []byte) int {
	depth := 0
	for i, c := range b {
		switch c {
		case '{':
			depth++
		case '}':
			if depth--; depth < 0 {
				return i
			}
		}
	}
	return -1
}
