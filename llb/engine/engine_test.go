//go:build linux

package engine_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/llb/engine"
)

// alone is an environment in which only a private engine under a new directory can be found.
func alone(t *testing.T, over map[string]string) func(string) string {
	t.Helper()
	daemon, err := testengine.Buildkitd()
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"HBUILD_ENGINE_ROOT": t.TempDir(),
		"HBUILD_BUILDKITD":   daemon,
		"HBUILD_ENGINE":      "private",
		"BUILDKIT_HOST":      "", "DOCKER_HOST": "", "DOCKER_CONTEXT": "", "XDG_RUNTIME_DIR": "",
		"DOCKER_CONFIG": t.TempDir(),
	}
	for k, v := range over {
		env[k] = v
	}
	return testengine.Env(env)
}

// dead is an environment in which nothing can be found at all.
func dead(t *testing.T, over map[string]string) func(string) string {
	t.Helper()
	t.Cleanup(engine.SetSystemSocket(filepath.Join(t.TempDir(), "system.sock")))
	env := map[string]string{
		"HBUILD_ENGINE":    "",
		"DOCKER_HOST":      "unix://" + filepath.Join(t.TempDir(), "docker.sock"),
		"XDG_RUNTIME_DIR":  t.TempDir(),
		"HBUILD_BUILDKITD": filepath.Join(t.TempDir(), "buildkitd"),
	}
	for k, v := range over {
		env[k] = v
	}
	return alone(t, env)
}

func TestPrivate(t *testing.T) {
	env := alone(t, map[string]string{"HBUILD_ENGINE_MIRRORS": "docker.io=" + testengine.Registry(t)})
	o := engine.Options{Env: env}
	ctx := t.Context()

	// Two that begin at once get one daemon.
	var wg sync.WaitGroup
	var began [2]bool
	var errs [2]error
	for i := range began {
		wg.Go(func() { _, began[i], errs[i] = engine.Start(ctx, o) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	testengine.Guard(t, env)
	if began[0] == began[1] {
		t.Errorf("two concurrent starts: started = %v; one of them starts the daemon", began)
	}

	e, err := engine.Find(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind != engine.Private {
		t.Errorf("found %s", e.Describe())
	}
	t.Run("solve", func(t *testing.T) { solveFile(t, e) })
	t.Run("run on a mirrored image", func(t *testing.T) { solveRun(t, e) })
	t.Run("status", func(t *testing.T) { checkStatus(t, o) })
	t.Run("other settings", func(t *testing.T) {
		var log bytes.Buffer
		other := func(name string) string {
			if name == "HBUILD_ENGINE_MIRRORS" {
				return "docker.io=127.0.0.1:1"
			}
			return env(name)
		}
		if _, err := engine.Find(ctx, engine.Options{Env: other, Log: &log}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(log.String(), "hbuild engine stop") {
			t.Errorf("an engine with other settings is used without a word: %q", log.String())
		}
	})
	t.Run("prune", func(t *testing.T) {
		var out bytes.Buffer
		if err := engine.Prune(ctx, o, engine.PruneOptions{All: true}, &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "mkfile /hello") || !strings.Contains(out.String(), "\nremoved ") {
			t.Errorf("prune wrote:\n%s", out.String())
		}
	})
	t.Run("stop", func(t *testing.T) { checkStop(t, o) })
}

func checkStatus(t *testing.T, o engine.Options) {
	r, err := engine.Status(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Engine == nil || r.PID == 0 || len(r.Workers) != 1 || r.Records == 0 || !strings.HasPrefix(r.Version, "v0.33") {
		t.Errorf("status: %+v", r)
	}
	if n := r.Workers[0].Labels["org.mobyproject.buildkit.worker.network"]; n != "host" {
		t.Errorf("a RUN has the network %q, want host: without CNI plugins no other reaches out", n)
	}
	var out bytes.Buffer
	if err := r.WriteText(&out); err != nil || !strings.Contains(out.String(), "hbuild's own buildkitd at unix://") {
		t.Errorf("status text (%v):\n%s", err, out.String())
	}
}

func checkStop(t *testing.T, o engine.Options) {
	r, err := engine.Status(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		stopped, err := engine.Stop(t.Context(), o)
		if err != nil || stopped != want {
			t.Fatalf("Stop = %v, %v; want %v", stopped, err, want)
		}
	}
	// Stop waits for its end; this process, its parent, may still have to notice.
	await(t, "the daemon's end", func() bool { return errors.Is(syscall.Kill(r.PID, 0), syscall.ESRCH) })
	if r, err = engine.Status(t.Context(), o); err != nil || r.Engine != nil || r.PID != 0 {
		t.Errorf("status after stop: %+v, %v", r, err)
	}
	var log bytes.Buffer
	if err := engine.Logs(t.Context(), o, &log, false); err != nil || !strings.Contains(log.String(), "running server on") {
		t.Errorf("the log outlives the engine; got %v and\n%s", err, log.String())
	}
}

// TestKilled: a daemon that was killed leaves its socket and pid file; the next start does not mind.
func TestKilled(t *testing.T) {
	env := alone(t, nil)
	o := engine.Options{Env: env}
	if _, _, err := engine.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	testengine.Guard(t, env)
	r, err := engine.Status(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.Private.Socket); err != nil {
		t.Fatalf("this test is about the socket that a killed daemon leaves: %v", err)
	}
	e, err := engine.Find(t.Context(), o)
	if err != nil {
		t.Fatalf("start after a kill: %v", err)
	}
	solveFile(t, e)
}

// TestNothingLeft: an engine that ends in the middle of a step ends the step's processes, and leaves no
// mount behind.
func TestNothingLeft(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, o engine.Options, pid int){
		"stopped": func(t *testing.T, o engine.Options, _ int) {
			if _, err := engine.Stop(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		},
		"killed": func(t *testing.T, _ engine.Options, pid int) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			env := alone(t, map[string]string{"HBUILD_ENGINE_MIRRORS": "docker.io=" + testengine.Registry(t)})
			o := engine.Options{Env: env}
			e, _, err := engine.Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			testengine.Guard(t, env)
			r, err := engine.Status(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			seconds := strconv.Itoa(100000 + os.Getpid()) // finds this test's process and no other's
			ended := make(chan error, 1)
			go func() { ended <- sleepStep(t.Context(), e, seconds) }()
			await(t, "the step to run", func() bool { return running("sleep\x00" + seconds) })
			end(t, o, r.PID)
			await(t, "the step's process to end", func() bool { return !running("sleep\x00" + seconds) })
			if err := <-ended; err == nil {
				t.Error("the build succeeded")
			}
			if mounts, _ := os.ReadFile("/proc/mounts"); bytes.Contains(mounts, []byte(r.Private.State)) {
				t.Errorf("mounts are left:\n%s", mounts)
			}
		})
	}
}

func sleepStep(ctx context.Context, e *engine.Engine, seconds string) error {
	c, err := e.Client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	def, err := llb.Image("docker.io/library/alpine:3.22").Run(llb.Args([]string{"sleep", seconds})).Marshal(ctx)
	if err != nil {
		return err
	}
	_, err = c.Solve(ctx, def, client.SolveOpt{}, nil)
	return err
}

// running reports whether a process has that command line.
func running(cmdline string) bool {
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		if b, _ := os.ReadFile(p); strings.HasPrefix(string(b), cmdline+"\x00") {
			return true
		}
	}
	return false
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestOtherProcess: a pid file may name a process that is not ours by now. It is never signalled.
func TestOtherProcess(t *testing.T) {
	env := alone(t, nil)
	o := engine.Options{Env: env}
	p, err := engine.PrivatePaths(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(p.Run, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.PID, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	if stopped, err := engine.Stop(t.Context(), o); stopped || err != nil {
		t.Errorf("Stop = %v, %v for a pid of another program", stopped, err)
	}
}

func TestBrokenSettings(t *testing.T) {
	for name, test := range map[string]struct{ toml, mirrors, want string }{
		"syntax":  {toml: "[registry\n", want: "engine.toml"},
		"shape":   {toml: "worker = 3\n", want: `"worker" is not a table`},
		"unknown": {toml: "[worker.oci]\nsnapshotter = \"nonesuch\"\n", want: "nonesuch"}, // buildkitd itself refuses it
		"mirrors": {mirrors: "docker.io", want: "REGISTRY=MIRROR"},
	} {
		t.Run(name, func(t *testing.T) {
			env := alone(t, map[string]string{"HBUILD_ENGINE_MIRRORS": test.mirrors})
			if err := os.WriteFile(filepath.Join(env("HBUILD_ENGINE_ROOT"), "engine.toml"), []byte(test.toml), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := engine.Find(t.Context(), engine.Options{Env: env})
			var none *engine.NotFoundError
			if !errors.As(err, &none) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant a NotFoundError with %q", err, test.want)
			}
		})
	}
}

// TestNothing: the one message lists every engine that was tried, and why.
func TestNothing(t *testing.T) {
	env := dead(t, nil)
	_, err := engine.Find(t.Context(), engine.Options{Env: env})
	var none *engine.NotFoundError
	if !errors.As(err, &none) {
		t.Fatalf("got %v, want a NotFoundError", err)
	}
	for _, want := range []string{
		"the Docker daemon at " + env("DOCKER_HOST") + " (DOCKER_HOST): dial unix",
		"buildkitd at unix://" + env("XDG_RUNTIME_DIR") + "/buildkit/buildkitd.sock: no such socket",
		"/system.sock: no such socket",
		"a private buildkitd of hbuild's own: HBUILD_BUILDKITD: stat " + env("HBUILD_BUILDKITD"),
		"install runc",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message lacks %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "rpc error") || strings.Contains(err.Error(), "transport:") {
		t.Errorf("the message shows gRPC's wrapping:\n%v", err)
	}
}

func TestGivenAddress(t *testing.T) {
	live := testengine.Start(t)
	gone := "unix://" + filepath.Join(t.TempDir(), "gone.sock")
	for _, test := range []struct{ flag, hbuild, host, source, fail string }{
		{flag: live, hbuild: gone, host: gone, source: "--engine"},
		{hbuild: live, host: gone, source: "HBUILD_ENGINE"},
		{host: live, source: "BUILDKIT_HOST"},
		{flag: gone, host: live, fail: "cannot reach BuildKit at " + gone + " (from --engine): dial unix"},
		{hbuild: "/run/buildkitd.sock", fail: "a socket is written unix:///run/buildkitd.sock"},
		{host: "dokcer-container://b", fail: "not an address"},
		{flag: "tcp://127.0.0.1:1", fail: "connection refused"},
		{flag: "docker", fail: "the Docker daemon at unix://"},
	} {
		env := dead(t, map[string]string{"HBUILD_ENGINE": test.hbuild, "BUILDKIT_HOST": test.host})
		e, err := engine.Find(t.Context(), engine.Options{Address: test.flag, Env: env})
		switch {
		case test.fail != "":
			var none *engine.NotFoundError
			if !errors.As(err, &none) || !strings.Contains(err.Error(), test.fail) {
				t.Errorf("%+v: got %v", test, err)
			}
		case err != nil:
			t.Errorf("%+v: %v", test, err)
		case e.Source != test.source || e.Address != live:
			t.Errorf("%+v: found %s", test, e.Describe())
		}
	}
}

// TestTimeout: a socket where nobody answers does not hold a build up.
func TestTimeout(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	env := dead(t, map[string]string{"DOCKER_HOST": "unix://" + sock})
	began := time.Now()
	_, err = engine.Find(t.Context(), engine.Options{Env: env})
	if err == nil || !strings.Contains(err.Error(), "no answer within 2s") || time.Since(began) > 4*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := engine.Find(ctx, engine.Options{Env: dead(t, nil)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation and not a list of attempts", err)
	}
}

// TestDocker builds through a daemon's engine API, found as the docker command finds it. The API in
// front is this test's; the BuildKit behind it is real.
func TestDocker(t *testing.T) {
	sock := dockerAPI(t, testengine.Start(t))
	for name, over := range map[string]map[string]string{
		"host":            {"DOCKER_HOST": "unix://" + sock},
		"context":         {"DOCKER_HOST": "", "DOCKER_CONTEXT": "elsewhere", "DOCKER_CONFIG": dockerConfig(t, sock, "")},
		"current context": {"DOCKER_HOST": "", "DOCKER_CONFIG": dockerConfig(t, sock, "elsewhere")},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := engine.Find(t.Context(), engine.Options{Env: dead(t, over)})
			if err != nil {
				t.Fatal(err)
			}
			if e.Kind != engine.Docker || e.Address != "unix://"+sock {
				t.Errorf("found %s", e.Describe())
			}
			solveFile(t, e)
		})
	}
}

func TestDockerWithoutBuildKit(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "docker.sock")
	serveHTTP(t, sock, http.NotFoundHandler())
	_, err := engine.Find(t.Context(), engine.Options{Address: "docker", Env: dead(t, map[string]string{"DOCKER_HOST": "unix://" + sock})})
	if err == nil || !strings.Contains(err.Error(), "has no BuildKit at /grpc: 404") {
		t.Errorf("got %v", err)
	}
}

// dockerConfig is a Docker config directory with one context, elsewhere. Its folder is named after
// the SHA-256 of the context's name.
func dockerConfig(t *testing.T, sock, current string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("contexts/meta/"+sha256Hex("elsewhere")+"/meta.json", `{"Name":"elsewhere","Endpoints":{"docker":{"Host":"unix://`+sock+`"}}}`)
	write("config.json", `{"currentContext":"`+current+`"}`)
	return dir
}

// dockerAPI serves the two paths of the engine API behind which BuildKit lies.
func dockerAPI(t *testing.T, buildkit string) string {
	t.Helper()
	sock := filepath.Join(t.TempDir(), "docker.sock")
	c, err := client.New(t.Context(), buildkit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /grpc", func(w http.ResponseWriter, r *http.Request) {
		back, err := net.Dial("unix", strings.TrimPrefix(buildkit, "unix://"))
		splice(t, w, r, back, err)
	})
	mux.HandleFunc("POST /session", func(w http.ResponseWriter, r *http.Request) {
		meta := map[string][]string{}
		for k, v := range r.Header {
			if strings.HasPrefix(k, "X-Docker-") { // the others belong to the connection
				meta[strings.ToLower(k)] = v
			}
		}
		back, err := c.Dialer()(context.WithoutCancel(r.Context()), "h2c", meta)
		splice(t, w, r, back, err)
	})
	serveHTTP(t, sock, mux)
	return sock
}

func serveHTTP(t *testing.T, sock string, h http.Handler) {
	t.Helper()
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// splice answers a hijack and joins the two connections.
func splice(t *testing.T, w http.ResponseWriter, r *http.Request, back net.Conn, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	front, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	io.WriteString(front, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n\r\n")
	go func() {
		io.Copy(back, buf)
		back.Close()
	}()
	io.Copy(front, back)
	front.Close()
}

// solveFile builds a file and reads it back: no image, no process.
func solveFile(t *testing.T, e *engine.Engine) {
	t.Helper()
	got := solve(t, e, llb.Scratch().File(llb.Mkfile("/hello", 0o644, []byte("from "+t.Name()))), "hello")
	if got != "from "+t.Name() {
		t.Errorf("built %q", got)
	}
}

// solveRun runs a program of an image that only the mirror has.
func solveRun(t *testing.T, e *engine.Engine) {
	t.Helper()
	st := llb.Image("docker.io/library/alpine:3.22").Run(llb.Shlex(`sh -c "echo $(id -u) > /out"`)).Root()
	if got := solve(t, e, st, "out"); got != "0\n" {
		t.Errorf("built %q", got)
	}
}

// solve goes through a session too (a gateway build needs one), as hbuild's builds do.
func solve(t *testing.T, e *engine.Engine, st llb.State, file string) string {
	t.Helper()
	c, err := e.Client(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	def, err := st.Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	status := make(chan *client.SolveStatus)
	var output bytes.Buffer
	var read sync.WaitGroup
	read.Go(func() {
		for s := range status {
			for _, l := range s.Logs {
				output.Write(l.Data)
			}
		}
	})
	_, err = c.Build(t.Context(), client.SolveOpt{}, "", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		res, err := g.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
		if err != nil {
			return nil, err
		}
		data, err = res.Ref.ReadFile(ctx, gateway.ReadRequest{Filename: file})
		return res, err
	}, status)
	read.Wait()
	if err != nil {
		t.Fatalf("%v\n%s", err, output.String())
	}
	return string(data)
}

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
