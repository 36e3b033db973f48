// Command corpus imports Dockerfiles and compares what becomes of them with what
// BuildKit makes of them: those of BuildKit's own tests, and of the directories
// that are its arguments. It exits with 1 when fewer than 99% are equal.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hbuild/hbuild/internal/corpus"
)

func main() {
	verbose := flag.Bool("v", false, "print what differs, whole")
	rich := flag.Bool("rich", false, "base images set everything: environment, user, directory, shell, triggers")
	arm := flag.Bool("arm", false, "build for linux/arm64 on an engine of linux/amd64")
	given := flag.Bool("given", false, "set the arguments of all stages")
	only := flag.String("only", "", "only files whose name contains `TEXT`")
	flag.Parse()
	ok, base := true, corpus.Plain
	if *rich {
		base = corpus.Rich
	}
	if *given {
		base = corpus.Given
	}
	if *arm {
		base = corpus.Arm
	}
	sets := []struct {
		name string
		load func() ([]corpus.File, error)
	}{{"BuildKit's own tests", corpus.BuildKit}}
	for _, dir := range flag.Args() {
		if dir != "" {
			sets = append(sets, struct {
				name string
				load func() ([]corpus.File, error)
			}{dir, func() ([]corpus.File, error) { return corpus.Dir(dir) }})
		}
	}
	for _, set := range sets {
		files, err := set.load()
		if err != nil {
			fmt.Fprintln(os.Stderr, "corpus:", err)
			os.Exit(1)
		}
		if *only != "" {
			kept := files[:0]
			for _, f := range files {
				if strings.Contains(f.Name, *only) {
					kept = append(kept, f)
				}
			}
			files = kept
		}
		start := time.Now()
		s := corpus.Run(context.Background(), files, base)
		print(set.name, s, *verbose, time.Since(start))
		ok = ok && corpus.Bar(s)
	}
	if !ok && *only == "" {
		os.Exit(1)
	}
}

func print(name string, s *corpus.Summary, verbose bool, took time.Duration) {
	good := s.Count[corpus.Equal]
	fmt.Printf("%s: %d files, %d pairs that BuildKit converts, %d equal (%.1f%%); %d that it refuses: %d the import refuses, %d only the base image decides, %d are refused later, %d accepted; %.1fs\n",
		name, s.Files, s.Converted(), good, 100*float64(good)/float64(max(s.Converted(), 1)), s.Refused(), s.Count[corpus.BothRefuse], s.Count[corpus.BaseDecides], s.Count[corpus.Late], s.Count[corpus.Accepted], took.Seconds())
	for _, p := range s.Pairs {
		if p.Outcome.Good() && !verbose {
			continue
		}
		stage := p.Stage
		if stage == "" {
			stage = "(last)"
		}
		if p.Outcome.Good() && verbose && p.Outcome == corpus.Equal {
			continue
		}
		fmt.Printf("  %-16s %s %s: %s\n", p.Outcome, p.File.Name, stage, p.Cause)
		if verbose {
			fmt.Printf("---- Dockerfile\n%s\n---- HCL\n%s\n---- detail\n%s\n", p.File.Data, p.HCL, p.Detail)
		}
	}
}
