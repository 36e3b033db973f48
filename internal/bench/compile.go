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

// compiling measures the program's start, and compiling sources of several sizes
// beside the bare HCL parse of the same bytes, which is the floor.
func compiling(ctx context.Context, o options, rep *report) error {
	if err := starts(ctx, o, rep); err != nil {
		return err
	}
	var sources []source
	for _, stages := range []int{100, 1000, 10000} {
		sources = append(sources, source{fmt.Sprintf("one file, %d stages", stages), benchgen.Files(stages / 2), stages})
	}
	sources = append(sources, source{"1000 modules, 10000 targets", benchgen.Modules(1000, 10), 10000})
	// Processes come before what makes this one grow.
	checks := make([]usage, len(sources))
	for i, s := range sources {
		var err error
		if checks[i], err = check(ctx, o, s); err != nil {
			return err
		}
	}
	t := newTable("source", "bytes", "parse", "parse, all processors", "compile", "compile : parse", "a block", "hbuild check", "its cpu", "memory")
	for i, s := range sources {
		t.row(append(compile(s), seconds(checks[i].Wall), seconds(checks[i].CPU), megabytes(checks[i].Memory))...)
	}
	rep.heading("Compiling")
	rep.paragraph("*parse* is the bare HCL parse of all files, on one processor and on all; *compile* is reading, checking and evaluating in the same process; *hbuild check* is a whole process, which also warns of what looks wrong.")
	rep.table(t)
	return nil
}

// starts measures processes that do next to nothing.
func starts(ctx context.Context, o options, rep *report) error {
	empty, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(empty)
	if err := os.WriteFile(filepath.Join(empty, "hbuild.hcl"), nil, 0o644); err != nil {
		return err
	}
	t := newTable("process", "time", "memory")
	for _, p := range []struct{ name, dir, arg string }{
		{"hbuild version", empty, "version"},
		{"hbuild check, an empty file", empty, "check"},
		{"hbuild check, examples/http-server", "examples/http-server", "check"},
	} {
		u, err := fastest(ctx, 10*o.runs, o, p.dir, p.arg)
		if err != nil {
			return err
		}
		t.row(p.name, seconds(u.Wall), megabytes(u.Memory))
	}
	rep.heading("Starting")
	rep.table(t)
	return nil
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

func check(ctx context.Context, o options, s source) (u usage, err error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return u, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, s.files); err != nil {
		return u, err
	}
	return fastest(ctx, o.runs, o, dir, "check")
}

// compile measures one source, and gives the first columns of a row.
func compile(s source) []string {
	var srcs [][]byte
	bytes := 0
	for name, f := range s.files {
		if path.Ext(name) == ".hcl" {
			srcs = append(srcs, f.Data)
			bytes += len(f.Data)
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
	one, all, compiled := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range max(3, 10000/s.blocks) {
		one = min(one, parse(1))
		all = min(all, parse(runtime.NumCPU()))
		compiled = min(compiled, timed(func() error {
			if diags := compiler.Load(fs.FS(s.files), ".", compiler.Options{}).Check(); diags.HasErrors() {
				return diags
			}
			return nil
		}))
	}
	return []string{s.name, fmt.Sprint(bytes), round(one).String(), round(all).String(), round(compiled).String(),
		fmt.Sprintf("%.2f", float64(compiled)/float64(one)), (compiled / time.Duration(s.blocks)).Round(100 * time.Nanosecond).String()}
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

// round keeps three digits.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > 1; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
