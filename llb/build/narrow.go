package build

import (
	"maps"
	"slices"
	"sync"
)

// narrowing is what the shared contexts of a call are narrowed to, by what the session
// calls their local sources. It is known when the definitions are made, and asked for
// when a directory is walked.
type narrowing struct {
	mu    sync.Mutex
	paths map[string]map[string]bool // nil is everything
}

// add is llb.Options.Narrow. Several sources of one directory are sent what any of them
// reads.
func (n *narrowing) add(name string, paths []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	have, known := n.paths[name]
	switch {
	case len(paths) == 0 || known && have == nil:
		n.paths[name] = nil
		return
	case !known:
		have = map[string]bool{}
		n.paths[name] = have
	}
	for _, p := range paths {
		have[p] = true
	}
}

// of are the paths of one local source; nil is everything.
func (n *narrowing) of(name string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.paths[name]))
}
