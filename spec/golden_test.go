package spec

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/tools/txtar"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

// A golden case is a txtar archive. Its comment says what it shows, and how it is
// compiled in lines of the form `word: value`:
//
//	address:  what is built; the default, the only target or the last stage
//	platform: a --platform
//	var:      NAME=VALUE
//	set:      ADDR.ATTR=VALUE
//	context:  NAME=VALUE, a --context that is no directory
//	files:    names of files, apart by commas, that are there and empty
//	lowered:  why the digest rule does not hold; the definitions must then differ
//
// Its files are the module's, and these results, each left out when empty:
//
//	diagnostics  code, place and summary of what check, emit and lower say
//	ir           compiler/ir's text
//	Dockerfile   what is emitted; none when a Dockerfile cannot say it
//	flags        what `docker build` must be told beside
//	Dockerfile.dockerignore
//	llb          the definition of every build of the target
//	image        the configurations of its images
//
// For every case that can be emitted the digest rule is checked: BuildKit's own
// frontend makes the same definition of the Dockerfile.
var results = []string{"diagnostics", "ir", "Dockerfile", "flags", "Dockerfile.dockerignore", "llb", "image"}

// baseImages are what the cases may start from, beside plain images.
var baseImages = oracle.Images{
	"docker.io/library/rich:latest":     oracle.Rich(),
	"docker.io/library/triggers:latest": oracle.Rich("COPY conf /app/", "RUN make"),
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 25 {
		t.Fatalf("%d cases: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { runGolden(t, file) })
	}
}

// golden is a case and what it came to.
type golden struct {
	in      *txtar.Archive
	info    options
	fsys    fstest.MapFS
	want    map[string]string
	got     map[string]string
	graph   *ir.Graph
	target  *ir.Target
	emitted *dockerfile.File
	lowered []*llb.Result
}

func readGolden(file string) (*golden, error) {
	in, err := txtar.ParseFile(file)
	if err != nil {
		return nil, err
	}
	c := &golden{in: in, info: options{}, fsys: fstest.MapFS{}, want: map[string]string{}, got: map[string]string{}}
	for _, line := range strings.Split(string(in.Comment), "\n") {
		if k, v, ok := strings.Cut(line, ": "); ok && slices.Contains([]string{"address", "platform", "var", "set", "context", "files", "lowered"}, k) {
			c.info[k] = append(c.info[k], strings.TrimSpace(v))
		}
	}
	for _, f := range in.Files {
		if slices.Contains(results, f.Name) {
			c.want[f.Name] = string(f.Data)
		} else {
			c.fsys[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	for _, names := range c.info["files"] {
		for _, name := range strings.Split(names, ",") {
			c.fsys[strings.TrimSpace(name)] = &fstest.MapFile{}
		}
	}
	return c, nil
}

func runGolden(t *testing.T, file string) {
	c, err := readGolden(file)
	if err != nil {
		t.Fatal(err)
	}
	c.compile(t)
	if *update {
		c.write(t, file)
	} else {
		for _, name := range results {
			if c.want[name] != c.got[name] {
				t.Errorf("%s:\n%s", name, unified(c.want[name], c.got[name]))
			}
		}
	}
	if c.emitted != nil && c.lowered != nil {
		c.digestRule(t)
	}
}

func (c *golden) compile(t *testing.T) {
	opt := compiler.Options{Levels: lint.Quiet()}
	opt.Sets = c.info["set"]
	for _, v := range c.info["var"] {
		name, value, _ := strings.Cut(v, "=")
		opt.Vars = append(opt.Vars, eval.VarSource{Name: name, Source: lang.Source{Data: []byte(value)}, Origin: "--var"})
	}
	opt.Contexts = map[string]string{}
	for _, v := range c.info["context"] {
		name, value, _ := strings.Cut(v, "=")
		opt.Contexts[name] = value
	}
	opt.Git = func() *eval.Git {
		return &eval.Git{Commit: "0123456789abcdef0123456789abcdef01234567", Short: "0123456", Branch: "main", Time: "2026-01-02T03:04:05Z"}
	}
	p := compiler.Load(c.fsys, ".", opt)
	diags := p.Check()
	defer func() { c.got["diagnostics"] = summaries(diags) }()
	if diags.HasErrors() {
		return
	}
	addr := c.info.one("address", address(p.Module))
	c.graph, diags = p.Graph([]string{addr}, c.platforms(t))
	if diags.HasErrors() {
		return
	}
	if err := ir.Verify(c.graph); err != nil {
		t.Error(err)
	}
	c.got["ir"] = ir.Print(c.graph)
	c.target = c.graph.Targets[len(c.graph.Targets)-1]
	var ds hcl.Diagnostics
	c.emitted, ds = dockerfile.Emit(c.graph, c.target)
	diags = append(diags, ds...)
	if c.emitted != nil {
		c.got["Dockerfile"] = string(c.emitted.Dockerfile)
		c.got["Dockerfile.dockerignore"] = string(c.emitted.IgnoreFile)
		for _, f := range c.emitted.Flags {
			if strings.HasPrefix(f, "--") {
				c.got["flags"] += "\n" + f
			} else {
				c.got["flags"] += " " + f
			}
		}
		if c.got["flags"] != "" {
			c.got["flags"] = c.got["flags"][1:] + "\n"
		}
	}
	diags = append(diags, c.lower(t)...)
}

func (c *golden) platforms(t *testing.T) (out []ocispecs.Platform) {
	for _, s := range c.info["platform"] {
		p, err := platforms.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// summaries are diagnostics without the sentences that get better every week.
func summaries(diags hcl.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		at, sev := "-", "error"
		if d.Subject != nil {
			at = d.Subject.String()
		}
		if d.Severity == hcl.DiagWarning {
			sev = "warning"
		}
		fmt.Fprintf(&b, "%s %s %s: %s\n", at, sev, diag.InfoOf(d).Code, d.Summary)
	}
	return b.String()
}

// lower fills in the definitions and image configurations.
func (c *golden) lower(t *testing.T) (diags hcl.Diagnostics) {
	names := map[*ir.Context]string{}
	if c.emitted != nil {
		for _, n := range c.emitted.Contexts {
			names[n.Context] = n.Name
		}
	}
	given, err := c.given(names)
	if err != nil {
		t.Fatal(err)
	}
	caps := pb.Caps.CapSet(pb.Caps.All())
	for _, req := range llb.Requests(c.target) {
		res, ds := llb.Lower(context.Background(), c.graph, req, llb.Options{
			Sources:  oracle.NewClient(oracle.Options{}),
			Resolver: baseImages, BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}, Caps: &caps, NoSourceMaps: true,
			LocalName: func(x *ir.Context) string { return names[x] }, Given: given,
		})
		diags = append(diags, ds...)
		c.lowered = append(c.lowered, res)
		if res == nil {
			continue
		}
		def, err := res.Definition(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		text, err := llb.Dump(def)
		if err != nil {
			t.Fatal(err)
		}
		head := fmt.Sprintf("== %s for %s\n", req.Stage.Name, platforms.FormatAll(res.Platform))
		c.got["llb"] += head + text
		img := *res.Image
		img.History, img.Created = nil, nil
		dt, err := json.MarshalIndent(img.Config, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		c.got["image"] += head + string(dt) + "\n"
	}
	return diags
}

// given loads what takes the place of contexts as BuildKit does, by the names that
// the Dockerfile has for them.
func (c *golden) given(names map[*ir.Context]string) (func(context.Context, *ir.Context, llb.Use) (*llb.Given, error), error) {
	attrs := map[string]string{}
	for x, name := range names {
		attrs["context:"+name] = x.Given
	}
	if c.target.Main != nil && c.target.Main.Given != "" {
		attrs["context"] = c.target.Main.Given
	}
	ui, err := dockerui.NewClient(oracle.NewClient(oracle.Options{Attrs: attrs, Resolver: baseImages}))
	return func(ctx context.Context, x *ir.Context, use llb.Use) (*llb.Given, error) {
		if x == c.target.Main {
			st, err := ui.MainContext(ctx)
			return &llb.Given{State: *st}, err
		}
		return llb.LoadNamed(ctx, ui, names[x], use)
	}, err
}

// digestRule compares every definition with the one that BuildKit's frontend
// makes of the emitted Dockerfile.
func (c *golden) digestRule(t *testing.T) {
	reason, lowered := c.info["lowered"]
	differs := ""
	for i, req := range llb.Requests(c.target) {
		if c.lowered[i] == nil {
			t.Errorf("%s can be emitted and not built", req.Stage.Addr)
			continue
		}
		differs += c.compare(t, req, c.lowered[i])
	}
	switch {
	case lowered && differs == "":
		t.Errorf("lowered (%s), and still BuildKit makes the same definition of the Dockerfile: drop the line", reason)
	case !lowered && differs != "":
		t.Errorf("BuildKit makes another definition of the Dockerfile:\n%s", differs)
	}
}

func (c *golden) compare(t *testing.T, req llb.Request, got *llb.Result) string {
	want, err := oracle.Convert(context.Background(), c.emitted.Dockerfile, oracle.Options{
		Attrs: c.attrs(req), Ignore: c.ignoreFiles(), Resolver: baseImages, Multi: req.Multi,
	})
	if err != nil {
		t.Fatalf("BuildKit refuses the Dockerfile: %v\n%s", err, c.emitted.Dockerfile)
	}
	def, err := got.Definition(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	diff, err := oracle.Compare(want.Def, def.ToPB())
	if err != nil {
		t.Fatal(err)
	}
	return diff + oracle.CompareImages(want.Image, got.Image) + oracle.CompareHistory(want.Image, got.Image)
}

// attrs are the frontend attributes that the flags beside a Dockerfile stand for.
func (c *golden) attrs(req llb.Request) map[string]string {
	attrs := maps.Clone(c.emitted.Attrs)
	delete(attrs, "platform")
	if req.Platform != nil {
		attrs["platform"] = platforms.FormatAll(*req.Platform)
	}
	if attrs["context"] != "" {
		attrs["dockerfilekey"] = "dockerfile" // docker build -f - ADDRESS
	}
	if req.Stage.Name != c.emitted.Target {
		attrs["target"] = req.Stage.Name
	}
	if req.Stage.Name == c.emitted.Files { // --label is about the image
		maps.DeleteFunc(attrs, func(k, _ string) bool { return strings.HasPrefix(k, "label:") })
	}
	return attrs
}

// ignoreFiles are those that BuildKit would find.
func (c *golden) ignoreFiles() map[string][]byte {
	out := map[string][]byte{}
	if c.emitted.IgnoreFile != nil {
		out["Dockerfile.dockerignore"] = c.emitted.IgnoreFile
	}
	for _, x := range c.graph.Contexts {
		if x.IgnoreFile != ".dockerignore" {
			continue
		}
		text := []byte(strings.Join(x.Patterns, "\n") + "\n")
		if x.Name == "default" {
			out[".dockerignore"] = text
		}
		for _, n := range c.emitted.Contexts {
			if n.Context == x {
				out[n.Name+"/.dockerignore"] = text
			}
		}
	}
	return out
}

// write puts the results into the case's file, in their fixed order.
func (c *golden) write(t *testing.T, file string) {
	out := &txtar.Archive{Comment: c.in.Comment}
	for _, f := range c.in.Files {
		if !slices.Contains(results, f.Name) {
			out.Files = append(out.Files, f)
		}
	}
	for _, name := range results {
		if text := c.got[name]; text != "" {
			out.Files = append(out.Files, txtar.File{Name: name, Data: []byte(text)})
		}
	}
	if err := os.WriteFile(file, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGoldenCoversTheSchema fails when no case sets an attribute that the language
// has.
func TestGoldenCoversTheSchema(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txtar")
	used := map[string]bool{}
	for _, file := range files {
		c, err := readGolden(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.want["diagnostics"], " error ") && c.want["ir"] == "" {
			continue // a case about mistakes shows no meaning
		}
		m, _ := lang.Load(c.fsys, ".", lang.LoadOptions{})
		for _, n := range m.Decls {
			markUsed(used, n)
			if s, ok := n.(*lang.Stage); ok {
				for _, step := range s.Steps {
					for {
						d, dynamic := step.(*lang.Dynamic)
						if !dynamic {
							break
						}
						used["dynamic.content"] = true
						step = d.Content
					}
					markUsed(used, step)
				}
			}
		}
	}
	for _, node := range []any{&lang.Variable{}, &lang.Function{}, &lang.Context{}, &lang.Stage{}, &lang.Artifact{}, &lang.Cache{}, &lang.Secret{}, &lang.SSH{},
		&lang.Target{}, &lang.Group{}, &lang.Test{}, &lang.Run{}, &lang.Copy{}, &lang.Write{}, &lang.Mkdir{}, &lang.Remove{}, &lang.Symlink{}, &lang.Set{}} {
		s := lang.SchemaOf(node)
		for _, f := range s.Fields {
			meta := f.Name == "for_each" || f.Name == "enabled" // one mechanism for all blocks
			if !meta && !used[s.Type+"."+f.Name] {
				t.Errorf("no golden case sets %s.%s", s.Type, f.Name)
			}
		}
	}
	for _, k := range []string{"stage.for_each", "stage.enabled", "run.for_each", "run.enabled", "target.for_each", "dynamic.content"} {
		if !used[k] {
			t.Errorf("no golden case sets %s", k)
		}
	}
}

func markUsed(used map[string]bool, node any) {
	s := lang.SchemaOf(node)
	lang.EachAttr(node, func(f *lang.Field, _ *lang.Attr) { used[s.Type+"."+f.Name] = true })
}
