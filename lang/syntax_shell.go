package lang

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/lang/diag"
)

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
