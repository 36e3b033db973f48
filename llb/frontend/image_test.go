package frontend_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/hbuild/hbuild/internal/testengine"
)

// published is the frontend image as tests use it: the program of this source
// tree, put into an image like the one that hbuild.hcl makes (TestSelf builds that
// one), in the registry of the tests.
type published struct {
	ref    string // 127.0.0.1:PORT/hbuild/frontend:DIGEST, for runs of other trees push theirs
	digest string // sha256:…
	image  v1.Image
}

var publish = sync.OnceValues(func() (*published, error) {
	dir, err := os.MkdirTemp("", "hbuild-frontend-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "hbuild-frontend")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "../../cmd/hbuild-frontend")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the frontend: %w\n%s", err, out)
	}
	img, err := scratchImage(program)
	if err != nil {
		return nil, err
	}
	dgst, err := img.Digest()
	return &published{digest: dgst.String(), image: img}, err
})

// scratchImage is an image that holds one program.
func scratchImage(program string) (v1.Image, error) {
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "bin/hbuild-frontend", Mode: 0o755, Size: int64(len(data))},
	} {
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1), layer)
	if err != nil {
		return nil, err
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cfg.OS, cfg.Architecture = "linux", runtime.GOARCH
	cfg.Config.Entrypoint = []string{"/bin/hbuild-frontend"}
	cfg.Config.Labels = map[string]string{
		"moby.buildkit.frontend.network.none": "true",
		"moby.buildkit.frontend.caps":         "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts",
	}
	return mutate.ConfigFile(img, cfg)
}

// frontendImage pushes the image to the registry of the tests.
func frontendImage(t testing.TB) *published {
	t.Helper()
	p, err := publish()
	if err != nil {
		t.Fatal(err)
	}
	out := *p
	out.ref = testengine.Registry(t) + "/hbuild/frontend:" + strings.TrimPrefix(p.digest, "sha256:")[:12]
	push(t, out.ref, p.image)
	return &out
}

func push(t testing.TB, ref string, img v1.Image) {
	t.Helper()
	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatalf("push %s: %v", ref, err)
	}
}

// saveLayout writes the image as an OCI layout.
func (p *published) saveLayout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AppendImage(p.image); err != nil {
		t.Fatal(err)
	}
	return dir
}

// tool is a program of bin/, which make builds where it is missing.
func tool(t testing.TB, name string) string {
	t.Helper()
	p, err := filepath.Abs(filepath.Join("../../bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(p); err == nil {
		return p
	}
	target := "bin/" + name
	if name == "buildctl" {
		target = "bin/buildkitd" // both come of one compilation
	}
	if out, err := exec.Command("make", "-C", "../..", target).CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", target, err, out)
	}
	return p
}

// module writes a module's files, with a `# syntax=` line above hbuild.hcl.
func module(t testing.TB, syntax string, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if name == "hbuild.hcl" {
			text = "# syntax=" + syntax + "\n" + text
		}
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t testing.TB, p, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

func run(t testing.TB, dir string, env []string, name string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

var builder struct {
	once sync.Once
	env  []string
}

// buildx runs Docker's buildx on the engine of the tests, over its remote driver.
func buildx(t testing.TB, dir string, args ...string) result {
	t.Helper()
	program := tool(t, "buildx")
	builder.once.Do(func() {
		config, err := os.MkdirTemp("", "buildx-")
		if err != nil {
			t.Fatal(err)
		}
		env := []string{"BUILDX_CONFIG=" + config, "DOCKER_CONFIG=" + config, "BUILDX_BUILDER=hbuild", "SOURCE_DATE_EPOCH=", "BUILDX_GIT_INFO=false"}
		r := run(t, dir, env, program, "create", "--name", "hbuild", "--driver", "remote", testengine.Start(t))
		if r.code != 0 {
			t.Fatalf("buildx create: %s%s", r.stdout, r.stderr)
		}
		builder.env = env
	})
	return run(t, dir, append(builder.env, "BUILDKIT_PROGRESS=plain"), program, args...)
}

// ok fails the test unless a command succeeded.
func ok(t testing.TB, r result) result {
	t.Helper()
	if r.code != 0 {
		t.Fatalf("exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	return r
}

// fails fails the test unless a command failed, and said all of want.
func fails(t testing.TB, r result, want ...string) {
	t.Helper()
	if r.code == 0 {
		t.Fatalf("it succeeded\n%s%s", r.stdout, r.stderr)
	}
	says(t, r.stdout+r.stderr, want...)
}

func says(t testing.TB, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("it does not say %q:\n%s", w, text)
		}
	}
}

func content(t testing.TB, p string) string {
	t.Helper()
	b, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, kv := range builder.env {
		if dir, ok := strings.CutPrefix(kv, "BUILDX_CONFIG="); ok {
			os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

func saysNot(t testing.TB, text string, not ...string) {
	t.Helper()
	for _, n := range not {
		if strings.Contains(text, n) {
			t.Errorf("it says %q:\n%s", n, text)
		}
	}
}
