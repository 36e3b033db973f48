package compiler_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// FuzzLoad reads arbitrary bytes as a module: it gives a module or a diagnostic
// and never panics, all places lie in the file, no mistake is reported twice, and
// every printer takes the result.
func FuzzLoad(f *testing.F) {
	archives, _ := filepath.Glob("testdata/errors/*.txtar")
	for _, name := range archives {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range a.Files {
			if strings.HasSuffix(file.Name, ".hcl") || !strings.Contains(file.Name, "/") {
				f.Add(file.Data)
			}
		}
	}
	for _, e := range diag.Catalogue() {
		if len(e.Wrong["hbuild.hcl"]) < 5000 {
			f.Add([]byte(e.Wrong["hbuild.hcl"]))
		}
	}
	examples, _ := filepath.Glob("../examples/*/hbuild.hcl")
	for _, name := range examples {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\xff"))
	f.Add([]byte("a = \"${"))
	f.Add([]byte("stage \"a\" {\n  x = <<-A\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// The work that a for expression asks for is the user's to limit.
		if bytes.Contains(data, []byte("range(")) || bytes.Contains(data, []byte("setproduct")) || bytes.Contains(data, []byte("format")) || bytes.Contains(data, []byte("cidr")) {
			t.Skip()
		}
		checkModule(t, data)
	})
}

func checkModule(t *testing.T, data []byte) {
	t.Helper()
	p := compiler.Load(fstest.MapFS{"hbuild.hcl": &fstest.MapFile{Data: data}}, ".", compiler.Options{})
	diags := p.Check()
	if p.Module == nil {
		t.Fatal("no module")
	}
	seen := map[string]bool{}
	for _, d := range diags {
		info := diag.InfoOf(d)
		if _, ok := diag.Lookup(info.Code); !ok {
			t.Errorf("%q has the code %q", d.Summary, info.Code)
		}
		if d.Subject == nil {
			continue
		}
		src, ok := p.Module.Files[d.Subject.Filename]
		if !ok || d.Subject.Start.Byte < 0 || d.Subject.Start.Byte > d.Subject.End.Byte || d.Subject.End.Byte > len(src)+1 || d.Subject.Start.Line < 1 {
			t.Errorf("%s: %s is not in the file", d.Summary, d.Subject)
		}
		key := fmt.Sprint(*d.Subject, info.Code, d.Summary, d.Detail)
		if seen[key] {
			t.Errorf("reported twice: %s: %s", d.Subject, d.Summary)
		}
		seen[key] = true
	}
	for _, format := range diag.Formats {
		if err := diag.Print(&bytes.Buffer{}, format, diags, p.Module.Files, diag.PrintOptions{Width: 60, Color: true}); err != nil {
			t.Error(err)
		}
	}
	if len(data) > 0 && len(diags) == 0 && bytes.Contains(data, []byte{0xff}) {
		t.Error("bytes that are not UTF-8 say nothing")
	}
}

// FuzzVarsFile reads arbitrary bytes as a vars file and as an override.
func FuzzVarsFile(f *testing.F) {
	f.Add([]byte("a = 1"))
	f.Add([]byte("stage \"a\" {\n  user = \"x\"\n}"))
	f.Add([]byte("a: 5\nb {"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Contains(data, []byte("(")) {
			t.Skip()
		}
		base := []byte("variable \"a\" {\n  type    = number\n  default = 1\n}\n\nstage \"a\" {\n  from = scratch\n}\n")
		fsys := fstest.MapFS{"hbuild.hcl": &fstest.MapFile{Data: base}, "hbuild.vars.hcl": &fstest.MapFile{Data: data}, "hbuild.override.hcl": &fstest.MapFile{Data: data}}
		p := compiler.Load(fsys, ".", compiler.Options{LoadOptions: lang.LoadOptions{Sets: []string{string(data)}}})
		if err := diag.Print(&bytes.Buffer{}, "text", p.Check(), p.Module.Files, diag.PrintOptions{}); err != nil {
			t.Error(err)
		}
	})
}

// bigModule is a module of more than size bytes.
func bigModule(size int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "# Stage %d of the module.\nstage \"s%d\" {\n  from    = image(\"alpine:3.22\")\n  workdir = \"/src/%d\"\n  env     = { NAME = \"s%d\", MODE = \"release\" }\n  run {\n    command = \"echo hello from stage number %d and some more text to run\"\n  }\n}\n\n", i, i, i, i, i)
	}
	return b.Bytes()
}

// TestBigFile checks that a file of 5 MB is read in reasonable time (the race detector
// on a busy machine takes ten times as long as hbuild), whole or with
// a mistake in the middle, and that the mistake hides nothing.
func TestBigFile(t *testing.T) {
	if testing.Short() {
		t.Skip("several seconds")
	}
	data := bigModule(5 << 20)
	load := func(data []byte) []string {
		start := time.Now()
		p := compiler.Load(fstest.MapFS{"hbuild.hcl": &fstest.MapFile{Data: data}}, ".", compiler.Options{})
		var out []string
		for _, d := range p.Check() {
			out = append(out, fmt.Sprintf("%d:%d %s", d.Subject.Start.Line, d.Subject.Start.Column, diag.InfoOf(d).Code))
		}
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("it took %s", took)
		} else {
			t.Logf("%d bytes in %s", len(data), took)
		}
		return out
	}
	if got := load(data); len(got) != 0 {
		t.Errorf("the module has mistakes: %v", got)
	}
	broken := bytes.Replace(data, []byte("  }\n}\n\n# Stage 10001"), []byte("  }\n\n# Stage 10001"), 1)
	broken = bytes.Replace(broken, []byte("workdir = \"/src/15000\""), []byte("workdr  = \"/src/15000\""), 1)
	got := load(broken)
	if len(got) != 2 || !strings.HasSuffix(got[0], ":1 HB1019") || !strings.HasSuffix(got[1], ":3 HB1004") {
		t.Errorf("got %v", got)
	}
}

// TestManyMistakes checks that many mistakes cost no more than linear time.
func TestManyMistakes(t *testing.T) {
	var b bytes.Buffer
	const n = 2000
	for i := range n {
		fmt.Fprintf(&b, "stage \"s%d\" {\n  from = stage.none%d\n  env  = { A = 'x' }\n}\n", i, i)
	}
	start := time.Now()
	p := compiler.Load(fstest.MapFS{"hbuild.hcl": &fstest.MapFile{Data: b.Bytes()}}, ".", compiler.Options{})
	if diags := p.Check(); len(diags) != 2*n {
		t.Errorf("%d diagnostics", len(diags))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
}
