package view

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/lang"
)

func load(t *testing.T, source string) *compiler.Program {
	t.Helper()
	return compiler.Load(fstest.MapFS{"hbuild.hcl": {Data: []byte(source)}}, ".", compiler.Options{Options: eval.Options{Check: true}})
}

func graph(t *testing.T, p *compiler.Program, addrs ...string) *Graph {
	t.Helper()
	g, diags := p.Graph(addrs, nil)
	if g == nil {
		t.Fatal(diags)
	}
	return NewGraph(g)
}

// TestExamples: every form of every example is the same on a second run, and
// graphs are whole.
func TestExamples(t *testing.T) {
	dirs, err := filepath.Glob("../../examples/*/hbuild.hcl")
	if err != nil || len(dirs) == 0 {
		t.Fatal("no examples", err)
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			show := func() string {
				p := compiler.Load(os.DirFS(dir), ".", compiler.Options{})
				l := NewList(p, true)
				g := graph(t, p, "default")
				wholeGraph(t, g)
				var b bytes.Buffer
				for _, write := range []func() error{
					func() error { return l.WriteText(&b) },
					func() error { return json.NewEncoder(&b).Encode(l) },
					func() error { return json.NewEncoder(&b).Encode(g) },
					func() error { return g.WriteTree(&b) },
					func() error { return g.WriteDOT(&b) },
					func() error { return g.WriteMermaid(&b) },
				} {
					if err := write(); err != nil {
						t.Fatal(err)
					}
				}
				return b.String()
			}
			if a, b := show(), show(); a != b {
				t.Error("two runs differ")
			}
		})
	}
}

// wholeGraph checks that edges lead between nodes, and that each node is there
// once.
func wholeGraph(t *testing.T, g *Graph) {
	t.Helper()
	nodes := map[string]bool{}
	for _, n := range g.Nodes {
		if nodes[n.ID] {
			t.Errorf("%s is there twice", n.ID)
		}
		nodes[n.ID] = true
	}
	for _, e := range g.Edges {
		if !nodes[e.From] || !nodes[e.To] {
			t.Errorf("an edge leads from %s to %s, and one of them is no node", e.From, e.To)
		}
	}
}

// TestVariantsAreOneNode: what differs by platform shows all that any variant uses.
func TestVariantsAreOneNode(t *testing.T) {
	g := graph(t, load(t, `
stage "a" {
  from = platform.target.arch == "arm64" ? image("arm:1") : image("other:1")
}
target "t" {
  image     = stage.a
  platforms = ["linux/amd64", "linux/arm64"]
}
`), "t")
	wholeGraph(t, g)
	var b bytes.Buffer
	if err := g.WriteTree(&b); err != nil {
		t.Fatal(err)
	}
	want := "target.t\n└─ image stage.a\n   ├─ from image(\"other:1\")\n   └─ from image(\"arm:1\")\n"
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

// TestListOfBrokenModules: a list never fails, however little there is to say.
func TestListOfBrokenModules(t *testing.T) {
	for _, source := range []string{
		"",
		"stage \"a\" {",
		`stage "a" {}`,
		`stage "a" { from = stage.a }`,
		`artifact "a" { from = stage.x }`,
		`target "a" { for_each = var.x }`,
		`target "a" { matrix = { x = [] } }`,
		`group "a" { targets = [group.a] }`,
		`group "a" {}`,
		`variable "a" { default = upper() }`,
		`variable "a" { type = strng }`,
		`function "f" { params = 1 }`,
		`context "c" { path = 1 + "x" }`,
		`secret "s" { for_each = { a = each.key } }`,
	} {
		p := load(t, source)
		l := NewList(p, false)
		if err := l.WriteText(&bytes.Buffer{}); err != nil {
			t.Errorf("%s: %v", source, err)
		}
		if _, err := json.Marshal(l); err != nil {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestSensitiveDefaultsAreNotListed(t *testing.T) {
	l := NewList(load(t, `
variable "p" {
  sensitive = true
  default   = "hunter2"
}
variable "q" {
  sensitive = var.yes
  default   = "hunter2"
}
variable "yes" {
  default = true
}
variable "r" {
  default = "${var.p}!"
}
`), false)
	data, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "hunter2") {
		t.Errorf("a secret shows in %s", data)
	}
}

func TestEval(t *testing.T) {
	fsys := fstest.MapFS{"hbuild.hcl": {Data: []byte("locals {\n  a = 1\n}\n")}}
	for expr, want := range map[string]string{"local.a + 1": "2", "local.b": "", "1 +": "", "upper(": "", "each.key": ""} {
		out, diags := Eval(fsys, ".", compiler.Options{}, lang.Source{Name: "<expression>", Data: []byte(expr)})
		if want == "" {
			if !diags.HasErrors() || diags[0].Subject.Filename != "<expression>" {
				t.Errorf("%s: %v", expr, diags)
			}
			continue
		}
		if got := eval.Render(out.Value); diags.HasErrors() || got != want {
			t.Errorf("%s is %s, %v", expr, got, diags)
		}
	}
}

// TestListOfInstances: what an instance's block says of itself is evaluated for it.
func TestListOfInstances(t *testing.T) {
	fsys := fstest.MapFS{
		"hbuild.hcl": {Data: []byte(`
context "src" {
  for_each = ["a", "b"]
  path     = "services/${each.key}"
}
cache "c" {
  for_each = ["x"]
  id       = "of-${each.key}"
}
`)},
		"services/a/f": {}, "services/b/f": {},
	}
	l := NewList(compiler.Load(fsys, ".", compiler.Options{}), false)
	if len(l.Contexts) < 2 || l.Contexts[0].Path != "services/a" || l.Contexts[1].Path != "services/b" {
		t.Errorf("contexts: %+v", l.Contexts)
	}
	if len(l.Caches) != 1 || l.Caches[0].ID != "of-x" {
		t.Errorf("caches: %+v", l.Caches)
	}
}
