package diag

import (
	"encoding/json"
	"io"

	"github.com/hashicorp/hcl/v2"
)

// The shape of the JSON follows `terraform validate -json`, format 1.0, so that
// what reads that reads this; code, help, related and fixes are added.

type jsonReport struct {
	FormatVersion string           `json:"format_version"`
	Valid         bool             `json:"valid"`
	ErrorCount    int              `json:"error_count"`
	WarningCount  int              `json:"warning_count"`
	Diagnostics   []jsonDiagnostic `json:"diagnostics"`
}

type jsonDiagnostic struct {
	Severity string        `json:"severity"`
	Code     Code          `json:"code,omitempty"`
	Summary  string        `json:"summary"`
	Detail   string        `json:"detail"`
	Range    *jsonRange    `json:"range,omitempty"`
	Snippet  *jsonSnippet  `json:"snippet,omitempty"`
	Help     string        `json:"help,omitempty"`
	Related  []jsonRelated `json:"related,omitempty"`
	Fixes    []jsonFix     `json:"fixes,omitempty"`
}

type jsonPos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

type jsonRange struct {
	Filename string  `json:"filename"`
	Start    jsonPos `json:"start"`
	End      jsonPos `json:"end"`
}

// jsonSnippet is the source of a diagnostic: whole lines, and the bytes in them
// that are meant.
type jsonSnippet struct {
	Context              *string     `json:"context"`
	Code                 string      `json:"code"`
	StartLine            int         `json:"start_line"`
	HighlightStartOffset int         `json:"highlight_start_offset"`
	HighlightEndOffset   int         `json:"highlight_end_offset"`
	Values               []jsonValue `json:"values"`
}

type jsonValue struct {
	Traversal string `json:"traversal"`
	Statement string `json:"statement"`
}

type jsonRelated struct {
	Message string    `json:"message"`
	Range   jsonRange `json:"range"`
}

type jsonFix struct {
	Title string    `json:"title"`
	Range jsonRange `json:"range"`
	Text  string    `json:"text"`
}

func (p *printer) json(w io.Writer, diags hcl.Diagnostics) error {
	r := jsonReport{FormatVersion: "1.0", Diagnostics: []jsonDiagnostic{}}
	r.ErrorCount, r.WarningCount = count(diags)
	r.Valid = r.ErrorCount == 0
	for _, d := range diags {
		r.Diagnostics = append(r.Diagnostics, p.jsonDiagnostic(d))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (p *printer) jsonDiagnostic(d *hcl.Diagnostic) jsonDiagnostic {
	info := InfoOf(d)
	j := jsonDiagnostic{Severity: severity(d), Code: info.Code, Summary: d.Summary, Detail: d.Detail, Help: info.Help}
	if d.Subject != nil && d.Subject.Filename != "" {
		r := p.jsonRange(*d.Subject)
		j.Range = &r
		j.Snippet = p.jsonSnippet(d)
	}
	for _, r := range info.Related {
		j.Related = append(j.Related, jsonRelated{r.Message, p.jsonRange(r.Range)})
	}
	for _, f := range info.Fixes {
		j.Fixes = append(j.Fixes, jsonFix{f.Title, p.jsonRange(f.Range), f.Text})
	}
	return j
}

func (p *printer) jsonRange(r hcl.Range) jsonRange {
	pos := func(x hcl.Pos) jsonPos { return jsonPos{x.Line, x.Column, x.Byte} }
	return jsonRange{p.opt.path(r.Filename), pos(r.Start), pos(r.End)}
}

func (p *printer) jsonSnippet(d *hcl.Diagnostic) *jsonSnippet {
	src, ok := p.source(*d.Subject)
	if !ok {
		return nil
	}
	start, _ := lineBounds(src, d.Subject.Start.Byte)
	_, end := lineBounds(src, d.Subject.End.Byte)
	s := &jsonSnippet{
		Code: string(src[start:end]), StartLine: d.Subject.Start.Line,
		HighlightStartOffset: min(d.Subject.Start.Byte, end) - start, HighlightEndOffset: min(d.Subject.End.Byte, end) - start,
		Values: []jsonValue{},
	}
	if c := p.context(*d.Subject); c != "" {
		s.Context = &c
	}
	for _, v := range Values(d) {
		s.Values = append(s.Values, jsonValue{v.Name, "is " + v.Is})
	}
	return s
}
