package llb

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"

	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/hbuild/hbuild/compiler/ir"
)

// mainContext is the local source of the default context. Which paths it is
// narrowed to is known when everything is lowered, so it is made when it is
// marshalled.
type mainContext struct {
	l     *lowerer
	ctx   *ir.Context
	mu    sync.Mutex
	paths map[string]bool
	out   bk.Output
}

var _ bk.Output = (*mainContext)(nil)

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

func (m *mainContext) output() bk.Output {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.out == nil {
		m.out = m.l.local(m.ctx, m.paths, true).Output()
	}
	return m.out
}

// ToInput implements bk.Output.
func (m *mainContext) ToInput(ctx context.Context, c *bk.Constraints) (*pb.Input, error) {
	return m.output().ToInput(ctx, c)
}

// Vertex implements bk.Output.
func (m *mainContext) Vertex(ctx context.Context, c *bk.Constraints) bk.Vertex {
	return m.output().Vertex(ctx, c)
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

// local is a local source that sends the given paths of a context, to a Dockerfile
// its main one or a named one.
func (l *lowerer) local(c *ir.Context, paths map[string]bool, main bool) bk.State {
	name := ""
	if l.opt.LocalName != nil {
		name = l.opt.LocalName(c)
	}
	opts := []bk.LocalOption{bk.SessionID(l.opt.SessionID), bk.ExcludePatterns(c.Patterns)}
	follow := followPaths(paths)
	if main {
		if name == "" {
			name = "context"
		}
		opts = append(opts, bk.SharedKeyHint(name), bk.WithCustomName("[internal] load build context"))
		if l.opt.SharedContext && l.opt.Narrow != nil {
			l.opt.Narrow(c, follow)
			follow = nil
		}
	} else {
		if name == "" {
			name = strings.ToLower(c.Alias())
		}
		// Each use is narrowed to its own paths, as BuildKit does. The engine keeps
		// one copy of a directory per hint: with one for all uses, each would undo
		// what the one before received.
		opts = append(opts, bk.SharedKeyHint(localHint(name, follow)), bk.WithCustomName("[context "+c.Alias()+"] load from client"))
	}
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
		set := map[string]bool{}
		for _, p := range paths {
			set[p] = true
		}
		w.s.read(c, nil)
		return w.l.local(c, set, false)
	}
	w.s.read(c, paths)
	return bk.NewState(w.b.scope.context(c))
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
