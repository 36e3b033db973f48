package main

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/view"
	"github.com/hbuild/hbuild/lang"
)

// evalOptions are what `hbuild eval` takes.
type evalOptions struct {
	module moduleFlags
	format string
	expr   string
}

func newEvalCmd(a *app) *cobra.Command {
	var o evalOptions
	cmd := &cobra.Command{
		Use:   "eval EXPR",
		Short: "Print the value of an expression",
		Long: `Eval evaluates an expression with the module's variables, locals and functions and
prints its value: as HCL, or as JSON with --format json, which only plain values
(text, numbers, lists and the like) can be.`,
		Example: `  hbuild eval 'var.go_version'
  hbuild eval 'upper("x")'
  hbuild eval --format json 'local.tags'`,
		GroupID:           groupFiles,
		Args:              argsError(1, 1, "one expression, in quotes"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(_ *cobra.Command, args []string) error {
			o.expr = args[0]
			return a.eval(&o)
		},
	}
	o.module.register(a, cmd)
	choice(cmd, cmd.Flags(), &o.format, "format", "how the value is printed", "hcl", formatJSON)
	return cmd
}

func (a *app) eval(o *evalOptions) error {
	p, opt, err := a.open(&o.module, forBuild)
	if err != nil {
		return err
	}
	defer p.Close()
	if !p.found {
		opt.Sources = []lang.Source{{Name: "<nothing>"}} // an expression needs no module
	}
	out, diags := view.Eval(p.FS, ".", opt, lang.Source{Name: "<expression>", Data: []byte(o.expr)})
	if err := a.report(a.stderr, formatText, diags, out.Files, p.shown); err != nil {
		return err
	}
	if o.format == formatJSON {
		return a.printJSON(out.Value)
	}
	_, err = fmt.Fprintln(a.stdout, eval.Render(out.Value))
	return err
}

// printJSON prints a value that has nothing to build with and nothing secret.
func (a *app) printJSON(v cty.Value) error {
	var bad error
	_ = cty.Walk(v, func(path cty.Path, el cty.Value) (bool, error) {
		switch {
		case bad != nil:
		case el.IsMarked():
			bad = usagef("The value is sensitive; it is not printed.")
		case !el.IsKnown():
			bad = usagef("The value is not known.")
		case eval.FromCty(el) != nil:
			bad = usagef("%s is a value to build with, which JSON cannot hold; leave out --format json.", eval.FromCty(el).Describe())
		}
		return bad == nil, nil
	})
	if bad != nil {
		return bad
	}
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return err
	}
	// Decoded and encoded again, for cty escapes < and > and has no indentation.
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var plain any
	if err := dec.Decode(&plain); err != nil {
		return err
	}
	return writeJSON(a.stdout, plain)
}
