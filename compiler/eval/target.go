package eval

import (
	"encoding/csv"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// targetReader reads a target's attributes: what the block sets, else what its
// defaults say.
type targetReader struct {
	ev       *Evaluator
	n        any // *lang.Target or *lang.Test
	sc       *scope
	defaults map[string]*item
}

// notDefaults are the attributes that make instances, which defaults cannot.
var notDefaults = map[string]bool{"defaults": true, "for_each": true, "enabled": true, "matrix": true, "matrix_exclude": true, "matrix_key": true}

func (ev *Evaluator) readTarget(n *lang.Target, sc *scope) *targetReader {
	r := &targetReader{ev: ev, n: n, sc: sc, defaults: map[string]*item{}}
	if n.Defaults == nil {
		return r
	}
	entries, _ := ev.entries(ev.item(n.Defaults, sc), "an object of target attributes")
	schema := lang.SchemaOf(n)
	var names []string
	for _, f := range schema.Fields {
		if !notDefaults[f.Name] {
			names = append(names, f.Name)
		}
	}
	for _, e := range entries {
		if !slices.Contains(names, e.key) {
			ev.errorf(diag.UnknownOption, e.keyRange, fmt.Sprintf("Unknown key %q in defaults", e.key), "It takes a target's attributes.%s", diag.DidYouMean(e.key, names))
			continue
		}
		e.item.name = e.key
		r.defaults[e.key] = e.item
	}
	return r
}

// get returns an attribute's value, nil when it is not set or null.
func (r *targetReader) get(name string) *item {
	it := r.defaults[name]
	if a := lang.AttrOf(r.n, name); a != nil {
		own := r.ev.item(a, r.sc)
		if writtenOut(own.expr) {
			return own // to be read part by part: in the source's order, each with its own range
		}
		if !own.null() {
			it = own
		}
	}
	if it == nil || it.unknown() || it.null() {
		return nil
	}
	return it
}

// writtenOut reports whether an expression is an object or a list in the source,
// which is never null.
func writtenOut(e hclsyntax.Expression) bool {
	switch e.(type) {
	case *hclsyntax.ObjectConsExpr, *hclsyntax.TupleConsExpr:
		return true
	}
	return false
}

func (r *targetReader) boolean(name string) bool {
	if it := r.get(name); it != nil {
		b, _ := r.ev.boolean(it, diag.WrongType)
		return b
	}
	return false
}

func (r *targetReader) str(name string) string {
	if it := r.get(name); it != nil {
		s, _ := r.ev.str(it)
		return s
	}
	return ""
}

// pairs reads a map of literal strings.
func (r *targetReader) pairs(name string) (out []ir.KV) {
	it := r.get(name)
	if it == nil {
		return nil
	}
	entries, _ := r.ev.entries(it, "a map of strings")
	for _, e := range entries {
		if e.item.null() || e.item.unknown() {
			continue
		}
		if s, ok := r.ev.str(e.item); ok {
			out = append(out, ir.KV{Key: e.key, Value: s})
		}
	}
	return out
}

// Target evaluates an instance of a target or a test. platformsFlag replaces what a
// target says (--platform); a test runs on the platform that it says.
func (ev *Evaluator) Target(inst *Instance, platformsFlag []ocispecs.Platform) *ir.Target {
	if inst.owner != ev {
		return inst.owner.Target(inst, platformsFlag)
	}
	if t, ok := inst.memo.(*ir.Target); ok {
		return t
	}
	if n, ok := inst.Node.(*lang.Test); ok {
		t := ev.test(inst, n)
		inst.memo = t
		return t
	}
	n := inst.Node.(*lang.Target)
	t := ev.newTarget(inst, inst.Path())
	inst.memo = t
	sc := inst.scope(nil)
	r := ev.readTarget(n, sc)
	ev.preconditions(n.Preconditions, inst.Addr, sc)
	t.Description = r.str("description")
	ev.tags(t, r)
	t.Labels, t.Annotations = r.pairs("labels"), r.pairs("annotations")
	t.Push, t.Pull, t.NoCache = r.boolean("push"), r.boolean("pull"), r.boolean("no_cache")
	t.CacheFrom, t.CacheTo = ev.csv(r, "cache_from", true), ev.csv(r, "cache_to", true)
	t.Attest, t.Outputs = ev.csv(r, "attest", false), ev.csv(r, "outputs", false)
	t.Options = ev.buildOptions(r)
	ev.requires(t, r, platformsFlag)
	plats := platformsFlag
	if len(plats) == 0 {
		plats = ev.platformList(r)
	}
	if len(plats) == 0 {
		ev.addBuild(t, inst, nil)
	}
	for _, p := range plats {
		ev.addBuild(t, inst, &p)
	}
	if n.Bad {
		return t // what it seems not to have may be what could not be read
	}
	image := r.get("image") != nil
	switch chosen := n.Image != nil || image; {
	case !chosen && n.Files == nil && r.get("files") == nil:
		ev.errorf(diag.MissingAttribute, n.Range, fmt.Sprintf("%s makes nothing", inst.Addr), "Set image = stage.NAME, or files = { \"host/path\" = artifact.NAME }, or both.")
	case !chosen:
		ev.imageless(t, n)
	case image && t.Push && len(t.Tags) == 0:
		ev.errorf(diag.MissingAttribute, n.Range, fmt.Sprintf("%s pushes an image without a name", inst.Addr), "Set tags, or drop push.")
	}
	if !image { // what is said of it is of defaults, or of an image that is null this time
		t.Tags, t.Push, t.Labels, t.Annotations, t.Attest = nil, false, nil, nil, nil
	}
	return t
}

// imageless reports what a target without an image says of it; what its defaults say is
// meant for others.
func (ev *Evaluator) imageless(t *ir.Target, n *lang.Target) {
	for _, given := range []struct {
		name string
		is   bool
	}{{"tags", len(t.Tags) > 0}, {"push", t.Push}, {"labels", len(t.Labels) > 0}, {"annotations", len(t.Annotations) > 0}, {"attest", len(t.Attest) > 0}} {
		if a := lang.AttrOf(n, given.name); a != nil && given.is {
			ev.errorf(diag.NoImage, a.SrcRange, fmt.Sprintf("%s has %s, and no image", t.Addr, given.name), "It says what becomes of the target's image. Set image = stage.NAME, or drop %s.", given.name)
		}
	}
}

// newTarget begins a target for an instance: what all of a module's targets have.
func (ev *Evaluator) newTarget(inst *Instance, name string) *ir.Target {
	n := inst.Node
	return &ir.Target{
		Addr: inst.Addr, Name: name, Range: n.Base().Range, Comment: ev.mod.CommentAbove(n.Base().Range),
		Main: ev.DefaultContext(), Variables: ev.variables(n), Provenance: ev.provenance,
	}
}

func (ev *Evaluator) platformList(r *targetReader) (out []ocispecs.Platform) {
	it := r.get("platforms")
	if it == nil {
		return nil
	}
	items, _ := ev.list(it, "a list of platforms")
	seen := map[string]bool{}
	for _, el := range items {
		s, ok := ev.str(el)
		if !ok {
			continue
		}
		p, err := parsePlatform(s)
		if err != nil {
			el.errorf(diag.BadPlatform, fmt.Sprintf("%q is no platform", s), "%s", sentence(upperFirst(err.Error())))
			continue
		}
		if !seen[platforms.FormatAll(p)] {
			seen[platforms.FormatAll(p)] = true
			out = append(out, p)
		}
	}
	return out
}

// addBuild evaluates what a target makes for one platform.
func (ev *Evaluator) addBuild(t *ir.Target, inst *Instance, p *ocispecs.Platform) {
	n := inst.Node.(*lang.Target)
	sc := inst.scope(p)
	r := ev.readTarget(n, sc)
	b := &ir.Build{Platform: p}
	t.Builds = append(t.Builds, b)
	if it := r.get("image"); it != nil {
		if v := ev.build(it, kStage, KindImage, KindScratch, KindMerge, KindDiff, KindDockerfile); v != nil {
			b.Image = ev.imageStage(it, v, t, p)
		}
	}
	if it := r.get("files"); it != nil {
		ev.files(t, b, it, sc)
	} else if a := n.Image; a != nil && r.get("image") == nil {
		if it := ev.item(a, sc); it.null() {
			ev.nullBuild(it, "a stage or an image") // there is nothing else to build
		}
	}
}

// imageStage is the stage that a target exports; an image as it is gets a stage
// of its own that adds nothing.
func (ev *Evaluator) imageStage(it *item, v *Value, t *ir.Target, p *ocispecs.Platform) *ir.Stage {
	switch v.Kind {
	case kStage:
		return ev.stage(v.Inst, p)
	case KindDockerfile:
		return ev.dockerfileStage(it, v, p)
	case KindMerge, KindDiff:
		return ev.combined(it, v, p)
	}
	st := &ir.Stage{Addr: t.Addr, Root: ir.ScratchRoot{}, Range: it.rng}
	ev.inOrder(func() { st.Name = ev.uniqueName(dockerName(strings.ReplaceAll(t.Name, "/", "-")), t.Addr) })
	if v.Kind == KindImage {
		st.Root = ev.imageRoot(v.Image, it, p)
		if v.Image.Platform != nil {
			st.Platform = &ir.Platform{Platform: *v.Image.Platform}
		}
	}
	return st
}

// files evaluates the host files of a target: a stage made from scratch with one
// copy per entry.
func (ev *Evaluator) files(t *ir.Target, b *ir.Build, it *item, sc *scope) {
	entries, _ := ev.entries(it, "a map of host paths")
	st := &ir.Stage{Addr: t.Addr + " (files)", Root: ir.ScratchRoot{}, Range: it.rng}
	ev.inOrder(func() {
		st.Name = ev.uniqueName(dockerName(strings.ReplaceAll(t.Name, "/", "-"))+"-files", t.Addr)
	})
	s := &stepper{ev: ev, stage: st, sc: sc}
	byPath := map[string]hcl.Range{}
	for _, e := range entries {
		if e.item.null() || e.item.unknown() {
			continue
		}
		dest, ok := ev.hostPath(e)
		if !ok {
			continue
		}
		v := ev.build(e.item, kArtifact, kStage, KindImage)
		if v == nil {
			continue
		}
		from, ok := s.copySourceOf(e.item, v)
		if !ok {
			continue
		}
		if first, twice := byPath[dest]; twice && from.file {
			ev.add(diag.Error(diag.PathConflict, e.keyRange, fmt.Sprintf("%q is written twice", dest), "Two entries of files write one path.", diag.WithRelated(first, "first written here")))
			continue
		}
		byPath[dest] = e.keyRange
		out := ir.Output{Path: dest, Dir: !from.file, Range: hcl.RangeBetween(e.keyRange, e.item.rng)}
		target := "/" + dest
		if out.Dir {
			target = strings.TrimSuffix(target, "/.") + "/"
			if dest == "." {
				target = "/"
			}
		} else if strings.HasSuffix(e.key, "/") {
			target += "/" + path.Base(from.dir)
			out.Path = path.Join(dest, path.Base(from.dir))
		}
		if from.dir == "" {
			from.dir = "/"
		}
		src, _ := ev.quote(from.dir, e.item)
		s.add(&ir.Copy{StepMeta: ir.StepMeta{Range: out.Range, Comment: ev.mod.CommentAbove(e.keyRange)}, From: from.src, Src: []ir.Word{src}, Dest: ir.Literal(target)})
		b.Outputs = append(b.Outputs, out)
	}
	b.Files = st
}

// hostPath checks a path that a target writes: relative, and not above the root.
func (ev *Evaluator) hostPath(e entry) (string, bool) {
	clean := path.Clean(e.key)
	if e.key == "" || path.IsAbs(e.key) || strings.Contains(e.key, `\`) {
		ev.errorf(diag.BadPath, e.keyRange, fmt.Sprintf("%q is no path for a file", e.key), "A path of files is relative to the module and has forward slashes.")
		return "", false
	}
	full, ok := ev.abs(clean)
	if !ok {
		ev.errorf(diag.BadPath, e.keyRange, fmt.Sprintf("%q leaves the root module", e.key), "A target writes below the directory of the root module only. To put files elsewhere, use -o type=local,dest=DIR.")
	}
	return full, ok
}

func (ev *Evaluator) tags(t *ir.Target, r *targetReader) {
	it := r.get("tags")
	if it == nil {
		return
	}
	items, _ := ev.list(it, "a list of tags")
	for _, el := range items {
		if s, ok := ev.checked(el, diag.BadTag, "tag", checkTag); ok && !slices.Contains(t.Tags, s) {
			t.Tags = append(t.Tags, s)
		}
	}
}

// csv reads options in the CSV form of BuildKit's own flags: type=…,key=value.
func (ev *Evaluator) csv(r *targetReader, name string, bareIsRef bool) (out []string) {
	it := r.get(name)
	if it == nil {
		return nil
	}
	items, _ := ev.list(it, "a list of strings")
	for _, el := range items {
		check := func(s string) error {
			fields, err := csvvalue.Fields(s, nil)
			if err != nil {
				return fmt.Errorf("it is not comma-separated: %v", err)
			}
			if bareIsRef && len(fields) == 1 && !strings.Contains(s, "=") {
				return checkImageRef(s)
			}
			typed := false
			for _, f := range fields {
				k, _, ok := strings.Cut(f, "=")
				if !ok {
					return fmt.Errorf("write key=value pairs, such as type=registry,ref=…")
				}
				typed = typed || k == "type"
			}
			if !typed {
				return fmt.Errorf("it needs type=…")
			}
			return nil
		}
		if s, ok := ev.checked(el, diag.BadExport, "entry of "+name, check); ok {
			if bareIsRef && !strings.Contains(s, "=") {
				s = "type=registry,ref=" + s
			}
			out = append(out, ev.fromModule(s))
		}
	}
	return out
}

// fromModule makes the paths of a called module's option relative to the root, as
// those of the caller's own are.
func (ev *Evaluator) fromModule(option string) string {
	if ev.mod.Dir == "." || ev.mod.Dir == "" {
		return option
	}
	fields, err := csvvalue.Fields(option, nil)
	if err != nil {
		return option
	}
	for i, f := range fields {
		k, v, _ := strings.Cut(f, "=")
		if (k == "dest" || k == "src") && v != "" && v != "-" && !path.IsAbs(v) {
			fields[i] = k + "=" + path.Join(ev.mod.Dir, v)
		}
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	if w.Write(fields) != nil {
		return option
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// buildArgNames are the arguments that BuildKit knows without a declaration.
var buildArgNames = []string{
	"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy",
	"BUILDKIT_CACHE_MOUNT_NS", "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM",
	"BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE", "TARGETSTAGE",
}

func (ev *Evaluator) buildOptions(r *targetReader) ir.BuildOptions {
	o := ir.BuildOptions{Hostname: r.str("hostname"), CgroupParent: r.str("cgroup_parent")}
	if it := r.get("build_args"); it != nil {
		entries, _ := ev.entries(it, "a map of strings")
		for _, e := range entries {
			if !slices.Contains(buildArgNames, e.key) {
				ev.errorf(diag.UnknownOption, e.keyRange, fmt.Sprintf("%q is no argument that BuildKit knows", e.key),
					"build_args has BuildKit's predefined arguments only; for one of your own use a variable and a stage's args.%s", diag.DidYouMean(e.key, buildArgNames))
				continue
			}
			if e.item.null() || e.item.unknown() {
				continue
			}
			if s, ok := ev.str(e.item); ok {
				o.BuildArgs = append(o.BuildArgs, ir.KV{Key: e.key, Value: s})
			}
		}
	}
	if it := r.get("hosts"); it != nil {
		o.Hosts = ev.hostsOf(it)
	}
	if it := r.get("ulimits"); it != nil {
		o.Ulimits = ev.ulimitsOf(it)
	}
	if it := r.get("shm_size"); it != nil {
		o.ShmSize = ev.size(it)
	}
	if it := r.get("network"); it != nil {
		o.Network = ir.NetMode(ev.enum(it, diag.BadNetwork, "network", networks))
	}
	if it := r.get("limits"); it != nil {
		o.Limits = ev.limitsOf(it)
	}
	if it := r.get("source_date_epoch"); it != nil {
		o.Epoch, o.EpochFrom = ev.epoch(it)
	}
	return o
}

// requires evaluates what is done, and which tests pass, before a target has
// effects.
func (ev *Evaluator) requires(t *ir.Target, r *targetReader, plats []ocispecs.Platform) {
	it := r.get("requires")
	if it == nil {
		return
	}
	items, _ := ev.list(it, "a list of targets and tests")
	for _, el := range items {
		for _, inst := range ev.targetsOf(el, kTarget, kTest) {
			t.Requires = append(t.Requires, ev.Target(inst, plats))
		}
	}
}

// targetsOf flattens lists, maps and groups to targets and tests.
func (ev *Evaluator) targetsOf(it *item, kinds ...Kind) (out []*Instance) {
	v := it.value()
	if !v.IsKnown() {
		return nil
	}
	if v.IsNull() {
		return nil
	}
	if t := v.Type(); t != Type && v.CanIterateElements() {
		for e := v.ElementIterator(); e.Next(); {
			_, el := e.Element()
			out = append(out, ev.targetsOf(it.element(el), kinds...)...)
		}
		return out
	}
	b := ev.build(it, kinds...)
	switch {
	case b == nil:
	case b.Kind == kGroup:
		out = ev.Group(b.Inst)
	default:
		out = []*Instance{b.Inst}
	}
	return out
}

// Group returns the targets and tests that a group stands for, each once.
func (ev *Evaluator) Group(inst *Instance) []*Instance {
	if inst.owner != ev {
		return inst.owner.Group(inst)
	}
	n := inst.Node.(*lang.Group)
	if n.Targets == nil || n.Bad {
		return nil
	}
	it := ev.item(n.Targets, inst.scope(nil))
	ev.attrStr(n.Description, inst.scope(nil))
	items, ok := []*item{it}, true
	if v := it.value(); v.IsKnown() && FromCty(v) == nil {
		items, ok = ev.flat(it)
	}
	if !ok {
		return nil
	}
	var out []*Instance
	seen := map[*Instance]bool{}
	for _, el := range items {
		for _, t := range ev.targetsOf(el, kTarget, kGroup, kTest) {
			if !seen[t] {
				seen[t] = true
				out = append(out, t)
			}
		}
	}
	return out
}

// flat reads a list or a map of what a group takes, with the ranges of its parts.
func (ev *Evaluator) flat(it *item) ([]*item, bool) {
	v := it.value()
	if v.Type().IsObjectType() || v.Type().IsMapType() {
		entries, ok := ev.entries(&item{ev: ev, sc: it.sc, name: it.name, expr: it.expr, rng: it.rng}, "targets, groups and tests")
		var out []*item
		for _, e := range entries {
			out = append(out, e.item)
		}
		return out, ok
	}
	return ev.list(&item{ev: ev, sc: it.sc, name: it.name, expr: it.expr, rng: it.rng}, "a list of targets, groups and tests")
}
