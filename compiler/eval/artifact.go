package eval

import (
	"fmt"
	"path"
	"slices"
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
	if inst.owner != ev {
		if a, ok := inst.ahead.(*artifact); ok {
			return a
		}
		return inst.owner.artifact(inst, p)
	}
	if a, ok := inst.memo.(*artifact); ok {
		return a
	}
	n := inst.Node.(*lang.Artifact)
	sc := inst.scope(p)
	if n.From == nil || n.Path == nil {
		return nil
	}
	ev.attrStr(n.Description, sc)
	it := ev.item(n.From, sc)
	v := ev.build(it, kStage, KindImage, KindMerge, KindDiff, KindDockerfile)
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
	if name, ok := ev.attrStr(n.Output, sc); ok {
		return ev.ofOutput(a, name, ev.item(n.Output, sc))
	}
	if st, ok := a.from.(ir.StageSource); ok {
		ev.checkCacheOnly(st.Stage, text, pt.rng)
	}
	if v.Kind == kStage && !ev.varies(n) && !ev.givenByPlatform() {
		inst.memo = a
	}
	return a
}

// ofOutput makes an artifact one of an output of its stage.
func (ev *Evaluator) ofOutput(a *artifact, name string, it *item) *artifact {
	st, ok := a.from.(ir.StageSource)
	if !ok {
		it.errorf(diag.WrongKind, "An output of something that is no stage", "A run step of a stage has outputs.")
		return nil
	}
	var names []string
	for _, step := range st.Stage.Steps {
		if run, ok := step.(*ir.Run); ok {
			for _, m := range run.Mounts {
				if m.Output != "" && !slices.Contains(names, m.Output) {
					names = append(names, m.Output)
				}
			}
		}
	}
	if !slices.Contains(names, name) {
		has := "It has none: mount one with mounts = { \"/out\" = output(\"" + name + "\") }."
		if len(names) > 0 {
			has = "It has " + diag.List(names, 20) + "." + diag.DidYouMean(name, names)
		}
		it.fail(diag.UnknownOutput, fmt.Sprintf("%s has no output %q", st.Stage.Addr, name), has, diag.WithRelated(st.Stage.Range, "%s is declared here", st.Stage.Addr))
		return nil
	}
	st.Output = name
	a.from = st
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
		if c := ev.givenImage(v.Image, p); c != nil {
			ev.inOrder(func() { c.Range = it.rng })
			return ir.ContextSource{Context: c, Platform: s.Platform}
		}
		if src := ev.inPlace.imageSource(v.Image); src != nil {
			return src
		}
		return s
	case KindDockerfile:
		if st := ev.dockerfileStage(it, v, p); st != nil {
			return ir.StageSource{Stage: st}
		}
	case KindMerge, KindDiff:
		return ir.StageSource{Stage: ev.combined(it, v, p)}
	case kContext:
		if c := ev.contextFor(v.Inst, p); c != nil {
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
