# Where the secrets are found on this machine, unless --secret and --ssh say
# otherwise. Their values reach single steps, never an image or a cache key.
secret "token" {
  file = "token.txt"
}

secret "api_key" {
  env = "API_KEY"
}

ssh "default" {}

context "default" {
  include = ["go.mod", "*.go"]
}

cache "gobuild" {}

stage "build" {
  from    = image("golang:1.26")
  args    = { CGO_ENABLED = "0" }
  workdir = "/src"

  copy { files = { "." = "." } }
  run {
    command = "go build -trimpath -ldflags '-s -w' -o /out/agentkeys ."
    mounts  = { "/root/.cache/go-build" = cache.gobuild }
  }
}

artifact "agentkeys" {
  from = stage.build
  path = "/out/agentkeys"
}

stage "report" {
  from = image("alpine:3.22")

  # What the secrets should be, so that the steps can prove they have them.
  args = {
    TOKEN_SHA256   = "c7e9df7173bfad6f0831b9ff0f88523d5aae127b7cb29614c23054955d806338"
    API_KEY_SHA256 = "fe4efea45ed28cae47c8e7d82fefb5b5a7064d1e0e2ac91d3463d7dfbd8e380f"
  }

  # As a file.
  run {
    command = <<-EOT
      echo "$TOKEN_SHA256  /run/secrets/token" | sha256sum -c && \
        echo "token: $(wc -c < /run/secrets/token) bytes" >> /report.txt
    EOT
    mounts  = { "/run/secrets/token" = secret.token }
  }

  # As an environment variable.
  run {
    command = <<-EOT
      printf %s "$API_KEY" | sha256sum | grep -q "^$API_KEY_SHA256 " && \
        echo "api key: $${#API_KEY} characters" >> /report.txt
    EOT
    env     = { API_KEY = secret.api_key }
  }

  # The agent signs for the step; its keys stay outside.
  run {
    command = <<-EOT
      test -S "$SSH_AUTH_SOCK" && \
        agentkeys >> /report.txt
    EOT
    mounts  = { "/usr/local/bin/agentkeys" = artifact.agentkeys }
    ssh     = [ssh.default]
  }

  # Afterwards nothing of it is left.
  run { command = "test ! -s /run/secrets/token && test -z \"$API_KEY$SSH_AUTH_SOCK\"" }

  cmd = ["cat", "/report.txt"]
}

target "report" {
  image = stage.report
  tags  = ["secrets-report:latest"]
}

group "default" {
  targets = [target.report]
}
