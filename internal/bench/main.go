// Command bench measures hbuild, and beside it `docker buildx bake` on the same
// monorepos. It prints tables, writes them to a file together with what machine it
// was, and judges nothing: no figure makes it fail.
//
// Each tool builds on a daemon of its own, of one program: Bake leaves its daemon
// busy long after it has ended. Runs alternate; the other daemon is stopped
// (SIGSTOP) while one is measured. Before a run the tool's own daemon has become idle,
// or has had its time for it, unless it is about builds that follow each other at once.
// Sizes that are compared are measured in turn, too, each with its own daemons.
//
// What is measured runs in processes of their own, so that their memory is theirs.
// Each thing is measured -runs times, or five times if goals are about its size, but
// twice only when that takes longer than -enough, and the latter more often while all its
// runs took less than -brief.
// A tool that does not end within -limit is not asked for the same again, nor for what
// is more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what is measured, and with what.
type options struct {
	hbuild, buildx string
	sizes          []int
	runs           int
	enough, brief  time.Duration
	limit          time.Duration
	parts          string
	state          string // the directory of the daemons' state; "" is where that of tests is
	out            string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	switch {
	case len(os.Args) > 2 && os.Args[1] == childMeasure:
		os.Exit(measureChild(os.Args[2:]))
	case len(os.Args) == 6 && os.Args[1] == childBare:
		err = bareChild(ctx, os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	case len(os.Args) == 3 && os.Args[1] == childParse:
		err = parseChild(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == childContext:
		err = contextChild(ctx, os.Args[2], os.Args[3])
	default:
		err = parent(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parent(ctx context.Context) error {
	var o options
	sizes := flag.String("sizes", "1,10,50,200,1000", "numbers of services")
	flag.StringVar(&o.hbuild, "hbuild", "bin/hbuild", "the hbuild program")
	flag.StringVar(&o.buildx, "buildx", "bin/buildx", "the buildx program; empty measures hbuild alone")
	flag.IntVar(&o.runs, "runs", 3, "how often each thing is measured, if it takes neither long nor short")
	flag.DurationVar(&o.enough, "enough", 2*time.Minute, "a tool's runs of one thing, once they took this long, are enough")
	flag.DurationVar(&o.brief, "brief", 45*time.Second, "while a tool's runs of one thing took less, they may be more than -runs")
	flag.DurationVar(&o.limit, "limit", 3*time.Minute, "how long one run may take; a tool that took longer is not asked for more of the same")
	flag.StringVar(&o.parts, "parts", "compile,targets,memory,context", "which of them to measure")
	flag.StringVar(&o.out, "o", "", "the file to write, in Markdown")
	flag.Parse()
	if flag.NArg() > 0 || o.runs < 1 {
		return errors.New("usage: bench [FLAG...]; see -help")
	}
	for s := range strings.FieldsFuncSeq(*sizes, func(r rune) bool { return r == ',' || r == ' ' }) {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number of services", s)
		}
		o.sizes = append(o.sizes, n)
	}
	slices.Sort(o.sizes) // what is too many for a tool is followed by more
	rep, err := newReport(o)
	if err != nil {
		return err
	}
	err = measureAll(ctx, o, rep)
	rep.ended(err)
	fmt.Print(rep.plain())
	return errors.Join(err, rep.save())
}

// measureAll does all parts, whether or not one of them fails.
func measureAll(ctx context.Context, o options, rep *report) (err error) {
	// Processes come first: the kernel counts, as a child's peak memory, that of the
	// process it was started from, and this one grows.
	for _, part := range []struct {
		name string
		run  func(context.Context, options, *report) error
	}{{"compile", compiling}, {"targets", targets}, {"memory", inMemory}, {"context", contexts}} {
		if !strings.Contains(o.parts, part.name) || ctx.Err() != nil {
			continue
		}
		progress("%s", part.name)
		if failed := part.run(ctx, o, rep); failed != nil {
			progress("%s: %v", part.name, failed)
			err = errors.Join(err, fmt.Errorf("%s: %w", part.name, failed))
		}
		err = errors.Join(err, rep.save())
	}
	return errors.Join(err, ctx.Err())
}

// progress says on standard error what is going on, with the time of day: a whole
// run takes long.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s bench: %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
