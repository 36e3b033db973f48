package main

import (
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/view"
	"github.com/hbuild/hbuild/lang"
)

// graphOptions are what `hbuild graph` takes.
type graphOptions struct {
	module moduleFlags
	format string
	addrs  []string
}

func newGraphCmd(a *app) *cobra.Command {
	var o graphOptions
	cmd := &cobra.Command{
		Use:   "graph [ADDR...]",
		Short: "Show what targets are made from",
		Long: `Graph shows the stages, images, contexts, caches and secrets that the addresses
are made from; without an address, all targets and tests.`,
		Example: `  hbuild graph prod
  hbuild graph --format dot | dot -Tsvg > graph.svg
  hbuild graph --format mermaid`,
		GroupID:           groupFiles,
		ValidArgsFunction: a.completeAddresses(&o.module),
		RunE: func(_ *cobra.Command, args []string) error {
			o.addrs = args
			return a.graph(&o)
		},
	}
	o.module.register(a, cmd)
	choice(cmd, cmd.Flags(), &o.format, "format", "how the graph is printed", "tree", "dot", "mermaid", formatJSON)
	return cmd
}

func (a *app) graph(o *graphOptions) error {
	p, err := a.load(&o.module, forBuild)
	if err != nil {
		return err
	}
	defer p.Close()
	addrs := o.addrs
	if len(addrs) == 0 {
		addrs = p.everything()
	}
	g, err := p.graph(addrs, nil)
	if err != nil {
		return err
	}
	v := view.NewGraph(g)
	switch o.format {
	case "dot":
		return v.WriteDOT(a.stdout)
	case "mermaid":
		return v.WriteMermaid(a.stdout)
	case formatJSON:
		return writeJSON(a.stdout, v)
	}
	return v.WriteTree(a.stdout)
}

// everything is the addresses of all targets and tests of the module and of those
// that it calls; of all stages in modules that have neither.
func (p *program) everything() (addrs []string) {
	modules := p.Below()
	for _, kinds := range [][]lang.Kind{{lang.KindTarget, lang.KindTest}, {lang.KindStage}} {
		for _, kind := range kinds {
			for _, m := range modules {
				for _, n := range m.Module().Decls {
					if n.Base().Kind != kind {
						continue
					}
					for _, i := range m.Instances(n) {
						addrs = append(addrs, compiler.FromRoot(m.At(string(kind)+"."+i.Name())))
					}
				}
			}
		}
		if len(addrs) > 0 {
			return addrs
		}
	}
	return addrs
}
