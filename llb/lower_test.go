package llb_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

var options = llb.Options{Resolver: images, BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}}

func lower(t *testing.T, g *ir.Graph, target *ir.Target) (*llb.Result, *bk.Definition) {
	t.Helper()
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	res, diags := llb.Lower(context.Background(), g, llb.Requests(target)[0], options)
	if diags.HasErrors() {
		t.Fatal(messages(diags))
	}
	def, err := res.Definition(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return res, def
}

// customNames are the names of a definition's operations, sorted.
func customNames(def *bk.Definition) []string {
	var out []string
	for _, m := range def.Metadata {
		if n := m.Description["llb.customname"]; n != "" {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestNames(t *testing.T) {
	named := sh("long")
	named.Name = "compile"
	s := stage("build", "golang:1.26", &ir.Workdir{Path: q("/src")}, cp("./", "go.mod", "go.sum"), sh("go mod download"), script("set -e\necho\n"), named)
	g, target := graph(s)
	_, def := lower(t, g, target)
	want := []string{
		"[build 2/6] WORKDIR /src", "[build 3/6] COPY go.mod go.sum ./", "[build 4/6] go mod download", "[build 5/6] set -e ...", "[build 6/6] compile", "[internal] load build context",
	}
	got := customNames(def)
	if !strings.HasPrefix(got[0], "[build 1/6] FROM docker.io/library/golang:1.26@sha256:") || !slices.Equal(got[1:], want) {
		t.Errorf("%q", got)
	}
	target.Builds = []*ir.Build{{Platform: amd64, Image: s}, {Platform: arm64, Image: s}}
	all, diags := llb.LowerAll(context.Background(), g, llb.Requests(target), options)
	if diags.HasErrors() {
		t.Fatal(messages(diags))
	}
	def, err := all[1].Definition(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if got := customNames(def); !slices.Contains(got, "[linux/arm64 build 4/6] go mod download") {
		t.Errorf("%q", got)
	}
}

func TestSourceMaps(t *testing.T) {
	step := sh("false")
	step.Range = hcl.Range{Filename: "hbuild.hcl", Start: hcl.Pos{Line: 3, Column: 3, Byte: 30}, End: hcl.Pos{Line: 5, Column: 4, Byte: 60}}
	g, target := graph(stage("app", "debian", step))
	g.Files = map[string][]byte{"hbuild.hcl": []byte("stage \"app\" {\n}\n")}
	_, def := lower(t, g, target)
	head, err := def.Head()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(def.Source.Infos); n != 1 || def.Source.Infos[0].Language != "HCL" || def.Source.Infos[0].Filename != "hbuild.hcl" || string(def.Source.Infos[0].Data) != string(g.Files["hbuild.hcl"]) {
		t.Errorf("%d infos: %v", n, def.Source.Infos)
	}
	r := def.Source.Locations[head.String()].Locations[0].Ranges[0]
	if r.Start.Line != 3 || r.End.Line != 5 {
		t.Errorf("range %v", r)
	}
}

// TestStable marshals one graph twice without a session: what `hbuild emit llb`
// writes is a golden file.
func TestStable(t *testing.T) {
	g, target := graph(stage("app", "debian", cp("/", "a"), &ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("f"), Dest: q("/f"), Link: true}))
	dump := func() string {
		_, def := lower(t, g, target)
		dt, err := llb.JSON(def)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.TrimSpace(string(dt)), "\n") {
			var op struct{ Digest string }
			if err := json.Unmarshal([]byte(line), &op); err != nil || !strings.HasPrefix(op.Digest, "sha256:") {
				t.Errorf("%v: %s", err, line)
			}
		}
		text, err := llb.Dump(def)
		if err != nil {
			t.Fatal(err)
		}
		return string(dt) + text
	}
	if a, b := dump(), dump(); a != b {
		t.Errorf("differs:\n%s\n%s", a, b)
	}
}

func TestDump(t *testing.T) {
	g, target := graph(stage("app", "scratch", cp("/bin/", "a*"), run("make", ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "go"}, Target: q("/go")},
		ir.Mount{Kind: ir.MountSecret, Secret: &ir.Secret{ID: "npm"}, Env: "NPM"})))
	_, def := lower(t, g, target)
	got, err := llb.Dump(def)
	if err != nil {
		t.Fatal(err)
	}
	want := `#1 [internal] load build context
  source local://context
  local.followpaths ["a*"]
  local.sharedkeyhint context
  local.unique hbuild

#2 [app 1/2] COPY a* /bin/
  action 1 on scratch output=0
    copy #1 "/a*" to "/bin/"

#3 [app 2/2] make
  exec ["/bin/sh" "-c" "make"]
  env "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
  cwd /
  secretenv NPM npm optional
  mount / bind #2 output=0
  mount /go cache scratch id=/go shared
  platform linux/amd64

result #3
`
	if got != want {
		t.Errorf("got:\n%s", got)
	}
}

func TestShared(t *testing.T) {
	base := stage("toolchain", "golang:1.26", cp("/src/", "go.mod"), sh("go mod download"))
	var reqs []llb.Request
	var roots []*ir.Build
	for i := range 20 {
		s := on(base, fmt.Sprintf("s%d", i), cp("/src/", fmt.Sprintf("svc%d", i)), sh("go build"))
		reqs = append(reqs, llb.Request{Stage: s})
		roots = append(roots, &ir.Build{Image: s})
	}
	g := graphOf(&ir.Target{Addr: "t", Builds: roots})
	opt := options
	opt.SharedContext = true
	all, diags := llb.LowerAll(context.Background(), g, reqs, opt)
	if diags.HasErrors() {
		t.Fatal(messages(diags))
	}
	follow := map[string]bool{}
	ops := map[string]int{}
	for _, r := range all {
		def, err := r.Definition(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, dt := range def.Def {
			var op pb.Op
			if err := op.UnmarshalVT(dt); err != nil {
				t.Fatal(err)
			}
			ops[string(dt)]++
			if src := op.GetSource(); src != nil && strings.HasPrefix(src.Identifier, "local://") {
				follow[src.Attrs[pb.AttrFollowPaths]] = true
			}
		}
		if len(r.Locals) != 1 || r.Locals[0] != mainContext {
			t.Errorf("locals %v", r.Locals)
		}
	}
	if len(follow) != 1 {
		t.Errorf("%d local sources, want one union: %v", len(follow), follow)
	}
	shared := 0
	for _, n := range ops {
		if n == len(all) {
			shared++
		}
	}
	if shared != 4 { // image, context, copy, run
		t.Errorf("%d operations in all definitions, want 4", shared)
	}
}

// TestParts: for very many targets a context is some local sources that share no files,
// each definition has those that it reads, and a caller that narrows has their names.
func TestParts(t *testing.T) {
	const targets = 250
	var reqs []llb.Request
	var roots []*ir.Build
	base := stage("toolchain", "golang:1.26", cp("/src/", "go.mod"))
	for i := range targets {
		s := on(base, fmt.Sprintf("s%d", i), cp("/src/", fmt.Sprintf("svc%d", i)))
		reqs = append(reqs, llb.Request{Stage: s})
		roots = append(roots, &ir.Build{Image: s})
	}
	g := graphOf(&ir.Target{Addr: "t", Builds: roots})
	// sources is what each local source is narrowed to, by its identifier and its hint.
	sources := func(opt llb.Options) map[string][]string {
		opt.SharedContext = true
		all, diags := llb.LowerAll(context.Background(), g, reqs, opt)
		if diags.HasErrors() {
			t.Fatal(messages(diags))
		}
		out := map[string][]string{}
		for i, r := range all {
			def, err := r.Definition(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			follow := map[string]bool{}
			for _, dt := range def.Def {
				var op pb.Op
				if err := op.UnmarshalVT(dt); err != nil {
					t.Fatal(err)
				}
				if src := op.GetSource(); src != nil && strings.HasPrefix(src.Identifier, "local://") {
					name := src.Identifier + " " + src.Attrs[pb.AttrSharedKeyHint]
					var paths []string
					if f := src.Attrs[pb.AttrFollowPaths]; f != "" {
						if err := json.Unmarshal([]byte(f), &paths); err != nil {
							t.Fatal(err)
						}
					}
					if was, ok := out[name]; ok && !slices.Equal(was, paths) {
						t.Fatalf("%s is of %q and of %q", name, was, paths)
					}
					out[name] = paths
					for _, p := range paths {
						follow[p] = true
					}
				}
			}
			if opt.Narrow == nil && (!follow["go.mod"] || !follow[fmt.Sprintf("svc%d", i)]) {
				t.Fatalf("%d reads %v", i, follow)
			}
		}
		return out
	}
	once := func(sources map[string][]string) {
		t.Helper()
		n, all := 0, map[string]bool{}
		for _, paths := range sources {
			for _, p := range paths {
				all[p] = true
			}
			n += len(paths)
		}
		if n != targets+1 || len(all) != n {
			t.Errorf("%d paths are read, %d times: %q", len(all), n, sources)
		}
	}
	want := []string{"local://context context 1/3", "local://context context 2/3", "local://context context 3/3"}
	got := sources(options)
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("local sources %q, not %q", names, want)
	}
	once(got)
	opt, narrowed := options, map[string][]string{}
	var mu sync.Mutex
	opt.Narrow = func(name string, paths []string) {
		mu.Lock()
		defer mu.Unlock()
		narrowed[name] = paths
	}
	want = []string{"local://context context 1/3", "local://context#1 context 2/3", "local://context#2 context 3/3"}
	got = sources(opt)
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("local sources %q, not %q", names, want)
	}
	for name, paths := range got {
		if len(paths) > 0 {
			t.Errorf("%s says itself that it is narrowed, to %q", name, paths)
		}
	}
	if names := slices.Sorted(maps.Keys(narrowed)); !slices.Equal(names, []string{"context", "context#1", "context#2"}) || llb.Parts(targets) != len(names) {
		t.Errorf("narrowed are %q", names)
	}
	once(narrowed)
}

func TestLocals(t *testing.T) {
	g, target := graph(stage("app", "debian", run("x", ir.Mount{Kind: ir.MountTmpfs, Target: q("/t")})))
	res, _ := lower(t, g, target)
	if len(res.Locals) != 0 {
		t.Errorf("a tmpfs mount reads %v", res.Locals)
	}
	g, target = graph(stage("app", "triggers:1"))
	res, _ = lower(t, g, target)
	if len(res.Locals) != 1 || res.Locals[0].Name != "default" {
		t.Errorf("locals of a base image's triggers: %v", res.Locals)
	}
}

func TestReplacedContext(t *testing.T) {
	g, target := graph(stage("app", "debian", cp("/", "a")))
	opt := options
	opt.Contexts = map[*ir.Context]bk.State{mainContext: bk.Git("https://example.com/x.git", "main")}
	res, diags := llb.Lower(context.Background(), g, llb.Requests(target)[0], opt)
	if diags.HasErrors() {
		t.Fatal(messages(diags))
	}
	def, err := res.Definition(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	text, _ := llb.Dump(def)
	if !strings.Contains(text, "source git://example.com/x.git#main") || strings.Contains(text, "local://") || len(res.Locals) != 0 {
		t.Errorf("%v\n%s", res.Locals, text)
	}
}

func TestNoCache(t *testing.T) {
	once := sh("b")
	once.NoCache = true
	g, target := graph(stage("app", "debian", sh("a"), once, sh("c")))
	_, def := lower(t, g, target)
	var ignored []string
	for _, m := range def.Metadata {
		if m.IgnoreCache {
			ignored = append(ignored, m.Description["llb.customname"])
		}
	}
	if !slices.Equal(ignored, []string{"[app 3/4] b"}) {
		t.Errorf("%q", ignored)
	}
}

func TestImages(t *testing.T) {
	const file = `{
	  "golang:1.26": {"linux/amd64": {"digest": "sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d", "config": {"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/go/bin"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d"]}}}},
	  "alpine:3.22": {"linux/arm64": {"digest": "sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d", "config": {}}}
	}`
	m, err := llb.ReadImages(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	opt := options
	opt.Resolver = m
	try := func(s *ir.Stage) (*llb.Result, hcl.Diagnostics) {
		g, target := graph(s)
		return llb.Lower(context.Background(), g, llb.Requests(target)[0], opt)
	}
	res, diags := try(stage("a", "golang:1.26", sh("x")))
	if diags.HasErrors() || res.Image.Config.Env[0] != "PATH=/go/bin" {
		t.Errorf("%v %+v", messages(diags), res)
	}
	bad := stage("a", "golang:1.2", sh("x"))
	at := hcl.Range{Filename: "hbuild.hcl", Start: hcl.Pos{Line: 2}, End: hcl.Pos{Line: 2, Byte: 9}}
	bad.Root = ir.ImageRoot{Ref: "golang:1.2", Range: at}
	_, diags = try(bad)
	expectCode(t, diags, llb.CodeImage)
	if d := diags[0]; *d.Subject != at || !strings.Contains(d.Detail, "docker.io/library/alpine:3.22") || !strings.Contains(diag.InfoOf(d).Help, "golang:1.26") {
		t.Errorf("%v %s %+v", d.Subject, d.Detail, diag.InfoOf(d))
	}
	_, diags = try(stage("a", "alpine:3.22"))
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, "for linux/arm64, not for linux/amd64") {
		t.Errorf("%s", messages(diags))
	}
	for _, bad := range []string{`[]`, `{"UPPER":{}}`, `{"a":{"x/y/z/w":{}}}`, `{"a":{"linux/amd64":{"digest":"x"}}}`, `{"a":{"linux/amd64":{"digset":"x"}}}`} {
		if _, err := llb.ReadImages(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}

// TestMistakes are those that only show when a build is lowered.
func TestMistakes(t *testing.T) {
	ctx := ir.ContextSource{Context: mainContext}
	fixed := stage("app", "scratch")
	fixed.Platform = &ir.Platform{Platform: *armv7}
	for name, c := range map[string]struct {
		code  diag.Code
		stage *ir.Stage
	}{
		"must be set":      {llb.CodeExpand, stage("app", "debian", &ir.Workdir{Path: q("${X:?give X}")})},
		"text":             {llb.CodeExpand, stage("app", "debian", &ir.Copy{Texts: []ir.Text{{Name: "a", Data: "${X:?m}\n", Expand: true}}, Dest: q("/")})},
		"expose expansion": {llb.CodeExpand, stage("app", "debian", &ir.Expose{Ports: qs("${X:?m}")})},
		"chmod":            {llb.CodeChmod, stage("app", "debian", &ir.Copy{From: ctx, Src: qs("a"), Dest: q("/"), Chmod: q("$NO-such")})},
		"chmod large":      {llb.CodeChmod, stage("app", "debian", &ir.Copy{From: ctx, Src: qs("a"), Dest: q("/"), Chmod: q("77777")})},
		"volume":           {llb.CodeEmpty, stage("app", "debian", &ir.Volume{Paths: qs("$NO")})},
		"env name":         {llb.CodeEmpty, stage("app", "debian", &ir.Env{Pairs: kvs("$NO", "x")})},
		"port":             {llb.CodePort, stage("app", "debian", &ir.Expose{Ports: qs("${NO:-http}")})},
		"port range":       {llb.CodePort, stage("app", "debian", &ir.Expose{Ports: qs("9-8")})},
		"signal":           {llb.CodeSignal, stage("app", "debian", &ir.StopSignal{Signal: q("SIGNOPE")})},
		"trigger":          {llb.CodeTrigger, stage("app", "debian", &ir.OnBuild{Trigger: "FROM x"})},
		"trigger of base":  {llb.CodeTrigger, on(stage("base", "debian", &ir.OnBuild{Trigger: "COPY --from=0 a b"}), "app")},
		"trigger of self":  {llb.CodeTrigger, on(stage("base", "debian", &ir.OnBuild{Trigger: "COPY --from=app a b"}), "app")},
		"address":          {llb.CodeRemoteSource, stage("app", "debian", cp("/", "https://example.com/x"))},
		"checksum":         {llb.CodeRemoteSource, stage("app", "debian", &ir.Copy{Add: true, From: ctx, Src: qs("a"), Dest: q("/"), Checksum: q("sha256:x")})},
		"mount root":       {llb.CodeMountTarget, stage("app", "debian", run("x", ir.Mount{Kind: ir.MountBind, From: ctx, Target: q("$NO/")}))},
		"mount mode":       {llb.CodeMountOption, stage("app", "debian", run("x", ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "c"}, Target: q("/c"), Mode: q("9$NO")}))},
		"scratch platform": {llb.CodePlatform, fixed},
		"no command":       {llb.CodeCommand, stage("app", "debian", &ir.Run{Command: &ir.Command{}})},
		"host":             {llb.CodeBuildOption, stage("app", "debian", &ir.Run{Command: sh("x").Command, Hosts: []ir.Host{{Name: "a", IP: "x"}}})},
	} {
		t.Run(name, func(t *testing.T) {
			g, target := graph(c.stage)
			at := hcl.Range{Filename: "hbuild.hcl", Start: hcl.Pos{Line: 7}, End: hcl.Pos{Line: 7, Byte: 1}}
			for _, s := range g.Stages {
				for _, step := range s.Steps {
					step.Meta().Range = at
					if r, ok := step.(*ir.Run); ok {
						for i := range r.Mounts {
							r.Mounts[i].Range = at
						}
					}
				}
			}
			_, diags := llb.Lower(context.Background(), g, llb.Requests(target)[0], options)
			expectCode(t, diags, c.code)
			if len(diags) != 1 {
				t.Errorf("%s", messages(diags))
			}
			if llb.Titles[c.code] == "" {
				t.Errorf("%s has no title", c.code)
			}
		})
	}
}

// TestAllMistakes has two in different stages: neither hides the other.
func TestAllMistakes(t *testing.T) {
	a := stage("a", "debian", &ir.StopSignal{Signal: q("X")}, &ir.Volume{Paths: qs("$NO")})
	b := stage("b", "debian", &ir.User{User: q("${X:?m}")}, from(a, "/", "/x"))
	g, target := graph(b)
	_, diags := llb.Lower(context.Background(), g, llb.Requests(target)[0], options)
	for _, code := range []diag.Code{llb.CodeSignal, llb.CodeEmpty, llb.CodeExpand} {
		expectCode(t, diags, code)
	}
}
