package frontend_test

import (
	"path/filepath"
	"testing"
)

const hello = `
variable "greeting" {
  type        = string
  default     = "hello"
  description = "What it says"
}

variable "count" {
  type    = number
  default = 1
}

stage "build" {
  from = image("busybox:1.37")
  copy { files = { "/in/" = "data.txt" } }
  run { command = "for i in $(seq ${var.count}); do echo ${var.greeting}, $(cat /in/data.txt); done > /out.txt" }
}

artifact "out" {
  from = stage.build
  path = "/out.txt"
}

# The image.
target "app" {
  image = stage.build
}

target "files" {
  files = { "dist/out.txt" = artifact.out }
}

group "default" {
  targets = [target.app, target.files]
}
`

func TestFiles(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": hello, "data.txt": "world"})
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "files", "--build-arg", "greeting=good day", "--build-arg", "count=2", "-o", "out", "."))
	if got := content(t, filepath.Join(dir, "out/dist/out.txt")); got != "good day, world\ngood day, world\n" {
		t.Errorf("out.txt has %q", got)
	}
}
