// Package dockerfile writes the IR as a Dockerfile, and reads Dockerfile
// instructions as steps of the IR.
//
// The emitted text is the second backend: for every construct it accepts,
// BuildKit's dockerfile2llb gives the text the digest that package llb gives the
// IR. So each decision that could make the two differ is taken once, here, and
// asked for by the lowering ([RunText], [KnownShell], [Trigger]), and words pass
// through unexpanded. What a Dockerfile cannot say is a diagnostic at its place.
package dockerfile

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// File is an emitted Dockerfile and what it takes to build it.
type File struct {
	Dockerfile []byte
	// Target is the name of the stage that is the target's image or, without
	// one, its files: the last stage unless Files has to come after it.
	Target string
	// Files is the name of the stage that holds the target's files; "" for none.
	Files string
	// IgnoreFile is what must stand beside the Dockerfile as
	// "<Dockerfile>.dockerignore"; nil when the main context's own file will do.
	IgnoreFile []byte
	// Contexts are the named contexts that the caller must give with
	// `--build-context NAME=PATH`.
	Contexts []NamedContext
	// Flags are what else `docker build` must be told, a flag and its value each.
	Flags []string
	// Args are the variables that the caller may set with `--build-arg`.
	Args []BuildArg
	// Inlined are those that were asked for and are written out all the same.
	Inlined []Inlined
	// Attrs says the same as Flags and Contexts as attributes of BuildKit's
	// frontend; a context's local source has the context's name.
	Attrs map[string]string
}

// NamedContext is a context under the name that the Dockerfile uses.
type NamedContext struct {
	Name    string
	Context *ir.Context
}

// Options say how a Dockerfile is written.
type Options struct {
	// Command is the command line that writes the file anew, for its second line;
	// "" for none.
	Command string
	// KeepArgs leaves variables to the caller where that changes no digest. It needs
	// a target with its provenance.
	KeepArgs bool
}

// Emit writes a target as a Dockerfile. All mistakes are reported; the File is
// nil when one of them is an error.
func Emit(g *ir.Graph, t *ir.Target) (*File, hcl.Diagnostics) { return EmitWith(g, t, Options{}) }

// EmitWith is [Emit] with options.
func EmitWith(g *ir.Graph, t *ir.Target, opt Options) (*File, hcl.Diagnostics) {
	e := &emitter{graph: g, target: t, opt: opt, contexts: map[*ir.Context]string{}, taken: map[string]bool{}}
	e.plan()
	if e.diags.HasErrors() {
		return nil, diag.Sort(e.diags)
	}
	f := e.file()
	if e.diags.HasErrors() {
		return nil, diag.Sort(e.diags)
	}
	return f, diag.Sort(e.diags)
}

// emitter is the state of one emission.
type emitter struct {
	graph  *ir.Graph
	target *ir.Target
	opt    Options
	diags  hcl.Diagnostics

	groups   []*group          // in the order of the file
	byName   map[string]*group // by stage name
	taken    map[string]bool   // stage and context names
	contexts map[*ir.Context]string
	main     *ir.Context
	helpers  map[string]*helper // by text
	kept     map[string]*kept   // by variable
	inlined  []Inlined
}

// group is all variants of one stage.
type group struct {
	name     string
	variants []*variant
	split    bool // emitted once per platform, and chosen by a FROM
	stages   []*ir.Stage
}

// variant is a stage and the platforms that it is emitted for.
type variant struct {
	stage     *ir.Stage
	platforms []*ocispecs.Platform
	text      string
	helpers   []*helper
}

// helper is a stage that no stage of the IR asks for by itself: an image pulled
// for another platform than the target's, or a text that is mounted.
type helper struct {
	name string
	text string // without its name: "FROM --platform=… ref", and a COPY
	done bool
}

func (e *emitter) errorf(code diag.Code, at hcl.Range, summary, format string, args ...any) {
	e.diags = append(e.diags, diag.Error(code, at, summary, fmt.Sprintf(format, args...)))
}

// plan finds the stages, groups their variants, names contexts and orders all.
func (e *emitter) plan() {
	e.byName = map[string]*group{}
	e.helpers = map[string]*helper{}
	var images, files []*ir.Stage
	for _, b := range e.target.Builds {
		for _, r := range []struct {
			s    *ir.Stage
			into *[]*ir.Stage
		}{{b.Files, &files}, {b.Image, &images}} {
			if r.s == nil {
				continue
			}
			*r.into = append(*r.into, r.s)
			for _, s := range ir.Reach(r.s) {
				e.addStage(s, b.Platform)
			}
		}
		if from, ok := e.target.Options.EpochFrom.(ir.StageSource); ok {
			e.addStage(from.Stage, b.Platform)
		}
	}
	index := map[*ir.Stage]int{}
	for i, s := range e.graph.Stages {
		index[s] = i
	}
	all := make([]*group, 0, len(e.byName))
	for _, g := range e.byName {
		sort.SliceStable(g.stages, func(i, j int) bool { return index[g.stages[i]] < index[g.stages[j]] })
		all = append(all, g)
	}
	last := map[string]bool{}
	for _, s := range images {
		last[s.Name] = true
	}
	sort.Slice(all, func(i, j int) bool {
		a, b := all[i], all[j]
		if last[a.name] != last[b.name] {
			return last[b.name]
		}
		if x, y := index[a.stages[0]], index[b.stages[0]]; x != y {
			return x < y
		}
		return a.name < b.name
	})
	e.order(all)
	e.nameContexts()
	if e.opt.KeepArgs {
		e.keepArgs()
	}
	for _, g := range e.groups {
		e.render(g)
	}
}

func (e *emitter) addStage(s *ir.Stage, p *ocispecs.Platform) {
	g := e.byName[s.Name]
	if g == nil {
		if !validName(s.Name) {
			e.errorf(CodeName, s.Range, "Bad stage name",
				"A Dockerfile cannot name a stage %q: it must start with a letter and hold letters, digits, `-`, `_` and `.` only.", s.Name)
		}
		g = &group{name: s.Name}
		e.byName[s.Name] = g
		e.taken[s.Name] = true
	}
	for _, v := range g.variants {
		if v.stage == s {
			v.platforms = append(v.platforms, p)
			return
		}
	}
	g.variants = append(g.variants, &variant{stage: s, platforms: []*ocispecs.Platform{p}})
	g.stages = append(g.stages, s)
}

// order puts each group after those it depends on.
func (e *emitter) order(all []*group) {
	state := map[*group]int{}
	var visit func(g *group)
	visit = func(g *group) {
		switch state[g] {
		case 1:
			e.errorf(CodeVariants, g.stages[0].Range, "Stages depend on each other in an order that differs by platform",
				"Stage %s comes before another for one platform and after it for another. A Dockerfile has one order for all platforms.", g.stages[0].Addr)
			return
		case 2:
			return
		}
		state[g] = 1
		for _, s := range g.stages {
			s.Deps(func(d *ir.Stage) {
				if dg := e.byName[d.Name]; dg != g {
					visit(dg)
				}
			})
		}
		state[g] = 2
		e.groups = append(e.groups, g)
	}
	for _, g := range all {
		visit(g)
	}
}

// nameContexts gives each context that is read a name that BuildKit takes: one
// that is a valid image reference, and neither a stage's nor an image's.
func (e *emitter) nameContexts() {
	images := map[string]bool{}
	var used []*ir.Context
	seen := map[*ir.Context]bool{}
	for _, g := range e.groups {
		for _, s := range g.stages {
			if r, ok := s.Root.(ir.ImageRoot); ok {
				images[familiar(r.Ref)] = true
			}
			s.Contexts(func(c *ir.Context) {
				if !seen[c] {
					seen[c] = true
					used = append(used, c)
				}
			})
			for _, step := range s.Steps {
				ir.Sources(step, func(src ir.Source) {
					if img, ok := src.(ir.ImageSource); ok {
						images[familiar(img.Ref)] = true
					}
				})
			}
		}
	}
	if from, ok := e.target.Options.EpochFrom.(ir.ContextSource); ok && !seen[from.Context] {
		used = append(used, from.Context)
	}
	e.main = e.target.Main // when nothing else reads it, a base's triggers may
	sort.Slice(used, func(i, j int) bool { return used[i].Name < used[j].Name })
	var first *ir.Context
	for _, c := range used {
		if e.isMain(c) {
			if first != nil {
				e.errorf(CodeMainContext, c.Range, "Two main contexts in one Dockerfile",
					"The target reads the module's directory with the ignore rules of a Dockerfile in place, and with others. A Dockerfile has one main context; give dockerfile() a context of its own.")
			}
			e.main, first = c, c
			continue
		}
		plain := referenceName(c.Alias())
		name := plain
		for i := 0; e.taken[name] || images[name] || name == "context" || name == "scratch"; i++ {
			name = plain + "-context"
			if i > 0 {
				name += strconv.Itoa(i)
			}
		}
		e.taken[name] = true
		e.contexts[c] = name
	}
}

// isMain reports whether a context is the Dockerfile's main one: the default
// context of the target's module.
func (e *emitter) isMain(c *ir.Context) bool { return e.target.IsMain(c) }

// render writes the variants of a group and decides whether one text will do.
func (e *emitter) render(g *group) {
	for i, v := range g.variants {
		before := len(e.diags)
		w := &writer{e: e, v: v}
		v.text = w.stage()
		v.helpers = w.helpers
		if i > 0 && len(e.diags) > before && sameSummaries(e.diags[:before], e.diags[before:]) {
			e.diags = e.diags[:before] // the same mistake of another variant
		}
		if v.text != g.variants[0].text {
			g.split = true
		}
	}
	if !g.split {
		g.variants = g.variants[:1]
		return
	}
	for _, v := range g.variants {
		for _, step := range v.stage.Steps {
			if o, ok := step.(*ir.OnBuild); ok {
				e.errorf(CodeVariants, o.Range, "onbuild in a stage that differs by platform",
					"Stage %s is emitted once per platform and chosen by a FROM of its own, in which its onbuild instructions would run. Make the stage the same for all platforms, or emit it for one platform.", v.stage.Addr)
				return
			}
		}
		for _, p := range v.platforms {
			if p == nil {
				e.errorf(CodeVariants, v.stage.Range, "A stage that differs by platform needs the target's platforms",
					"Stage %s differs between builds, and one of them names no platform.", v.stage.Addr)
				return
			}
		}
	}
}

func sameSummaries(old, now hcl.Diagnostics) bool {
	have := map[string]bool{}
	for _, d := range old {
		if d.Subject != nil {
			have[d.Subject.String()+d.Summary] = true
		}
	}
	for _, d := range now {
		if d.Subject == nil || !have[d.Subject.String()+d.Summary] {
			return false
		}
	}
	return true
}

// file puts the stages together.
func (e *emitter) file() *File {
	f := &File{Attrs: map[string]string{}}
	var stages []string
	for _, g := range e.groups {
		for _, v := range g.variants {
			for _, h := range v.helpers {
				if !h.done {
					h.done = true
					from, rest, _ := strings.Cut(h.text, "\n")
					text := from + " AS " + h.name + "\n"
					if rest != "" {
						text += rest + "\n"
					}
					stages = append(stages, text)
				}
			}
			if !g.split {
				stages = append(stages, strings.Replace(v.text, nameMark, g.name, 1))
			}
		}
		if g.split {
			stages = append(stages, e.splitStages(g)...)
		}
	}
	e.callerSide(f)
	f.Args, f.Inlined = e.buildArgs(), e.inlined
	f.Dockerfile = []byte(e.header(f) + "\n" + e.globalArgs() + strings.Join(stages, "\n"))
	for i, line := range strings.SplitAfter(string(f.Dockerfile), "\n") {
		if len(line) > maxLine {
			e.errorf(CodeTooLong, e.target.Range, "A line too long for a Dockerfile",
				"Line %d of the Dockerfile has %d bytes; BuildKit's parser reads %d at most.", i+1, len(line), maxLine)
		}
	}
	return f
}

// splitStages writes a stage once per platform, and the FROM that chooses.
func (e *emitter) splitStages(g *group) []string {
	prefix := g.name
	for {
		free := true
		for _, v := range g.variants {
			for _, p := range v.platforms {
				free = free && !e.taken[prefix+platformSuffix(p)]
			}
		}
		if free {
			break
		}
		prefix += "-on"
	}
	var out []string
	for _, v := range g.variants {
		for _, p := range v.platforms {
			name := prefix + platformSuffix(p)
			if e.taken[name] {
				continue
			}
			e.taken[name] = true
			out = append(out, strings.Replace(v.text, nameMark, name, 1))
		}
	}
	return append(out, "FROM "+prefix+"-$TARGETOS-$TARGETARCH$TARGETVARIANT AS "+g.name+"\n")
}

func platformSuffix(p *ocispecs.Platform) string {
	n := platforms.Normalize(*p)
	return "-" + n.OS + "-" + n.Architecture + n.Variant
}

// nameMark stands for the stage's name in a rendered stage; no word holds a NUL.
const nameMark = "\x00name\x00"

func validName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'):
		default:
			return false
		}
	}
	return s != "" && s != "scratch"
}
