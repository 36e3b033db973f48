package spec

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/spec/internal/reference"
)

// TestReference fails when reference.md is not what the code says.
func TestReference(t *testing.T) {
	want := reference.Markdown()
	if *update {
		if err := os.WriteFile("reference.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile("reference.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("reference.md is stale; make update writes it anew\n%s", unified(string(got), want))
	}
}

// TestReferenceIsComplete looks for what a reader of the reference would miss:
// a field without a type or a sentence, a function that is not listed.
func TestReferenceIsComplete(t *testing.T) {
	text := reference.Markdown()
	for _, node := range []any{&lang.Variable{}, &lang.Function{}, &lang.Context{}, &lang.Stage{}, &lang.Artifact{}, &lang.Cache{}, &lang.Secret{}, &lang.SSH{},
		&lang.Target{}, &lang.Group{}, &lang.Test{}, &lang.Run{}, &lang.Copy{}, &lang.Write{}, &lang.Mkdir{}, &lang.Remove{}, &lang.Symlink{}, &lang.Set{}, &lang.Validation{}, &lang.Precondition{}} {
		s := lang.SchemaOf(node)
		for _, f := range s.Fields {
			if f.Type == "" || !strings.HasSuffix(strings.TrimRight(f.Doc, "…"), ".") && !strings.ContainsAny(f.Doc, "…:") {
				t.Errorf("%s.%s: type %q, doc %q", s.Type, f.Name, f.Type, f.Doc)
			}
			if !strings.Contains(text, "| `"+f.Name+"` |") {
				t.Errorf("%s.%s is not in the reference", s.Type, f.Name)
			}
		}
	}
	for name := range eval.Builtins().Functions {
		if !strings.Contains(text, "| `"+name+"(") {
			t.Errorf("the function %s() is not in the reference", name)
		}
	}
}

// TestCodesAreDocumented holds the codes in the sources against the reference.
func TestCodesAreDocumented(t *testing.T) {
	titles := reference.Titles()
	declared := regexp.MustCompile(`\b(HB\d{4})\b`)
	for _, file := range []string{"../lang/diag/codes.go", "../llb/codes.go", "../llb/build/codes.go", "../compiler/dockerfile/codes.go", "../compiler/importer/codes.go"} {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := declared.FindAllString(string(src), -1)
		if len(found) == 0 {
			t.Errorf("%s declares no code", file)
		}
		for _, c := range found {
			if titles[diag.Code(c)] == "" {
				t.Errorf("%s (%s) has no title; add lang/diag/catalogue/%s.txt", c, file, c)
			}
		}
	}
}

// TestExitCodes holds the reference against the constants of the command.
func TestExitCodes(t *testing.T) {
	src, err := os.ReadFile("../cmd/hbuild/main.go")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\texit[A-Z]\w+ += (\d+)`).FindAllStringSubmatch(string(src), -1) {
		got = append(got, m[1])
	}
	var want []string
	for _, c := range reference.ExitCodes {
		want = append(want, strconv.Itoa(c.Code))
	}
	if !slices.Equal(got, want) {
		t.Errorf("cmd/hbuild ends with %v, the reference says %v", got, want)
	}
}
