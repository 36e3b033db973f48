package compiler

import (
	"fmt"
	"sort"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// assemble collects what targets reach into one graph.
func assemble(files map[string][]byte, targets []*ir.Target) *ir.Graph {
	c := &collector{g: &ir.Graph{Files: files, Targets: targets}, stages: map[*ir.Stage]bool{}, contexts: map[*ir.Context]bool{}, secrets: map[string]*ir.Secret{}, ssh: map[string]*ir.SSH{}}
	for _, t := range targets {
		for _, b := range t.Builds {
			for _, st := range []*ir.Stage{b.Image, b.Files} {
				if st != nil {
					c.stage(st)
				}
			}
		}
	}
	sort.Slice(c.g.Contexts, func(i, j int) bool {
		a, b := c.g.Contexts[i], c.g.Contexts[j]
		if (a.Name == "default") != (b.Name == "default") {
			return a.Name == "default"
		}
		return a.Name < b.Name
	})
	for _, id := range sortedKeys(c.secrets) {
		c.g.Secrets = append(c.g.Secrets, c.secrets[id])
	}
	for _, id := range sortedKeys(c.ssh) {
		c.g.SSH = append(c.g.SSH, c.ssh[id])
	}
	return c.g
}

// collector walks stages depth first, so that each comes after what it uses.
type collector struct {
	g        *ir.Graph
	stages   map[*ir.Stage]bool
	contexts map[*ir.Context]bool
	secrets  map[string]*ir.Secret
	ssh      map[string]*ir.SSH
}

func (c *collector) stage(st *ir.Stage) {
	if c.stages[st] {
		return
	}
	c.stages[st] = true
	if r, ok := st.Root.(ir.StageRoot); ok {
		c.stage(r.Stage)
	}
	for _, s := range st.Steps {
		switch s := s.(type) {
		case *ir.Copy:
			c.source(s.From)
		case *ir.Run:
			for _, m := range s.Mounts {
				c.mount(m)
			}
		}
	}
	c.g.Stages = append(c.g.Stages, st)
}

func (c *collector) mount(m ir.Mount) {
	c.source(m.From)
	switch {
	case m.Cache != nil:
		c.source(m.Cache.From)
	case m.Secret != nil:
		c.secrets[m.Secret.ID] = m.Secret
	case m.SSH != nil:
		c.ssh[m.SSH.ID] = m.SSH
	}
}

func (c *collector) source(s ir.Source) {
	switch s := s.(type) {
	case ir.StageSource:
		c.stage(s.Stage)
	case ir.ContextSource:
		if !c.contexts[s.Context] {
			c.contexts[s.Context] = true
			c.g.Contexts = append(c.g.Contexts, s.Context)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
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
