package main

import (
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/view"
)

// listOptions are what `hbuild list` takes.
type listOptions struct {
	module    moduleFlags
	format    string
	functions bool
}

func newListCmd(a *app) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Show what the module has: targets, stages, variables ...",
		Long: `List shows the module's groups, targets, stages, artifacts, variables and inputs
with their descriptions. The first word of a line is what other commands take as
an address.

The JSON form has "format_version", then a list for each kind; fields may be
added to it, and none is taken away.`,
		Example: `  hbuild list
  hbuild list --format json | jq -r '.targets[].address'
  hbuild list --functions           the built-in functions, too`,
		GroupID:           groupFiles,
		Args:              argsError(0, 0, "no arguments"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(*cobra.Command, []string) error { return a.list(&o) },
	}
	o.module.register(a, cmd)
	choice(cmd, cmd.Flags(), &o.format, "format", "how the list is printed", formatText, formatJSON)
	cmd.Flags().BoolVar(&o.functions, "functions", false, "list the built-in functions, too")
	return cmd
}

// list prints what could be read, mistakes or not, and then those.
func (a *app) list(o *listOptions) error {
	p, err := a.load(&o.module, forCheck)
	if err != nil {
		return err
	}
	defer p.Close()
	l := view.NewList(p.Program, o.functions)
	if o.format == formatJSON {
		err = writeJSON(a.stdout, l)
	} else {
		err = l.WriteText(a.stdout)
	}
	if err != nil {
		return err
	}
	return p.report(p.Diagnostics())
}
