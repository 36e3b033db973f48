package compiler_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"golang.org/x/tools/txtar"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

var update = flag.Bool("update", false, "rewrite the expected diagnostics of testdata/errors")

// caller is what a test's flags say: a part of hbuild's own command line.
type caller struct {
	opt   compiler.Options
	addrs []string
}

// flagWord is a word of the flags; blanks in single quotes are part of it.
var flagWord = regexp.MustCompile(`([^\s']|'[^']*')+`)

func parseFlags(t *testing.T, text string, files map[string]string) caller {
	t.Helper()
	c := caller{}
	env := map[string]string{}
	c.opt.LookupEnv = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	var words []string
	for _, w := range flagWord.FindAllString(text, -1) {
		words = append(words, strings.ReplaceAll(w, "'", ""))
	}
	for i := 0; i < len(words); i++ {
		flag := words[i]
		if !strings.HasPrefix(flag, "--") {
			c.addrs = append(c.addrs, flag)
			continue
		}
		if flag == "--check" {
			c.opt.Check = true
			continue
		}
		if i++; i == len(words) {
			t.Fatalf("%s needs a value", flag)
		}
		value := words[i]
		key, val, _ := strings.Cut(value, "=")
		switch flag {
		case "--var":
			c.opt.Vars = append(c.opt.Vars, eval.VarSource{Name: key, Source: lang.Source{Data: []byte(val)}, Origin: "--var"})
		case "--var-file":
			c.opt.Vars = append(c.opt.Vars, eval.VarSource{Source: lang.Source{Name: value, Data: []byte(files[value])}, Origin: "--var-file " + value})
		case "--set":
			c.opt.Sets = append(c.opt.Sets, value)
		case "--override":
			c.opt.Overrides = append(c.opt.Overrides, lang.Source{Name: value, Data: []byte(files[value])})
		case "--context":
			if c.opt.Contexts == nil {
				c.opt.Contexts = map[string]string{}
			}
			c.opt.Contexts[key] = val
		case "--env":
			env[key] = val
		default:
			t.Fatalf("unknown flag %s", flag)
		}
	}
	return c
}

// run loads a module and checks it, or evaluates what the addresses name.
func run(t *testing.T, files map[string]string) (*compiler.Program, hcl.Diagnostics) {
	t.Helper()
	return runWith(t, files, lint.Quiet())
}

// runWith is run with warnings at other levels than the tests of other mistakes
// have: those keep to their mistake.
func runWith(t *testing.T, files map[string]string, levels lint.Levels) (*compiler.Program, hcl.Diagnostics) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, data := range files {
		if name != diag.FlagsFile {
			fsys[name] = &fstest.MapFile{Data: []byte(data), Mode: 0o644}
		}
	}
	c := parseFlags(t, files[diag.FlagsFile], files)
	c.opt.Levels = levels
	p := compiler.Load(fsys, ".", c.opt)
	if len(c.addrs) > 0 {
		_, diags := p.Graph(c.addrs, nil)
		return p, diags
	}
	return p, p.Check()
}

// TestErrors compares what is said about the modules in testdata/errors, one
// module for each first element of a path, with what is expected in its file want.
func TestErrors(t *testing.T) {
	archives, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no tests: ", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { testArchive(t, name) })
	}
}

func testArchive(t *testing.T, name string) {
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var cases []string
	modules := map[string]map[string]string{}
	for _, f := range a.Files {
		dir, file, ok := strings.Cut(f.Name, "/")
		if !ok {
			dir, file = f.Name, "hbuild.hcl"
		}
		if modules[dir] == nil {
			cases = append(cases, dir)
			modules[dir] = map[string]string{}
		}
		modules[dir][file] = string(f.Data)
	}
	out := &txtar.Archive{Comment: a.Comment}
	for _, dir := range cases {
		m := modules[dir]
		want := m["want"]
		delete(m, "want")
		p, diags := run(t, m)
		var got bytes.Buffer
		if err := diag.Print(&got, "text", diags, p.Files(), diag.PrintOptions{Width: 100}); err != nil {
			t.Fatal(err)
		}
		checkDiagnostics(t, dir, diags)
		for _, f := range a.Files {
			if d, _, _ := strings.Cut(f.Name, "/"); d == dir && f.Name != dir+"/want" {
				out.Files = append(out.Files, f)
			}
		}
		out.Files = append(out.Files, txtar.File{Name: dir + "/want", Data: got.Bytes()})
		if !*update && got.String() != want {
			t.Errorf("%s: got\n%s\nwant\n%s", dir, got.String(), want)
		}
	}
	if *update {
		if err := os.WriteFile(name, txtar.Format(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkDiagnostics checks what holds for all diagnostics: a code that is
// documented, sentences, no mistake twice.
func checkDiagnostics(t *testing.T, where string, diags hcl.Diagnostics) {
	t.Helper()
	seen := map[string]bool{}
	for _, d := range diags {
		info := diag.InfoOf(d)
		if _, ok := diag.Lookup(info.Code); !ok {
			t.Errorf("%s: %q has the code %q, which is not documented", where, d.Summary, info.Code)
		}
		if s := d.Detail; s != "" && !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") && !strings.HasSuffix(s, "!") && !strings.HasSuffix(s, "}") && !strings.HasSuffix(s, "{") && !strings.HasSuffix(s, "…") {
			t.Errorf("%s: the detail is no sentence: %s", where, s)
		}
		if strings.HasSuffix(d.Summary, ".") || d.Summary == "" {
			t.Errorf("%s: a summary has no full stop: %q", where, d.Summary)
		}
		if d.Subject != nil {
			key := fmt.Sprint(*d.Subject, info.Code, d.Summary)
			if seen[key] {
				t.Errorf("%s: reported twice: %s: %s", where, d.Subject, d.Summary)
			}
			seen[key] = true
		}
	}
	if !slices.IsSortedFunc(diags, func(a, b *hcl.Diagnostic) int {
		if a.Subject == nil || b.Subject == nil || a.Subject.Filename != b.Subject.Filename {
			return 0
		}
		return a.Subject.Start.Byte - b.Subject.Start.Byte
	}) {
		t.Errorf("%s: not sorted by position", where)
	}
}

// TestCatalogue runs the examples of every documented code: the wrong one has that
// mistake and no other, the right one has none.
func TestCatalogue(t *testing.T) {
	declared := declaredCodes(t)
	for _, e := range diag.Catalogue() {
		if declared[e.Code] == "" {
			t.Errorf("%s is documented and is declared nowhere", e.Code)
		}
		if e.Code >= "HB4" && e.Code < "HB6" || e.Code >= "HB8" {
			continue // see TestBackendCatalogue, and TestCatalogue of the importer
		}
		t.Run(string(e.Code), func(t *testing.T) {
			if reason := unreachable[e.Code]; reason != "" {
				t.Skip(reason)
			}
			if atRunTime[e.Code] {
				if e.Title == "" || e.Text == "" || len(e.Wrong)+len(e.Right) > 0 {
					t.Errorf("a code of a build has a title, a text and no example: %+v", e)
				}
				return
			}
			if e.Title == "" || e.Text == "" || len(e.Wrong) == 0 || len(e.Right) == 0 {
				t.Fatalf("incomplete: %+v", e)
			}
			levels := lint.Quiet()
			if e.Code >= lint.UnusedDeclaration {
				levels = nil
			}
			p, diags := runWith(t, e.Wrong, levels)
			codes := map[diag.Code]bool{}
			for _, d := range diags {
				codes[diag.InfoOf(d).Code] = true
			}
			if len(codes) != 1 || !codes[e.Code] {
				t.Errorf("the wrong example gives %v:\n%s", codes, text(p, diags))
			}
			checkDiagnostics(t, "wrong", diags)
			if p, diags := runWith(t, e.Right, levels); len(diags) > 0 {
				t.Errorf("the right example gives\n%s", text(p, diags))
			}
		})
	}
	for code, name := range declared {
		if _, ok := diag.Lookup(code); !ok {
			t.Errorf("%s (%s) is not documented in lang/diag/catalogue", code, name)
		}
	}
}

// unreachable are codes that no hbuild file leads to: the later stages of the
// compiler check what an IR made by other means may have.
var unreachable = map[diag.Code]string{
	"HB4014": "a host's address is HB3036, a time HB3001",
	"HB4015": "an empty command is HB3034",
	"HB5012": "a bad trigger is HB3032",
	"HB5015": "names of stages begin with a letter: HB1007",
}

// atRunTime are codes that only a build gives: no module alone shows them.
var atRunTime = map[diag.Code]bool{
	"HB6002": true, "HB6003": true, "HB6004": true, "HB6005": true, "HB6006": true, "HB6007": true, "HB6008": true, "HB6009": true,
}

func text(p *compiler.Program, diags hcl.Diagnostics) string {
	var b bytes.Buffer
	_ = diag.Print(&b, "text", diags, p.Module.Files, diag.PrintOptions{})
	return b.String()
}

var codeDecl = regexp.MustCompile(`(?m)^\s+(\w+)\s+(?:diag\.)?Code = "(HB\d{4})"`)

// declaredCodes reads the codes from the sources that declare them.
func declaredCodes(t *testing.T) map[diag.Code]string {
	t.Helper()
	out := map[diag.Code]string{}
	for _, file := range []string{"../lang/diag/codes.go", "../llb/codes.go", "../llb/build/codes.go", "dockerfile/codes.go", "importer/codes.go", "lint/lint.go"} {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range codeDecl.FindAllStringSubmatch(string(data), -1) {
			if other := out[diag.Code(m[2])]; other != "" {
				t.Errorf("%s is both %s and %s", m[2], other, m[1])
			}
			out[diag.Code(m[2])] = m[1]
		}
	}
	if len(out) < 60 {
		t.Errorf("only %d codes", len(out))
	}
	return out
}
