package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	nameOneFile = "one file"
	nameBake    = "bake"

	nameCold = "cold" // of a scenario
)

// tool is one of the programs that are compared.
type tool struct {
	name    string
	daemon  *daemon
	limit   time.Duration
	program string
	// args are the program's arguments for what is to be built, as hbuild names it;
	// env is added to its environment.
	args func(t *tool, kind, what string) []string
	env  []string
	// repository is what it builds, and what says which part of it.
	repository func(services int) fstest.MapFS
	what       string
	// late says that a build of this size ran out of time, and larger ones will.
	late bool
}

// took is what one scenario took of a tool.
type took struct {
	usage
	Daemon, After time.Duration // processor time of the daemon, during and after
	Busy          bool          // it was not idle even then
	Bare          time.Duration // the same by a bare client
	Late          bool
}

// scenario is one thing that is done to a monorepo.
type scenario struct {
	name string
	kind string
	// before prepares a run; it is not measured.
	before func(ctx context.Context, t *tool, dir string, run int) error
	runs   func(o options, size int) int
	bare   bool
}

// bakeRuns is how often Bake is measured: two hundred targets take it a minute, with
// what its daemon does afterwards.
func bakeRuns(sc scenario, size int) int {
	switch {
	case size < 100:
		return math.MaxInt
	case sc.name == nameCold:
		return 1
	}
	return 2
}

// few is how often a cold build is measured: those of many services take long.
func few(o options, size int) int {
	switch {
	case size >= 500:
		return 1
	case size >= 100:
		return min(o.runs, 2)
	}
	return o.runs
}

func all(o options, _ int) int { return o.runs }

var scenarios = []scenario{
	{name: nameCold, kind: kindSolve, runs: few, before: func(ctx context.Context, t *tool, _ string, _ int) error {
		return t.daemon.prune(ctx)
	}},
	{name: "nothing changed", kind: kindSolve, runs: all, bare: true},
	{name: "one file changed", kind: kindSolve, runs: all, before: func(_ context.Context, _ *tool, dir string, run int) error {
		return appendTo(filepath.Join(dir, "services", benchgen.Service(0), "lib1.sh"), fmt.Sprintf("# change %d\n", run))
	}},
	{name: "nothing changed, images exported", kind: kindImages, runs: all, bare: true, before: func(ctx context.Context, t *tool, dir string, run int) error {
		if run > 0 {
			return nil
		}
		_, err := t.build(ctx, dir, kindImages, t.what) // the first export makes the layers
		if err == nil {
			t.daemon.idle(ctx)
		}
		return err
	}},
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// targets measures monorepos of all sizes.
func targets(ctx context.Context, o options, rep *report) error {
	tools, end, err := startTools(ctx, o)
	if err != nil {
		return err
	}
	defer end()
	results := map[int]map[string]map[string]*took{}
	for i, size := range o.sizes {
		fmt.Fprintf(os.Stderr, "bench: %d services\n", size)
		got, failed := monorepo(ctx, o, tools, size)
		if failed != nil {
			// What was measured is shown all the same; it took its time.
			err = fmt.Errorf("%d services: %w", size, failed)
			o.sizes = o.sizes[:i]
			break
		}
		results[size] = got
	}
	if len(o.sizes) == 0 {
		return err
	}
	rep.heading("Monorepos")
	rep.paragraph(targetsText)
	rep.table(targetsTable(o, tools, results))
	rep.paragraph("What hbuild's time grows by, and what a change costs:")
	rep.table(growthTable(o, results))
	return err
}

const targetsText = "A service has files of its own, a step that runs on a toolchain which all share, and an image over scratch. " +
	"hbuild has a module a service, found by its file, and in the columns *one file* a for_each over the services' directories. Bake builds a matrix of targets, each a Dockerfile in the service's directory with the toolchain as a linked target, in a git repository, and makes no attestations (hbuild makes none unless asked). " +
	"Nothing is exported, except images where it says so: those go into the daemon's own store (`type=image`), for both. " +
	"*cpu* is processor time of the client and its daemon until the client ends, *after* what the daemon then goes on using. " +
	"*bare* is the same solves, or exports, of the same definitions by a client that does nothing else: one session, no files read but contexts, nothing shown."

// startTools starts a daemon for each tool.
func startTools(ctx context.Context, o options) (tools []*tool, end func(), err error) {
	end = func() {
		for _, t := range tools {
			if err := errors.Join(t.daemon.goOn(), t.daemon.Stop()); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}
	}
	start := []*tool{
		{name: nameHbuild, program: o.hbuild, args: hbuildArgs, limit: o.limit, repository: benchgen.Monorepo, what: "./services/..."},
		{name: nameOneFile, program: o.hbuild, args: hbuildArgs, limit: o.limit, repository: benchgen.OneFile, what: "default"},
	}
	bake := &tool{name: nameBake, program: o.buildx, args: bakeArgs, limit: o.limit, repository: benchgen.Monorepo}
	if o.buildx != "" {
		start = append(start, bake)
	}
	for _, t := range start {
		if t.daemon, err = startDaemon(ctx); err != nil {
			end()
			return nil, nil, err
		}
		t.daemon.records = t.name == nameBake
		tools = append(tools, t)
	}
	if o.buildx == "" {
		return tools, end, nil
	}
	config, err := os.MkdirTemp("", "bench-buildx-")
	if err != nil {
		end()
		return nil, nil, err
	}
	stop := end
	end = func() { stop(); os.RemoveAll(config) }
	bake.env = []string{"BUILDX_CONFIG=" + config, "BUILDX_NO_DEFAULT_ATTESTATIONS=1"}
	cmd := exec.CommandContext(ctx, o.buildx, "create", "--name", "bench", "--driver", "remote", bake.daemon.Engine)
	cmd.Env = append(os.Environ(), bake.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		end()
		return nil, nil, fmt.Errorf("buildx create: %w\n%s", err, out)
	}
	return tools, end, nil
}

func hbuildArgs(t *tool, kind, what string) []string {
	return []string{"build", what, "--engine", t.daemon.Engine, "--progress", "quiet", "-o", "type=" + kind}
}

func bakeArgs(_ *tool, kind, _ string) []string {
	return []string{"bake", "--builder", "bench", "--progress", "quiet", "--set", "*.output=type=" + kind}
}

// build runs the tool in dir and measures it.
func (t *tool) build(ctx context.Context, dir, kind, what string) (usage, error) {
	return measure(ctx, t.limit, dir, t.env, t.program, t.args(t, kind, what)...)
}

// monorepo measures all scenarios of one size. Each tool has a copy of the sources
// in a git repository, as Bake's users have.
func monorepo(ctx context.Context, o options, tools []*tool, size int) (map[string]map[string]*took, error) {
	dirs := map[*tool]string{}
	for _, t := range tools {
		dir, err := writeRepository(t.repository(size))
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		dirs[t] = dir
	}
	out := map[string]map[string]*took{}
	for _, sc := range scenarios {
		var err error
		out[sc.name] = map[string]*took{}
		for run := range sc.runs(o, size) {
			for _, t := range tools {
				if t.name == nameBake && run >= bakeRuns(sc, size) {
					continue
				}
				if t.late {
					out[sc.name][t.name] = &took{Late: true}
					continue
				}
				tk, err := once(ctx, sc, t, tools, dirs[t], run)
				if errors.Is(err, errLate) && t.name == nameBake {
					t.late = true
					tk = &took{Late: true}
				} else if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", t.name, sc.name, err)
				}
				out[sc.name][t.name] = better(out[sc.name][t.name], tk)
			}
		}
		if sc.bare {
			for _, t := range tools {
				if t.name == nameBake {
					continue
				}
				if out[sc.name][t.name].Bare, err = bareRun(ctx, tools, t, dirs[t], sc.kind); err != nil {
					return nil, fmt.Errorf("bare client: %s: %w", sc.name, err)
				}
			}
		}
	}
	return out, nil
}

// once does a scenario once, while the daemons of the other tools are stopped.
func once(ctx context.Context, sc scenario, t *tool, tools []*tool, dir string, run int) (*took, error) {
	if sc.before != nil {
		if err := sc.before(ctx, t, dir, run); err != nil {
			return nil, err
		}
	}
	goOn, err := alone(t, tools)
	if err != nil {
		return nil, err
	}
	defer goOn()
	before := t.daemon.cpu()
	u, err := t.build(ctx, dir, sc.kind, t.what)
	if err != nil {
		return nil, err
	}
	tk := &took{usage: u, Daemon: t.daemon.cpu() - before}
	goOn()
	used, idle := t.daemon.idle(ctx)
	tk.After, tk.Busy = used, !idle
	return tk, nil
}

// alone stops the daemons of the other tools.
func alone(t *tool, tools []*tool) (goOn func(), err error) {
	for _, other := range tools {
		if other != t {
			err = errors.Join(err, other.daemon.stop())
		}
	}
	return func() {
		for _, other := range tools {
			other.daemon.goOn()
		}
	}, err
}

// better is the faster one of two, with the larger memory of both.
func better(a, b *took) *took {
	if a == nil || a.Late || b.Late {
		return b
	}
	memory := max(a.Memory, b.Memory)
	if b.Wall < a.Wall {
		a = b
	}
	a.Memory = memory
	return a
}

func bareRun(ctx context.Context, tools []*tool, t *tool, dir, kind string) (time.Duration, error) {
	goOn, err := alone(t, tools)
	if err != nil {
		return 0, err
	}
	defer goOn()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	best := time.Duration(0)
	for range 2 {
		u, err := measure(ctx, t.limit, dir, nil, self, childBare, t.daemon.Engine, dir, kind, t.what)
		if err != nil {
			return 0, err
		}
		var res bareResult
		if err := json.Unmarshal(u.Out, &res); err != nil {
			return 0, err
		}
		if best == 0 || res.Wall < best {
			best = res.Wall
		}
		t.daemon.idle(ctx)
	}
	return best, nil
}

// writeFiles writes files into a new directory.
func writeFiles(fsys fs.FS) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, fsys); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// writeRepository writes files into a new directory and commits them.
func writeRepository(fsys fs.FS) (dir string, err error) {
	if dir, err = writeFiles(fsys); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-q", "-m", "bench"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", errors.Join(fmt.Errorf("git %v: %w\n%s", args, err, out), os.RemoveAll(dir))
		}
	}
	return dir, nil
}

func targetsTable(o options, tools []*tool, results map[int]map[string]map[string]*took) *table {
	heads := []string{"services, scenario", "hbuild", "bare", "cpu", "memory", "one file", "bare", "cpu"}
	bake := slices.ContainsFunc(tools, func(t *tool) bool { return t.name == nameBake })
	if bake {
		heads = append(heads, "Bake", "cpu", "after", "memory", "Bake : hbuild", "Bake : one file", "memory")
	}
	t := newTable(heads...)
	for _, size := range o.sizes {
		for _, sc := range scenarios {
			h, f := results[size][sc.name][nameHbuild], results[size][sc.name][nameOneFile]
			row := []string{fmt.Sprintf("%d, %s", size, sc.name), seconds(h.Wall), seconds(h.Bare), seconds(h.CPU + h.Daemon), megabytes(h.Memory), seconds(f.Wall), seconds(f.Bare), seconds(f.CPU + f.Daemon)}
			if bake {
				row = append(row, bakeCells(o, h, f, results[size][sc.name][nameBake])...)
			}
			t.row(row...)
		}
	}
	return t
}

func bakeCells(o options, h, f, b *took) []string {
	if b.Late {
		return []string{"> " + seconds(o.limit), "", "", "", "> " + ratio(o.limit, h.Wall), "> " + ratio(o.limit, f.Wall), ""}
	}
	after := seconds(b.After)
	if b.Busy {
		after = "> " + after
	}
	return []string{seconds(b.Wall), seconds(b.CPU + b.Daemon), after, megabytes(b.Memory), ratio(b.Wall, h.Wall), ratio(b.Wall, f.Wall), ratio(b.Memory, h.Memory)}
}

// growthTable compares hbuild with itself.
func growthTable(o options, results map[int]map[string]map[string]*took) *table {
	t := newTable("", "hbuild", "one file")
	walls := func(a int, scenarioA string, b int, scenarioB string) (cells []string) {
		for _, name := range []string{nameHbuild, nameOneFile} {
			cells = append(cells, ratio(results[a][scenarioA][name].Wall, results[b][scenarioB][name].Wall))
		}
		return cells
	}
	const unchanged = "nothing changed"
	for _, size := range o.sizes {
		t.row(append([]string{fmt.Sprintf("one file changed : %s, %d services", unchanged, size)}, walls(size, "one file changed", size, unchanged)...)...)
	}
	for i, size := range o.sizes[1:] {
		for _, sc := range scenarios {
			name := fmt.Sprintf("%s, %d : %d services (%.2g times as many)", sc.name, size, o.sizes[i], float64(size)/float64(o.sizes[i]))
			t.row(append([]string{name}, walls(size, sc.name, o.sizes[i], sc.name)...)...)
		}
	}
	return t
}
