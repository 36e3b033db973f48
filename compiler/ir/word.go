package ir

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Word is text in the syntax of BuildKit's word lexer
// (frontend/dockerfile/shell), with `\` as its escape character: what a
// Dockerfile's instruction holds, quotes and all. Both backends read it with the
// same lexer, the emitter by printing it and the lowering by expanding it, so
// that they cannot disagree about a quote.
type Word string

// Quote makes a Word of what a user typed in an attribute that expands: `$NAME`
// and the Dockerfile's `${…}` forms expand at build time, `\$` is a dollar, and
// every other character is text.
func Quote(text string) (Word, error) {
	if !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
		return "", errors.New("the text holds a NUL or is not UTF-8")
	}
	if plain(text) {
		return Word(text), nil
	}
	parts, err := split(text)
	if err != nil {
		return "", err
	}
	w := join(parts)
	if _, err := w.Expand(permissive{}); err != nil {
		return "", lexError(err)
	}
	return w, nil
}

// Literal makes a Word that expands to text, whatever is in it.
func Literal(text string) Word { return join([]part{{text: text}}) }

// Expand replaces variables and removes quotes, with BuildKit's lexer.
func (w Word) Expand(env shell.EnvGetter) (string, error) {
	if plain(string(w)) {
		return string(w), nil
	}
	s, _, err := shell.NewLex('\\').ProcessWord(string(w), env)
	return s, err
}

// Const returns what w expands to in every environment, and false when that
// depends on the environment.
func (w Word) Const() (string, bool) {
	if plain(string(w)) {
		return string(w), true
	}
	used := &recorder{}
	s, err := w.Expand(used)
	return s, err == nil && !used.asked
}

// Text is the inverse of [Quote]: what a user would type for w. It is exact for
// what the lexer makes of w; quotes that change nothing are not kept.
func (w Word) Text() string {
	if plain(string(w)) {
		return string(w)
	}
	var b strings.Builder
	for _, p := range unquote(string(w)) {
		if p.expand {
			b.WriteString(p.text)
			continue
		}
		lit := p.text
		for i := 0; i < len(lit); i++ {
			if lit[i] == '$' {
				b.WriteString(`\$`)
			} else {
				b.WriteByte(lit[i])
			}
		}
	}
	return b.String()
}

// Words makes one Word of each text; the first error wins.
func Words(texts []string) ([]Word, error) {
	out := make([]Word, len(texts))
	for i, t := range texts {
		w, err := Quote(t)
		if err != nil {
			return nil, err
		}
		out[i] = w
	}
	return out, nil
}

// part is a run of literal text, or one expansion with its dollar.
type part struct {
	text   string
	expand bool
}

// split finds the expansions in what a user typed.
func split(s string) ([]part, error) {
	var parts []part
	var lit strings.Builder
	flush := func() {
		if lit.Len() > 0 {
			parts = append(parts, part{text: lit.String()})
			lit.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '$':
			lit.WriteByte('$')
			i += 2
		case s[i] == '$':
			n := expansionLen(s[i:])
			if n < 0 {
				return nil, errors.New("`${` has no closing `}`")
			}
			if n == 0 {
				lit.WriteByte('$')
				i++
				continue
			}
			flush()
			parts = append(parts, part{text: s[i : i+n], expand: true})
			i += n
		default:
			lit.WriteByte(s[i])
			i++
		}
	}
	flush()
	return parts, nil
}

// expansionLen is the length of the `$NAME` or `${…}` that s starts with: 0 when
// its dollar is text, -1 when a brace is not closed.
func expansionLen(s string) int {
	if len(s) > 1 && s[1] == '{' {
		if end := braceEnd(s, 2); end > 0 {
			return end
		}
		return -1
	}
	n := 1
	for n < len(s) {
		r, size := utf8.DecodeRuneInString(s[n:])
		if r != '_' && !unicode.IsLetter(r) && (n == 1 || !unicode.IsDigit(r)) {
			break
		}
		n += size
	}
	if n == 1 {
		return 0
	}
	return n
}

// braceEnd returns the index after the brace that closes the one before i, or 0.
func braceEnd(s string, i int) int {
	for i < len(s) {
		switch c := s[i]; {
		case c == '\\':
			i += 2
		case c == '}':
			return i + 1
		case c == '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return 0
			}
			i += end + 2
		case c == '"':
			if i = quoteEnd(s, i+1); i == 0 {
				return 0
			}
		case c == '$' && i+1 < len(s) && s[i+1] == '{':
			if i = braceEnd(s, i+2); i == 0 {
				return 0
			}
		default:
			i++
		}
	}
	return 0
}

// quoteEnd returns the index after the double quote that closes the one before
// i, or 0.
func quoteEnd(s string, i int) int {
	for i < len(s) {
		switch c := s[i]; {
		case c == '\\':
			i += 2
		case c == '"':
			return i + 1
		case c == '$' && i+1 < len(s) && s[i+1] == '{':
			if i = braceEnd(s, i+2); i == 0 {
				return 0
			}
		default:
			i++
		}
	}
	return 0
}

// join writes parts in the lexer's syntax, bare where that is safe and in double
// quotes otherwise. An expansion that has quotes of its own stands outside of
// ours, because a Dockerfile's word splitter does not nest them.
func join(parts []part) Word {
	needs := len(parts) == 0
	for _, p := range parts {
		if !p.expand && !plain(p.text) || p.expand && strings.ContainsAny(p.text, " \t") {
			needs = true
		}
	}
	var b strings.Builder
	if !needs {
		for _, p := range parts {
			b.WriteString(p.text)
		}
		return Word(b.String())
	}
	open := false
	toggle := func(want bool) {
		if open != want {
			b.WriteByte('"')
			open = want
		}
	}
	for _, p := range parts {
		toggle(!p.expand || !strings.ContainsAny(p.text, `"'`))
		if p.expand {
			b.WriteString(p.text)
			continue
		}
		for i := 0; i < len(p.text); i++ {
			if strings.IndexByte(`"\$`, p.text[i]) >= 0 {
				b.WriteByte('\\')
			}
			b.WriteByte(p.text[i])
		}
	}
	toggle(false)
	if b.Len() == 0 {
		return `""`
	}
	return Word(b.String())
}

// plain reports whether s stands for itself, in the lexer and in the parser of
// every instruction.
func plain(s string) bool {
	if s == "" {
		return false
	}
	for _, r := range s {
		switch r {
		case '$', '<', '\'', '"', '\\', '`', '#', '\ufeff': // the lexer drops a byte order mark at the start
			return false
		}
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			return false
		}
	}
	return true
}

// unquote is the lexer's view of a word: what is text and what expands.
func unquote(s string) []part {
	var parts []part
	var lit strings.Builder
	expansion := func(i int) int {
		n := expansionLen(s[i:])
		if n < 0 { // an error to the lexer; looking for its end again and again would be quadratic
			lit.WriteString(s[i:])
			return len(s)
		}
		if n == 0 {
			lit.WriteByte('$')
			return i + 1
		}
		if lit.Len() > 0 {
			parts = append(parts, part{text: lit.String()})
			lit.Reset()
		}
		parts = append(parts, part{text: s[i : i+n], expand: true})
		return i + n
	}
	for i := 0; i < len(s); {
		switch s[i] {
		case '\\':
			if i+1 < len(s) {
				_, n := utf8.DecodeRuneInString(s[i+1:])
				lit.WriteString(s[i+1 : i+1+n])
				i += n
			}
			i++
		case '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				end = len(s) - i - 1
			}
			lit.WriteString(s[i+1 : i+1+end])
			i += end + 2
		case '"':
			for i++; i < len(s) && s[i] != '"'; {
				switch {
				case s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`"$\`, s[i+1]) >= 0:
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
		case '$':
			i = expansion(i)
		default:
			lit.WriteByte(s[i])
			i++
		}
	}
	if lit.Len() > 0 {
		parts = append(parts, part{text: lit.String()})
	}
	return parts
}

// permissive has every variable, so that only syntax can fail.
type permissive struct{}

func (permissive) Get(string) (string, bool) { return "x", true }
func (permissive) Keys() []string            { return nil }

// recorder notes that a variable was asked for.
type recorder struct{ asked bool }

func (r *recorder) Get(string) (string, bool) { r.asked = true; return "", false }
func (r *recorder) Keys() []string            { return nil }

// lexError strips the lexer's prefix, which repeats the word.
func lexError(err error) error {
	if c := errors.Unwrap(err); c != nil {
		for errors.Unwrap(c) != nil {
			c = errors.Unwrap(c)
		}
		return c
	}
	return err
}

// Refs reports whether w expands any of names.
func (w Word) Refs(names map[string]bool) bool {
	if len(names) == 0 || plain(string(w)) {
		return false
	}
	c := &collector{names: names}
	_, _ = w.Expand(c)
	return c.found
}

// collector notes whether one of some variables was asked for.
type collector struct {
	names map[string]bool
	found bool
}

func (c *collector) Get(name string) (string, bool) {
	c.found = c.found || c.names[name]
	return "", false
}
func (c *collector) Keys() []string { return nil }
