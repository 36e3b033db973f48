package importer

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/hbuild/hbuild/lang/diag"
)

// stage is a stage of the Dockerfile.
type stage struct {
	index  int
	cmd    *instructions.Stage
	node   *parser.Node
	steps  []*step
	name   string // in HCL
	base   *stage // with the default arguments
	from   expr
	plat   expr            // platform; nil for the target's
	bases  map[*stage]bool // all that FROM may choose
	wanted bool
	env    map[string]known
	block  *block
	shell  []string // at the end; nil when only the base image knows
}

// step is an instruction of a stage.
type step struct {
	node    *parser.Node
	cmd     instructions.Command
	comment []string
	from    *source // COPY --from
	mounts  []*mount
	reads   []*stage // ONBUILD: what stages built on this one are made from
	floats  bool     // it only describes the image, and goes behind the steps
}

// source is what a `from` names.
type source struct {
	stage *stage
	image string
}

// mount is a --mount, its options not yet expanded.
type mount struct {
	fields map[string]string
	from   *source
}

// resolve finds the stages that FROM, COPY and mounts name, as BuildKit does, and
// which of them are wanted.
func (im *importer) resolve() bool {
	env, ok := im.globals()
	if !ok {
		return false
	}
	for _, st := range im.stages {
		if !im.baseOf(st, env) {
			return false
		}
	}
	for _, st := range im.stages {
		for _, s := range st.steps {
			if !im.sourcesOf(st, s) {
				return false
			}
		}
	}
	if !im.acyclic() {
		return false
	}
	target := im.stages[len(im.stages)-1]
	if im.opt.Target != "" {
		if target = im.stageNamed(im.opt.Target); target == nil {
			var names []string
			for _, st := range im.stages {
				if st.cmd.Name != "" {
					names = append(names, st.cmd.Name)
				}
			}
			im.diags = append(im.diags, diag.Error(CodeNoTarget, hcl.Range{}, fmt.Sprintf("target stage %q could not be found", im.opt.Target),
				"The Dockerfile has the stages "+diag.List(names, 20)+"."+diag.DidYouMean(im.opt.Target, names)))
			return false
		}
	}
	im.want(target)
	if st := im.epochStage(); st != nil {
		im.want(st)
	}
	if im.opt.Target == "" {
		im.core = map[*stage]bool{}
		for _, st := range im.stages {
			im.core[st] = st.wanted
		}
		for _, st := range im.stages {
			if i, bad := im.leftOut(st, map[*stage]bool{}); bad {
				im.warnf(CodeLeftOut, st.node, "The stage was left out", "It cannot be imported, and what the Dockerfile builds by default does not need it. %s.", im.out[i])
				continue
			}
			im.want(st)
		}
	}
	return im.ordered()
}

// leftOut reports whether a stage, or one that it is made from, cannot be
// imported, and which.
func (im *importer) leftOut(st *stage, seen map[*stage]bool) (at int, bad bool) {
	if _, ok := im.out[st.index]; ok {
		return st.index, true
	}
	seen[st] = true
	st.deps(func(d *stage, _ *step) {
		if !bad && !seen[d] {
			at, bad = im.leftOut(d, seen)
		}
	})
	return at, bad
}

// stageNamed is the last stage of a name; names are compared without case.
func (im *importer) stageNamed(name string) *stage {
	for i := len(im.stages) - 1; i >= 0; i-- {
		if strings.EqualFold(im.stages[i].cmd.Name, name) {
			return im.stages[i]
		}
	}
	return nil
}

// earlier is the last stage before st that has exactly this name.
func (im *importer) earlier(st *stage, name string) *stage {
	for i := st.index - 1; i >= 0; i-- {
		if n := im.stages[i].cmd.Name; n != "" && n == name {
			return im.stages[i]
		}
	}
	return nil
}

// baseOf resolves a FROM.
func (im *importer) baseOf(st *stage, env shell.EnvGetter) bool {
	lex := shell.NewLex(rune(im.esc))
	name, _, err := lex.ProcessWord(st.cmd.BaseName, env)
	if err != nil {
		im.failAt(CodeInvalid, err, st.node)
		return false
	}
	if name == "" {
		im.errorf(CodeInvalid, st.node, fmt.Sprintf("base name (%s) should not be blank", st.cmd.BaseName),
			"An argument without a default decides it. Give it one to import with: --build-arg NAME=VALUE.")
		return false
	}
	if !im.platformOf(st, env) {
		return false
	}
	if st.base = im.earlier(st, name); st.base != nil {
		st.bases = map[*stage]bool{st.base: true}
		return im.chosen(st, name)
	}
	if name == "scratch" {
		st.from, st.plat = raw("scratch"), nil // BuildKit's scratch has the target's platform
		return true
	}
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		detail := "It is neither a stage above nor an image."
		if _, constant := im.constant(st.cmd.BaseName); !constant {
			detail = "An argument without a default decides it. Give it one to import with: --build-arg NAME=VALUE."
		}
		im.errorf(CodeInvalid, st.node, fmt.Sprintf("failed to parse stage name %q: %v", name, err), "%s", detail)
		return false
	}
	ref, err := im.template(st.cmd.BaseName, nil)
	if err != nil {
		im.fixedBy(st.cmd.BaseName)
		im.warnf(CodeFixed, st.node, "The base image was worked out", "%v, so the image is the one that the defaults give, whatever a caller sets.", err)
		ref = str(name)
	}
	st.from = call{"image", []expr{ref}}
	return true
}

// chosen is the `from` of a stage that starts from another one.
func (im *importer) chosen(st *stage, name string) bool {
	if st.plat != nil {
		im.warnf(CodeDropped, st.node, "--platform has no effect here", "A stage that starts from a stage has its platform.")
		st.plat = nil
	}
	if _, ok := im.constant(st.cmd.BaseName); ok {
		return true // named when all stages have names
	}
	parts := split(st.cmd.BaseName, im.esc)
	var re strings.Builder
	variables := 0
	for _, p := range parts {
		if p.expand {
			variables++
			re.WriteString("(.*)")
		} else {
			re.WriteString(regexp.QuoteMeta(p.text))
		}
	}
	pattern := regexp.MustCompile("^" + re.String() + "$")
	for _, other := range im.stages[:st.index] {
		if n := other.cmd.Name; n != "" && pattern.MatchString(n) && im.earlier(st, n) == other {
			st.bases[other] = true
		}
	}
	return true
}

// stageChoice is a literal object of the stages that a FROM chooses from.
func (im *importer) stageChoice(st *stage) expr {
	parts := split(st.cmd.BaseName, im.esc)
	prefix, suffix, n := "", "", 0
	for _, p := range parts {
		switch {
		case p.expand:
			n++
		case n == 0:
			prefix += p.text
		default:
			suffix += p.text
		}
	}
	word := st.cmd.BaseName
	if n == 1 {
		for _, p := range parts {
			if p.expand {
				word = p.text
			}
		}
	} else {
		prefix, suffix = "", ""
	}
	key, err := im.template(word, nil)
	if err != nil {
		im.fixedBy(word)
		im.warnf(CodeFixed, st.node, "The base stage was worked out", "%v, so the stage is the one that the defaults give, whatever a caller sets.", err)
		return raw("stage." + st.base.name)
	}
	var o object
	for _, other := range im.stages[:st.index] {
		if st.bases[other] && other.wanted {
			k := strings.TrimSuffix(strings.TrimPrefix(other.cmd.Name, prefix), suffix)
			o.entries = append(o.entries, entry{key: k, val: raw("stage." + other.name)})
		}
	}
	return indexed{o, key}
}

// indexed is an object with one of its entries chosen.
type indexed struct {
	of  object
	key expr
}

func (e indexed) render(depth int) string {
	return e.of.render(depth) + "[" + e.key.render(depth) + "]"
}

// platformOf reads --platform of a FROM.
func (im *importer) platformOf(st *stage, env shell.EnvGetter) bool {
	if st.cmd.Platform == "" {
		return true
	}
	v, _, err := shell.NewLex(rune(im.esc)).ProcessWord(st.cmd.Platform, env)
	if err != nil {
		im.failAt(CodeInvalid, err, st.node)
		return false
	}
	if v == "" {
		im.errorf(CodeInvalid, st.node, "empty platform value from expression "+st.cmd.Platform, "An argument without a default decides it. Give it one to import with: --build-arg NAME=VALUE.")
		return false
	}
	p, err := platforms.Parse(v)
	if err != nil {
		im.errorf(CodeInvalid, st.node, fmt.Sprintf("failed to parse platform %s: %v", st.cmd.Platform, cause(err)), "A platform is os/architecture[/variant].")
		return false
	}
	if _, constant := im.constant(st.cmd.Platform); constant {
		st.plat = str(platforms.FormatAll(p))
		return true
	}
	if st.plat, err = im.template(st.cmd.Platform, nil); err != nil {
		im.fixedBy(st.cmd.Platform)
		im.warnf(CodeFixed, st.node, "The platform was worked out", "%v, so the platform is the one that the defaults give, whatever a caller sets.", err)
		st.plat = str(platforms.FormatAll(p))
	}
	return true
}

// deps calls visit for each stage that a stage is made from.
func (st *stage) deps(visit func(*stage, *step)) {
	for b := range st.bases {
		visit(b, nil)
	}
	for _, s := range st.steps {
		if s.from != nil && s.from.stage != nil {
			visit(s.from.stage, s)
		}
		for _, m := range s.mounts {
			if m.from != nil && m.from.stage != nil {
				visit(m.from.stage, s)
			}
		}
	}
}

// acyclic reports stages that are made from themselves.
func (im *importer) acyclic() bool {
	state := map[*stage]int{}
	ok := true
	var walk func(st *stage)
	walk = func(st *stage) {
		state[st] = 1
		st.deps(func(d *stage, _ *step) {
			switch {
			case !ok:
			case state[d] == 1:
				name := d.cmd.Name
				if name == "" {
					name = fmt.Sprintf("stage-%d", d.index)
				}
				im.errorf(CodeInvalid, d.node, "circular dependency detected on stage: "+name, "BuildKit refuses this, so it cannot be imported.")
				ok = false
			case state[d] == 0:
				walk(d)
			}
		})
		state[st] = 2
	}
	for _, st := range im.stages {
		if state[st] == 0 && ok {
			walk(st)
		}
	}
	return ok
}

// ordered reports steps that read a stage below their own.
func (im *importer) ordered() bool {
	ok := true
	for _, st := range im.stages {
		if !st.wanted {
			continue
		}
		st.deps(func(d *stage, s *step) {
			if s == nil || d.index < st.index {
				return
			}
			ok = false
			if _, isCopy := s.cmd.(*instructions.CopyCommand); isCopy {
				im.errorf(CodeInvalid, s.node, fmt.Sprintf("cannot copy from stage %q, it needs to be defined before current stage %q", d.cmd.Name, st.cmd.Name), "BuildKit refuses this, so it cannot be imported.")
			} else {
				im.errorf(CodeInvalid, s.node, fmt.Sprintf("cannot mount from stage %q, stage needs to be defined before current command", d.cmd.Name), "BuildKit refuses this, so it cannot be imported.")
			}
		})
	}
	return ok
}

func (im *importer) want(st *stage) {
	if st.wanted {
		return
	}
	st.wanted = true
	st.deps(func(d *stage, _ *step) { im.want(d) })
	for b := range st.bases {
		for _, s := range b.steps {
			for _, d := range s.reads {
				im.want(d)
			}
		}
	}
}

// ---- names ------------------------------------------------------------------
