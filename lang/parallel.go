package lang

import (
	"bytes"
	"runtime"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// parallelFrom is the size in bytes from which a file is parsed in parts.
const parallelFrom = 256 << 10

// parseParts parses a large file on all processors, split where a line holds
// nothing but the brace that closes a block of the file. That the text is split
// at such a line within a heredoc shows as an error in the parts around it, as
// any mistake does; ok is false then, and the file is to be parsed whole.
func parseParts(src Source) (body *hclsyntax.Body, ok bool) {
	n := runtime.GOMAXPROCS(0)
	if len(src.Data) < parallelFrom || n < 2 {
		return nil, false
	}
	parts := splitBlocks(src.Data, 2*n)
	bodies := make([]*hclsyntax.Body, len(parts))
	var wg sync.WaitGroup
	pos := hcl.InitialPos
	for i, part := range parts {
		wg.Add(1)
		go func(start hcl.Pos) {
			defer wg.Done()
			file, diags := hclsyntax.ParseConfig(part, src.Name, start)
			if b, isBody := file.Body.(*hclsyntax.Body); isBody && !diags.HasErrors() && len(b.Attributes) == 0 {
				bodies[i] = b
			}
		}(pos)
		pos.Byte += len(part)
		pos.Line += bytes.Count(part, []byte{'\n'})
	}
	wg.Wait()
	for _, b := range bodies {
		switch {
		case b == nil:
			return nil, false
		case body == nil:
			body = b
		default:
			body.Blocks = append(body.Blocks, b.Blocks...)
			body.SrcRange.End, body.EndRange = b.SrcRange.End, b.EndRange
		}
	}
	return body, body != nil
}

var blockEnd = []byte("\n}\n")

// splitBlocks cuts data into about n parts, each of which ends after the closing
// brace of a block at the left margin.
func splitBlocks(data []byte, n int) (parts [][]byte) {
	size := len(data)/n + 1
	for len(data) > size {
		i := bytes.Index(data[size:], blockEnd)
		if i < 0 {
			break
		}
		end := size + i + len(blockEnd)
		parts = append(parts, data[:end])
		data = data[end:]
	}
	if len(data) > 0 {
		parts = append(parts, data)
	}
	return parts
}
