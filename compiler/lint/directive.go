package lint

import (
	"slices"
	"sort"
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

// Apply carries out the directives in the comments of modules, and those of the
// caller, which a directive in the file overrules.
func Apply(modules []*lang.Module, diags hcl.Diagnostics, caller Levels) hcl.Diagnostics {
	l := levels{modules: modules, caller: caller, files: map[string]Levels{}}
	out := diags[:0:0]
	for _, d := range diags {
		if d.Severity != hcl.DiagWarning || d.Subject == nil {
			out = append(out, d)
			continue
		}
		switch l.of(d) {
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

// levels finds the directives of a module, each file's and block's place once:
// there may be a warning for each of ten thousand blocks.
type levels struct {
	modules []*lang.Module
	caller  Levels
	files   map[string]Levels       // of a file's head
	owners  map[string]*lang.Module // of a file; nil before the first use
	blocks  map[string][]lang.Node  // of a file, in its order
}

// of finds the directive nearest to a warning: its block's, its file's, the
// caller's.
func (l *levels) of(d *hcl.Diagnostic) string {
	code := diag.InfoOf(d).Code
	if l.blocks == nil {
		l.index()
	}
	name := d.Subject.Filename
	m := l.owners[name]
	if m == nil {
		return l.caller.of(code)
	}
	if b := l.enclosing(*d.Subject); b != nil {
		if v := parse(comments(m, b.Base().Range)).of(code); v != "" {
			return v
		}
	}
	if _, ok := l.files[name]; !ok {
		l.files[name] = parse(head(m.Files[name]))
	}
	if v := l.files[name].of(code); v != "" {
		return v
	}
	return l.caller.of(code)
}

// enclosing finds the declaration whose block holds a place.
func (l *levels) enclosing(at hcl.Range) lang.Node {
	blocks := l.blocks[at.Filename]
	i := sort.Search(len(blocks), func(i int) bool { return blocks[i].Base().Range.Start.Byte > at.Start.Byte })
	if i == 0 || at.Start.Byte > end(blocks[i-1]) {
		return nil
	}
	return blocks[i-1]
}

func (l *levels) index() {
	l.blocks, l.owners = map[string][]lang.Node{}, map[string]*lang.Module{}
	for _, m := range l.modules {
		for name := range m.Files {
			l.owners[name] = m
		}
		for _, n := range m.Decls {
			if d := n.Base(); d.Body != nil {
				l.blocks[d.Range.Filename] = append(l.blocks[d.Range.Filename], n)
			}
		}
	}
	for _, blocks := range l.blocks {
		slices.SortStableFunc(blocks, func(a, b lang.Node) int { return a.Base().Range.Start.Byte - b.Base().Range.Start.Byte })
	}
}

// end is the byte after a declaration.
func end(n lang.Node) int {
	d := n.Base()
	if d.Kind == lang.KindLocal {
		return d.Range.End.Byte
	}
	return d.Body.EndRange.End.Byte
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
