package main

import (
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/ir"
)

func newTestCmd(a *app) *cobra.Command {
	o := buildOptions{test: true}
	cmd := &cobra.Command{
		Use:   "test [ADDR...]",
		Short: "Run tests",
		Long: `Test runs what the addresses name: a test, the tests that a target requires, those
of a group, or of all names that match a pattern; without one, all tests of the
module. Nothing is exported, pushed or written.

All of them run, whatever fails, and a table is printed on standard output. A test
whose steps are cached has passed before; --no-cache runs them again.`,
		Example: `  hbuild test
  hbuild test unit
  hbuild test prod                  the tests that gate the target "prod"
  hbuild test 'api-*' -j 4`,
		GroupID:           groupBuild,
		ValidArgsFunction: a.completeAddresses(&o.module),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.addrs = args
			return a.build(cmd.Context(), &o)
		},
	}
	o.register(a, cmd)
	return cmd
}

// graphOf evaluates what a command builds or tests.
func (p *program) graphOf(o *buildOptions, plats []ocispecs.Platform) (*ir.Graph, error) {
	if o.test {
		return p.checked(p.TestGraph(o.addrs))
	}
	return p.graph(o.addrs, plats)
}
