package main

import (
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hbuild/hbuild/internal/testengine"
)

// pushPlain pushes an image without a list of platforms, which claims one.
func pushPlain(t *testing.T, ref, os, arch string) {
	t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Config = os, arch, v1.Config{Env: []string{"PATH=/bin", "FLAVOUR=plain"}}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	tag, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
}

// TestBuildWarnings has what only shows when a base image is known: another
// platform than the one asked for, a variable that it does not have.
func TestBuildWarnings(t *testing.T) {
	ref := testengine.Registry(t) + "/cmd/plain-s390x:" + strings.ToLower(unique())
	pushPlain(t, ref, "linux", "s390x")
	module := `
-- hbuild.hcl --
stage "app" {
  from    = image("` + ref + `")
  env     = { APP_HOME = "/srv/$FLAVOUR" }
  workdir = "$APP_HOM/src"
}
target "default" {
  image     = stage.app
  platforms = ["linux/amd64", "linux/arm64"]
}
`
	m := newModule(t, module)
	o := m.build()
	o.exits(0).says("HB4017", "linux/s390x", "HB4018", "$APP_HOM", `Did you mean "APP_HOME"?`, "hbuild.hcl:2:13", "hbuild.hcl:4:3").saysNot("FLAVOUR")
	if n := strings.Count(o.stderr, "HB4018"); n != 1 {
		t.Errorf("one place, two platforms: %d warnings\n%s", n, o.stderr)
	}
	m.write("hbuild.hcl", strings.Replace(module[strings.Index(module, "stage"):], "stage \"app\"", "# hbuild: allow HB4018\nstage \"app\"", 1))
	m.build().exits(0).says("HB4017").saysNot("HB4018")
}
