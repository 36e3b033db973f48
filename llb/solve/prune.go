package solve

import (
	"context"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/tonistiigi/fsutil"
)

// prunedFS passes over what a filter outside of it would drop anyway. A filter asks for
// each entry's attributes, and compares the entry with all its patterns: of a directory
// of a thousand services, of which a source has a hundred, a thousand times.
type prunedFS struct {
	fsutil.FS
	kept *branches // nil passes over nothing
}

func (f prunedFS) Walk(ctx context.Context, p string, fn fs.WalkDirFunc) error {
	return f.FS.Walk(ctx, p, func(p string, e fs.DirEntry, err error) error {
		switch {
		case f.kept.may(filepath.ToSlash(p)):
			return fn(p, e, err)
		case e != nil && e.IsDir():
			return filepath.SkipDir
		}
		return nil
	})
}

// branches are where in a tree some patterns can match.
type branches struct {
	whole map[string]bool // there and below
	above map[string]bool // the directories on the way
}

// newBranches returns nil when a pattern can match anywhere. Patterns are in
// .dockerignore's syntax, with slashes.
func newBranches(patterns []string) *branches {
	b := &branches{whole: map[string]bool{}, above: map[string]bool{}}
	for _, pattern := range patterns {
		p := fixed(pattern)
		if p == "." {
			return nil
		}
		b.whole[p] = true
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			b.above[dir] = true
		}
	}
	if len(patterns) == 0 {
		return nil // no filter
	}
	return b
}

// fixed is how a pattern begins, as far as its components have one meaning; "." when
// already the first has more.
func fixed(pattern string) string {
	if strings.HasPrefix(pattern, "!") {
		return "."
	}
	var parts []string
	for part := range strings.SplitSeq(path.Clean("/" + pattern)[1:], "/") {
		if strings.ContainsAny(part, `*?[]^\`) {
			break
		}
		parts = append(parts, part)
	}
	return path.Join(".", path.Join(parts...))
}

// may says whether a path, or what is below it, can match.
func (b *branches) may(p string) bool {
	if b == nil || b.above[p] {
		return true
	}
	for ; p != "." && p != "/"; p = path.Dir(p) {
		if b.whole[p] {
			return true
		}
	}
	return false
}
