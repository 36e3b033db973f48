context "default" {
  include = ["go.mod", "go.sum", "*.go", "sample.html"]
}

cache "gomod" {}
cache "gobuild" {}

stage "build" {
  from    = image("golang:1.26")
  args    = { CGO_ENABLED = "0" }
  workdir = "/src"

  # The dependencies first: they change less often than the program.
  copy { files = { "./" = ["go.mod", "go.sum"] } }
  run {
    command = "go mod download"
    mounts  = { "/go/pkg/mod" = cache.gomod }
  }

  copy { files = { "./" = "*.go" } }
  run {
    command = "go build -trimpath -ldflags '-s -w' -o /out/href-counter ."
    mounts = {
      "/go/pkg/mod"           = cache.gomod
      "/root/.cache/go-build" = cache.gobuild
    }
  }
}

artifact "href-counter" {
  from = stage.build
  path = "/out/href-counter"
}

# What both images below start from: certificates for https pages, and a page to try.
stage "base" {
  from    = image("alpine:3.22")
  workdir = "/app"

  run { command = "apk add --no-cache ca-certificates" }
  copy { files = { "./" = "sample.html" } }
}

# By name: COPY --from=build. The artifact knows its stage and its path.
stage "runtime" {
  from = stage.base

  copy { files = { "./" = artifact.href-counter } }

  entrypoint = ["./href-counter"]
  cmd        = ["sample.html"]
}

# A Dockerfile may also count its stages: COPY --from=0. Here a stage is always
# named, so that adding one above it cannot change what is copied.
stage "runtime_by_index" {
  from = stage.base

  copy {
    from = stage.build
    src  = "/out/href-counter"
    dest = "./"
  }

  entrypoint = ["./href-counter"]
  cmd        = ["sample.html"]
}

target "app" {
  image = stage.runtime
  tags  = ["href-counter:latest"]
}

target "by-index" {
  image = stage.runtime_by_index
  tags  = ["href-counter:by-index"]
}

group "default" {
  targets = [target.app, target.by-index]
}
