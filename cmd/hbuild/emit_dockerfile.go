package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/dockerfile"
)

// dockerfileOptions are what `hbuild emit dockerfile` takes.
type dockerfileOptions struct {
	emitOptions
	check bool
}

// ignoreSuffix is what BuildKit adds to a Dockerfile's name to find the ignore
// file that belongs to it alone.
const ignoreSuffix = ".dockerignore"

func newEmitDockerfileCmd(a *app) *cobra.Command {
	var o dockerfileOptions
	cmd := &cobra.Command{
		Use:   "dockerfile [ADDR]",
		Short: "Print a target as a Dockerfile",
		Long: `Emit dockerfile prints a Dockerfile that builds what the target builds; its first
lines say how to call docker build. With -o it also writes FILE.dockerignore when
the target's context leaves files out.

With --check nothing is written: the exit code is 3, and the differences are
printed, when FILE is not what would be written.`,
		Example: `  hbuild emit dockerfile prod
  hbuild emit dockerfile prod -o Dockerfile
  hbuild emit dockerfile prod -o Dockerfile --check`,
		RunE: func(_ *cobra.Command, args []string) error {
			o.arg(args)
			return a.emitDockerfile(&o)
		},
	}
	o.register(a, cmd)
	cmd.Flags().BoolVar(&o.check, "check", false, "write nothing; exit with 3 when the file of -o is another")
	return cmd
}

func (a *app) emitDockerfile(o *dockerfileOptions) error {
	if o.check && (o.output == "" || o.output == "-") {
		return usagef("--check compares with a file; name it with -o FILE.")
	}
	e, err := a.emit(&o.emitOptions)
	if err != nil {
		return err
	}
	defer e.p.Close()
	f, diags := dockerfile.Emit(e.graph, e.target)
	if err := e.p.report(diags); err != nil {
		return err
	}
	switch {
	case o.check:
		return a.checkDockerfile(o.output, f)
	case o.output == "" || o.output == "-":
		if f.IgnoreFile != nil {
			fmt.Fprintf(a.stderr, "hbuild: note: the build also needs a file Dockerfile%s; -o FILE writes it.\n", ignoreSuffix)
		}
		return a.write(&o.emitOptions, f.Dockerfile)
	}
	return a.writeDockerfile(o.output, f)
}

// writeDockerfile writes the ignore file first: one that is there too early
// belongs to no Dockerfile yet, one that is late is missing in a build.
func (a *app) writeDockerfile(name string, f *dockerfile.File) error {
	if f.IgnoreFile != nil {
		if err := writeFile(name+ignoreSuffix, f.IgnoreFile, 0o644); err != nil {
			return err
		}
	} else {
		a.warnIgnore(name)
	}
	return writeFile(name, f.Dockerfile, 0o644)
}

// warnIgnore warns of an ignore file that docker build reads and the target does
// not have. It may be the user's own, so it is not removed.
func (a *app) warnIgnore(name string) {
	if _, err := os.Lstat(name + ignoreSuffix); err == nil {
		fmt.Fprintf(a.stderr, "hbuild: warning: docker build reads %s, and the target leaves nothing out by itself; remove it if it is from an earlier emit.\n", filepath.ToSlash(a.shown(name+ignoreSuffix)))
	}
}

// checkDockerfile prints how the files differ from what would be written.
func (a *app) checkDockerfile(name string, f *dockerfile.File) error {
	stale, err := a.compare(name, f.Dockerfile)
	if err != nil {
		return err
	}
	if f.IgnoreFile != nil {
		other, err := a.compare(name+ignoreSuffix, f.IgnoreFile)
		if err != nil {
			return err
		}
		stale = stale || other
	} else {
		a.warnIgnore(name)
	}
	if stale {
		return &exitError{Code: exitStale}
	}
	return nil
}

// compare prints how a file differs from what it should be; a missing file counts
// as an empty one.
func (a *app) compare(name string, want []byte) (stale bool, err error) {
	have, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, usagef("%s: %v.", a.shown(name), reason(err))
	}
	missing := err != nil
	if missing {
		fmt.Fprintf(a.stderr, "hbuild: %s is not there.\n", a.shown(name))
	}
	return missing || !bytes.Equal(have, want), a.printDiff(filepath.ToSlash(a.shown(name)), have, want)
}
