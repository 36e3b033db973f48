package importer

import (
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/eval"
)

// The parser keeps what BuildKit needs. Comments, and how a person broke a long
// command into lines, are read from the source once more.

var directiveLine = regexp.MustCompile(`^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$`)

// scan finds the parser's directives and the comments above each instruction.
func (im *importer) scan(nodes []*parser.Node) {
	im.lines = strings.Split(strings.TrimPrefix(string(im.src), "\ufeff"), "\n")
	for i, l := range im.lines {
		im.lines[i] = strings.TrimSuffix(l, "\r")
	}
	first := im.directives()
	im.comments = map[*parser.Node][]string{}
	for _, n := range nodes {
		im.comments[n] = comments(im.lines[min(first, n.StartLine-1):max(n.StartLine-1, 0)])
		first = n.EndLine
	}
	im.rest = comments(im.lines[min(first, len(im.lines)):])
}

// directives reads the first lines, and returns how many are directives.
func (im *importer) directives() int {
	seen := map[string]bool{}
	n := 0
	for _, l := range im.lines {
		m := directiveLine.FindStringSubmatch(strings.TrimSpace(l))
		if m == nil {
			break
		}
		key := strings.ToLower(m[1])
		if key != "syntax" && key != "escape" && key != "check" || seen[key] {
			break
		}
		seen[key] = true
		switch key {
		case "syntax":
			im.syntax = m[2]
		case "check":
			im.check = m[2]
		}
		n++
	}
	return n
}

// comments are the comment lines among some lines, with an empty one where
// groups of them are apart; empty lines at the ends are dropped, except that one
// at the end says that the last group stands by itself.
func comments(lines []string) []string {
	var out []string
	gap := false
	for _, l := range lines {
		t := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(t, "#"):
			if gap && len(out) > 0 {
				out = append(out, "")
			}
			gap = false
			out = append(out, t)
		case t == "":
			gap = true
		}
	}
	if gap && len(out) > 0 {
		out = append(out, "")
	}
	return out
}

// commandLines is a shell command as the author broke it into lines, joined again
// by the rule of the language; "" when it was not broken, or cannot be had so.
func (im *importer) commandLines(n *parser.Node, text string) string {
	if n.EndLine <= n.StartLine || len(n.Heredocs) > 0 {
		return ""
	}
	type physical struct {
		text    string // without the continuation
		start   int    // in the joined line
		comment bool
	}
	var joined strings.Builder
	var phys []physical
	end := string(im.esc)
	for i := n.StartLine - 1; i < n.EndLine && i < len(im.lines); i++ {
		l := im.lines[i]
		t := strings.TrimSpace(l)
		if t == "" {
			continue
		}
		if i > n.StartLine-1 && t[0] == '#' {
			phys = append(phys, physical{text: t, start: joined.Len(), comment: true})
			continue
		}
		if i == n.StartLine-1 {
			l = strings.TrimLeft(l, " \t")
		}
		l = strings.TrimSuffix(strings.TrimRight(l, " \t"), end)
		phys = append(phys, physical{text: l, start: joined.Len()})
		joined.WriteString(l)
	}
	whole := strings.TrimRight(joined.String(), " \t")
	if !strings.HasSuffix(whole, text) {
		return ""
	}
	begin := len(whole) - len(text)
	var out []string
	started := false
	for _, p := range phys {
		switch {
		case p.comment:
			if started {
				out = append(out, p.text)
			}
			continue
		case p.start+len(p.text) <= begin && !started:
			continue
		case !started:
			started = true
			p.text = p.text[max(begin-p.start, 0):]
		}
		if strings.TrimSpace(p.text) == "" && p.start >= len(whole) {
			continue
		}
		out = append(out, p.text+`\`)
	}
	for len(out) > 0 && out[len(out)-1][0] == '#' {
		out = out[:len(out)-1] // behind the last line it would be a line of the command
	}
	if len(out) < 2 {
		return ""
	}
	last := len(out) - 1
	out[last] = strings.TrimRight(strings.TrimSuffix(out[last], `\`), " \t")
	// A comment between lines stands where the line after it does.
	for i := range out {
		if out[i][0] != '#' {
			continue
		}
		for _, next := range out[i+1:] {
			if next[0] != '#' {
				out[i] = next[:len(next)-len(strings.TrimLeft(next, " \t"))] + out[i]
				break
			}
		}
	}
	result := strings.Join(out, "\n")
	if eval.JoinLines(result+"\n") != text {
		return ""
	}
	return result
}
