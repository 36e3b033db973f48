# What most services are built by. It knows no language: the root says how one is
# compiled and tested, a service.json says which.

variable "name" {
  type        = string
  description = "The service's name and its directory's"
}

variable "toolchain" {
  type        = stage
  description = "Where it is compiled: compilers and shared libraries, in /src"
}

variable "runtime" {
  type        = stage
  description = "Where it runs"
}

variable "compile" {
  type        = string
  description = "Shell command that makes /out/service from services/$SERVICE"
}

variable "test" {
  type        = string
  description = "Shell command that fails when the service is wrong"
}

variable "caches" {
  type        = map(cache)
  default     = {}
  description = "Caches of the compiler: path → cache"
}

variable "port" {
  type     = number
  default  = null
  nullable = true
}

variable "tags" {
  type    = list(string)
  default = []
}

# The service's own files, by the path that they have in the repository.
context "source" { path = "../../services/${var.name}" }

stage "build" {
  from = var.toolchain
  args = { SERVICE = var.name }

  copy {
    from    = context.source
    src     = "."
    dest    = "services/${var.name}/"
    exclude = ["service.json"]
  }
  run {
    command = var.compile
    mounts  = var.caches
  }
}

test "unit" {
  from = stage.build

  run {
    command = var.test
    mounts  = var.caches
  }
}

artifact "program" {
  from = stage.build
  path = "/out/service"
}

stage "image" {
  from = var.runtime

  copy { files = { "/usr/local/bin/${var.name}" = artifact.program } }

  user       = "65534"
  expose     = var.port == null ? null : [var.port]
  entrypoint = ["/usr/local/bin/${var.name}"]
}

target "image" {
  image    = stage.image
  tags     = var.tags
  requires = [test.unit]
}

group "default" {
  targets = [target.image]
}

output "image" { value = target.image }
output "test" { value = test.unit }
output "program" { value = artifact.program }
