package lang

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// maxFormatPasses bounds how often Format formats its own result. HCL's formatter
// settles after one pass, or two where it moves a comment.
const maxFormatPasses = 4

// Format returns the source in canonical form: HCL's own spacing and alignment,
// at most one empty line in a row, none at the ends of the file, and a newline at
// its end. Comments, and the text inside of strings and heredocs, are kept.
// Formatting again changes nothing. A source with syntax errors is not formatted;
// those are returned.
func Format(src Source) ([]byte, hcl.Diagnostics) {
	if _, diags := Parse(src); diags.HasErrors() {
		return nil, diags
	}
	out := src.Data
	for range maxFormatPasses {
		next := squeeze(hclwrite.Format(out))
		if bytes.Equal(next, out) {
			break
		}
		out = next
	}
	return out, nil
}

// squeeze drops needless empty lines. It goes by tokens, because an empty line in
// a heredoc is part of the text.
func squeeze(data []byte) []byte {
	tokens, _ := hclsyntax.LexConfig(data, "", hcl.InitialPos)
	var out bytes.Buffer
	pending := []byte(nil) // an empty line that is written if something follows
	lineStart, at := true, 0
	for _, t := range tokens {
		if t.Type == hclsyntax.TokenEOF {
			break
		}
		text := data[at:t.Range.End.Byte] // with the space before it
		at = t.Range.End.Byte
		if t.Type == hclsyntax.TokenNewline && lineStart {
			if out.Len() > 0 {
				pending = t.Bytes
			}
			continue
		}
		out.Write(pending)
		pending = nil
		out.Write(text)
		lineStart = t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenComment && bytes.HasSuffix(t.Bytes, []byte("\n"))
	}
	if out.Len() > 0 && !lineStart {
		out.WriteByte('\n')
	}
	return out.Bytes()
}
