package importer_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/tools/txtar"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/importer"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

var update = flag.Bool("update", false, "write the expected results anew")

// TestGolden imports the Dockerfile of each archive in testdata and compares the
// HCL and the messages with those beside it.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			res, diags := importer.Import(a.Files[0].Data, importer.Options{})
			got := []txtar.File{a.Files[0]}
			if res != nil {
				got = append(got, txtar.File{Name: "hbuild.hcl", Data: res.HCL})
				checks(t, res.HCL)
			}
			if text := messages(diags); text != "" {
				got = append(got, txtar.File{Name: "messages", Data: []byte(text)})
			}
			out := txtar.Format(&txtar.Archive{Comment: a.Comment, Files: got})
			if *update {
				if err := os.WriteFile(name, out, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if want := txtar.Format(a); !bytes.Equal(want, out) {
				t.Errorf("got\n%s\nwant\n%s", out, want)
			}
		})
	}
}

func messages(diags hcl.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		at := "-"
		if d.Subject != nil {
			at = fmt.Sprint(d.Subject.Start.Line)
		}
		kind := "error"
		if d.Severity == hcl.DiagWarning {
			kind = "warning"
		}
		fmt.Fprintf(&b, "%s: %s %s: %s: %s\n", at, kind, diag.InfoOf(d).Code, d.Summary, d.Detail)
	}
	return b.String()
}

// ownMaking are warnings that only the import can be blamed for; what else is
// wrong with a file was wrong with the Dockerfile.
var ownMaking = map[diag.Code]bool{diag.UnusedArtifact: true, diag.UnusedStage: true, "HB7004": true}

// checks fails when the language finds a mistake in an imported file, or formats
// it in another way.
func checks(t testing.TB, text []byte) {
	t.Helper()
	p := compiler.Load(fstest.MapFS{lang.MainFile: {Data: text}}, ".", compiler.Options{Options: eval.Options{Check: true}})
	for _, d := range p.Check() {
		if d.Severity == hcl.DiagError || ownMaking[diag.InfoOf(d).Code] {
			t.Errorf("check: %v\n%s", d, text)
		}
	}
	formatted, diags := lang.Format(lang.Source{Name: lang.MainFile, Data: text})
	if diags.HasErrors() || !bytes.Equal(formatted, text) {
		t.Errorf("not formatted: %v\n%s", diags, text)
	}
}

func TestTargetAndArgs(t *testing.T) {
	src := []byte("ARG V=1\nFROM alpine:$V AS a\nARG W\nRUN echo $W\nFROM a AS b\nRUN b\nFROM alpine AS c\nRUN c\n")
	res, diags := importer.Import(src, importer.Options{Target: "B", Args: map[string]string{"V": "3.22", "W": "it's $5"}})
	if diags.HasErrors() {
		t.Fatal(messages(diags))
	}
	text := string(res.HCL)
	for _, want := range []string{`"3.22"`, `"it's \\$5"`, `image = stage.b`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(text, `stage "c"`) {
		t.Errorf("stage c is not part of b:\n%s", text)
	}
}

// TestRefusals holds what import refuses, with BuildKit's words and the line.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		src, want string
		line      int
	}{
		{"", "the Dockerfile cannot be empty", 0},
		{"# nothing\n", "file with no instructions", 1},
		{"RUN x\n", "no build stage in current context", 1},
		{"ARG A\n", "dockerfile contains no stages to build", 0},
		{"FROM a\nRUNN x\n", "unknown instruction: RUNN", 2},
		{"FROM a\nRUN <<EOF\nx\n", "unterminated heredoc", 2},
		{"ARG B\nFROM $B\n", "base name ($B) should not be blank", 2},
		{"FROM Foo AS x\n", "failed to parse stage name", 1},
		{"FROM a AS 1x\n", "invalid name for build stage", 1},
		{"FROM a\nCOPY --from=7 a b\n", "invalid stage index 7", 2},
		{"FROM a\nCOPY --from=$x a b\n", "variable expansion is not supported for --from", 2},
		{"FROM a AS x\nCOPY --from=x a b\n", "circular dependency detected on stage: x", 1},
		{"FROM --platform=linux/x/y/z/w a\n", "failed to parse platform", 1},
		{"FROM a\nRUN --mount=type=bnd,target=/x y\n", "unsupported mount type", 2},
		{"FROM a\nENV A=${B:=c}\n", "unsupported modifier", 2},
		{"FROM a\nEXPOSE http\n", "port", 2},
		{"# syntax=example/mine\nFROM a\n", "another frontend", 2},
		{"# check=error=true\nFROM a:${V:-1}$W\n", "UndefinedArgInFrom", 2},
		{"# check=error=true\nFROM a as x\nFROM x\n", "lint violation found", 2},
	} {
		res, diags := importer.Import([]byte(c.src), importer.Options{})
		if res != nil || !diags.HasErrors() {
			t.Errorf("%q: imported", c.src)
			continue
		}
		d := diags[0]
		line := 0
		if d.Subject != nil {
			line = d.Subject.Start.Line
		}
		if !strings.Contains(d.Summary+d.Detail, c.want) || line != c.line {
			t.Errorf("%q: line %d, %s: %s; want line %d, %s", c.src, line, d.Summary, d.Detail, c.line, c.want)
		}
	}
}

// FuzzImport looks for a file that makes the importer panic, or whose import the
// language refuses.
func FuzzImport(f *testing.F) {
	names, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range names {
		if a, err := txtar.ParseFile(name); err == nil {
			f.Add(a.Files[0].Data)
		}
	}
	f.Add([]byte("FROM a\nENV A='b' C=\"$A${D:-'e f'}\"\nRUN a \\\n # c\n  b"))
	f.Fuzz(func(t *testing.T, src []byte) {
		res, diags := importer.Import(src, importer.Options{})
		if (res == nil) != diags.HasErrors() {
			t.Fatalf("%v\n%s", diags, src)
		}
		if res != nil {
			checks(t, res.HCL)
		}
	})
}
