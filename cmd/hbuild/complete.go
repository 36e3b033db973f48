package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/view"
	"github.com/hbuild/hbuild/lang"
)

// completer is the type of cobra's completion functions.
type completer = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// withModule completes from the module that the flags so far name; mistakes in it
// do not matter.
func (a *app) withModule(f *moduleFlags, fn func(p *program, args []string, word string) []string) completer {
	return func(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		for _, name := range f.files {
			if name == "-" { // what the shell's user types is not the module
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
		}
		p, err := a.load(f, forCheck)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer p.Close()
		return fn(p, args, word), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeAddresses completes what can be built, with descriptions.
func (a *app) completeAddresses(f *moduleFlags) completer {
	return a.withModule(f, func(p *program, args []string, word string) []string {
		var heads []view.Head
		l := view.NewList(p.Program, false)
		for _, g := range l.Groups {
			heads = append(heads, g.Head)
		}
		for _, t := range l.Targets {
			heads = append(heads, t.Head)
		}
		for _, t := range l.Tests {
			heads = append(heads, t.Head)
		}
		for _, s := range l.Stages {
			heads = append(heads, s.Head)
		}
		for _, x := range l.Artifacts {
			heads = append(heads, x.Head)
		}
		for _, m := range l.Modules {
			heads = append(heads, m.Head)
			for _, t := range m.Targets {
				heads = append(heads, view.Head{Address: t})
			}
		}
		given := map[string]bool{}
		for _, arg := range args {
			given[arg] = true
		}
		var out []string
		for _, h := range heads {
			if !given[h.Address] && strings.HasPrefix(h.Address, word) {
				out = append(out, describe(h.Address, h.Description))
			}
		}
		return out
	})
}

// completeAddress completes the first argument alone.
func (a *app) completeAddress(f *moduleFlags) completer {
	all := a.completeAddresses(f)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all(cmd, args, word)
	}
}

// completeVars completes NAME= of --var.
func (a *app) completeVars(f *moduleFlags) completer {
	return noSpace(a.withModule(f, func(p *program, _ []string, word string) []string {
		if strings.Contains(word, "=") {
			return nil
		}
		var out []string
		for _, n := range p.Module.Decls {
			if v, ok := n.(*lang.Variable); ok && strings.HasPrefix(v.Name, word) {
				out = append(out, describe(v.Name+"=", view.Description(p.Program, n)))
			}
		}
		return out
	}))
}

// completeSets completes ADDR.ATTR= of --set.
func (a *app) completeSets(f *moduleFlags) completer {
	return noSpace(a.withModule(f, func(p *program, _ []string, word string) []string {
		if strings.Contains(word, "=") {
			return nil
		}
		var out []string
		for _, n := range p.Here()[0].Module().Decls {
			d := n.Base()
			if d.NameRange.Filename == "" || d.Kind == lang.KindLocal {
				continue
			}
			addr := string(d.Kind) + "." + d.Name
			if !strings.HasPrefix(word, addr+".") {
				if strings.HasPrefix(addr, word) {
					out = append(out, addr+".")
				}
				continue
			}
			for _, field := range lang.SchemaOf(n).Fields {
				if s := addr + "." + field.Name; strings.HasPrefix(s, word) {
					out = append(out, describe(s+"=", field.Doc))
				}
			}
		}
		return out
	}))
}

// completeContexts completes NAME= of --context.
func (a *app) completeContexts(f *moduleFlags) completer {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if strings.Contains(word, "=") {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return noSpace(a.withModule(f, func(p *program, _ []string, word string) []string {
			var out []string
			for _, name := range p.Here()[0].Module().Names(lang.KindContext) {
				if strings.HasPrefix(name, word) {
					out = append(out, name+"=")
				}
			}
			return out
		}))(cmd, args, word)
	}
}

// noSpace lets the shell go on in the same word.
func noSpace(c completer) completer {
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		out, dir := c(cmd, args, word)
		return out, dir | cobra.ShellCompDirectiveNoSpace
	}
}

// describe adds a description to a completion, in cobra's form.
func describe(word, text string) string {
	if text == "" {
		return word
	}
	return word + "\t" + text
}
