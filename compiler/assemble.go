package compiler

import (
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// assemble collects what targets reach into one graph.
func assemble(files map[string][]byte, targets []*ir.Target) *ir.Graph {
	g := &ir.Graph{Files: files, Targets: targets}
	var roots []*ir.Stage
	for _, t := range targets {
		for _, b := range t.Builds {
			roots = append(roots, b.Image, b.Files)
		}
		if from, ok := t.Options.EpochFrom.(ir.StageSource); ok {
			roots = append(roots, from.Stage)
		}
	}
	g.Stages = sourceOrder(ir.Reach(roots...))
	contexts := map[*ir.Context]bool{}
	read := func(c *ir.Context) {
		if !contexts[c] {
			contexts[c] = true
			g.Contexts = append(g.Contexts, c)
		}
	}
	for _, t := range targets {
		if from, ok := t.Options.EpochFrom.(ir.ContextSource); ok {
			read(from.Context)
		}
		t.Main = mainContext(t)
	}
	secrets, agents := map[string][]*ir.Secret{}, map[string]*ir.SSH{}
	for _, st := range g.Stages {
		st.Contexts(read)
		for _, step := range st.Steps {
			if run, ok := step.(*ir.Run); ok {
				offered(run, secrets, agents)
			}
		}
	}
	sort.Slice(g.Contexts, func(i, j int) bool {
		a, b := g.Contexts[i], g.Contexts[j]
		if (a.Name == rootContext) != (b.Name == rootContext) {
			return a.Name == rootContext
		}
		return a.Name < b.Name
	})
	for _, id := range slices.Sorted(maps.Keys(secrets)) {
		g.Secrets = append(g.Secrets, sourced(secrets[id])...)
	}
	for _, id := range slices.Sorted(maps.Keys(agents)) {
		g.SSH = append(g.SSH, agents[id])
	}
	return g
}

// mainContext is the main context of a target's Dockerfile. That of a called module's
// target is the root's, of which its module's directory is a part, unless something
// needs the directory itself: a step, for it is no part; a Dockerfile that is read in
// place; a trigger.
func mainContext(t *ir.Target) *ir.Context {
	own := t.Main
	if own == nil || own.Name == rootContext {
		return own
	}
	var roots []*ir.Stage
	for _, b := range t.Builds {
		roots = append(roots, b.Image, b.Files)
	}
	main, needed := own.Within, false
	read := func(c *ir.Context) {
		needed = needed || c == own
		if c.Name == rootContext {
			main = c
		}
	}
	if from, ok := t.Options.EpochFrom.(ir.ContextSource); ok {
		read(from.Context)
	}
	for _, st := range ir.Reach(roots...) {
		st.Contexts(read)
		needed = needed || st.InPlace != nil && st.InPlace.Main == own
		for _, step := range st.Steps {
			_, trigger := step.(*ir.OnBuild)
			needed = needed || trigger
		}
	}
	if needed || main == nil {
		return own
	}
	return main
}

// rootContext is the name of the root's main context.
const rootContext = "default"

// sourceOrder sorts stages by where they were written, but each after what it
// depends on. Instances of one block keep their order.
func sourceOrder(stages []*ir.Stage) []*ir.Stage {
	written := append([]*ir.Stage(nil), stages...)
	sort.SliceStable(written, func(i, j int) bool {
		a, b := written[i].Range, written[j].Range
		if a.Filename != b.Filename {
			return a.Filename < b.Filename
		}
		return a.Start.Byte < b.Start.Byte
	})
	return ir.Reach(written...)
}

// offered notes what the caller must offer to a step. What is required by one
// step is required.
func offered(run *ir.Run, secrets map[string][]*ir.Secret, agents map[string]*ir.SSH) {
	for _, m := range run.Mounts {
		if s := m.Secret; s != nil {
			secrets[s.ID] = offer(secrets[s.ID], s)
		}
		if s := m.SSH; s != nil && (agents[s.ID] == nil || s.Required) {
			agents[s.ID] = s
		}
	}
}

// offer adds a secret to those of its id, of which each is read from another place.
func offer(all []*ir.Secret, s *ir.Secret) []*ir.Secret {
	for i, have := range all {
		if have.Env == s.Env && have.File == s.File {
			if s.Required {
				all[i] = s
			}
			return all
		}
	}
	return append(all, s)
}

// sourced leaves out, of the secrets of one id, the one that does not say where it
// is read when another does: both have one value.
func sourced(all []*ir.Secret) []*ir.Secret {
	bare := slices.IndexFunc(all, func(s *ir.Secret) bool { return s.Env == "" && s.File == "" })
	if bare < 0 || len(all) == 1 {
		return all
	}
	required := all[bare].Required
	all = slices.Delete(all, bare, bare+1)
	for i, s := range all {
		if required && !s.Required {
			c := *s
			c.Required = true
			all[i] = &c
		}
	}
	return all
}

// conflicts reports what two requested targets cannot both have: a tag, a file.
func conflicts(targets []*ir.Target) (diags hcl.Diagnostics) {
	tags, files := map[string]*ir.Target{}, map[string]*ir.Target{}
	claim := func(owners map[string]*ir.Target, name string, t *ir.Target, what string) {
		if first := owners[name]; first != nil && first != t {
			diags = append(diags, diag.Error(diag.PathConflict, t.Range, fmt.Sprintf("Two targets %s %s", what, name),
				fmt.Sprintf("%s and %s would overwrite each other; give one of them another name, or build one at a time.", first.Addr, t.Addr), diag.WithRelated(first.Range, "the other target")))
		}
		owners[name] = t
	}
	for _, t := range targets {
		for _, tag := range t.Tags {
			claim(tags, tag, t, "tag")
		}
		for _, b := range t.Builds {
			for _, o := range b.Outputs {
				if !o.Dir {
					claim(files, o.Path, t, "write")
				}
			}
		}
	}
	return diags
}
