package llb

import (
	"errors"
	"os"
	"path"
	"strings"

	bk "github.com/moby/buildkit/client/llb"

	"github.com/hbuild/hbuild/compiler/ir"
)

var errRoot = errors.New("it is the root directory")

// The steps of this file have no instruction in a Dockerfile.

// merge lays other file systems over the stage's.
func (w *lowering) merge(s *ir.Merge) {
	states := []bk.State{w.s.state}
	for _, src := range s.Of {
		st, ok := w.source(src, []string{"/"})
		if !ok {
			return
		}
		states = append(states, st)
	}
	w.s.state = w.s.state.WithOutput(bk.Merge(states, w.layerOptions("merge", &s.StepMeta)...).Output())
}

// diff makes the stage what one file system has more than another.
func (w *lowering) diff(s *ir.Diff) {
	lower, ok := w.source(s.Lower, []string{"/"})
	upper, fine := w.source(s.Upper, []string{"/"})
	if ok && fine {
		w.s.state = w.s.state.WithOutput(bk.Diff(lower, upper, w.layerOptions("diff", &s.StepMeta)...).Output())
	}
}

// layerOptions are of an operation that is a step.
func (w *lowering) layerOptions(text string, m *ir.StepMeta) []bk.ConstraintsOpt {
	opts := []bk.ConstraintsOpt{bk.WithCustomName(w.name(text)), w.l.location(m.Range)}
	if w.noCache(m) {
		opts = append(opts, bk.IgnoreCache)
	}
	return opts
}

// file applies an action as one layer.
func (w *lowering) file(action *bk.FileAction, text string, m *ir.StepMeta) {
	w.s.state = w.s.state.File(action, append(w.layerOptions(text, m), bk.Platform(w.s.platform))...)
	w.history(text+" # hbuild", true)
}

// absolute are the paths of a step.
func (w *lowering) absolute(words ...ir.Word) ([]string, bool) {
	paths, ok := w.words(words)
	if !ok {
		return nil, false
	}
	for i, p := range paths {
		abs, err := w.inWorkdir(p)
		if err == nil && path.Clean(abs) == "/" {
			err = errRoot
		}
		if err != nil {
			w.errorf(CodePath, w.at(), "Bad path", "%s: %v.", p, rootCause(err))
			return nil, false
		}
		paths[i] = path.Clean(abs)
	}
	return paths, true
}

func (w *lowering) mkdir(s *ir.Mkdir) {
	paths, ok := w.absolute(s.Paths...)
	owner, fine := w.expand(s.Chown)
	if !ok || !fine {
		return
	}
	opts := []bk.MkdirOption{bk.WithParents(true)}
	if owner != "" {
		opts = append(opts, bk.WithUser(owner))
	}
	if w.b.epoch != nil {
		opts = append(opts, bk.WithCreatedTime(*w.b.epoch))
	}
	var action *bk.FileAction
	for _, p := range paths {
		if action == nil {
			action = bk.Mkdir(p, os.FileMode(s.Mode), opts...)
		} else {
			action = action.Mkdir(p, os.FileMode(s.Mode), opts...)
		}
	}
	w.file(action, "mkdir "+strings.Join(paths, " "), &s.StepMeta)
}

func (w *lowering) remove(s *ir.Remove) {
	paths, ok := w.absolute(s.Paths...)
	if !ok {
		return
	}
	var action *bk.FileAction
	for _, p := range paths {
		opts := []bk.RmOption{bk.WithAllowWildcard(true), bk.WithAllowNotFound(s.Optional)}
		if action == nil {
			action = bk.Rm(p, opts...)
		} else {
			action = action.Rm(p, opts...)
		}
	}
	w.file(action, "remove "+strings.Join(paths, " "), &s.StepMeta)
}

func (w *lowering) symlink(s *ir.Symlink) {
	paths, ok := w.absolute(s.Path)
	target, fine := w.expand(s.Target)
	if !ok || !fine {
		return
	}
	var opts []bk.SymlinkOption
	if w.b.epoch != nil {
		opts = append(opts, bk.WithCreatedTime(*w.b.epoch))
	}
	link := paths[0]
	action := bk.Symlink(target, link, opts...)
	if dir := path.Dir(link); dir != "/" {
		action = bk.Mkdir(dir, 0o755, bk.WithParents(true)).Symlink(target, link, opts...)
	}
	w.file(action, "symlink "+link+" to "+target, &s.StepMeta)
}
