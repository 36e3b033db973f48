package frontend_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/hbuild/hbuild/llb/frontend"
)

// TestModuleRoundTrips bounds what modules cost, however many there are: those that
// the files name, and those that fileset finds with a file of data each. They are read
// side by side; how far the first gets until the second begins must not matter.
func TestModuleRoundTrips(t *testing.T) {
	for _, processors := range []int{1, 8} {
		t.Run(fmt.Sprint(processors, " processors"), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
			moduleRoundTrips(t)
		})
	}
}

func moduleRoundTrips(t *testing.T) {
	const many = 40
	named := ""
	for i := range many {
		named += fmt.Sprintf("module \"m%d\" { source = \"./services/s%d\" }\n", i, i)
	}
	found := `
module "m" {
  for_each = { for f in fileset(".", "services/*/service.json") : basename(dirname(f)) => jsondecode(file(f)) }
  source   = "./services/${each.key}"
  say      = each.value.say
}
`
	for _, c := range []struct {
		what, root string
		most       int64
	}{
		// The file, its module's others, two listings, all files of modules.
		{"named", named, 5},
		// The file and its module's others, listings of ., services and below, the data,
		// the modules.
		{"found", found, 8},
	} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "hbuild.hcl"), c.root)
		for i := range many {
			write(t, filepath.Join(dir, fmt.Sprintf("services/s%d/service.json", i)), fmt.Sprintf(`{"say": "%d"}`, i))
			write(t, filepath.Join(dir, fmt.Sprintf("services/s%d/hbuild.hcl", i)), `
variable "say" {
  type    = string
  default = ""
}
stage "s" { from = scratch }
`)
			write(t, filepath.Join(dir, fmt.Sprintf("services/s%d/more.hbuild.hcl", i)), "target \"image\" { image = stage.s }\n")
		}
		var n atomic.Int64
		attrs := map[string]string{"filename": "hbuild.hcl", "requestid": "frontend.targets"}
		solve(t, dir, attrs, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
			res, err := frontend.Build(ctx, counter{gw, &n})
			if err != nil {
				return nil, err
			}
			if got := strings.Count(string(res.Metadata["result.json"]), `/image"`); got != many {
				t.Errorf("%s: it lists %d targets of modules", c.what, got)
			}
			return gateway.NewResult(), nil
		})
		t.Logf("%s: %d round trips", c.what, n.Load())
		if n.Load() > c.most {
			t.Errorf("%s: %d modules take %d round trips, more than %d", c.what, many, n.Load(), c.most)
		}
	}
}

// TestContextFSAtOnce reads the context from many sides at once, as the compiler's
// loader does.
func TestContextFSAtOnce(t *testing.T) {
	dir := t.TempDir()
	for i := range 30 {
		write(t, filepath.Join(dir, fmt.Sprintf("m/d%d/hbuild.hcl", i)), fmt.Sprint(i))
		write(t, filepath.Join(dir, fmt.Sprintf("m/d%d/data", i)), fmt.Sprint("data", i))
	}
	if err := os.Symlink("m/d7", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	solve(t, dir, nil, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		fsys, err := frontend.ContextFS(ctx, gw)
		if err != nil {
			return nil, err
		}
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				d := fmt.Sprintf("m/d%d", i)
				if entries, err := fs.ReadDir(fsys, d); err != nil || len(entries) != 2 {
					t.Errorf("%s has %d entries: %v", d, len(entries), err)
				}
				for name, want := range map[string]string{d + "/hbuild.hcl": fmt.Sprint(i), d + "/data": fmt.Sprint("data", i), "link/data": "data7"} {
					if got, err := fs.ReadFile(fsys, name); err != nil || string(got) != want {
						t.Errorf("%s has %q: %v", name, got, err)
					}
				}
				if _, err := fs.Stat(fsys, d+"/none"); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s/none: %v", d, err)
				}
				if _, err := fs.ReadDir(fsys, d+"x"); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%sx: %v", d, err)
				}
			})
		}
		wg.Wait()
		return gateway.NewResult(), nil
	})
}

// found is a module whose services are found; each has a file of its own.
var found = map[string]string{"hbuild.hcl": `
workspace {}

variable "release" { default = "dev" }

stage "base" {
  from = image("busybox:1.37")
}

module "svc" {
  for_each = { for f in fileset(".", "services/*/hbuild.hcl") : basename(dirname(f)) => dirname(f) }
  source   = "./${each.value}"
  name     = each.key
  base     = stage.base
  release  = var.release
}

group "default" { targets = [for m in module.svc : m.prod] }
`, "services/api/hbuild.hcl": `
variable "name" { type = string }
variable "base" { type = stage }
variable "release" { type = string }

secret "key" { file = "key" }

stage "app" {
  from = var.base
  copy { files = { "/app/" = "." } }
  run {
    command = "echo ${var.release} ${file("greeting")} > /said; wc -c < /run/key >> /said"
    mounts  = { "/run/key" = secret.key }
  }
  cmd = ["cat", "/said"]
}

artifact "said" {
  from = stage.app
  path = "/said"
}

output "prod" { value = target.prod }

# What runs.
target "prod" { image = stage.app }

target "said" { files = { "out/said" = artifact.said } }
`, "services/api/greeting": "hello from api", "services/api/left.out": "", "services/api/.dockerignore": "*.out\n.dockerignore\n",
	// What hides files of modules from copies hides no modules.
	"services/web/greeting": "hello from web", ".dockerignore": "**/hbuild.hcl\nservices\n"}

// TestWorkspace: modules that the root finds in the build context: their targets,
// files and contexts, from a directory and from a repository.
func TestWorkspace(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, found)
	write(t, filepath.Join(dir, "services/web/hbuild.hcl"), found["services/api/hbuild.hcl"])
	key := filepath.Join(t.TempDir(), "key")
	write(t, key, "secret")
	build := func(context string, args ...string) result {
		t.Helper()
		all := append([]string{"build", "-f", "hbuild.hcl", "--secret", "id=key,src=" + key}, args...)
		return buildx(t, dir, append(all, context)...)
	}
	out := t.TempDir()
	ok(t, build(".", "--target", "svc.api/prod", "--build-arg", "release=1.2", "-o", out))
	if got := content(t, filepath.Join(out, "said")); got != "1.2 hello from api\n6\n" {
		t.Errorf("said %q", got)
	}
	if got := list(t, filepath.Join(out, "app")); strings.Join(got, " ") != "greeting hbuild.hcl" {
		t.Errorf("the module's context has %q", got)
	}
	for _, target := range []string{"svc.web/said", "svc[web]/target.said"} {
		out := t.TempDir()
		ok(t, build(".", "--target", target, "-o", out))
		if got := content(t, filepath.Join(out, "services/web/out/said")); got != "dev hello from web\n6\n" {
			t.Errorf("%s: %q", target, got)
		}
	}
	ok(t, build(".", "--target", "svc.web/stage.app"))
	write(t, filepath.Join(dir, "given/greeting"), "given")
	out = t.TempDir()
	r := ok(t, build(".", "--target", "svc.api/prod", "--build-context", "svc.api/default=given", "-o", out))
	if got := content(t, filepath.Join(out, "app/greeting")); got != "given" {
		t.Errorf("--build-context: %q", got)
	}
	saysNot(t, r.stderr, "HB7003")
	fails(t, build(".", "--target", "svc.api/prod", "--build-context", "svc.apo/default=given"), `No context is called "svc.apo/default"`, `Did you mean "svc.api/default"?`)
	write(t, filepath.Join(dir, "Dockerfile"), content(t, filepath.Join(dir, "hbuild.hcl")))
	ok(t, build(".", "-f", "Dockerfile", "--target", "svc.web/stage.app"))
	fails(t, build("."), `"default" stands for 2 targets`, "svc.api/prod and svc.web/prod")
	fails(t, build(".", "--target", "svc.wbe/prod"), `Did you mean "web"?`)
	fails(t, build(".", "--target", "web/prod"), `No module is at the address "web"`, "svc.web")
	says(t, ok(t, build(".", "--call=targets")).stdout, "svc.api/prod", "svc.web/said", "What runs.", "default")
	says(t, ok(t, build(".", "--call=outline", "--target", "svc.api/prod")).stdout, "release", "dev", "key")
	fails(t, build(".", "--check"), "2 warnings", "services/api/hbuild.hcl:2: var.name is not used", "services/web/hbuild.hcl:2: var.name is not used")

	url, commit := repository(t, dir)
	out = t.TempDir()
	ok(t, build(url+"#"+commit, "--target", "svc.api/prod", "-o", out))
	if got := content(t, filepath.Join(out, "said")); got != "dev hello from api\n6\n" {
		t.Errorf("of the repository: %q", got)
	}
}

// TestWorkspaceMistakes: a mistake in a module is shown where it is, with who calls
// the module.
func TestWorkspaceMistakes(t *testing.T) {
	fe := frontendImage(t)
	const line = "  copy { files = { \"/app/\" = \".\" } }\n"
	for _, c := range []struct {
		was, is string // in services/api/hbuild.hcl
		target  string
		want    []string
	}{
		{"stage.app", "stage.ap", "svc.api/prod", []string{"services/api/hbuild.hcl:19", `>>>   from = stage.ap`, "[HB2004]", "There are: app.", `hbuild.hcl:11: called here as module.svc["api"]`}},
		{`file("greeting")`, `file("greting")`, "svc.api/prod", []string{"services/api/hbuild.hcl:12", "greting", `did you mean "greeting"?`, `called here as module.svc["api"], with name = "api"`}},
		{`variable "release" { type = string }`, `variable "relase" { type = string }`, "svc.api/prod", []string{"hbuild.hcl:16", ">>>   release  = var.release", "HB2029", "services/api/hbuild.hcl:4"}},
		{`output "prod"`, `output "prud"`, "default", []string{"hbuild.hcl:19", "HB2013", `Did you mean "prud"?`}},
		{line, line + "  run { command = \"exit 7\" }\n", "svc.api/prod", []string{"services/api/hbuild.hcl:11", `>>>   run { command = "exit 7" }`, "exit code: 7", "var.name is not used (services/api/hbuild.hcl:2)"}},
		{line, strings.Replace(line, `"."`, `"grating"`, 1), "svc.api/prod", []string{"services/api/hbuild.hcl:10", "grating"}},
	} {
		files := map[string]string{}
		for name, text := range found {
			files[name] = text
		}
		text := strings.Replace(found["services/api/hbuild.hcl"], c.was, c.is, 1)
		if text == found["services/api/hbuild.hcl"] {
			t.Fatalf("%q is not there", c.was)
		}
		files["services/api/hbuild.hcl"] = text
		dir := module(t, fe.ref, files)
		write(t, filepath.Join(dir, "key"), "secret")
		r := buildx(t, dir, "build", "-f", "hbuild.hcl", "--secret", "id=key,src=key", "--target", c.target, ".")
		fails(t, r, c.want...)
	}
}
