package diag

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// GitHub's runner reads workflow commands line by line and undoes these escapes;
// a property ends at a comma or a colon, so those are escaped there too.
var (
	githubData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// github writes one workflow command per diagnostic, which GitHub shows at the
// line of a pull request.
func (p *printer) github(w io.Writer, diags hcl.Diagnostics) error {
	out := bufio.NewWriter(w)
	for _, d := range diags {
		info := InfoOf(d)
		var props []string
		add := func(key string, value any) {
			props = append(props, key+"="+githubProperty.Replace(fmt.Sprint(value)))
		}
		if s := d.Subject; s != nil && s.Filename != "" {
			add("file", p.opt.path(s.Filename))
			add("line", s.Start.Line)
			add("endLine", max(s.Start.Line, s.End.Line))
			if s.Start.Line == s.End.Line { // GitHub takes columns of one line only
				add("col", s.Start.Column)
				add("endColumn", max(s.Start.Column, s.End.Column))
			}
		}
		title := d.Summary
		if info.Code != "" {
			title = string(info.Code) + ": " + title
		}
		add("title", title)
		fmt.Fprintf(out, "::%s %s::%s\n", severity(d), strings.Join(props, ","), githubData.Replace(plain(p.message(d, info))))
	}
	return out.Flush()
}

// message is a diagnostic in plain words, for formats that show a text at a place.
func (p *printer) message(d *hcl.Diagnostic, info Info) string {
	lines := []string{d.Detail}
	if d.Detail == "" {
		lines[0] = d.Summary
	}
	for _, v := range Values(d) {
		lines = append(lines, v.Name+" is "+v.Is)
	}
	for _, r := range info.Related {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", p.opt.path(r.Range.Filename), r.Range.Start.Line, r.Range.Start.Column, r.Message))
	}
	if info.Help != "" {
		lines = append(lines, "help: "+info.Help)
	}
	for _, f := range info.Fixes {
		lines = append(lines, "fix: "+f.Title)
	}
	return strings.Join(lines, "\n")
}
