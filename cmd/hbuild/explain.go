package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/lang/diag"
)

func newExplainCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [CODE]",
		Short: "Say what an error code means, with an example",
		Long: `Explain prints what a code in an error or a warning means, an example of the
mistake, and what to write instead. Without a code it lists all of them.`,
		Example:           "  hbuild explain HB2004\n  hbuild explain",
		GroupID:           groupFiles,
		Args:              argsError(0, 1, "one code, such as HB2004"),
		ValidArgsFunction: completeCodes,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.listCodes()
			}
			return a.explain(args[0])
		},
	}
}

// explain prints the page of one code.
func (a *app) explain(code string) error {
	text, ok := diag.Explain(code)
	if !ok {
		var codes []string
		for _, e := range diag.Catalogue() {
			codes = append(codes, string(e.Code))
		}
		return &usageError{msg: fmt.Sprintf("No code is called %q.%s", code, diag.DidYouMean(strings.ToUpper(code), codes)), hint: "hbuild explain"}
	}
	_, err := fmt.Fprintln(a.stdout, strings.TrimRight(text, "\n"))
	return err
}

func (a *app) listCodes() error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	for _, e := range diag.Catalogue() {
		fmt.Fprintf(w, "%s\t%s\n", e.Code, e.Title)
	}
	return w.Flush()
}

// completeCodes completes error codes, with their titles.
func completeCodes(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, e := range diag.Catalogue() {
		if strings.HasPrefix(string(e.Code), strings.ToUpper(word)) {
			out = append(out, describe(string(e.Code), e.Title))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
