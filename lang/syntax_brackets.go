package lang

import (
	"bytes"
	"fmt"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/lang/diag"
)

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
