package llb

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
)

func setOf(paths ...string) map[string]bool {
	set := map[string]bool{}
	for _, p := range paths {
		set[p] = true
	}
	return set
}

// TestGroups: what overlaps, and what one step reads, stays together, and nothing else.
func TestGroups(t *testing.T) {
	for _, c := range []struct {
		paths    string
		together [][]string
		want     string // sets, each with its first path first
	}{
		{"/a /b /c", nil, "/a | /b | /c"},
		{"/a /a/b /a-b /a/b/c /ab", nil, "/a /a/b /a/b/c | /a-b | /ab"},
		{"/ /a /b/c", nil, "/ /a /b/c"},
		{"/a/b /a/c /b", [][]string{{"/a/c", "/b"}}, "/a/b | /a/c /b"},
		{"/a /b /c /d", [][]string{{"/d", "/c"}, {"/b", "/c"}, {"/a", "/x"}, {"/y", "/b"}}, "/a | /b /c /d"},
		{"/a/*.go /a/b /a/b/c /b", nil, "/a/*.go /a/b /a/b/c | /b"},
		{"/s/*/go.mod /s/a /s/b /t", nil, "/s/*/go.mod /s/a /s/b | /t"},
		{"/s/a*/x /s/ab /t?", nil, "/s/a*/x /s/ab /t?"},
		{`/[ab] /c`, nil, "/[ab] /c"}, {`/s/\a /s/b /t`, nil, `/s/\a /s/b | /t`},
		{"/s/go* /s/go.mod /r", nil, "/r | /s/go* /s/go.mod"},
	} {
		g := newGroups(setOf(strings.Fields(c.paths)...), c.together)
		sets := map[string][]string{}
		for p := range g {
			sets[g.find(p)] = append(sets[g.find(p)], p)
		}
		var got []string
		for first, set := range sets {
			slices.Sort(set)
			if set[0] != first {
				t.Errorf("%s: %s stands for %s", c.paths, first, set)
			}
			got = append(got, strings.Join(set, " "))
		}
		slices.Sort(got)
		if s := strings.Join(got, " | "); s != c.want || g.count() != len(sets) {
			t.Errorf("%s: %d, %s; want %s", c.paths, g.count(), s, c.want)
		}
	}
}

// TestSplit: parts have everything once, none reads into another, they are about as large
// and stay what they are when something else is added.
func TestSplit(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		paths, together := map[string]bool{}, [][]string(nil)
		for range rnd.IntN(60) {
			p := "/"
			for range rnd.IntN(4) {
				p = path.Join(p, []string{"a", "b", "c", "a-b", "b*", "?"}[rnd.IntN(6)])
			}
			paths[p] = true
		}
		for p := range paths {
			for q := range paths {
				if rnd.IntN(100) == 0 {
					together = append(together, []string{p, q})
				}
			}
		}
		parts, of := split(paths, together, 1+rnd.IntN(5))
		n := 0
		for i, p := range parts {
			n += len(p.paths)
			if p.index != i || p.of != len(parts) {
				t.Fatalf("part %d is %d of %d", i, p.index, p.of)
			}
			for q := range p.paths {
				if of[q] != p {
					t.Fatalf("%s is in two parts", q)
				}
			}
		}
		if n != len(paths) || len(of) != n {
			t.Fatalf("%d of %d paths, %d", n, len(paths), len(of))
		}
		for p := range paths {
			for q := range paths {
				if below(fixed(p), fixed(q)) && of[p] != of[q] {
					t.Fatalf("%s and %s are in two parts", p, q)
				}
			}
		}
		for _, ps := range together {
			if of[ps[0]] != of[ps[1]] {
				t.Fatalf("%s are in two parts", ps)
			}
		}
	}
	many := map[string]bool{}
	for i := range 1000 {
		many[fmt.Sprintf("/services/s%d", i)] = true
	}
	parts, of := split(many, nil, 10)
	for _, p := range parts {
		if len(p.paths) < 50 || len(p.paths) > 150 {
			t.Errorf("%d paths are in part %d of %d", len(p.paths), p.index, p.of)
		}
	}
	many["/toolchain"] = true
	_, again := split(many, nil, 10)
	for p, was := range of {
		if again[p].index != was.index {
			t.Fatalf("%s was in part %d, and is in %d with one path more", p, was.index, again[p].index)
		}
	}
}
