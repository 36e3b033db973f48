package importer

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// isGit reports whether BuildKit takes a source of ADD for a git repository.
func isGit(src string) bool {
	ref, git, err := dfgitutil.ParseGitRef(src)
	return err == nil && ref != nil && !ref.IndistinguishableFromLocal || err != nil && git
}

func joined(text string) string { return eval.JoinLines(text) }

// finish prints the file and has the language check it.
func (im *importer) finish() *Result {
	p := &printer{origin: map[int]*parser.Node{}, line: 1}
	blocks := im.blocks()
	if len(im.allow) > 0 && len(im.header) > 0 {
		im.allow = append(im.allow, "")
	}
	im.header = append(im.allow, im.header...)
	p.comment(im.header, 0)
	if len(im.header) > 0 {
		p.write("\n", nil)
	}
	p.list(blocks, 0, false)
	text := []byte(p.b.String())
	out, diags := lang.Format(lang.Source{Name: lang.MainFile, Data: text})
	if diags.HasErrors() {
		panic(fmt.Sprintf("importer: what it wrote is no HCL: %v\n%s", diags, text))
	}
	im.verify(out, text, p.origin)
	if im.diags.HasErrors() {
		return nil
	}
	res := &Result{HCL: out, Vars: map[string]string{}, Lines: map[int]hcl.Range{}, Default: "stage." + im.last().name}
	for line, n := range p.origin {
		if n != nil {
			res.Lines[line] = im.where(n)
		}
	}
	for k, v := range im.varOf {
		res.Vars[k] = v.name
	}
	for _, st := range im.stages {
		addr := ""
		if st.wanted {
			addr = "stage." + st.name
		}
		res.Stages = append(res.Stages, addr)
		res.Names = append(res.Names, st.cmd.Name)
	}
	res.TargetStage = im.targetStage()
	return res
}

// verify compiles what was written. A mistake is reported at the instruction that
// it came from; an artifact that the language refuses is copied in another way.
func (im *importer) verify(out, text []byte, origin map[int]*parser.Node) {
	fsys := fstest.MapFS{lang.MainFile: {Data: out}}
	if im.opt.IgnoreFile != "" {
		fsys[im.opt.IgnoreFile] = &fstest.MapFile{}
	}
	mod, diags := lang.Load(fsys, ".", lang.LoadOptions{})
	diags = append(diags, lang.Resolve(mod, eval.Builtins())...)
	ev := eval.New(mod, fsys, nil, eval.Options{BuildPlatform: im.opt.Platform, Check: true})
	ev.All()
	diags = diag.Sort(append(diags, ev.Diagnostics()...))
	lines := strings.Split(string(text), "\n")
	for _, d := range diags {
		if d.Subject == nil || d.Severity != hcl.DiagError {
			continue
		}
		line := d.Subject.Start.Line
		if diag.InfoOf(d).Code == diag.CacheOnlyPath {
			for _, a := range im.artifacts {
				if strings.Contains(strings.Join(lines[max(0, line-3):min(len(lines), line)], "\n"), "artifact "+quote(a.name)) {
					im.again = a.id
					return
				}
			}
		}
		im.errorf(CodeRefused, origin[line], d.Summary, "%s", d.Detail)
	}
}

// blocks are the blocks of the file in the order a reader wants them: inputs,
// what persists, stages with what is taken out of them, targets.
func (im *importer) blocks() []*block {
	var out []*block
	im.headComment()
	if im.opt.IgnoreFile != "" {
		b := &block{head: `context "default"`}
		b.set("ignore_file", str(im.opt.IgnoreFile), nil)
		out = append(out, b)
	}
	sort.SliceStable(im.vars, func(i, j int) bool { return im.declared(im.vars[i]) < im.declared(im.vars[j]) })
	for _, v := range im.vars {
		out = append(out, im.variableBlock(v))
	}
	for _, kind := range []struct {
		word string
		list []*resource
	}{{"cache", im.caches}, {"secret", im.secrets}, {"ssh", im.agents}} {
		for _, r := range kind.list {
			out = append(out, r.block(kind.word))
		}
	}
	for _, st := range im.stages {
		if !st.wanted {
			continue
		}
		out = append(out, st.block)
		for _, a := range im.artifacts {
			if a.stage == st {
				out = append(out, a.block("artifact"))
			}
		}
	}
	return append(out, im.targets()...)
}

// declared is where a variable's argument is first declared.
func (im *importer) declared(v *variable) int {
	if v.node == nil {
		return 0
	}
	return v.node.StartLine
}

func (r *resource) block(kind string) *block {
	b := &block{head: kind + " " + quote(r.name), from: r.from}
	for _, e := range r.attrs {
		b.set(e.key, e.val, r.from)
	}
	return b
}

func (im *importer) variableBlock(v *variable) *block {
	b := &block{head: "variable " + quote(v.name), from: v.node, comment: trimComment(v.comment)}
	b.set("type", raw("string"), v.node)
	if v.def != nil {
		b.set("default", v.def, v.node)
	} else {
		b.set("default", raw("null"), v.node)
	}
	if v.desc != "" {
		b.set("description", str(described(v.desc)), v.node)
	}
	return b
}

// headComment moves the comment that opens the file, when an empty line parts it
// from the first instruction, above everything.
func (im *importer) headComment() {
	im.argComments()
	if len(im.nodes) == 0 {
		return
	}
	n := im.nodes[0]
	for _, st := range im.stages {
		if st.node != n || !st.wanted {
			continue
		}
		c := st.block.comment
		for i := len(c) - 1; i >= 0; i-- {
			if c[i] == "" {
				im.header, st.block.comment = trimComment(c[:i]), c[i+1:]
				return
			}
		}
	}
}

// argComments gives the comments above global arguments to their variables, or to
// what follows.
func (im *importer) argComments() {
	seen := map[*parser.Node]bool{}
	for i, m := range im.meta {
		if seen[m.node] {
			continue
		}
		seen[m.node] = true
		c := im.comments[m.node]
		if i == 0 && m.node == im.nodes[0] {
			for j := len(c) - 1; j >= 0; j-- {
				if c[j] == "" {
					im.header, c = trimComment(c[:j]), c[j+1:]
					break
				}
			}
		}
		v := im.varOf[m.key]
		if v == nil {
			im.header = append(im.header, c...)
			continue
		}
		if v.desc != "" && len(trimComment(c)) == 1 {
			continue
		}
		v.comment = append(v.comment, c...)
	}
}

// last is the stage that the target default builds.
func (im *importer) last() *stage {
	if im.opt.Target != "" {
		return im.stageNamed(im.opt.Target)
	}
	return im.stages[len(im.stages)-1]
}

// targets are `default` for the last stage, or the one that was asked for, and one
// for each other stage that nothing uses.
func (im *importer) targets() []*block {
	last := im.last()
	used := map[*stage]bool{last: true}
	for _, st := range im.stages {
		if st.wanted {
			st.deps(func(d *stage, _ *step) { used[d] = true })
		}
	}
	im.taken["target"] = map[string]bool{"default": true}
	target := func(name string, st *stage) *block {
		b := &block{head: "target " + quote(name), from: st.node}
		b.set("image", raw("stage."+st.name), st.node)
		if e := im.epoch(); e != nil {
			b.set("source_date_epoch", e, st.node)
		}
		if st == last && st.cmd.Name == "" && im.asksTargetStage() {
			b.set("build_args", object{entries: []entry{{key: "TARGETSTAGE", val: str(im.targetStage())}}}, st.node)
		}
		return b
	}
	out := []*block{target("default", last)}
	for _, st := range im.stages {
		if st.wanted && !used[st] {
			out = append(out, target(im.unique("target", st.name, "target"), st))
		}
	}
	return out
}

// asksTargetStage reports whether a step depends on what BuildKit calls the stage
// that is built. One that has a default of its own for that would lose it to a build
// argument.
func (im *importer) asksTargetStage() (asks bool) {
	for _, st := range im.stages {
		for _, s := range st.steps {
			if c, ok := s.cmd.(*instructions.ArgCommand); ok && st.wanted {
				for _, a := range c.Args {
					if a.Key == "TARGETSTAGE" && a.Value != nil {
						return false
					}
					asks = asks || a.Key == "TARGETSTAGE"
				}
			}
		}
	}
	return asks
}

// epochValue is what an argument above all stages says of the images' time; "" for
// nothing.
func (im *importer) epochValue() string {
	if m := im.metaOf(argEpoch); m == nil || m.value == nil {
		return ""
	}
	env, _ := im.globals()
	v, _ := env.Get(argEpoch)
	return v
}

// epochStage is the stage whose source has the images' time; nil for none.
func (im *importer) epochStage() *stage {
	v := im.epochValue()
	if v == "" || v == "context" {
		return nil
	}
	return im.stageNamed(v)
}

// epoch is the time that the Dockerfile gives its images.
func (im *importer) epoch() expr {
	v := im.epochValue()
	if v == "" {
		return nil
	}
	m := im.metaOf(argEpoch)
	if _, err := strconv.ParseInt(v, 10, 64); err == nil {
		if x := im.varOf[argEpoch]; x != nil {
			return raw("var." + x.name)
		}
		return raw(v)
	}
	if v == "context" {
		return raw("context.default")
	}
	if st := im.epochStage(); st != nil {
		return raw("stage." + st.name)
	}
	im.errorf(CodeInvalid, m.node, "invalid SOURCE_DATE_EPOCH: "+v, "It is a number of seconds, \"context\", or the name of a stage.")
	return nil
}
