package diag

import (
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Formats are what [Print] can write.
var Formats = []string{"text", "json", "github", "sarif"}

// PrintOptions say how diagnostics are shown.
type PrintOptions struct {
	// Color asks for ANSI colours (text only).
	Color bool
	// Width is the width of the terminal in columns; 0 is no terminal, and text
	// is then wrapped at 100 and source lines are not cut (text only).
	Width int
	// Path turns the file names of ranges into those to show; nil shows them as
	// they are. Names in angle brackets, such as <--set #1>, are never passed.
	Path func(string) string
}

func (o PrintOptions) path(name string) string {
	if strings.HasPrefix(name, "<") {
		return strings.Trim(name, "<>")
	}
	if o.Path == nil {
		return name
	}
	return o.Path(name)
}

// Print writes diagnostics in one of [Formats]; files holds the sources by the
// names that ranges use. Of no diagnostics, text and github write nothing, and
// json and sarif a document that says so. The error is that of the writer, or of
// an unknown format.
func Print(w io.Writer, format string, diags hcl.Diagnostics, files map[string][]byte, opt PrintOptions) error {
	p := &printer{files: files, opt: opt}
	switch format {
	case "text", "":
		return p.text(w, diags)
	case "json":
		return p.json(w, diags)
	case "github":
		return p.github(w, diags)
	case "sarif":
		return p.sarif(w, diags)
	}
	return fmt.Errorf("no format is called %q; the formats are %s", format, List(Formats, 10))
}

// printer is what all formats share.
type printer struct {
	files map[string][]byte
	opt   PrintOptions
}

// severity is the word for a severity in every format.
func severity(d *hcl.Diagnostic) string {
	if d.Severity == hcl.DiagWarning {
		return "warning"
	}
	return "error"
}

// count returns the numbers of errors and warnings.
func count(diags hcl.Diagnostics) (errors, warnings int) {
	for _, d := range diags {
		if d.Severity == hcl.DiagWarning {
			warnings++
		} else {
			errors++
		}
	}
	return errors, warnings
}
