package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing/fstest"
	"time"

	"github.com/hbuild/hbuild/internal/benchgen"
)

// The kinds of result: nothing leaves the daemon, or each target's image goes into
// its store, under its tag.
const (
	kindSolve  = "cacheonly"
	kindImages = "image"
)

// The names of tools. hbuild is measured with a module a service, and with all
// services in one file.
const (
	nameHbuild  = "hbuild"
	nameOneFile = "hbuild, one file"
	nameBake    = "Bake"
)

// tool is one of the programs that are compared.
type tool struct {
	name    string
	daemon  *daemon
	address string // where it reaches its daemon
	wire    *wire  // what counts on the way; nil for nothing
	limit   time.Duration
	program string
	// args are the program's arguments for what is to be built, as hbuild names it;
	// env is added to its environment.
	args func(t *tool, kind, what string) []string
	env  []string
	// repository is what it builds, and what says which part of it.
	repository func(services int) fstest.MapFS
	what       string
	size       int    // how many services it builds
	dir        string // where they are
	// scenarios is how many of them it gets to: fewer once one of them took too long.
	scenarios int
	failed    error // why one of them failed
}

// startTools starts a daemon for each tool. counted tools reach theirs through a
// socket where bytes are counted; of hbuild there is one then.
func startTools(ctx context.Context, o options, counted bool) (tools []*tool, end func(), err error) {
	var cleanups []func() error
	end = func() {
		for _, t := range tools {
			err := t.daemon.goOn()
			if t.wire != nil {
				err = errors.Join(err, t.wire.close())
			}
			cleanups = append(cleanups, t.daemon.Stop)
			if err != nil {
				progress("%s: %v", t.name, err)
			}
		}
		for _, f := range cleanups {
			if err := f(); err != nil {
				progress("%v", err)
			}
		}
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	start := []*tool{{name: nameHbuild, program: o.hbuild, args: hbuildArgs, repository: benchgen.Monorepo, what: "./services/..."}}
	if !counted {
		start = append(start, &tool{name: nameOneFile, program: o.hbuild, args: hbuildArgs, repository: benchgen.OneFile, what: "default"})
	}
	if o.buildx != "" {
		config, err := os.MkdirTemp("", "bench-buildx-")
		if err != nil {
			return nil, nil, err
		}
		cleanups = append(cleanups, func() error { return os.RemoveAll(config) })
		start = append(start, &tool{name: nameBake, program: o.buildx, args: bakeArgs, repository: benchgen.Monorepo,
			env: []string{"BUILDX_CONFIG=" + config, "BUILDX_NO_DEFAULT_ATTESTATIONS=1"}})
	}
	for _, t := range start {
		t.limit, t.scenarios = o.limit, len(scenarios)
		if t.daemon, err = startDaemon(ctx, o.state); err != nil {
			return nil, nil, err
		}
		tools = append(tools, t)
		if err := t.connect(ctx, counted); err != nil {
			return nil, nil, err
		}
	}
	return tools, end, nil
}

// connect tells the tool where its daemon is.
func (t *tool) connect(ctx context.Context, counted bool) (err error) {
	t.address = t.daemon.Engine
	t.daemon.records = t.name == nameBake
	if counted {
		if t.wire, err = listen(t.daemon.Engine); err != nil {
			return err
		}
		t.address = t.wire.address
	}
	if t.name != nameBake {
		return nil
	}
	cmd := exec.CommandContext(ctx, t.program, "create", "--name", "bench", "--driver", "remote", t.address)
	cmd.Env = append(os.Environ(), t.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("buildx create: %w\n%s", err, out)
	}
	return nil
}

func hbuildArgs(t *tool, kind, what string) []string {
	return []string{"build", what, "--engine", t.address, "--progress", "quiet", "-o", "type=" + kind}
}

func bakeArgs(_ *tool, kind, _ string) []string {
	return []string{"bake", "--builder", "bench", "--progress", "quiet", "--set", "*.output=type=" + kind}
}

// build runs the tool in dir and measures it.
func (t *tool) build(ctx context.Context, dir, kind, what string) (usage, error) {
	return measure(ctx, t.limit, dir, t.env, t.program, t.args(t, kind, what)...)
}

// alone stops the daemons of the other tools. goOn lets them go on, but for those of
// tools that are not asked for anything any more: what these left behind is nobody's.
func alone(t *tool, tools []*tool) (goOn func(), err error) {
	for _, other := range tools {
		if other != t {
			err = errors.Join(err, other.daemon.stop())
		}
	}
	return func() {
		for _, other := range tools {
			if other != t && other.scenarios > 0 {
				if err := other.daemon.goOn(); err != nil {
					progress("%s: %v", other.name, err)
				}
			}
		}
	}, err
}
