package frontend_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/hbuild/hbuild/llb/frontend"
)

// TestContextFS compares the build context behind the gateway with the directory
// itself: every file and directory, links, odd names, a file of several messages.
func TestContextFS(t *testing.T) {
	dir := t.TempDir()
	large := strings.Repeat("0123456789abcdef", 20<<16) // 20 MiB
	for name, text := range map[string]string{
		"a.txt": "a", "dir/b.txt": "b", "dir/sub/c.txt": "c", "dir/sub/deep/d.txt": "d", "empty.txt": "", "large": large,
		"we[ir]d*/na me?.txt": "odd", "!not": "bang", "other/x": "x",
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
	if err := os.Mkdir(filepath.Join(dir, "void"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"file-link": "dir/b.txt", "dir-link": "dir", "dir/up": "../a.txt", "circle": "circle", "out": "/etc/passwd", "gone": "nothing", "twice": "dir-link/sub"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	want := os.DirFS(dir)
	solve(t, dir, nil, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		got, err := frontend.ContextFS(ctx, gw)
		if err != nil {
			return nil, err
		}
		for _, name := range []string{"a.txt", "dir/b.txt", "dir/sub/deep/d.txt", "empty.txt", "large", "we[ir]d*/na me?.txt", "!not", "file-link", "dir/up", "dir-link/b.txt", "dir-link/sub/c.txt", "twice/deep/d.txt"} {
			w, err := fs.ReadFile(want, name)
			if err != nil {
				t.Fatal(err)
			}
			g, err := fs.ReadFile(got, name)
			if err != nil || string(g) != string(w) {
				t.Errorf("%s: %d bytes of %d, %v", name, len(g), len(w), err)
			}
		}
		for _, name := range []string{".", "dir", "dir/sub", "dir-link", "twice", "void", "we[ir]d*"} {
			w, err := fs.ReadDir(want, name)
			if err != nil {
				t.Fatal(err)
			}
			g, err := fs.ReadDir(got, name)
			if err != nil || entries(g) != entries(w) {
				t.Errorf("%s has %s, not %s (%v)", name, entries(g), entries(w), err)
			}
		}
		for _, name := range []string{"nothing", "dir/nothing", "nothing/at/all", "a.txt/b", "gone", "void/x", "out", "twice/none"} {
			if _, err := fs.Stat(got, name); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := fs.Stat(got, "circle"); err == nil {
			t.Error("circle is something")
		}
		below, err := fs.Sub(got, "dir/sub")
		if err != nil {
			return nil, err
		}
		if err := fstest.TestFS(below, "c.txt", "deep/d.txt"); err != nil {
			t.Error(err)
		}
		return gateway.NewResult(), nil
	})
}

func entries(list []fs.DirEntry) string {
	var out []string
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s %s", e.Name(), e.Type()))
	}
	return strings.Join(out, ", ")
}

// counter counts solves: each is a round trip to the caller.
type counter struct {
	gateway.Client
	n *atomic.Int64
}

func (c counter) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	c.n.Add(1)
	return c.Client.Solve(ctx, req)
}

// TestRoundTrips bounds what reading costs: a walk over many directories is two
// listings, however many there are, and nothing is asked for twice.
func TestRoundTrips(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		write(t, filepath.Join(dir, fmt.Sprintf("tree/d%d/e/f.txt", i)), "x")
	}
	var n atomic.Int64
	solve(t, dir, nil, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		fsys, err := frontend.ContextFS(ctx, counter{gw, &n})
		if err != nil {
			return nil, err
		}
		count := func(want int64, what string, f func()) {
			n.Store(0)
			f()
			if got := n.Load(); got != want {
				t.Errorf("%s takes %d round trips, not %d", what, got, want)
			}
		}
		files := 0
		count(3, "a walk", func() {
			err = fs.WalkDir(fsys, "tree", func(_ string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					files++
				}
				return err
			})
		})
		if err != nil || files != 200 {
			t.Errorf("the walk found %d files: %v", files, err)
		}
		count(1, "a file", func() { _, err = fs.ReadFile(fsys, "tree/d7/e/f.txt") })
		if err != nil {
			t.Error(err)
		}
		count(0, "the same file", func() { _, _ = fs.ReadFile(fsys, "tree/d7/e/f.txt") })
		return gateway.NewResult(), nil
	})
}

func TestWithin(t *testing.T) {
	got := frontend.Within("a[b]", []string{"**", "!src", "src/*.tmp", "/x"})
	if want := []string{`a\[b]/**`, `!a\[b]/src`, `a\[b]/src/*.tmp`, `a\[b]/x`}; !slices.Equal(got, want) {
		t.Errorf("patterns are %q, not %q", got, want)
	}
}
