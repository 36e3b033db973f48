package eval

import (
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// artifact is where an artifact's bytes are.
type artifact struct {
	from ir.Source
	path string
	dir  bool
}

// artifact evaluates an artifact for a platform.
func (ev *Evaluator) artifact(inst *Instance, p *ocispecs.Platform) *artifact {
	n := inst.Node.(*lang.Artifact)
	sc := inst.scope(p)
	if n.From == nil || n.Path == nil {
		return nil
	}
	ev.attrStr(n.Description, sc)
	it := ev.item(n.From, sc)
	v := ev.build(it, kStage, KindImage)
	pt := ev.item(n.Path, sc)
	if pt.null() {
		pt.errorf(diag.NullValue, "path is null", "An artifact needs the path of a file or directory.")
	}
	w, ok := ev.checkedWord(pt, diag.BadPath, "path of an artifact", notEmpty)
	if v == nil || !ok {
		return nil
	}
	text := w.Text()
	a := &artifact{path: text, dir: strings.HasSuffix(text, "/")}
	a.from = ev.source(it, v, p)
	if st, ok := a.from.(ir.StageSource); ok {
		ev.checkCacheOnly(st.Stage, text, pt.rng)
	}
	return a
}

// source makes what a copy or a mount reads of a stage, an image or a context.
func (ev *Evaluator) source(it *item, v *Value, p *ocispecs.Platform) ir.Source {
	switch v.Kind {
	case kStage:
		return ir.StageSource{Stage: ev.stage(v.Inst, p)}
	case KindImage:
		s := ir.ImageSource{Ref: v.Image.Ref, Range: it.rng}
		if v.Image.Platform != nil {
			s.Platform = &ir.Platform{Platform: *v.Image.Platform, Auto: ev.autoPlatform(it.expr, *v.Image.Platform)}
		}
		if c := ev.givenImage(v.Image); c != nil {
			c.Range = it.rng
			return ir.ContextSource{Context: c, Platform: s.Platform}
		}
		return s
	case kContext:
		if c := ev.localContext(v.Inst); c != nil {
			return ir.ContextSource{Context: c}
		}
	case KindGit, KindHTTP:
		return ev.remoteStage(v, it)
	case KindScratch:
		return ir.ScratchSource{}
	}
	return nil
}

// checkCacheOnly reports a path that exists in a cache mount and so, once the
// step is over, nowhere.
func (ev *Evaluator) checkCacheOnly(st *ir.Stage, p string, at hcl.Range) {
	clean := path.Clean("/" + p)
	var mount *ir.Mount
	for _, s := range st.Steps {
		switch s := s.(type) {
		case *ir.Run:
			if m := coveringMount(s, clean); m != nil {
				mount = m
			} else if mentions(s, clean) {
				return
			}
		case *ir.Copy:
			if d, ok := s.Dest.Const(); !ok || under(clean, path.Clean("/"+d)) || !strings.HasPrefix(d, "/") {
				return
			}
		}
	}
	if mount == nil {
		return
	}
	target, _ := mount.Target.Const()
	ev.add(diag.Error(diag.CacheOnlyPath, at, fmt.Sprintf("%s exists in a %s mount only", p, mount.Kind),
		fmt.Sprintf("What a step writes below %s goes into the mount and is not part of %s. Let the step copy it to a path outside of the mount, and name that.", target, st.Addr),
		diag.WithRelated(mount.Range, "mounted here")))
}

func coveringMount(r *ir.Run, p string) *ir.Mount {
	for i := range r.Mounts {
		m := &r.Mounts[i]
		if m.Kind != ir.MountCache && m.Kind != ir.MountTmpfs {
			continue
		}
		if t, ok := m.Target.Const(); ok && strings.HasPrefix(t, "/") && under(p, path.Clean(t)) {
			return m
		}
	}
	return nil
}

// under reports whether p is dir or lies below it.
func under(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

func mentions(r *ir.Run, p string) bool {
	text := ""
	if r.Command != nil {
		text = strings.Join(r.Command.Args, " ")
	}
	if r.Script != nil {
		text = r.Script.Data
	}
	return strings.Contains(text, p) || strings.Contains(text, path.Dir(p)+" ") || strings.HasSuffix(text, path.Dir(p))
}
