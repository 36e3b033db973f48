package dockerfile

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hbuild/hbuild/compiler/ir"
)

// The syntax of a word depends on where it stands. Everywhere the instruction's
// parser cuts the line into words first and the lexer expands each afterwards;
// what differs is how it cuts:
//
//	ENV, LABEL, ARG         at blanks outside of quotes, then at the first `=`
//	WORKDIR, USER, …        not at all: the rest of the line, trimmed
//	COPY, ADD, VOLUME       at blanks, even in quotes; or a JSON array, not at all
//	EXPOSE                  at blanks, even in quotes
//	flags                   at blanks outside of quotes, which it removes

// canonical rewrites a word whose spelling only some places take: blanks outside
// of quotes, a backslash at the end, a first character that means something.
func canonical(w ir.Word) string {
	s := string(w)
	if s == "" {
		return `""`
	}
	if strings.IndexByte("#-[<", s[0]) < 0 && !strings.HasSuffix(s, `\`) && oneWord(s) {
		return s
	}
	if q, err := ir.Quote(w.Text()); err == nil {
		s = string(q)
	}
	if strings.IndexByte("#-[<", s[0]) >= 0 {
		if text, ok := w.Const(); ok {
			return forceQuotes(text)
		}
		return `\` + s
	}
	return s
}

// forceQuotes writes text in double quotes, needed or not.
func forceQuotes(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(text); i++ {
		if strings.IndexByte(`"\$`, text[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(text[i])
	}
	b.WriteByte('"')
	return b.String()
}

// oneWord reports whether BuildKit's splitter for ENV, LABEL and ARG keeps s
// whole and unchanged: no blank outside of quotes, quotes closed, no backslash
// at the end.
func oneWord(s string) bool {
	if s == "" {
		return false
	}
	quote := rune(0)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\' && quote != '\'':
			if i+1 >= len(s) {
				return false
			}
			_, m := utf8.DecodeRuneInString(s[i+1:])
			n += m
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case unicode.IsSpace(r):
			return false
		}
		i += n
	}
	return quote == 0
}

// blank reports whether s has a character at which a list of words is cut.
func blank(s string) bool { return strings.ContainsAny(s, "\t\v\f\r\n ") }

// lineBreak reports whether s cannot stand on one line. A carriage return is
// harmless inside of quotes and cut off at the end of a line.
func lineBreak(s string) bool { return strings.ContainsRune(s, '\n') }

// flagValue writes a flag's value so that BuildKit's flag parser, which removes
// quotes and backslashes before anybody expands the value, gives back v.
//
// When BuildKit looks for heredocs it reads the whole line, flags and all, as
// words: an expansion that is none, or two `<`, would hide those that follow. So
// they are escaped, which the flag parser undoes.
func flagValue(v string) string {
	space := strings.ContainsFunc(v, unicode.IsSpace)
	plainExpansions := !strings.Contains(simpleExpansion.ReplaceAllString(v, ""), "$")
	if space && plainExpansions && !strings.ContainsAny(v, "\"\\") && !strings.Contains(v, "<<") {
		return `"` + v + `"`
	}
	dollar := !plainExpansions || strings.Contains(v, `\`)
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if strings.IndexByte("\"'\\", v[i]) >= 0 || unicode.IsSpace(rune(v[i])) || v[i] == '<' && i > 0 && v[i-1] == '<' || v[i] == '$' && dollar {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

var simpleExpansion = regexp.MustCompile(`\$[A-Za-z_]\w*|\$\{[A-Za-z_]\w*\}`)

// flagSafe reports whether BuildKit's flag parser leaves v alone: it reads bytes
// as runes, so that anything but ASCII is broken.
func flagSafe(v string) bool {
	for i := 0; i < len(v); i++ {
		if v[i] >= utf8.RuneSelf {
			return false
		}
	}
	return !lineBreak(v)
}

// csvField writes one `key=value` of a mount or device.
func csvField(s string) string {
	if !strings.ContainsAny(s, `,"`) {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}
