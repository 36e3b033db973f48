// Package benchgen writes hbuild files of any size for measuring: stages that
// start from one another, copy artifacts, mount caches and are built by targets,
// in the proportions of a real monorepo.
package benchgen

import (
	"bytes"
	"fmt"
	"testing/fstest"
)

// Files returns a module of n services, 2n+1 stages: its file and what its copies
// name.
func Files(n int) fstest.MapFS {
	return fstest.MapFS{
		"hbuild.hcl": {Data: Module(n)},
		"go.mod":     {Data: []byte("module example\n")},
		"go.sum":     {},
		"main.go":    {Data: []byte("package main\n")},
	}
}

// Module returns the file of n services: two stages, an artifact and a target each.
func Module(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`variable "go_version" {
  type    = string
  default = "1.26"
}

locals {
  labels = { "org.opencontainers.image.vendor" = "example" }
}

context "default" {
  include = ["go.mod", "go.sum", "**/*.go"]
}

cache "gomod" {}

stage "base" {
  from    = image("golang:${var.go_version}")
  workdir = "/src"
  run { command = "go version" }
}
`)
	for i := range n {
		fmt.Fprintf(&b, `
# Service %[1]d: one of many.
stage "build%[1]d" {
  from = stage.base
  args = { CGO_ENABLED = "0", SERVICE = "svc%[1]d" }
  env  = { PORT = "%[2]d" }

  copy { files = { "./" = ["go.mod", "go.sum"] } }
  run {
    command = "go build -o /out/svc%[1]d ./services/svc%[1]d"
    mounts  = { "/go/pkg/mod" = cache.gomod }
  }
}

artifact "svc%[1]d" {
  from = stage.build%[1]d
  path = "/out/svc%[1]d"
}

stage "runtime%[1]d" {
  from = image("alpine:3.22")
  user = "65532"
  copy { files = { "/usr/local/bin/svc" = artifact.svc%[1]d } }
  labels     = local.labels
  expose     = [%[2]d]
  entrypoint = ["/usr/local/bin/svc"]
}

target "svc%[1]d" {
  image = stage.runtime%[1]d
  tags  = ["registry.example/svc%[1]d:${var.go_version}"]
}
`, i, 1024+i%60000)
	}
	return b.Bytes()
}

// Modules returns a tree of n modules, each of that many services, that are found
// by their files.
func Modules(n, services int) fstest.MapFS {
	fsys := fstest.MapFS{"hbuild.hcl": {Data: []byte(`workspace {}

module "svc" {
  for_each = { for f in fileset(".", "services/*/hbuild.hcl") : basename(dirname(f)) => dirname(f) }
  source   = "./${each.value}"
}
`)}}
	for i := range n {
		dir := fmt.Sprintf("services/m%04d/", i)
		fsys[dir+"hbuild.hcl"] = &fstest.MapFile{Data: Module(services)}
		fsys[dir+"go.mod"] = &fstest.MapFile{Data: []byte("module example\n")}
		fsys[dir+"go.sum"] = &fstest.MapFile{}
		fsys[dir+"main.go"] = &fstest.MapFile{Data: []byte("package main\n")}
	}
	return fsys
}
