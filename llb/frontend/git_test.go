package frontend_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hbuild/hbuild/internal/testengine"
)

var committed = time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)

// repository serves a directory as a git repository: one commit, which main is at
// and an annotated tag v1. It returns the address and the commit.
func repository(t testing.TB, dir string) (url, commit string) {
	t.Helper()
	git := func(args ...string) string {
		t.Helper()
		c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"}, args...)...)
		c.Env = append(os.Environ(), "GIT_COMMITTER_DATE="+committed.Format(time.RFC3339), "GIT_AUTHOR_DATE=2001-01-01T00:00:00Z")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "one")
	git("tag", "-a", "-m", "one", "v1")
	bare := filepath.Join(t.TempDir(), "app.git")
	git("clone", "-q", "--bare", ".", bare)
	git("-C", bare, "update-server-info")
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(bare))))
	t.Cleanup(server.Close)
	return server.URL + "/app.git", git("rev-parse", "HEAD")
}

const described = `
locals {
  about = join(" ", [for v in [git.commit, git.short, git.branch, git.tag, git.time] : v == null ? "-" : v])
}

context "other" {}

stage "src" {
  from = scratch
  copy { files = { "/" = http("${var.url}") } }
}

variable "url" {
  type    = string
  default = "http://127.0.0.1:1/x"
}

stage "s" {
  from = scratch
  args = { SOURCE_DATE_EPOCH = null }
  copy { files = { "/" = "main.txt" } }
  write {
    path    = "/about"
    content = "${local.about} ${git.dirty == null ? "-" : git.dirty}"
  }
  labels = { time = "$SOURCE_DATE_EPOCH" }
}

target "default" {
  image = stage.s
}
`

// TestGitContext builds from a repository: the module and what it copies come from
// there, and git describes the commit.
func TestGitContext(t *testing.T) {
	fe := frontendImage(t)
	url, commit := repository(t, filepath.Dir(filepath.Join(module(t, fe.ref, map[string]string{
		"hbuild.hcl": described, "main.txt": "root", "sub/hbuild.hcl": "# syntax=" + fe.ref + "\n" + described, "sub/main.txt": "sub",
	}), "x")))
	for ref, want := range map[string][2]string{
		"":           {"root", "main -"},
		"#main":      {"root", "main -"},
		"#v1":        {"root", "- v1"},
		"#main:sub":  {"sub", "main -"},
		"#" + commit: {"root", "- -"},
	} {
		out := t.TempDir()
		ok(t, buildx(t, t.TempDir(), "build", "-f", "hbuild.hcl", "-o", out, url+ref))
		if got := content(t, filepath.Join(out, "main.txt")); got != want[0] {
			t.Errorf("%q: main.txt has %q", ref, got)
		}
		about := fmt.Sprintf("%s %s %s %s false", commit, commit[:7], want[1], committed.Format(time.RFC3339))
		if got := strings.TrimSpace(content(t, filepath.Join(out, "about"))); got != about {
			t.Errorf("%q: git is %q, not %q", ref, got, about)
		}
	}
	// buildctl hands it over as BuildKit's own frontends have it.
	out := t.TempDir()
	ok(t, run(t, t.TempDir(), nil, tool(t, "buildctl"), "--addr", testengine.Start(t), "build", "--frontend", "dockerfile.v0", "--opt", "filename=hbuild.hcl",
		"--opt", "context="+url+"#main:sub", "--output", "type=local,dest="+out))
	if got := content(t, filepath.Join(out, "main.txt")); got != "sub" {
		t.Errorf("main.txt has %q", got)
	}
}

// TestEpoch has SOURCE_DATE_EPOCH in all forms: what steps see of it, and the time
// of the image.
func TestEpoch(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": described, "main.txt": "local"})
	url, _ := repository(t, module(t, fe.ref, map[string]string{"hbuild.hcl": described, "main.txt": "git"}))
	served := time.Date(2019, 1, 1, 1, 1, 1, 0, time.UTC)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.txt", served, strings.NewReader("text"))
	}))
	defer server.Close()
	for _, c := range []struct {
		want    int64 // 0 is none
		context string
		args    []string
	}{
		{1500000000, ".", []string{"SOURCE_DATE_EPOCH=1500000000"}},
		{0, ".", []string{"SOURCE_DATE_EPOCH="}},
		{0, ".", []string{"SOURCE_DATE_EPOCH=context"}},
		{committed.Unix(), url, []string{"SOURCE_DATE_EPOCH=context"}},
		{committed.Unix(), ".", []string{"SOURCE_DATE_EPOCH=other", "--build-context", "other=" + url}},
		{committed.Unix(), ".", []string{"SOURCE_DATE_EPOCH=alien", "--build-context", "alien=" + url}},
		{0, ".", []string{"SOURCE_DATE_EPOCH=other", "--build-context", "other=docker-image://busybox:1.37"}},
		{served.Unix(), ".", []string{"SOURCE_DATE_EPOCH=src", "--build-arg", "url=" + server.URL + "/x.txt"}},
	} {
		out := t.TempDir()
		args := append([]string{"build", "-f", "hbuild.hcl", "--provenance=false", "-o", "type=oci,tar=false,dest=" + out, c.context, "--build-arg"}, c.args...)
		ok(t, buildx(t, dir, args...))
		cfg, err := manifests(t, out)[0].ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		// Without one it is when the layers were made, which may be cached.
		label, good := "", cfg.Created.Year() >= 2025
		if c.want != 0 {
			label, good = fmt.Sprint(c.want), cfg.Created.Unix() == c.want
		}
		if cfg.Config.Labels["time"] != label || !good {
			t.Errorf("%s %q: steps see %q, the image was made %s", c.context, c.args, cfg.Config.Labels["time"], cfg.Created)
		}
	}
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", ".", "--build-arg", "SOURCE_DATE_EPOCH=s"), "stage.s has no time", `>>> stage "s" {`)
}
