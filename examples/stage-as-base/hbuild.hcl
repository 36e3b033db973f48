context "default" {
  include = ["*.cpp"]
}

stage "builder" {
  from = image("debian:bookworm")

  run {
    command = <<-EOT
      apt-get update && \
        apt-get install -y --no-install-recommends gcc g++ libc6-dev && \
        rm -rf /var/lib/apt/lists/*
    EOT
  }

  # Stages built on this one start with these too.
  set {
    env     = { CXXFLAGS = "-O2 -static -s" }
    workdir = "/src"
  }
}

stage "build1" {
  from = stage.builder

  copy { files = { "source.cpp" = "source1.cpp" } }
  run { command = "g++ $CXXFLAGS -o /binary source.cpp" }
}

stage "build2" {
  from = stage.builder

  copy { files = { "source.cpp" = "source2.cpp" } }
  run { command = "g++ $CXXFLAGS -o /binary source.cpp" }
}

artifact "binary1" {
  from = stage.build1
  path = "/binary"
}

artifact "binary2" {
  from = stage.build2
  path = "/binary"
}

target "binaries" {
  files = {
    "bin/binary1" = artifact.binary1
    "bin/binary2" = artifact.binary2
  }
}

group "default" {
  targets = [target.binaries]
}
