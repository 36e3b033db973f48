package spec

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestPatterns runs what is written for people who come from Bake, and what they
// come from.
func TestPatterns(t *testing.T) { runDocument(t, "patterns.md") }

// runBake has Bake read a file of its own. Where `make bin/buildx` did not run, only
// its syntax is looked at.
func (d *document) runBake(t *testing.T, b *block) {
	if _, diags := hclsyntax.ParseConfig([]byte(b.text), "docker-bake.hcl", hcl.InitialPos); diags.HasErrors() {
		t.Fatalf("%s:%d: %v", d.name, b.line, diags)
	}
	buildx, err := filepath.Abs("../bin/buildx")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(buildx); err != nil {
		t.Skip("make bin/buildx builds what runs it")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "docker-bake.hcl"), []byte(b.text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), buildx, "bake", "--print")
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s:%d: buildx bake --print: %v\n%s", d.name, b.line, err, out)
	}
}
