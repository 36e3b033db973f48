package main

import (
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing/fstest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"golang.org/x/sync/errgroup"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/internal/benchgen"
)

// source is a module, or a tree of them, to compile.
type source struct {
	name   string
	files  fstest.MapFS
	blocks int // stages, or targets
}

// compileResult is what was measured without an engine.
type compileResult struct {
	starts  *table
	sources []*compiled
}

// compiled is one source and how long it took.
type compiled struct {
	source
	bytes int
	// parse is the bare parse on one processor, parseAll on all; whole is reading,
	// checking and evaluating in the same process.
	parse, parseAll, whole time.Duration
	check, bare            usage // of a process; bare is one that only parses, see parseChild
}

// childParse makes this program one that parses the files of a directory, and no more.
const childParse = "parse-child"

// manyModules is the source that there is a goal for.
const manyModules = "1000 modules, 10000 targets"

// compiling measures the program's start, and compiling sources of several sizes
// beside the bare HCL parse of the same bytes, which is the floor.
func compiling(ctx context.Context, o options, rep *report) error {
	starts, err := starts(ctx, o)
	if err != nil {
		return err
	}
	res := &compileResult{starts: starts}
	for _, stages := range []int{100, 1000, 10000} {
		res.sources = append(res.sources, &compiled{source: source{fmt.Sprintf("one file, %d stages", stages), benchgen.Files(stages / 2), stages}})
	}
	res.sources = append(res.sources, &compiled{source: source{manyModules, benchgen.Modules(1000, 10), 10000}})
	// Processes come before what makes this one grow.
	for _, s := range res.sources {
		if err = s.processes(ctx, o); err != nil {
			return err
		}
	}
	for _, s := range res.sources {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.compile(); err != nil {
			return err
		}
		s.files = nil
	}
	rep.compile = res
	return nil
}

// describe adds its tables.
func (r *compileResult) describe(d *document) {
	d.heading("Starting")
	d.table(r.starts)
	d.heading("Compiling")
	d.paragraph("*parse* is the bare HCL parse of all files, on one processor and on all, of bytes in memory and of which nothing is kept; *compile* is reading, checking and evaluating in the same process. *hbuild check* is a whole process, which also warns of what looks wrong; *bare process* is one that reads the same files, parses them on all processors, keeps the syntax trees, and ends.")
	t := newTable("source", "bytes", "parse", "parse, all processors", "compile", "compile : parse", "a block", "hbuild check", "its cpu", "memory", "bare process", "its cpu", "memory", "check : bare", "check : parse", "check : parse, all")
	for _, s := range r.sources {
		t.row(s.name, fmt.Sprint(s.bytes), seconds(s.parse), seconds(s.parseAll), seconds(s.whole), ratio(s.whole, s.parse), (s.whole / time.Duration(s.blocks)).Round(100*time.Nanosecond).String(),
			seconds(s.check.Wall), seconds(s.check.CPU), megabytes(s.check.Memory),
			seconds(s.bare.Wall), seconds(s.bare.CPU), megabytes(s.bare.Memory), ratio(s.check.Wall, s.bare.Wall), ratio(s.check.Wall, s.parse), ratio(s.check.Wall, s.parseAll))
	}
	d.table(t)
}

// goal is what there is to say of the goal for many modules.
func (r *compileResult) goal() string {
	i := slices.IndexFunc(r.sources, func(s *compiled) bool { return s.name == manyModules })
	s := r.sources[i]
	return fmt.Sprintf("%s (%s of a parse on one processor that keeps nothing, %s of one on all)", ratio(s.check.Wall, s.bare.Wall), ratio(s.check.Wall, s.parse), ratio(s.check.Wall, s.parseAll))
}

// starts measures processes that do next to nothing.
func starts(ctx context.Context, o options) (*table, error) {
	empty, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(empty)
	if err := os.WriteFile(filepath.Join(empty, "hbuild.hcl"), nil, 0o644); err != nil {
		return nil, err
	}
	t := newTable("process", "time", "memory")
	for _, p := range []struct{ name, dir, arg string }{
		{"hbuild version", empty, "version"},
		{"hbuild check, an empty file", empty, "check"},
		{"hbuild check, examples/http-server", "examples/http-server", "check"},
	} {
		u, err := fastest(ctx, 10*o.runs, o, p.dir, p.arg)
		if err != nil {
			return nil, err
		}
		t.row(p.name, seconds(u.Wall), megabytes(u.Memory))
	}
	return t, nil
}

// fastest is the fastest of several runs of hbuild.
func fastest(ctx context.Context, n int, o options, dir string, args ...string) (best usage, err error) {
	for range n {
		u, err := measure(ctx, o.limit, dir, nil, o.hbuild, args...)
		if err != nil {
			return best, err
		}
		if best.Wall == 0 || u.Wall < best.Wall {
			best = u
		}
	}
	return best, nil
}

// processes measures hbuild, and what only parses, as processes, in turns.
func (s *compiled) processes(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, s.files); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for range o.runs {
		for _, p := range []struct {
			best *usage
			args []string
		}{{&s.check, []string{o.hbuild, "check"}}, {&s.bare, []string{self, childParse, "."}}} {
			u, err := measure(ctx, o.limit, dir, nil, p.args[0], p.args[1:]...)
			if err != nil {
				return err
			}
			if p.best.Wall == 0 || u.Wall < p.best.Wall {
				*p.best = u
			}
		}
	}
	return nil
}

// parseChild is the floor for any compiler: it reads the files of a directory and keeps
// what the HCL parser makes of them, on all processors, and as seldom as hbuild check
// does it collects garbage.
func parseChild(dir string) error {
	debug.SetGCPercent(800)
	var names []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err == nil && path.Ext(name) == ".hcl" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	kept := make([]*hcl.File, len(names))
	eg := errgroup.Group{}
	eg.SetLimit(runtime.GOMAXPROCS(0))
	for i, name := range names {
		eg.Go(func() error {
			src, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
			if kept[i] = f; diags.HasErrors() {
				return diags
			}
			return nil
		})
	}
	err = eg.Wait()
	runtime.KeepAlive(kept)
	return err
}

// compile measures one source in this process, and from a real directory, as hbuild
// reads it.
func (s *compiled) compile() error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, s.files); err != nil {
		return err
	}
	var srcs [][]byte
	for name, f := range s.files {
		if path.Ext(name) == ".hcl" {
			srcs = append(srcs, f.Data)
			s.bytes += len(f.Data)
		}
	}
	parse := func(workers int) time.Duration {
		return timed(func() error {
			var eg errgroup.Group
			for part := range slices.Chunk(srcs, (len(srcs)+workers-1)/workers) {
				eg.Go(func() error {
					for _, src := range part {
						if _, diags := hclsyntax.ParseConfig(src, "hbuild.hcl", hcl.InitialPos); diags.HasErrors() {
							return diags
						}
					}
					return nil
				})
			}
			return eg.Wait()
		})
	}
	s.parse, s.parseAll, s.whole = math.MaxInt64, math.MaxInt64, math.MaxInt64
	for range max(3, 10000/s.blocks) {
		s.parse = min(s.parse, parse(1))
		s.parseAll = min(s.parseAll, parse(runtime.NumCPU()))
		s.whole = min(s.whole, timed(func() error {
			if diags := compiler.Load(os.DirFS(dir), ".", compiler.Options{}).Check(); diags.HasErrors() {
				return diags
			}
			return nil
		}))
	}
	return nil
}

// timed runs f on a heap that was just cleaned.
func timed(f func() error) time.Duration {
	runtime.GC()
	debug.FreeOSMemory()
	started := time.Now()
	if err := f(); err != nil {
		panic(err) // sources are generated
	}
	return time.Since(started)
}
