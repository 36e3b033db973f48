package compiler_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

// baseImages are what the examples start from when they bring no images of their
// own.
func baseImages() string {
	const config = `{"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]}, "rootfs": {"type": "layers", "diff_ids": ["sha256:2222222222222222222222222222222222222222222222222222222222222222"]}}`
	return fmt.Sprintf(`{"alpine:3.22": {"linux/amd64": {"digest": "sha256:1111111111111111111111111111111111111111111111111111111111111111", "config": %s}}}`, config)
}

// TestBackendCatalogue runs the examples of the codes of lowering and of emitting,
// as [TestCatalogue] does those of the front end.
func TestBackendCatalogue(t *testing.T) {
	for _, e := range diag.Catalogue() {
		var backend func(t *testing.T, files map[string]string) (*compiler.Program, hcl.Diagnostics)
		switch {
		case strings.HasPrefix(string(e.Code), "HB4"):
			backend = lower
		case strings.HasPrefix(string(e.Code), "HB5"):
			backend = emit
		default:
			continue
		}
		t.Run(string(e.Code), func(t *testing.T) {
			if reason := unreachable[e.Code]; reason != "" {
				t.Skip(reason)
			}
			p, diags := backend(t, e.Wrong)
			if len(diags) == 0 || slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return diag.InfoOf(d).Code != e.Code }) {
				t.Errorf("the wrong example gives\n%s", text(p, diags))
			}
			checkDiagnostics(t, "wrong", diags)
			if p, diags := backend(t, e.Right); len(diags) > 0 {
				t.Errorf("the right example gives\n%s", text(p, diags))
			}
		})
	}
}

func lower(t *testing.T, files map[string]string) (*compiler.Program, hcl.Diagnostics) {
	t.Helper()
	p, _ := run(t, files)
	g, diags := p.Graph([]string{"prod"}, nil)
	if diags.HasErrors() {
		t.Fatalf("the front end refuses it:\n%s", text(p, diags))
	}
	data := files["images.json"]
	if data == "" {
		data = baseImages()
	}
	images, err := llb.ReadImages(strings.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	amd64 := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	var out hcl.Diagnostics
	for _, target := range g.Targets {
		_, diags := llb.LowerAll(context.Background(), g, llb.Requests(target), llb.Options{Resolver: images, BuildPlatforms: []ocispecs.Platform{amd64}})
		out = append(out, diags...)
	}
	return p, out
}

func emit(t *testing.T, files map[string]string) (*compiler.Program, hcl.Diagnostics) {
	t.Helper()
	p, _ := run(t, files)
	g, diags := p.Graph([]string{"prod"}, nil)
	if diags.HasErrors() {
		t.Fatalf("the front end refuses it:\n%s", text(p, diags))
	}
	var out hcl.Diagnostics
	for _, target := range g.Targets {
		_, diags := dockerfile.Emit(g, target)
		out = append(out, diags...)
	}
	return p, out
}
