variable "release" {
  type        = string
  default     = "dev"
  description = "The tag of every service's image"
}

# A service is a line here and a directory below services/.
locals {
  services = {
    api    = { ports = [8080] }
    web    = { ports = [8081] }
    worker = { ports = [] }
  }
}

context "default" {
  include = ["go.mod", "go.sum", "**/*.go", "services/*/*.html"]
}

cache "gomod" {}
cache "gobuild" {}

# What all services are compiled with: Go, the module's dependencies and the
# packages they share.
stage "toolchain" {
  from    = image("golang:1.26")
  args    = { CGO_ENABLED = "0" }
  workdir = "/src"

  copy { files = { "./" = ["go.mod", "go.sum"] } }
  run {
    command = "go mod download"
    mounts  = { "/go/pkg/mod" = cache.gomod }
  }
  copy { files = { "internal/" = "internal" } }
}

# A service sees its own sources only: a change in one compiles one.
stage "build" {
  for_each = local.services
  from     = stage.toolchain
  args     = { SERVICE = each.key }

  copy { files = { "services/${each.key}/" = "services/${each.key}" } }
  run {
    command = "go build -trimpath -ldflags '-s -w' -o /out/service ./services/$SERVICE"
    mounts = {
      "/go/pkg/mod"           = cache.gomod
      "/root/.cache/go-build" = cache.gobuild
    }
  }
}

artifact "binary" {
  for_each = local.services
  from     = stage.build[each.key]
  path     = "/out/service"
}

stage "runtime" {
  for_each = local.services
  from     = scratch
  user     = "65532"

  copy { files = { "/${each.key}" = artifact.binary[each.key] } }

  expose     = each.value.ports
  entrypoint = ["/${each.key}"]
}

target "service" {
  for_each = local.services
  image    = stage.runtime[each.key]
  tags     = ["registry.example/shop/${each.key}:${var.release}"]
}

group "http" {
  description = "The services with a port"
  targets     = [for name, service in local.services : target.service[name] if length(service.ports) > 0]
}

group "default" {
  targets = [target.service]
}
