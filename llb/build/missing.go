package build

import (
	"fmt"
	"os"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// Missing reports the required secrets and ssh agents of a graph that nothing
// gives: neither a flag nor what their blocks name. What a flag gives and is not
// there is an error of the call, which names the flag. Two secrets of one id that are
// read from different places are reported too, unless a flag gives one value to both.
func Missing(g *ir.Graph, opt Options) (out hcl.Diagnostics) {
	given := map[string]bool{}
	for _, s := range opt.Secrets {
		given[s.ID] = true
	}
	first := map[string]*ir.Secret{}
	for _, s := range g.Secrets {
		if one := first[s.ID]; one != nil && !given[s.ID] {
			out = append(out, twoSources(one, s))
			continue
		}
		first[s.ID] = s
		if why := opt.missing(s); s.Required && !given[s.ID] && why != "" {
			out = append(out, diag.Error(MissingSecret, s.Range, fmt.Sprintf("The secret %q has no value", s.ID), why,
				diag.WithHelp("Give it one with --secret id=%s,src=FILE or --secret id=%s,env=NAME; required = false in its block makes it optional.", s.ID, s.ID)))
		}
	}
	agents := map[string]bool{}
	for _, s := range opt.SSH {
		agents[s.ID] = true
	}
	for _, s := range g.SSH {
		if s.Required && !agents[s.ID] && !opt.hasAgent() {
			out = append(out, diag.Error(MissingSecret, s.Range, fmt.Sprintf("There is no ssh agent for %q", s.ID), "SSH_AUTH_SOCK is not set, so no agent runs that could be offered to the steps.",
				diag.WithHelp("Start one (ssh-agent), or give a key with --ssh %s=KEYFILE; required = false in its block makes it optional.", s.ID)))
		}
	}
	return out
}

// twoSources reports two secrets of one id: steps know a secret by its id alone, so
// one of them would get the other's value.
func twoSources(one, other *ir.Secret) *hcl.Diagnostic {
	place := func(s *ir.Secret) string {
		if s.Env != "" {
			return "the environment variable " + s.Env
		}
		return "the file " + s.File
	}
	return diag.Error(TwoSecrets, other.Range, fmt.Sprintf("Two secrets have the id %q", other.ID),
		fmt.Sprintf("One is read from %s, the other from %s, and a step gets what its id names.", place(one), place(other)),
		diag.WithRelated(one.Range, "the one from %s", place(one)),
		diag.WithHelp("Give one of them an id of its own (id = …), or give both one value with --secret id=%s,src=FILE.", other.ID))
}

// missing says why a secret's block gives no value, or nothing.
func (o Options) missing(s *ir.Secret) string {
	switch {
	case s.Env != "":
		if o.LookupEnv != nil {
			if _, ok := o.LookupEnv(s.Env); ok {
				return ""
			}
		}
		return fmt.Sprintf("The environment variable %s is not set.", s.Env)
	case s.File != "":
		if _, err := os.Stat(o.path(s.File)); err != nil {
			return fmt.Sprintf("There is no file %s.", s.File)
		}
		return ""
	}
	return "No flag gives one, and its block has neither env nor file."
}
