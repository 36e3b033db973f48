package frontend

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// failure makes the errors among diagnostics one error. Its text is for a
// terminal without the lines, which clients print from the sources it carries,
// the first mistake's first.
func (m *module) failure(diags hcl.Diagnostics) error {
	var lines []string
	var places []*errdefs.Source
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		lines = append(lines, m.sentence(d))
		if src := m.source(d.Subject); src != nil {
			places = append(places, src)
		}
	}
	text := strings.Join(lines, "\n")
	if len(lines) > 1 {
		text = fmt.Sprintf("%d mistakes in the hbuild file\n%s", len(lines), text)
	}
	err := errors.New(text)
	if len(places) == 0 {
		// Without any, the engine points at the `# syntax=` line, which is not to blame.
		places = append(places, &errdefs.Source{Info: &pb.SourceInfo{Filename: m.src.Filename, Language: "HCL"}})
	}
	// errdefs.Sources gives the innermost first.
	for _, src := range places {
		err = errdefs.WithSource(err, src)
	}
	return err
}

// sentence is a diagnostic in a paragraph, with the second places it speaks of.
func (m *module) sentence(d *hcl.Diagnostic) string {
	info := diag.InfoOf(d)
	var b strings.Builder
	if d.Subject != nil && d.Subject.Filename != "" {
		fmt.Fprintf(&b, "%s:%d: ", d.Subject.Filename, d.Subject.Start.Line)
	}
	if info.Code != "" {
		fmt.Fprintf(&b, "[%s] ", info.Code)
	}
	b.WriteString(d.Summary)
	if detail := m.detail(d); detail != "" {
		b.WriteString(". " + detail)
	}
	if info.Help != "" {
		b.WriteString(" " + info.Help)
	}
	for _, r := range info.Related {
		fmt.Fprintf(&b, " (%s:%d: %s)", r.Range.Filename, r.Range.Start.Line, r.Message)
	}
	return b.String()
}

// detail is a diagnostic's, in terms of the flags that this caller has.
func (m *module) detail(d *hcl.Diagnostic) string {
	if diag.InfoOf(d).Code != diag.MissingVariable || d.Subject == nil {
		return d.Detail
	}
	name := strings.Trim(string(d.Subject.SliceBytes(m.Files()[d.Subject.Filename])), `"`)
	return fmt.Sprintf("It has no default. Give it one with --build-arg %s=VALUE, or in %s.", name, lang.VarsFile)
}

// source is a place as BuildKit hands it to clients; nil for none.
func (m *module) source(at *hcl.Range) *errdefs.Source {
	info := m.sourceInfo(at)
	if info == nil {
		return nil
	}
	return &errdefs.Source{Info: info, Ranges: ranges(at)}
}

func (m *module) sourceInfo(at *hcl.Range) *pb.SourceInfo {
	if at == nil {
		return nil
	}
	data, ok := m.Files()[at.Filename]
	if !ok {
		return nil
	}
	return &pb.SourceInfo{Filename: at.Filename, Language: "HCL", Data: data, Definition: m.src.Definition.ToPB()}
}

// ranges has a range in BuildKit's form, whose lines count from 1 and characters
// from 0. A block that was not closed ends before its last line begins.
func ranges(at *hcl.Range) []*pb.Range {
	end := at.End
	if end.Line > at.Start.Line && end.Column == 1 {
		end.Line--
	}
	return []*pb.Range{{
		Start: &pb.Position{Line: int32(at.Start.Line), Character: int32(max(at.Start.Column-1, 0))},
		End:   &pb.Position{Line: int32(end.Line), Character: int32(max(end.Column-1, 0))},
	}}
}

// otherFile reports whether a place is in another file than the named one.
func (m *module) otherFile(at *hcl.Range) bool {
	return at.Filename != "" && at.Filename != path.Base(m.src.Filename)
}

// warn sends warnings to the client's progress display.
func (m *module) warn(ctx context.Context, diags hcl.Diagnostics) {
	for _, d := range diags {
		if d.Severity != hcl.DiagWarning {
			continue
		}
		opt := gateway.WarnOpts{Level: 1, SourceInfo: m.sourceInfo(d.Subject)}
		text := d.Summary
		if code := diag.InfoOf(d).Code; code != "" {
			text = string(code) + ": " + text
		}
		if opt.SourceInfo != nil {
			opt.Range = ranges(d.Subject)
			at := fmt.Sprintf("line %d", d.Subject.Start.Line)
			if m.otherFile(d.Subject) {
				at = fmt.Sprintf("%s:%d", d.Subject.Filename, d.Subject.Start.Line)
			}
			text += " (" + at + ")"
		}
		if d.Detail != "" {
			opt.Detail = append(opt.Detail, []byte(d.Detail))
		}
		m.src.Warn(ctx, text, opt)
	}
}
