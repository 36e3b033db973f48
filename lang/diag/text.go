package diag

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// style is an ANSI select-graphic-rendition parameter.
type style string

const (
	styleError   style = "1;31"
	styleWarning style = "1;33"
	styleRelated style = "1;36"
	styleFrame   style = "34"
	styleStrong  style = "1"
	styleHelp    style = "32"
)

// textWriter writes one diagnostic for a person.
type textWriter struct {
	*printer
	w      *bufio.Writer
	gutter int // columns of the widest line number
}

// text writes diagnostics for people: what is wrong, where, and what to do.
//
//	error[HB2004]: Unknown stage "biuld"
//	   ╭─ hbuild.hcl:12:10, in stage "runtime"
//	12 │   from = stage.biuld
//	   │          ^^^^^^^^^^^
//	   ├─ hbuild.hcl:3:7
//	 3 │ stage "build" {
//	   │       ------- stage.build is declared here
//	   ╰─
//	No stage is called "biuld". Did you mean stage.build?
func (p *printer) text(w io.Writer, diags hcl.Diagnostics) error {
	out := bufio.NewWriter(w)
	for i, d := range diags {
		if i > 0 {
			out.WriteByte('\n')
		}
		t := &textWriter{printer: p, w: out}
		t.diagnostic(d)
	}
	return out.Flush()
}

func (t *textWriter) paint(s style, text string) string {
	if !t.opt.Color || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func (t *textWriter) diagnostic(d *hcl.Diagnostic) {
	info := InfoOf(d)
	st := styleError
	if d.Severity == hcl.DiagWarning {
		st = styleWarning
	}
	head := severity(d)
	if info.Code != "" {
		head += "[" + string(info.Code) + "]"
	}
	fmt.Fprintf(t.w, "%s%s\n", t.paint(st, head), t.paint(styleStrong, ": "+plain(d.Summary)))
	places := t.places(d, info)
	for i, pl := range places {
		t.place(pl, i == 0, st)
	}
	if len(places) > 0 {
		fmt.Fprintf(t.w, "%s\n", t.frame(t.blank()+" ╰─"))
	}
	t.body(d, info)
}

// place is a range with what it is marked with.
type place struct {
	at    hcl.Range
	label string
	main  bool
}

// places are those to show: the subject, then the related ones. The subject's
// line is shown once, even when a second place is on it.
func (t *textWriter) places(d *hcl.Diagnostic, info Info) (out []place) {
	if d.Subject != nil && d.Subject.Filename != "" {
		out = append(out, place{at: *d.Subject, main: true})
	}
	for _, r := range info.Related {
		out = append(out, place{at: r.Range, label: r.Message})
	}
	for _, pl := range out {
		t.gutter = max(t.gutter, len(strconv.Itoa(t.lastLine(pl.at))))
	}
	return out
}

func (t *textWriter) lastLine(r hcl.Range) int {
	return max(r.Start.Line, min(r.End.Line, r.Start.Line+maxLines-1))
}

// maxLines is how many lines of one place are shown.
const maxLines = 4

func (t *textWriter) blank() string { return strings.Repeat(" ", t.gutter) }

func (t *textWriter) frame(s string) string { return t.paint(styleFrame, s) }

func (t *textWriter) place(pl place, first bool, st style) {
	corner, mark := " ├─ ", byte('-')
	if first {
		corner = " ╭─ "
	}
	if pl.main {
		mark = '^'
	} else {
		st = styleRelated
	}
	where := fmt.Sprintf("%s:%d:%d", plain(t.opt.path(pl.at.Filename)), pl.at.Start.Line, pl.at.Start.Column)
	src, ok := t.source(pl.at)
	if c := t.context(pl.at); pl.main && ok && c != "" && pl.at.Start.Column > 1 {
		where += ", in " + plain(c)
	}
	fmt.Fprintf(t.w, "%s%s\n", t.frame(t.blank()+corner), where)
	if !ok || len(src) == 0 {
		if pl.label != "" {
			fmt.Fprintf(t.w, "%s %s\n", t.frame(t.blank()+" │"), plain(pl.label))
		}
		return
	}
	t.snippet(src, pl, mark, st)
}

// snippet writes the lines of a place, each underlined where the place is.
func (t *textWriter) snippet(src []byte, pl place, mark byte, st style) {
	line, at := pl.at.Start.Line, pl.at.Start.Byte
	for n := 0; ; n++ {
		start, end := lineBounds(src, at)
		from, to := max(pl.at.Start.Byte, start), min(pl.at.End.Byte, end)
		last := pl.at.End.Byte <= end+1 || end >= len(src)
		if n == maxLines-1 && !last {
			fmt.Fprintf(t.w, "%s …\n", t.frame(t.blank()+" │"))
			if pl.label != "" {
				fmt.Fprintf(t.w, "%s %s\n", t.frame(t.blank()+" │"), t.paint(st, plain(pl.label)))
			}
			return
		}
		label := ""
		if last {
			label = pl.label
		}
		t.line(src[start:end], line, from-start, max(from, to)-start, mark, st, label)
		if last {
			return
		}
		at = end + 1
		if src[end] == '\r' {
			at++
		}
		line++
	}
}

// line writes one line of source and the marks under its bytes from to to.
func (t *textWriter) line(text []byte, number, from, to int, mark byte, st style, label string) {
	for from < to && (text[from] == ' ' || text[from] == '\t') {
		from++ // the indentation of a place's later lines
	}
	shown, cols := cells(text)
	left, right := cols[min(from, len(text))], cols[min(to, len(text))]
	shown, left, right = t.crop(shown, left, right)
	fmt.Fprintf(t.w, "%s %s\n", t.frame(fmt.Sprintf("%*d │", t.gutter, number)), strings.TrimRight(string(shown), " "))
	marks := strings.Repeat(" ", left) + t.paint(st, strings.Repeat(string(mark), max(1, right-left)))
	if label != "" {
		room := t.width() - t.gutter - 4 - left - max(1, right-left)
		if label = plain(label); width(label) <= room || room > 30 {
			marks += " " + t.paint(st, label)
			label = ""
		}
	}
	fmt.Fprintf(t.w, "%s %s\n", t.frame(t.blank()+" │"), marks)
	if label != "" {
		fmt.Fprintf(t.w, "%s %s\n", t.frame(t.blank()+" │"), t.paint(st, label))
	}
}

// crop cuts a line that is wider than the terminal to a window around the marks.
func (t *textWriter) crop(text []rune, left, right int) ([]rune, int, int) {
	room := t.opt.Width - t.gutter - 4
	total := 0
	for _, r := range text {
		total += runeWidth(r)
	}
	if t.opt.Width == 0 || room < 20 || total <= room {
		return text, left, right
	}
	begin := 0
	if right > room-1 {
		begin = max(0, min(left-8, total-room+1))
	}
	var out []rune
	col := 0
	if begin > 0 {
		out = append(out, '…')
	}
	for _, r := range text {
		w := runeWidth(r)
		if col > begin && col+w <= begin+room-1 || begin == 0 && col+w <= room-1 {
			out = append(out, r)
		}
		col += w
	}
	if begin+room-1 < total {
		out = append(out, '…')
	}
	return out, max(0, left-begin), max(0, min(right-begin, room-1))
}

func (t *textWriter) width() int {
	if t.opt.Width > 0 {
		return max(40, t.opt.Width)
	}
	return 100
}

// body writes what follows the source: the explanation, the values of names, the
// help and the fixes.
func (t *textWriter) body(d *hcl.Diagnostic, info Info) {
	if d.Detail != "" {
		t.paragraphs("", plain(d.Detail))
	}
	for _, v := range Values(d) {
		t.paragraphs("  ", plain(v.Name+" is "+v.Is))
	}
	if info.Help != "" {
		t.labelled("help: ", plain(info.Help))
	}
	for _, f := range info.Fixes {
		t.labelled("fix: ", plain(f.Title))
	}
}

func (t *textWriter) labelled(label, text string) {
	for i, l := range wrap(text, t.width()-len(label)) {
		if i == 0 {
			fmt.Fprintf(t.w, "%s%s\n", t.paint(styleHelp, label), l)
			continue
		}
		fmt.Fprintf(t.w, "%s%s\n", strings.Repeat(" ", len(label)), l)
	}
}

func (t *textWriter) paragraphs(indent, text string) {
	for _, l := range wrap(text, t.width()-len(indent)) {
		fmt.Fprintf(t.w, "%s%s\n", indent, l)
	}
}

// wrap breaks text into lines at blanks. Lines that are indented are kept whole,
// because they are source.
func wrap(text string, most int) (out []string) {
	for _, para := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if strings.HasPrefix(para, " ") || width(para) <= most {
			out = append(out, para)
			continue
		}
		line := ""
		for _, word := range strings.Fields(para) {
			switch {
			case line == "":
				line = word
			case width(line)+1+width(word) <= most:
				line += " " + word
			default:
				out = append(out, line)
				line = word
			}
		}
		out = append(out, line)
	}
	return out
}
