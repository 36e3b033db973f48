package frontend_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/moby/buildkit/identity"
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
  image       = stage.build
  annotations = { "org.example.note" = "annotated" }
  labels      = { "org.example.by" = "file", "org.example.kind" = "file" }
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
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": hello, "data.txt": "world", "big.bin": strings.Repeat("x", 30<<20)})
	r := ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "files", "--build-arg", "greeting=good day", "--build-arg", "count=2", "-o", "out", "."))
	if got := content(t, filepath.Join(dir, "out/dist/out.txt")); got != "good day, world\ngood day, world\n" {
		t.Errorf("out.txt has %q", got)
	}
	// Of the directory only what is read is sent.
	for _, m := range regexp.MustCompile(`transferring \S+ (\S+)`).FindAllStringSubmatch(r.stderr, -1) {
		if strings.Contains(m[1], "MB") {
			t.Errorf("too much was sent: %s\n%s", m[0], r.stderr)
		}
	}
	// A stage and an artifact are addresses as well.
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "artifact.out", "-o", "art", "."))
	if got := content(t, filepath.Join(dir, "art/out.txt")); got != "hello, world\n" {
		t.Errorf("out.txt has %q", got)
	}
}

// TestImage builds the only image of a group, for two platforms, through a
// syntax line with a digest.
func TestImage(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref+"@"+fe.digest, map[string]string{"hbuild.hcl": hello, "data.txt": "world"})
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--platform", "linux/amd64,linux/arm64", "--label", "org.example.by=flag",
		"--provenance=false", "-o", "type=oci,tar=false,dest=image", "."))
	images := manifests(t, filepath.Join(dir, "image"))
	if len(images) != 2 {
		t.Fatalf("there are %d images", len(images))
	}
	for _, img := range images {
		cfg, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if l := cfg.Config.Labels; l["org.example.by"] != "flag" || l["org.example.kind"] != "file" {
			t.Errorf("%s: labels %v", cfg.Architecture, l)
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if m.Annotations["org.example.note"] != "annotated" {
			t.Errorf("%s: annotations %v", cfg.Architecture, m.Annotations)
		}
	}
}

// manifests are the images of a layout's only entry, attestations included.
func manifests(t testing.TB, dir string) []v1.Image {
	t.Helper()
	idx, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []v1.Image
	var walk func(idx v1.ImageIndex)
	walk = func(idx v1.ImageIndex) {
		m, err := idx.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range m.Manifests {
			if d.MediaType.IsIndex() {
				sub, err := idx.ImageIndex(d.Digest)
				if err != nil {
					t.Fatal(err)
				}
				walk(sub)
				continue
			}
			img, err := idx.Image(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, img)
		}
	}
	walk(idx)
	return out
}

// TestMistakes shows that a mistake is printed at its line, by Docker's own client.
func TestMistakes(t *testing.T) {
	fe := frontendImage(t)
	good := map[string]string{"hbuild.hcl": hello, "data.txt": "world"}
	with := func(more map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range []map[string]string{good, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	many := hello + "\ntarget \"second\" {\n  image = stage.build\n}\n\ngroup \"both\" {\n  targets = [target.app, target.second]\n}\n"
	for name, c := range map[string]struct {
		files map[string]string
		args  []string
		want  []string
	}{
		"unknown stage": {with(map[string]string{"app.hbuild.hcl": "target \"x\" {\n  image = stage.biuld\n}\n"}), nil,
			[]string{"HB2004", `Did you mean stage.build`, "app.hbuild.hcl:2", ">>>   image = stage.biuld"}},
		"two mistakes": {with(map[string]string{"app.hbuild.hcl": "target \"x\" {\n  image = stage.biuld\n}\ntarget \"y\" {\n  imag = stage.build\n}\n"}), nil,
			[]string{"2 mistakes", "app.hbuild.hcl:2", "app.hbuild.hcl:5", ">>>   imag = stage.build"}},
		"syntax":                {with(map[string]string{"app.hbuild.hcl": "target \"x\" {\n  image = \n}\n"}), nil, []string{"app.hbuild.hcl:2", "HB1"}},
		"unknown argument":      {good, []string{"--build-arg", "greting=x"}, []string{"HB2023", "--build-arg", `Did you mean "greeting"?`}},
		"argument missing":      {with(map[string]string{"v.hbuild.hcl": "variable \"who\" {}\nlocals {\n  w = var.who\n}\nstage \"v\" {\n  from = scratch\n  labels = { who = local.w }\n}\n"}), []string{"--target", "stage.v"}, []string{"HB3008", "--build-arg who=VALUE"}},
		"argument's type":       {good, []string{"--build-arg", "count=many"}, []string{"--build-arg", "count"}},
		"unknown target":        {good, []string{"--target", "fles"}, []string{"HB2022", `Did you mean "files"?`}},
		"a stage without stage": {good, []string{"--target", "build"}, []string{"HB2022", "--target stage.build"}},
		"several images":        {with(map[string]string{"hbuild.hcl": many}), []string{"--target", "both"}, []string{`"both" stands for 2 targets`, "app and second", `>>> group "both"`}},
		"unknown context":       {good, []string{"--build-context", "dcos=."}, []string{"dcos", "--build-context"}},
		"failing step": {with(map[string]string{"hbuild.hcl": strings.Replace(hello, "done > /out.txt", "done > /out.txt; exit 3", 1)}), []string{"--target", "app"},
			[]string{"exit code: 3", `>>>   run { command = `, "hbuild.hcl:17"}},
		"missing image": {with(map[string]string{"hbuild.hcl": strings.Replace(hello, "busybox:1.37", "nosuch:1", 1)}), []string{"--target", "app"},
			[]string{"HB4002", "nosuch:1", `>>>   from = image("nosuch:1")`}},
		"epoch": {good, []string{"--build-arg", "SOURCE_DATE_EPOCH=soon"}, []string{"SOURCE_DATE_EPOCH", "soon"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := module(t, fe.ref, c.files)
			fails(t, buildx(t, dir, append([]string{"build", "-f", "hbuild.hcl", "."}, c.args...)...), c.want...)
		})
	}
}

const reading = `
locals {
  version = trimspace(file("meta/VERSION"))
  confs   = join(" ", fileset("conf", "**/*.conf"))
  gone    = fileexists("meta/missing")
}

stage "s" {
  from = image("busybox:1.37")
  copy { files = { "/ctx/" = "." } }
  run { command = "echo ${local.version} ${local.confs} ${local.gone} ${var.who} ${local.extra} > /ctx/values; (cd /ctx && find . -type f | sort) > /ctx/list" }
}

target "default" {
  image = stage.s
}
`

// TestModule reads a module of several files, and files that it reads.
func TestModule(t *testing.T) {
	fe := frontendImage(t)
	files := map[string]string{
		"hbuild.hcl":          reading,
		"more.hbuild.hcl":     "locals {\n  extra = \"more\"\n}\nvariable \"who\" {}\n",
		"hbuild.vars.hcl":     "who = \"vars\"\n",
		"meta/VERSION":        "1.2\n",
		"conf/a.conf":         "a",
		"conf/x/b.conf":       "b",
		"conf/x/y/c.conf":     "c",
		"conf/x/y/readme":     "no",
		".dockerignore":       "conf/x\n*.hcl\n",
		"other/Dockerfile":    "",
		"conf/other.txt":      "",
		"node_modules/a/b/c":  "",
		"node_modules/a/b/d":  "",
		"node_modules/[a]*/d": "",
	}
	dir := module(t, fe.ref, files)
	if err := os.Symlink("../meta/VERSION", filepath.Join(dir, "conf/link.conf")); err != nil {
		t.Fatal(err)
	}
	build := func(args ...string) (values, list string) {
		t.Helper()
		ok(t, buildx(t, dir, append([]string{"build", "-o", "out"}, args...)...))
		return content(t, filepath.Join(dir, "out/ctx/values")), content(t, filepath.Join(dir, "out/ctx/list"))
	}
	values, list := build("-f", "hbuild.hcl", ".")
	if want := "1.2 a.conf link.conf x/b.conf x/y/c.conf false vars more\n"; values != want {
		t.Errorf("values are %q, not %q", values, want)
	}
	if strings.Contains(list, "b.conf") || strings.Contains(list, ".hcl") || !strings.Contains(list, "./conf/a.conf") {
		t.Errorf(".dockerignore does not hold:\n%s", list)
	}
	if err := os.RemoveAll(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}

	// The ignore file that belongs to the build file wins.
	write(t, filepath.Join(dir, "hbuild.hcl.dockerignore"), "out\nnode_modules\nother\n")
	write(t, filepath.Join(dir, "hbuild.override.hcl"), "locals {\n  extra = \"overridden\"\n}\n")
	values, list = build("-f", "hbuild.hcl", "--build-arg", "who=flag", ".")
	if want := "1.2 a.conf link.conf x/b.conf x/y/c.conf false flag overridden\n"; values != want {
		t.Errorf("values are %q, not %q", values, want)
	}
	if strings.Contains(list, "node_modules") || !strings.Contains(list, "./conf/x/b.conf") || !strings.Contains(list, "./hbuild.hcl") {
		t.Errorf("hbuild.hcl.dockerignore does not hold:\n%s", list)
	}

	// A file of another name is a module by itself, from where it is; what it reads
	// is the build context's.
	alone := strings.NewReplacer("${var.who} ${local.extra}", "alone").Replace(reading)
	write(t, filepath.Join(dir, "build/Dockerfile"), "// syntax="+fe.ref+"\n"+alone)
	values, _ = build("-f", "build/Dockerfile", ".")
	if want := "1.2 a.conf link.conf x/b.conf x/y/c.conf false alone\n"; values != want {
		t.Errorf("values are %q, not %q", values, want)
	}
}

const contexts = `
context "docs" {
  path    = "documentation"
  exclude = ["*.tmp"]
}

stage "s" {
  from = scratch
  copy {
    from = context.docs
    src  = "."
    dest = "/docs/"
  }
  copy { files = { "/main/" = "main.txt" } }
}

target "default" {
  image = stage.s
}
`

func TestContexts(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{
		"hbuild.hcl": contexts, "main.txt": "main",
		"documentation/a.md": "a", "documentation/b.tmp": "b", "documentation/sub/c.md": "c",
		"elsewhere/z.md": "z", "elsewhere/y.md": "y", "elsewhere/.dockerignore": "y.md\n.dockerignore\n",
	})
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"of the build context": {nil, []string{"docs/a.md", "docs/sub/c.md", "main/main.txt"}},
		"directory":            {[]string{"--build-context", "docs=elsewhere"}, []string{"docs/z.md", "main/main.txt"}},
		"nothing":              {[]string{"--build-context", "docs=docker-image://scratch"}, []string{"main/main.txt"}},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			ok(t, buildx(t, dir, append([]string{"build", "-f", "hbuild.hcl", "-o", out, "."}, c.args...)...))
			if got := list(t, out); !slices.Equal(got, c.want) {
				t.Errorf("there are %q, not %q", got, c.want)
			}
		})
	}
	t.Run("image", func(t *testing.T) {
		out := t.TempDir()
		ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--platform=linux/amd64,linux/arm64", "--build-context", "docs=docker-image://busybox:1.37", "-o", out, "."))
		for _, p := range []string{"linux_amd64/docs/bin/busybox", "linux_arm64/docs/bin/busybox", "linux_arm64/main/main.txt"} {
			if _, err := os.Stat(filepath.Join(out, p)); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("layout", func(t *testing.T) {
		out := t.TempDir()
		ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--build-context", "docs=oci-layout://"+fe.saveLayout(t)+"@"+fe.digest, "-o", out, "."))
		if got, want := list(t, out), []string{"docs/bin/hbuild-frontend", "main/main.txt"}; !slices.Equal(got, want) {
			t.Errorf("there are %q, not %q", got, want)
		}
	})
}

// TestModuleLayout has an image that lies in the module as an OCI layout: the caller
// opens it, under the name that the message says or its path.
func TestModuleLayout(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": `
stage "s" {
  from = scratch
  copy {
    from = oci_layout("vendor/base")
    src  = "/bin/hbuild-frontend"
    dest = "/"
  }
}

target "default" {
  image = stage.s
}
`})
	if err := os.MkdirAll(filepath.Join(dir, "vendor"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fe.saveLayout(t), filepath.Join(dir, "vendor/base")); err != nil {
		t.Fatal(err)
	}
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "."), "HB4016", "--build-context layout-base=oci-layout://vendor/base", `>>>   copy {`)
	for _, name := range []string{"layout-base", "vendor/base"} {
		out := t.TempDir()
		ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "-o", out, ".", "--build-context", name+"=oci-layout://vendor/base@"+fe.digest))
		if got, want := list(t, out), []string{"hbuild-frontend"}; !slices.Equal(got, want) {
			t.Errorf("there are %q, not %q", got, want)
		}
	}
}

// TestReplaced gives an image and a stage of the file something else, as a bake
// target's contexts do: another target with its configuration, a directory.
func TestReplaced(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"given/tool": "given", "hbuild.hcl": `
stage "tools" {
  from = image("busybox:1.37")
  run { command = "echo made > /tool" }
}

stage "s" {
  from = image("company/base:1")
  copy {
    from = stage.tools
    src  = "/tool"
    dest = "/tool"
  }
  run { command = "echo $FLAVOUR > /flavour" }
}

target "default" {
  image = stage.s
}
`, "docker-bake.hcl": `
target "base" {
  dockerfile-inline = "FROM busybox:1.37\nENV FLAVOUR=baked\n"
}

target "default" {
  dockerfile = "hbuild.hcl"
  contexts   = { "company/base:1" = "target:base", tools = "given" }
  output     = ["out"]
}
`})
	ok(t, buildx(t, dir, "bake", "--allow=fs="+dir))
	for name, want := range map[string]string{"flavour": "baked\n", "tool": "given"} {
		if got := content(t, filepath.Join(dir, "out", name)); got != want {
			t.Errorf("%s has %q, not %q", name, got, want)
		}
	}
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--build-context", "company/base:1=docker-image://busybox:1.37", "-o", "plain", "."))
	if got := content(t, filepath.Join(dir, "plain/tool")); got != "made\n" {
		t.Errorf("tool has %q", got)
	}
}

// list has the regular files below a directory.
func list(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			rel, _ := filepath.Rel(dir, p)
			out = append(out, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const flags = `
secret "token" {}

secret "extra" {
  required = false
}

cache "work" {}

stage "s" {
  from = image("busybox:1.37")
  run {
    command = <<-EOT
      {
        cat /run/secrets/token; echo
        grep example.test /etc/hosts
        ulimit -n
        df -k /dev/shm | tail -n1 | awk '{print $2}'
        ls /sys/class/net
        echo proxy=$HTTP_PROXY
        echo none=$NOTHING
      } > /facts
      cat /proc/sys/kernel/random/uuid > /random
    EOT
    mounts  = {
      "/run/secrets/token" = secret.token
      "/cache"             = cache.work
    }
  }
}

stage "t" {
  from = image("busybox:1.37")
  run { command = "cat /proc/sys/kernel/random/uuid > /other" }
  copy {
    from = stage.s
    src  = ["/facts", "/random"]
    dest = "/"
  }
}

target "default" {
  image       = stage.t
  ulimits     = { nofile = 512, nproc = 500 }
  description = "Facts"
}
`

func TestFlags(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": flags, "token": "s3cret"})
	build := func(args ...string) (facts, random, other string) {
		t.Helper()
		ok(t, buildx(t, dir, append([]string{"build", "-f", "hbuild.hcl", "--secret", "id=token,src=token", "-o", "out", "."}, args...)...))
		read := func(name string) string { return content(t, filepath.Join(dir, "out", name)) }
		return read("facts"), read("random"), read("other")
	}
	all := []string{"--add-host", "example.test:10.1.2.3", "--ulimit", "nofile=700:800", "--shm-size", "32m", "--network", "none", "--build-arg", "HTTP_PROXY=http://proxy.test:3128"}
	facts, random, other := build(all...)
	for _, want := range []string{"s3cret\n", "10.1.2.3\texample.test\n", "700\n", "32768\n", "\nlo\n", "proxy=http://proxy.test:3128\n"} {
		if !strings.Contains(facts, want) {
			t.Errorf("no %q in\n%s", want, facts)
		}
	}
	if strings.Contains(facts, "eth0") {
		t.Errorf("there is a network:\n%s", facts)
	}
	// The same again is cached; a stage and all of them can be told to run again.
	if _, r, o := build(all...); r != random || o != other {
		t.Error("the second build was not cached")
	}
	if _, r, o := build(append(all, "--no-cache-filter", "t")...); r != random || o == other {
		t.Error("--no-cache-filter t ran another stage, or not t")
	}
	if _, r, o := build(append(all, "--no-cache")...); r == random || o == other {
		t.Error("--no-cache ran nothing")
	}
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--no-cache", "-o", "out", "."), "token", `>>>   run {`)
}

// TestSSH mounts the caller's agent.
func TestSSH(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": `
ssh "default" {}

stage "s" {
  from = image("busybox:1.37")
  run {
    command = "test -S $SSH_AUTH_SOCK"
    ssh     = [ssh.default]
  }
}

target "default" {
  image = stage.s
}
`})
	socket := filepath.Join(dir, "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--no-cache", "--ssh", "default="+socket, "."))
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--no-cache", "."), "ssh", ">>>   run {")
}

// TestDocumented builds the file that spec/frontend.md begins with.
func TestDocumented(t *testing.T) {
	fe := frontendImage(t)
	_, text, _ := strings.Cut(content(t, "../../spec/frontend.md"), "```hcl\n")
	text, _, found := strings.Cut(text, "```")
	syntax, text, _ := strings.Cut(text, "\n")
	if !found || !strings.HasPrefix(syntax, "# syntax=") {
		t.Fatalf("the first block begins with %q", syntax)
	}
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": text})
	r := ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--build-arg", "greeting=hi", "-o", "out", "."))
	if strings.Contains(r.stderr, "] list ") {
		t.Errorf("the context was listed for a module that looks up nothing in it:\n%s", r.stderr)
	}
	if got := content(t, filepath.Join(dir, "out/greeting")); got != "hi\n" {
		t.Errorf("the greeting is %q", got)
	}
}

func TestCalls(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": hello + flagsOnly + "\nvariable \"unused_words\" {\n  default = [\"a\", { b = 1 }]\n}\n\nartifact \"unused\" {\n  from = stage.build\n  path = \"/x\"\n}\n", "data.txt": "world"})
	r := ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--call=targets", "."))
	says(t, r.stdout, "default (default)", "group of app and files", "app", "The image.", "stage.build", "artifact.out", "facts")
	r = ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--call=outline", "--target=app", "--build-arg", "count=3", "."))
	says(t, r.stdout, "greeting", "hello", "What it says", "count", "3")
	if strings.Contains(r.stdout, "unused") {
		t.Errorf("the outline has a variable that the target does not use:\n%s", r.stdout)
	}
	r = ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--call=outline,format=json", "--target=facts", "."))
	var o struct {
		Secrets []struct {
			Name     string
			Required bool
		}
		Cache []struct{ ID string }
		Args  []any
	}
	if err := json.Unmarshal([]byte(r.stdout), &o); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	if len(o.Secrets) != 1 || o.Secrets[0].Name != "token" || !o.Secrets[0].Required || len(o.Cache) != 1 || o.Cache[0].ID != "work" || len(o.Args) != 0 {
		t.Errorf("the outline is %s", r.stdout)
	}
	r = buildx(t, dir, "build", "-f", "hbuild.hcl", "--call=check", ".")
	if r.code == 0 {
		t.Error("a check with warnings succeeded")
	}
	says(t, r.stdout, "HB7001", "unused", `>>> artifact "unused"`)

	write(t, filepath.Join(dir, "wrong.hbuild.hcl"), "target \"w\" {\n  image = stage.nothing\n}\n")
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--call=check", "."), "HB2004", "wrong.hbuild.hcl:2", ">>>   image = stage.nothing")
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--call=targets", "."), "HB2004")
}

const flagsOnly = `
secret "token" {}

cache "work" {}

target "facts" {
  image = stage.facts
}

stage "facts" {
  from = image("busybox:1.37")
  run {
    command = "true"
    mounts = {
      "/t" = secret.token
      "/c" = cache.work
    }
  }
}
`

// TestWarnings shows the warnings of a build that succeeds, in Docker's summary;
// the caller may drop them, or make errors of them.
func TestWarnings(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": "stage \"s\" {\n  from = image(\"busybox\")\n}\n\ntarget \"default\" {\n  image = stage.s\n}\n"})
	r := ok(t, buildx(t, dir, "--debug", "build", "-f", "hbuild.hcl", "."))
	says(t, r.stderr, "1 warning found", "HB7007", ">>>   from = image(\"busybox\")")
	r = ok(t, buildx(t, dir, "--debug", "build", "-f", "hbuild.hcl", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=HB7007", "."))
	if strings.Contains(r.stderr, "HB7007") {
		t.Errorf("the warning was not dropped:\n%s", r.stderr)
	}
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true", "."), "HB7007", ">>>   from = image(\"busybox\")")
}

// TestRequires fails a build whose requirement fails, and returns the target's own
// result where it does not.
func TestRequires(t *testing.T) {
	fe := frontendImage(t)
	text := `
stage "test" {
  from = image("busybox:1.37")
  run { command = "exit ${var.code}" }
}

variable "code" {
  type    = number
  default = 0
}

stage "s" {
  from = scratch
  write {
    path    = "/x"
    content = "x"
  }
}

target "test" {
  image = stage.test
}

target "default" {
  image    = stage.s
  requires = [target.test]
}
`
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": text})
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "-o", "out", "."))
	if got, want := list(t, filepath.Join(dir, "out")), []string{"x"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, not %q", got, want)
	}
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--build-arg", "code=4", "."), "exit code: 4", `>>>   run { command = "exit ${var.code}" }`)
}

// TestTestsBeside: a test runs beside the target that it gates. It waits for what a
// step of the target leaves in a cache.
func TestTestsBeside(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": fmt.Sprintf(`
cache "meeting" { id = %q }
test "check" {
  from = image("busybox:1.37")
  run {
    command = "for i in $(seq 300); do if [ -e /c/x ]; then exit 0; fi; sleep 0.1; done; exit 1"
    mounts  = { "/c" = cache.meeting }
  }
}
stage "s" {
  from = image("busybox:1.37")
  run {
    command = "touch /c/x"
    mounts  = { "/c" = cache.meeting }
  }
}
target "default" {
  image    = stage.s
  requires = [test.check]
}
`, identity.NewID())})
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "."))
}

// TestTests: a test that the target requires, or that stands beside it in a group,
// fails the build; the target's image is what comes out.
func TestTests(t *testing.T) {
	fe := frontendImage(t)
	text := `
variable "code" {
  type    = number
  default = 0
}
stage "s" {
  from = scratch
  write {
    path    = "/x"
    content = "x"
  }
}
test "check" {
  from = image("busybox:1.37")
  run { command = "exit ${var.code}" }
}
target "gated" {
  image    = stage.s
  requires = [test.check]
}
target "bare" { image = stage.s }
group "default" { targets = [test.check, target.bare] }
`
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": text})
	for _, target := range []string{"gated", "default"} {
		ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", target, "-o", target, "."))
		if got, want := list(t, filepath.Join(dir, target)), []string{"x"}; !slices.Equal(got, want) {
			t.Errorf("%s: there are %q, not %q", target, got, want)
		}
		fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", target, "--build-arg", "code=4", "."), "exit code: 4", `>>>   run { command = "exit ${var.code}" }`)
	}
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "check", "."))
}

// TestAttestations asks for both kinds; the engine makes them of what the frontend
// returned.
func TestAttestations(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": hello, "data.txt": "world"})
	scanner := scannerImage(t, fe)
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "app", "--provenance=mode=max", "--sbom=generator="+scanner,
		"-o", "type=oci,tar=false,dest=image", "."))
	var statements string
	for _, img := range manifests(t, filepath.Join(dir, "image")) {
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range m.Layers {
			if l.MediaType == "application/vnd.in-toto+json" {
				statements += content(t, filepath.Join(dir, "image/blobs/sha256", l.Digest.Hex))
			}
		}
	}
	says(t, statements, `"predicateType":"https://spdx.dev/Document"`, `SPDXRef-out.txt`, "slsa.dev/provenance", "hbuild.hcl", `"language":"HCL"`)
}

const scannerModule = `
stage "scan" {
  from = image("busybox:1.37")
  write {
    path    = "/bin/scan"
    chmod   = "0755"
    content = file("scan.sh")
  }
  entrypoint = ["/bin/scan"]
}

target "default" {
  image = stage.scan
}
# %s
`

// TestCache exports a build's cache and imports it for another daemon state: with
// everything of the first build's layers pruned the steps come from the import.
func TestCache(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": strings.Replace(hello, "done > /out.txt", "done > /out.txt; cat /proc/sys/kernel/random/uuid >> /out.txt", 1), "data.txt": "cached " + t.Name()})
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "files", "--cache-to", "type=local,dest=cache,mode=max", "-o", "one", "."))
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "files", "--cache-from", "type=local,src=cache", "--no-cache-filter", "none", "-o", "two", "."))
	if content(t, filepath.Join(dir, "one/dist/out.txt")) != content(t, filepath.Join(dir, "two/dist/out.txt")) {
		t.Error("the second build was not cached")
	}
}

// TestBake builds through a bake file, with another target as a context.
func TestBake(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": contexts, "main.txt": "main", "documentation/a.md": "a", "docker-bake.hcl": `
target "other" {
  context           = "."
  dockerfile-inline = "FROM scratch\nCOPY main.txt /from-bake.txt\n"
}

target "default" {
  dockerfile = "hbuild.hcl"
  contexts   = { docs = "target:other" }
  output     = ["out"]
}
`})
	ok(t, buildx(t, dir, "bake", "--allow=fs="+dir))
	if got, want := list(t, filepath.Join(dir, "out")), []string{"docs/from-bake.txt", "main/main.txt"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, not %q", got, want)
	}
}

// TestModules builds what other modules of the context have: by an output, by an
// address, with what the root gives them.
func TestModules(t *testing.T) {
	fe := frontendImage(t)
	files := map[string]string{"hbuild.hcl": `
variable "word" {
  type    = string
  default = "hello"
}

stage "base" {
  from = image("busybox:1.37")
  run { command = "echo base > /base" }
}

module "api" {
  source = "./services/api"
  base   = stage.base
  word   = var.word
}

target "default" {
  image = module.api.image
}
`, "services/api/hbuild.hcl": `
variable "base" { type = stage }
variable "word" { type = string }

stage "app" {
  from = var.base
  copy { files = { "/api.txt" = "api.txt" } }
  run { command = "echo ${var.word} > /word" }
}

output "image" { value = stage.app }

# The service.
target "app" { image = stage.app }
`, "services/api/api.txt": "api"}
	dir := module(t, fe.ref, files)
	for _, target := range []string{"default", "api/app", "api/stage.app"} {
		out := t.TempDir()
		ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", target, "--build-arg", "word="+target, "-o", out, "."))
		for name, want := range map[string]string{"base": "base\n", "api.txt": "api", "word": target + "\n"} {
			if got := content(t, filepath.Join(out, name)); got != want {
				t.Errorf("%s: %s has %q", target, name, got)
			}
		}
	}
	says(t, ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--call=targets", ".")).stdout, "api/app", "The service.", "default (default)", "stage.base")
	says(t, ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--call=outline", "--target", "api/app", ".")).stdout, "word", "hello")
	write(t, filepath.Join(dir, "services/api/hbuild.hcl"), strings.Replace(files["services/api/hbuild.hcl"], "value = stage.app", "value = stage.ap", 1))
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "."), "services/api/hbuild.hcl:11", `>>> output "image" { value = stage.ap }`, "called here as module.api", "There are: app")
	fails(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--target", "api/ap", "."), "HB2022")
}
