# hbuild builds itself: the programs of a release, the frontend image that
# `docker build` runs for files with a `# syntax=` line, and an image for the tests.
#
#   hbuild build                      the frontend image, for both platforms
#   hbuild build release              dist/hbuild-OS-ARCH
#   hbuild build release --var version=v1.0.0
#   hbuild build test-scanner         a stand-in for BuildKit's SBOM scanner

variable "version" {
  type        = string
  default     = null
  description = "The release: what hbuild version says, and the frontend image's tag"

  validation {
    condition     = var.version == null || can(regex("^[0-9A-Za-z][0-9A-Za-z._-]*$", var.version))
    error_message = "A version is a tag, such as v1.0.0"
  }
}

locals {
  # What a program is linked with. A release knows its version and its commit; the
  # checkout is not in the build.
  ldflags = join(" ", concat(["-s", "-w"],
    var.version == null ? [] : ["-X main.version=${var.version}"],
    var.version == null || git.commit == null ? [] : ["-X main.commit=${git.commit}"],
  ))

  # What the release is built for.
  programs = {
    for p in setproduct(["linux", "darwin"], ["amd64", "arm64"]) :
    "${p[0]}-${p[1]}" => { os = p[0], arch = p[1] }
  }
}

context "default" {
  include = ["go.mod", "go.sum", "cmd", "compiler", "internal", "lang", "llb"]
  exclude = ["**/*_test.go", "**/testdata"]
}

cache "gomod" {
  id = "/go/pkg/mod"
}

cache "gobuild" {
  id = "/root/.cache/go-build"
}

# The sources and what they need, once for all platforms: Go compiles for any of
# them on any.
stage "source" {
  from     = image("golang:1.26")
  platform = platform.build.id
  env      = { CGO_ENABLED = "0" }
  workdir  = "/src"

  copy { files = { "./" = ["go.mod", "go.sum"] } }
  run {
    command = "go mod download"
    mounts  = { "/go/pkg/mod" = cache.gomod }
  }
  copy { files = { "." = "." } }
}

stage "program" {
  for_each = local.programs
  from     = stage.source

  run {
    command = "GOOS=${each.value.os} GOARCH=${each.value.arch} go build -trimpath -ldflags '${local.ldflags}' -o /out/hbuild ./cmd/hbuild"
    mounts = {
      "/go/pkg/mod"           = cache.gomod
      "/root/.cache/go-build" = cache.gobuild
    }
  }
}

artifact "program" {
  for_each = local.programs
  from     = stage.program[each.key]
  path     = "/out/hbuild"
}

# The programs of a release.
target "release" {
  files = { for name, _ in local.programs : "dist/hbuild-${name}" => artifact.program[name] }
}

stage "frontend-program" {
  from = stage.source

  run {
    command = "GOOS=${platform.target.os} GOARCH=${platform.target.arch} go build -trimpath -ldflags '-s -w' -o /out/hbuild-frontend ./cmd/hbuild-frontend"
    mounts = {
      "/go/pkg/mod"           = cache.gomod
      "/root/.cache/go-build" = cache.gobuild
    }
  }
}

artifact "frontend" {
  from = stage.frontend-program
  path = "/out/hbuild-frontend"
}

# The program and nothing else. It is not called /run, BuildKit's default, because
# that has to be a directory.
stage "frontend" {
  from = scratch
  copy { files = { "/bin/hbuild-frontend" = artifact.frontend } }
  entrypoint = ["/bin/hbuild-frontend"]
  labels = {
    "moby.buildkit.frontend.network.none" = "true"
    "moby.buildkit.frontend.caps"         = join(",", [for c in ["inputs", "subrequests", "contexts", "gitquerystring", "contexts.zstd"] : "moby.buildkit.frontend.${c}"])
  }
}

# The image of # syntax= lines.
target "frontend" {
  image     = stage.frontend
  tags      = ["hbuild/frontend:${coalesce(var.version, "latest")}"]
  platforms = ["linux/amd64", "linux/arm64"]
}

# Writes an SBOM that names the files it was given, as BuildKit's scanner does
# with the packages that it finds.
stage "test-scanner" {
  from = image("alpine:3.22")
  write {
    path    = "/bin/scan"
    chmod   = "0755"
    content = file("llb/frontend/testdata/scan.sh")
  }
  entrypoint = ["/bin/scan"]
}

# What the tests of attestations scan with, where no registry has the real one.
target "test-scanner" {
  image = stage.test-scanner
  tags  = ["hbuild/test-scanner:latest"]
}

group "default" {
  targets = [target.frontend]
}
