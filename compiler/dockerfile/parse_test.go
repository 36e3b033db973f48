package dockerfile

import (
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/ir"
)

// TestCheckComment reads a build trigger below a comment for BuildKit's linter,
// which BuildKit's own ParseCommand panics on.
func TestCheckComment(t *testing.T) {
	for _, text := range []string{"# check=error=true\nRUN make", "# check=skip=JSONArgsRecommended\nCMD make"} {
		// A comment behind an instruction is no directive of the file.
		res, err := parser.Parse(strings.NewReader("USER a\n" + text))
		if err != nil {
			t.Fatal(err)
		}
		r := Reader{From: func(string, bool) (ir.Source, error) { return nil, nil }}
		steps, err := r.Steps(res.AST.Children[1])
		if err != nil || len(steps) != 1 {
			t.Errorf("%q: %v, %v", text, steps, err)
		}
		if text, err := Trigger(text); err == nil {
			t.Errorf("a trigger is one instruction without comments, got %q", text)
		}
	}
	if _, err := Trigger("FROM a"); err == nil {
		t.Error("FROM is no trigger")
	}
}
