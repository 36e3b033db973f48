variable "timezone" {
  type        = string
  default     = "Asia/Tokyo"
  description = "The time zone of the image, by its name in the tz database"

  validation {
    condition     = can(regex("^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$", var.timezone))
    error_message = "A time zone is named like Asia/Tokyo or UTC."
  }
}

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
    command = "go build -trimpath -ldflags '-s -w' -o /out/clock ."
    mounts  = { "/root/.cache/go-build" = cache.gobuild }
  }
}

artifact "clock" {
  from = stage.build
  path = "/out/clock"
}

stage "runtime" {
  from = image("alpine:3.22")
  args = { ZONE = var.timezone }

  # The link fails to build, not to run, when there is no such zone.
  run {
    command = <<-EOT
      apk add --no-cache tzdata && \
        test -f "/usr/share/zoneinfo/$ZONE" && \
        ln -sf "/usr/share/zoneinfo/$ZONE" /etc/localtime
    EOT
  }
  copy { files = { "/usr/local/bin/clock" = artifact.clock } }

  expose = [8080]
  cmd    = ["clock"]
}

target "app" {
  image = stage.runtime
  tags  = ["clock:${lower(replace(var.timezone, "/", "-"))}"]
}

group "default" {
  targets = [target.app]
}
