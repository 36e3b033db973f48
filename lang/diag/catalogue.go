package diag

import (
	"embed"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/tools/txtar"
)

// Each file of catalogue documents one code. It is a txtar archive whose comment
// is a title, an empty line and what the code means. Its files are examples:
//
//	wrong, right           hbuild.hcl of a module that has the mistake, or not
//	wrong/NAME right/NAME  another file of one of the two
//	NAME                   a file of both
//	flags, wrong/flags, …  what the caller says: --var x=1, an address
//
//go:embed catalogue/*.txt
var catalogueFS embed.FS

// Entry documents a code.
type Entry struct {
	Code  Code
	Title string // a few words, without a full stop
	Text  string // what it means and why it is refused

	// Wrong and Right are modules by file name; the flags file is FlagsFile.
	Wrong, Right map[string]string
}

// FlagsFile is the name, in an [Entry]'s modules, of the text that holds what the
// caller says: flags and addresses, as a shell would read them.
const FlagsFile = "flags"

var catalogue = sync.OnceValue(func() map[Code]Entry {
	out := map[Code]Entry{}
	names, _ := catalogueFS.ReadDir("catalogue")
	for _, n := range names {
		data, err := catalogueFS.ReadFile("catalogue/" + n.Name())
		if err != nil {
			panic(err) // embedded
		}
		code := Code(strings.TrimSuffix(n.Name(), ".txt"))
		out[code] = parseEntry(code, data)
	}
	return out
})

func parseEntry(code Code, data []byte) Entry {
	a := txtar.Parse(data)
	e := Entry{Code: code, Wrong: map[string]string{}, Right: map[string]string{}}
	title, text, _ := strings.Cut(string(a.Comment), "\n")
	e.Title, e.Text = strings.TrimSpace(title), strings.TrimSpace(text)
	for _, f := range a.Files {
		name, data := f.Name, string(f.Data)
		switch {
		case name == "wrong":
			e.Wrong["hbuild.hcl"] = data
		case name == "right":
			e.Right["hbuild.hcl"] = data
		case strings.HasPrefix(name, "wrong/"):
			e.Wrong[strings.TrimPrefix(name, "wrong/")] = data
		case strings.HasPrefix(name, "right/"):
			e.Right[strings.TrimPrefix(name, "right/")] = data
		default:
			e.Wrong[name], e.Right[name] = data, data
		}
	}
	return e
}

// Lookup returns the documentation of a code.
func Lookup(code Code) (Entry, bool) {
	e, ok := catalogue()[code]
	return e, ok
}

// Catalogue returns the documentation of all codes, sorted.
func Catalogue() []Entry {
	m := catalogue()
	codes := make([]Code, 0, len(m))
	for c := range m {
		codes = append(codes, c)
	}
	slices.Sort(codes)
	out := make([]Entry, len(codes))
	for i, c := range codes {
		out[i] = m[c]
	}
	return out
}

// Explain returns what a code means, with an example of the mistake and of what
// to write instead, as text; false when there is no such code. Case does not
// count.
func Explain(code string) (string, bool) {
	e, ok := Lookup(Code(strings.ToUpper(strings.TrimSpace(code))))
	if !ok {
		return "", false
	}
	return e.render(string(e.Code)+": "+e.Title, func(title string) string { return title + ":" }, indent), true
}

// Markdown is [Explain] for a page of the reference.
func (e Entry) Markdown() string {
	return e.render("### "+string(e.Code)+": "+e.Title, func(title string) string { return title + ":" }, func(name, text string) string {
		lang := ""
		if path.Ext(name) == ".hcl" {
			lang = "hcl"
		}
		return "```" + lang + "\n" + strings.TrimRight(text, "\n") + "\n```"
	})
}

func (e Entry) render(title string, head func(string) string, code func(name, text string) string) string {
	var b strings.Builder
	b.WriteString(title + "\n\n" + e.Text + "\n")
	for _, part := range []struct {
		title string
		files map[string]string
	}{{"Wrong", e.Wrong}, {"Right", e.Right}} {
		names := make([]string, 0, len(part.files))
		for n := range part.files {
			if n != "hbuild.hcl" && e.Wrong[n] != e.Right[n] {
				names = append(names, n)
			}
		}
		slices.Sort(names)
		if text, ok := part.files["hbuild.hcl"]; ok && (part.title == "Wrong" || text != e.Wrong["hbuild.hcl"]) {
			b.WriteString("\n" + head(part.title) + "\n\n" + code("hbuild.hcl", text) + "\n")
		}
		for _, n := range names {
			what := part.title + ", " + n
			if n == FlagsFile {
				what = part.title + ", called with"
			}
			b.WriteString("\n" + head(what) + "\n\n" + code(n, part.files[n]) + "\n")
		}
	}
	return b.String()
}

func indent(_, text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		if l != "" {
			lines[i] = "    " + l
		}
	}
	return strings.Join(lines, "\n")
}
