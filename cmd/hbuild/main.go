// Command hbuild builds what hbuild files describe: it checks, formats, lists
// and emits them without a daemon, and builds them on BuildKit.
//
// Each command is a file: flags fill an options struct, and one function does
// what they ask. What all commands share is here (exit codes, signals, bugs),
// in root.go (the tree of commands), in load.go (which module, with which
// values) and in report.go (how mistakes are shown).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/hbuild/hbuild/llb/engine"
	"github.com/hbuild/hbuild/llb/solve"
)

// The exit codes (spec: "Exit codes").
const (
	exitDone        = 0
	exitFailed      = 1 // the build failed, or anything else that is none of these
	exitConfig      = 2 // the configuration or the command line is wrong
	exitStale       = 3 // --check found a difference
	exitUnreachable = 4 // the engine or a registry could not be reached
	exitInterrupted = 130
	exitTerminated  = 143
)

// The causes that a cancelled context has after a signal.
var (
	errInterrupted = errors.New("interrupted")
	errTerminated  = errors.New("terminated")
)

// collectLater lets the heap grow further before garbage is collected: compiling is
// over in milliseconds and keeps most of what it allocates, so collecting costs a third
// of its time and frees little. GOGC wins.
func collectLater() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}

// collectHardly is [collectLater] for a command that ends when it has compiled, and
// keeps nearly all until then: what is allocated for a large workspace is about four
// times of what is kept, so memory grows by a sixth, and a tenth of the time is saved.
func collectHardly() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(800)
	}
}

// collectSooner ends [collectLater], for what runs as long as a build does: it waits
// for the engine, and had better leave the machine's memory to the steps.
func collectSooner() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(120)
	}
}

// exitError is an error with an exit code of its own. With a nil Err everything
// was said already.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

func (e *exitError) Unwrap() error { return e.Err }

// usageError is a command line that is wrong.
type usageError struct {
	msg  string
	hint string // the command whose --help has more; "" for none
}

func (e *usageError) Error() string {
	if e.hint == "" {
		return e.msg
	}
	return e.msg + "\nSee \"" + e.hint + " --help\"."
}

// usagef makes a [usageError].
func usagef(format string, args ...any) error {
	return &usageError{msg: fmt.Sprintf(format, args...)}
}

// exitCode maps the error of a command to the exit code of the process.
func exitCode(ctx context.Context, err error) int {
	var exit *exitError
	var usage *usageError
	var noEngine *engine.NotFoundError
	switch {
	case err == nil:
		return exitDone
	case context.Cause(ctx) == errInterrupted:
		return exitInterrupted
	case context.Cause(ctx) == errTerminated:
		return exitTerminated
	case errors.As(err, &exit):
		return exit.Code
	case errors.As(err, &usage), errors.Is(err, solve.ErrRequest):
		return exitConfig
	case errors.As(err, &noEngine), errors.Is(err, solve.ErrEngine), errors.Is(err, solve.ErrRegistry):
		return exitUnreachable
	}
	return exitFailed
}

func main() {
	collectLater()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			reportBug(stderr, args, r, debug.Stack())
			code = exitFailed
		}
	}()
	ctx, stop := withSignals(context.Background())
	defer stop()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRootCmd(a)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.printError(ctx, err)
	return exitCode(ctx, err)
}

// withSignals cancels the context at the first SIGINT or SIGTERM, with its cause,
// and ends the process at the second.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for sig := range signals {
			cause, code := errInterrupted, exitInterrupted
			if sig == syscall.SIGTERM {
				cause, code = errTerminated, exitTerminated
			}
			if ctx.Err() != nil {
				os.Exit(code)
			}
			cancel(cause)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
}

// reportBug says that hbuild itself is wrong, and what to report.
func reportBug(w io.Writer, args []string, what any, stack []byte) {
	fmt.Fprintf(w, "This is a bug in hbuild; your files are not to blame.\n\n  %v\n\nPlease report it with the lines below and, if you can, the files.\nhbuild %s, called as: hbuild %s\n\n%s",
		what, buildVersion().Version, strings.Join(args, " "), stack)
}
