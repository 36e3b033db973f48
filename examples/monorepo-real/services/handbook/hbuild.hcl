# The handbook has nothing of what the other services have, so it has a file of
# its own.

variable "tags" {
  type        = list(string)
  default     = []
  description = "Names of the image"
}

context "default" {
  include = ["pages/*.md", "page.awk"]
}

stage "pages" {
  from    = image("alpine:3.22")
  workdir = "/src"

  copy { files = { "." = "." } }
  run {
    command = <<-EOT
      mkdir /site
      for page in pages/*.md; do
        awk -f page.awk "$page" >"/site/$(basename "$page" .md).html"
      done
    EOT
  }
}

# Whatever a page points at is there.
test "links" {
  from = stage.pages

  run {
    command = <<-EOT
      cd /site
      for page in $(sed -n 's/.*href="\([^"]*\)".*/\1/p' *.html); do
        [ -e "$page" ] || { echo "there is no $page"; exit 1; }
      done
    EOT
  }
}

artifact "site" {
  from = stage.pages
  path = "/site/"
}

artifact "index" {
  from = stage.pages
  path = "/site/index.html"
}

stage "runtime" {
  from = image("alpine:3.22")

  copy { files = { "/site/" = artifact.site } }

  user   = "65534"
  expose = [8082]
  cmd    = ["httpd", "-f", "-p", "8082", "-h", "/site"]
}

target "image" {
  image    = stage.runtime
  tags     = var.tags
  requires = [test.links]
}

target "page" {
  files = { "out/index.html" = artifact.index }
}

group "default" {
  targets = [target.image]
}

output "image" {
  value       = target.image
  description = "The handbook behind an HTTP server"
}
