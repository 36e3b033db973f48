package lint

import (
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// Levels say what becomes of a warning: "allow" drops it, "deny" makes it an
// error.
type Levels map[diag.Code]string

// all is the key of a directive that names every code.
const all diag.Code = "all"

func (l Levels) of(code diag.Code) string {
	if v, ok := l[code]; ok {
		return v
	}
	return l[all]
}

// Apply carries out the directives in the comments of a module, and those of the
// caller, which a directive in the file overrules.
func Apply(m *lang.Module, diags hcl.Diagnostics, caller Levels) hcl.Diagnostics {
	files := map[string]Levels{}
	out := diags[:0:0]
	for _, d := range diags {
		if d.Severity != hcl.DiagWarning || d.Subject == nil {
			out = append(out, d)
			continue
		}
		switch level(m, d, files, caller) {
		case "allow":
		case "deny":
			e := *d
			e.Severity = hcl.DiagError
			out = append(out, &e)
		default:
			out = append(out, d)
		}
	}
	return out
}

// level finds the directive nearest to a warning: its block's, its file's, the
// caller's.
func level(m *lang.Module, d *hcl.Diagnostic, files map[string]Levels, caller Levels) string {
	code := diag.InfoOf(d).Code
	if b := enclosing(m, *d.Subject); b != nil {
		if v := parse(comments(m, b.Base().Range)).of(code); v != "" {
			return v
		}
	}
	name := d.Subject.Filename
	if _, ok := files[name]; !ok {
		files[name] = parse(head(m.Files[name]))
	}
	if v := files[name].of(code); v != "" {
		return v
	}
	return caller.of(code)
}

// enclosing finds the declaration whose block holds a place.
func enclosing(m *lang.Module, at hcl.Range) lang.Node {
	for _, n := range m.Decls {
		d := n.Base()
		if d.Body == nil || d.Range.Filename != at.Filename {
			continue
		}
		end := d.Body.EndRange.End.Byte
		if d.Kind == lang.KindLocal {
			end = d.Range.End.Byte
		}
		if d.Range.Start.Byte <= at.Start.Byte && at.Start.Byte <= end {
			return n
		}
	}
	return nil
}

// comments returns the comment lines directly above a place, directives included.
func comments(m *lang.Module, at hcl.Range) []string { return m.LinesAbove(at) }

// head returns the first comment of a file when an empty line follows it.
func head(src []byte) []string {
	var out []string
	for _, line := range strings.Split(string(src), "\n") {
		line = strings.TrimSpace(line)
		if line == "" && len(out) > 0 {
			return out
		}
		if line == "" {
			continue
		}
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			if text, ok = strings.CutPrefix(line, "//"); !ok {
				return nil
			}
		}
		out = append(out, strings.TrimSpace(text))
	}
	return out
}

// parse reads `hbuild: allow HB7001 HB7002 why`.
func parse(lines []string) Levels {
	var l Levels
	for _, line := range lines {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), lang.Directive)
		if !ok {
			continue
		}
		words := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
		if len(words) < 2 || words[0] != "allow" && words[0] != "deny" {
			continue
		}
		if l == nil {
			l = Levels{}
		}
		for _, w := range words[1:] {
			if w != string(all) && !strings.HasPrefix(w, "HB") {
				break // the reason
			}
			l[diag.Code(w)] = words[0]
		}
	}
	return l
}
