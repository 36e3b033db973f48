package diag

import (
	"slices"
	"strconv"
	"strings"
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
		near := fold(c)
		if near == folded {
			return c
		}
		if n := len(near) - len(folded); n > bestDist || -n > bestDist {
			continue // each letter too many or too few counts
		}
		d := distance(folded, near)
		if d < bestDist || d == bestDist && best != "" && c < best {
			best, bestDist = c, d
		}
		if best == "" && d == bestDist && len(name) > 2 {
			best = c
		}
	}
	return best
}

var separators = strings.NewReplacer("-", "", "_", "")

func fold(s string) string {
	if strings.ContainsAny(s, "-_") {
		s = separators.Replace(s)
	}
	return strings.ToLower(s)
}

// DidYouMean returns `Did you mean "x"?` with a leading space, or "".
func DidYouMean(name string, candidates []string) string {
	if n := Nearest(name, candidates); n != "" {
		return " Did you mean " + quote(n) + "?"
	}
	return ""
}

// first returns the n first of some names in order, all of them when there are fewer.
// There may be thousands, for each of thousands of mistakes: they are not all sorted.
func first(names []string, n int) []string {
	out := make([]string, 0, n+1)
	for _, name := range names {
		if len(out) == n && (n == 0 || name >= out[n-1]) {
			continue
		}
		at, _ := slices.BinarySearch(out, name)
		out = slices.Insert(out, at, name)
		out = out[:min(len(out), n)]
	}
	return out
}

// List names at most max candidates in order, for a message that has no
// suggestion to make: `a, b, c and 4 more`.
func List(candidates []string, max int) string {
	c := first(candidates, max)
	switch {
	case len(candidates) == 0:
		return "none"
	case len(candidates) > max:
		return strings.Join(c, ", ") + " and " + itoa(len(candidates)-max) + " more"
	case len(c) == 1:
		return c[0]
	}
	return strings.Join(c[:len(c)-1], ", ") + " and " + c[len(c)-1]
}

func quote(s string) string { return `"` + s + `"` }

func itoa(n int) string { return strconv.Itoa(n) }

// distance is the number of letters to insert, drop, replace or swap with their
// neighbour to get from a to b. Swapping counts once, for it is what fingers do.
func distance(a, b string) int {
	var buf [3 * 64]int
	rows, n := buf[:], len(b)+1
	if 3*n > len(rows) {
		rows = make([]int, 3*n)
	}
	before, last, row := rows[:n], rows[n:2*n], rows[2*n:3*n]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
