package llb

import (
	"cmp"
	"context"
	"hash/fnv"
	"path"
	"slices"
	"strconv"
	"strings"

	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
)

// A shared context is received in parts when many targets read it. BuildKit keeps the
// digests of a local source's files in one record, which it writes anew after each
// directory that is looked at for the first time (cache/contenthash, save): of one source
// with the files of a thousand services a thousand times, which is quadratic. Parts share
// no files, so that everything is still walked and sent once.

// partRequests is for how many results of a call there is another part. More parts are
// more transfers, fewer are larger ones.
const partRequests = 100

// Parts is how many local sources a shared context has at most, in a call of that many
// requests.
func Parts(requests int) int { return 1 + max(0, requests-1)/partRequests }

// PartName is what a session calls the i-th part of a local source, where parts are
// narrowed by it ([Options.Narrow]).
func PartName(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "#" + strconv.Itoa(i)
}

// part is one of the local sources of a context.
type part struct {
	index, of int
	paths     map[string]bool // what is read of it
	out       bk.Output       // once it has been asked for
}

// reading is what a step reads of a main context: all of its paths are in one part.
type reading struct {
	m    *mainContext
	path string // one of them
}

var _ bk.Output = reading{}

// ToInput implements bk.Output.
func (r reading) ToInput(ctx context.Context, c *bk.Constraints) (*pb.Input, error) {
	return r.m.output(r.path).ToInput(ctx, c)
}

// Vertex implements bk.Output.
func (r reading) Vertex(ctx context.Context, c *bk.Constraints) bk.Vertex {
	return r.m.output(r.path).Vertex(ctx, c)
}

// split divides what is read of a context into at most n parts that overlap nowhere, and
// says in which one a path is. together are paths that one step reads, which stay in one
// part. Where a path is depends on nothing but itself and what it overlaps, as long as
// there are as many parts: the engine keeps each, and receives what changed.
func split(paths map[string]bool, together [][]string, n int) (parts []*part, of map[string]*part) {
	g := newGroups(paths, together)
	n = max(1, min(n, g.count()))
	for i := range n {
		parts = append(parts, &part{index: i, of: n, paths: map[string]bool{}})
	}
	of = make(map[string]*part, len(paths))
	for p := range paths {
		h := fnv.New32a()
		h.Write([]byte(g.find(p)))
		of[p] = parts[h.Sum32()%uint32(n)]
		of[p].paths[p] = true
	}
	return parts, of
}

// groups are the disjoint sets of paths that must not be parted: of each path the
// representative of its set, the first of them, or a path on the way to it.
type groups map[string]string

func newGroups(paths map[string]bool, together [][]string) groups {
	g := groups{}
	type place struct{ key, dir, path string }
	var sorted []place
	for p := range paths {
		g[p] = p
		dir := fixed(p)
		sorted = append(sorted, place{strings.ReplaceAll(dir, "/", "\x00"), dir, p})
	}
	// By their elements: what is below a directory follows it before anything else.
	slices.SortFunc(sorted, func(a, b place) int {
		return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.path, b.path))
	})
	top := 0
	for i, at := range sorted {
		if below(at.dir, sorted[top].dir) {
			g.join(sorted[top].path, at.path)
		} else {
			top = i
		}
	}
	for _, ps := range together {
		for _, p := range ps[1:] {
			if paths[ps[0]] && paths[p] {
				g.join(ps[0], p)
			}
		}
	}
	return g
}

// find is the representative of a path's set.
func (g groups) find(p string) string {
	for g[p] != p {
		g[p] = g[g[p]]
		p = g[p]
	}
	return p
}

func (g groups) join(a, b string) {
	a, b = g.find(a), g.find(b)
	g[max(a, b)] = min(a, b)
}

// count is how many sets there are.
func (g groups) count() (n int) {
	for p, of := range g {
		if p == of {
			n++
		}
	}
	return n
}

// fixed is the directory that a path is in whatever its wildcards stand for, or the
// path itself.
func fixed(p string) string {
	if i := strings.IndexAny(p, `*?[\`); i >= 0 {
		return path.Dir(p[:i] + "x")
	}
	return p
}

// below says whether a path is a directory, or in it.
func below(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}
