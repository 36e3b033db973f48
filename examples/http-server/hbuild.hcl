variable "version" {
  type        = string
  default     = "dev"
  description = "Shown on the page and used as the image's tag"
}

# Only these files are sent to the engine; editing the README rebuilds nothing.
context "default" {
  include = ["go.mod", "*.go", "page.html"]
}

cache "gobuild" {}

# Compiles the server with the whole Go toolchain at hand.
stage "build" {
  from = image("golang:1.26")
  args = {
    CGO_ENABLED = "0"
    VERSION     = var.version
  }
  workdir = "/src"

  copy { files = { "." = "." } }
  run {
    command = "go build -trimpath -ldflags \"-s -w -X main.version=$VERSION\" -o /out/server ."
    mounts  = { "/root/.cache/go-build" = cache.gobuild }
  }
}

artifact "server" {
  from        = stage.build
  path        = "/out/server"
  description = "The static binary"
}

# Ships the binary and nothing of the toolchain.
stage "runtime" {
  from = image("alpine:3.22")
  user = "65532"

  copy { files = { "/usr/local/bin/server" = artifact.server } }

  expose     = [8080]
  entrypoint = ["/usr/local/bin/server"]
}

target "prod" {
  description = "The image to run"
  image       = stage.runtime
  tags        = ["http-server:${var.version}"]
}

target "bin" {
  description = "The binary alone, written to bin/server"
  files       = { "bin/server" = artifact.server }
}

group "default" {
  targets = [target.prod, target.bin]
}
