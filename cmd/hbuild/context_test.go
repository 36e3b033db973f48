package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const contextModule = `
-- hbuild.hcl --
context "extra" {}

stage "gen" {
  from = image("nowhere.invalid/gen:1")
  run { command = "generate" }
}

stage "app" {
  from = scratch
  copy { files = { "/main.txt" = "main.txt" } }
}
stage "more" {
  from = scratch
  copy {
    from = context.extra
    src  = "main.txt"
    dest = "/extra.txt"
  }
}
stage "generated" {
  from = scratch
  copy {
    from = stage.gen
    src  = "main.txt"
    dest = "/gen.txt"
  }
}
stage "imaged" {
  from = image("nowhere.invalid/base:1")
  run { command = "cat /etc/os-release > /made" }
}
stage "download" {
  from = scratch
  copy {
    from = context.extra
    src  = "context"
    dest = "/extra.txt"
  }
}
artifact "made" {
  from = stage.imaged
  path = "/made"
}
target "main" { files = { "out/" = stage.app } }
target "extra" { files = { "out/" = stage.more } }
target "gen" { files = { "out/" = stage.generated } }
target "image" { files = { "out/made" = artifact.made } }
target "download" { files = { "out/" = stage.download } }
target "none" { image = stage.nothing }
stage "nothing" {
  from = scratch
  env  = { A = "1" }
}
-- main.txt --
module
-- other/main.txt --
other
-- other/left.out --
-- other/.dockerignore --
left.out
`

// archive is a tar archive of one file, compressed.
func archive(t *testing.T, name, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(content))
	w.Close()
	z.Close()
	return b.Bytes()
}

// serve serves a directory to the engine, which runs on this machine.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: handler}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "http://" + l.Addr().String()
}

// gitDaemon serves a bare repository over git's own protocol.
func gitDaemon(t *testing.T, bare string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	c := exec.Command("git", "daemon", "--export-all", "--base-path="+filepath.Dir(bare), "--listen=127.0.0.1", "--port="+port)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(os.Interrupt)
		c.Wait()
	})
	for i := 0; ; i++ {
		if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			conn.Close()
			break
		}
		if i == 100 {
			t.Fatal("git daemon does not listen")
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "git://127.0.0.1:" + port + "/" + filepath.Base(bare)
}

// TestContextForms gives contexts, a stage and an image in every form that docker
// build knows.
func TestContextForms(t *testing.T) {
	m := newModule(t, contextModule)
	got := func(file, want string) {
		t.Helper()
		if s := m.read(file); strings.TrimSpace(s) != want {
			t.Errorf("%s is %q, not %q", file, s, want)
		}
	}
	m.build("main", "--context", "default=other").exits(0)
	got("out/main.txt", "other")
	m.build("extra", "--context", "extra=other").exits(0)
	got("out/extra.txt", "other")
	m.build("gen", "--context", "gen=other").exits(0).saysNot("nowhere.invalid")
	got("out/gen.txt", "other")

	// Images: of the tests' registry under another name, and as an OCI layout.
	m.build("image", "--context", "nowhere.invalid/base:1=docker-image://alpine:3.22").exits(0)
	if !strings.Contains(m.read("out/made"), "alpine") {
		t.Errorf("made from another image: %s", m.read("out/made"))
	}
	m.write("lay.hbuild.hcl", `stage "ownbase" { from = image("alpine:3.22") }
target "layout" { image = stage.ownbase }
`)
	m.build("layout", "-o", "type=oci,tar=false,dest=layout").exits(0)
	m.write("out/made", "")
	m.build("image", "--context", "nowhere.invalid/base:1=oci-layout://layout").exits(0)
	if !strings.Contains(m.read("out/made"), "alpine") {
		t.Errorf("made from another image: %s", m.read("out/made"))
	}
	m.write("use.hbuild.hcl", `stage "fromlayout" {
  from = oci_layout("layout")
  run { command = "cp /etc/os-release /made" }
}
artifact "own" {
  from = stage.fromlayout
  path = "/made"
}
target "own" { files = { "out/own" = artifact.own, "out/etc/" = oci_layout("layout") } }
`)
	m.build("own").exits(0)
	if !strings.Contains(m.read("out/own"), "alpine") || !strings.Contains(m.read("out/etc/etc/os-release"), "alpine") {
		t.Error("the layout is another image")
	}

	// An archive: on standard input, and at an address.
	tgz := archive(t, "main.txt", "archive")
	cmd := m.command("build", "main", "--context", "default=-")
	cmd.Stdin = bytes.NewReader(tgz)
	m.finish(cmd).exits(0)
	got("out/main.txt", "archive")

	repo := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		c := exec.Command("git", append([]string{"-C", repo, "-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main"}, args...)...)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	git("init", "-q", "work")
	gm := &module{t: t, dir: repo}
	gm.write("work/sub/main.txt", "git")
	repo += "/work"
	git("add", ".")
	git("commit", "-qm", "one")
	git("clone", "-q", "--bare", ".", "../app.git")
	repo = strings.TrimSuffix(repo, "/work") + "/app.git"
	git("update-server-info")
	mux := http.NewServeMux()
	mux.Handle("/app.git/", http.StripPrefix("/app.git/", http.FileServer(http.Dir(repo))))
	mux.HandleFunc("/main.tgz", func(w http.ResponseWriter, _ *http.Request) { w.Write(tgz) })
	mux.HandleFunc("/main.txt", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("text")) })
	url := serve(t, mux)
	m.write("out/main.txt", "")
	m.build("main", "--context", "default="+url+"/main.tgz").exits(0)
	got("out/main.txt", "archive")
	m.build("main", "--context", "default="+url+"/app.git#main:sub").exits(0)
	got("out/main.txt", "git")
	m.build("extra", "--context", "extra="+url+"/app.git#main:sub").exits(0)
	got("out/extra.txt", "git")
	m.write("out/extra.txt", "")
	m.build("extra", "--context", "extra="+gitDaemon(t, repo)+"#main:sub").exits(0)
	got("out/extra.txt", "git")
	m.build("download", "--context", "extra="+url+"/main.txt").exits(0)
	got("out/extra.txt", "text")

	// No context at all, and hbuild files on standard input.
	m.build("none").exits(0).saysNot("transferring context")
	cmd = m.command("build", "-f", "-", "main")
	cmd.Stdin = strings.NewReader(`stage "s" {
  from = scratch
  copy { files = { "/main.txt" = "main.txt" } }
}
target "main" { files = { "out/" = stage.s } }
`)
	m.finish(cmd).exits(0)
	got("out/main.txt", "module")
	m.write("out/main.txt", "")
	cmd = m.command("build", "-f", "-", ".") // as docker build's users write it
	cmd.Stdin = strings.NewReader(`stage "s" {
  from = scratch
  copy { files = { "/main.txt" = "main.txt" } }
}
target "default" { files = { "out/" = stage.s } }
`)
	m.finish(cmd).exits(0)
	got("out/main.txt", "module")

	m.run("emit", "llb", "gen", "--context", "gen="+url+"/main.txt", "--format", "json").exits(0).says(url + "/main.txt")
}

// TestContextPlatforms gives something for one platform of two: the other has what
// the name alone gives, or what the module has.
func TestContextPlatforms(t *testing.T) {
	m := newModule(t, `
-- main.txt --
module
-- docs/main.txt --
docs
-- other/main.txt --
other
-- hbuild.hcl --
context "docs" { path = "docs" }
stage "gen" {
  from = scratch
  copy { files = { "/main.txt" = "main.txt" } }
}
stage "base" {
  from = image("nowhere.invalid/base:1")
}
stage "all" {
  from = stage.base
  copy {
    from = context.docs
    src  = "main.txt"
    dest = "/docs.txt"
  }
  copy { files = { "/gen.txt" = artifact.gen } }
}
artifact "gen" {
  from = stage.gen
  path = "/main.txt"
}
target "all" {
  files     = { "out/${platform.target.arch}/" = stage.all }
  platforms = ["linux/amd64", "linux/arm64"]
}
`)
	check := func(flags []string, want map[string]string) {
		t.Helper()
		args := []string{"all", "--context", "nowhere.invalid/base:1=docker-image://alpine:3.22"}
		for _, f := range flags {
			args = append(args, "--context", f)
		}
		m.build(args...).exits(0)
		for file, text := range want {
			if got := strings.TrimSpace(m.read("out/" + file)); got != text {
				t.Errorf("%v: %s is %q, not %q", flags, file, got, text)
			}
		}
	}
	check([]string{"docs::linux/arm64=other"}, map[string]string{"amd64/docs.txt": "docs", "arm64/docs.txt": "other", "arm64/gen.txt": "module"})
	check([]string{"gen::linux/arm64=other", "docs=other"}, map[string]string{"amd64/gen.txt": "module", "arm64/gen.txt": "other", "amd64/docs.txt": "other"})
	check([]string{"gen::linux/amd64=other", "gen=docs"}, map[string]string{"amd64/gen.txt": "other", "arm64/gen.txt": "docs"})
	check([]string{"nowhere.invalid/base:1::linux/arm64/v8=docker-image://busybox:1.37"}, map[string]string{"amd64/gen.txt": "module"})
	_, alpine := os.Stat(m.path("out/amd64/etc/alpine-release"))
	if _, err := os.Stat(m.path("out/arm64/bin/busybox")); err != nil || alpine != nil {
		t.Errorf("the images: %v, %v", err, alpine)
	}
	m.build("all", "--context", "nowhere.invalid/base:1::linux/arm64=docker-image://busybox:1.37").exits(4).says("nowhere.invalid/base:1")
	m.build("all", "--context", "dosc::linux/arm64=other").exits(2).says(`--context names "dosc::linux/arm64"`)
	m.build("all", "--context", "docs::linux/arm/x/y=other").exits(2).says("is not OS/ARCH[/VARIANT]")
	m.build("all", "--context", "default::linux/arm64=other").exits(2).says("the same for all platforms")
	m.run("emit", "dockerfile", "all", "--context", "gen::linux/arm64=other", "--context", "nowhere.invalid/base:1=docker-image://alpine:3.22").exits(0).says("--build-context gen-context=", "FROM gen-context AS gen-linux-arm64", "FROM gen-$TARGETOS-$TARGETARCH")
}

// TestContextMistakes has mistakes of --context, each said before or while it is
// loaded.
func TestContextMistakes(t *testing.T) {
	m := newModule(t, contextModule)
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("text")) }))
	for _, c := range []struct {
		code        int
		flag, texts string
	}{
		{2, "gem=other", `--context names "gem"`},
		{2, "extra=-", "standard input is for context.default only"},
		{2, "extra=docker-image://A B", "is no image reference"},
		{2, "extra=target://x", "target:// is none of"},
		{2, "extra=nowhere", "no such file or directory"},
		{2, "gen=oci-layout://other", "is no OCI layout"},
		{1, "default=" + url + "/x.tar", "it is no tar archive"},
	} {
		target := "gen"
		if strings.HasPrefix(c.flag, "default=") {
			target = "main"
		}
		m.build(target, "--context", c.flag).exits(c.code).says(c.texts)
	}
	if o := m.build("gen", "--context", "gen=docker-image://nowhere.invalid/x:1"); o.code == 0 {
		t.Error("an image that is not there was built on")
	} else {
		o.says("HB4016", "nowhere.invalid")
	}
	cmd := m.command("build", "main", "--context", "default=-")
	m.finish(cmd).exits(2).says("standard input is empty")
}

// TestBuildArgs has BuildKit's own arguments that the engine does not see by itself.
func TestBuildArgs(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
stage "app" {
  from = image("alpine:3.22")
  run { command = "echo `+unique()+`" }
}
stage "all" {
  from = scratch
  copy { files = { "/" = "." } }
}
target "plain" { image = stage.app }
target "index" {
  image      = stage.app
  build_args = { BUILDKIT_MULTI_PLATFORM = "1" }
}
target "inline" {
  image      = stage.app
  build_args = { BUILDKIT_INLINE_CACHE = "true" }
}
target "files" { files = { "out/" = stage.all } }
target "git" {
  files      = { "out/" = stage.all }
  build_args = { BUILDKIT_CONTEXT_KEEP_GIT_DIR = "1" }
}
`)
	layout := func(target string) (index, blobs string) {
		t.Helper()
		os.RemoveAll(m.path("image"))
		m.build(target, "-o", "type=oci,tar=false,dest=image").exits(0)
		entries, err := os.ReadDir(m.path("image/blobs/sha256"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil && info.Size() < 1<<16 {
				blobs += m.read("image/blobs/sha256/" + e.Name())
			}
		}
		return m.read("image/index.json"), blobs
	}
	const list = "application/vnd.oci.image.index.v1+json"
	if index, blobs := layout("plain"); strings.Contains(blobs, list) || strings.Contains(blobs, "moby.buildkit.cache.v0") {
		t.Errorf("a plain image is an index or has a cache: %s %s", index, blobs)
	}
	if _, blobs := layout("index"); !strings.Contains(blobs, list) {
		t.Errorf("no index: %s", blobs)
	}
	if _, blobs := layout("inline"); !strings.Contains(blobs, "moby.buildkit.cache.v0") {
		t.Errorf("no cache: %s", blobs)
	}
	mux := http.NewServeMux()
	mux.Handle("/app.git/", http.StripPrefix("/app.git/", gitServer(t, map[string]string{"main.txt": "git"}, time.Now())))
	url := serve(t, mux) + "/app.git#main"
	for target, want := range map[string]bool{"files": false, "git": true} {
		os.RemoveAll(m.path("out"))
		m.build(target, "--context", "default="+url).exits(0)
		if _, err := os.Stat(m.path("out/.git/HEAD")); (err == nil) != want {
			t.Errorf("%s: .git: %v", target, err)
		}
	}
}
