package lang

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func TestFormat(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"only empty lines", "\n\n", ""},
		{"spacing", "a=1", "a = 1\n"},
		{"alignment", "stage \"x\"{\nfrom=scratch\nworkdir  =\"/\"\n}\n", "stage \"x\" {\n  from    = scratch\n  workdir = \"/\"\n}\n"},
		{"empty lines", "\n\na = 1\n\n\n\nb = 2\n\n\n", "a = 1\n\nb = 2\n"},
		{"comments", "#a\n\n\n//b\n/* c\n\n\n d */\nx = 1 # d\n\n\n# e\n", "#a\n\n//b\n/* c\n\n\n d */\nx = 1 # d\n\n# e\n"},
		{"heredoc", "a = <<-EOT\n\n\n   x\n\ty\n\n\n  EOT\n", "a = <<-EOT\n\n\n   x\n\ty\n\n\n  EOT\n"},
		{"comment at the end", "a = 1\n# end", "a = 1\n# end\n"},
		{"one line", "stage \"x\" {\ncopy{files={\".\"=\".\"}}\n}\n", "stage \"x\" {\n  copy { files = { \".\" = \".\" } }\n}\n"},
		{"operators", "a = x?y:!z\n", "a = x ? y : !z\n"},
		{"windows lines", "a=1\r\n\r\n\r\nbb=2\r\n", "a = 1\r\n\r\nbb = 2\r\n"},
		{"byte order mark", "\xef\xbb\xbfa = 1\n", "a = 1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, diags := Format(Source{Name: "x.hcl", Data: []byte(tc.in)})
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			if string(got) != tc.want {
				t.Errorf("got\n%q, want\n%q", got, tc.want)
			}
		})
	}
}

func TestFormatRefusesSyntaxErrors(t *testing.T) {
	out, diags := Format(Source{Name: "x.hcl", Data: []byte("stage \"x\" {\n")})
	if out != nil || !diags.HasErrors() || diags[0].Subject.Filename != "x.hcl" {
		t.Errorf("got %q, %v", out, diags)
	}
}

func FuzzFormat(f *testing.F) {
	examples, _ := filepath.Glob("../examples/*/hbuild.hcl")
	for _, name := range examples {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	if len(examples) == 0 {
		f.Fatal("no examples to start from")
	}
	f.Add([]byte("a = [\n1,# x\n\n\n2]\nb = foo(\n1,\n2)\n"))
	f.Add([]byte("a = \"${ x }\\n$${y}%%{z}\"\nb = <<A\n${\n\n\n1}\nA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		once, diags := Format(Source{Name: "x.hcl", Data: data})
		if diags.HasErrors() {
			t.Skip()
		}
		twice, diags := Format(Source{Name: "x.hcl", Data: once})
		if diags.HasErrors() {
			t.Fatalf("formatted %q is %q, which has errors: %v", data, once, diags)
		}
		if !bytes.Equal(once, twice) {
			t.Fatalf("not settled: %q, then %q", once, twice)
		}
		if a, b := meaning(data), meaning(once); !bytes.Equal(a, b) {
			t.Fatalf("%q became %q: the tokens differ:\n%q\n%q", data, once, a, b)
		}
	})
}

// meaning is the tokens of a source without what formatting may change.
func meaning(data []byte) []byte {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	tokens, _ := hclsyntax.LexConfig(data, "", hcl.InitialPos)
	var out bytes.Buffer
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenNewline, hclsyntax.TokenEOF:
		case hclsyntax.TokenComment:
			out.Write(bytes.TrimRight(t.Bytes, " \t\r\n"))
			out.WriteByte(0)
		default:
			out.Write(t.Bytes)
			out.WriteByte(0)
		}
	}
	return out.Bytes()
}
