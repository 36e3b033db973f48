package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/moby/patternmatcher"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// checkSource warns of a copy of a file that the context does not have, or leaves
// out; and reports a copy of what a stage has in a cache mount only. The warning is
// no error, for a file may be made before the build. Wildcards and what
// expands are not looked at, nor contexts that the caller replaces.
func (ev *Evaluator) checkSource(src ir.Source, w ir.Word, it *item) {
	if st, ok := src.(ir.StageSource); ok {
		if p, constant := w.Const(); constant && strings.HasPrefix(p, "/") && !strings.ContainsAny(p, `*?[\\`) {
			ev.checkCacheOnly(st.Stage, p, it.rng)
		}
		return
	}
	from, ok := src.(ir.ContextSource)
	p, constant := w.Const()
	if !ok || !constant || ev.fsys == nil || strings.ContainsAny(p, `*?[\`) || ev.opt.Contexts[from.Context.Name] != "" {
		return
	}
	rel := strings.TrimPrefix(path.Clean("/"+p), "/")
	full := path.Join(from.Context.Path, rel)
	if !fs.ValidPath(full) {
		return
	}
	info, err := fs.Stat(ev.fsys, full)
	var detail string
	switch {
	case errors.Is(err, fs.ErrNotExist):
		detail = fmt.Sprintf("context.%s has no file %q.%s", from.Context.Name, rel, nearestFile(ev.fsys, full))
	case err == nil && !info.IsDir() && ev.leftOut(from.Context, rel):
		detail = fmt.Sprintf("The file %q is there, but the patterns of context.%s leave it out.", rel, from.Context.Name)
	default:
		return
	}
	d := diag.New(hcl.DiagWarning, diag.MissingSource, it.rng, fmt.Sprintf("%q is not in the context", p), detail)
	if from.Context.Range.Filename != "" {
		diag.WithRelated(from.Context.Range, "context.%s is declared here", from.Context.Name)(d, d.Extra.(*diag.Info))
	}
	ev.add(d)
}

// leftOut reports whether a context's patterns match a file last.
func (ev *Evaluator) leftOut(c *ir.Context, rel string) bool {
	if len(c.Patterns) == 0 {
		return false
	}
	pm, ok := ev.matchers[c]
	if !ok {
		pm, _ = patternmatcher.New(c.Patterns) // bad patterns were reported
		ev.matchers[c] = pm
	}
	if pm == nil {
		return false
	}
	out, err := pm.MatchesOrParentMatches(rel)
	return err == nil && out
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
