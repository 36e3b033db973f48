package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	bkclient "github.com/moby/buildkit/client"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/tonistiigi/fsutil"

	"github.com/hbuild/hbuild/internal/testengine"
)

// TestEmitLLBOnEngine emits a definition whose base image the engine resolves, and
// has the engine solve it as buildctl would.
func TestEmitLLBOnEngine(t *testing.T) {
	engine := testengine.Start(t)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"hbuild.hcl": `
stage "app" {
  from = image("alpine:3.22")
  copy { files = { "/" = "a.txt" } }
  run { command = "test -s /a.txt" }
}
stage "missing" {
  from = image("nosuch-image:1")
}
`,
		"a.txt": "some text\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	emit := func(addr string) ([]byte, string, int) {
		cmd := exec.Command("hbuild", "emit", "llb", addr, "--engine", engine)
		cmd.Dir = dir
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return stdout.Bytes(), stderr.String(), cmd.ProcessState.ExitCode()
	}

	data, stderr, code := emit("stage.app")
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	def, err := bk.ReadFrom(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	c, err := bkclient.New(t.Context(), engine)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	local, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Solve(t.Context(), def, bkclient.SolveOpt{LocalMounts: map[string]fsutil.FS{"context": local}}, nil); err != nil {
		t.Error(err)
	}

	_, stderr, code = emit("stage.missing")
	if code != exitFailed || !strings.Contains(stderr, "hbuild.hcl:8:10") || !strings.Contains(stderr, "nosuch-image:1") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
