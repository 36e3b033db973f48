package lang

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// large makes a file that is parsed in parts, with one block per number and what
// may make a split go wrong between them.
func large(between string) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 2*parallelFrom; i++ {
		fmt.Fprintf(&b, "# Stage %d.\nstage \"s%d\" {\n  from = image(\"a:%d\")\n  run { command = \"x\" }\n}\n%s", i, i, i, between)
	}
	return b.Bytes()
}

func TestParsingInPartsIsParsing(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("one processor parses whole")
	}
	for name, between := range map[string]string{
		"plain":   "\n",
		"heredoc": "locals {\n  x = <<EOF\n}\n}\nEOF\n}\n",
		"unicode": "# ünïcödé €\n",
	} {
		src := Source{Name: "hbuild.hcl", Data: large(between)}
		whole, diags := hclsyntax.ParseConfig(src.Data, src.Name, hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		want := whole.Body.(*hclsyntax.Body)
		got, diags := Parse(src)
		if diags.HasErrors() || len(got.Blocks) != len(want.Blocks) {
			t.Fatalf("%s: %d blocks, want %d (%v)", name, len(got.Blocks), len(want.Blocks), diags)
		}
		for i, b := range want.Blocks {
			g := got.Blocks[i]
			if g.Range() != b.Range() || g.Body.SrcRange != b.Body.SrcRange {
				t.Fatalf("%s: block %d is at %v, want %v", name, i, g.Body.SrcRange, b.Body.SrcRange)
			}
		}
		if got.SrcRange != want.SrcRange {
			t.Errorf("%s: the file is %v, want %v", name, got.SrcRange, want.SrcRange)
		}
	}
}

func TestMistakesInPartsAreFound(t *testing.T) {
	data := append(large("\n"), "stage \"broken\" {\n  from = \n}\n"...)
	data = append(data, large("\n")...)
	if _, diags := Parse(Source{Name: "hbuild.hcl", Data: data}); len(diags) != 1 || diags[0].Subject.Start.Line < 100 {
		t.Errorf("%v", diags)
	}
}
