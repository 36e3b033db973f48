package dockerfile

import (
	"strings"

	"github.com/pmezard/go-difflib/difflib"
)

// Diff compares a Dockerfile that is there with the one that would be written,
// in the unified format; "" when they are the same. name is the file's.
func Diff(name string, have, want []byte) string {
	if string(have) == string(want) {
		return ""
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: lines(have), B: lines(want), FromFile: name, ToFile: name + " (emitted)", Context: 3,
	})
	if err != nil {
		panic(err) // it writes into memory
	}
	return text
}

// lines cuts text behind its line feeds, and marks a last line that has none.
func lines(dt []byte) []string {
	if len(dt) == 0 {
		return nil
	}
	out := strings.SplitAfter(string(dt), "\n")
	if last := len(out) - 1; out[last] == "" {
		out = out[:last]
	} else {
		out[last] += "\n\\ No newline at end of file\n"
	}
	return out
}
