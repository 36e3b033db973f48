package llb_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

var (
	amd64 = &ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = &ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	armv7 = &ocispecs.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
)

func TestStagesAgree(t *testing.T) {
	t.Run("base", func(t *testing.T) {
		base := stage("base", "debian", &ir.Arg{Key: "A", Value: ptr(q("1"))}, &ir.Env{Pairs: kvs("Q", "2")}, &ir.Workdir{Path: q("/w")},
			&ir.Shell{Args: []string{"/bin/bash", "-c"}}, &ir.User{User: q("u")}, &ir.OnBuild{Trigger: "RUN a $A"}, &ir.OnBuild{Trigger: "ENV T=$A$Q"})
		mid := on(base, "mid", sh("m"), &ir.Cmd{Command: ir.Command{Shell: true, Args: []string{"a\nb"}}}, sh(`x \`))
		top := on(mid, "top", &ir.Workdir{Path: q("rel")}, sh("$A"), &ir.Entrypoint{Command: ir.Command{Args: []string{"e"}}})
		g, target := graph(top)
		agree(t, g, target)
	})
	t.Run("name of an image", func(t *testing.T) {
		golang := stage("golang", "golang", sh("go"))
		alpine := stage("alpine", "alpine:3.22", from(golang, "/x", "/y"),
			&ir.Copy{From: ir.ImageSource{Ref: "golang"}, Src: qs("/a"), Dest: q("/b")},
			run("x", ir.Mount{Kind: ir.MountBind, From: ir.ImageSource{Ref: "Golang"[0:0] + "golang"}, Target: q("/g")}))
		g, target := graph(on(alpine, "final"))
		agree(t, g, target)
	})
	t.Run("unnarrowed by another stage", func(t *testing.T) {
		a := stage("a", "debian", cp("/", "one"))
		b := stage("b", "debian", cp("/", "two"), from(a, "/", "/one"))
		g, target := graph(b)
		agree(t, g, target)
		g, target = graph(stage("c", "debian", from(b, "/", "/x"), cp("/", ".")))
		agree(t, g, target)
	})
	t.Run("trigger with stage and image", func(t *testing.T) {
		build := stage("build", "golang:1.26", sh("x"))
		base := stage("base", "debian", from(build, "/", "/x"), &ir.OnBuild{Trigger: "COPY --from=build /out /out"},
			&ir.OnBuild{Trigger: "RUN --mount=from=busybox,target=/b --mount=type=secret,id=s,required ls"})
		g, target := graph(on(base, "app", sh("y")))
		agree(t, g, target)
	})
	t.Run("platform", func(t *testing.T) {
		build := stage("build", "golang:1.26", sh("x"), &ir.Copy{From: ir.ImageSource{Ref: "tools"}, Src: qs("/t"), Dest: q("/t")},
			run("y", ir.Mount{Kind: ir.MountBind, From: ir.ImageSource{Ref: "tools"}, Target: q("/g")}))
		build.Platform = &ir.Platform{Platform: *amd64, Auto: "BUILDPLATFORM"}
		fixed := stage("fixed", "golang:1.26", sh("x"))
		fixed.Platform = &ir.Platform{Platform: *armv7}
		child := on(build, "child", &ir.Arg{Key: "TARGETARCH", Auto: true, Value: ptr(q("arm64"))}, sh("z"))
		app := stage("app", "alpine", from(child, "/", "/o"), from(fixed, "/", "/f"),
			&ir.Copy{From: ir.ImageSource{Ref: "tools", Platform: &ir.Platform{Platform: *amd64, Auto: "BUILDPLATFORM"}}, Src: qs("/t"), Dest: q("/t")},
			&ir.Copy{From: ir.ImageSource{Ref: "tools", Platform: &ir.Platform{Platform: *arm64}}, Src: qs("/t"), Dest: q("/t")})
		target := &ir.Target{Addr: "target.t", Name: "t", Builds: []*ir.Build{{Platform: amd64, Image: app}, {Platform: arm64, Image: app}, {Platform: armv7, Image: app}}}
		agree(t, graphOf(target), target)
		f, _ := dockerfile.Emit(graphOf(target), target)
		if n := strings.Count(string(f.Dockerfile), "FROM --platform=$BUILDPLATFORM tools AS"); n != 1 {
			t.Errorf("%d stages for one image:\n%s", n, f.Dockerfile)
		}
	})
}

// variants is a stage evaluated once per platform.
func variants(platforms []*ocispecs.Platform, make func(p *ocispecs.Platform) *ir.Stage) *ir.Target {
	t := &ir.Target{Addr: "target.t", Name: "t"}
	for _, p := range platforms {
		t.Builds = append(t.Builds, &ir.Build{Platform: p, Image: make(p)})
	}
	return t
}

func TestVariantsAgree(t *testing.T) {
	all := []*ocispecs.Platform{amd64, arm64, armv7}
	pair := func(p *ocispecs.Platform, auto bool) *ir.Stage {
		base := stage("base", "golang:1.26", &ir.Arg{Key: "TARGETARCH", Value: ptr(q(p.Architecture)), Auto: true}, sh("x"))
		base.For = p
		if !auto {
			base.Steps = append(base.Steps, &ir.Env{Pairs: kvs("GOARCH", p.Architecture)}, &ir.Arg{Key: "Z", Value: ptr(q("1"))})
		}
		app := on(base, "app", &ir.Workdir{Path: q("/w")}, sh("go build"))
		app.For = p
		out := stage("out", "scratch", from(app, "/", "/bin"))
		out.For = p
		return out
	}
	t.Run("automatic", func(t *testing.T) {
		target := variants(all, func(p *ocispecs.Platform) *ir.Stage { return pair(p, true) })
		agree(t, graphOf(target), target)
		f, _ := dockerfile.Emit(graphOf(target), target)
		if n := strings.Count(string(f.Dockerfile), "FROM "); n != 3 {
			t.Errorf("%d stages, want 3:\n%s", n, f.Dockerfile)
		}
	})
	t.Run("split", func(t *testing.T) {
		target := variants(all, func(p *ocispecs.Platform) *ir.Stage { return pair(p, false) })
		agree(t, graphOf(target), target)
		f, _ := dockerfile.Emit(graphOf(target), target)
		if !strings.Contains(string(f.Dockerfile), "FROM base-$TARGETOS-$TARGETARCH$TARGETVARIANT AS base\n") || strings.Count(string(f.Dockerfile), "FROM ") != 6 {
			t.Errorf("%s", f.Dockerfile)
		}
	})
	t.Run("split target", func(t *testing.T) {
		target := variants(all, func(p *ocispecs.Platform) *ir.Stage {
			s := stage("app", "alpine", &ir.Label{Pairs: kvs("arch", p.Architecture)}, &ir.Cmd{Command: ir.Command{Args: []string{p.Architecture}}})
			s.For = p
			return s
		})
		agree(t, graphOf(target), target)
	})
	t.Run("one platform only", func(t *testing.T) {
		target := variants(all, func(p *ocispecs.Platform) *ir.Stage {
			s := stage("app", "alpine")
			s.For = p
			if p == armv7 {
				extra := stage("extra", "alpine", sh("arm only"))
				extra.For = p
				s.Steps = append(s.Steps, from(extra, "/", "/x"))
			}
			return s
		})
		agree(t, graphOf(target), target)
	})
	t.Run("onbuild", func(t *testing.T) {
		target := variants(all, func(p *ocispecs.Platform) *ir.Stage {
			s := stage("app", "alpine", sh(p.Architecture), &ir.OnBuild{Trigger: "RUN x"})
			s.For = p
			return s
		})
		_, diags := dockerfile.Emit(graphOf(target), target)
		expectCode(t, diags, dockerfile.CodeVariants)
	})
}

func TestOptionsAgree(t *testing.T) {
	app := stage("app", "rich", &ir.Arg{Key: "HTTP_PROXY"}, &ir.Arg{Key: "SOURCE_DATE_EPOCH"}, &ir.Workdir{Path: q("/w")}, cp("/", "x"), sh("y"),
		run("z", ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "c"}, Target: q("/c")}), &ir.Label{Pairs: kvs("a", "stage", "b", "c")})
	build := func(o ir.BuildOptions) *ir.Target {
		return &ir.Target{Addr: "target.t", Name: "t", Builds: []*ir.Build{{Image: app}}, Options: o}
	}
	cases := map[string]*ir.Target{
		"hosts":    build(ir.BuildOptions{Hosts: []ir.Host{{Name: "Db.internal", IP: "10.0.0.1"}, {Name: "six", IP: "0:0::1"}}}),
		"ulimits":  build(ir.BuildOptions{Ulimits: []ir.Ulimit{{Name: "nofile", Soft: 1024, Hard: 2048}}}),
		"shm":      build(ir.BuildOptions{ShmSize: 1 << 27}),
		"hostname": build(ir.BuildOptions{Hostname: "builder"}),
		"cgroup":   build(ir.BuildOptions{CgroupParent: "/x"}),
		"network":  build(ir.BuildOptions{Network: ir.NetHost}),
		"limits":   build(ir.BuildOptions{Limits: ir.Limits{Memory: 1 << 30, MemorySwap: -1, CPUShares: 2, CPUPeriod: 100, CPUQuota: 50, CPUSetCPUs: "0-1", CPUSetMems: "0"}}),
		"epoch":    build(ir.BuildOptions{Epoch: ptr(int64(1700000000))}),
		"args":     build(ir.BuildOptions{BuildArgs: []ir.KV{{Key: "HTTP_PROXY", Value: "http://p"}, {Key: "no_proxy", Value: "x"}, {Key: "BUILDKIT_CACHE_MOUNT_NS", Value: "ns"}}}),
		"pull":     {Addr: "t", Builds: []*ir.Build{{Image: app}}, Pull: true},
		"no cache": {Addr: "t", Builds: []*ir.Build{{Image: app}}, NoCache: true},
		"labels":   {Addr: "t", Builds: []*ir.Build{{Image: app}}, Labels: []ir.KV{{Key: "a", Value: "target's \"own\"\nline"}}},
		"platform": {Addr: "t", Builds: []*ir.Build{{Image: app, Platform: arm64}}},
	}
	for name, target := range cases {
		t.Run(name, func(t *testing.T) { agree(t, graphOf(target), target) })
	}
}

// TestEpochAgree has times that only an engine knows, of what BuildKit takes for
// SOURCE_DATE_EPOCH besides a number.
func TestEpochAgree(t *testing.T) {
	add := func(src string) *ir.Copy { return &ir.Copy{Add: true, Src: qs(src), Dest: q("/")} }
	times := func(steps ...ir.Step) ir.Source { return ir.StageSource{Stage: stage("times", "scratch", steps...)} }
	checked := add("https://example.com/x.tar")
	checked.Checksum = q("sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d")
	other := &ir.Context{Name: "other", Path: "other"}
	for name, c := range map[string]struct {
		from ir.Source
		want string
	}{
		"git":               {times(add("https://github.com/a/b.git#v1")), "1600000000"},
		"http":              {times(checked), "1600000000"},
		"arguments":         {times(&ir.Arg{Key: "REF", Value: ptr(q("v1"))}, add("https://github.com/a/b.git#$REF")), "1600000000"},
		"directory":         {ir.ContextSource{Context: mainContext}, ""},
		"another directory": {ir.ContextSource{Context: other}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			app := stage("app", "rich", &ir.Arg{Key: "SOURCE_DATE_EPOCH"}, &ir.Workdir{Path: q("/w")}, cp("/", "x"), sh("y"))
			target := &ir.Target{Addr: "target.t", Name: "t", Builds: []*ir.Build{{Image: app, Platform: arm64}}, Options: ir.BuildOptions{EpochFrom: c.from}}
			g := graphOf(target)
			agree(t, g, target)
			opt := options
			opt.Sources = oracle.NewClient(oracle.Options{})
			res, diags := llb.Lower(context.Background(), g, llb.Requests(target)[0], opt)
			if diags.HasErrors() {
				t.Fatal(messages(diags))
			}
			got := ""
			if res.Epoch != nil {
				got = fmt.Sprint(res.Epoch.Unix())
			}
			if got != c.want {
				t.Errorf("the time is %q, not %q", got, c.want)
			}
			if from, ok := c.from.(ir.StageSource); ok {
				_, diags = llb.Lower(context.Background(), g, llb.Requests(target)[0], options)
				expectCode(t, diags, llb.CodeBuildOption) // nobody to ask
				from.Stage.Steps = append(from.Stage.Steps, sh("x"))
				_, diags = llb.Lower(context.Background(), g, llb.Requests(target)[0], opt)
				expectCode(t, diags, llb.CodeBuildOption)
			}
		})
	}
}

func TestContextsAgree(t *testing.T) {
	patterns := []string{"**", "!go.mod", "#odd", "!#x", "dir/**/*.go"}
	read := func(c *ir.Context, paths ...string) *ir.Copy {
		return &ir.Copy{From: ir.ContextSource{Context: c}, Src: qs(paths...), Dest: q("/x/")}
	}
	t.Run("patterns", func(t *testing.T) {
		c := &ir.Context{Name: "default", Path: ".", Patterns: patterns}
		g, target := graph(stage("a", "debian", read(c, "go.mod")))
		agree(t, g, target)
		f, _ := dockerfile.Emit(g, target)
		if f.IgnoreFile == nil {
			t.Error("no ignore file")
		}
	})
	t.Run("own ignore file", func(t *testing.T) {
		c := &ir.Context{Name: "default", Path: ".", Patterns: []string{"a", "!b"}, IgnoreFile: ".dockerignore"}
		n := &ir.Context{Name: "Other", Path: "../o", Patterns: []string{"c"}, IgnoreFile: ".dockerignore"}
		g, target := graph(stage("a", "debian", read(c, "go.mod"), read(n, "d", "e*"), read(n, ".")))
		agree(t, g, target)
		f, _ := dockerfile.Emit(g, target)
		if f.IgnoreFile != nil || len(f.Contexts) != 1 || f.Contexts[0].Name != "other" {
			t.Errorf("%s %v", f.IgnoreFile, f.Contexts)
		}
	})
	t.Run("names", func(t *testing.T) {
		var steps []ir.Step
		for _, n := range []string{"alpine", "context", "a_", "B--c", "x__y___z", "debian"} {
			steps = append(steps, read(&ir.Context{Name: n, Path: n}, "f"))
		}
		g, target := graph(stage("alpine-context", "debian", append(steps, &ir.Copy{From: ir.ImageSource{Ref: "alpine:latest"}, Src: qs("/a"), Dest: q("/b")})...))
		agree(t, g, target)
	})
	t.Run("patterns of a named context", func(t *testing.T) {
		g, target := graph(stage("a", "debian", read(&ir.Context{Name: "n", Path: "n", Patterns: []string{"x"}}, "f")))
		_, diags := dockerfile.Emit(g, target)
		expectCode(t, diags, dockerfile.CodeIgnore)
	})
}

func TestFilesAgree(t *testing.T) {
	build := stage("build", "golang:1.26", sh("make"), &ir.OnBuild{Trigger: "RUN never"})
	image := stage("app", "alpine", from(build, "/", "/out"))
	files := stage("t-files", "scratch", from(build, "/bin/server", "/out/server"), from(image, "/etc/", "/etc/x"))
	target := &ir.Target{Addr: "target.t", Name: "t", Labels: []ir.KV{{Key: "a", Value: "b"}}, Builds: []*ir.Build{{Image: image, Files: files}}}
	agree(t, graphOf(target), target)
	only := &ir.Target{Addr: "target.t", Name: "t", Builds: []*ir.Build{{Files: files}}}
	agree(t, graphOf(only), only)
}

// expectCode fails unless one of diags is an error of that code.
func expectCode(t *testing.T, diags hcl.Diagnostics, code diag.Code) {
	t.Helper()
	for _, d := range diags {
		if d.Severity == hcl.DiagError && diag.InfoOf(d).Code == code {
			return
		}
	}
	t.Errorf("no %s among:\n%s", code, messages(diags))
}
