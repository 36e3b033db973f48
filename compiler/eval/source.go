package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// checkSource reports a copy of what a stage has in a cache mount only, and warns
// of a copy of a file that the context does not have: no error, for the file may be
// made before the build. Wildcards and what expands are not looked at, nor contexts
// that the caller replaces.
func (ev *Evaluator) checkSource(src ir.Source, w ir.Word, it *item) {
	if st, ok := src.(ir.StageSource); ok {
		if p, constant := w.Const(); constant && strings.HasPrefix(p, "/") && !strings.ContainsAny(p, `*?[\`) {
			ev.checkCacheOnly(st.Stage, p, it.rng)
		}
		return
	}
	from, ok := src.(ir.ContextSource)
	p, constant := w.Const()
	if !ok || !constant || ev.fsys == nil || strings.ContainsAny(p, `*?[\`) || from.Context.Given != "" || ev.opt.Contexts[from.Context.Name] != "" {
		return
	}
	rel := strings.TrimPrefix(path.Clean("/"+p), "/")
	full := path.Join(from.Context.Path, rel)
	if !fs.ValidPath(full) {
		return
	}
	if _, err := fs.Stat(ev.fsys, full); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	detail := fmt.Sprintf("context.%s has no file %q.%s", from.Context.Name, rel, nearestFile(ev.fsys, full))
	d := diag.New(hcl.DiagWarning, diag.MissingSource, it.rng, fmt.Sprintf("%q is not in the context", p), detail)
	if from.Context.Range.Filename != "" {
		diag.WithRelated(from.Context.Range, "context.%s is declared here", from.Context.Name)(d, d.Extra.(*diag.Info))
	}
	ev.add(d)
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
