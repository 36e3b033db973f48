package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/llb/engine"
	"github.com/hbuild/hbuild/llb/solve"
)

// Faults with many targets: one message rather than one a target, nothing
// half-written, and a next build that finds all in order.

// oneError requires a single error message.
func (o *output) oneError() *output {
	o.t.Helper()
	if n := strings.Count(o.stderr, "error["); n != 1 {
		o.t.Errorf("hbuild %s: %d errors\n%s", strings.Join(o.args, " "), n, o.stderr)
	}
	return o
}

// has requires that the module's files, but for its sources, are these.
func (m *module) has(names ...string) {
	m.t.Helper()
	if got := strings.Join(m.files(), " "); got != strings.Join(names, " ") {
		m.t.Errorf("there are %s, not %s", got, strings.Join(names, " "))
	}
}

// onLine starts hbuild, and calls act when n lines of its standard error have the
// text. It returns what became of the call.
func (m *module) onLine(text string, n int, act func(*os.Process), args ...string) *output {
	m.t.Helper()
	cmd := m.command(args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	var all bytes.Buffer
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		fmt.Fprintln(&all, lines.Text())
		if strings.HasSuffix(lines.Text(), text) {
			if n--; n == 0 {
				act(cmd.Process)
			}
		}
	}
	_ = cmd.Wait() // its exit code says it
	if n > 0 {
		m.t.Fatalf("%d more lines with %q were expected:\n%s", n, text, &all)
	}
	return &output{t: m.t, args: cmd.Args[1:], code: cmd.ProcessState.ExitCode(), stderr: all.String()}
}

// inFlight has 200 targets of a file and 20 of an image, which wait for 20 steps. A
// step says its mark when it runs. One target more is done at once.
const inFlight = `
-- hbuild.hcl --
variable "mark" { type = string }
variable "wait" { type = number }

stage "quick" {
  from = scratch
  write {
    path    = "/f"
    content = var.mark
  }
}

stage "slow" {
  for_each = toset([for i in range(20) : tostring(i)])
  from     = image("alpine:3.22")
  run { command = "sleep ${var.wait} & echo ready ${var.mark}; wait; echo ${each.key} >/f" }
}

stage "app" {
  for_each = { for i in range(200) : "s${i}" => tostring(i % 20) }
  from     = scratch
  copy {
    from = stage.slow[each.value]
    src  = "/f"
    dest = "/${each.key}"
  }
}

artifact "f" {
  for_each = stage.app
  from     = stage.app[each.key]
  path     = "/${each.key}"
}

target "early" {
  image   = stage.quick
  outputs = ["type=oci,dest=early.tar"]
}

target "image" {
  for_each = stage.slow
  image    = each.value
}

target "file" {
  for_each = stage.app
  files    = { "out/${each.key}" = artifact.f[each.key] }
}

group "default" { targets = [target.early, target.image, target.file] }

variable "base" {
  type    = string
  default = "alpine:3.22"
}

stage "pulled" { from = image(var.base) }
target "pulled" { image = stage.pulled }
`

// TestManyEngineKilled: the engine dies under 220 targets that are being solved.
// The next build starts it again, on the state that it left.
func TestManyEngineKilled(t *testing.T) {
	daemon, err := testengine.Buildkitd()
	if err != nil {
		t.Fatal(err)
	}
	over := map[string]string{"HBUILD_ENGINE_ROOT": stateDir(t), "HBUILD_ENGINE": "private", "HBUILD_BUILDKITD": daemon,
		"HBUILD_ENGINE_MIRRORS": "docker.io=" + testengine.Registry(t)}
	m := moduleOn(t, "private", inFlight)
	for k, v := range over {
		m.env = append(m.env, k+"="+v)
	}
	m.run("engine", "start").exits(0)
	testengine.Guard(t, testengine.Env(over))

	mark := unique()
	var killed time.Time
	out := m.onLine(" ready "+mark, 20, func(*os.Process) {
		m.waitFor("early.tar")
		killed = time.Now()
		kill(t, over)
	}, "build", "--progress", "plain", "-j", "220", "--var", "mark="+mark, "--var", "wait=1000", "--metadata-file", "md.json")
	if took := time.Since(killed); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	out.exits(1).oneError().says("error[HB6005]: The engine went away", "221 targets (1 done, ", "One target was done by then")
	m.has("early.tar", "md.json")
	ends(t, mark)

	again := m.build("-j", "220", "--var", "mark="+mark, "--var", "wait=0").exits(0).says("221 targets", "20 steps run")
	if got := m.read("out/s0") + m.read("out/s199"); got != "0\n19\n" {
		t.Errorf("built %q\n%s", got, again.stderr)
	}

	// It dies while it looks up an image: that is not the image's fault.
	r := gatedRegistry(t)
	asked := make(chan struct{}, 100)
	r.set(func(req *http.Request) int {
		asked <- struct{}{}
		<-req.Context().Done()
		return http.StatusServiceUnavailable
	})
	m.during(func(*os.Process) {
		<-asked
		kill(t, over)
	}, "pulled", "--var", "mark="+mark, "--var", "wait=0", "--var", "base="+r.host+"/base").exits(1).oneError().says("error[HB6005]: The engine went away")
}

// stateDir is a directory for an engine's state; see [testengine.Instance].
func stateDir(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(cache, "hbuild-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// kill ends the private engine of an environment, at once.
func kill(t *testing.T, env map[string]string) {
	t.Helper()
	p, err := engine.PrivatePaths(engine.Options{Env: testengine.Env(env)})
	if err != nil {
		t.Error(err)
		return
	}
	b, err := os.ReadFile(p.PID)
	if err != nil {
		t.Error(err)
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Error(err)
	}
}

// waitFor waits for a file of the module.
func (m *module) waitFor(pattern string) string {
	m.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if names, _ := filepath.Glob(m.path(pattern)); len(names) > 0 {
			return names[0]
		}
	}
	m.t.Errorf("%s does not appear", pattern)
	return ""
}

// registry is the test registry behind a gate, which may refuse or hold what is
// sent to it.
type registry struct {
	host string // address
	mu   sync.Mutex
	gate func(*http.Request) int // status that refuses a request, 0 to let it pass
}

func (r *registry) set(gate func(*http.Request) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = gate
}

func gatedRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{gate: func(*http.Request) int { return 0 }}
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: testengine.Registry(t)})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		gate := r.gate
		r.mu.Unlock()
		if status := gate(req); status != 0 {
			w.WriteHeader(status)
			return
		}
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

// pushed counts the images of fifty that the registry has under a tag. What it has
// must be whole.
func (r *registry) pushed(t *testing.T, prefix, tag string) (n int) {
	t.Helper()
	for i := range 50 {
		ref, err := name.ParseReference(fmt.Sprintf("%s/%s/s%d:%s", r.host, prefix, i, tag))
		if err != nil {
			t.Fatal(err)
		}
		image, err := remote.Image(ref)
		if err != nil {
			continue
		}
		n++
		if err := whole(image); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
	return n
}

// whole reads the configuration and the layers of an image.
func whole(image v1.Image) error {
	if _, err := image.ConfigFile(); err != nil {
		return err
	}
	layers, err := image.Layers()
	for _, l := range layers {
		body, openErr := l.Compressed()
		if openErr != nil {
			return openErr
		}
		_, readErr := io.Copy(io.Discard, body)
		err = errors.Join(err, readErr, body.Close())
	}
	return err
}

// fifty has 50 targets that push an image, and one of files.
const fifty = `
-- hbuild.hcl --
variable "repository" { type = string }
variable "tag" { type = string }

stage "s" {
  for_each = toset([for i in range(50) : "s${i}"])
  from     = scratch
  write {
    path    = "/f"
    content = "${each.key} ${var.tag}"
  }
}

artifact "f" {
  from = stage.s["s0"]
  path = "/f"
}

target "t" {
  for_each = stage.s
  image    = stage.s[each.key]
  tags     = ["${var.repository}/${each.key}:${var.tag}"]
  push     = true
}

target "file" { files = { "out/f" = artifact.f } }

group "default" { targets = [target.t, target.file] }
`

// TestManyOnePushFails: a registry refuses one image of fifty.
func TestManyOnePushFails(t *testing.T) {
	r := gatedRegistry(t)
	prefix := strings.ToLower(unique())
	refuse := func(req *http.Request) int {
		if strings.HasPrefix(req.URL.Path, "/v2/"+prefix+"/s7/") && req.Method != http.MethodGet && req.Method != http.MethodHead {
			return http.StatusForbidden
		}
		return 0
	}
	refused := "error[HB6006]: The registry did not take " + r.host + "/" + prefix + "/s7"
	m, md := newModule(t, fifty), filepath.Join(t.TempDir(), "md.json")
	build := func(tag string, flags ...string) *output {
		return m.build(append([]string{"--var", "repository=" + r.host + "/" + prefix, "--var", "tag=" + tag, "--metadata-file", md}, flags...)...)
	}
	// said counts the images that the metadata has as pushed, and requires a result
	// of the target of files.
	said := func(file string) (n int) {
		var all solve.Metadata
		data, err := os.ReadFile(md)
		if err == nil {
			err = json.Unmarshal(data, &all)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := all.Targets["target.file"].Result; got != file {
			t.Errorf("target.file is %s, not %s", got, file)
		}
		for _, target := range all.Targets {
			n += len(target.Pushed)
		}
		return n
	}
	r.set(refuse)

	build("going", "--keep-going").exits(4).oneError().says(refused, "hbuild.hcl:18:1", "403 Forbidden", "docker login "+r.host)
	if n := r.pushed(t, prefix, "going"); n != 49 || said("done") != n {
		t.Errorf("%d pushed of 49", n)
	}
	m.has("out", "out/f")
	if err := os.RemoveAll(m.path("out")); err != nil {
		t.Fatal(err)
	}

	build("stopping").exits(4).oneError().says(refused)
	// What the engine had pushed when it heard of the failure is not known here.
	if n := r.pushed(t, prefix, "stopping"); n > 49 || said("skipped") > n {
		t.Errorf("%d pushed", n)
	}
	m.has()

	build("atomic", "--atomic").exits(4).oneError().says(refused)
	if n := r.pushed(t, prefix, "atomic"); n != 0 || said("skipped") != 0 {
		t.Errorf("%d pushed", n)
	}
	m.has()

	m.build("--keep-going", "--var", "repository=127.0.0.1:1", "--var", "tag=down").exits(4).oneError().
		says("The registry of 127.0.0.1:1/s0:down cannot be reached", "The same happened to 49 more targets: target.t[\"s1\"], ")
	if err := os.RemoveAll(m.path("out")); err != nil {
		t.Fatal(err)
	}

	r.set(func(*http.Request) int { return 0 })
	build("atomic", "--atomic").exits(0).says("51 targets")
	if n := r.pushed(t, prefix, "atomic"); n != 50 || said("done") != n {
		t.Errorf("%d pushed of 50", n)
	}
	m.has("out", "out/f")
}

// TestManyInterruptedPushes: ^C while images are on their way to a registry that
// does not answer.
func TestManyInterruptedPushes(t *testing.T) {
	r := gatedRegistry(t)
	prefix := strings.ToLower(unique())
	arrived := make(chan struct{}, 1000)
	var held sync.WaitGroup
	r.set(func(req *http.Request) int {
		if req.Method == http.MethodPut || req.Method == http.MethodPatch {
			held.Add(1)
			defer held.Done()
			io.Copy(io.Discard, req.Body) // a server hears of an end only after that
			arrived <- struct{}{}
			<-req.Context().Done() // the engine ends it
			return http.StatusServiceUnavailable
		}
		return 0
	})
	m := newModule(t, fifty)
	tag := strings.ToLower(unique())
	args := []string{"--var", "repository=" + r.host + "/" + prefix, "--var", "tag=" + tag}
	out := m.interrupt(func() { <-arrived }, append([]string{"default", "--metadata-file", "md.json"}, args...)...)
	out.exits(130).saysNot("error[", "  pushed ")
	m.has()
	held.Wait()
	r.set(func(*http.Request) int { return 0 })
	if n := r.pushed(t, prefix, tag); n != 0 {
		t.Errorf("%d pushed", n)
	}
	m.build(args...).exits(0).says("51 targets")
	if n := r.pushed(t, prefix, tag); n != 50 {
		t.Errorf("%d pushed of 50", n)
	}
	m.has("out", "out/f")
}

// interrupt starts a build, sends SIGINT when ready returns, and wants it to end
// soon after.
func (m *module) interrupt(ready func(), args ...string) *output {
	m.t.Helper()
	var sent time.Time
	out := m.during(func(p *os.Process) {
		ready()
		sent = time.Now()
		if err := p.Signal(syscall.SIGINT); err != nil {
			m.t.Error(err)
		}
	}, args...)
	if took := time.Since(sent); took > 10*time.Second {
		m.t.Errorf("it took %v", took)
	}
	return out
}

// during starts a build, calls act and waits for the build.
func (m *module) during(act func(*os.Process), args ...string) *output {
	m.t.Helper()
	cmd := m.command(append([]string{"build", "--progress", "plain"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	stuck := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	act(cmd.Process)
	_ = cmd.Wait() // its exit code says it
	return &output{m.t, cmd.Args[1:], cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// large has 40 targets with an image and a file of 1 MB each, so that receiving
// them takes a while.
const large = `
-- hbuild.hcl --
variable "id" { type = string }

stage "s" {
  from = image("alpine:3.22")
  run { command = "for i in $(seq 0 39); do head -c 1000000 /dev/urandom >/f$i; done; : ${var.id}" }
}

stage "one" {
  for_each = { for i in range(40) : "f${i}" => i }
  from     = scratch
  copy {
    from = stage.s
    src  = "/${each.key}"
    dest = "/${each.key}"
  }
}

artifact "one" {
  for_each = stage.one
  from     = stage.one[each.key]
  path     = "/${each.key}"
}

target "file" {
  for_each = stage.one
  files    = { "out/${each.key}" = artifact.one[each.key] }
}

target "image" {
  for_each = stage.one
  image    = stage.one[each.key]
  outputs  = ["type=oci,compression=uncompressed,dest=${each.key}.tar"]
}

group "files" { targets = [target.file] }
group "images" { targets = [target.image] }
`

// TestManyInterruptedFiles: ^C while files and archives are being received.
func TestManyInterruptedFiles(t *testing.T) {
	m := newModule(t, large)
	id := "id=" + unique()
	m.build("stage.s", "--var", id).exits(0)
	m.interrupt(func() { m.waitFor(".hbuild-tmp-*/new/*") }, "files", "--var", id).exits(130).saysNot("error[")
	m.has()
	m.interrupt(func() { m.waitFor(".hbuild-tmp-*") }, "images", "--var", id).exits(130).saysNot("error[")
	for _, name := range m.files() {
		if strings.HasPrefix(name, ".hbuild-tmp-") {
			t.Errorf("left behind: %s", name)
		} else if tarNames(t, []byte(m.read(name))) == nil {
			t.Errorf("%s is not whole", name)
		}
	}
	m.build("files", "images", "--var", id).exits(0).says("80 targets", "0 steps run")
	if n := len(m.files()); n != 81 {
		t.Errorf("%d files: %v", n, m.files())
	}
}

// TestManyDiskFull: there is room for some of the files, and then for all.
func TestManyDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	m := newModule(t, large)
	sources := m.read("hbuild.hcl")
	if err := syscall.Mount("tmpfs", m.dir, "tmpfs", 0, "size=15m"); err != nil {
		t.Skip(err)
	}
	defer syscall.Unmount(m.dir, 0)
	m.write("hbuild.hcl", sources)
	m.write("out/f0", "before")
	id := "id=" + unique()
	m.build("files", "--var", id).exits(1).oneError().says("no space left on device").saysNot("wrote")
	m.has("out", "out/f0")
	if m.read("out/f0") != "before" {
		t.Error("half-written")
	}
	out := m.build("images", "--var", id).exits(1).oneError().says("no space left on device")
	for _, name := range m.files() {
		if strings.HasSuffix(name, ".tar") {
			if tarNames(t, []byte(m.read(name))) == nil || !strings.Contains(out.stderr, name+"\n") {
				t.Errorf("%s is not whole, or not said to be written", name)
			}
		} else if name != "out" && name != "out/f0" {
			t.Errorf("left behind: %s", name)
		}
	}
	if err := syscall.Mount("", m.dir, "", syscall.MS_REMOUNT, "size=1g"); err != nil {
		t.Fatal(err)
	}
	m.build("files", "images", "--var", id).exits(0).says("80 targets", "0 steps run")
	if fi, err := os.Stat(m.path("out/f0")); err != nil || fi.Size() != 1000000 {
		t.Errorf("%v %v", fi, err)
	}
}

// TestManyTwoAtOnce: two builds of one module write the same files. Both succeed,
// and the files are those of one of them.
func TestManyTwoAtOnce(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
variable "id" { type = string }

stage "s" {
  for_each = toset([for i in range(100) : "f${i}"])
  from     = scratch
  write {
    path    = "/d/${each.key}"
    content = var.id
  }
}

artifact "f" {
  for_each = stage.s
  from     = stage.s[each.key]
  path     = "/d/${each.key}"
}

artifact "d" {
  for_each = stage.s
  from     = stage.s[each.key]
  path     = "/d/"
}

target "t" {
  for_each = stage.s
  files = {
    "out/${each.key}" = artifact.f[each.key]
    "tree/sub/"       = artifact.d[each.key]
  }
}

group "default" { targets = [target.t] }
`)
	for range 2 {
		var both sync.WaitGroup
		for _, id := range []string{"a", "b"} {
			both.Go(func() {
				out := m.build("--var", "id="+id, "--metadata-file", id+".json")
				if out.code != 0 {
					t.Errorf("exit code %d\n%s", out.code, out.stderr)
				}
			})
		}
		both.Wait()
		seen := map[string]int{}
		for _, name := range m.files() {
			if fi, err := os.Stat(m.path(name)); err == nil && fi.Mode().IsRegular() && filepath.Ext(name) != ".json" {
				seen[m.read(name)]++
			}
		}
		if len(seen) != 1 || seen["a"]+seen["b"] != 200 {
			t.Errorf("the files hold %v", seen)
		}
		m.top("a.json", "b.json", "out", "tree")
	}
	if a, b := m.read("a.json"), m.read("b.json"); !strings.Contains(a, `"target.t[`) || a == b {
		t.Error("metadata files")
	}
}

// top requires what stands in the module's directory itself.
func (m *module) top(want ...string) {
	m.t.Helper()
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		m.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".hcl" {
			names = append(names, e.Name())
		}
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		m.t.Errorf("there are %v, not %v", names, want)
	}
}

// TestManyKilled: SIGKILL while files and an archive are being received. What it leaves
// behind is gone after the next build, but not what a living build receives.
func TestManyKilled(t *testing.T) {
	m := newModule(t, large)
	id := "id=" + unique()
	m.build("stage.s", "--var", id).exits(0)
	for what, pattern := range map[string]string{"files": ".hbuild-tmp-*/new/*", "images": ".hbuild-tmp-*"} {
		m.during(func(p *os.Process) {
			m.waitFor(pattern)
			p.Kill()
		}, what, "--var", id)
		left := m.temporary()
		if len(left) == 0 {
			t.Fatalf("%s: nothing was left behind", what)
		}
		m.build(what, "--var", id).exits(0)
		if left := m.temporary(); len(left) > 0 {
			t.Errorf("%s: left behind: %v", what, left)
		}
	}
	m.during(func(p *os.Process) {
		m.waitFor(".hbuild-tmp-*/new/*")
		p.Signal(syscall.SIGSTOP)
		defer p.Signal(syscall.SIGCONT)
		left := m.temporary()
		m.build("file.f0", "--var", id).exits(0)
		if now := m.temporary(); !slices.Equal(now, left) {
			t.Errorf("a living build had %v, and after another build %v", left, now)
		}
	}, "files", "--var", id).exits(0)
	if left := m.temporary(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// temporary are the names of what is being received.
func (m *module) temporary() []string {
	m.t.Helper()
	names, err := filepath.Glob(m.path(".hbuild-tmp-*"))
	if err != nil {
		m.t.Fatal(err)
	}
	return names
}
