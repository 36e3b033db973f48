package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/hbuild/hbuild/internal/testengine"
)

// slow has a step that takes longer than any test waits, and outputs that must
// not be there before it ends. The step says its mark when it runs.
func slow(mark string) string {
	return `
-- hbuild.hcl --
stage "s" {
  from = image("alpine:3.22")
  run { command = "echo ready ` + mark + `; sleep 1000; : ` + mark + `" }
}
artifact "f" {
  from = stage.s
  path = "/f"
}
target "image" { image = stage.s }
target "file" { files = { "out/f" = artifact.f } }
`
}

// whenReady starts a build of the module slow, and calls act with its process
// when its step runs.
func (m *module) whenReady(mark string, act func(*os.Process)) *output {
	m.t.Helper()
	return m.onLine(" ready "+mark, 1, act, "build", "--progress", "plain", "image", "file", "-o", "type=oci,dest=image.tar", "-o", "type=local,dest=tree", "--metadata-file", "md.json")
}

// nothingLeft fails when a build that did not end has written something.
func (m *module) nothingLeft() {
	m.t.Helper()
	for _, name := range m.files() {
		if name != "tree" { // the caller named it, and it is empty
			m.t.Errorf("left behind: %s", name)
		}
	}
}

// ends waits for the processes whose command line has the mark to end.
func ends(t *testing.T, mark string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if !runs(mark) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the step still runs")
		}
	}
}

func runs(mark string) bool {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		panic(err) // the pattern is fine
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && bytes.Contains(b, []byte(mark)) && bytes.Contains(b, []byte("sleep")) {
			return true
		}
	}
	return false
}

// TestBuildSignals: an interrupted build ends at once, in the engine too, and
// leaves nothing.
func TestBuildSignals(t *testing.T) {
	for sig, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		t.Run(sig.String(), func(t *testing.T) {
			mark := unique()
			m := newModule(t, slow(mark))
			var sent time.Time
			out := m.whenReady(mark, func(p *os.Process) {
				if !runs(mark) {
					t.Error("the step's process is not to be seen")
				}
				sent = time.Now()
				p.Signal(sig)
			})
			if took := time.Since(sent); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			out.exits(code).saysNot("error[")
			m.nothingLeft()
			ends(t, mark)
		})
	}
}

// launch starts an engine of the test's own.
func launch(t *testing.T) *testengine.Instance {
	t.Helper()
	i, err := testengine.Launch(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// TestBuildEngineKilled: the engine dies in the middle of a build, which has then
// failed, with one error, and left nothing. With a new engine all is as before.
func TestBuildEngineKilled(t *testing.T) {
	i := launch(t)
	mark := unique()
	m := moduleOn(t, i.Engine, slow(mark))
	var killed time.Time
	out := m.whenReady(mark, func(*os.Process) {
		killed = time.Now()
		if err := syscall.Kill(i.PID, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	})
	if took := time.Since(killed); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	out.exits(1).says("error[HB6005]: The engine went away", "Nothing of this build was written")
	if n := strings.Count(out.stderr, "error["); n != 1 {
		t.Errorf("%d errors:\n%s", n, out.stderr)
	}
	if md := m.metadata("md.json"); md.Result != "failed" || md.Targets["target.image"].Result == "done" {
		t.Errorf("metadata %+v", md)
	}
	if err := os.Remove(m.path("md.json")); err != nil {
		t.Error(err)
	}
	m.nothingLeft()
	ends(t, mark)
	m.build("image").exits(4).says("cannot reach BuildKit at " + i.Engine)
}

// TestBuildUnreachable: no engine is one message that says what was tried.
func TestBuildUnreachable(t *testing.T) {
	m := newModule(t, slow("x"))
	nowhere := filepath.Join(t.TempDir(), "none.sock")
	m.build("image", "--engine", "unix://"+nowhere).exits(4).says("cannot reach BuildKit at unix://"+nowhere+" (from --engine)", "no such file or directory", "give no address")
	m.build("image", "--engine", "tcp://127.0.0.1:1").exits(4).says("connection refused")
	m.build("image", "--engine", "nonsense").exits(4).says("not an address", "docker-container://")
	if _, err := os.Stat("/run/buildkit/buildkitd.sock"); err == nil {
		t.Skip("this machine has an engine of its own")
	}
	m.env = append(m.env, "HBUILD_ENGINE=", "BUILDKIT_HOST=", "DOCKER_HOST=unix://"+nowhere, "DOCKER_CONTEXT=", "XDG_RUNTIME_DIR="+t.TempDir(),
		"HBUILD_ENGINE_ROOT="+t.TempDir(), "HBUILD_BUILDKITD="+filepath.Join(t.TempDir(), "buildkitd"))
	out := m.build("image").exits(4).says("no BuildKit to build with. Tried:", "the Docker daemon at unix://"+nowhere, "buildkitd at unix:///run/buildkit/buildkitd.sock: no such socket",
		"a private buildkitd of hbuild's own: HBUILD_BUILDKITD", "One of these helps", "--engine ADDRESS")
	if n := strings.Count(out.stderr, "Tried:"); n != 1 {
		t.Errorf("said %d times", n)
	}
	m.run("engine", "status").exits(0).says("none runs", "not the Docker daemon at", "private: not running")
}

// TestBuildRegistryRefuses: pushes to, and base images from, a registry that says
// no, or is not there.
func TestBuildRegistryRefuses(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
variable "host" { type = string }
stage "s" {
  from = scratch
  write {
    path    = "/f"
    content = "x"
  }
}
stage "base" { from = image("${var.host}/base:1") }
target "push" {
  image = stage.s
  tags  = ["${var.host}/pushed:1"]
  push  = true
}
target "pull" { image = stage.base }
target "missing" { image = stage.missing }
stage "missing" { from = image("nobody-has-this:1") }
`)
	for status, says := range map[int]string{401: "401 Unauthorized", 403: "403 Forbidden", 500: "500 Internal Server Error"} {
		reg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		host := strings.TrimPrefix(reg.URL, "http://")
		help := "docker login " + host
		if status == 500 {
			help = "trying again later may help"
		}
		m.build("push", "--var", "host="+host).exits(4).says("error[HB6006]: The registry did not take "+host+"/pushed:1", "hbuild.hcl:10:1", says, help)
		m.build("pull", "--var", "host="+host).exits(4).says("The image cannot be resolved", "hbuild.hcl:9:23", says, help)
		reg.Close()
	}
	const nobody = "127.0.0.1:1"
	m.build("push", "--var", "host="+nobody).exits(4).says("The registry of 127.0.0.1:1/pushed:1 cannot be reached", "connection refused")
	m.build("pull", "--var", "host="+nobody).exits(4).says("The image cannot be resolved", "connection refused", "The engine, not this machine, must reach 127.0.0.1:1")
	m.build("missing", "--var", "host="+nobody).exits(1).says("image docker.io/library/nobody-has-this:1", "not found", "hbuild.hcl:17:26", "Check the name")
}

// TestBuildOnDocker: a Docker daemon's engine takes both the build and, at an
// address of its own, its session: a context, a secret and files need one.
func TestBuildOnDocker(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
secret "s" {}
stage "s" {
  from = image("alpine:3.22")
  copy { files = { "/f" = "f" } }
  run {
    command = "cat /s /f > /both"
    mounts  = { "/s" = secret.s }
  }
}
artifact "both" {
  from = stage.s
  path = "/both"
}
target "t" { files = { "both" = artifact.both } }
`)
	text := unique()
	m.write("f", text)
	api := dockerAPI(t, testengine.Start(t))
	m.env = append(m.env, "HBUILD_ENGINE=docker", "DOCKER_HOST=unix://"+api.socket, "SECRET=hidden "+text+" ")
	m.build("t", "--secret", "id=s,env=SECRET").exits(0)
	if got := m.read("both"); got != "hidden "+text+" "+text {
		t.Errorf("built %q", got)
	}
	if n := api.sessions(); n == 0 {
		t.Error("no session came at /session")
	}
	m.run("engine", "status").exits(0).says("the BuildKit of the Docker daemon at unix://" + api.socket)
}

// docker is the part of a Docker daemon's API behind which BuildKit lies.
type docker struct {
	socket string
	mu     sync.Mutex
	count  int
}

func (d *docker) sessions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

func dockerAPI(t *testing.T, buildkit string) *docker {
	t.Helper()
	d := &docker{socket: filepath.Join(t.TempDir(), "docker.sock")}
	c, err := client.New(t.Context(), buildkit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	l, err := net.Listen("unix", d.socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /grpc", func(w http.ResponseWriter, r *http.Request) {
		back, err := net.Dial("unix", strings.TrimPrefix(buildkit, "unix://"))
		join(w, r, back, err)
	})
	mux.HandleFunc("POST /session", func(w http.ResponseWriter, r *http.Request) {
		d.mu.Lock()
		d.count++
		d.mu.Unlock()
		meta := map[string][]string{}
		for k, v := range r.Header {
			if strings.HasPrefix(k, "X-Docker-") {
				meta[strings.ToLower(k)] = v
			}
		}
		back, err := c.Dialer()(context.WithoutCancel(r.Context()), "h2c", meta)
		join(w, r, back, err)
	})
	s := &http.Server{Handler: mux}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return d
}

// join answers a request with a change of protocol, and connects its two sides.
func join(w http.ResponseWriter, r *http.Request, back net.Conn, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer back.Close()
	front, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer front.Close()
	fmt.Fprintf(front, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
	go func() {
		io.Copy(back, buffered)
		back.Close()
	}()
	io.Copy(front, back)
}

// TestEngine: the private engine's life by its commands.
func TestEngine(t *testing.T) {
	daemon, err := testengine.Buildkitd()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	over := map[string]string{"HBUILD_ENGINE_ROOT": root, "HBUILD_ENGINE": "private", "HBUILD_BUILDKITD": daemon,
		"HBUILD_ENGINE_MIRRORS": "docker.io=" + testengine.Registry(t)}
	m := newModule(t, basic)
	for k, v := range over {
		m.env = append(m.env, k+"="+v)
	}
	m.run("engine", "status").exits(0).says("none runs", "private: not running")
	m.run("engine", "logs").exits(1).says("there is no log")
	m.run("engine", "stop").exits(0).says("No private engine runs.")
	m.run("engine", "prune").exits(4).says("it is not running")

	m.build("app", "--var", "id=x").exits(0).says("starting a private BuildKit", "target.app: sha256:")
	testengine.Guard(t, testengine.Env(over))
	m.run("engine", "start").exits(0).says("runs already: hbuild's own buildkitd at unix://" + root)
	m.run("engine", "status").exits(0).says("hbuild's own buildkitd at", "version: BuildKit v", "private: process")
	m.run("engine", "status", "--format", "json").exits(0).says(`"privatePID"`, `"cacheRecords"`)
	m.run("engine", "logs").exits(0).says("buildkitd")
	m.build("app", "--var", "id=x").exits(0).says("0 steps run").saysNot("starting")
	m.run("engine", "prune", "--all").exits(0).says("removed")
	m.build("app", "--var", "id=x").exits(0).says("2 steps run")
	m.run("engine", "stop").exits(0).says("The private engine has stopped.")
	m.run("engine", "start").exits(0).says("started: hbuild's own buildkitd")
	m.run("engine", "stop").exits(0)
}

// TestBuildCallerGone: a build whose terminal goes away still ends by itself, and
// its engine lives on.
func TestBuildCallerGone(t *testing.T) {
	mark := unique()
	m := newModule(t, slow(mark))
	out := m.whenReady(mark, func(p *os.Process) { p.Kill() })
	if out.code != -1 {
		t.Errorf("exit code %d", out.code)
	}
	ends(t, mark) // the engine notices
	var exit *exec.ExitError
	if err := m.command("engine", "status").Run(); errors.As(err, &exit) {
		t.Errorf("the engine is gone: %v", err)
	}
}
