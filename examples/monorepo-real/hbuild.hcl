workspace {}

variable "release" {
  type        = string
  default     = "dev"
  description = "The tag of every service's image"
}

variable "registry" {
  type    = string
  default = "registry.example/parcels"
}

# A service is a directory with a service.json: nothing here has to change for
# a new one.
locals {
  services = { for f in fileset(".", "services/*/service.json") : basename(dirname(f)) => jsondecode(file(f)) }

  languages = {
    go = {
      toolchain = stage.go
      runtime   = stage.empty
      caches    = { "/root/.cache/go-build" = cache.gobuild }
      compile   = "go build -trimpath -ldflags '-s -w' -o /out/service ./services/$SERVICE"
      test      = "go test -trimpath ./services/$SERVICE"
    }
    cpp = {
      toolchain = stage.cpp
      runtime   = stage.empty
      caches    = {}
      compile   = "mkdir -p /out && g++ $CXXFLAGS -o /out/service services/$SERVICE/*.cpp libgeo.a"
      test      = "sh services/$SERVICE/test.sh /out/service"
    }
    shell = {
      toolchain = stage.shell
      runtime   = stage.shell
      caches    = {}
      compile   = "sh -n services/$SERVICE/$SERVICE.sh && mkdir -p /out && cp services/$SERVICE/$SERVICE.sh /out/service && chmod 755 /out/service"
      test      = "sh services/$SERVICE/test.sh /out/service"
    }
  }
}

cache "gobuild" {}

# Go, and the packages that services share. They are compiled here, once, with what
# they need of Go's own: services that start together would all compile it.
stage "go" {
  from    = image("golang:1.26")
  args    = { CGO_ENABLED = "0" }
  workdir = "/src"

  copy {
    files = {
      "./"        = "go.mod"
      "internal/" = "internal"
    }
  }
  run {
    command = "go build -trimpath ./internal/..."
    mounts  = { "/root/.cache/go-build" = cache.gobuild }
  }
}

# C++, and the library that services share. It is compiled once.
stage "compilers" {
  from = image("debian:bookworm")

  run {
    command = <<-EOT
      apt-get update && \
        apt-get install -y --no-install-recommends gcc g++ libc6-dev && \
        rm -rf /var/lib/apt/lists/*
    EOT
  }
}

stage "cpp" {
  from    = stage.compilers
  args    = { CXXFLAGS = "-O2 -Wall -Werror -static -s -Ilib/geo" }
  workdir = "/src"

  copy { files = { "lib/geo/" = "lib/geo" } }
  run { command = "g++ $CXXFLAGS -c -o geo.o lib/geo/geo.cpp && ar rcs libgeo.a geo.o" }
}

# A shell, and the functions that scripts share.
stage "shell" {
  from    = image("alpine:3.22")
  workdir = "/src"

  copy { files = { "/usr/local/lib/" = "lib/shell/strict.sh" } }
}

# What static programs run in.
stage "empty" { from = scratch }

# The libraries have tests of their own.
test "internal" {
  from = stage.go

  run {
    command = "go test -trimpath ./internal/..."
    mounts  = { "/root/.cache/go-build" = cache.gobuild }
  }
}

test "geo" {
  from = stage.cpp

  run { command = "g++ $CXXFLAGS -o /tmp/test lib/geo/geo_test.cpp libgeo.a && /tmp/test" }
}

# All of them by one template, each in the language that it says it is in.
module "service" {
  for_each = local.services
  source   = "./templates/service"

  name      = each.key
  toolchain = local.languages[each.value.language].toolchain
  runtime   = local.languages[each.value.language].runtime
  caches    = local.languages[each.value.language].caches
  compile   = local.languages[each.value.language].compile
  test      = local.languages[each.value.language].test
  port      = try(each.value.port, null)
  tags      = ["${var.registry}/${each.key}:${var.release}"]
}

# And one that is like no other.
module "handbook" {
  source = "./services/handbook"
  tags   = ["${var.registry}/handbook:${var.release}"]
}

group "default" {
  targets = [[for s in module.service : s.image], module.handbook.image]
}

group "libraries" {
  description = "The tests of what services share"
  targets     = [test.internal, test.geo]
}
