package main

import (
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/ir"
)

// emitOptions are what the emit commands share.
type emitOptions struct {
	module   moduleFlags
	platform []string
	output   string
	addr     string
}

func newEmitCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "emit",
		Short:   "Print a target as a Dockerfile or as LLB",
		GroupID: groupEmit,
		Example: "  hbuild emit dockerfile prod -o Dockerfile\n  hbuild emit llb prod | buildctl debug dump-llb",
	}
	asParent(cmd)
	cmd.AddCommand(newEmitDockerfileCmd(a), newEmitLLBCmd(a), newEmitIRCmd(a))
	return cmd
}

// register adds what the emit commands share; ADDR is `default` when it is left
// out.
func (o *emitOptions) register(a *app, cmd *cobra.Command) {
	o.module.register(a, cmd)
	o.module.registerEpoch(a, cmd)
	cmd.Args = argsError(0, 1, "one address")
	cmd.ValidArgsFunction = a.completeAddress(&o.module)
	cmd.Flags().StringSliceVar(&o.platform, "platform", nil, "emit for `OS/ARCH`, in place of what the target says")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write `FILE`, whole or not at all, in place of standard output")
	must(cmd.RegisterFlagCompletionFunc("platform", cobra.NoFileCompletions))
}

// arg takes the address from a command's arguments.
func (o *emitOptions) arg(args []string) {
	o.addr = "default"
	if len(args) == 1 {
		o.addr = args[0]
	}
}

// emitted is a graph and the one target of it that is emitted.
type emitted struct {
	p      *program
	graph  *ir.Graph
	target *ir.Target
}

// emit evaluates the target that is to be emitted. The caller closes the program.
func (a *app) emit(o *emitOptions) (e *emitted, err error) {
	plats, err := parsePlatforms(o.platform)
	if err != nil {
		return nil, err
	}
	p, err := a.load(&o.module, forBuild)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	g, err := p.graph([]string{o.addr}, plats)
	if err != nil {
		return nil, err
	}
	t, err := theTarget(g, o.addr)
	return &emitted{p, g, t}, err
}

// theTarget is the one target that an address stands for; those that it requires
// are not it.
func theTarget(g *ir.Graph, addr string) (*ir.Target, error) {
	required := map[*ir.Target]bool{}
	for _, t := range g.Targets {
		for _, r := range t.Requires {
			required[r] = true
		}
	}
	var found []*ir.Target
	var names []string
	for _, t := range g.Targets {
		if !required[t] {
			found, names = append(found, t), append(names, t.Name)
		}
	}
	if len(found) == 0 {
		return nil, usagef("%s for no target.", standsFor([]string{addr}))
	}
	if len(found) != 1 {
		return nil, usagef("One target is emitted at a time, and %q is %d: %s.", addr, len(found), strings.Join(names, ", "))
	}
	return found[0], nil
}

// write writes what was emitted to the file of -o or to standard output.
func (a *app) write(o *emitOptions, data []byte) error {
	if o.output == "" || o.output == "-" {
		_, err := a.stdout.Write(data)
		return err
	}
	return writeFile(o.output, data, 0o644)
}

func newEmitIRCmd(a *app) *cobra.Command {
	var o emitOptions
	cmd := &cobra.Command{
		Use:   "ir [ADDR]",
		Short: "Print what a target is after evaluation, for debugging",
		Long: `Emit ir prints the stages and steps that both the Dockerfile and the LLB are made
from. The form is for people and may change.`,
		Example: "  hbuild emit ir prod",
		RunE: func(_ *cobra.Command, args []string) error {
			o.arg(args)
			e, err := a.emit(&o)
			if err != nil {
				return err
			}
			defer e.p.Close()
			return a.write(&o, []byte(ir.Print(e.graph)))
		},
	}
	o.register(a, cmd)
	return cmd
}

// platformNames lists platforms for a message.
func platformNames(builds []*ir.Build, format func(ocispecs.Platform) string) string {
	var names []string
	for _, b := range builds {
		if b.Platform != nil {
			names = append(names, format(*b.Platform))
		}
	}
	return strings.Join(names, ", ")
}
