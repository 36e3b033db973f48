package frontend

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/convertllb"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// subrequest answers a call that builds nothing: `docker build --call=…`.
func (b *builder) subrequest(ctx context.Context) (*gateway.Result, bool, error) {
	return b.ui.HandleSubrequest(ctx, dockerui.RequestHandler{
		Outline: b.outline, ListTargets: b.listTargets, Lint: b.lint, ConvertLLB: b.convert,
	})
}

// locations numbers the sources that an answer's places speak of.
type locations struct {
	m     *module
	files []string
}

func (l *locations) of(at hcl.Range) *pb.Location {
	if l.m.Files()[at.Filename] == nil {
		return nil
	}
	index := -1
	for i, f := range l.files {
		if f == at.Filename {
			index = i
		}
	}
	if index < 0 {
		index = len(l.files)
		l.files = append(l.files, at.Filename)
	}
	return &pb.Location{SourceIndex: int32(index), Ranges: ranges(&at)}
}

func (l *locations) sources() [][]byte {
	out := make([][]byte, len(l.files))
	for i, f := range l.files {
		out[i] = l.m.Files()[f]
	}
	return out
}

// listTargets lists what --target takes: targets, groups and tests, then stages
// and artifacts.
func (b *builder) listTargets(ctx context.Context) (*targets.List, error) {
	m, err := b.load(ctx, true)
	if err != nil {
		return nil, err
	}
	if diags := m.Diagnostics(); diags.HasErrors() {
		return nil, m.failure(diags)
	}
	l := &locations{m: m}
	out := &targets.List{}
	modules := m.Below()
	for _, kind := range []lang.Kind{lang.KindGroup, lang.KindTarget, lang.KindTest, lang.KindStage, lang.KindArtifact} {
		word := ""
		if kind == lang.KindStage || kind == lang.KindArtifact {
			word = string(kind) + "."
			modules = modules[:1] // of modules it would be a very long list
		}
		for _, ev := range modules {
			for _, n := range ev.Module().Decls {
				if n.Base().Kind != kind {
					continue
				}
				for _, i := range ev.Instances(n) {
					t := targets.Target{Name: ev.At(word + i.Name()), Description: describe(ev, n), Location: l.of(n.Base().Range)}
					t.Default = t.Name == "default"
					out.Targets = append(out.Targets, t)
				}
			}
		}
	}
	if diags := m.Diagnostics(); diags.HasErrors() { // of a module, which was read just now
		return nil, m.failure(diags)
	}
	out.Sources = l.sources()
	return out, nil
}

// describe is what a list says of a declaration: its description, else the first
// line of the comment above it; a group also tells what it stands for.
func describe(ev *eval.Evaluator, n lang.Node) string {
	text := ""
	if a := lang.AttrOf(n, "description"); a != nil {
		if v, diags := ev.Expression(a.Expr); !diags.HasErrors() {
			text = textOf(v)
		}
	}
	if c := ev.Module().CommentAbove(n.Base().Range); text == "" && len(c) > 0 {
		text = c[0]
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "syntax=") {
			text = ""
		}
	}
	if g, ok := n.(*lang.Group); ok {
		var names []string
		for _, i := range ev.Instances(g) {
			for _, t := range ev.Group(i) {
				names = append(names, t.Name())
			}
		}
		text = strings.TrimSpace(text + " (group of " + diag.List(names, 8) + ")")
	}
	return text
}

// textOf is a value as a flag takes it.
func textOf(v cty.Value) string {
	switch {
	case v.IsMarked():
		return "(sensitive)"
	case !v.IsKnown() || v.IsNull():
		return ""
	case v.Type() == cty.String:
		return v.AsString()
	}
	build := false
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		build = build || v.IsMarked() || v.Type().IsCapsuleType()
		return !build, nil
	})
	if build {
		return strings.Join(strings.Fields(eval.Render(v)), " ")
	}
	return string(hclwrite.TokensForValue(v).Bytes())
}

// outline tells what a target takes: the variables that it depends on, the
// secrets, agents and caches of its steps.
func (b *builder) outline(ctx context.Context) (*outline.Outline, error) {
	m, err := b.load(ctx, true)
	if err != nil {
		return nil, err
	}
	sel, err := b.choose(m)
	if err != nil {
		return nil, err
	}
	l := &locations{m: m}
	out := &outline.Outline{Name: sel.target.Name, Description: sel.target.Description}
	for _, v := range usedVariables(m, sel.graph) {
		arg := outline.Arg{Name: v.Name, Description: describe(m.Evaluator(), v), Location: l.of(v.Range)}
		if expr, diags := lang.ParseValue(lang.Source{Name: "<outline>", Data: []byte("var." + v.Name)}, false); !diags.HasErrors() {
			if val, diags := m.Evaluator().Expression(expr); !diags.HasErrors() {
				arg.Value = textOf(val)
			}
		}
		out.Args = append(out.Args, arg)
	}
	for i, s := range sel.graph.Secrets {
		if i > 0 && s.ID == sel.graph.Secrets[i-1].ID {
			continue // read from another place by hbuild build; here the caller names one
		}
		out.Secrets = append(out.Secrets, outline.Secret{Name: s.ID, Required: s.Required, Location: l.of(s.Range)})
	}
	for _, s := range sel.graph.SSH {
		out.SSH = append(out.SSH, outline.SSH{Name: s.ID, Required: s.Required, Location: l.of(s.Range)})
	}
	for _, c := range caches(sel.graph) {
		out.Cache = append(out.Cache, outline.CacheMount{ID: c.ID, Location: l.of(c.Range)})
	}
	out.Sources = l.sources()
	return out, nil
}

// usedVariables are those that the declarations behind a graph use, in source
// order.
func usedVariables(m *module, g *ir.Graph) []*lang.Variable {
	roots := map[hcl.Range]bool{}
	for _, t := range g.Targets {
		roots[t.Range] = true
	}
	seen := map[lang.Node]bool{}
	var walk func(n lang.Node)
	walk = func(n lang.Node) {
		if seen[n] {
			return
		}
		seen[n] = true
		for _, u := range n.Base().Uses {
			walk(u.Decl)
		}
	}
	for _, n := range m.Module.Decls {
		if roots[n.Base().Range] {
			walk(n)
		}
	}
	for _, t := range g.Targets { // of a module: what the root gives it
		if name, _, ok := strings.Cut(t.Name, "/"); ok {
			name, _, _ = strings.Cut(name, ".")
			if n := m.Module.Lookup(lang.KindModule, name); n != nil {
				walk(n)
			}
		}
	}
	var out []*lang.Variable
	for _, n := range m.Module.Decls {
		if v, ok := n.(*lang.Variable); ok && seen[n] {
			out = append(out, v)
		}
	}
	return out
}

func caches(g *ir.Graph) []*ir.Cache {
	var out []*ir.Cache
	seen := map[*ir.Cache]bool{}
	for _, s := range g.Stages {
		for _, step := range s.Steps {
			run, ok := step.(*ir.Run)
			if !ok {
				continue
			}
			for _, mnt := range run.Mounts {
				if c := mnt.Cache; c != nil && !seen[c] {
					seen[c] = true
					out = append(out, c)
				}
			}
		}
	}
	return out
}

// lint checks the module: all of it, whatever --target says, as `hbuild check`
// does.
func (b *builder) lint(ctx context.Context) (*lint.LintResults, error) {
	m, err := b.load(ctx, true)
	if err != nil {
		return nil, err
	}
	out := &lint.LintResults{}
	index := map[string]int32{}
	place := func(at *hcl.Range) pb.Location {
		info := m.sourceInfo(at)
		if info == nil {
			// A place outside of the files is shown at the file's beginning: clients
			// look sources up without asking whether there are any.
			start := hcl.Range{Filename: m.src.Filename, Start: hcl.InitialPos, End: hcl.InitialPos}
			at, info = &start, &pb.SourceInfo{Filename: m.src.Filename, Language: "HCL", Data: m.src.Data, Definition: m.src.Definition.ToPB()}
		}
		i, ok := index[info.Filename]
		if !ok {
			i = int32(len(out.Sources))
			index[info.Filename] = i
			out.Sources = append(out.Sources, info)
		}
		return pb.Location{SourceIndex: i, Ranges: ranges(at)}
	}
	diags := m.Check()
	if !diags.HasErrors() {
		diags = append(diags, b.lowered(ctx)...)
	}
	for _, d := range diags {
		info := diag.InfoOf(d)
		if d.Severity == hcl.DiagWarning {
			loc := place(d.Subject)
			detail := d.Summary + ". " + strings.TrimSpace(d.Detail+" "+info.Help)
			if at := d.Subject; at != nil && m.otherFile(at) {
				// buildx shows all places as if they were in the named file.
				detail = fmt.Sprintf("%s:%d: %s", at.Filename, at.Start.Line, detail)
			}
			out.Warnings = append(out.Warnings, lint.Warning{RuleName: string(info.Code), Description: d.Summary, Detail: detail, Location: &loc})
			continue
		}
		if out.Error == nil {
			out.Error = &lint.BuildError{Message: m.sentence(d), Location: place(d.Subject)}
			continue
		}
		out.Error.Message += "\n" + m.sentence(d)
	}
	return out, nil
}

// lowered are the warnings that need the base images of what --target names. What
// else is wrong there, a build says: a check of the files wants no registry.
func (b *builder) lowered(ctx context.Context) (out hcl.Diagnostics) {
	m, err := b.load(ctx, false)
	if err != nil {
		return nil
	}
	sel, err := b.choose(m)
	if err != nil {
		return nil
	}
	sel.warnings = nil
	if _, err := b.lower(ctx, m, sel); err != nil {
		return nil
	}
	return b.level(m, sel.warnings)
}

// convert gives the definition of the target's first platform.
func (b *builder) convert(ctx context.Context) (*convertllb.Result, error) {
	m, err := b.load(ctx, false)
	if err != nil {
		return nil, err
	}
	sel, err := b.choose(m)
	if err != nil {
		return nil, err
	}
	lowered, err := b.lower(ctx, m, sel)
	if err != nil {
		return nil, err
	}
	def, err := lowered[main(sel.target, 0)].Definition(ctx)
	if err != nil {
		return nil, err
	}
	out := &convertllb.Result{Def: map[digest.Digest]*pb.Op{}, Metadata: def.Metadata, Source: def.Source}
	for _, dt := range def.Def {
		op := new(pb.Op)
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		out.Def[digest.FromBytes(dt)] = op
	}
	return out, nil
}
