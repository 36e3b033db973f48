package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/hbuild/hbuild/llb/engine"
	"github.com/hbuild/hbuild/llb/solve"
)

func TestExitCodes(t *testing.T) {
	cancelled := func(cause error) context.Context {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		return ctx
	}
	for _, tc := range []struct {
		ctx  context.Context
		err  error
		want int
	}{
		{err: nil, want: 0},
		{err: errors.New("x"), want: 1},
		{err: usagef("x"), want: 2},
		{err: fmt.Errorf("y: %w", usagef("x")), want: 2},
		{err: solve.ErrRequest, want: 2},
		{err: &exitError{Code: exitStale}, want: 3},
		{err: &engine.NotFoundError{}, want: 4},
		{err: fmt.Errorf("x: %w", solve.ErrEngine), want: 4},
		{err: fmt.Errorf("x: %w", solve.ErrRegistry), want: 4},
		{ctx: cancelled(errInterrupted), err: context.Canceled, want: 130},
		{ctx: cancelled(errTerminated), err: solve.ErrEngine, want: 143},
		{ctx: cancelled(errInterrupted), err: nil, want: 0}, // it was done by then
	} {
		ctx := tc.ctx
		if ctx == nil {
			ctx = context.Background()
		}
		if got := exitCode(ctx, tc.err); got != tc.want {
			t.Errorf("exit code %d for %v, want %d", got, tc.err, tc.want)
		}
	}
}

func TestBugReport(t *testing.T) {
	var b bytes.Buffer
	reportBug(&b, []string{"check", "--var", "a=b"}, "index out of range", []byte("goroutine 1"))
	for _, want := range []string{"This is a bug in hbuild", "index out of range", "hbuild check --var a=b", "goroutine 1"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

// TestSignalWhileReading: a command that waits for standard input ends at once.
func TestSignalWhileReading(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("hbuild", "fmt", "-")
		cmd.Stdin = r
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		// The pipe holds less than this, so the last write returns when the process
		// has begun to read.
		if _, err := w.Write(bytes.Repeat([]byte("\n"), 1<<17)); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait()
		w.Close()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != sig {
			t.Errorf("%v: %v", sig, err)
		}
	}
}

// BenchmarkCheck is the whole process, on the largest example.
func BenchmarkCheck(b *testing.B) {
	for range b.N {
		out, err := exec.Command("hbuild", "-C", "../../examples/instructions", "check").CombinedOutput()
		if err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}
