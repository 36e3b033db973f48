package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hbuild/hbuild/internal/testengine"
)

// workspaceFiles is a workspace: services with a file of their own, which the root
// finds, and jobs that are data for one template. What crosses the borders are values
// of every kind. HBUILD_TEST_ID makes the steps new.
const workspaceFiles = `
-- hbuild.hcl --
workspace {}

variable "release" {
  type    = string
  default = "dev"
}

variable "id" {
  type = string
  env  = "HBUILD_TEST_ID"
}

secret "token" { file = "secrets/token" }
cache "shared" { id = "modules-${var.id}" }
context "lib" { path = "lib" }

stage "base" {
  from = image("alpine:3.22")
  run { command = "echo ${var.id} > /base" }
}

artifact "base" {
  from = stage.base
  path = "/base"
}

module "svc" {
  for_each = { for f in fileset(".", "services/*/hbuild.hcl") : basename(dirname(f)) => dirname(f) }
  source   = "./${each.value}"

  name     = each.key
  toolbox  = stage.base
  lib      = context.lib
  motd     = artifact.base
  cache    = cache.shared
  token    = secret.token
  release  = var.release
}

module "job" {
  for_each = { for f in fileset(".", "jobs/*/service.json") : basename(dirname(f)) => f }
  source   = "./template"
  name     = each.key
  file     = "../${each.value}"
  base     = stage.base
}

stage "all" {
  from = scratch
  copy { files = { for k, m in module.svc : "/bin/${k}" => m.binary } }
  copy {
    from  = module.svc["api"].runtime
    files = { "/api/" = "/srv/" }
  }
}

target "all" { image = stage.all }

target "bundle" {
  files = { for k, m in module.svc : "dist/bundle/${k}" => m.binary }
}

group "default" {
  targets = [[for m in module.svc : m.prod], [for m in module.job : m.image], target.bundle]
}
-- .dockerignore --
dist
**/*.tar
-- secrets/token --
value-of-token
-- lib/lib.sh --
lib
-- services/api/hbuild.hcl --
variable "name" { type = string }
variable "toolbox" { type = stage }
variable "lib" { type = context }
variable "motd" { type = artifact }
variable "cache" { type = cache }
variable "token" { type = secret }
variable "release" { type = string }

# Both services have this secret: of one file, beside the file of each of them.
secret "own" {
  id   = "own-${var.name}"
  file = "own"
}
cache "own" {}

stage "build" {
  from = var.toolbox
  copy { files = { "/src/" = "main.sh" } }
  copy {
    from  = var.lib
    files = { "/src/" = "." }
  }
  run {
    command = <<-EOT
      cat /base /src/lib.sh /src/main.sh > /out
      wc -c < /run/token >> /out
      wc -c < /run/own >> /out
      echo ${var.name} >> /c/all
      sort -u /c/all > /seen
    EOT
    mounts = {
      "/run/token" = var.token
      "/run/own"   = secret.own
      "/c"         = var.cache
      "/o"         = cache.own
    }
  }
}

artifact "binary" {
  from = stage.build
  path = "/out"
}

stage "runtime" {
  from   = scratch
  labels = { release = var.release }
  copy {
    files = {
      "/srv/out"  = artifact.binary
      "/srv/motd" = var.motd
    }
  }
}

test "smoke" {
  from = stage.build
  run { command = "grep -q \"hello from ${var.name}\" /src/main.sh" }
}

target "files" {
  files = {
    "out/own"                = artifact.binary
    "../../dist/${var.name}" = artifact.binary
  }
}

target "prod" {
  image    = stage.runtime
  tags     = ["registry.example/${var.name}:${var.release}"]
  outputs  = ["type=oci,dest=image.tar"]
  requires = [test.smoke]
}

output "binary" { value = artifact.binary }
output "runtime" { value = stage.runtime }
output "prod" { value = target.prod }
-- services/api/main.sh --
echo hello from api
-- services/api/own --
value-of-api
-- services/web/main.sh --
echo hello from web
-- services/web/own --
value-of-web-x
-- template/hbuild.hcl --
variable "name" { type = string }
variable "file" { type = string }
variable "base" { type = stage }

locals { data = jsondecode(file(var.file)) }
context "service" { path = dirname(var.file) }

stage "runtime" {
  from = var.base
  copy {
    from  = context.service
    files = { "/srv/" = "." }
  }
  run { command = "grep -q ${local.data.say} /srv/service.json && echo ${local.data.say} > /said" }
}

artifact "said" {
  from = stage.runtime
  path = "/said"
}

target "image" { image = stage.runtime }
target "said" { files = { "said-${var.name}" = artifact.said } }

output "image" { value = target.image }
-- jobs/a/service.json --
{"say": "one"}
-- jobs/b/service.json --
{"say": "two"}
`

// newWorkspace writes the workspace, with new steps.
func newWorkspace(t *testing.T) (m *module, id string) {
	t.Helper()
	m, id = newModule(t, workspaceFiles), unique()
	m.write("services/web/hbuild.hcl", m.read("services/api/hbuild.hcl"))
	m.env = append(m.env, "HBUILD_TEST_ID="+id)
	return m, id
}

// in is the module of a directory of a workspace.
func (m *module) in(dir string) *module {
	sub := *m
	sub.dir = m.path(dir)
	return &sub
}

// TestBuildWorkspace: all modules of a workspace in one build, twice: what they
// write is where each says, and the second time nothing runs.
func TestBuildWorkspace(t *testing.T) {
	m, id := newWorkspace(t)
	m.build("--metadata-file", "first.json").exits(0).says(
		"wrote services/api/image.tar", "wrote services/web/image.tar", "wrote dist/bundle/api",
		"svc.api/test.smoke passed", "svc.web/prod done", "job.a/image done", "5 targets, 2 tests in").saysNot("value-of")
	want := id + "\nlib\necho hello from web\n15\n15\n"
	if got := m.read("dist/bundle/web"); got != want {
		t.Errorf("dist/bundle/web has %q, not %q", got, want)
	}
	if names := tarNames(t, []byte(m.read("services/api/image.tar"))); !slices.Contains(names, "index.json") {
		t.Errorf("services/api/image.tar has %v", names)
	}
	md := m.metadata("first.json")
	api := md.Targets[`svc["api"]/target.prod`]
	if !slices.Equal(api.Tags, []string{"registry.example/api:dev"}) || len(api.Files) != 1 || api.Files[0].Path != "services/api/image.tar" {
		t.Errorf("metadata %+v", api)
	}
	if md.Tests[`svc["web"]/test.smoke`].Result != "passed" {
		t.Errorf("tests %+v", md.Tests)
	}
	m.build().exits(0).says("0 steps run")

	m.build("all", "-o", "all").exits(0)
	if got := m.read("all/api/out"); got != m.read("dist/bundle/api") || m.read("all/api/motd") != id+"\n" {
		t.Errorf("the root's image has %q of the module's", got)
	}
	m.build("job.b/said", "/all").exits(0)
	if got := m.read("template/said-b"); got != "two\n" {
		t.Errorf("template/said-b has %q", got)
	}
}

// TestBuildInModule: from a module's directory, its names are short and what it
// writes is near.
func TestBuildInModule(t *testing.T) {
	m, _ := newWorkspace(t)
	api := m.in("services/api")
	api.build("prod", "files").exits(0).says("svc.api/prod: wrote image.tar", "wrote out/own", "wrote ../../dist/api").saysNot("svc.web")
	api.build("files").exits(0).says("0 steps run", "wrote out/own")
	api.build("files", "-o", "x").exits(0).says("wrote x/services/api/out/own").saysNot("wrote ../")
	api.build(".").exits(2).says("Nothing is called svc.api/default", "svc.api/prod")
	api.build("../web/files").exits(0).says("wrote ../web/out/own")
	if m.read("dist/web") != m.read("services/web/out/own") {
		t.Error("dist/web is another file")
	}
	api.build("/bundle", "../../template/said").exits(0).says("wrote ../../dist/bundle/web", "wrote ../../template/said-a")
	m.build("*/prod").exits(0).says("svc.api/prod", "svc.web/prod").saysNot("job")
	m.build("./services/...").exits(0).says("svc.api/files", "svc.web/prod").saysNot("job")
	m.in("services").build("./...").exits(0).says("svc.api/files", "svc.web/prod", "wrote api/out/own").saysNot("job")
}

// TestBuildModuleFlags: --set, --context and --secret for what is in modules, from the
// root and from where the module is.
func TestBuildModuleFlags(t *testing.T) {
	m, _ := newWorkspace(t)
	m.write("given/main.sh", "echo hello from api, given\n")
	m.build("svc.api/prod", "svc.web/prod", "--set", `svc.api/prod.tags=["given/api:1"]`, "--set", "svc.*/prod.outputs=[]", "--set", "svc.api/stage.runtime.user=1000", "--metadata-file", "md.json").
		exits(0).saysNot("wrote")
	md := m.metadata("md.json").Targets
	if tags := md[`svc["api"]/target.prod`].Tags; !slices.Equal(tags, []string{"given/api:1"}) {
		t.Errorf("tags %q", tags)
	}
	if tags := md[`svc["web"]/target.prod`].Tags; !slices.Equal(tags, []string{"registry.example/web:dev"}) {
		t.Errorf("tags of the other %q", tags)
	}
	m.build("*/files", "--context", "svc.api/default=given").exits(0)
	if !strings.Contains(m.read("dist/api"), "given") || strings.Contains(m.read("dist/web"), "given") {
		t.Error("the directory is not the api's alone")
	}
	api := m.in("services/api")
	api.build("files", "--context", "default=../../given", "--set", `files.files={"x" = artifact.binary}`).exits(0).says("wrote x")
	if !strings.Contains(m.read("services/api/x"), "given") {
		t.Error("flags in a module's directory are not about the module")
	}
	m.write("own-secret", "longer-value-of-own")
	m.build("svc.web/files", "--secret", "id=own-web,src=own-secret").exits(0) // no part of the cache key
	m.build("svc.web/files", "--secret", "id=own-web,src=own-secret", "--no-cache").exits(0).saysNot("longer-value")
	if got := m.read("dist/web"); !strings.HasSuffix(got, "\n19\n") {
		t.Errorf("--secret: %q", got)
	}
	if err := os.Remove(m.path("services/api/own")); err != nil {
		t.Fatal(err)
	}
	m.build("svc.api/files").exits(2).says(`The secret "own-api" has no value`, "There is no file services/api/own", "services/api/hbuild.hcl:10:1")
}

// TestBuildModuleSecrets: one id that is read from two places is refused, unless one
// flag gives it; one place is one secret.
func TestBuildModuleSecrets(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
module "a" {
  source = "./m"
  file   = "../a"
}
module "b" {
  source = "./m"
  file   = "../b"
}
module "c" {
  source = "./m"
  file   = "../a"
}
-- m/hbuild.hcl --
variable "file" { type = string }
secret "key" { file = var.file }
stage "s" {
  from = image("alpine:3.22")
  run {
    command = "[ `+unique()+` ] && sed s/a/o/ /run/key > /got"
    mounts  = { "/run/key" = secret.key }
  }
}
target "t" { files = { "got" = stage.s } }
artifact "got" {
  from = stage.s
  path = "/got"
}
target "got" { files = { "../${basename(var.file)}-got" = artifact.got } }
-- a --
value-a
-- b --
value-b
`)
	m.build("a/got", "b/got").exits(2).says(`error[HB6009]: Two secrets have the id "key"`, "the file a, the other from the file b", "m/hbuild.hcl:2:1", "--secret id=key,src=FILE").saysNot("value-")
	m.build("b/got").exits(0)
	if got := m.read("b-got"); got != "volue-b\n" {
		t.Errorf("b has %q", got)
	}
	m.build("a/got", "--no-cache").exits(0)
	if got := m.read("a-got"); got != "volue-a\n" {
		t.Errorf("a has %q", got)
	}
	m.build("a/stage.s", "c/stage.s").exits(0)
	m.build("a/stage.s", "b/stage.s", "--secret", "id=key,src=b").exits(0)
}

// TestBuildModuleContexts: modules over one directory send it once.
func TestBuildModuleContexts(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
module "m" {
  for_each = toset(["a", "b", "c", "d"])
  source   = "./modules/${each.key}"
}
-- .dockerignore --
modules
*.hcl
*.json
-- large --
-- modules/a/hbuild.hcl --
context "default" { path = "../.." }
stage "s" {
  from = scratch
  copy { files = { "/" = "." } }
}
target "t" { image = stage.s }
`)
	for _, name := range []string{"b", "c", "d"} {
		m.write("modules/"+name+"/hbuild.hcl", m.read("modules/a/hbuild.hcl"))
	}
	const size = 1 << 20
	m.write("large", unique()+strings.Repeat("x", size))
	m.build("*/t", "--metadata-file", "md.json").exits(0).says("4 targets in")
	if sent := m.metadata("md.json").BytesSent; sent < size || sent > size+size/2 {
		t.Errorf("%d bytes are sent for %d", sent, size)
	}
	m.build("*/t", "--metadata-file", "md.json").exits(0)
	if sent := m.metadata("md.json").BytesSent; sent > size/10 {
		t.Errorf("the second time %d bytes are sent", sent)
	}
}

// TestBuildModuleDockerfile: docker build, by the command in the header of the
// emitted Dockerfile, makes of a module's target what hbuild did, from its cache.
func TestBuildModuleDockerfile(t *testing.T) {
	m, _ := newWorkspace(t)
	buildx := buildxOn(t, m)
	for _, addr := range []string{"svc.api/prod", "job.b/image", "all"} {
		m.build(addr).exits(0)
		text := m.run("emit", "dockerfile", addr).exits(0).stdout
		var command []string
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "#"), `\`)
			if strings.HasPrefix(strings.TrimSpace(line), "docker build") || len(command) > 0 && strings.TrimSpace(line) != "" {
				command = append(command, line)
			}
			if len(command) > 0 && !strings.HasPrefix(line, " ") {
				break
			}
		}
		script := strings.TrimSpace(strings.Join(command, " "))
		script = strings.TrimSuffix(script, "FROM alpine:3.22 AS base")
		if script == "" {
			script = "docker build ." // which goes without saying
		}
		m.write("build.sh", strings.Replace(script, "docker build", "buildx build -f - --progress plain --secret id=token,src=secrets/token --secret id=own-api,src=services/api/own --secret id=own-web,src=services/web/own", 1))
		cmd := exec.CommandContext(t.Context(), "sh", "build.sh")
		cmd.Dir, cmd.Env, cmd.Stdin = m.dir, buildx, strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %s: %v\n%s", addr, m.read("build.sh"), err, out)
		}
		steps, cached := 0, 0
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, " RUN ") || strings.Contains(line, " COPY ") {
				steps++
			}
			if strings.HasSuffix(strings.TrimSpace(line), " CACHED") {
				cached++
			}
		}
		if steps == 0 || cached < steps {
			t.Errorf("%s: of %d steps %d are cached\n%s\n%s", addr, steps, cached, m.read("build.sh"), out)
		}
	}
}

// buildxOn is the environment in which buildx runs on the engine of the tests; the
// test is skipped where bin/buildx was not built.
func buildxOn(t *testing.T, m *module) []string {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(bin, "buildx")); err != nil {
		t.Skip("there is no bin/buildx; make bin/buildx builds it")
	}
	config := t.TempDir()
	env := append(slices.Clone(m.env), "PATH="+bin+":"+os.Getenv("PATH"), "BUILDX_CONFIG="+config, "DOCKER_CONFIG="+config, "BUILDX_BUILDER=modules", "SOURCE_DATE_EPOCH=", "BUILDX_GIT_INFO=false")
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "buildx"), "create", "--name", "modules", "--driver", "remote", testengine.Start(t))
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("buildx create: %v\n%s", err, out)
	}
	return env
}

// TestBuildFileWithoutModules: a file on standard input is a module by itself, in a
// workspace too.
func TestBuildFileWithoutModules(t *testing.T) {
	m, _ := newWorkspace(t)
	cmd := m.in("services/api").command("build", "-f", "-", "--progress", "plain")
	cmd.Stdin = strings.NewReader(`
stage "s" {
  from = scratch
  copy { files = { "/" = "main.sh" } }
}
target "default" { files = { "copy/" = stage.s } }
`)
	m.finish(cmd).exits(0).says("wrote copy/main.sh")
	if got := m.read("services/api/copy/main.sh"); got != "echo hello from api\n" {
		t.Errorf("copied %q", got)
	}
}
