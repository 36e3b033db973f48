package diag

import (
	"sort"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
)

// Nearest returns the candidate that a person most likely meant by name, or ""
// when none is near. Case, hyphens and underscores count less than letters.
func Nearest(name string, candidates []string) string {
	best, bestDist := "", len(name)/3+1
	if bestDist > 4 {
		bestDist = 4
	}
	folded := fold(name)
	for _, c := range candidates {
		if c == name {
			continue
		}
		if fold(c) == folded {
			return c
		}
		d := levenshtein.Distance(folded, fold(c), nil)
		if d < bestDist || d == bestDist && best != "" && c < best {
			best, bestDist = c, d
		}
		if best == "" && d == bestDist && len(name) > 2 {
			best = c
		}
	}
	return best
}

func fold(s string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
}

// DidYouMean returns `Did you mean "x"?` with a leading space, or "".
func DidYouMean(name string, candidates []string) string {
	if n := Nearest(name, candidates); n != "" {
		return " Did you mean " + quote(n) + "?"
	}
	return ""
}

// List names at most max candidates in order, for a message that has no
// suggestion to make: `a, b, c and 4 more`.
func List(candidates []string, max int) string {
	c := append([]string(nil), candidates...)
	sort.Strings(c)
	switch {
	case len(c) == 0:
		return "none"
	case len(c) > max:
		return strings.Join(c[:max], ", ") + " and " + itoa(len(c)-max) + " more"
	case len(c) == 1:
		return c[0]
	}
	return strings.Join(c[:len(c)-1], ", ") + " and " + c[len(c)-1]
}

func quote(s string) string { return `"` + s + `"` }

func itoa(n int) string { return strconv.Itoa(n) }
