// Package diag is how hbuild talks about a user's mistake.
//
// Every mistake is an [hcl.Diagnostic] whose Extra is a [*Info]: a stable code
// that `hbuild explain` documents, the other places involved ("declared here")
// and the edits that would mend it. A bug in hbuild is a panic, never a
// diagnostic.
package diag

import (
	"fmt"
	"sort"

	"github.com/hashicorp/hcl/v2"
)

// Code names a kind of mistake, such as "HB1003". Codes are never reused.
type Code string

// Related is a second place that a diagnostic speaks of.
type Related struct {
	Range   hcl.Range
	Message string // "declared here", "first set here"
}

// Fix is an edit that would remove the cause of a diagnostic.
type Fix struct {
	Title string // "write stage.build"
	Range hcl.Range
	Text  string // replaces the bytes of Range
}

// Info is what hbuild adds to an hcl.Diagnostic, in its Extra field.
type Info struct {
	Code    Code
	Related []Related
	Fixes   []Fix
	Help    string // one sentence that says what to do; "" when Detail does
}

// Option completes a diagnostic made by [Errorf] or [Warnf].
type Option func(*hcl.Diagnostic, *Info)

// New makes a diagnostic with a code at a place. A zero place (no file name)
// means the mistake lies outside the files, such as in a flag.
func New(sev hcl.DiagnosticSeverity, code Code, at hcl.Range, summary, detail string, opts ...Option) *hcl.Diagnostic {
	info := &Info{Code: code}
	d := &hcl.Diagnostic{Severity: sev, Summary: summary, Detail: detail, Extra: info}
	if at != (hcl.Range{}) {
		d.Subject = &at
	}
	for _, o := range opts {
		o(d, info)
	}
	return d
}

// Error makes an error diagnostic.
func Error(code Code, at hcl.Range, summary, detail string, opts ...Option) *hcl.Diagnostic {
	return New(hcl.DiagError, code, at, summary, detail, opts...)
}

// Warning makes a warning diagnostic.
func Warning(code Code, at hcl.Range, summary, detail string, opts ...Option) *hcl.Diagnostic {
	return New(hcl.DiagWarning, code, at, summary, detail, opts...)
}

// WithRelated adds a second place, unless it is unknown.
func WithRelated(at hcl.Range, format string, args ...any) Option {
	return func(_ *hcl.Diagnostic, i *Info) {
		if at.Filename != "" {
			i.Related = append(i.Related, Related{Range: at, Message: fmt.Sprintf(format, args...)})
		}
	}
}

// WithFix adds an edit that mends the mistake.
func WithFix(at hcl.Range, text, format string, args ...any) Option {
	return func(_ *hcl.Diagnostic, i *Info) {
		i.Fixes = append(i.Fixes, Fix{Title: fmt.Sprintf(format, args...), Range: at, Text: text})
	}
}

// WithHelp says what to do.
func WithHelp(format string, args ...any) Option {
	return func(_ *hcl.Diagnostic, i *Info) { i.Help = fmt.Sprintf(format, args...) }
}

// WithContext widens the source that a printer shows.
func WithContext(at hcl.Range) Option {
	return func(d *hcl.Diagnostic, _ *Info) { d.Context = &at }
}

// WithEval lets a printer show the values of the names in an expression.
func WithEval(expr hcl.Expression, ctx *hcl.EvalContext) Option {
	return func(d *hcl.Diagnostic, _ *Info) { d.Expression, d.EvalContext = expr, ctx }
}

// InfoOf returns a diagnostic's Info; the zero Info when it has none.
func InfoOf(d *hcl.Diagnostic) Info {
	if i, ok := d.Extra.(*Info); ok {
		return *i
	}
	return Info{}
}

// Sort orders diagnostics by file, position, severity and code, and drops exact
// repetitions, so that two runs over the same files print the same text.
func Sort(diags hcl.Diagnostics) hcl.Diagnostics {
	less := func(a, b *hcl.Diagnostic) int {
		ra, rb := rangeOf(a), rangeOf(b)
		switch {
		case ra.Filename != rb.Filename:
			return cmp(ra.Filename, rb.Filename)
		case ra.Start.Byte != rb.Start.Byte:
			return cmp(ra.Start.Byte, rb.Start.Byte)
		case a.Severity != b.Severity:
			return cmp(int(a.Severity), int(b.Severity))
		case InfoOf(a).Code != InfoOf(b).Code:
			return cmp(InfoOf(a).Code, InfoOf(b).Code)
		}
		return cmp(a.Summary+a.Detail, b.Summary+b.Detail)
	}
	sort.SliceStable(diags, func(i, j int) bool { return less(diags[i], diags[j]) < 0 })
	out := diags[:0]
	for i, d := range diags {
		if i > 0 && less(diags[i-1], d) == 0 {
			continue
		}
		out = append(out, d)
	}
	return out
}

func rangeOf(d *hcl.Diagnostic) hcl.Range {
	if d.Subject == nil {
		return hcl.Range{}
	}
	return *d.Subject
}

func cmp[T string | int | Code](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
