package examples_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pmezard/go-difflib/difflib"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

var update = flag.Bool("update", false, "write Dockerfile.golden and golden/ anew")

// names lists the examples: every folder here is one.
func names(t *testing.T) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, e.Name())
		}
	}
	if len(out) < 10 {
		t.Fatalf("only %d examples: %v", len(out), out)
	}
	return out
}

// options are those of a call with values of variables.
func options(vars map[string]string) (opt compiler.Options) {
	for name, value := range vars {
		opt.Vars = append(opt.Vars, eval.VarSource{Name: name, Source: lang.Source{Name: "<--var " + name + ">", Data: []byte(value)}, Origin: "--var"})
	}
	opt.LookupEnv = os.LookupEnv
	opt.BuildPlatform = oracle.BuildPlatform
	return opt
}

// load reads a module with the values of variables.
func load(dir string, vars map[string]string) *compiler.Program {
	return compiler.Load(os.DirFS(dir), ".", options(vars))
}

// graph evaluates a case.
func graph(t *testing.T, dir string, b buildCase) *ir.Graph {
	t.Helper()
	g, diags := load(dir, b.Vars).Graph([]string{b.Address}, nil)
	if len(diags) > 0 {
		t.Fatalf("%s: %s", b.Address, message(diags, nil))
	}
	return g
}

// message is what hbuild prints of diagnostics.
func message(diags hcl.Diagnostics, files map[string][]byte) string {
	var b strings.Builder
	if err := diag.Print(&b, "text", diags, files, diag.PrintOptions{}); err != nil {
		return err.Error()
	}
	return b.String()
}

func TestCheckAndFormat(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			p := load(name, nil)
			if diags := p.Check(); len(diags) > 0 {
				t.Error(message(diags, p.Module.Files))
			}
			for _, file := range sources(t, name) {
				src, err := os.ReadFile(filepath.Join(name, file))
				if err != nil {
					t.Fatal(err)
				}
				formatted, diags := lang.Format(lang.Source{Name: file, Data: src})
				if len(diags) > 0 || !bytes.Equal(src, formatted) {
					t.Errorf("%s is not in canonical form: %s%s", file, message(diags, nil), difference(string(formatted), string(src)))
				}
			}
			if _, err := os.Stat(filepath.Join(name, "README.md")); err != nil {
				t.Error(err)
			}
		})
	}
}

// sources lists the build files of an example and of the modules below it.
func sources(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(p string, _ fs.DirEntry, err error) error {
		if filepath.Ext(p) == ".hcl" {
			out = append(out, p)
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("%v: %v", out, err)
	}
	return out
}

// TestEmit compares what is emitted with the golden files, and what BuildKit makes of it with what hbuild
// lowers.
func TestEmit(t *testing.T) {
	for _, name := range names(t) {
		t.Run(name, func(t *testing.T) {
			golden := &goldens{files: map[string][]byte{}}
			for _, b := range readExpectation(t, name).Builds {
				if b.Fails != nil {
					continue
				}
				g := graph(t, name, b)
				for _, target := range g.Targets {
					f, diags := dockerfile.Emit(g, target)
					if len(diags) > 0 {
						t.Errorf("%s: %s", target.Addr, message(diags, g.Files))
						continue
					}
					sameDigest(t, name, g, target, f)
					if b.Vars == nil && !target.Test {
						golden.add(t, target, f)
					}
				}
			}
			compareGolden(t, name, golden.files)
		})
	}
}

// goldens are the files that an example has: for its first target Dockerfile.golden, for the others one
// each in golden/. An ignore file belongs to the context, so a module has one at most.
type goldens struct {
	first string // the first target's address
	files map[string][]byte
}

func (g *goldens) add(t *testing.T, target *ir.Target, f *dockerfile.File) {
	ignore := "Dockerfile.golden.dockerignore"
	if g.first == "" {
		g.first = target.Addr
	}
	name := "Dockerfile.golden"
	if target.Addr != g.first {
		name = "golden/" + strings.NewReplacer(`["`, ".", `"]`, "", "target.", "", "/", ".").Replace(target.Addr) + ".Dockerfile"
	}
	g.files[name] = f.Dockerfile
	if f.IgnoreFile == nil {
		return
	}
	if strings.Contains(target.Addr, "/") {
		ignore = name + ".dockerignore" // of another module's context
	}
	if old, ok := g.files[ignore]; ok && !bytes.Equal(old, f.IgnoreFile) {
		t.Errorf("%s has another ignore file:\n%s", target.Addr, difference(string(old), string(f.IgnoreFile)))
	}
	g.files[ignore] = f.IgnoreFile
}

// compareGolden compares all golden files of an example, or writes them. None may be left over.
func compareGolden(t *testing.T, example string, golden map[string][]byte) {
	t.Helper()
	have := map[string][]byte{}
	fsys := os.DirFS(example)
	top, err := fs.Glob(fsys, "Dockerfile*")
	below, err2 := fs.Glob(fsys, "golden/*")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(top, below...) {
		if have[name], err = fs.ReadFile(fsys, name); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		for name := range have {
			if golden[name] == nil {
				err = errors.Join(err, os.Remove(filepath.Join(example, name)))
			}
		}
		for name, text := range golden {
			if !bytes.Equal(have[name], text) {
				path := filepath.Join(example, name)
				err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	for name, text := range golden {
		if !bytes.Equal(have[name], text) {
			t.Errorf("%s/%s is stale (go test ./examples -update writes it anew):\n%s", example, name, difference(string(have[name]), string(text)))
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s/%s belongs to no build (go test ./examples -update removes it)", example, name)
	}
}

func difference(want, got string) string {
	d, _ := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(want), B: difflib.SplitLines(got), FromFile: "want", ToFile: "got", Context: 3,
	})
	return d
}

// root is a stage that a target's build ends in: its image, or its files.
type root struct {
	build *ir.Build
	stage *ir.Stage
	files bool
}

func roots(target *ir.Target) (out []root) {
	for _, b := range target.Builds {
		if b.Image != nil {
			out = append(out, root{b, b.Image, false})
		}
		if b.Files != nil {
			out = append(out, root{b, b.Files, true})
		}
	}
	return out
}

// sameDigest checks the rule that makes one cache of two ways to build: BuildKit's own frontend makes of
// the emitted Dockerfile what hbuild lowers.
func sameDigest(t *testing.T, dir string, g *ir.Graph, target *ir.Target, f *dockerfile.File) {
	t.Helper()
	for _, r := range roots(target) {
		opt := oracle.Options{Attrs: f.Attrs, Ignore: map[string][]byte{}}
		if text, err := os.ReadFile(filepath.Join(dir, ".dockerignore")); err == nil {
			opt.Ignore[".dockerignore"] = text
		}
		for _, n := range f.Contexts {
			// BuildKit reads a named context's own ignore file.
			if text, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(n.Context.Path), ".dockerignore")); err == nil {
				opt.Ignore[n.Name+"/.dockerignore"] = text
			}
		}
		if r.stage.Name != f.Target {
			opt.Attrs["target"] = r.stage.Name
		}
		if f.IgnoreFile != nil {
			opt.Ignore["Dockerfile.dockerignore"] = f.IgnoreFile
		}
		want, err := oracle.Convert(t.Context(), f.Dockerfile, opt)
		if err != nil {
			t.Errorf("%s: BuildKit refuses the Dockerfile: %v\n%s", target.Addr, err, f.Dockerfile)
			return
		}
		got, def := lower(t, g, target, r)
		diff, err := oracle.Compare(want.Def, def)
		if err != nil {
			t.Fatal(err)
		}
		if diff += oracle.CompareImages(want.Image, got.Image); diff != "" {
			t.Errorf("%s: BuildKit's and hbuild's LLB differ:\n%s", target.Addr, diff)
		}
	}
}

// lower lowers one stage of a target with made-up base images.
func lower(t *testing.T, g *ir.Graph, target *ir.Target, r root) (*llb.Result, *pb.Definition) {
	t.Helper()
	i := slices.IndexFunc(llb.Requests(target), func(q llb.Request) bool { return q.Stage == r.stage && q.Platform == r.build.Platform })
	caps := pb.Caps.CapSet(pb.Caps.All())
	res, diags := llb.Lower(t.Context(), g, llb.Requests(target)[i], llb.Options{
		Resolver: oracle.Images{}, BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}, Caps: &caps,
	})
	if len(diags) > 0 {
		t.Fatalf("%s: %s", target.Addr, message(diags, g.Files))
	}
	def, err := res.Definition(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return res, def.ToPB()
}
