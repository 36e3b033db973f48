package frontend_test

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hbuild/hbuild/internal/testengine"
)

// maxImage is how large the image may become, compressed, before somebody looks at
// what is linked into it.
const maxImage = 10 << 20

// TestSelf builds the frontend image with hbuild from the repository's own
// hbuild.hcl, and builds with that image. It compiles hbuild in a container, which
// takes a minute where nothing is cached.
func TestSelf(t *testing.T) {
	if testing.Short() {
		t.Skip("it compiles hbuild in a container")
	}
	hbuild := filepath.Join(t.TempDir(), "hbuild")
	if out, err := exec.Command("go", "build", "-o", hbuild, "../../cmd/hbuild").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ref := testengine.Registry(t) + "/hbuild/frontend:self"
	ok(t, run(t, "../..", nil, hbuild, "build", "frontend", "--engine", testengine.Start(t), "--platform", "linux/"+runtime.GOARCH,
		"--set", `target.frontend.tags=["`+ref+`"]`, "--push", "--progress", "plain"))

	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(tag)
	if err != nil {
		t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, l := range m.Layers {
		size += l.Size
	}
	t.Logf("the frontend image has %.1f MiB in %d layer(s)", float64(size)/(1<<20), len(m.Layers))
	if size > maxImage {
		t.Errorf("the frontend image has %d bytes, more than %d", size, maxImage)
	}

	// A program of the release, which knows its version without its checkout.
	out := t.TempDir()
	ok(t, run(t, "../..", nil, hbuild, "build", "artifact.program.linux-"+runtime.GOARCH, "--engine", testengine.Start(t), "--var", "version=v1.2.3",
		"-o", "type=local,dest="+out, "--progress", "plain"))
	says(t, ok(t, run(t, out, nil, filepath.Join(out, "hbuild"), "version", "--format", "json")).stdout, `"version": "v1.2.3"`, `"commit": "`, `"platform": "linux/`+runtime.GOARCH)
	fails(t, run(t, "../..", nil, hbuild, "build", "release", "--var", "version='; true"), "HB3010", "A version is a tag")

	dir := module(t, ref, map[string]string{"hbuild.hcl": hello, "data.txt": "self"})
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "files", "-o", "out", "."))
	if got := content(t, filepath.Join(dir, "out/dist/out.txt")); got != "hello, self\n" {
		t.Errorf("out.txt has %q", got)
	}
	// And hbuild's own file through it: its tests' scanner, whose script is read
	// from the context.
	ok(t, buildx(t, "../..", "build", "-f", "hbuild.hcl", "--build-arg", "BUILDKIT_SYNTAX="+ref, "--target", "test-scanner", "-o", filepath.Join(dir, "scanner"), "."))
	if got, want := content(t, filepath.Join(dir, "scanner/bin/scan")), content(t, "testdata/scan.sh"); got != want {
		t.Errorf("the scanner is\n%s", got)
	}
}
