package diag

import (
	"encoding/json"
	"io"
	"net/url"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// The parts of SARIF 2.1.0 (OASIS, 2020) that hbuild writes.

type sarifLog struct {
	Version string     `json:"version"`
	Schema  string     `json:"$schema"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string       `json:"id"`
	ShortDescription sarifMessage `json:"shortDescription"`
	Help             *sarifHelp   `json:"help,omitempty"`
}

type sarifHelp struct {
	Text     string `json:"text"`
	Markdown string `json:"markdown"`
}

type sarifMessage struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID           string          `json:"ruleId"`
	RuleIndex        int             `json:"ruleIndex"`
	Level            string          `json:"level"`
	Message          sarifMessage    `json:"message"`
	Locations        []sarifLocation `json:"locations,omitempty"`
	RelatedLocations []sarifLocation `json:"relatedLocations,omitempty"`
	Fixes            []sarifFix      `json:"fixes,omitempty"`
}

type sarifLocation struct {
	ID               *int          `json:"id,omitempty"`
	PhysicalLocation sarifPhysical `json:"physicalLocation"`
	Message          *sarifMessage `json:"message,omitempty"`
}

type sarifPhysical struct {
	ArtifactLocation sarifArtifact `json:"artifactLocation"`
	Region           sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn"`
	EndLine     int `json:"endLine"`
	EndColumn   int `json:"endColumn"`
}

type sarifFix struct {
	Description     sarifMessage  `json:"description"`
	ArtifactChanges []sarifChange `json:"artifactChanges"`
}

type sarifChange struct {
	ArtifactLocation sarifArtifact      `json:"artifactLocation"`
	Replacements     []sarifReplacement `json:"replacements"`
}

type sarifReplacement struct {
	DeletedRegion   sarifRegion  `json:"deletedRegion"`
	InsertedContent sarifMessage `json:"insertedContent"`
}

func (p *printer) sarif(w io.Writer, diags hcl.Diagnostics) error {
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "hbuild", InformationURI: "https://github.com/hbuild/hbuild", Rules: []sarifRule{}}},
		ColumnKind: "unicodeCodePoints", Results: []sarifResult{},
	}
	index := map[Code]int{}
	for _, d := range diags {
		info := InfoOf(d)
		code := info.Code
		if code == "" {
			code = "hbuild"
		}
		if _, ok := index[code]; !ok {
			index[code] = len(run.Tool.Driver.Rules)
			run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRuleOf(code, d))
		}
		run.Results = append(run.Results, p.sarifResult(d, info, code, index[code]))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{Version: "2.1.0", Schema: "https://json.schemastore.org/sarif-2.1.0.json", Runs: []sarifRun{run}})
}

func sarifRuleOf(code Code, d *hcl.Diagnostic) sarifRule {
	r := sarifRule{ID: string(code), ShortDescription: sarifMessage{d.Summary}}
	if e, ok := Lookup(code); ok {
		r.ShortDescription.Text = e.Title
		text, _ := Explain(string(code))
		r.Help = &sarifHelp{Text: text, Markdown: e.Markdown()}
	}
	return r
}

func (p *printer) sarifResult(d *hcl.Diagnostic, info Info, code Code, rule int) sarifResult {
	r := sarifResult{RuleID: string(code), RuleIndex: rule, Level: severity(d)}
	r.Message.Text = d.Summary
	if d.Detail != "" {
		r.Message.Text += "\n" + d.Detail
	}
	if info.Help != "" {
		r.Message.Text += "\n" + info.Help
	}
	if d.Subject != nil && d.Subject.Filename != "" {
		r.Locations = []sarifLocation{{PhysicalLocation: p.sarifPhysical(*d.Subject)}}
	}
	for i, rel := range info.Related {
		id := i + 1
		r.RelatedLocations = append(r.RelatedLocations, sarifLocation{ID: &id, PhysicalLocation: p.sarifPhysical(rel.Range), Message: &sarifMessage{rel.Message}})
	}
	for _, f := range info.Fixes {
		at := p.sarifPhysical(f.Range)
		r.Fixes = append(r.Fixes, sarifFix{sarifMessage{f.Title}, []sarifChange{{at.ArtifactLocation, []sarifReplacement{{at.Region, sarifMessage{f.Text}}}}}})
	}
	return r
}

func (p *printer) sarifPhysical(r hcl.Range) sarifPhysical {
	uri := (&url.URL{Path: p.opt.path(r.Filename)}).String()
	return sarifPhysical{sarifArtifact{uri}, sarifRegion{
		StartLine: r.Start.Line, StartColumn: p.codePoint(r, r.Start),
		EndLine: r.End.Line, EndColumn: p.codePoint(r, r.End),
	}}
}

// codePoint is a position's column in code points, from 1; HCL counts grapheme
// clusters, which SARIF does not know.
func (p *printer) codePoint(r hcl.Range, pos hcl.Pos) int {
	src, ok := p.source(r)
	if !ok {
		return max(1, pos.Column)
	}
	start, _ := lineBounds(src, pos.Byte)
	return utf8.RuneCount(src[start:pos.Byte]) + 1
}
