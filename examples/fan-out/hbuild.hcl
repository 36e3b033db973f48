context "default" {
  include = ["foo.c", "bar.cpp"]
}

# The compilers, installed once for both programs.
stage "toolchain" {
  from = image("debian:bookworm")

  run {
    command = <<-EOT
      apt-get update && \
        apt-get install -y --no-install-recommends gcc g++ libc6-dev && \
        rm -rf /var/lib/apt/lists/*
    EOT
  }
}

# foo and bar do not know each other, so they are compiled at the same time.
stage "foo" {
  from    = stage.toolchain
  workdir = "/src"

  copy { files = { "./" = "foo.c" } }
  run { command = "gcc -O2 -static -s -o /foo foo.c" }
}

stage "bar" {
  from    = stage.toolchain
  workdir = "/src"

  copy { files = { "./" = "bar.cpp" } }
  run { command = "g++ -O2 -static -s -o /bar bar.cpp" }
}

artifact "foo" {
  from = stage.foo
  path = "/foo"
}

artifact "bar" {
  from = stage.bar
  path = "/bar"
}

# And here they meet.
# hbuild: allow HB7010 two programs in a row are a job for a shell
stage "runtime" {
  from = image("alpine:3.22")

  copy {
    files = {
      "/usr/local/bin/foo" = artifact.foo
      "/usr/local/bin/bar" = artifact.bar
    }
  }

  cmd = "foo && bar"
}

target "app" {
  image = stage.runtime
  tags  = ["fan-out:latest"]
}

group "default" {
  targets = [target.app]
}
