context "default" {
  include = ["go.mod", "*.go"]
}

cache "gobuild" {}

# hbuild build stage.builder stops here, with the toolchain and the sources.
stage "builder" {
  from    = image("golang:1.26")
  args    = { CGO_ENABLED = "0" }
  workdir = "/src"

  copy { files = { "." = "." } }
  run {
    command = "go test ./..."
    mounts  = { "/root/.cache/go-build" = cache.gobuild }
  }
  run {
    command = <<-EOT
      go build -trimpath -ldflags '-s -w' -o /out/release/greet . && \
        go build -gcflags 'all=-N -l' -o /out/debug/greet .
    EOT
    mounts  = { "/root/.cache/go-build" = cache.gobuild }
  }
}

artifact "release" {
  from        = stage.builder
  path        = "/out/release/greet"
  description = "Optimised, without debugging symbols"
}

artifact "debug" {
  from        = stage.builder
  path        = "/out/debug/greet"
  description = "Not optimised, with debugging symbols"
}

stage "production" {
  from = image("alpine:3.22")

  copy { files = { "/usr/local/bin/greet" = artifact.release } }

  entrypoint = ["greet"]
}

# The production image, filled with data to test with.
stage "testing" {
  from = stage.production

  write {
    path    = "/var/lib/greet/names.txt"
    content = "Ada\nBob\n"
  }
}

# The binary a debugger likes, and a chatty program.
stage "debug" {
  from = image("alpine:3.22")
  env  = { GREET_DEBUG = "1" }

  copy { files = { "/usr/local/bin/greet" = artifact.debug } }

  entrypoint = ["greet"]
}

target "production" {
  image = stage.production
  tags  = ["greet:latest"]
}

target "testing" {
  image = stage.testing
  tags  = ["greet:testing"]
}

target "debug" {
  image = stage.debug
  tags  = ["greet:debug"]
}

group "default" {
  targets = [target.production]
}

group "all" {
  targets = [target.production, target.testing, target.debug]
}
