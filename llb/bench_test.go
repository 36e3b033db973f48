package llb_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/llb"
)

// monorepo is n services, each a stage on one toolchain and a runtime.
func monorepo(n int) (*ir.Graph, *ir.Target) {
	base := stage("toolchain", "golang:1.26", &ir.Workdir{Path: q("/src")}, cp("./", "go.mod", "go.sum"), sh("go mod download"))
	t := &ir.Target{Addr: "target.all", Name: "all"}
	for i := range n {
		build := on(base, fmt.Sprintf("build-%d", i), &ir.Arg{Key: "SERVICE", Value: ptr(q(fmt.Sprint(i)))}, cp("./", fmt.Sprintf("services/%d", i)),
			run("go build ./services/$SERVICE", ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "gobuild"}, Target: q("/root/.cache")}))
		app := stage(fmt.Sprintf("app-%d", i), "alpine:3.22", from(build, "/bin/app", "/out/app"), &ir.Entrypoint{Command: ir.Command{Args: []string{"/bin/app"}}})
		t.Builds = append(t.Builds, &ir.Build{Image: app})
	}
	return graphOf(t), t
}

// BenchmarkMonorepo lowers and marshals 200 targets that share a toolchain.
func BenchmarkMonorepo(b *testing.B) {
	g, target := monorepo(200)
	opt := options
	opt.SharedContext = true
	for b.Loop() {
		all, diags := llb.LowerAll(context.Background(), g, llb.Requests(target), opt)
		if diags.HasErrors() {
			b.Fatal(messages(diags))
		}
		for _, r := range all {
			if _, err := r.Definition(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkEmit emits one of them.
func BenchmarkEmit(b *testing.B) {
	g, target := monorepo(200)
	one := *target
	one.Builds = target.Builds[:1]
	for b.Loop() {
		if _, diags := dockerfile.Emit(g, &one); diags.HasErrors() {
			b.Fatal(messages(diags))
		}
	}
}
