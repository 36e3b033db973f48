package benchgen

import (
	"bytes"
	"fmt"
	"testing/fstest"
)

// Monorepo returns a repository of n services that both tools can build: for Bake
// a docker-bake.hcl and a Dockerfile a service, for hbuild its files. Both make the
// same steps: a toolchain that all services share, and for each service a copy of
// its own directory, a run, and an image over scratch with what the run made.
//
// Each is written as its users would. For hbuild a service is a module, which is
// found by its file. Bake's targets are a matrix over names, their context is the
// service's directory, and the toolchain is a linked target.
//
// A service has the path in the build that it has in the repository. That matters to
// both tools: BuildKit looks for what a copy made by what it copies onto and by its
// text, and of a thousand services that are copied with the same words onto the same
// toolchain it goes through all thousand results for each.
func Monorepo(n int) fstest.MapFS {
	files := fstest.MapFS{
		"toolchain/compile":    {Data: []byte("#!/bin/sh\ncat \"$@\" > /out/app\nchmod 755 /out/app\n")},
		"toolchain/Dockerfile": {Data: []byte(toolchainDockerfile)},
		"docker-bake.hcl":      {Data: bakeFile(n)},
		"hbuild.hcl":           {Data: []byte(workspaceFile)},
	}
	for i := range n {
		dir := "services/" + Service(i) + "/"
		files[dir+"Dockerfile"] = &fstest.MapFile{Data: fmt.Appendf(nil, serviceDockerfile, Service(i))}
		files[dir+"hbuild.hcl"] = &fstest.MapFile{Data: []byte(serviceFile)}
		files[dir+"main.sh"] = &fstest.MapFile{Data: fmt.Appendf(nil, "#!/bin/sh\necho %s\n", Service(i))}
		for k := range 4 {
			files[fmt.Sprint(dir, "lib", k, ".sh")] = &fstest.MapFile{Data: fmt.Appendf(nil, "# %s, part %d\n%s", Service(i), k, bytes.Repeat([]byte("true\n"), 50))}
		}
	}
	return files
}

// OneFile returns the same repository for hbuild with all services in one file, a
// for_each over their directories in place of a module each.
func OneFile(n int) fstest.MapFS {
	files := Monorepo(n)
	files["hbuild.hcl"] = &fstest.MapFile{Data: []byte(oneFile)}
	for i := range n {
		delete(files, "services/"+Service(i)+"/hbuild.hcl")
	}
	return files
}

// Service is the name of the i-th service of [Monorepo]; its files are in
// services/NAME.
func Service(i int) string { return fmt.Sprintf("svc%04d", i) }

const toolchainDockerfile = `FROM alpine:3.22
COPY --chmod=755 compile /usr/local/bin/compile
RUN mkdir /out
WORKDIR /src
`

const serviceDockerfile = `FROM toolchain AS build
COPY . services/%[1]s/
RUN compile services/%[1]s/*.sh

FROM scratch
COPY --from=build /out/app /app
ENTRYPOINT ["/app"]
`

func bakeFile(n int) []byte {
	var b bytes.Buffer
	b.WriteString("variable \"SERVICES\" {\n  default = [\n")
	for i := range n {
		fmt.Fprintf(&b, "    %q,\n", Service(i))
	}
	b.WriteString(`  ]
}

group "default" {
  targets = ["svc"]
}

target "toolchain" {
  context = "toolchain"
}

target "svc" {
  name     = "svc-${service}"
  matrix   = { service = SERVICES }
  context  = "services/${service}"
  contexts = { toolchain = "target:toolchain" }
  tags     = ["registry.example/${service}:latest"]
}
`)
	return b.Bytes()
}

const workspaceFile = `workspace {}

stage "toolchain" {
  from = image("alpine:3.22")

  copy {
    src   = "toolchain/compile"
    dest  = "/usr/local/bin/compile"
    chmod = "0755"
  }
  run { command = "mkdir /out" }
  set { workdir = "/src" }
}

# A service is a directory with an hbuild.hcl.
module "svc" {
  for_each  = { for f in fileset(".", "services/*/hbuild.hcl") : basename(dirname(f)) => dirname(f) }
  source    = "./${each.value}"
  name      = each.key
  toolchain = stage.toolchain
}
`

const serviceFile = `variable "name" { type = string }
variable "toolchain" { type = stage }

stage "build" {
  from = var.toolchain

  copy { files = { "services/${var.name}/" = "." } }
  run { command = "compile services/${var.name}/*.sh" }
}

artifact "app" {
  from = stage.build
  path = "/out/app"
}

stage "app" {
  from = scratch

  copy { files = { "/app" = artifact.app } }
  entrypoint = ["/app"]
}

target "default" {
  image = stage.app
  tags  = ["registry.example/${var.name}:latest"]
}
`

const oneFile = `locals {
  services = toset([for f in fileset(".", "services/*/main.sh") : basename(dirname(f))])
}

stage "toolchain" {
  from = image("alpine:3.22")

  copy {
    src   = "toolchain/compile"
    dest  = "/usr/local/bin/compile"
    chmod = "0755"
  }
  run { command = "mkdir /out" }
  set { workdir = "/src" }
}

stage "build" {
  for_each = local.services
  from     = stage.toolchain

  copy { files = { "services/${each.key}/" = "services/${each.key}" } }
  run { command = "compile services/${each.key}/*.sh" }
}

artifact "app" {
  for_each = local.services
  from     = stage.build[each.key]
  path     = "/out/app"
}

stage "app" {
  for_each = local.services
  from     = scratch

  copy { files = { "/app" = artifact.app[each.key] } }
  entrypoint = ["/app"]
}

target "svc" {
  for_each = local.services
  image    = stage.app[each.key]
  tags     = ["registry.example/${each.key}:latest"]
}

group "default" { targets = target.svc }
`

// SharedContext returns a module of one context of that many files, of which each
// of the targets reads a part of its own.
func SharedContext(files, targets int) fstest.MapFS {
	fsys := fstest.MapFS{
		"hbuild.hcl":      {Data: []byte(sharedFile)},
		"docker-bake.hcl": {Data: fmt.Appendf(nil, sharedBakeFile, targets)},
		"Dockerfile":      {Data: []byte("FROM scratch\nARG PART\nCOPY data/${PART} /data/\n")},
	}
	for i := range files {
		part := i % targets
		name := fmt.Sprintf("data/%03d/%03d/%06d.txt", part, i/targets%100, i)
		fsys[name] = &fstest.MapFile{Data: fmt.Appendf(nil, "%d\n", i)}
	}
	return fsys
}

const sharedBakeFile = `group "default" {
  targets = ["part"]
}

target "part" {
  name   = "part-${part}"
  matrix = { part = formatlist("%%03d", range(%d)) }
  args   = { PART = part }
}
`

const sharedFile = `locals {
  parts = toset([for d in fileset(".", "data/*/000/*") : basename(dirname(dirname(d)))])
}

stage "part" {
  for_each = local.parts
  from     = scratch
  copy { files = { "/data/" = "data/${each.key}" } }
}

target "part" {
  for_each = local.parts
  image    = stage.part[each.key]
}

group "default" { targets = target.part }
`
