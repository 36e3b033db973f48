package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/lang"
)

// fmtOptions are what `hbuild fmt` takes.
type fmtOptions struct {
	check, diff bool
	paths       []string
}

func newFmtCmd(a *app) *cobra.Command {
	var o fmtOptions
	cmd := &cobra.Command{
		Use:   "fmt [PATH...|-]",
		Short: "Format hbuild files",
		Long: `Fmt writes hbuild files in canonical form and prints the names of those that it
changed. A PATH is a file, a directory (its hbuild files) or DIR/... (and those
below it); without one it is the module's directory. With - it formats standard
input to standard output. Files with syntax errors are left alone.`,
		Example: `  hbuild fmt
  hbuild fmt ./...
  hbuild fmt --check        exit code 3 when a file is not formatted
  hbuild fmt - < hbuild.hcl`,
		GroupID: groupFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			o.paths = args
			return a.fmt(&o)
		},
	}
	cmd.Flags().BoolVar(&o.check, "check", false, "write nothing; exit with 3 and list the files when some are not formatted")
	cmd.Flags().BoolVar(&o.diff, "diff", false, "write nothing; print the differences")
	return cmd
}

func (a *app) fmt(o *fmtOptions) error {
	if len(o.paths) == 1 && o.paths[0] == "-" {
		return a.fmtStdin(o)
	}
	files, err := fmtFiles(o.paths)
	if err != nil {
		return err
	}
	stale, failed := false, false
	for _, file := range files {
		changed, err := a.fmtFile(o, file)
		if _, said := err.(*exitError); said {
			failed = true
		} else if err != nil {
			return err
		}
		stale = stale || changed
	}
	switch {
	case failed:
		return &exitError{Code: exitConfig}
	case stale && o.check:
		return &exitError{Code: exitStale}
	}
	return nil
}

// fmtStdin formats standard input to standard output.
func (a *app) fmtStdin(o *fmtOptions) error {
	data, err := io.ReadAll(a.stdin)
	if err != nil {
		return err
	}
	out, err := a.format("<stdin>", data)
	if err != nil {
		return err
	}
	changed := !bytes.Equal(data, out)
	switch {
	case o.diff:
		err = a.printDiff("<stdin>", data, out)
	case !o.check:
		_, err = a.stdout.Write(out)
	}
	if err == nil && o.check && changed {
		err = &exitError{Code: exitStale}
	}
	return err
}

// fmtFile formats one file, or says how it differs.
func (a *app) fmtFile(o *fmtOptions, file string) (changed bool, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return false, usagef("%s: %v.", a.shown(file), reason(err))
	}
	name := filepath.ToSlash(a.shown(file))
	out, err := a.format(name, data)
	if err != nil || bytes.Equal(data, out) {
		return false, err
	}
	if o.diff {
		return true, a.printDiff(name, data, out)
	}
	if !o.check {
		if err := writeFile(file, out, 0o644); err != nil {
			return true, err
		}
	}
	_, err = fmt.Fprintln(a.stdout, name)
	return true, err
}

// format formats one source and prints what is wrong with it.
func (a *app) format(name string, data []byte) ([]byte, error) {
	out, diags := lang.Format(lang.Source{Name: name, Data: data})
	return out, a.report(a.stderr, formatText, diags, map[string][]byte{name: data}, nil)
}

// fmtFiles lists the files that paths name, each once.
func fmtFiles(paths []string) ([]string, error) {
	if len(paths) == 0 {
		dir, _, err := (&moduleFlags{}).moduleDir(false)
		if err != nil {
			return nil, err
		}
		paths = []string{dir}
	}
	seen := map[string]bool{}
	var out []string
	for _, p := range paths {
		found, err := hbuildFiles(p)
		if err != nil {
			return nil, err
		}
		for _, file := range found {
			if !seen[file] {
				seen[file] = true
				out = append(out, file)
			}
		}
	}
	return out, nil
}

// hbuildFiles lists the files of one PATH.
func hbuildFiles(p string) ([]string, error) {
	dir, below := strings.CutSuffix(filepath.ToSlash(p), "...")
	if below {
		p = filepath.Clean(filepath.FromSlash(dir))
	}
	info, err := os.Stat(p)
	if err != nil {
		return nil, usagef("%s: %v.", p, reason(err))
	}
	if !info.IsDir() {
		return []string{p}, nil
	}
	var out []string
	err = filepath.WalkDir(p, func(file string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && file != p && (!below || strings.HasPrefix(e.Name(), ".")):
			return fs.SkipDir
		case !e.IsDir() && isHbuildFile(e.Name()):
			out = append(out, file)
		}
		return nil
	})
	sort.Strings(out)
	if err == nil && len(out) == 0 {
		err = usagef("%s has no hbuild files.", p)
	}
	return out, err
}

// isHbuildFile reports whether a file of this name belongs to a module.
func isHbuildFile(name string) bool {
	return name == lang.MainFile || name == lang.OverrideFile || name == lang.VarsFile ||
		strings.HasSuffix(name, lang.FileSuffix) && name != lang.FileSuffix
}

// printDiff prints what turns the file into what it should be.
func (a *app) printDiff(name string, have, want []byte) error {
	if bytes.Equal(have, want) {
		return nil
	}
	return difflib.WriteUnifiedDiff(a.stdout, difflib.UnifiedDiff{
		A: diffLines(have), FromFile: name, B: diffLines(want), ToFile: name + " (new)", Context: 3,
	})
}

// diffLines splits a text as diff does, which says when the last line has no end.
func diffLines(text []byte) []string {
	lines := strings.SplitAfter(string(text), "\n")
	last := len(lines) - 1
	if lines[last] == "" {
		return lines[:last]
	}
	lines[last] += "\n\\ No newline at end of file\n"
	return lines
}
