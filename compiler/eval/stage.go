package eval

import (
	"fmt"
	"path"
	"strings"

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
)

// stage evaluates an instance of a stage for a target platform. One that does
// not depend on the platform is the same for all.
func (ev *Evaluator) stage(inst *Instance, p *ocispecs.Platform) *ir.Stage {
	n := inst.Node.(*lang.Stage)
	key := ""
	if n.TargetPlatform {
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
	st := &ir.Stage{Addr: inst.Addr, Name: ev.stageName(inst), Range: n.Range, Comment: ev.mod.CommentAbove(n.Range), Root: ir.ScratchRoot{}}
	if n.TargetPlatform {
		t := ev.target(p)
		st.For = &t
	}
	inst.stages[key] = st
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

// root evaluates where a stage starts.
func (ev *Evaluator) root(st *ir.Stage, n *lang.Stage, sc *scope) {
	plat := ev.platform(n.Platform, sc)
	if n.From == nil {
		return
	}
	it := ev.item(n.From, sc)
	v := ev.build(it, kStage, KindImage, KindScratch)
	if v == nil {
		return
	}
	switch v.Kind {
	case KindScratch:
		st.Platform = plat
	case KindImage:
		st.Root = ir.ImageRoot{Ref: v.Image.Ref, Range: it.rng}
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

// stepper appends steps to a stage.
type stepper struct {
	ev    *Evaluator
	stage *ir.Stage
	sc    *scope
}

func (s *stepper) add(steps ...ir.Step) { s.stage.Steps = append(s.stage.Steps, steps...) }

// settings appends what sets where steps start, in the language's order.
func (s *stepper) settings(args, env, shell, workdir, user, labels *lang.Attr) {
	s.args(args)
	s.env(env)
	ev := s.ev
	if shell != nil {
		if list, ok := ev.attrStrings(shell, s.sc); ok {
			if len(list) == 0 {
				ev.errorf(diag.EmptyValue, shell.Expr.Range(), "shell is empty", `A shell is a program and its arguments: ["/bin/bash", "-c"].`)
			} else {
				s.add(&ir.Shell{StepMeta: ev.meta(shell.SrcRange), Args: list})
			}
		}
	}
	if workdir != nil {
		if w, ok := ev.checkedWord(ev.item(workdir, s.sc), diag.BadPath, "directory", notEmpty); ok {
			s.add(&ir.Workdir{StepMeta: ev.meta(workdir.SrcRange), Path: w})
		}
	}
	if user != nil {
		if w, ok := ev.checkedWord(ev.item(user, s.sc), diag.EmptyValue, "user", notEmpty); ok {
			s.add(&ir.User{StepMeta: ev.meta(user.SrcRange), User: w})
		}
	}
	s.labels(labels)
}

// autoArgs are the arguments that BuildKit gives a value itself.
func (ev *Evaluator) autoArgs(p *ocispecs.Platform) map[string]string {
	t, b := ev.target(p), ev.opt.BuildPlatform
	return map[string]string{
		"TARGETPLATFORM": platforms.FormatAll(t), "TARGETOS": t.OS, "TARGETARCH": t.Architecture, "TARGETVARIANT": t.Variant, "TARGETOSVERSION": t.OSVersion,
		"BUILDPLATFORM": platforms.Format(b), "BUILDOS": b.OS, "BUILDARCH": b.Architecture, "BUILDVARIANT": b.Variant, "BUILDOSVERSION": b.OSVersion,
	}
}

func (s *stepper) args(a *lang.Attr) {
	if a == nil {
		return
	}
	entries, _ := s.ev.entries(s.ev.item(a, s.sc), "a map of strings")
	auto := s.ev.autoArgs(s.sc.platform)
	for _, e := range entries {
		if !envName.MatchString(e.key) {
			s.ev.errorf(diag.BadName, e.keyRange, fmt.Sprintf("%q is no name of an argument", e.key), "A name has letters, digits and _ and does not begin with a digit.")
			continue
		}
		arg := &ir.Arg{StepMeta: s.ev.entryMeta(a, e), Key: e.key}
		value, automatic := auto[e.key]
		switch {
		case e.item.unknown():
		case e.item.null():
			arg.Auto = automatic
		default:
			w, ok := s.ev.word(e.item)
			if !ok {
				continue
			}
			arg.Value = &w
			text, constant := w.Const()
			arg.Auto = automatic && constant && text == value
		}
		s.add(arg)
	}
}

// entryMeta is the meta of a step that one entry of an object asks for.
func (ev *Evaluator) entryMeta(a *lang.Attr, e entry) ir.StepMeta {
	if e.keyRange == a.Expr.Range() {
		return ev.meta(a.SrcRange)
	}
	m := ev.meta(hcl.RangeBetween(e.keyRange, e.item.rng))
	if e.keyRange.Start.Line == a.SrcRange.Start.Line {
		m.Comment = ev.mod.CommentAbove(a.SrcRange)
	}
	return m
}

// env appends Env steps: one for as long as no entry needs what an earlier entry
// of the same step sets.
func (s *stepper) env(a *lang.Attr) {
	if a == nil {
		return
	}
	it := s.ev.item(a, s.sc)
	entries, _ := s.ev.entries(it, "a map of strings")
	var cur *ir.Env
	set := map[string]bool{}
	for _, e := range entries {
		if e.item.unknown() {
			continue
		}
		if e.item.null() {
			continue // declares a name; an environment has no such thing
		}
		kv, ok := s.pair(e)
		if !ok {
			continue
		}
		if cur == nil || kv.Value.Refs(set) || kv.Key.Refs(set) {
			cur = &ir.Env{StepMeta: s.ev.meta(a.SrcRange)}
			if len(set) > 0 {
				cur.Comment = nil
			}
			set = map[string]bool{}
			s.add(cur)
		}
		cur.Pairs = append(cur.Pairs, kv)
		if k, constant := kv.Key.Const(); constant {
			set[k] = true
		}
	}
}

// pair reads a key and a value that both expand.
func (s *stepper) pair(e entry) (ir.WordKV, bool) {
	if e.key == "" || strings.ContainsAny(e.key, "= \t\n") {
		s.ev.errorf(diag.BadName, e.keyRange, fmt.Sprintf("%q is no name", e.key), "A name in %s is not empty and has no = and no blanks.", e.item.name)
		return ir.WordKV{}, false
	}
	k, ok := s.ev.quote(e.key, s.ev.given(e.item.name, e.item.v, e.keyRange))
	if !ok {
		return ir.WordKV{}, false
	}
	v, ok := s.ev.word(e.item)
	return ir.WordKV{Key: k, Value: v}, ok
}

func (s *stepper) labels(a *lang.Attr) {
	if a == nil {
		return
	}
	entries, _ := s.ev.entries(s.ev.item(a, s.sc), "a map of strings")
	l := &ir.Label{StepMeta: s.ev.meta(a.SrcRange)}
	for _, e := range entries {
		if e.item.unknown() || e.item.null() {
			continue
		}
		if kv, ok := s.pair(e); ok {
			l.Pairs = append(l.Pairs, kv)
		}
	}
	if len(l.Pairs) > 0 {
		s.add(l)
	}
}

// image appends the attributes of the image, in the language's order.
func (s *stepper) image(n *lang.Stage) {
	ev, sc := s.ev, s.sc
	s.labels(n.Labels)
	if a, ok := ev.attrStr(n.Author, sc); ok {
		s.add(&ir.Author{StepMeta: ev.meta(n.Author.SrcRange), Author: a})
	}
	if c, ok := s.command(n.Entrypoint, true); ok {
		s.add(&ir.Entrypoint{StepMeta: ev.meta(n.Entrypoint.SrcRange), Command: *c})
	}
	if c, ok := s.command(n.Cmd, true); ok {
		s.add(&ir.Cmd{StepMeta: ev.meta(n.Cmd.SrcRange), Command: *c})
	}
	s.expose(n.Expose)
	s.volumes(n.Volumes)
	if n.StopSignal != nil {
		if w, ok := ev.checkedWord(ev.item(n.StopSignal, sc), diag.BadSignal, "signal", checkSignal); ok {
			s.add(&ir.StopSignal{StepMeta: ev.meta(n.StopSignal.SrcRange), Signal: w})
		}
	}
	s.onbuild(n.OnBuild)
	s.healthcheck(n.Healthcheck)
}

// command reads a shell line or an argument vector. An empty one is a value when
// empty says so.
func (s *stepper) command(a *lang.Attr, empty bool) (*ir.Command, bool) {
	if a == nil {
		return nil, false
	}
	it := s.ev.item(a, s.sc)
	if _, isList := it.expr.(*hclsyntax.TupleConsExpr); !isList {
		if !it.ready() {
			return nil, false
		}
		if t := it.value().Type(); !t.IsTupleType() && !t.IsListType() {
			if FromCty(it.value()) == nil && !t.IsPrimitiveType() {
				it.wrongType("a string or a list of strings")
				return nil, false
			}
			line, ok := s.ev.str(it)
			return &ir.Command{Shell: true, Args: []string{joinLines(line)}}, ok
		}
	}
	args, ok := s.ev.strings(it)
	if ok && len(args) == 0 && !empty {
		it.errorf(diag.EmptyValue, fmt.Sprintf("%s is empty", a.Name), "Name a program and its arguments.")
		return nil, false
	}
	return &ir.Command{Args: args}, ok
}

// JoinLines is how a command that is written over several lines becomes the one
// that runs; the importer checks with it what it writes.
func JoinLines(text string) string { return joinLines(text) }

// joinLines joins the lines that end in a backslash, as the parser of a
// Dockerfile does: indentation is kept, and blank and comment lines between
// joined ones are dropped. One final newline goes.
func joinLines(text string) string {
	text = strings.TrimSuffix(text, "\n")
	if !strings.Contains(text, "\n") {
		return text
	}
	var out []string
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line, more := continued(lines[i])
		for more && i+1 < len(lines) {
			i++
			trimmed := strings.TrimSpace(lines[i])
			if trimmed == "" || trimmed[0] == '#' {
				continue
			}
			var next string
			next, more = continued(lines[i])
			line += next
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// continued strips the backslash that joins a line to the next one. Two
// backslashes are a backslash, as for BuildKit.
func continued(line string) (string, bool) {
	t := strings.TrimRight(line, " \t\r")
	if !strings.HasSuffix(t, `\`) || strings.HasSuffix(t, `\\`) {
		return line, false
	}
	return t[:len(t)-1], true
}

func (s *stepper) expose(a *lang.Attr) {
	if a == nil {
		return
	}
	items, ok := s.ev.list(s.ev.item(a, s.sc), "a list of ports")
	x := &ir.Expose{StepMeta: s.ev.meta(a.SrcRange)}
	for _, it := range items {
		if w, ok := s.ev.checkedWord(it, diag.BadPort, "port", checkPort); ok {
			x.Ports = append(x.Ports, w)
		}
	}
	s.addOrClear(a, ok && len(items) == 0, "expose", x, len(x.Ports))
}

func (s *stepper) volumes(a *lang.Attr) {
	if a == nil {
		return
	}
	items, ok := s.ev.list(s.ev.item(a, s.sc), "a list of strings")
	v := &ir.Volume{StepMeta: s.ev.meta(a.SrcRange)}
	for _, it := range items {
		if w, ok := s.ev.checkedWord(it, diag.EmptyValue, "volume", notEmpty); ok {
			v.Paths = append(v.Paths, w)
		}
	}
	s.addOrClear(a, ok && len(items) == 0, "volumes", v, len(v.Paths))
}

// addOrClear appends a list attribute; an empty list clears what the base set.
func (s *stepper) addOrClear(a *lang.Attr, empty bool, what string, step ir.Step, n int) {
	if empty && !s.canInherit() {
		return // empty already
	}
	if empty {
		s.add(&ir.Clear{StepMeta: s.ev.meta(a.SrcRange), What: what})
	} else if n > 0 {
		s.add(step)
	}
}

// canInherit reports whether the image of the stage may have attributes that no
// step of the module gave it.
func (s *stepper) canInherit() bool {
	for st := s.stage; ; {
		switch r := st.Root.(type) {
		case ir.StageRoot:
			for _, step := range r.Stage.Steps {
				switch step.(type) {
				case *ir.Expose, *ir.Volume:
					return true
				}
			}
			st = r.Stage
		case ir.ScratchRoot:
			return false
		default:
			return true
		}
	}
}

func (s *stepper) onbuild(a *lang.Attr) {
	if a == nil {
		return
	}
	items, _ := s.ev.list(s.ev.item(a, s.sc), "a list of Dockerfile instructions")
	for _, it := range items {
		if text, ok := s.ev.checked(it, diag.BadOnBuild, "instruction for onbuild", checkOnBuild); ok {
			s.add(&ir.OnBuild{StepMeta: s.ev.meta(it.rng), Trigger: text, Reads: s.triggerReads(text)})
		}
	}
}

// triggerReads are the stages of the module that a trigger's `from` names.
func (s *stepper) triggerReads(text string) (out []*ir.Stage) {
	for _, name := range triggerFroms(text) {
		for _, n := range s.ev.mod.Decls {
			st, ok := n.(*lang.Stage)
			if !ok || st.ForEach != nil || dockerName(st.Name) != strings.ToLower(name) {
				continue
			}
			for _, inst := range s.ev.instances(n).list {
				if found := s.ev.stage(inst, s.sc.platform); found != s.stage {
					out = append(out, found)
				}
			}
		}
	}
	return out
}

func (s *stepper) healthcheck(a *lang.Attr) {
	if a == nil {
		return
	}
	ev := s.ev
	it := ev.item(a, s.sc)
	h := &ir.Healthcheck{StepMeta: ev.meta(a.SrcRange)}
	if _, isObj := it.expr.(*hclsyntax.ObjectConsExpr); !isObj {
		if !it.ready() {
			return
		}
		if t := it.value().Type(); !t.IsObjectType() && !t.IsMapType() {
			if ev.enum(it, diag.BadEnum, "healthcheck", []string{"none"}) != "" {
				h.Test = []string{"NONE"}
				s.add(h)
			}
			return
		}
	}
	ok := ev.options(it, "healthcheck", map[string]func(*item){
		"command": func(it *item) {
			c, ok := (&stepper{ev: ev, sc: s.sc}).command(&lang.Attr{Name: "command", Expr: exprOf(it)}, false)
			if !ok {
				return
			}
			h.Test = append([]string{"CMD"}, c.Args...)
			if c.Shell {
				h.Test[0] = "CMD-SHELL"
			}
		},
		"interval":       func(it *item) { h.Interval = ev.duration(it) },
		"timeout":        func(it *item) { h.Timeout = ev.duration(it) },
		"start_period":   func(it *item) { h.StartPeriod = ev.duration(it) },
		"start_interval": func(it *item) { h.StartInterval = ev.duration(it) },
		"retries": func(it *item) {
			if n, ok := ev.integer(it); ok && n < 0 {
				it.errorf(diag.WrongType, "retries is negative", "It is a number of tries, 0 for the default.")
			} else if ok {
				h.Retries = int(n)
			}
		},
	})
	if ok && h.Test == nil {
		it.errorf(diag.MissingAttribute, "A healthcheck without a command", `Write healthcheck = { command = "…" } or healthcheck = "none".`)
	}
	if h.Test != nil {
		s.add(h)
	}
}

// exprOf gives an item's expression back, or a constant of its value.
func exprOf(it *item) hclsyntax.Expression {
	if it.expr != nil && !it.done {
		return it.expr
	}
	return &hclsyntax.LiteralValueExpr{Val: it.value(), SrcRange: it.rng}
}

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
