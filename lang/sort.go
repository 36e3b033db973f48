package lang

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/lang/diag"
)

// sort fills Module.Order, depth first in source order, and reports cycles: one
// diagnostic for each group of declarations that reach each other, with a whole
// path round it.
func (r *resolver) sort() {
	s := &sorter{nodes: make([]sortNode, len(r.m.Decls)), order: make([]Node, 0, len(r.m.Decls))}
	for _, n := range r.m.Decls {
		if s.of(n).index == 0 {
			s.visit(n)
		}
	}
	r.m.Order = s.order
	for _, group := range s.cycles {
		r.diags = append(r.diags, cycleError(group))
		for _, n := range group {
			n.Base().Bad = true
		}
	}
	for _, n := range s.order {
		d := n.Base()
		for _, u := range d.Uses {
			d.TargetPlatform = d.TargetPlatform || u.Decl.Base().TargetPlatform
			// What uses a declaration in a cycle cannot be evaluated either.
			d.Bad = d.Bad || u.Decl.Base().Bad && inCycle(u.Decl, s.cycles)
		}
	}
}

func inCycle(n Node, cycles [][]Node) bool {
	for _, c := range cycles {
		for _, m := range c {
			if m == n {
				return true
			}
		}
	}
	return false
}

// sorter is Tarjan's algorithm for strongly connected components, with its own
// stack of frames because ten thousand stages may stand in one chain.
type sorter struct {
	nodes  []sortNode // by Decl.Index
	stack  []Node
	next   int
	order  []Node
	cycles [][]Node
}

// sortNode is what the algorithm knows of a declaration.
type sortNode struct {
	index, low int // index is 0 before the first visit
	onStack    bool
}

func (s *sorter) of(n Node) *sortNode { return &s.nodes[n.Base().Index] }

type frame struct {
	n    Node
	edge int
}

func (s *sorter) enter(n Node) frame {
	s.next++
	*s.of(n) = sortNode{index: s.next, low: s.next, onStack: true}
	s.stack = append(s.stack, n)
	return frame{n: n}
}

func (s *sorter) visit(root Node) {
	frames := []frame{s.enter(root)}
	for len(frames) > 0 {
		f := &frames[len(frames)-1]
		uses := f.n.Base().Uses
		if f.edge < len(uses) {
			m := uses[f.edge].Decl
			f.edge++
			if used, user := s.of(m), s.of(f.n); used.index == 0 {
				frames = append(frames, s.enter(m))
			} else if used.onStack {
				user.low = min(user.low, used.index)
			}
			continue
		}
		n := f.n
		frames = frames[:len(frames)-1]
		if len(frames) > 0 {
			p := s.of(frames[len(frames)-1].n)
			p.low = min(p.low, s.of(n).low)
		}
		s.leave(n)
	}
}

func (s *sorter) leave(n Node) {
	s.order = append(s.order, n)
	if of := s.of(n); of.low != of.index {
		return
	}
	var group []Node
	for {
		m := s.stack[len(s.stack)-1]
		s.stack = s.stack[:len(s.stack)-1]
		s.of(m).onStack = false
		group = append(group, m)
		if m == n {
			break
		}
	}
	if len(group) > 1 || usesItself(n) {
		s.cycles = append(s.cycles, group)
	}
}

func usesItself(n Node) bool {
	for _, u := range n.Base().Uses {
		if u.Decl == n {
			return true
		}
	}
	return false
}

// cycleError describes a shortest way round a group, from its first declaration
// in the source.
func cycleError(group []Node) *hcl.Diagnostic {
	first := group[0]
	in := map[Node]bool{}
	for _, n := range group {
		in[n] = true
		if n.Base().Index < first.Base().Index {
			first = n
		}
	}
	path := shortestCycle(first, in)
	names := make([]string, 0, len(path)+1)
	var opts []diag.Option
	for i, u := range path {
		from := first
		if i > 0 {
			from = path[i-1].Decl
		}
		names = append(names, from.Base().Addr())
		opts = append(opts, diag.WithRelated(u.Range, "%s needs %s", from.Base().Addr(), u.Decl.Base().Addr()))
	}
	names = append(names, first.Base().Addr())
	return diag.Error(diag.Cycle, first.Base().NameRange, fmt.Sprintf("%s needs itself", first.Base().Addr()),
		"The way round: "+strings.Join(names, " → ")+".", opts...)
}

// shortestCycle returns the uses that lead from a node back to it.
func shortestCycle(start Node, in map[Node]bool) []Use {
	type step struct {
		n    Node
		via  Use
		prev *step
	}
	queue := []*step{{n: start}}
	seen := map[Node]bool{}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		for _, u := range s.n.Base().Uses {
			if u.Decl == start {
				path := []Use{u}
				for p := s; p.prev != nil; p = p.prev {
					path = append([]Use{p.via}, path...)
				}
				return path
			}
			if in[u.Decl] && !seen[u.Decl] {
				seen[u.Decl] = true
				queue = append(queue, &step{n: u.Decl, via: u, prev: s})
			}
		}
	}
	return nil
}
