package importer

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/hbuild/hbuild/compiler/ir"
)

// part is a run of literal text, or an expansion with its dollar.
type part struct {
	text   string
	expand bool
}

// split takes a word of a Dockerfile apart as BuildKit's lexer does, with the
// file's escape character. The expansions that come out are written with a
// backslash as theirs.
func split(s string, esc byte) []part {
	var parts []part
	var lit strings.Builder
	expansion := func(i int) int {
		end := expansionEnd(s, i, esc)
		if end == i+1 {
			lit.WriteByte('$')
			return end
		}
		if c, _ := utf8.DecodeRuneInString(s[i+1:]); unicode.IsDigit(c) || strings.ContainsRune("@*#?-$!", c) {
			return end // a parameter of a shell: nothing here
		}
		if lit.Len() > 0 {
			parts = append(parts, part{text: lit.String()})
			lit.Reset()
		}
		parts = append(parts, part{text: withBackslash(s[i:end], esc), expand: true})
		return end
	}
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == esc:
			if i+1 < len(s) {
				_, n := utf8.DecodeRuneInString(s[i+1:])
				lit.WriteString(s[i+1 : i+1+n])
				i += n
			}
			i++
		case c == '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				end = len(s) - i - 1
			}
			lit.WriteString(s[i+1 : i+1+end])
			i += end + 2
		case c == '"':
			for i++; i < len(s) && s[i] != '"'; {
				switch {
				case s[i] == esc && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '$' || s[i+1] == esc):
					lit.WriteByte(s[i+1])
					i += 2
				case s[i] == '$':
					i = expansion(i)
				default:
					lit.WriteByte(s[i])
					i++
				}
			}
			i++
		case c == '$':
			i = expansion(i)
		default:
			lit.WriteByte(c)
			i++
		}
	}
	if lit.Len() > 0 {
		parts = append(parts, part{text: lit.String()})
	}
	return parts
}

// expansionEnd is the index behind the expansion that begins at i; i+1 when the
// dollar is text.
func expansionEnd(s string, i int, esc byte) int {
	j := i + 1
	if j < len(s) && s[j] == '{' {
		return braceEnd(s, j+1, esc)
	}
	for j < len(s) {
		r, n := utf8.DecodeRuneInString(s[j:])
		first := j == i+1
		switch {
		case first && unicode.IsDigit(r):
			for j < len(s) && s[j] >= '0' && s[j] <= '9' {
				j++
			}
			return j
		case first && strings.ContainsRune("@*#?-$!", r):
			return j + n
		case !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_':
			return j
		}
		j += n
	}
	return j
}

// braceEnd is the index behind the brace that closes the one before i.
func braceEnd(s string, i int, esc byte) int {
	for i < len(s) {
		switch c := s[i]; {
		case c == esc:
			i += 2
		case c == '}':
			return i + 1
		case c == '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return len(s)
			}
			i += end + 2
		case c == '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == esc {
					i++
				}
			}
			i++
		case c == '$' && i+1 < len(s) && s[i+1] == '{':
			i = braceEnd(s, i+2, esc)
		default:
			i++
		}
	}
	return len(s)
}

// withBackslash writes an expansion for a lexer whose escape is a backslash.
func withBackslash(s string, esc byte) string {
	if esc == '\\' || !strings.ContainsAny(s, "`\\") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\':
			b.WriteString(`\\`)
		case s[i] == '`' && i+1 < len(s):
			i++
			b.WriteByte('\\')
			b.WriteByte(s[i])
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// text is what a user of hbuild types for a word of a Dockerfile, in a place that
// expands. What cannot be said alike is an error.
func (im *importer) text(word string) (string, error) {
	var b strings.Builder
	parts := split(word, im.esc)
	for i, p := range parts {
		if p.expand {
			b.WriteString(closed(p.text, i+1 < len(parts) && nameStart(parts[i+1])))
			continue
		}
		b.WriteString(strings.ReplaceAll(p.text, "$", `\$`))
	}
	text := b.String()
	if err := im.same(word, text); err != nil {
		return "", err
	}
	return text, nil
}

// nameStart reports whether a part would prolong the name of a variable before it.
func nameStart(p part) bool {
	r, _ := utf8.DecodeRuneInString(p.text)
	return !p.expand && (r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r))
}

// closed writes $NAME in braces when what follows would be read as part of it,
// and without them otherwise: HCL has to escape `${`.
func closed(expansion string, glued bool) string {
	m := plainExpansion.FindStringSubmatch(expansion)
	switch {
	case m == nil:
		return expansion
	case glued:
		return "${" + m[1] + m[2] + "}"
	}
	return "$" + m[1] + m[2]
}

// same checks with BuildKit's lexer that the two spellings expand alike.
func (im *importer) same(word, text string) error {
	w, err := ir.Quote(text)
	lex := shell.NewLex(rune(im.esc))
	for i, env := range []shell.EnvGetter{testEnv{"x", true}, testEnv{"", false}, testEnv{"a b/c.d", true}} {
		want, _, werr := lex.ProcessWord(word, env)
		if werr != nil && i == 0 {
			return cause(werr) // BuildKit's own mistake to report
		}
		if err != nil {
			return fmt.Errorf("hbuild has no spelling for %s: %v", word, err)
		}
		got, gerr := w.Expand(env)
		if (werr == nil) != (gerr == nil) || got != want {
			return fmt.Errorf("hbuild has no spelling for %s", word)
		}
	}
	return nil
}

// testEnv has one value for every variable.
type testEnv struct {
	value string
	ok    bool
}

func (e testEnv) Get(string) (string, bool) { return e.value, e.ok }
func (e testEnv) Keys() []string            { return nil }

// constant is what a word expands to whatever the environment is.
func (im *importer) constant(word string) (string, bool) {
	c := &collector{}
	s, _, err := shell.NewLex(rune(im.esc)).ProcessWord(word, c)
	return s, err == nil && len(c.names) == 0
}

// refs are the variables that a word reads.
func (im *importer) refs(words ...string) map[string]bool {
	out := map[string]bool{}
	for _, w := range words {
		if !strings.Contains(w, "$") {
			continue
		}
		for _, set := range []bool{true, false} { // both arms of ${X:+$Y}
			c := &collector{set: set}
			_, _, _ = shell.NewLex(rune(im.esc)).ProcessWord(w, c)
			for _, n := range c.names {
				out[n] = true
			}
		}
	}
	return out
}

// collector notes which variables were asked for.
type collector struct {
	names []string
	set   bool
}

func (c *collector) Get(name string) (string, bool) {
	c.names = append(c.names, name)
	return "x", c.set
}
func (c *collector) Keys() []string { return nil }

// cause is an error without its wrapping.
func cause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func overlap(a, b map[string]bool) bool {
	for k := range a {
		if b[k] {
			return true
		}
	}
	return false
}
