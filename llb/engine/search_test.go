package engine_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/llb/engine"
)

// TestLook: a search that goes on beside something else ends as Find does.
func TestLook(t *testing.T) {
	live := testengine.Start(t)
	gone := "unix://" + filepath.Join(t.TempDir(), "gone.sock")
	for _, o := range []engine.Options{
		{Address: live, Env: dead(t, nil)},
		{Env: dead(t, map[string]string{"BUILDKIT_HOST": live})},
		{Address: gone, Env: dead(t, nil)},
		{Address: "tcp://127.0.0.1:1", Env: dead(t, nil)},
		{Address: "nonsense", Env: dead(t, nil)},
		{Address: "docker", Env: dead(t, nil)},
		{Address: "private", Env: dead(t, nil)},
		{Env: dead(t, nil)},
		{Env: dead(t, map[string]string{"DOCKER_HOST": "tcp://127.0.0.1:1"})},
	} {
		want, wantErr := engine.Find(t.Context(), o)
		s := engine.Look(t.Context(), o)
		e, err := s.Engine(t.Context())
		switch {
		case wantErr != nil:
			if err == nil || err.Error() != wantErr.Error() {
				t.Errorf("%q: got %v\nwant %v", o.Address, err, wantErr)
			}
		case err != nil:
			t.Errorf("%q: %v", o.Address, err)
		default:
			if e.Describe() != want.Describe() {
				t.Errorf("%q: found %s, not %s", o.Address, e.Describe(), want.Describe())
			}
			c, err := e.Client(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.ListWorkers(t.Context()); err != nil {
				t.Errorf("%q: the connection does not last: %v", o.Address, err)
			}
			c.Close()
			e.Close()
			want.Close()
		}
		s.Stop()
	}
}

// TestLookStarts: nothing is started before somebody wants the engine.
func TestLookStarts(t *testing.T) {
	env := alone(t, map[string]string{"HBUILD_ENGINE_MIRRORS": "docker.io=" + testengine.Registry(t)})
	var log strings.Builder
	o := engine.Options{Env: env, Log: &log}
	engine.Look(t.Context(), o).Stop()
	s := engine.Look(t.Context(), o)
	defer s.Stop()
	time.Sleep(50 * time.Millisecond) // it would have begun by then
	if r, err := engine.Status(t.Context(), engine.Options{Env: env}); err != nil || r.PID != 0 || log.Len() > 0 {
		t.Fatalf("%+v, %v: looking has started an engine: %s", r, err, log.String())
	}
	e, err := s.Engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	testengine.Guard(t, env)
	defer e.Close()
	if e.Kind != engine.Private || !strings.Contains(log.String(), "starting a private BuildKit") {
		t.Errorf("found %s: %s", e.Describe(), log.String())
	}
}

// TestLookCancelled: neither a socket where nobody answers nor a search that nobody
// waits for holds anybody up.
func TestLookCancelled(t *testing.T) {
	sock := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := engine.Options{Env: dead(t, map[string]string{"DOCKER_HOST": "unix://" + sock})}
	s := engine.Look(t.Context(), o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if _, err := s.Engine(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	s.Stop()
	if time.Since(began) > time.Second {
		t.Errorf("it took %v to stop", time.Since(began))
	}
}
