package frontend_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/internal/testengine"
)

const scanned = `
stage "tools" {
  from = image("busybox:1.37")
  run { command = "mkdir /in-tools" }
}

stage "build" {
  from = stage.tools
  args = { BUILDKIT_SBOM_SCAN_STAGE = %q }
  copy { files = { "/in-build/" = "main.txt" } }
}

stage "unused" {
  from = image("busybox:1.37")
  args = { BUILDKIT_SBOM_SCAN_STAGE = "true" }
}

stage "app" {
  from = scratch
  args = { BUILDKIT_SBOM_SCAN_CONTEXT = %q }
  copy {
    from = stage.build
    src  = "/in-build"
    dest = "/in-app"
  }
}

target "default" {
  image      = stage.app
  platforms  = ["linux/amd64", "linux/arm64"]
  attest     = ["type=sbom,generator=SCANNER"]
  build_args = %s
}
`

// scannerImage pushes the stand-in for a scanner.
func scannerImage(t testing.TB, fe *published) string {
	t.Helper()
	ref := testengine.Registry(t) + "/hbuild/test-scanner:test"
	self := module(t, fe.ref, map[string]string{"hbuild.hcl": fmt.Sprintf(scannerModule, "`"), "scan.sh": content(t, "testdata/scan.sh")})
	ok(t, buildx(t, self, "build", "-f", "hbuild.hcl", "--provenance=false", "-o", "type=image,push=true,name="+ref, "."))
	return ref
}

// scans are what the SBOMs of an image, each platform's, were made of: their names,
// and the packages that are of these tests.
func scans(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	for _, img := range manifests(t, dir) {
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range m.Layers {
			if l.MediaType != "application/vnd.in-toto+json" {
				continue
			}
			var statement struct {
				Predicate struct {
					Name     string
					Packages []struct{ Name string }
				}
			}
			if err := json.Unmarshal([]byte(content(t, filepath.Join(dir, "blobs/sha256", l.Digest.Hex))), &statement); err != nil {
				t.Fatal(err)
			}
			made := statement.Predicate.Name + ":"
			for _, p := range statement.Predicate.Packages {
				if strings.HasPrefix(p.Name, "in-") || strings.HasSuffix(p.Name, ".txt") {
					made += " " + p.Name
				}
			}
			out = append(out, made)
		}
	}
	slices.Sort(out)
	return out
}

// TestScans asks for SBOMs of more than the image, of hbuild, of the frontend, and of
// BuildKit's own frontend with the Dockerfile that hbuild emits: all three scan the
// same.
func TestScans(t *testing.T) {
	fe := frontendImage(t)
	scanner := scannerImage(t, fe)
	hbuild := filepath.Join(t.TempDir(), "hbuild")
	if out, err := exec.Command("go", "build", "-o", hbuild, "../../cmd/hbuild").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	app, build, tools, files := "sbom: in-app", "sbom-build: in-build in-tools", "sbom-tools: in-tools", "sbom-context: main.txt"
	for name, c := range map[string]struct {
		stage, context, args string
		want                 []string
	}{
		"stage":            {"true", "false", "{}", []string{app, build}},
		"context":          {"false", "1", "{}", []string{app, files}},
		"neither":          {"false", "", "{}", []string{app}},
		"all":              {"", "", `{ BUILDKIT_SBOM_SCAN_STAGE = "true" }`, []string{app, build, tools}},
		"by name":          {"tools,build", "false", "{}", []string{app, build}},
		"one of the build": {"", "", `{ BUILDKIT_SBOM_SCAN_STAGE = "tools", BUILDKIT_SBOM_SCAN_CONTEXT = "app" }`, []string{app, tools, files}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(fmt.Sprintf(scanned, c.stage, c.context, c.args), "SCANNER", scanner, 1)
			text = strings.NewReplacer(`args = { BUILDKIT_SBOM_SCAN_STAGE = "" }`, "", `args = { BUILDKIT_SBOM_SCAN_CONTEXT = "" }`, "").Replace(text)
			dir := module(t, fe.ref, map[string]string{"hbuild.hcl": text, "main.txt": "x"})
			var want []string
			for _, w := range c.want {
				want = append(want, w, w) // two platforms
			}
			slices.Sort(want)
			check := func(by, image string) {
				t.Helper()
				if got := scans(t, filepath.Join(dir, image)); !slices.Equal(got, want) {
					t.Errorf("%s scanned %q, not %q", by, got, want)
				}
			}
			ok(t, run(t, dir, nil, hbuild, "build", "--engine", testengine.Start(t), "-o", "type=oci,tar=false,dest=cli", "--progress", "plain"))
			check("hbuild", "cli")
			flags := []string{"--sbom=generator=" + scanner, "--provenance=false"}
			ok(t, buildx(t, dir, append([]string{"build", "-f", "hbuild.hcl", "-o", "type=oci,tar=false,dest=fe", "."}, flags...)...))
			check("the frontend", "fe")

			p := compiler.Load(os.DirFS(dir), ".", compiler.Options{})
			g, diags := p.Graph(nil, nil)
			if g == nil {
				t.Fatal(diags)
			}
			f, diags := dockerfile.Emit(g, g.Targets[0])
			if f == nil {
				t.Fatal(diags)
			}
			write(t, filepath.Join(dir, "Dockerfile"), string(f.Dockerfile))
			args := append([]string{"build", "-f", "Dockerfile", "-o", "type=oci,tar=false,dest=df", "."}, flags...)
			ok(t, buildx(t, dir, append(args, f.Flags...)...))
			check("BuildKit", "df")
		})
	}
}
