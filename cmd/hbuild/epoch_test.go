package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gitServer serves a repository of one commit, made at a time, as dumb HTTP.
func gitServer(t *testing.T, files map[string]string, when time.Time) http.Handler {
	t.Helper()
	dir := t.TempDir()
	work, bare := filepath.Join(dir, "work"), filepath.Join(dir, "bare")
	for name, text := range files {
		p := filepath.Join(work, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git := func(args ...string) {
		t.Helper()
		c := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"}, args...)...)
		c.Env = append(os.Environ(), "GIT_COMMITTER_DATE="+when.Format(time.RFC3339), "GIT_AUTHOR_DATE=2001-01-01T00:00:00Z")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", work)
	git("-C", work, "add", ".")
	git("-C", work, "commit", "-qm", "one")
	git("clone", "-q", "--bare", work, bare)
	git("-C", bare, "update-server-info")
	return http.FileServer(http.Dir(bare))
}

// TestEpoch has the time of an image, of its history and of host files, from
// everything that SOURCE_DATE_EPOCH may name.
func TestEpoch(t *testing.T) {
	commit := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	served := time.Date(2019, 1, 1, 1, 1, 1, 0, time.UTC)
	packed := time.Date(2018, 5, 5, 5, 5, 5, 0, time.UTC)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for i, name := range []string{"main.txt", "older.txt"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: 1, ModTime: packed.Add(-time.Duration(i) * time.Hour)}); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte("x"))
	}
	w.Close()
	mux := http.NewServeMux()
	mux.Handle("/app.git/", http.StripPrefix("/app.git/", gitServer(t, map[string]string{"main.txt": "git", "sub/main.txt": "sub"}, commit)))
	mux.HandleFunc("/dated.txt", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "dated.txt", served, strings.NewReader("text"))
	})
	mux.HandleFunc("/main.tar", func(w http.ResponseWriter, _ *http.Request) { w.Write(archive.Bytes()) })
	mux.HandleFunc("/plain.txt", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("text")) })
	url := serve(t, mux)
	m := newModule(t, `
-- main.txt --
local
-- hbuild.hcl --
variable "file" {
  type    = string
  default = "dated.txt"
}
context "extra" {}
stage "source" {
  from = scratch
  args = { FILE = var.file }
  copy { files = { "/" = http("`+url+`/$FILE") } }
}
stage "repo" {
  from = scratch
  copy { files = { "/" = git("`+url+`/app.git", { ref = "main", subdir = "sub" }) } }
}
stage "app" {
  from    = scratch
  args    = { SOURCE_DATE_EPOCH = null }
  workdir = "/made"
  copy { files = { "/" = "main.txt" } }
}
stage "reader" {
  from = scratch
  copy { files = { "/x" = stage.app } }
}
target "app" {
  image = stage.app
  files = { "out/" = stage.app }
}
target "repo" {
  image             = stage.app
  source_date_epoch = stage.repo
}
target "extra" {
  image             = stage.app
  source_date_epoch = context.extra
}
`)
	created := func(args ...string) string {
		t.Helper()
		os.RemoveAll(m.path("image"))
		m.build(append(args, "-o", "type=oci,tar=false,dest=image")...).exits(0)
		var config struct {
			Created string
			History []struct{ Created, CreatedBy string }
		}
		var index, manifest struct {
			Manifests []struct{ Digest string }
			Config    struct{ Digest string }
		}
		read := func(name string, into any) {
			t.Helper()
			if err := json.Unmarshal([]byte(m.read("image/"+name)), into); err != nil {
				t.Fatal(err)
			}
		}
		blob := func(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }
		read("index.json", &index)
		read(blob(index.Manifests[0].Digest), &manifest)
		read(blob(manifest.Config.Digest), &config)
		for _, h := range config.History {
			if h.Created != config.Created && config.Created != "" && !strings.HasPrefix(config.Created, "202") {
				t.Errorf("%v: %s was made at %s, the image at %s", args, h.CreatedBy, h.Created, config.Created)
			}
		}
		return config.Created
	}
	want := func(when time.Time, args ...string) {
		t.Helper()
		if got := created(args...); got != when.Format(time.RFC3339) {
			t.Errorf("%v: made at %s, not %s", args, got, when.Format(time.RFC3339))
		}
	}
	now := func(args ...string) {
		t.Helper()
		got, err := time.Parse(time.RFC3339, created(args...))
		if err != nil || time.Since(got) > 90*24*time.Hour { // its step may be cached
			t.Errorf("%v: made at %s", args, got)
		}
	}
	want(time.Unix(1500000000, 0).UTC(), "repo", "--source-date-epoch", "1500000000")
	want(commit, "repo")
	want(commit, "app", "--source-date-epoch", "repo")
	want(commit, "app", "--source-date-epoch", "context", "--context", "default="+url+"/app.git#main")
	want(commit, "extra", "--context", "extra="+url+"/app.git#main:sub")
	want(commit, "app", "--source-date-epoch", "elsewhere", "--context", "elsewhere="+url+"/app.git")
	want(served, "app", "--source-date-epoch", "stage.source")
	want(served, "app", "--source-date-epoch", "extra", "--context", "extra="+url+"/dated.txt")
	want(packed, "app", "--source-date-epoch", "SOURCE", "--var", "file=main.tar")
	want(packed, "app", "--source-date-epoch", "context", "--context", "default="+url+"/main.tar")
	// Things without a time leave the image the time of its making.
	now("app", "--source-date-epoch", "context")
	now("extra")
	now("app", "--source-date-epoch", "source", "--var", "file=plain.txt")
	now("app", "--source-date-epoch", "extra", "--context", "extra=docker-image://alpine:3.22")

	m.build("app", "--source-date-epoch", "repo").exits(0)
	if fi, err := os.Stat(m.path("out/main.txt")); err != nil || !fi.ModTime().Equal(commit) {
		t.Errorf("the file: %v %v", fi, err)
	}
	m.build("app", "--source-date-epoch", "surce").exits(2).says("HB6001", `Did you mean "source"?`)
	m.build("app", "--source-date-epoch", "reader").exits(2).says("HB3002", "stage.reader has no time", "hbuild.hcl:")
	m.build("app", "--source-date-epoch", "source", "--var", "file=missing").exits(1).says("HB4014", "stage.source", "404")
	m.run("emit", "dockerfile", "repo").exits(0).says("--build-arg SOURCE_DATE_EPOCH=repo", "FROM scratch AS repo")
	m.run("emit", "dockerfile", "app", "--source-date-epoch", "context").exits(0).says("--build-arg SOURCE_DATE_EPOCH=context")
	m.run("emit", "llb", "repo", "--format", "digest").exits(0)
}
