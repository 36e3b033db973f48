package main

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// checkOptions are what `hbuild check` takes.
type checkOptions struct {
	module moduleFlags
	format string
	addrs  []string
	allow  []string
	deny   []string
}

func newCheckCmd(a *app) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:   "check [ADDR...]",
		Short: "Find mistakes, without building",
		Long: `Check reads the module and evaluates all of it, or what the addresses reach, and
prints every mistake and warning. A required variable may have no value.

The exit code is 2 when there are mistakes; warnings alone are fine. A comment
"# hbuild: allow CODE" or "# hbuild: deny CODE" above a block, or at the head of a
file, drops warnings or makes errors of them; so do the flags, for the module.`,
		Example: `  hbuild check
  hbuild check prod --var go_version=1.26
  hbuild check --format github      annotations for a pull request`,
		GroupID:           groupFiles,
		ValidArgsFunction: a.completeAddresses(&o.module),
		RunE: func(_ *cobra.Command, args []string) error {
			o.addrs = args
			return a.check(&o)
		},
	}
	o.module.register(a, cmd)
	registerFormat(cmd, &o.format)
	cmd.Flags().StringSliceVar(&o.allow, "allow", nil, "drop the warning `CODE`, or all; repeatable")
	cmd.Flags().StringSliceVar(&o.deny, "deny", nil, "make an error of the warning `CODE`, or of all; repeatable")
	return cmd
}

// levels reads the flags about warnings; what is denied wins.
func (o *checkOptions) levels() lint.Levels {
	l := lint.Levels{}
	for _, c := range o.allow {
		l[diag.Code(c)] = "allow"
	}
	for _, c := range o.deny {
		l[diag.Code(c)] = "deny"
	}
	return l
}

func (a *app) check(o *checkOptions) error {
	collectHardly()
	o.module.levels = o.levels()
	p, err := a.load(&o.module, forCheck)
	if err != nil {
		return err
	}
	defer p.Close()
	var diags hcl.Diagnostics
	if len(o.addrs) > 0 {
		_, diags = p.Graph(o.addrs, nil)
	} else {
		diags = p.Check()
	}
	if err := p.checkContexts(); err != nil {
		return err
	}
	if o.format != formatText {
		return p.reportAs(a.stdout, o.format, diags)
	}
	if err := p.report(diags); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "No mistakes: %s.\n", p.counted())
	return err
}

// counted says how much was checked.
func (p *program) counted() string {
	modules, targets, stages, tests := p.Evaluator().Modules(), 0, 0, 0
	for _, m := range modules {
		targets += len(m.Names(lang.KindTarget))
		stages += len(m.Names(lang.KindStage))
		tests += len(m.Names(lang.KindTest))
	}
	text := count(targets, "target") + ", " + count(stages, "stage")
	if tests > 0 {
		text += ", " + count(tests, "test")
	}
	if len(modules) > 1 {
		text += " in " + count(len(modules), "module")
	}
	return text
}

// count says a number of things.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
