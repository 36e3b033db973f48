// Command standins makes the base images that examples and tests build on, and serves them.
//
//	standins make             make the images, print one "reference digest" line for each
//	standins configs          print the image configs as JSON, for `hbuild emit llb --image-config`
//	standins serve [ADDR]     serve them (default 127.0.0.1:0), print the address, until a signal comes
//	standins run -- CMD ARG…  run CMD while they are served, with HBUILD_ENGINE_MIRRORS set; its exit code is CMD's
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/hbuild/hbuild/internal/testimage"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	var failed commandError
	switch {
	case errors.As(err, &failed):
		os.Exit(max(failed.ExitCode(), 1)) // it has said why; below 0 is a signal
	case err != nil:
		fmt.Fprintln(os.Stderr, "standins:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("usage: standins make | configs | serve [ADDR] | run -- CMD ARG…")
	}
	set, err := testimage.Make(ctx, testimage.Options{Log: os.Stderr})
	if err != nil {
		return err
	}
	switch args[0] {
	case "make":
		for _, img := range set.Images() {
			fmt.Fprintln(out, img.Ref, img.Digest)
		}
		return nil
	case "configs":
		return configs(set, out)
	case "serve":
		return serve(ctx, set, args[1:], out)
	case "run":
		return with(ctx, set, args[1:])
	}
	return fmt.Errorf("unknown command %q", args[0])
}

func configs(set *testimage.Set, out io.Writer) error {
	c, err := set.Configs()
	if err != nil {
		return err
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(c)
}

func serve(ctx context.Context, set *testimage.Set, args []string, out io.Writer) error {
	addr := "127.0.0.1:0"
	if len(args) > 0 {
		addr = args[0]
	}
	r, err := set.Serve(ctx, addr)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, r.Addr)
	<-ctx.Done()
	return r.Stop()
}

// with runs a command while the registry is up. A signal goes to the command too (it is in the
// terminal's process group, or gets SIGTERM here), and its end is waited for.
func with(ctx context.Context, set *testimage.Set, args []string) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errors.New("run: no command given")
	}
	r, err := set.Serve(context.WithoutCancel(ctx), "127.0.0.1:0")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "HBUILD_ENGINE_MIRRORS=docker.io="+r.Addr)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = commandError{exit}
	}
	return errors.Join(err, r.Stop())
}

// commandError is the failure of the command that was asked for, and not of one that makes images.
type commandError struct{ *exec.ExitError }
