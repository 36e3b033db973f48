package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/moby/patternmatcher"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// checkSource reports a copy of what a stage has in a cache mount only, and warns
// of a copy of a file that the context does not have: no error, for the file may be
// made before the build. What expands is not looked at, nor contexts that the
// caller replaces.
func (ev *Evaluator) checkSource(src ir.Source, w ir.Word, it *item) {
	p, constant := w.Const()
	if !constant {
		return
	}
	switch src := src.(type) {
	case ir.StageSource:
		if strings.HasPrefix(p, "/") && !strings.ContainsAny(p, `*?[\`) {
			ev.checkCacheOnly(src.Stage, p, it.rng)
		}
	case ir.ContextSource:
		c := src.Context
		if ev.fsys != nil && c.Given == "" && ev.opt.Contexts[c.Name] == "" {
			ev.checkPath(c, p, it.rng)
		}
	}
}

// mayBeMissing matches how Dockerfiles say that a file is optional: `go.su[m]`,
// `yarn.lock*`.
var mayBeMissing = regexp.MustCompile(`^([^*?[\]\\]*(\[[^*?[\]\\^-]\][^*?[\]\\]*)+|[^*?[\]\\]*[^*?[\]\\/.]\*)$`)

// checkPath warns of a path or a pattern that nothing in a context has.
func (ev *Evaluator) checkPath(c *ir.Context, p string, at hcl.Range) {
	rel := strings.TrimPrefix(path.Clean("/"+p), "/")
	full := path.Join(c.Path, rel)
	if !fs.ValidPath(full) {
		return
	}
	if strings.ContainsAny(rel, `*?[\`) {
		// A build has no need to look for it, and a frontend asks its caller for every
		// directory.
		if !ev.opt.Check || mayBeMissing.MatchString(rel) || ev.found(full, ev.matches) {
			return
		}
	} else if ev.found(full, ev.exists) {
		return
	}
	ev.inOrder(func() { ev.missingSource(c, p, rel, at) }) // when the context has its name
}

// found looks for a path or a pattern, once: many steps may copy one file.
func (ev *tree) found(name string, look func(string) bool) bool {
	ev.mu.Lock()
	found, looked := ev.looked[name]
	ev.mu.Unlock()
	if looked {
		return found
	}
	found = look(name)
	ev.mu.Lock()
	defer ev.mu.Unlock()
	ev.looked[name] = found
	return found
}

// exists reports whether there is something at a path, or nobody knows.
func (ev *tree) exists(name string) bool {
	_, err := fs.Stat(ev.fsys, name)
	return !errors.Is(err, fs.ErrNotExist)
}

// missingSource warns of a path or a pattern, as it is written and from the context's
// root, that a context does not have.
func (ev *Evaluator) missingSource(c *ir.Context, p, rel string, at hcl.Range) {
	summary, detail := fmt.Sprintf("%q matches nothing in the context", p), ""
	if strings.ContainsAny(rel, `*?[\`) {
		detail = fmt.Sprintf("No file or directory of %s is like it, and so it says nothing.", c.Address())
	} else {
		summary = fmt.Sprintf("%q is not in the context", p)
		detail = fmt.Sprintf("%s has no file %q.%s", c.Address(), rel, nearestFile(ev.fsys, path.Join(c.Path, rel)))
		if strings.HasPrefix(path.Clean(p), "../") {
			detail += " No path leads out of a context; what is beside it is in a context of its own: context \"NAME\" { path = \"..\" }."
		}
	}
	d := diag.New(hcl.DiagWarning, diag.MissingSource, at, summary, detail)
	if c.Range.Filename != "" && !c.Range.Overlaps(at) {
		diag.WithRelated(c.Range, "%s is declared here", c.Address())(d, d.Extra.(*diag.Info))
	}
	ev.add(d)
}

// mostLooked is how many names a pattern with ** is tried on, and mostListed in how
// many directories. Where that is not enough, nobody knows whether it matches, and
// looking costs too much.
const (
	mostLooked = 2000
	mostListed = 100
)

var errEnough = errors.New("enough")

// matches reports whether a pattern of a path may match something.
func (ev *Evaluator) matches(pattern string) bool {
	if !strings.Contains(pattern, "**") {
		found, err := fs.Glob(ev.fsys, pattern)
		return err != nil || len(found) > 0
	}
	m, err := patternmatcher.New([]string{pattern})
	if err != nil {
		return true // reported elsewhere
	}
	dir := path.Dir(pattern[:strings.IndexAny(pattern, `*?[\`)+1])
	looked, listed, found := 0, 0, false
	_ = fs.WalkDir(ev.fsys, dir, func(name string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			listed++
		}
		if looked++; err != nil && !errors.Is(err, fs.ErrNotExist) || looked > mostLooked || listed > mostListed {
			found = true // perhaps
			return errEnough
		}
		if ok, _ := m.MatchesOrParentMatches(name); ok && err == nil && name != dir {
			found = true
			return errEnough
		}
		return nil
	})
	return found
}

// nearestFile suggests a file beside a missing one.
func nearestFile(fsys fs.FS, full string) string {
	entries, err := fs.ReadDir(fsys, path.Dir(full))
	if err != nil {
		return ""
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return diag.DidYouMean(path.Base(full), names)
}
