package eval

import (
	"fmt"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

const (
	kStage    = Kind(lang.KindStage)
	kArtifact = Kind(lang.KindArtifact)
	kContext  = Kind(lang.KindContext)
	kCache    = Kind(lang.KindCache)
	kSecret   = Kind(lang.KindSecret)
	kSSH      = Kind(lang.KindSSH)
	kTarget   = Kind(lang.KindTarget)
	kGroup    = Kind(lang.KindGroup)
	kTest     = Kind(lang.KindTest)
)

// stage evaluates an instance of a stage for a target platform. One that does
// not depend on the platform is the same for all.
func (ev *Evaluator) stage(inst *Instance, p *ocispecs.Platform) *ir.Stage {
	if inst.owner != ev {
		if st, ok := inst.ahead.(*ir.Stage); ok {
			return st
		}
		return inst.owner.stage(inst, p)
	}
	n, ok := inst.Node.(*lang.Stage)
	if test, isTest := inst.Node.(*lang.Test); !ok && isTest {
		n = test.Stage()
	}
	key := ""
	if ev.varies(inst.Node) {
		key = platformKey(p)
	} else {
		p = nil
	}
	if st := inst.stages[key]; st != nil {
		return st
	}
	if inst.stages == nil {
		inst.stages = map[string]*ir.Stage{}
	}
	st := &ir.Stage{Addr: inst.Addr, Range: n.Range, Comment: ev.mod.CommentAbove(n.Range), Root: ir.ScratchRoot{}}
	ev.inOrder(func() { st.Name = ev.stageName(inst) })
	if ev.varies(inst.Node) {
		t := ev.target(p)
		st.For = &t
	}
	inst.stages[key] = st
	if c := ev.givenStage(inst, st, p); c != nil {
		st.Root, c.Range = ir.ContextRoot{Context: c, Range: n.Range}, n.Range
		return st
	}
	if ev.inPlace.replaceStage(st) {
		return st
	}
	if n.Bad && n.From == nil {
		return st
	}
	sc := inst.scope(p)
	ev.preconditions(n.Preconditions, inst.Addr, sc)
	if d, ok := ev.attrStr(n.Description, sc); ok {
		st.Description = d
	}
	ev.root(st, n, sc)
	s := &stepper{ev: ev, stage: st, sc: sc}
	s.settings(n.Args, n.Env, n.Shell, n.Workdir, n.User, nil)
	for _, step := range n.Steps {
		s.steps(step, sc)
	}
	s.image(n)
	return st
}

func (ev *Evaluator) preconditions(list []*lang.Precondition, addr string, sc *scope) {
	for _, pc := range list {
		if pc.Condition == nil || pc.ErrorMessage == nil {
			continue
		}
		if ok, known := ev.holdsIn(pc.Condition, sc); known && !ok {
			msg, _ := ev.attrStr(pc.ErrorMessage, sc)
			ev.errorf(diag.PreconditionFailed, pc.Condition.Expr.Range(), fmt.Sprintf("A precondition of %s does not hold", addr), "%s", sentence(msg))
		}
	}
}

// imageRoot is an image to start from, or what the caller gives in its place.
func (ev *Evaluator) imageRoot(img *Image, it *item, p *ocispecs.Platform) ir.Root {
	if c := ev.givenImage(img, p); c != nil {
		ev.inOrder(func() { c.Range = it.rng })
		return ir.ContextRoot{Context: c, Range: it.rng}
	}
	if r := ev.inPlace.imageRoot(img); r != nil {
		return r
	}
	return ir.ImageRoot{Ref: img.Ref, Range: it.rng}
}

// root evaluates where a stage starts.
func (ev *Evaluator) root(st *ir.Stage, n *lang.Stage, sc *scope) {
	plat := ev.platform(n.Platform, sc)
	if n.From == nil {
		return
	}
	it := ev.item(n.From, sc)
	v := ev.build(it, kStage, KindImage, KindScratch, KindMerge, KindDiff, KindDockerfile)
	if v == nil {
		return
	}
	switch v.Kind {
	case KindScratch:
		st.Platform = plat
	case KindMerge, KindDiff, KindDockerfile:
		if plat != nil {
			ev.errorf(diag.PlatformOverStage, n.Platform.SrcRange, "platform on a stage that starts from other stages", "The stage has the platform of %s; set platform there.", v.Describe())
		}
		var base *ir.Stage
		if v.Kind == KindDockerfile {
			base = ev.dockerfileStage(it, v, sc.platform)
		} else {
			base = ev.combined(it, v, sc.platform)
		}
		if base != nil {
			st.Root = ir.StageRoot{Stage: base}
		}
	case KindImage:
		asked := sc.platform
		if plat != nil {
			asked = &plat.Platform
		}
		st.Root = ev.imageRoot(v.Image, it, asked)
		ev.noteBase(st, it)
		st.Platform = plat
		if v.Image.Platform != nil {
			own := &ir.Platform{Platform: *v.Image.Platform, Auto: ev.autoPlatform(it.expr, *v.Image.Platform)}
			if plat != nil && platforms.FormatAll(plat.Platform) != platforms.FormatAll(own.Platform) {
				it.fail(diag.ConflictingAttrs, "Two platforms for one stage", fmt.Sprintf("image() says %s and the stage %s; a stage runs on the platform of its base image. Drop one.", platforms.FormatAll(own.Platform), platforms.FormatAll(plat.Platform)), diag.WithRelated(n.Platform.SrcRange, "the stage's platform"))
			}
			st.Platform = own
		}
	case kStage:
		if plat != nil {
			ev.add(diag.Error(diag.PlatformOverStage, n.Platform.SrcRange, "platform on a stage that starts from a stage", fmt.Sprintf("The stage has the platform of %s; set platform there.", v.Inst.Addr), diag.WithRelated(v.Inst.Node.Base().NameRange, "%s is declared here", v.Inst.Addr)))
		}
		st.Root = ir.StageRoot{Stage: ev.stage(v.Inst, sc.platform)}
	}
}

// platform reads a platform attribute; nil when it is not set.
func (ev *Evaluator) platform(a *lang.Attr, sc *scope) *ir.Platform {
	if a == nil {
		return nil
	}
	it := ev.item(a, sc)
	s, ok := ev.str(it)
	if !ok {
		return nil
	}
	p, err := parsePlatform(s)
	if err != nil {
		it.errorf(diag.BadPlatform, fmt.Sprintf("%q is no platform", s), "%s", sentence(upperFirst(err.Error())))
		return nil
	}
	return &ir.Platform{Platform: p, Auto: ev.autoPlatform(a.Expr, p)}
}

// autoPlatform names the automatic argument that an expression asks for: a
// Dockerfile must not pin what platform.build and platform.target leave open.
func (ev *Evaluator) autoPlatform(e hclsyntax.Expression, p ocispecs.Platform) string {
	if e == nil {
		return ""
	}
	for _, t := range hclsyntax.Variables(e) {
		if l, ok := ev.named(t).(*lang.Local); ok && !l.Bad && ev.autoPlatform(l.Value.Expr, p) == "BUILDPLATFORM" {
			return "BUILDPLATFORM"
		}
		if t.RootName() != "platform" || len(t) < 2 {
			continue
		}
		step, _ := t[1].(hcl.TraverseAttr)
		switch {
		case step.Name == "build" && platforms.FormatAll(p) == platforms.FormatAll(ev.opt.BuildPlatform):
			return "BUILDPLATFORM"
		case step.Name == "target":
			return "TARGETPLATFORM"
		}
	}
	return ""
}
