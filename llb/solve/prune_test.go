package solve

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// TestNarrowContext compares what is walked of a context's paths with what fsutil's own
// filter shows of them, in trees and with paths that are random.
func TestNarrowContext(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"a", "b", "ab", "c]", ".hbuild-tmp-1"}
	pick := func(all []string) string { return all[r.IntN(len(all))] }
	randomPath := func(names []string) string {
		p := pick(names)
		for r.IntN(3) > 0 {
			p += "/" + pick(names)
		}
		return p
	}
	narrower := 0
	for range 500 {
		dir := t.TempDir()
		for range 12 {
			p := filepath.Join(dir, randomPath(names))
			if os.MkdirAll(filepath.Dir(p), 0o755) != nil {
				continue // a file is in the way
			}
			if r.IntN(4) == 0 {
				os.Symlink(pick([]string{"a", "../b", "/a/b", "nowhere", "a*"}), p)
			} else {
				os.WriteFile(p, []byte(p), 0o644)
			}
		}
		patterns := names
		if r.IntN(3) == 0 {
			patterns = append(names, "*", "a*", "**", "?b", ".", "..")
		}
		paths := []string{randomPath(patterns)}
		for r.IntN(2) > 0 {
			paths = append(paths, randomPath(patterns))
		}
		c := Context{Dir: dir, Paths: func() []string { return paths }}
		if r.IntN(2) == 0 {
			c.Exclude = []string{randomPath(append(names, "*", "**")), "!" + randomPath(names)}
		}
		narrow, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		c.Paths = nil
		all, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		filtered, err := fsutil.NewFilterFS(all, &fsutil.FilterOpt{FollowPaths: paths})
		if err != nil {
			t.Fatal(err)
		}
		got, want := walked(t, narrow), walked(t, filtered)
		if !slices.Equal(got, want) {
			t.Fatalf("of %q without %q:\n%q\nwant\n%q", paths, c.Exclude, got, want)
		}
		if len(want) > 0 && len(want) < len(walked(t, all)) {
			narrower++
		}
	}
	if narrower < 100 {
		t.Errorf("only %d of the walks were narrowed", narrower)
	}
}

func walked(t *testing.T, dir fsutil.FS) (all []string) {
	t.Helper()
	err := dir.Walk(context.Background(), "/", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		st := fi.Sys().(*fstypes.Stat)
		all = append(all, fmt.Sprint(p, " ", os.FileMode(st.Mode), " ", st.Size, " ", st.Linkname))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPrunedFS asks for no attributes of what no pattern can match.
func TestPrunedFS(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		write(t, filepath.Join(dir, fmt.Sprintf("services/s%d/src/main.go", i)), "x")
	}
	inner, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		patterns []string
		want     int
	}{
		{[]string{"services/s3/src", "services/s4/src/*.go"}, 1 + 2*3},
		{[]string{"services/s3"}, 1 + 3},
		{[]string{"services/s?/src"}, 1 + 10*3},
		{[]string{"nothing"}, 0},
		{[]string{"**/main.go"}, 1 + 10*3},
		{nil, 1 + 10*3},
	} {
		if got := walked(t, prunedFS{inner, newBranches(c.patterns)}); len(got) != c.want {
			t.Errorf("%q: %d entries, want %d: %q", c.patterns, len(got), c.want, got)
		}
	}
}
