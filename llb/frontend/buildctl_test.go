package frontend_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bkclient "github.com/moby/buildkit/client"
	bk "github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/tonistiigi/fsutil"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/llb"
	"github.com/hbuild/hbuild/llb/frontend"
)

// buildctl runs BuildKit's own client with a directory as context and file.
func buildctl(t testing.TB, dir string, args ...string) result {
	t.Helper()
	all := []string{"--addr", testengine.Start(t), "build", "--progress=plain", "--local", "context=.", "--local", "dockerfile=.", "--opt", "filename=hbuild.hcl"}
	return run(t, dir, nil, tool(t, "buildctl"), append(all, args...)...)
}

// TestLayout takes the frontend from a directory of this machine, without any
// registry: by the syntax line, and named as the frontend.
func TestLayout(t *testing.T) {
	fe := frontendImage(t)
	layout := []string{"--oci-layout", "fe=" + fe.saveLayout(t), "--opt", "context:myorg/fe:1=oci-layout://fe@" + fe.digest}
	dir := module(t, "myorg/fe:1", map[string]string{"hbuild.hcl": hello, "data.txt": "world"})
	for name, front := range map[string][]string{
		"syntax line": {"--frontend", "dockerfile.v0"},
		"gateway":     {"--frontend", "gateway.v0", "--opt", "source=myorg/fe:1"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append(append([]string{}, front...), layout...)
			out := t.TempDir()
			ok(t, buildctl(t, dir, append(args, "--opt", "target=files", "--opt", "platform=linux/amd64,linux/arm64", "--output", "type=local,dest="+out)...))
			if got, want := list(t, out), []string{"linux_amd64/dist/out.txt", "linux_arm64/dist/out.txt"}; !slices.Equal(got, want) {
				t.Errorf("there are %q, not %q", got, want)
			}
			fails(t, buildctl(t, dir, append(args, "--opt", "build-arg:cuont=2")...), `Did you mean "count"?`)
			fails(t, buildctl(t, dir, append(args, "--opt", "frontend.caps=moby.buildkit.frontend.magic")...), "moby.buildkit.frontend.magic")
		})
	}
}

// TestContextPlatforms gives a context for one platform of two, which buildx has no
// words for.
func TestContextPlatforms(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{
		"hbuild.hcl": contexts, "main.txt": "main", "documentation/a.md": "a", "elsewhere/z.md": "z", "elsewhere/.dockerignore": ".dockerignore",
	})
	for name, c := range map[string]struct {
		args, want []string
	}{
		"one": {[]string{"--opt", "context:docs::linux/arm64=local:other", "--local", "other=elsewhere"}, []string{"linux_amd64/docs/a.md", "linux_arm64/docs/z.md"}},
		"both": {[]string{"--opt", "context:docs::linux/arm64=docker-image://busybox:1.37", "--opt", "context:docs=local:other", "--local", "other=elsewhere"},
			[]string{"linux_amd64/docs/z.md", "linux_arm64/docs/bin/busybox"}},
	} {
		out := t.TempDir()
		ok(t, buildctl(t, dir, append([]string{"--frontend", "dockerfile.v0", "--opt", "platform=linux/amd64,linux/arm64", "--output", "type=local,dest=" + out}, c.args...)...))
		got := list(t, out)
		for _, f := range c.want {
			if !slices.Contains(got, f) {
				t.Errorf("%s: %s is not there", name, f)
			}
		}
		if slices.Contains(got, "linux_arm64/docs/a.md") {
			t.Errorf("%s: the module's context is there for arm64", name)
		}
	}
}

// TestDescribe asks the image what it answers.
func TestDescribe(t *testing.T) {
	fe := frontendImage(t)
	var meta map[string][]byte
	solve(t, t.TempDir(), nil, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		res, err := gw.Solve(ctx, gateway.SolveRequest{Frontend: "gateway.v0", FrontendOpt: map[string]string{"source": fe.ref, "requestid": "frontend.subrequests.describe"}})
		if err == nil {
			meta = res.Metadata
		}
		return gateway.NewResult(), err
	})
	says(t, string(meta["result.json"]), "frontend.outline", "frontend.targets")
}

// solve runs a build function on the engine, with a directory as context and file.
func solve(t testing.TB, dir string, attrs map[string]string, f gateway.BuildFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := bkclient.New(ctx, testengine.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	files, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	opt := bkclient.SolveOpt{LocalMounts: map[string]fsutil.FS{"context": files, "dockerfile": files}, FrontendAttrs: attrs}
	if _, err := c.Build(ctx, opt, "", f, nil); err != nil {
		t.Fatal(err)
	}
}

// TestDigest compares what the frontend solves with what hbuild itself lowers of
// the same file, operation by operation: both go to one cache.
func TestDigest(t *testing.T) {
	for _, c := range []struct{ example, addr string }{
		{"http-server", "prod"}, {"http-server", "bin"}, {"href-counter", "app"}, {"instructions", "topic.copy"}, {"instructions", "topic.run-options"}, {"secrets", "default"},
		{"tzdata", "default"}, {"external-image", "viewer"}, {"external-image", "config"}, {"stop-at-stage", "default"}, {"fan-out", "default"},
	} {
		t.Run(c.example+" "+c.addr, func(t *testing.T) { compare(t, filepath.Join("../../examples", c.example), c.addr) })
	}
}

func compare(t *testing.T, dir, addr string) {
	attrs := map[string]string{"filename": "hbuild.hcl", "target": addr, "requestid": "frontend.convertllb"}
	solve(t, dir, attrs, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		res, err := frontend.Build(ctx, gw)
		if err != nil {
			return nil, err
		}
		var converted struct {
			Def map[string]json.RawMessage `json:"def"`
		}
		if err := json.Unmarshal(res.Metadata["result.json"], &converted); err != nil {
			return nil, err
		}
		want := lower(ctx, t, gw, dir, addr)
		if len(want.Def) != len(converted.Def) {
			t.Errorf("the frontend has %d operations, hbuild %d", len(converted.Def), len(want.Def))
		}
		head, err := llb.Head(want)
		if err != nil {
			return nil, err
		}
		if converted.Def[string(head)] == nil {
			t.Errorf("the frontend has no operation %s, hbuild's result", head)
		}
		return gateway.NewResult(), nil
	})
}

// lower is what `hbuild build` does with an address, for its first platform.
func lower(ctx context.Context, t *testing.T, gw gateway.Client, dir, addr string) *bk.Definition {
	t.Helper()
	g, diags := compiler.Load(os.DirFS(dir), ".", compiler.Options{}).Graph([]string{addr}, nil)
	if g == nil {
		t.Fatal(diags)
	}
	var reqs []llb.Request
	for _, target := range g.Targets {
		reqs = append(reqs, llb.Requests(target)...)
	}
	opts := gw.BuildOpts()
	res, diags := llb.LowerAll(ctx, g, reqs, llb.Options{
		Resolver: gw, Caps: &opts.LLBCaps, SessionID: opts.SessionID, SharedContext: len(reqs) > 1,
		BuildPlatforms: opts.Workers[0].Platforms,
	})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	def, err := res[len(res)-1].Definition(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return def
}

// BenchmarkStart is what the image costs a build before it does anything: BuildKit
// starts a container, the program answers which questions it knows.
func BenchmarkStart(b *testing.B) {
	fe := frontendImage(b)
	solve(b, b.TempDir(), nil, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		ask := gateway.SolveRequest{Frontend: "gateway.v0", FrontendOpt: map[string]string{"source": fe.ref, "requestid": "frontend.subrequests.describe"}}
		if _, err := gw.Solve(ctx, ask); err != nil { // the image is pulled and unpacked
			return nil, err
		}
		for b.Loop() {
			if _, err := gw.Solve(ctx, ask); err != nil {
				return nil, err
			}
		}
		return gateway.NewResult(), nil
	})
}
