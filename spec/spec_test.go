package spec

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/pmezard/go-difflib/difflib"
	"golang.org/x/tools/txtar"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

var update = flag.Bool("update", false, "write expected results anew")

// The info string of a code block says how it is run:
//
//	```hcl                      a whole module, which must be clean
//	```hcl file=NAME            the file's name, hbuild.hcl by default
//	```hcl more                 one more file of the module before it
//	```hcl with=PRELUDE         with the files of <!-- prelude PRELUDE … -->
//	```hcl in=stage             the body of a block; see wrappers
//	```hcl files=a.txt,src/b    with these files, empty, beside it
//	```hcl error=HB2004,HB3001  exactly these errors, in this order
//	```hcl warning=HB7001       exactly these warnings
//	```hcl var=NAME=VALUE set=ADDR.ATTR=VALUE addr=ADDR
//	```dockerfile               what the module before it emits
//	```dockerfile part addr=A   lines that stand together in it
//	```console exit=2           commands after "$ " and their output, run in the
//	                            module before it; a line "..." stands for any
//	```bake                     a file of docker buildx bake, which must take it
//	<!-- run: COMMAND -->       runs before the next console block, unseen
//
// There are no other languages, so no block is left out.
type block struct {
	line       int // of the fence
	start, end int // lines of the text, half open
	lang, info string
	text       string
	before     []string // commands that run first
}

var fence = regexp.MustCompile("^```([a-z]*) *(.*)$")

// document is a Markdown file taken apart.
type document struct {
	name     string
	lines    []string
	blocks   []*block
	preludes map[string]*txtar.Archive
}

func readDocument(t *testing.T, name string) *document {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := &document{name: name, lines: strings.Split(string(data), "\n"), preludes: map[string]*txtar.Archive{}}
	if err := d.parse(); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *document) parse() error {
	var before []string
	for i := 0; i < len(d.lines); i++ {
		line := d.lines[i]
		if name, ok := strings.CutPrefix(line, "<!-- prelude "); ok {
			end := slices.Index(d.lines[i:], "-->")
			if end < 0 {
				return fmt.Errorf("%s:%d: a prelude is not closed", d.name, i+1)
			}
			d.preludes[strings.TrimSpace(name)] = txtar.Parse([]byte(strings.Join(d.lines[i+1:i+end], "\n") + "\n"))
			i += end
			continue
		}
		if command, ok := strings.CutPrefix(line, "<!-- run: "); ok {
			before = append(before, strings.TrimSuffix(command, " -->"))
			continue
		}
		m := fence.FindStringSubmatch(line)
		if m == nil {
			if strings.HasPrefix(line, "    ") && strings.TrimSpace(d.lines[max(0, i-1)]) == "" || strings.HasPrefix(line, "~~~") {
				return fmt.Errorf("%s:%d: a code block without a fence is not run", d.name, i+1)
			}
			continue
		}
		end := slices.Index(d.lines[i+1:], "```")
		if end < 0 {
			return fmt.Errorf("%s:%d: a code block is not closed", d.name, i+1)
		}
		b := &block{line: i + 1, start: i + 1, end: i + 1 + end, lang: m[1], info: m[2], before: before}
		before = nil
		b.text = strings.Join(d.lines[b.start:b.end], "\n") + "\n"
		d.blocks = append(d.blocks, b)
		i = b.end
	}
	return nil
}

// module is the files of an HCL block and of those that add to it.
type module struct {
	d     *document
	line  int
	info  options
	files map[string]string
}

// options are the words of an info string.
type options map[string][]string

func (o options) one(name, otherwise string) string {
	if v := o[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return otherwise
}

func (o options) list(name string) []string {
	if o.one(name, "") == "" {
		return nil
	}
	return strings.Split(o.one(name, ""), ",")
}

func parseInfo(info string, known ...string) (options, error) {
	o := options{}
	for _, word := range strings.Fields(info) {
		k, v, _ := strings.Cut(word, "=")
		if !slices.Contains(known, k) {
			return nil, fmt.Errorf("unknown word %q in the info string", word)
		}
		o[k] = append(o[k], v)
	}
	return o, nil
}

// wrappers complete a fragment; %s is where it goes.
var wrappers = map[string]string{
	"stage":    "stage \"example\" {\n  from = image(\"alpine:3.22\")\n%s}\n",
	"bare":     "stage \"example\" {\n%s}\n",
	"run":      "stage \"example\" {\n  from = image(\"alpine:3.22\")\n  run {\n%s  }\n}\n",
	"target":   "stage \"app\" {\n  from = image(\"alpine:3.22\")\n}\ntarget \"example\" {\n  image = stage.app\n%s}\n",
	"locals":   "locals {\n%s}\n",
	"variable": "variable \"example\" {\n%s}\n",
}

func (d *document) module(b *block) (*module, error) {
	info, err := parseInfo(b.info, "file", "files", "more", "with", "in", "error", "warning", "var", "set", "addr")
	if err != nil {
		return nil, err
	}
	m := &module{d: d, line: b.line, info: info, files: map[string]string{}}
	for _, name := range info["with"] {
		p := d.preludes[name]
		if p == nil {
			return nil, fmt.Errorf("no prelude is called %q", name)
		}
		for _, f := range p.Files {
			m.files[f.Name] = string(f.Data)
		}
	}
	return m, m.add(b, info)
}

func (m *module) add(b *block, info options) error {
	text := b.text
	if in := info.one("in", ""); in != "" {
		w := wrappers[in]
		if w == "" {
			return fmt.Errorf("no wrapper is called %q", in)
		}
		text = fmt.Sprintf(w, text)
	}
	m.files[info.one("file", "hbuild.hcl")] = text
	for _, name := range info.list("files") {
		m.files[name] = ""
	}
	return nil
}

// load compiles the module as its info string says.
func (m *module) load() *compiler.Program {
	fsys := fstest.MapFS{}
	for name, text := range m.files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	opt := compiler.Options{Levels: lint.Quiet()}
	opt.Check = true
	opt.Sets = m.info["set"]
	for _, v := range m.info["var"] {
		name, value, _ := strings.Cut(v, "=")
		opt.Vars = append(opt.Vars, eval.VarSource{Name: name, Source: lang.Source{Data: []byte(value)}, Origin: "--var"})
	}
	return compiler.Load(fsys, ".", opt)
}

// check compares what the compiler says of the module with what the block says
// it does.
func (m *module) check(t *testing.T) {
	p := m.load()
	diags := p.Check()
	if addrs := m.info["addr"]; len(addrs) > 0 && !diags.HasErrors() {
		_, diags = p.Graph(addrs, nil)
	}
	for sev, want := range map[hcl.DiagnosticSeverity][]string{hcl.DiagError: m.info.list("error"), hcl.DiagWarning: m.info.list("warning")} {
		var got []string
		for _, d := range diags {
			if d.Severity == sev {
				got = append(got, string(diag.InfoOf(d).Code))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s:%d: codes %q, want %q\n%s", m.d.name, m.line, got, want, describe(diags))
		}
	}
}

func describe(diags hcl.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		at := ""
		if d.Subject != nil {
			at = d.Subject.String()
		}
		fmt.Fprintf(&b, "\t%s %s %s: %s\n", diag.InfoOf(d).Code, at, d.Summary, d.Detail)
	}
	return b.String()
}

// address is what a module builds when a block does not say: its default, its
// only target, or its last stage.
func address(m *lang.Module) string {
	if m.Lookup(lang.KindGroup, "default") != nil || m.Lookup(lang.KindTarget, "default") != nil {
		return "default"
	}
	if names := m.Names(lang.KindTarget); len(names) > 0 {
		return names[len(names)-1]
	}
	names := m.Names(lang.KindStage)
	if len(names) == 0 {
		return ""
	}
	return "stage." + names[len(names)-1]
}

// emit returns the Dockerfile of an address of a module.
func (m *module) emit(addr string) (string, hcl.Diagnostics) {
	p := m.load()
	opt := dockerfile.Options{Command: "hbuild emit dockerfile " + addr}
	if addr == "" {
		addr, opt.Command = address(p.Module), ""
	}
	g, diags := p.Graph([]string{addr}, nil)
	if diags.HasErrors() {
		return "", diags
	}
	f, diags := dockerfile.EmitWith(g, g.Targets[len(g.Targets)-1], opt)
	if diags.HasErrors() {
		return "", diags
	}
	return string(f.Dockerfile), nil
}

// TestLanguage runs the code blocks of the specification.
func TestLanguage(t *testing.T) { runDocument(t, "language.md") }

// TestReadme runs those that a newcomer reads first.
func TestReadme(t *testing.T) { runDocument(t, "../README.md") }

// TestLinks looks for what the documents point at.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	for _, name := range []string{"language.md", "lowering.md", "patterns.md", "../README.md", "../CONTRIBUTING.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s points at %s: %v", name, m[1], err)
			}
		}
	}
}

func runDocument(t *testing.T, name string) {
	d := readDocument(t, name)
	var m *module
	ran := map[string]int{}
	changed := map[*block]string{}
	for i, b := range d.blocks {
		ok := t.Run(fmt.Sprintf("%s:%d", d.name, b.line), func(t *testing.T) {
			switch b.lang {
			case "hcl":
				m = d.runHCL(t, b, m, i)
			case "dockerfile":
				d.runDockerfile(t, b, m, changed)
			case "console":
				d.runConsole(t, b, m, changed)
			case "yaml":
				d.runYAML(t, b, m)
			case "bake":
				d.runBake(t, b)
			default:
				t.Fatalf("%s:%d: blocks of %q are not run, so there can be none", d.name, b.line, b.lang)
			}
		})
		if ok {
			ran[b.lang]++
		}
	}
	if *update && len(changed) > 0 {
		d.rewrite(t, changed)
	}
	t.Logf("%s: ran %v", name, ran)
}

// runHCL adds a block to the module or begins a new one. The module is checked
// when its last block is there.
func (d *document) runHCL(t *testing.T, b *block, m *module, i int) *module {
	info, err := parseInfo(b.info, "file", "files", "more", "with", "in", "error", "warning", "var", "set", "addr")
	if err != nil {
		t.Fatalf("%s:%d: %v", d.name, b.line, err)
	}
	if _, more := info["more"]; more {
		if m == nil {
			t.Fatalf("%s:%d: there is no module to add to", d.name, b.line)
		}
		grown := &module{d: d, line: b.line, info: maps.Clone(m.info), files: maps.Clone(m.files)}
		for _, k := range []string{"error", "warning"} {
			grown.info[k] = info[k]
		}
		maps.Copy(grown.info, info)
		if err := grown.add(b, info); err != nil {
			t.Fatalf("%s:%d: %v", d.name, b.line, err)
		}
		m = grown
	} else if m, err = d.module(b); err != nil {
		t.Fatalf("%s:%d: %v", d.name, b.line, err)
	}
	if i+1 < len(d.blocks) {
		if next := d.blocks[i+1]; next.lang == "hcl" && slices.Contains(strings.Fields(next.info), "more") {
			return m // checked with what is still to come
		}
	}
	m.check(t)
	return m
}

func (d *document) runDockerfile(t *testing.T, b *block, m *module, changed map[*block]string) {
	info, err := parseInfo(b.info, "part", "addr")
	if err != nil || m == nil {
		t.Fatalf("%s:%d: no module to emit (%v)", d.name, b.line, err)
	}
	got, diags := m.emit(info.one("addr", ""))
	if diags.HasErrors() {
		t.Fatalf("%s:%d: the module cannot be emitted\n%s", d.name, b.line, describe(diags))
	}
	if _, part := info["part"]; part {
		if !strings.Contains("\n"+got, "\n"+b.text) {
			t.Errorf("%s:%d: these lines do not stand together in what is emitted:\n%s", d.name, b.line, got)
		}
		return
	}
	if got != b.text {
		changed[b] = got
		if !*update {
			t.Errorf("%s:%d: another Dockerfile is emitted\n%s", d.name, b.line, unified(b.text, got))
		}
	}
}

func unified(want, got string) string {
	text, _ := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: difflib.SplitLines(want), B: difflib.SplitLines(got), FromFile: "want", ToFile: "got", Context: 3})
	return text
}

// program is bin/hbuild, built from the sources beside it.
var program = sync.OnceValues(func() (string, error) {
	if _, err := os.Stat("../cmd/hbuild/main.go"); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "spec")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "hbuild")
	out, err := exec.Command("go", "build", "-o", bin, "../cmd/hbuild").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build ../cmd/hbuild: %v\n%s", err, out)
	}
	return bin, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if bin, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

// runConsole runs the commands of a block in a directory with the module's files.
func (d *document) runConsole(t *testing.T, b *block, m *module, changed map[*block]string) {
	info, err := parseInfo(b.info, "exit", "in")
	if err != nil || m == nil {
		t.Fatalf("%s:%d: no module to run in (%v)", d.name, b.line, err)
	}
	where, path := d.place(t, m, info.one("in", ""))
	for _, c := range b.before {
		if out, code := runCommands(t, "$ "+c, where, path); code != 0 {
			t.Fatalf("%s:%d: %s", d.name, b.line, out)
		}
	}
	got, code := runCommands(t, b.text, where, path)
	if want := info.one("exit", "0"); fmt.Sprint(code) != want {
		t.Errorf("%s:%d: exit code %d, want %s\n%s", d.name, b.line, code, want, got)
	}
	if !matches(b.text, got) {
		changed[b] = got
		if !*update {
			t.Errorf("%s:%d: the commands say something else\n%s", d.name, b.line, unified(b.text, got))
		}
	}
}

// place writes a module's files, and returns the directory in it where commands
// run and the one that has the program.
func (d *document) place(t *testing.T, m *module, in string) (where, path string) {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range m.files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, in), filepath.Dir(bin)
}

// inYAML are the commands of a CI's or a hook's configuration.
var inYAML = regexp.MustCompile(`(?m)\b(?:entry|run): (hbuild .*)$`)

// runYAML runs the commands of a configuration one after the other, after those of
// the document's comment; all must succeed.
func (d *document) runYAML(t *testing.T, b *block, m *module) {
	found := inYAML.FindAllStringSubmatch(b.text, -1)
	if len(found) == 0 || m == nil {
		t.Fatalf("%s:%d: no command of hbuild, or no module to run it in", d.name, b.line)
	}
	where, path := d.place(t, m, "")
	for _, c := range b.before {
		if out, code := runCommands(t, "$ "+c, where, path); code != 0 {
			t.Fatalf("%s:%d: %s", d.name, b.line, out)
		}
	}
	for _, c := range found {
		if out, code := runCommands(t, "$ "+c[1], where, path); code != 0 {
			t.Errorf("%s:%d: exit code %d\n%s", d.name, b.line, code, out)
		}
	}
}

// runCommands runs each line that begins with "$ " and returns the lines and
// their output, and the exit code of the last one.
func runCommands(t *testing.T, text, dir, path string) (string, int) {
	var out strings.Builder
	code := 0
	for _, line := range strings.Split(text, "\n") {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			continue
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + path + ":" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TERM=dumb", "NO_COLOR=1"}
		var both bytes.Buffer
		cmd.Stdout, cmd.Stderr = &both, &both
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		code = cmd.ProcessState.ExitCode()
		fmt.Fprintf(&out, "%s\n%s", line, both.String())
		if both.Len() > 0 && !strings.HasSuffix(both.String(), "\n") {
			out.WriteString("\n")
		}
	}
	return out.String(), code
}

// matches compares text with a pattern in which a line "..." stands for any
// number of lines.
func matches(pattern, text string) bool {
	parts := strings.Split("\n"+pattern, "\n...\n")
	text = "\n" + text
	if len(parts) == 1 {
		return parts[0] == text
	}
	if !strings.HasPrefix(text, parts[0]+"\n") || !strings.HasSuffix(text, "\n"+parts[len(parts)-1]) {
		return false
	}
	for _, p := range parts {
		i := strings.Index(text, strings.TrimSuffix(p, "\n"))
		if i < 0 {
			return false
		}
		text = text[i+len(p):]
	}
	return true
}

// rewrite puts new text into blocks, from the last to the first.
func (d *document) rewrite(t *testing.T, changed map[*block]string) {
	lines := slices.Clone(d.lines)
	for _, b := range slices.Backward(d.blocks) {
		text, ok := changed[b]
		if ok {
			lines = slices.Replace(lines, b.start, b.end, strings.Split(strings.TrimSuffix(text, "\n"), "\n")...)
		}
	}
	if err := os.WriteFile(d.name, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestBlocksAreRun shows that the harness refuses what it cannot run, and fails
// on what is wrong.
func TestBlocksAreRun(t *testing.T) {
	for _, text := range []string{"```hcl\nunclosed", "text\n\n    indented code", "<!-- prelude x\nnever closed"} {
		d := &document{name: "x", lines: strings.Split(text, "\n"), preludes: map[string]*txtar.Archive{}}
		if err := d.parse(); err == nil {
			t.Errorf("%q is a document", text)
		}
	}
	d := &document{name: "x", preludes: map[string]*txtar.Archive{}}
	for _, b := range []*block{{info: "eror=HB1001"}, {info: "with=nothing"}, {info: "in=nothing"}} {
		if _, err := d.module(b); err == nil {
			t.Errorf("the info string %q is taken", b.info)
		}
	}
	m, err := d.module(&block{text: "stage \"a\" {\n  form = scratch\n}\n"})
	if err != nil {
		t.Fatal(err)
	}
	if diags := m.load().Check(); !diags.HasErrors() {
		t.Error("a mistake is not seen")
	}
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"a\nb\n", "a\nb\n", true}, {"a\nb\n", "a\nc\n", false}, {"a\n...\nd\n", "a\nb\nc\nd\n", true},
		{"a\n...\nd\n", "a\nb\nc\n", false}, {"a\n...\n", "b\n", false}, {"a\n...\n", "a\nb\n", true},
	} {
		if got := matches(c.pattern, c.text); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.text, got)
		}
	}
}
