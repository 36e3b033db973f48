package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hbuild/hbuild/lang/diag"
)

// choiceValue is a flag that takes one of a few words.
type choiceValue struct {
	p     *string
	words []string
}

func (c choiceValue) String() string { return *c.p }

func (c choiceValue) Type() string { return "string" }

func (c choiceValue) Set(s string) error {
	for _, w := range c.words {
		if s == w {
			*c.p = s
			return nil
		}
	}
	return fmt.Errorf("it is one of %s.%s", strings.Join(c.words, ", "), diag.DidYouMean(s, c.words))
}

// choice adds a flag that takes one of words, the first unless it is given.
func choice(cmd *cobra.Command, flags *pflag.FlagSet, p *string, name, usage string, words ...string) {
	*p = words[0]
	flags.Var(choiceValue{p, words}, name, usage+"; `WORD` is one of "+strings.Join(words, ", "))
	must(cmd.RegisterFlagCompletionFunc(name, fixedCompletion(words...)))
}
