package llb

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	bk "github.com/moby/buildkit/client/llb"

	"github.com/hbuild/hbuild/compiler/ir"
)

// mainContext is the local source of the default context, or some of them (part.go).
// Which paths it is narrowed to is known when everything is lowered, so it is made when
// it is marshalled.
type mainContext struct {
	l        *lowerer
	ctx      *ir.Context
	mu       sync.Mutex
	paths    map[string]bool
	together [][]string // what one step reads, of more than one path
	whole    bool       // something reads all that is sent
	parts    []*part
	of       map[string]*part // the part of a path
}

// context is the late source of a context within a scope.
func (s *scope) context(c *ir.Context) *mainContext {
	m := s.main[c]
	if m == nil {
		m = &mainContext{l: s.l, ctx: c, paths: map[string]bool{}}
		s.main[c] = m
	}
	return m
}

// add notes paths that are read, absolute within the context.
func (m *mainContext) add(paths map[string]bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := range paths {
		m.paths[p] = true
	}
}

// reading is the context as a step reads it; without paths, all that anything reads.
func (m *mainContext) reading(paths []string) bk.Output {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(paths) == 0 {
		m.whole = true
		return reading{m, ""}
	}
	if len(paths) > 1 && m.most() > 1 {
		m.together = append(m.together, paths)
	}
	return reading{m, paths[0]}
}

// most is how many parts there may be.
func (m *mainContext) most() int {
	if m.whole || !m.l.opt.SharedContext {
		return 1
	}
	return m.l.parts
}

// output is the local source that has a path.
func (m *mainContext) output(p string) bk.Output {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.parts == nil {
		m.parts, m.of = split(m.paths, m.together, m.most())
	}
	in, ok := m.of[p]
	if !ok { // it is all that is read, of one part, or nothing that is built reads it
		in = m.parts[0]
	}
	if in.out == nil {
		in.out = m.l.mainLocal(m.ctx, in).Output()
	}
	return in.out
}

// isMain reports whether a context is one source for all that read it: a
// Dockerfile's main context, and that of any module where one source is for all.
func (w *lowering) isMain(c *ir.Context) bool {
	if w.l.opt.SharedContext && c.Main {
		return true
	}
	if w.b.Main == nil {
		return c.Name == "default"
	}
	return c.Name == w.b.Main.Name
}

// mainLocal is the local source of a part of a Dockerfile's main context.
func (l *lowerer) mainLocal(c *ir.Context, p *part) bk.State {
	name := l.localName(c)
	if name == "" {
		name = "context"
	}
	hint, follow := name, followPaths(p.paths)
	if p.of > 1 {
		hint = fmt.Sprintf("%s %d/%d", name, p.index+1, p.of)
	}
	opts := []bk.LocalOption{bk.SharedKeyHint(hint), bk.WithCustomName("[internal] load build context")}
	if l.opt.SharedContext && l.opt.Narrow != nil {
		name = PartName(name, p.index)
		l.opt.Narrow(name, follow)
		follow = nil
	}
	return l.local(c, name, follow, opts...)
}

// namedLocal is the local source of a named context, for one step. Each use is narrowed
// to its own paths, as BuildKit does. The engine keeps one copy of a directory per hint:
// with one for all uses, each would undo what the one before received.
func (l *lowerer) namedLocal(c *ir.Context, paths []string) bk.State {
	name := l.localName(c)
	if name == "" {
		name = strings.ToLower(c.Alias())
	}
	set := map[string]bool{}
	for _, p := range paths {
		set[p] = true
	}
	follow := followPaths(set)
	return l.local(c, name, follow, bk.SharedKeyHint(localHint(name, follow)), bk.WithCustomName("[context "+c.Alias()+"] load from client"))
}

// localName is what the caller calls a context; "" is what BuildKit does.
func (l *lowerer) localName(c *ir.Context) string {
	if l.opt.LocalName == nil {
		return ""
	}
	return l.opt.LocalName(c)
}

// local is a local source that sends the given paths of a context; nil is everything.
func (l *lowerer) local(c *ir.Context, name string, follow []string, opts ...bk.LocalOption) bk.State {
	opts = append([]bk.LocalOption{bk.SessionID(l.opt.SessionID), bk.ExcludePatterns(c.Patterns)}, opts...)
	if len(follow) > 0 {
		opts = append(opts, bk.FollowPaths(follow))
	}
	return bk.Local(name, opts...)
}

func localHint(name string, follow []string) string {
	if len(follow) == 0 {
		return "context:" + name
	}
	return "context:" + name + "-" + strings.Join(follow, "-")
}

// followPaths is the paths in the form of a local source; nil for everything.
func followPaths(paths map[string]bool) []string {
	out := make([]string, 0, len(paths))
	for p := range paths {
		if p == "/" {
			return nil
		}
		out = append(out, path.Join(".", p))
	}
	slices.Sort(out)
	return out
}

// contextState is a context as one step reads it.
// asked is the platform that the files ask for; nil is the stage's.
func (w *lowering) contextState(c *ir.Context, paths []string, asked *ir.Platform) bk.State {
	if st, ok := w.l.opt.Contexts[c]; ok {
		return st
	}
	if w.l.isGiven(c) {
		return w.givenState(c, paths, asked)
	}
	if !w.isMain(c) {
		w.s.read(c, nil)
		return w.l.namedLocal(c, paths)
	}
	w.s.read(c, paths)
	return bk.NewState(w.b.scope.context(c).reading(paths))
}

// givenState is what the caller gives for a context as one step reads it.
func (w *lowering) givenState(c *ir.Context, paths []string, asked *ir.Platform) bk.State {
	if asked == nil {
		asked = w.s.ir.RootPlatform()
	}
	p := w.b.target
	if asked != nil {
		var err error
		if p, err = w.l.askedPlatform(w.b, asked); err != nil {
			w.errorf(CodePlatform, w.at(), "Bad platform", "%v.", err)
			return bk.Scratch()
		}
	}
	g := w.l.given(w.b, c, Use{Platform: p, Paths: paths}, w.at())
	if g == nil {
		return bk.Scratch() // reported
	}
	return g.State.Platform(p)
}
