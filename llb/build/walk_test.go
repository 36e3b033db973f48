package build_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/internal/benchgen"
	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/llb/build"
	"github.com/hbuild/hbuild/llb/solve"
)

// TestOneWalk: a directory that many targets read, each a part of its own, is
// walked once, and what is in it is sent once and not again.
func TestOneWalk(t *testing.T) {
	const files, targets = 400, 20
	fsys := benchgen.SharedContext(files, targets)
	size := 0
	for name, f := range fsys {
		if strings.HasPrefix(name, "data/") {
			// The engine is shared and remembers what other tests sent.
			f.Data = append(f.Data, identity.NewID()...)
			size += len(f.Data)
		}
	}
	dir := write(t, fsys)
	if res := run(t, dir, "default"); res.Walks != 1 || res.BytesSent != int64(size) || len(res.Jobs) != targets || res.Sessions != 1 {
		t.Errorf("%d targets in %d sessions: %d walks, %d bytes sent; there are %d", len(res.Jobs), res.Sessions, res.Walks, res.BytesSent, size)
	}
	if res := run(t, dir, "default"); res.Walks != 1 || res.BytesSent != 0 || res.StepsRun != 0 {
		t.Errorf("again: %d walks, %d bytes sent, %d steps run", res.Walks, res.BytesSent, res.StepsRun)
	}
}

// TestParts: of very many targets a context is sent in parts, beside each other, and still
// everything once; what the engine has of it serves a build of fewer targets, and a change
// is sent alone. What one step reads of all of them is one part.
func TestParts(t *testing.T) {
	const targets = 110
	for _, toAll := range []bool{false, true} {
		fsys, parts := benchgen.SharedContext(targets, targets), 2
		if toAll {
			parts = 1
			file := strings.Replace(string(fsys["hbuild.hcl"].Data), "= scratch", "= stage.all", 1)
			fsys["hbuild.hcl"].Data = []byte(file + `
stage "all" {
  from = scratch
  copy {
    src  = ["data/*/000/000000.txt"]
    dest = "/all/"
  }
}
`)
		}
		size := int64(0)
		for name, f := range fsys {
			if strings.HasPrefix(name, "data/") {
				f.Data = append(f.Data, identity.NewID()...)
				size += int64(len(f.Data))
			}
		}
		dir := write(t, fsys)
		if res := run(t, dir, "default"); res.Walks != parts || res.BytesSent != size || res.Sessions != 1 {
			t.Errorf("%v: %d walks, %d bytes sent in %d sessions; there are %d in %d parts", toAll, res.Walks, res.BytesSent, res.Sessions, size, parts)
		}
		if res := run(t, dir, "default"); res.Walks != parts || res.BytesSent != 0 || res.StepsRun != 0 {
			t.Errorf("%v, again: %d walks, %d bytes sent, %d steps run", toAll, res.Walks, res.BytesSent, res.StepsRun)
		}
		change := []byte(identity.NewID())
		if err := os.WriteFile(filepath.Join(dir, "data/007/000/000007.txt"), change, 0o644); err != nil {
			t.Fatal(err)
		}
		if res := run(t, dir, "default"); res.BytesSent != int64(len(change)) {
			t.Errorf("%v, changed: %d bytes sent", toAll, res.BytesSent)
		}
		if res := run(t, dir, `part["008"]`); res.Walks != 1 || res.StepsRun != 0 {
			t.Errorf("%v, one of them: %d walks, %d steps run", toAll, res.Walks, res.StepsRun)
		}
		if res := run(t, dir, "default"); res.StepsRun != 0 || !toAll && res.BytesSent != 0 {
			t.Errorf("%v, all of them again: %d bytes sent, %d steps run", toAll, res.BytesSent, res.StepsRun)
		}
	}
}

// TestModulesAreOneContext: the modules of a workspace are walked together, and of
// those that are not built nothing is sent.
func TestModulesAreOneContext(t *testing.T) {
	const services = 10
	fsys := benchgen.Monorepo(services)
	read := map[bool]int64{} // by whether it is the first service's, or everybody's
	for name, f := range fsys {
		if strings.HasSuffix(name, ".sh") || name == "toolchain/compile" {
			f.Data = append(f.Data, "# "+identity.NewID()...)
		}
		if service := strings.HasPrefix(name, "services/"); service || name == "toolchain/compile" {
			read[!service || strings.Contains(name, benchgen.Service(0))] += int64(len(f.Data))
		}
	}
	dir := write(t, fsys)
	if res := run(t, dir, "svc."+benchgen.Service(0)+"/default"); res.Walks != 1 || res.BytesSent != read[true] {
		t.Errorf("one of them: %d walks and %d bytes, want %d", res.Walks, res.BytesSent, read[true])
	}
	res := run(t, dir, "./services/...")
	if res.Walks != 1 || len(res.Jobs) != services || res.BytesSent != read[false] {
		t.Errorf("%d targets: %d walks and %d bytes, want %d", len(res.Jobs), res.Walks, res.BytesSent, read[false])
	}
	if res := run(t, dir, "svc."+benchgen.Service(3)+"/default"); res.Walks != 1 || res.StepsRun != 0 {
		t.Errorf("one of them, afterwards: %d walks, %d steps run", res.Walks, res.StepsRun)
	}
}

func write(t *testing.T, fsys fstest.MapFS) string {
	dir := t.TempDir()
	if err := os.CopyFS(dir, fs.FS(fsys)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// run builds without exporting.
func run(t *testing.T, dir, addr string) *solve.Result {
	t.Helper()
	g, diags := compiler.Load(os.DirFS(dir), ".", compiler.Options{}).Graph([]string{addr}, nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	c, err := client.New(t.Context(), testengine.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, diags, err := build.Run(t.Context(), c, g, build.Options{Root: dir, Outputs: []string{"type=cacheonly"}})
	if err != nil || diags.HasErrors() {
		t.Fatal(err, diags)
	}
	return res
}
