package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestBuildWithoutADockerfile builds what no Dockerfile can say.
func TestBuildWithoutADockerfile(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
stage "base" {
  from = image("alpine:3.22")
  run { command = "mkdir /both && echo base > /both/base && echo gone > /both/gone" }
}
stage "made" {
  from = stage.base
  run { command = "echo made > /both/made && rm /both/gone" }
}
stage "other" {
  from = scratch
  write {
    path    = "/both/other"
    content = "other\n"
  }
}

# A diff is the made files and the removal; merged, it does both again.
stage "merged" {
  from = merge([stage.base, stage.other, diff(stage.base, stage.made)])
  run { command = "ls /both > /list" }
}
artifact "list" {
  from = stage.merged
  path = "/list"
}
artifact "diff" {
  from = diff(stage.base, stage.made)
  path = "/both/"
}
target "layers" { files = { "out/list" = artifact.list, "out/diff/" = artifact.diff } }

stage "files" {
  from = scratch
  mkdir {
    path = ["/a/b", "/gone/deep"]
    mode = "0750"
  }
  symlink {
    path   = "/bin/tool"
    target = "../a/b"
  }
  remove { path = "/go*" }
  remove {
    path     = "/never"
    optional = true
  }
}
target "files" { files = { "out/files/" = stage.files } }

stage "outputs" {
  from = image("alpine:3.22")
  run {
    command = "echo one > /dist/one"
    mounts  = { "/dist" = output("dist") }
  }
  run {
    command    = "cat /here/one > /here/two && test ! -e /dist/one && exit 3"
    mounts     = { "/here" = output("dist") }
    exit_codes = [3]
  }
}
artifact "two" {
  from   = stage.outputs
  output = "dist"
  path   = "/two"
}
target "outputs" { files = { "out/two" = artifact.two } }

stage "failing" {
  from = image("alpine:3.22")
  run {
    command    = "exit 4"
    exit_codes = [0, 3]
  }
}
target "failing" { image = stage.failing }

stage "optional" {
  from = scratch
  copy {
    src      = ["here.txt", "gone.txt", "no/dir/x.txt", "sub"]
    dest     = "/"
    optional = true
  }
}
target "optional" { files = { "out/optional/" = stage.optional } }
stage "missing" {
  from = scratch
  remove { path = "/never" }
}
target "missing" { image = stage.missing }
-- here.txt --
here
-- sub/s.txt --
sub
`)
	m.build("layers", "files", "outputs", "optional").exits(0)
	for file, want := range map[string]string{
		"out/list": "base\nmade\nother\n", "out/diff/made": "made\n", "out/two": "one\n", "out/optional/here.txt": "here\n", "out/optional/s.txt": "sub\n",
	} {
		if got := m.read(file); got != want {
			t.Errorf("%s is %q, not %q", file, got, want)
		}
	}
	if to, err := os.Readlink(m.path("out/files/bin/tool")); err != nil || to != "../a/b" {
		t.Errorf("the link points to %q: %v", to, err)
	}
	if fi, err := os.Stat(m.path("out/files/a/b")); err != nil || fi.Mode() != fs.ModeDir|0o750 {
		t.Errorf("the directory: %v %v", fi, err)
	}
	for _, name := range []string{"out/files/gone", "out/diff/base", "out/optional/gone.txt"} {
		if _, err := os.Lstat(m.path(name)); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	m.build("failing").exits(1).says("exit code: 4")
	m.build("missing").exits(1).says("never")
}

// TestBuildEpoch has the times that source_date_epoch sets: of the image, of its
// history, and of a directory that workdir makes.
func TestBuildEpoch(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
stage "app" {
  from    = scratch
  workdir = "/srv"
  copy { files = { "f" = "f" } }
}
target "app" {
  image             = stage.app
  source_date_epoch = 1700000000
}
-- f --
`)
	m.build("app", "-o", "type=oci,tar=false,dest=one").exits(0)
	m.build("app", "--no-cache", "-o", "type=oci,tar=false,dest=two,rewrite-timestamp=true").exits(0)
	blob := func(dir, digest string, into any) {
		t.Helper()
		data := m.read(filepath.Join(dir, "blobs", strings.Replace(digest, ":", "/", 1)))
		if err := json.Unmarshal([]byte(data), into); err != nil {
			t.Fatal(err)
		}
	}
	want := time.Unix(1700000000, 0)
	for _, dir := range []string{"one", "two"} {
		var index ocispecs.Index
		var manifest ocispecs.Manifest
		var image ocispecs.Image
		if err := json.Unmarshal([]byte(m.read(dir+"/index.json")), &index); err != nil {
			t.Fatal(err)
		}
		blob(dir, index.Manifests[0].Digest.String(), &manifest)
		if len(manifest.Layers) == 0 { // an index of platforms
			var inner ocispecs.Index
			blob(dir, index.Manifests[0].Digest.String(), &inner)
			blob(dir, inner.Manifests[0].Digest.String(), &manifest)
		}
		blob(dir, manifest.Config.Digest.String(), &image)
		if image.Created == nil || !image.Created.Equal(want) {
			t.Errorf("%s was created %v", dir, image.Created)
		}
		for _, h := range image.History {
			if h.Created == nil || !h.Created.Equal(want) {
				t.Errorf("%s: %q at %v", dir, h.CreatedBy, h.Created)
			}
		}
	}
}
