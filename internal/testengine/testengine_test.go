package testengine_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/hbuild/hbuild/internal/testengine"
)

func TestStart(t *testing.T) {
	c, err := client.New(t.Context(), testengine.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if w, err := c.ListWorkers(t.Context()); err != nil || len(w) == 0 {
		t.Errorf("workers: %v, %v", w, err)
	}
}

// TestRenew: a renewed daemon is where it was, and has nothing.
func TestRenew(t *testing.T) {
	i, err := testengine.Launch(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer i.Stop()
	before := *i
	workers := func() string {
		c, err := client.New(t.Context(), before.Engine)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		w, err := c.ListWorkers(t.Context())
		if err != nil || len(w) == 0 {
			t.Fatalf("workers: %v, %v", w, err)
		}
		return w[0].ID // which a new state has a new one of
	}
	first := workers()
	if err := i.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i.Engine != before.Engine || i.PID == before.PID || workers() == first {
		t.Errorf("%s, process %d after %s, %d; worker %s", i.Engine, i.PID, before.Engine, before.PID, first)
	}
	if err := syscall.Kill(before.PID, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the daemon before it: %v", err)
	}
}

// TestNoOrphan: the daemon ends, and its state goes, when the process that started it is killed.
func TestNoOrphan(t *testing.T) {
	prog := command(t)
	cmd := exec.Command(prog, "serve")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	_, sock, ok := strings.Cut(strings.TrimSpace(line), "unix://")
	if err != nil || !ok {
		t.Fatalf("serve wrote %q (%v)", line, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	root := filepath.Dir(filepath.Dir(sock)) // the directory of state and socket
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", root)
		}
	}
}

// TestRun: the command's environment has the addresses, and its exit code is what comes back; a
// signal to testengine reaches the command.
func TestRun(t *testing.T) {
	prog := command(t)
	out, err := exec.Command(prog, "run", "--", "sh", "-c", "echo $HBUILD_TEST_ENGINE $HBUILD_TEST_REGISTRY; exit 7").Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.HasPrefix(string(out), "unix:///") || !strings.Contains(string(out), " 127.0.0.1:") {
		t.Errorf("got %v, %q", err, out)
	}
	cmd := exec.Command(prog, "run", "--", "sh", "-c", "trap 'echo ended; exit 9' TERM; echo ready; while :; do sleep 0.05; done")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(pipe)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if line, _ := r.ReadString('\n'); line != "ended\n" {
		t.Errorf("the command did not get the signal: %q", line)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("a run that was ended by a signal exits with 0")
	}
}

// command builds cmd/testengine.
func command(t *testing.T) string {
	t.Helper()
	prog := filepath.Join(t.TempDir(), "testengine")
	if out, err := exec.Command("go", "build", "-o", prog, "./cmd/testengine").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return prog
}
