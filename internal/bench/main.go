// Command bench prints how long hbuild takes, and how much memory: compiling
// modules of several sizes beside the bare HCL parse of the same bytes, which is
// the floor, and starting as a process. It measures and judges nothing.
//
// Its one argument is the hbuild program.
package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/internal/benchgen"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bench HBUILD")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(hbuild string) error {
	// Processes come first: the kernel counts, as a child's peak memory, that of the
	// process it was started from, and this one grows.
	if err := processes(hbuild); err != nil {
		return err
	}
	sizes := []int{100, 1000, 10000}
	var checks [][2]string
	for _, stages := range sizes {
		took, memory, err := check(hbuild, stages)
		if err != nil {
			return err
		}
		checks = append(checks, [2]string{took, memory})
	}
	w := table("stages", "bytes", "parse", "compile", "ratio", "per stage", "hbuild check", "peak memory")
	for i, stages := range sizes {
		fmt.Fprintf(w, "%s\t%s\t%s\t\n", compile(stages), checks[i][0], checks[i][1])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Print(`
The best of several runs, alternating. parse is the bare HCL parse, compile is reading, checking and
evaluating in the same process; hbuild check is a whole process, and its peak memory.
`)
	return nil
}

func table(heads ...string) *tabwriter.Writer {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, strings.Join(heads, "\t")+"\t")
	return w
}

// processes measures the start of the program.
func processes(hbuild string) error {
	empty, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(empty)
	if err := os.WriteFile(filepath.Join(empty, "hbuild.hcl"), nil, 0o644); err != nil {
		return err
	}
	w := table("process", "time", "peak memory")
	for _, p := range []struct{ name, dir, arg string }{
		{"hbuild version", empty, "version"},
		{"hbuild check, an empty file", empty, "check"},
		{"hbuild check, examples/http-server", "examples/http-server", "check"},
	} {
		took, memory, err := process(30, p.dir, hbuild, p.arg)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t\n", p.name, took, memory)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// check measures `hbuild check` on a module of that many stages.
func check(hbuild string, stages int) (took, memory string, err error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(dir, benchgen.Files(stages/2)); err != nil {
		return "", "", err
	}
	return process(3, dir, hbuild, "check")
}

// compile measures one size, and gives the columns of a row.
func compile(stages int) string {
	files := benchgen.Files(stages / 2)
	src := files["hbuild.hcl"].Data
	parsed, compiled := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range max(3, 10000/stages) {
		parsed = min(parsed, timed(func() error {
			_, diags := hclsyntax.ParseConfig(src, "hbuild.hcl", hcl.InitialPos)
			return errorsOf(diags)
		}))
		compiled = min(compiled, timed(func() error {
			return errorsOf(compiler.Load(files, ".", compiler.Options{}).Check())
		}))
	}
	return fmt.Sprintf("%d\t%d\t%s\t%s\t%.2f\t%s", stages, len(src), round(parsed), round(compiled),
		float64(compiled)/float64(parsed), (compiled / time.Duration(stages)).Round(100*time.Nanosecond))
}

// timed runs f on a heap that was just cleaned.
func timed(f func() error) time.Duration {
	runtime.GC()
	debug.FreeOSMemory()
	started := time.Now()
	if err := f(); err != nil {
		panic(err) // a module that is generated
	}
	return time.Since(started)
}

func errorsOf(diags hcl.Diagnostics) error {
	if diags.HasErrors() {
		return diags
	}
	return nil
}

// process runs a program several times and gives its best time and memory.
func process(n int, dir, program string, args ...string) (took, memory string, err error) {
	if program, err = filepath.Abs(program); err != nil {
		return "", "", err
	}
	best, peak := time.Duration(math.MaxInt64), int64(math.MaxInt64)
	for range n {
		cmd := exec.Command(program, args...)
		cmd.Dir = dir
		started := time.Now()
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", "", fmt.Errorf("%s %v: %w\n%s", program, args, err, out)
		}
		best = min(best, time.Since(started))
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			peak = min(peak, usage.Maxrss) // in KiB on Linux
		}
	}
	return round(best).String(), fmt.Sprintf("%.1f MB", float64(peak)*1024/1e6), nil
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
