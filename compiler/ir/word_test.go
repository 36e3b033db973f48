package ir

import (
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

var wordEnv = shell.EnvsFromSlice([]string{"HOME=/root", "A=a b", "EMPTY="})

func TestQuoteExpandsAsDesigned(t *testing.T) {
	for _, c := range []struct{ text, word, want string }{
		{"plain/path:1", "plain/path:1", "plain/path:1"},
		{"", `""`, ""},
		{"a b", `"a b"`, "a b"},
		{`say "hi"`, `"say \"hi\""`, `say "hi"`},
		{`it's`, `"it's"`, `it's`},
		{`c:\dir`, `"c:\\dir"`, `c:\dir`},
		{"$HOME/x", "$HOME/x", "/root/x"},
		{`\$HOME`, `"\$HOME"`, "$HOME"},
		{"cost: 5$", `"cost: 5\$"`, "cost: 5$"},
		{"$(date)", `"\$(date)"`, "$(date)"},
		{"${NONE:-d e}", `"${NONE:-d e}"`, "d e"},
		{`x${NONE:-"q r"}y`, `"x"${NONE:-"q r"}"y"`, "xq ry"},
		{`${NONE:-"q r"}`, `${NONE:-"q r"}`, "q r"},
		{"<<EOF", `"<<EOF"`, "<<EOF"},
		{"$A", "$A", "a b"},
		{"$1", `"\$1"`, "$1"},
	} {
		w, err := Quote(c.text)
		if err != nil {
			t.Errorf("Quote(%q): %v", c.text, err)
			continue
		}
		got, err := w.Expand(wordEnv)
		if string(w) != c.word || got != c.want || err != nil {
			t.Errorf("Quote(%q) = %s, expands to %q (%v); want %s, %q", c.text, w, got, err, c.word, c.want)
		}
		if back, err := Quote(w.Text()); err != nil || back != w {
			t.Errorf("Quote(%s.Text() = %q) = %s, %v", w, w.Text(), back, err)
		}
	}
}

func TestQuoteRefusesBadSubstitutions(t *testing.T) {
	for _, text := range []string{"${", "${HOME", "${}", "${:x}", "${A:=b}", "${A^^}"} {
		if w, err := Quote(text); err == nil {
			t.Errorf("Quote(%q) = %s, want an error", text, w)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("a $HOME ${A:-'x'} \\$ \"")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := Quote(text)
		if err != nil {
			return
		}
		want, err := w.Expand(wordEnv)
		if err != nil {
			return // ${X?message}
		}
		back, err := Quote(w.Text())
		if err != nil {
			t.Fatalf("%q → %s → %q: %v", text, w, w.Text(), err)
		}
		if got, err := back.Expand(wordEnv); err != nil || got != want {
			t.Fatalf("%q → %s → %q → %s: %q, want %q (%v)", text, w, w.Text(), back, got, want, err)
		}
		lit, err := Literal(want).Expand(wordEnv)
		if err != nil || lit != want {
			t.Fatalf("Literal(%q) = %s expands to %q (%v)", want, Literal(want), lit, err)
		}
	})
}
