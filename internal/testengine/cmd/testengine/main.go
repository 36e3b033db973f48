// Command testengine runs a BuildKit daemon and a registry of base images for tests.
//
//	testengine run -- CMD ARG…  run CMD with HBUILD_TEST_ENGINE and HBUILD_TEST_REGISTRY set; its exit code is CMD's
//	testengine serve            print the two variables, run until a signal comes
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/hbuild/hbuild/internal/testengine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := run(ctx, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "testengine:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// run returns the exit code of the command it ran.
func run(ctx context.Context, args []string) (code int, err error) {
	if len(args) == 0 || args[0] != "serve" && args[0] != "run" {
		return 2, errors.New("usage: testengine serve | run -- CMD ARG…")
	}
	i, err := testengine.Launch(ctx, os.Stderr)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, i.Stop()) }()
	env := []string{testengine.EngineVar + "=" + i.Engine, testengine.RegistryVar + "=" + i.Registry}
	if args[0] == "serve" {
		fmt.Printf("export %s\nexport %s\n", env[0], env[1])
		<-ctx.Done()
		return 0, nil
	}
	args = args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return 2, errors.New("run: no command given")
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil // below 0 is a signal
	}
	return 0, err
}
