package compiler_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
)

// watched notes the files that are read of a file system.
type watched struct {
	fstest.MapFS
	mu   sync.Mutex
	read map[string]int
}

func (w *watched) ReadFile(name string) ([]byte, error) {
	w.mu.Lock()
	w.read[name]++
	w.mu.Unlock()
	return w.MapFS.ReadFile(name)
}

func (w *watched) Open(name string) (fs.File, error) { return w.MapFS.Open(name) }

// services is a root that calls n modules by one block and one by a block of its
// own, each with a target, and a module that cannot be read.
func services(n int) *watched {
	w := &watched{MapFS: fstest.MapFS{}, read: map[string]int{}}
	file := func(name, text string) { w.MapFS[name] = &fstest.MapFile{Data: []byte(text)} }
	file("hbuild.hcl", `
module "svc" {
  for_each = { for f in fileset(".", "services/*/hbuild.hcl") : basename(dirname(f)) => dirname(f) }
  source   = "./${each.value}"
  name     = each.key
}
module "broken" {
  source = "./broken"
}
target "one" {
  image = module.svc["s1"].image
}
target "all" {
  files = { for k, m in module.svc : "out/${k}" => m.image }
}
group "default" { targets = [target.one] }
`)
	file("broken/hbuild.hcl", `stage "s" {`)
	for i := range n {
		file(fmt.Sprintf("services/s%d/hbuild.hcl", i), `
variable "name" { type = string }
stage "s" {
  from   = scratch
  labels = { name = var.name }
  copy { files = { "/" = "x" } }
}
output "image" { value = stage.s }
target "prod" {
  image = stage.s
  tags  = [var.name]
}
`)
		file(fmt.Sprintf("services/s%d/x", i), "x")
	}
	return w
}

// modulesRead are the directories of modules that were read, but for the root.
func (w *watched) modulesRead() (out []string) {
	for name, n := range w.read {
		if dir, ok := strings.CutSuffix(name, "/hbuild.hcl"); ok {
			out = append(out, dir)
			if n != 1 {
				out = append(out, fmt.Sprintf("%s %d times", dir, n))
			}
		}
	}
	slices.Sort(out)
	return out
}

// TestReachedModules checks that a build reads the modules that its addresses
// reach and no others, each once.
func TestReachedModules(t *testing.T) {
	for addr, want := range map[string][]string{
		"default":            {"services/s1"},
		"one":                {"services/s1"},
		"svc.s2/prod":        {"services/s2"},
		"svc.s2/stage.s":     {"services/s2"},
		"svc/prod":           {"services/s0", "services/s1", "services/s2"},
		"svc.s[12]/prod":     {}, // no pattern of the command line's; see below
		"svc.s?/prod":        {"services/s0", "services/s1", "services/s2"},
		"all":                {"services/s0", "services/s1", "services/s2"},
		"./services/...":     {"services/s0", "services/s1", "services/s2"},
		"./services/s0/prod": {"services/s0"},
		"./services/s0/*":    {"services/s0"},
	} {
		w := services(3)
		g, diags := compiler.Load(w, ".", compiler.Options{}).Graph([]string{addr}, nil)
		if len(want) == 0 {
			if !diags.HasErrors() {
				t.Errorf("%s is built", addr)
			}
			continue
		}
		if g == nil {
			t.Errorf("%s: %v", addr, diags)
			continue
		}
		if got := w.modulesRead(); !slices.Equal(got, want) {
			t.Errorf("%s reads %v, want %v", addr, got, want)
		}
	}
}

// TestManyModules checks that a thousand modules are read once each by a check, and
// that modules over one directory share its context.
func TestManyModules(t *testing.T) {
	const n = 1000
	w := services(n)
	p := compiler.Load(w, ".", compiler.Options{})
	if diags := p.Check(); !diags.HasErrors() || strings.Contains(diags.Error(), "services") {
		t.Fatal(diags) // of the broken one alone
	}
	if got := w.modulesRead(); len(got) != n+1 {
		t.Errorf("%d modules are read", len(got))
	}

	tree := fstest.MapFS{
		"hbuild.hcl": {Data: []byte(`
module "svc" {
  for_each = ["a", "b", "c"]
  source   = "./tmpl"
  name     = each.key
}
group "default" { targets = [for m in module.svc : m.image] }
`)},
		"tmpl/hbuild.hcl": {Data: []byte(`
variable "name" { type = string }
context "default" {
  path    = ".."
  exclude = ["*.md"]
}
context "own" {
  path    = "../${var.name}"
  exclude = ["*.md"]
}
stage "s" {
  from = scratch
  copy { files = { "/" = "x" } }
  copy {
    from  = context.own
    files = { "/" = "." }
  }
}
target "image" { image = stage.s }
output "image" { value = target.image }
`)},
		"x": {}, "a/x": {}, "b/x": {}, "c/x": {},
	}
	g, diags := compiler.Load(tree, ".", compiler.Options{}).Graph(nil, nil)
	if g == nil {
		t.Fatal(diags)
	}
	var paths []string
	main := map[*ir.Context]bool{}
	for _, c := range g.Contexts {
		paths = append(paths, c.Path)
	}
	for _, target := range g.Targets {
		main[target.Main] = true
	}
	slices.Sort(paths)
	if want := []string{".", "a", "b", "c"}; !slices.Equal(paths, want) || len(main) != 1 {
		t.Errorf("contexts %v and %d main ones, want %v and one", paths, len(main), want)
	}
}

// TestKeysWithSlashes: a key may hold what separates the parts of an address; it
// stands in brackets and quotes then.
func TestKeysWithSlashes(t *testing.T) {
	tree := fstest.MapFS{
		"hbuild.hcl": {Data: []byte(`
module "svc" {
  for_each = ["a/b", "c"]
  source   = "./tmpl"
}
`)},
		"tmpl/hbuild.hcl": {Data: []byte(`
stage "s" { from = scratch }
target "image" { image = stage.s }
`)},
	}
	for sets, want := range map[string]string{`svc["a/b"]/image.push=true`: "", `svc.c/image.tags=["x"]`: "", `svc["d/b"]/image.push=true`: "HB1014"} {
		p := compiler.Load(tree, ".", compiler.Options{LoadOptions: lang.LoadOptions{Sets: []string{sets}}})
		g, diags := p.Graph([]string{`svc["a/b"]/image`, "svc.c/image"}, nil)
		switch {
		case want != "" && !diags.HasErrors():
			t.Errorf("--set %s is taken", sets)
		case want == "" && strings.Contains(sets, "push"):
			if !diags.HasErrors() { // an image without a name is not pushed
				t.Errorf("--set %s changes nothing", sets)
			}
		case want == "" && (g == nil || len(g.Targets) != 2 || g.Targets[0].Name != `svc["a/b"]/image` || len(g.Targets[1].Tags) != 1):
			t.Errorf("--set %s: %v", sets, diags)
		}
	}
}

// TestModuleContexts checks when a module's directory is a part of the root's context,
// and when a context of its own.
func TestModuleContexts(t *testing.T) {
	const part, own = "context(default) services/api/x", "context(svc) x"
	for name, c := range map[string]struct {
		root, module string
		files        []string
		options      compiler.Options
		want, main   string
	}{
		"a part":              {want: part, main: "."},
		"declared":            {module: `context "default" {}`, want: part, main: "."},
		"with patterns":       {module: `context "default" { exclude = ["y"] }`, want: own, main: "services/api"},
		"with no ignore file": {module: `context "default" { ignore_file = "" }`, want: own, main: "services/api"},
		"with an ignore file": {files: []string{"services/api/.dockerignore"}, want: own, main: "services/api"},
		"left out":            {root: `context "default" { exclude = ["services"] }`, want: own, main: "services/api"},
		"not taken":           {root: `context "default" { include = ["**/*.go"] }`, want: own, main: "services/api"},
		"taken":               {root: `context "default" { include = ["services"] }`, want: part, main: "."},
		"below":               {root: `context "default" { path = "services" }`, want: "context(default) api/x", main: "services"},
		"not below":           {root: `context "default" { path = "other" }`, files: []string{"other/y"}, want: own, main: "services/api"},
		"the root has none":   {root: `context "default" { enabled = false }`, want: own, main: "services/api"},
		"the root's is given": {options: compiler.Options{Options: eval.Options{Contexts: map[string]string{"default": "elsewhere"}}}, want: own, main: "services/api"},
		"the module's is":     {options: compiler.Options{Options: eval.Options{Contexts: map[string]string{"svc/default": "elsewhere"}}}, want: own, main: "elsewhere"},
		"a trigger": {module: `stage "b" {
  from    = scratch
  onbuild = ["COPY x /"]
}`, want: part, main: "."},
		"a trigger that it is": {module: `stage "b" {
  from    = image("debian")
  onbuild = ["COPY x /"]
}
target "b" { image = stage.b }`, want: part, main: "services/api"},
	} {
		tree := fstest.MapFS{
			"hbuild.hcl":              {Data: []byte(c.root + "\nmodule \"svc\" { source = \"./services/api\" }\n")},
			"services/api/hbuild.hcl": {Data: []byte(c.module + "\nstage \"s\" {\n  from = scratch\n  copy { files = { \"/\" = \"x\" } }\n}\ntarget \"t\" { image = stage.s }\n")},
			"services/api/x":          {},
		}
		for _, f := range c.files {
			tree[f] = &fstest.MapFile{Data: []byte("y\n")}
		}
		g, diags := compiler.Load(tree, ".", c.options).Graph([]string{"svc/*"}, nil)
		if g == nil {
			t.Errorf("%s: %v", name, diags)
			continue
		}
		if text := ir.Print(g); !strings.Contains(text, "copy "+c.want+" to /\n") {
			t.Errorf("%s: not %q:\n%s", name, c.want, text)
		}
		if got := g.Targets[0].Main.Path; got != c.main {
			t.Errorf("%s: the main context is %q, want %q", name, got, c.main)
		}
	}
}
