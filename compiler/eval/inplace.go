package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// A Dockerfile in place is imported and becomes a module of its own, with an
// evaluator of its own. What the options of dockerfile() say is put into the stages
// that come out, where docker build's flags would have put it.

// unknownInDockerfile is the importer's code for a name that is given something and
// that the Dockerfile does not have.
const unknownInDockerfile diag.Code = "HB8009"

// nested is a Dockerfile that was imported.
type nested struct {
	ev    *Evaluator
	stage *Instance
	file  *ImportedDockerfile
	use   *inPlace
	owner string             // tells its stages' names from those of others
	moved map[*ir.Stage]bool // stages that have their own names and places
	flags *ir.InPlace
}

// inPlace is who uses a Dockerfile, and with which options: what the evaluator of
// the imported file asks for what it does not have itself. The methods of nil find
// nothing.
type inPlace struct {
	ev       *Evaluator
	it       *item
	d        *Dockerfile
	names    map[string]string  // stages' addresses to their names in the Dockerfile
	platform *ocispecs.Platform // that is evaluated for
	used     map[string]bool    // keys of contexts
	foreign  map[*ir.Stage]bool // stages that are not the Dockerfile's
}

// dockerfileStage is the stage that a dockerfile() stands for; nil when there are
// errors.
func (ev *Evaluator) dockerfileStage(it *item, v *Value, p *ocispecs.Platform) *ir.Stage {
	if home := v.Dockerfile.home; home != nil && home != ev {
		return home.dockerfileStage(it, v, p)
	}
	key := v.identity()
	if ev.contextsVary(it, v.Dockerfile, p) {
		key += "|" + platformKey(p)
	}
	n, ok := ev.nested[key]
	if !ok {
		n = ev.importDockerfile(it, v)
		ev.nested[key] = n
	}
	if n == nil {
		return nil
	}
	own := p
	if n.use.d.Platform != nil {
		own = n.use.d.Platform
	}
	n.use.platform = p
	st := n.ev.stage(n.stage, own)
	for _, s := range ir.Reach(st) {
		if !n.moved[s] && !n.use.foreign[s] {
			n.moved[s] = true
			n.options(s, s == st)
			addr := s.Addr
			ev.inOrder(func() { s.Name = ev.uniqueName(s.Name, n.owner+" "+addr) })
			s.Addr = v.Describe() + " " + s.Addr
			n.place(reflect.ValueOf(s))
		}
	}
	if !ok {
		n.unused(st)
	}
	ev.inOrder(func() {
		for _, d := range n.ev.Diagnostics() {
			moved := *d
			moved.Expression, moved.EvalContext = nil, nil // of a text that nobody has
			n.place(reflect.ValueOf(&moved))
			ev.add(&moved)
		}
	})
	return st
}

// contextsVary reports whether what stands for stages and images of a Dockerfile
// differs by platform: then its stages do.
func (ev *Evaluator) contextsVary(it *item, d *Dockerfile, p *ocispecs.Platform) bool {
	for _, k := range slices.Sorted(maps.Keys(d.Contexts)) {
		switch d.Contexts[k].Kind {
		case kStage, KindMerge, KindDiff, KindDockerfile:
			if s, ok := ev.source(it, d.Contexts[k], p).(ir.StageSource); ok && s.Stage.For != nil {
				return true
			}
		}
	}
	return false
}

// importDockerfile reads a Dockerfile and prepares to evaluate it.
func (ev *Evaluator) importDockerfile(it *item, v *Value) *nested {
	d := v.Dockerfile
	name, src, ok := ev.readDockerfile(it, d)
	if !ok {
		return nil
	}
	ctx := ev.dockerfileContext(it, d)
	if ctx == nil {
		return nil
	}
	if ev.opt.Import == nil {
		it.errorf(diag.FunctionError, "dockerfile() cannot be used here", "Nothing imports Dockerfiles.")
		return nil
	}
	ev.inOrder(func() { ev.mod.Files[name] = src })
	res, diags := ev.opt.Import(src, DockerfileRequest{Name: name, Target: d.Target, Args: d.Args, Platform: ev.opt.BuildPlatform})
	for _, d := range diags {
		if d.Subject == nil || d.Subject.Filename == "" {
			d.Subject = it.rng.Ptr()
		}
		ev.add(d)
	}
	if res == nil || diags.HasErrors() {
		return nil
	}
	// The imported file alone is the module: no vars file of the caller's is its.
	files := fstest.MapFS{lang.MainFile: {Data: res.HCL}}
	mod, diags := lang.Load(files, ".", lang.LoadOptions{})
	diags = append(diags, lang.Resolve(mod, Builtins())...)
	if diags.HasErrors() {
		it.errorf(diag.FunctionError, "The Dockerfile cannot be used", "%s: %s", diags[0].Summary, diags[0].Detail)
		return nil
	}
	sub := New(mod, ev.fsys, nil, Options{BuildPlatform: ev.opt.BuildPlatform, Contexts: ev.opt.Contexts, Check: ev.opt.Check})
	sub.later = ev.later
	sub.inPlace = &inPlace{ev: ev, it: it, d: d, names: map[string]string{}, used: map[string]bool{}, foreign: map[*ir.Stage]bool{}}
	for i, addr := range res.Addrs {
		sub.inPlace.names[addr] = strings.ToLower(res.Names[i])
	}
	for _, inst := range sub.instances(mod.Lookup(lang.KindContext, defaultContext)).list {
		inst.memo = ctx
	}
	n := &nested{ev: sub, file: res, use: sub.inPlace, owner: v.identity(), moved: map[*ir.Stage]bool{}, flags: &ir.InPlace{Network: d.Network, Main: ctx}}
	n.stage = sub.instances(mod.Lookup(lang.KindStage, res.Stage)).list[0]
	if d.Network == ir.NetDefault {
		n.flags.Network = ""
	}
	if d.Hosts != cty.NilVal {
		n.flags.Hosts = ev.hostsOf(ev.given("hosts", d.Hosts, it.rng))
	}
	if d.Ulimits != cty.NilVal {
		n.flags.Ulimits = ev.ulimitsOf(ev.given("ulimits", d.Ulimits, it.rng))
	}
	return n
}

// readDockerfile reads the file of a dockerfile() and names it for messages.
func (ev *Evaluator) readDockerfile(it *item, d *Dockerfile) (string, []byte, bool) {
	if d.Path == "" {
		return fmt.Sprintf("Dockerfile at %s:%d", it.rng.Filename, it.rng.Start.Line), []byte(d.Text), true
	}
	full, ok := ev.abs(d.Path)
	if !ok || strings.HasPrefix(d.Path, "/") {
		it.errorf(diag.BadPath, "The Dockerfile is not in the module", "%q is not below the module's directory.", d.Path)
		return "", nil, false
	}
	src, err := fs.ReadFile(ev.fsys, full)
	if err != nil {
		detail := fmt.Sprintf("No file is at %q.%s", d.Path, nearestFile(ev.fsys, full))
		if !errors.Is(err, fs.ErrNotExist) {
			detail = sentence(err.Error())
		}
		it.errorf(diag.MissingFile, "The Dockerfile cannot be read", "%s", detail)
		return "", nil, false
	}
	return full, src, true
}

// dockerfileContext is what the COPY of a Dockerfile reads; nil after an error. As
// for docker build, an ignore file that is the Dockerfile's own takes the place of
// the context's, unless the context names one.
func (ev *Evaluator) dockerfileContext(it *item, d *Dockerfile) *ir.Context {
	if d.Context != nil && d.Context.Kind == KindGit {
		return ev.repository(it, d.Context)
	}
	c := ev.DefaultContext()
	node := ev.mod.Lookup(lang.KindContext, defaultContext)
	var inst *Instance
	if d.Context != nil {
		inst = d.Context.Inst
		c, node = ev.localContext(inst), inst.Node
	} else if all := ev.instances(node).list; len(all) > 0 {
		inst = all[0]
	}
	n := node.(*lang.Context)
	if c == nil || d.Path == "" || c.Given != "" || d.Context != nil && n.IgnoreFile != nil {
		return c
	}
	if _, given := ev.opt.Contexts[inst.Path()]; given {
		return c // whose own ignore file counts
	}
	full, _ := ev.abs(d.Path)
	file := full + ".dockerignore"
	if _, err := fs.Stat(ev.fsys, file); err != nil {
		return c
	}
	key := "context " + inst.Addr + " " + file
	own, first := ev.implicitOnce(key, &ir.Context{Main: c.Main, Path: c.Path})
	if !first {
		return own
	}
	ev.inOrder(func() { own.Name, own.Addr, own.Range = c.Name, c.Addr, c.Range })
	inst.owner.patterns(own, n, inst.scope(nil), file)
	own.IgnoreFile = "" // which stands beside another Dockerfile
	return own
}

// ---- what stands for stages and images ---------------------------------------

// value is what stands for a name; nil for nothing.
func (u *inPlace) value(same func(key string) bool) *Value {
	if u == nil {
		return nil
	}
	for _, k := range slices.Sorted(maps.Keys(u.d.Contexts)) {
		if same(k) {
			u.used[k] = true
			return u.d.Contexts[k]
		}
	}
	return nil
}

func (u *inPlace) forImage(img *Image) *Value {
	return u.value(func(k string) bool { return img.Layout == "" && familiar(k) == familiar(img.Ref) })
}

// replaceStage makes a stage of what stands for it; false when nothing does.
func (u *inPlace) replaceStage(st *ir.Stage) bool {
	v := u.value(func(k string) bool { return u.names[st.Addr] != "" && strings.EqualFold(k, u.names[st.Addr]) })
	if v != nil {
		st.Root = u.root(v)
	}
	return v != nil
}

// imageRoot is what stands for an image to start from; nil when nothing does.
func (u *inPlace) imageRoot(img *Image) ir.Root {
	if v := u.forImage(img); v != nil {
		return u.root(v)
	}
	return nil
}

// imageSource is what stands for an image that is read; nil when nothing does.
func (u *inPlace) imageSource(img *Image) ir.Source {
	v := u.forImage(img)
	if v == nil {
		return nil
	}
	if c := u.ev.repository(u.it, v); c != nil {
		return ir.ContextSource{Context: c}
	}
	return u.note(u.ev.source(u.it, v, u.platform))
}

// root is a value to start from.
func (u *inPlace) root(v *Value) ir.Root {
	switch v.Kind {
	case KindScratch:
		return ir.ScratchRoot{}
	case KindImage:
		if v.Image.Platform == nil {
			return u.ev.imageRoot(v.Image, u.it, u.platform)
		}
		st := u.ev.helperStage("image", u.it.rng)
		st.Root = u.ev.imageRoot(v.Image, u.it, u.platform)
		st.Platform = &ir.Platform{Platform: *v.Image.Platform}
		u.foreign[st] = true
		return ir.StageRoot{Stage: st}
	}
	if c := u.ev.repository(u.it, v); c != nil {
		return ir.ContextRoot{Context: c, Range: u.it.rng}
	}
	switch src := u.note(u.ev.source(u.it, v, u.platform)).(type) {
	case ir.StageSource:
		return ir.StageRoot{Stage: src.Stage}
	case ir.ContextSource:
		return ir.ContextRoot{Context: src.Context, Range: u.it.rng}
	}
	return ir.ScratchRoot{} // reported
}

// repository is the context that a git repository is, as docker build's
// --build-context has it; nil for what that cannot say.
func (ev *Evaluator) repository(it *item, v *Value) *ir.Context {
	if !v.isRepository() {
		return nil
	}
	c := ev.implicit("git", v.Remote.URL, "git "+v.Remote.URL)
	ev.inOrder(func() { c.Range = it.rng })
	return c
}

// isRepository reports a git() whose address says all of it, in a form that
// BuildKit takes for a context.
func (v *Value) isRepository() bool {
	return v.Kind == KindGit && v.Remote.Checksum == "" && v.Remote.KeepGitDir == nil && !strings.Contains(v.Remote.URL, "$") && !strings.HasPrefix(v.Remote.URL, "ssh:")
}

// note remembers the stages that are not the Dockerfile's.
func (u *inPlace) note(src ir.Source) ir.Source {
	if s, ok := src.(ir.StageSource); ok {
		for _, st := range ir.Reach(s.Stage) {
			u.foreign[st] = true
		}
	}
	return src
}

// ---- what is said of stages --------------------------------------------------

// options puts what dockerfile() says into a stage of the Dockerfile. Those that it
// is made from have it already.
func (n *nested) options(s *ir.Stage, target bool) {
	d := n.use.d
	s.InPlace = n.flags
	if _, ok := s.Root.(ir.StageRoot); ok {
		s.Platform = nil // of an image that a stage stands for
	}
	name := n.use.names[s.Addr]
	s.NoCache = s.NoCache || d.NoCaches || slices.ContainsFunc(d.NoCache, func(k string) bool { return name != "" && strings.EqualFold(k, name) })
	mapSources(s, n.direct)
	if d.Platform != nil {
		s.For = nil
		n.fixPlatform(s, *d.Platform)
	}
	s.Deps(func(dep *ir.Stage) {
		if dep.For != nil {
			s.For = dep.For
		}
	})
	for _, step := range s.Steps {
		switch step := step.(type) {
		case *ir.Arg:
			if step.Key == "TARGETSTAGE" && step.Value == nil {
				v := ir.Literal(n.file.TargetStage)
				step.Value = &v
			}
		case *ir.Run:
			n.supplied(step)
		}
	}
	if target && len(d.Labels) > 0 {
		l := &ir.Label{StepMeta: ir.StepMeta{Range: n.use.it.rng}}
		for _, kv := range d.Labels {
			l.Pairs = append(l.Pairs, ir.WordKV{Key: ir.Literal(kv.Key), Value: ir.Literal(kv.Value)})
		}
		s.Steps = append(s.Steps, l)
	}
}

// supplied gives a step the secrets and agents that stand for the Dockerfile's.
// Whether the step needs them, the Dockerfile says.
func (n *nested) supplied(r *ir.Run) {
	for i := range r.Mounts {
		m := &r.Mounts[i]
		if m.Secret != nil {
			if v := n.suppliedFor(n.use.d.Secrets, m.Secret.ID, "secret"); v != nil {
				s := *n.use.ev.secret(v.Inst)
				s.Required = m.Secret.Required
				m.Secret = &s
			}
		}
		if m.SSH != nil {
			if v := n.suppliedFor(n.use.d.SSH, m.SSH.ID, "ssh"); v != nil {
				s := *n.use.ev.ssh(v.Inst)
				s.Required = m.SSH.Required
				m.SSH = &s
			}
		}
	}
}

func (n *nested) suppliedFor(values map[string]*Value, id, kind string) *Value {
	v := values[id]
	if v != nil {
		n.use.used[kind+" "+id] = true
	}
	return v
}

// fixPlatform pins a stage to a platform that is not the target's.
func (n *nested) fixPlatform(s *ir.Stage, p ocispecs.Platform) {
	fixed := &ir.Platform{Platform: p}
	switch s.Root.(type) {
	case ir.ImageRoot, ir.ContextRoot:
		if s.Platform == nil || s.Platform.Auto == "TARGETPLATFORM" {
			s.Platform = fixed
		}
	}
	mapSources(s, func(src ir.Source) ir.Source {
		switch src := src.(type) {
		case ir.ImageSource:
			if src.Platform == nil && s.RootPlatform() == nil || src.Platform != nil && src.Platform.Auto == "TARGETPLATFORM" {
				src.Platform = fixed
			}
			return src
		case ir.ContextSource:
			if src.Context.Given != "" && (src.Platform == nil && s.RootPlatform() == nil || src.Platform != nil && src.Platform.Auto == "TARGETPLATFORM") {
				src.Platform = fixed
			}
			return src
		}
		return src
	})
	for _, step := range s.Steps {
		if a, ok := step.(*ir.Arg); ok && a.Key == "TARGETOSVERSION" && a.Value == nil {
			v := ir.Literal(p.OSVersion)
			a.Value = &v
		} else if ok && strings.HasPrefix(a.Key, "TARGET") {
			a.Auto = false
		}
	}
}

// mapSources changes what the steps of a stage read.
func mapSources(s *ir.Stage, change func(ir.Source) ir.Source) {
	for _, step := range s.Steps {
		switch step := step.(type) {
		case *ir.Copy:
			step.From = change(step.From)
		case *ir.Run:
			for i := range step.Mounts {
				m := &step.Mounts[i]
				m.From = change(m.From)
				if m.Cache != nil {
					m.Cache.From = change(m.Cache.From)
				}
			}
		}
	}
}

// direct reads what stands for a stage itself: of a directory, only what is read
// is sent.
func (n *nested) direct(src ir.Source) ir.Source {
	s, ok := src.(ir.StageSource)
	if !ok || !n.moved[s.Stage] || len(s.Stage.Steps) > 0 {
		return src
	}
	if r, ok := s.Stage.Root.(ir.ContextRoot); ok {
		return ir.ContextSource{Context: r.Context}
	}
	return src
}

// unused warns of names that are given something, and that nothing has that the
// stage is made from.
func (n *nested) unused(st *ir.Stage) {
	d, u := n.use.d, n.use
	warn := func(what, name string, have []string) {
		detail := "What is made for the target has none, so it has no effect."
		if len(have) > 0 {
			detail = "What is made for the target has " + diag.List(have, 20) + "." + diag.DidYouMean(name, have)
		}
		u.ev.add(diag.Warning(unknownInDockerfile, u.it.rng, fmt.Sprintf("No %s of the Dockerfile is called %s", what, name), detail))
	}
	var images, secrets, agents, stages []string
	for _, s := range ir.Reach(st) {
		if r, ok := s.Root.(ir.ImageRoot); ok && n.moved[s] {
			images = append(images, r.Ref)
		}
		for _, step := range s.Steps {
			if run, ok := step.(*ir.Run); ok && n.moved[s] {
				for _, m := range run.Mounts {
					if m.Secret != nil {
						secrets = append(secrets, m.Secret.ID)
					}
					if m.SSH != nil {
						agents = append(agents, m.SSH.ID)
					}
				}
			}
		}
	}
	for _, name := range n.file.Names {
		if name != "" {
			stages = append(stages, strings.ToLower(name))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(d.Contexts)) {
		if !u.used[k] {
			warn("stage or image", k, append(slices.Clone(stages), images...))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(d.Secrets)) {
		if !u.used["secret "+k] {
			warn("secret", k, secrets)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(d.SSH)) {
		if !u.used["ssh "+k] {
			warn("ssh agent", k, agents)
		}
	}
	for _, k := range d.NoCache {
		if !slices.Contains(stages, strings.ToLower(k)) {
			warn("stage", k, stages)
		}
	}
}

var (
	rangeType   = reflect.TypeFor[hcl.Range]()
	contextType = reflect.TypeFor[*ir.Context]()
	stageType   = reflect.TypeFor[*ir.Stage]()
)

// place moves the ranges in a stage or diagnostic from the imported text, which
// nobody has, to the Dockerfile, or to the call where a line came from nothing.
// It stops at contexts, which are the caller's, and at other stages.
func (n *nested) place(v reflect.Value) { n.placeIn(v, true) }

func (n *nested) placeIn(v reflect.Value, first bool) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			n.placeIn(v.Elem(), false)
			return
		}
		if v.CanSet() { // what an interface holds by value changes as a whole
			c := reflect.New(v.Elem().Type()).Elem()
			c.Set(v.Elem())
			n.placeIn(c, false)
			v.Set(c)
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != contextType && (first || v.Type() != stageType) {
			n.placeIn(v.Elem(), false)
		}
	case reflect.Slice:
		for i := range v.Len() {
			n.placeIn(v.Index(i), false)
		}
	case reflect.Struct:
		if v.Type() != rangeType {
			for i := range v.NumField() {
				n.placeIn(v.Field(i), false)
			}
			return
		}
		if !v.CanSet() {
			return
		}
		if r := v.Addr().Interface().(*hcl.Range); r.Filename == lang.MainFile {
			to, ok := n.file.Lines[r.Start.Line]
			if !ok {
				to = n.use.it.rng
			}
			*r = to
		}
	}
}
