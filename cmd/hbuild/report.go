package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/console"
	"github.com/hashicorp/hcl/v2"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// The formats of output that commands share; diagnostics have more of them, see
// [diag.Formats].
const (
	formatText = "text"
	formatJSON = "json"
)

// registerFormat adds --format for diagnostics.
func registerFormat(cmd *cobra.Command, format *string) {
	choice(cmd, cmd.Flags(), format, "format", "how mistakes are shown", diag.Formats...)
}

// terminal returns the file behind w when that is a terminal.
func terminal(w io.Writer) *os.File {
	if f, ok := w.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		return f
	}
	return nil
}

// colored reports whether what goes to w gets colour.
func (a *app) colored(w io.Writer) bool {
	switch a.color {
	case "always":
		return true
	case "never":
		return false
	}
	return terminal(w) != nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// width is the width of the terminal that w is, in columns; 0 when it is none.
func width(w io.Writer) int {
	f := terminal(w)
	if f == nil {
		return 0
	}
	c, err := console.ConsoleFromFile(f)
	if err != nil {
		return 0
	}
	size, err := c.Size()
	if err != nil {
		return 0
	}
	return int(size.Width)
}

// report prints diagnostics, errors and warnings, to w; files are the sources by
// the names that ranges use, and path turns those names into what the user calls
// the files (nil: as they are). The error, of exit code 2, is set when one of the
// diagnostics is an error, which has been said then.
func (a *app) report(w io.Writer, format string, diags hcl.Diagnostics, files map[string][]byte, path func(string) string) error {
	opt := diag.PrintOptions{Color: a.colored(w), Width: width(w), Path: path}
	if err := diag.Print(w, format, diags, files, opt); err != nil {
		return err
	}
	if diags.HasErrors() {
		return &exitError{Code: exitConfig}
	}
	return nil
}

// report prints diagnostics of the module as text to standard error; see
// [app.report].
func (p *program) report(diags hcl.Diagnostics) error {
	err := p.reportAs(p.a.stderr, formatText, diags)
	p.noteCaller(diags)
	return err
}

// noteCaller says, where variables have no values, that a module above may be meant
// to give them: without a workspace block it is not read.
func (p *program) noteCaller(diags hcl.Diagnostics) {
	missing := slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return diag.InfoOf(d).Code == diag.MissingVariable })
	if !missing || p.Module.Given || lang.IsWorkspace(p.FS, ".") {
		return
	}
	for dir := p.Root; dir != filepath.Dir(dir); {
		dir = filepath.Dir(dir)
		if lang.IsModule(os.DirFS(dir), ".") {
			fmt.Fprintf(p.a.stderr, "hbuild: note: if the module in %s calls this one: with an empty block, workspace {}, in its files, what it gives counts here too.\n", filepath.ToSlash(p.a.shown(dir)))
			return
		}
	}
}

// reportAs prints diagnostics of the module in a format, with its files' names as
// seen from where the user stands.
func (p *program) reportAs(w io.Writer, format string, diags hcl.Diagnostics) error {
	return p.a.report(w, format, diags, p.Files(), p.shown)
}

// shown is how a file of the module is called from where the user stands.
func (p *program) shown(file string) string {
	if file == "" {
		return file
	}
	return filepath.ToSlash(p.a.shown(p.HostPath(file)))
}
