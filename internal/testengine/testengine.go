// Package testengine gives tests a real BuildKit that pulls the stand-ins of package testimage.
//
// [Start] returns the address of one. `make test` runs all tests under the command
// cmd/testengine, which starts one daemon and one registry for all test processes and says where they
// are in HBUILD_TEST_ENGINE and HBUILD_TEST_REGISTRY. A test process that is started without them
// starts its own, once, at its first call.
//
// A daemon never outlives its process, however that ends: a small shell waits on a pipe that only the
// process holds, and ends the daemon when the pipe closes.
package testengine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/hbuild/hbuild/internal/testimage"
	"github.com/hbuild/hbuild/llb/engine"
)

// The variables by which cmd/testengine tells test processes what runs.
const (
	EngineVar   = "HBUILD_TEST_ENGINE"   // the daemon's address
	RegistryVar = "HBUILD_TEST_REGISTRY" // the registry's, 127.0.0.1:PORT
)

// Instance is a running daemon with its registry.
type Instance struct {
	Engine   string // the daemon's address
	Registry string // 127.0.0.1:PORT, plain HTTP; takes pushes as well
	PID      int    // the daemon's process

	dir      string
	registry *testimage.Registry
	env      func(string) string
	pipe     io.Closer
}

// Launch starts a registry and a daemon whose state is in a new directory beside the base images, which
// [Instance.Stop] removes: not in the temporary directory, which is memory on many machines and where
// overlayfs may not work.
func Launch(ctx context.Context, log io.Writer) (*Instance, error) {
	d, err := testimage.DefaultDir()
	if err != nil {
		return nil, err
	}
	return LaunchIn(ctx, filepath.Dir(d), log)
}

// LaunchIn is [Launch] with the new directory in parent, where overlayfs must work.
func LaunchIn(ctx context.Context, parent string, log io.Writer) (*Instance, error) {
	daemon, err := Buildkitd()
	if err != nil {
		return nil, err
	}
	reg, _, err := testimage.Serve(context.WithoutCancel(ctx), testimage.Options{Log: log})
	if err != nil {
		return nil, err
	}
	dir, err := stateDir(parent)
	if err != nil {
		return nil, errors.Join(err, reg.Stop())
	}
	i := &Instance{Registry: reg.Addr, dir: dir, registry: reg, env: Env(map[string]string{
		"HBUILD_ENGINE_ROOT":    dir,
		"HBUILD_ENGINE_MIRRORS": "docker.io=" + reg.Addr,
		"HBUILD_BUILDKITD":      daemon,
	})}
	if err := i.start(ctx); err != nil {
		return nil, errors.Join(err, i.Stop())
	}
	return i, nil
}

func (i *Instance) start(ctx context.Context) error {
	o := engine.Options{Env: i.env}
	e, _, err := engine.Start(ctx, o)
	if err != nil {
		return err
	}
	i.Engine = e.Address
	p, err := engine.PrivatePaths(o)
	if err != nil {
		return err
	}
	i.pipe, i.PID, err = guard(p.PID, i.dir)
	return err
}

// Stop ends the daemon and the registry, waits for both, and removes the state.
func (i *Instance) Stop() error {
	_, err := engine.Stop(context.Background(), engine.Options{Env: i.env})
	if i.pipe != nil {
		err = errors.Join(err, i.pipe.Close())
	}
	return errors.Join(err, i.registry.Stop(), os.RemoveAll(i.dir))
}

func stateDir(parent string) (string, error) {
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	return os.MkdirTemp(parent, "testengine-")
}

// Renew stops the daemon and starts one with an empty state, at the same address.
func (i *Instance) Renew(ctx context.Context) error {
	if _, err := engine.Stop(ctx, engine.Options{Env: i.env}); err != nil {
		return err
	}
	// The guard removes the directory.
	if err := i.pipe.Close(); err != nil {
		return err
	}
	if err := os.MkdirAll(i.dir, 0o700); err != nil {
		return err
	}
	return i.start(ctx)
}

// Env is an environment of the given variables over the process's own, for [engine.Options].
func Env(over map[string]string) func(string) string {
	return func(name string) string {
		if v, ok := over[name]; ok {
			return v
		}
		return os.Getenv(name)
	}
}

// guard starts the shell that outlives this process, ends the daemon of the pid file and removes dir.
func guard(pidFile, dir string) (io.Closer, int, error) {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		return nil, 0, err
	}
	pid, err := strconv.Atoi(string(b[:len(b)-1]))
	if err != nil {
		return nil, 0, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	// The pid file is looked at again: after an orderly stop it is gone, and the number may be another's.
	cmd := exec.Command("sh", "-c", `cat >/dev/null
		[ -e "$1" ] && kill "$2" 2>/dev/null && while kill -0 "$2" 2>/dev/null; do sleep 0.1; done
		rm -rf "$3"`, "testengine-guard", pidFile, strconv.Itoa(pid), dir)
	cmd.Stdin = r
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, 0, err
	}
	g := &guarded{pipe: w, ended: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(g.ended)
	}()
	return g, pid, nil
}

// guarded ends a guard, and waits for it.
type guarded struct {
	pipe  io.Closer
	ended chan struct{}
}

func (g *guarded) Close() error {
	err := g.pipe.Close()
	<-g.ended
	return err
}

// Guard makes sure that a private engine which a test started with this environment ends with the
// test, or with its process if that is killed.
func Guard(t testing.TB, env func(string) string) {
	t.Helper()
	p, err := engine.PrivatePaths(engine.Options{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	pipe, _, err := guard(p.PID, p.State)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := engine.Stop(context.Background(), engine.Options{Env: env}); err != nil {
			t.Errorf("stop the test's engine: %v", err)
		}
		pipe.Close()
	})
}

var own = sync.OnceValues(func() (*Instance, error) { return Launch(context.Background(), os.Stderr) })

// Start returns the address of a BuildKit for tests: the shared one, or this process's own. That it
// cannot be had fails the test; it is never skipped.
func Start(t testing.TB) string {
	t.Helper()
	if a := os.Getenv(EngineVar); a != "" {
		return a
	}
	return started(t).Engine
}

// Registry returns the address of the registry that [Start]'s daemon uses as its mirror of docker.io.
// It takes pushes: an image pushed to it as 127.0.0.1:PORT/name:tag can be pulled by the daemon.
func Registry(t testing.TB) string {
	t.Helper()
	if a := os.Getenv(RegistryVar); a != "" {
		return a
	}
	return started(t).Registry
}

func started(t testing.TB) *Instance {
	t.Helper()
	i, err := own()
	if err != nil {
		t.Fatalf("no engine for tests (`make tools` installs what it needs): %v", err)
	}
	return i
}

// Buildkitd is the daemon's program: HBUILD_BUILDKITD, else bin/buildkitd of this source tree, which is
// built if it is not there.
func Buildkitd() (string, error) {
	if p := os.Getenv("HBUILD_BUILDKITD"); p != "" {
		return p, nil
	}
	p := filepath.Join(root(), "bin", "buildkitd")
	if _, err := os.Stat(p); err == nil {
		return p, nil
	}
	cmd := exec.Command("make", "-C", root(), "bin/buildkitd")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("make bin/buildkitd: %w\n%s", err, out)
	}
	return p, nil
}

// root is the source tree's directory.
func root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}
