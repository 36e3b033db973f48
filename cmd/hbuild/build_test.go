package main

import (
	"archive/tar"
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"golang.org/x/crypto/ssh"
	"golang.org/x/tools/txtar"

	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/llb/solve"
)

// The tests of building run hbuild as a process, on a real BuildKit. Those here
// share the engine of package testengine; those that end engines are in
// build_fault_test.go.

// module is a directory with hbuild files and an engine to build them on.
type module struct {
	t   *testing.T
	dir string
	env []string
}

// newModule writes the files of a txtar archive into a new directory.
func newModule(t *testing.T, files string) *module {
	t.Helper()
	return moduleOn(t, testengine.Start(t), files)
}

// moduleOn is [newModule] with an engine of its own.
func moduleOn(t *testing.T, engine, files string) *module {
	t.Helper()
	m := &module{t: t, dir: t.TempDir()}
	m.env = append(os.Environ(), "HBUILD_ENGINE="+engine, "BUILDKIT_PROGRESS=", "SSH_AUTH_SOCK=", "NO_COLOR=1", "COLUMNS=")
	for _, f := range txtar.Parse([]byte(files)).Files {
		m.write(f.Name, string(f.Data))
	}
	return m
}

func (m *module) path(name string) string { return filepath.Join(m.dir, name) }

func (m *module) write(name, content string) {
	m.t.Helper()
	p := m.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

func (m *module) read(name string) string {
	m.t.Helper()
	b, err := os.ReadFile(m.path(name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// files lists everything in the module but its sources.
func (m *module) files() (names []string) {
	m.t.Helper()
	err := filepath.WalkDir(m.dir, func(p string, e fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(m.dir, p); rel != "." && filepath.Ext(rel) != ".hcl" {
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return names
}

// command is hbuild in the module's directory. The test's own program is hbuild,
// too, under that name: see TestMain.
func (m *module) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.t.Context(), "hbuild", args...)
	cmd.Dir, cmd.Env = m.dir, m.env
	return cmd
}

// output is what a run of hbuild printed, and its exit code.
type output struct {
	t              *testing.T
	args           []string
	code           int
	stdout, stderr string
}

func (m *module) run(args ...string) *output {
	m.t.Helper()
	return m.finish(m.command(args...))
}

func (m *module) finish(cmd *exec.Cmd) *output {
	m.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return &output{m.t, cmd.Args[1:], cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// build runs `hbuild build` with progress as text.
func (m *module) build(args ...string) *output {
	m.t.Helper()
	return m.run(append([]string{"build", "--progress", "plain"}, args...)...)
}

// exits requires an exit code.
func (o *output) exits(code int) *output {
	o.t.Helper()
	if o.code != code {
		o.t.Fatalf("hbuild %s: exit code %d, not %d\n%s%s", strings.Join(o.args, " "), o.code, code, o.stdout, o.stderr)
	}
	return o
}

// says requires texts in what was printed, however its lines are broken.
func (o *output) says(texts ...string) *output {
	o.t.Helper()
	all := strings.Join(strings.Fields(o.stdout+"\n"+o.stderr), " ")
	for _, text := range texts {
		if !strings.Contains(all, text) {
			o.t.Errorf("hbuild %s: %q is not in\n%s%s", strings.Join(o.args, " "), text, o.stdout, o.stderr)
		}
	}
	return o
}

func (o *output) saysNot(texts ...string) *output {
	o.t.Helper()
	for _, text := range texts {
		if strings.Contains(o.stdout+o.stderr, text) {
			o.t.Errorf("hbuild %s: %q is in\n%s%s", strings.Join(o.args, " "), text, o.stdout, o.stderr)
		}
	}
	return o
}

// unique makes a step that no earlier test has run.
func unique() string { return rand.Text() }

// basic has an image, files and a group. The variable makes its steps new.
const basic = `
-- hbuild.hcl --
variable "id" {
  type = string
}

stage "made" {
  from = image("alpine:3.22")
  run { command = "mkdir -p /out/sub; echo ${var.id} | tee /out/a; echo b > /out/sub/b" }
}

stage "runtime" {
  from = image("alpine:3.22")
  copy { files = { "/a" = artifact.a } }
  cmd = ["cat", "/a"]
}

artifact "a" {
  from = stage.made
  path = "/out/a"
}

artifact "all" {
  from = stage.made
  path = "/out/"
}

target "app" {
  image = stage.runtime
  tags  = ["registry.example/app:1"]
}

target "bin" {
  files = {
    "out/a" = artifact.a
    "tree"  = artifact.all
  }
}

target "broken" { image = stage.no }
stage "no" {
  from = image("alpine:3.22")
  run { command = "exit 9" }
}

group "default" { targets = [target.app, target.bin] }
`

// metadata reads a metadata file.
func (m *module) metadata(name string) solve.Metadata {
	m.t.Helper()
	var md solve.Metadata
	if err := json.Unmarshal([]byte(m.read(name)), &md); err != nil {
		m.t.Fatal(err)
	}
	return md
}

// TestBuild: the default group, its summary and metadata, and a second build that
// runs nothing.
func TestBuild(t *testing.T) {
	m := newModule(t, basic)
	text := unique()
	id := "id=" + text
	m.build("--var", id, "--metadata-file", "first.json").exits(0).says(
		"app done 2 0 ", " sha256:", "bin done 3 0 ", "is in the engine; get it out with --load, --push or -o type=oci,dest=FILE",
		"wrote out/a", "wrote tree/a", "wrote tree/sub/b", "2 targets in ", "4 steps run, 0 cached", "[made 2/2] mkdir")
	if got := m.read("out/a") + m.read("tree/a") + m.read("tree/sub/b"); got != text+"\n"+text+"\nb\n" {
		t.Errorf("files hold %q", got)
	}
	app := m.metadata("first.json").Targets["target.app"]
	if !strings.HasPrefix(app.Digest, "sha256:") || len(app.Platforms) != 1 || app.Tags[0] != "registry.example/app:1" || app.StepsRun != 2 {
		t.Errorf("metadata %+v", app)
	}
	if files := m.metadata("first.json").Targets["target.bin"].Files; len(files) != 3 || files[0].Path != "out/a" || files[0].Size != int64(len(text)+1) || files[0].Digest == "" {
		t.Errorf("files %+v", files)
	}
	m.build("--var", id, "--metadata-file", "second.json").exits(0).says("0 steps run, 4 cached")
	second := m.metadata("second.json").Targets
	if second["target.app"].Digest != app.Digest || second["target.app"].StepsRun+second["target.bin"].StepsRun != 0 {
		t.Errorf("the second build: %+v", second)
	}
	m.build("app", "--var", id, "--no-cache", "--pull", "--metadata-file", "third.json").exits(0)
	if third := m.metadata("third.json").Targets["target.app"]; third.StepsRun != 2 || third.StepsCached != 0 {
		t.Errorf("--no-cache: %+v", third)
	}
}

// TestBuildAddresses: everything that an address can name.
func TestBuildAddresses(t *testing.T) {
	m := newModule(t, basic+`
target "svc" {
  for_each = toset(["api", "web"])
  image    = stage.runtime
}
`)
	text := unique()
	id := "id=" + text
	m.build("--var", id, "stage.made").exits(0).says("stage.made: done (1 step run, 0 cached)").saysNot("exporting")
	m.build("--var", id, "artifact.a").exits(0).saysNot("wrote out/a")
	m.build("--var", id, "svc.api", "svc[web]").exits(0).says("svc.api done", "svc.web done", "sha256:")
	m.build("--var", id, "a*").exits(0).says("target.app: sha256:").saysNot("target.bin")
	m.build("--var", id, "default", "app").exits(0).says("2 targets in")
	m.build("--var", id, "broken", "app", "--keep-going").exits(1).says("app cached", "broken failed", "2 targets (1 done, 1 failed)", "exit code 9")
	if names := m.files(); !slices.Equal(names, []string{"out", "out/a", "tree", "tree/a", "tree/sub", "tree/sub/b"}) {
		t.Errorf("there are %v", names)
	}
	m.env = append(m.env, "HBUILD_ENGINE=unix:///nowhere")
	m.run("build", "--dry-run", "--var", id).exits(0).says("target.app", "image: stage.runtime", "2 targets")
}

// TestBuildOutputs: every type of -o, and where it goes.
func TestBuildOutputs(t *testing.T) {
	m := newModule(t, basic)
	text := unique()
	id := "id=" + text
	m.build("--var", id, "app", "-o", "type=oci,dest=app.tar", "-o", "type=docker,dest=docker.tar", "-o", "type=local,dest=root",
		"-o", "type=tar,dest=root.tar", "-o", "type=oci,tar=false,dest=layout").exits(0).says("wrote app.tar", "wrote docker.tar", "wrote root.tar", "wrote root (", "wrote layout")
	for file, member := range map[string]string{"app.tar": "index.json", "docker.tar": "manifest.json", "root.tar": "a"} {
		if names := tarNames(t, []byte(m.read(file))); !slices.Contains(names, member) {
			t.Errorf("%s has no %s: %v", file, member, names)
		}
	}
	if m.read("root/a") != text+"\n" || !strings.Contains(m.read("layout/index.json"), "sha256:") {
		t.Error("a directory is not what was built")
	}
	out := m.build("--var", id, "app", "-o", "-").exits(0)
	if names := tarNames(t, []byte(out.stdout)); !slices.Contains(names, "a") {
		t.Errorf("standard output has %v", names)
	}
	m.build("--var", id, "bin", "-o", "elsewhere").exits(0).says("wrote elsewhere/out/a")
	if m.read("elsewhere/tree/sub/b") != "b\n" {
		t.Error("files are not in the directory of -o")
	}
	if _, err := os.Stat(m.path("tree")); err == nil {
		t.Error("files are in the module besides")
	}
	m.build("--var", id, "app", "broken", "-o", "type=oci,dest=same.tar").exits(2).says("same.tar is written by target.app already")
	m.build("--var", id, "bin", "-o", "type=oci,dest=bin.tar").exits(2).says("--output type=oci,dest=bin.tar is for images")
	m.build("--var", id, "bin", "--push").exits(2).says("--push is for images")
	m.build("--var", id, "app", "-o", "type=cacheonly").exits(0).says("target.app: done").saysNot("exporting")
}

func tarNames(t *testing.T, data []byte) (names []string) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("no tar archive of %d bytes: %v", len(data), err)
		}
		names = append(names, h.Name)
	}
}

// TestBuildPush: the flags decide over what the file says.
func TestBuildPush(t *testing.T) {
	m := newModule(t, basic)
	host := testengine.Registry(t)
	tag := host + "/cmd/" + strings.ToLower(unique()) + ":1"
	args := []string{"--var", "id=" + unique(), "app", "--set", `target.app.tags=["` + tag + `"]`, "--set", "target.app.push=true"}
	m.build(append(args, "--no-push")...).exits(0).saysNot("pushed")
	ref, err := name.ParseReference(tag)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := remote.Head(ref); err == nil {
		t.Fatal("--no-push has pushed")
	}
	m.build(append(args, "--metadata-file", "md.json")...).exits(0).says("pushed " + tag)
	d, err := remote.Head(ref)
	if err != nil {
		t.Fatal(err)
	}
	if md := m.metadata("md.json").Targets["target.app"]; md.Digest != d.Digest.String() || !slices.Equal(md.Pushed, []string{tag}) {
		t.Errorf("the registry has %s, the metadata %+v", d.Digest, md)
	}
	m.build(append(args, "--set", "target.app.push=false", "--push")...).exits(0).says("pushed " + tag)
}

// TestBuildLoad: an image goes into the Docker that is there; without one that is
// said before anything is built.
func TestBuildLoad(t *testing.T) {
	m := newModule(t, basic)
	bin := t.TempDir()
	hbuild, err := exec.LookPath("hbuild")
	if err != nil {
		t.Fatal(err)
	}
	m.env = append(m.env, "PATH="+bin+":"+filepath.Dir(hbuild), "DOCKER_HOST=unix:///nowhere/docker.sock")
	if _, err := os.Stat("/var/run/docker.sock"); err != nil {
		m.build("--var", "id=x", "app", "--load").exits(1).
			says("Nothing to load the image into", "no docker command", "no podman command", "use -o type=docker,dest=FILE").saysNot("[made")
	}
	script := "#!/bin/sh\n[ \"$1\" = load ] && exec /bin/cat > '" + bin + "/loaded.tar'\necho ID\n"
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	m.build("--var", "id=x", "app", "--load").exits(0).says("loaded into docker")
	data, err := os.ReadFile(filepath.Join(bin, "loaded.tar"))
	if err != nil || !slices.Contains(tarNames(t, data), "manifest.json") {
		t.Errorf("docker got no archive: %v", err)
	}
	m.build("--var", "id=x", "app", "--load", "--platform", "linux/amd64,linux/arm64").exits(2).says("load takes an image of one platform")
}

// TestBuildPlatforms: one index for two platforms; each runs what its own says.
func TestBuildPlatforms(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
stage "s" {
  from = scratch
  write {
    path    = "/arch"
    content = platform.target.id
  }
}
target "t" { image = stage.s }
`)
	m.build("t", "--platform", "linux/amd64", "--platform", "linux/arm64", "-o", "type=oci,dest=t.tar", "-o", "type=local,dest=root", "--metadata-file", "md.json").exits(0)
	if md := m.metadata("md.json").Targets["target.t"]; !slices.Equal(md.Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("platforms %v", md.Platforms)
	}
	if got := m.read("root/linux_amd64/arch") + " " + m.read("root/linux_arm64/arch"); got != "linux/amd64 linux/arm64" {
		t.Errorf("got %q", got)
	}
}

// TestBuildProgress: the modes, and that rawjson is JSON alone.
func TestBuildProgress(t *testing.T) {
	m := newModule(t, basic)
	m.run("build", "--progress", "quiet", "--var", "id="+unique(), "app").exits(0).says("target.app: sha256:").saysNot("[made")
	m.run("build", "--var", "id="+unique(), "app").exits(0).says("[made 2/2]") // no terminal: plain
	m.run("build", "--progress", "loud", "--var", "id=x", "app").exits(2).says("auto, tty, plain, quiet, rawjson")
	for addr, code := range map[string]int{"default": 0, "broken": 1} {
		out := m.run("build", "--progress", "rawjson", "--var", "id="+unique(), addr).exits(code)
		lines := strings.Split(strings.TrimSpace(out.stderr), "\n")
		for _, line := range lines {
			if !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %q", line)
			}
		}
		if len(lines) < 4 || out.stdout != "" || !strings.Contains(out.stderr, "2/2]") {
			t.Errorf("%d lines, standard output %q", len(lines), out.stdout)
		}
		if strings.Contains(out.stderr, "HB6002") != (code == 1) {
			t.Errorf("the failure is not told:\n%s", out.stderr)
		}
	}
}

// TestBuildElsewhere: the module, its file and a context are where flags say.
func TestBuildElsewhere(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
context "src" { path = "src" }
stage "s" {
  from = scratch
  copy {
    from = context.src
    src  = "f"
    dest = "/f"
  }
}
artifact "f" {
  from = stage.s
  path = "/f"
}
target "t" { files = { "f" = artifact.f } }
-- other.hbuild.hcl.txt --
target "u" {
  files = { "u" = artifact.f }
}
-- src/f --
own
-- given/f --
given
`)
	m.build("t").exits(0)
	if m.read("f") != "own\n" {
		t.Errorf("built %q", m.read("f"))
	}
	m.build("t", "--context", "src=given").exits(0)
	if m.read("f") != "given\n" {
		t.Errorf("--context: built %q", m.read("f"))
	}
	cmd := m.command("build", "-C", m.dir, "-f", "hbuild.hcl", "-f", "other.hbuild.hcl.txt", "u", "--progress", "quiet")
	cmd.Dir = t.TempDir()
	m.finish(cmd).exits(0).says("wrote u")
	if m.read("u") != "own\n" {
		t.Errorf("-C and -f: built %q", m.read("u"))
	}
	cmd = m.command("build", "-C", m.dir, "-f", "-", "u", "--progress", "quiet")
	cmd.Stdin = strings.NewReader(m.read("hbuild.hcl") + m.read("other.hbuild.hcl.txt"))
	m.finish(cmd).exits(0).says("wrote u")
}

// TestBuildFailingStep: a step that fails is shown where it is written, with its
// last output; nothing is written.
func TestBuildFailingStep(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
stage "base" {
  from = image("alpine:3.22")
}

stage "build" {
  from = stage.base
  run { command = "true" }
  run {
    command = "echo `+unique()+`; seq 100 140; echo gone wrong >&2; exit 42"
  }
}

target "prod" {
  image = stage.build
  files = { "out" = stage.build }
}
`)
	out := m.build("prod", "-o", "type=oci,dest=prod.tar").exits(1).says(
		"error[HB6002]", "failed with exit code 42", `hbuild.hcl:8:3, in stage "build"`, "Target target.prod, stage build.", "last lines of its output", " 139 140", "gone wrong")
	report := out.stderr[strings.Index(out.stderr, "error[HB6002]"):]
	if strings.Contains(report, " 115\n") || !strings.Contains(report, " 130\n") {
		t.Errorf("not its last lines alone:\n%s", report)
	}
	if names := m.files(); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestBuildFilesWhole: either all files of a target are in place or none is.
func TestBuildFilesWhole(t *testing.T) {
	m := newModule(t, basic+`
artifact "missing" {
  from = stage.made
  path = "/out/missing"
}
target "some" {
  files = {
    "out/a"       = artifact.a
    "out/missing" = artifact.missing
  }
}
target "blocked" {
  files = {
    "new/a" = artifact.a
    "taken" = artifact.a
  }
}
target "outside" { files = { "link/a" = artifact.a } }
`)
	text := unique()
	id := "id=" + text
	m.write("out/a", "old")
	m.write("taken/keep", "old")
	if err := os.Symlink("..", m.path("link")); err != nil {
		t.Fatal(err)
	}
	before := m.files()
	m.build("--var", id, "some").exits(1).says(`stage some-files. "/out/missing": not found.`)
	m.build("--var", id, "blocked").exits(1).says("taken is a directory, and the build made a file")
	m.build("--var", id, "outside").exits(1).says("a symbolic link leads outside")
	m.build("--var", id, "bin", "broken").exits(1)
	if after := m.files(); !slices.Equal(before, after) || m.read("out/a") != "old" || m.read("taken/keep") != "old" {
		t.Errorf("was %v, is %v", before, after)
	}
	m.build("--var", id, "bin").exits(0)
	if m.read("out/a") != text+"\n" {
		t.Error("the old file is still there")
	}
}

// TestBuildEntitlements: what a step may not do is refused at its place.
func TestBuildEntitlements(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
stage "net" {
  from = image("alpine:3.22")
  run {
    command = "true"
    network = "host"
  }
}
target "net" { image = stage.net }
`)
	m.build("net").exits(1).says("error[HB6004]: A step needs network.host", "hbuild.hcl:3:3", "--allow network.host")
	m.build("net", "--allow", "network.hots").exits(2).says("known are network.host, security.insecure, device[=NAME]")
	m.build("net", "--allow", "network.host").exits(0)
}

// TestBuildSecrets: from flags and blocks; what is missing is found before the
// build; a value never shows.
func TestBuildSecrets(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
secret "token" {}
secret "file" { file = "secrets/key" }
secret "env" { env = "HBUILD_TEST_SECRET" }
secret "maybe" { required = false }

stage "s" {
  from = image("alpine:3.22")
  run {
    command = "cat /run/t; cat /run/f; echo $E; [ ! -e /run/m ] && echo `+unique()+` | wc -c"
    mounts = {
      "/run/t" = secret.token
      "/run/f" = secret.file
      "/run/m" = secret.maybe
    }
    env = { E = secret.env }
  }
}
target "t" { image = stage.s }

ssh "default" { required = true }
stage "agent" {
  from = image("alpine:3.22")
  run {
    command = "test -S $SSH_AUTH_SOCK"
    ssh     = [ssh.default]
  }
}
`)
	m.build("t").exits(2).says(`error[HB6007]: The secret "token" has no value`, "hbuild.hcl:1:1", "--secret id=token,src=FILE",
		"There is no file secrets/key", "HBUILD_TEST_SECRET is not set").saysNot(`"maybe"`, "#1")
	m.write("secrets/key", "value-of-file-1")
	m.env = append(m.env, "HBUILD_TEST_SECRET=value-of-env-2", "T=value-of-token-3")
	m.build("t", "--secret", "id=token,env=T").exits(0).says("***").saysNot("value-of")
	m.build("t", "--secret", "id=token,env=NOPE").exits(2).says("environment variable NOPE is not set")
	m.build("t", "--secret", "id=token,src=nope").exits(2).says("nope: no such file")
	m.build("t", "--secret", "token").exits(2).says(`"token" is not key=value`)
	m.build("stage.agent").exits(2).says("error[HB6007]: There is no ssh agent", "hbuild.hcl:20:1", "--ssh default=KEYFILE")
	m.build("stage.agent", "--ssh", "default=nokey").exits(2).says("nokey: no such file")
	key := sshKey(t)
	m.build("stage.agent", "--ssh", "default="+key).exits(0)
}

// sshKey writes a private key.
func sshKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestBuildManyFiles: of a context of 20,000 files only what a build uses is
// sent, a second build sends nothing again, and a changed file alone is sent.
func TestBuildManyFiles(t *testing.T) {
	const n = 20000
	m := newModule(t, `
-- hbuild.hcl --
stage "one" {
  from = scratch
  copy { files = { "/f" = "d7/f7" } }
}
stage "all" {
  from = image("alpine:3.22")
  copy { files = { "/f" = "." } }
  run { command = "cd /f; find . -type f | wc -l >/count; cat d7/f7 d99/f19999 >>/count" }
}
artifact "count" {
  from = stage.all
  path = "/count"
}
target "count" { files = { "count" = artifact.count } }
-- .dockerignore --
count
.dockerignore
hbuild.hcl
`)
	for i := range n {
		dir := m.path(fmt.Sprintf("d%d", i%100))
		if i < 100 {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), fmt.Appendln(nil, i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := func(what, addr, want string, limit time.Duration) {
		t.Helper()
		started := time.Now()
		out := m.build(addr).exits(0)
		took, sent := time.Since(started), transferred(out.stderr)
		t.Logf("%s: %v, sent %s", what, took, sent)
		if took > limit {
			t.Errorf("%s took %v", what, took)
		}
		if want != "" && m.read("count") != want {
			t.Errorf("%s: there are %q", what, m.read("count"))
		}
	}
	build("one file of them", "stage.one", "", 10*time.Second)
	build("all files", "count", "20000\n7\n19999\n", time.Minute)
	build("nothing changed", "count", "20000\n7\n19999\n", 30*time.Second)
	m.write("d7/f7", "changed\n")
	build("one changed", "count", "20000\nchanged\n19999\n", time.Minute)
}

// transferred is how much of the context was sent, as the progress says.
func transferred(out string) (size string) {
	for line := range strings.Lines(out) {
		if _, rest, ok := strings.Cut(line, "transferring context: "); ok {
			size, _, _ = strings.Cut(rest, " ")
		}
	}
	return strings.TrimSpace(size)
}

// TestBuildTwoAtOnce: two calls on one module, each with files in the same place.
func TestBuildTwoAtOnce(t *testing.T) {
	m := newModule(t, basic)
	text := unique()
	id := "id=" + text
	done := make(chan *output)
	for range 2 {
		go func() {
			cmd := m.command("build", "--progress", "plain", "--var", id)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			_ = cmd.Run() // its exit code says it
			done <- &output{t: t, args: cmd.Args[1:], code: cmd.ProcessState.ExitCode(), stderr: out.String()}
		}()
	}
	for range 2 {
		(<-done).exits(0).says("wrote tree/sub/b")
	}
	if names := m.files(); !slices.Equal(names, []string{"out", "out/a", "tree", "tree/a", "tree/sub", "tree/sub/b"}) {
		t.Errorf("there are %v", names)
	}
}

// TestBuildWrong: mistakes on the command line, none of which reaches an engine.
func TestBuildWrong(t *testing.T) {
	m := newModule(t, basic)
	m.env = append(m.env, "HBUILD_ENGINE=unix:///nowhere")
	for _, c := range []struct{ args, says string }{
		{"appp", `Nothing is at the address "appp" There are: app, artifact.a, artifact.all, bin`},
		{"stage.mad", `Did you mean "stage.made"?`},
		{"app.x", "target.app has no instances, as it has no for_each: its address is app"},
		{"'*x*'", "Nothing is at the address"},
		{"app --platform linux", `--platform "linux" is not OS/ARCH`},
		{"app --push --no-push", "--push and --no-push exclude each other"},
		{"app -o type=zip,dest=x", `unknown type "zip"`},
		{"app -o type=local", "dest, a directory, is missing"},
		{"app --secret x", `"x" is not key=value`},
		{"app --pusj", "Did you mean --push?"},
		{"app --set target.apps.push=true", `No target is called "apps". Did you mean "app"?`},
		{"app --var idd=x", "Did you mean"},
		{"app --context src=.", "context"},
		{"app --context default=nowhere", "no such file"},
		{"app --jobs x", "takes a whole number"},
	} {
		args := []string{"build", "--var", "id=x"}
		for _, a := range strings.Fields(c.args) {
			args = append(args, strings.Trim(a, "'"))
		}
		m.run(args...).exits(2).says(c.says)
	}
	m.run("build", "app").exits(2).says(`"id"`)
}
