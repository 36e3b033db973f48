package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hbuild/hbuild/lang/diag"
)

// app is what a command may use of the process.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer

	color    string // --color
	dir      string // -C
	startDir string // the working directory before -C; what is printed is relative to it
	entered  bool
}

// The groups of `hbuild --help`.
const (
	groupBuild = "build"
	groupFiles = "files"
	groupEmit  = "emit"
)

// newRootCmd makes the tree of commands: the one place that lists them.
func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "hbuild",
		Short: "Build images and files from typed HCL",
		Long: `hbuild builds container images and files from typed HCL, on BuildKit.

It reads hbuild.hcl and *.hbuild.hcl of the nearest directory at or above the
working directory. Only "build", "test", "engine" and, to look up base images, "emit llb"
use a daemon.`,
		Example: `  hbuild check                      find mistakes, in milliseconds
  hbuild list                       show what can be built
  hbuild build prod                 build the target "prod"
  hbuild emit dockerfile prod       print it as a Dockerfile`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if name := cmd.Name(); name == cobra.ShellCompRequestCmd || name == cobra.ShellCompNoDescRequestCmd {
				return nil // the flags of the line that is completed are not parsed yet
			}
			if cmd.Flags().Lookup("engine") == nil {
				// Only what talks to an engine has something to cancel; all else ends
				// at once, even while it reads standard input.
				signal.Reset(os.Interrupt, syscall.SIGTERM)
			}
			return a.enter()
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVarP(&a.dir, "chdir", "C", "", "run as if started in `DIR`")
	choice(root, root.PersistentFlags(), &a.color, "color", "colour in messages; NO_COLOR counts", "auto", "always", "never")
	must(root.MarkPersistentFlagDirname("chdir"))
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupBuild, Title: "Build:"},
		&cobra.Group{ID: groupFiles, Title: "Look at and change files:"},
		&cobra.Group{ID: groupEmit, Title: "Emit:"},
	)
	root.AddCommand(
		newCheckCmd(a),
		newFmtCmd(a),
		newListCmd(a),
		newGraphCmd(a),
		newEvalCmd(a),
		newExplainCmd(a),
		newBuildCmd(a),
		newTestCmd(a),
		newEngineCmd(a),
		newEmitCmd(a),
		newImportCmd(a),
		newVersionCmd(a),
	)
	asParent(root)
	// What only has commands is never called with flags alone.
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}", 1))
	root.InitDefaultHelpCmd()
	return root
}

// asParent makes a command that only has commands answer a wrong one with a
// suggestion, and none with its help.
func asParent(cmd *cobra.Command) {
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		var names []string
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				names = append(names, c.Name())
			}
		}
		msg := fmt.Sprintf("No command of %s is called %q.%s", cmd.CommandPath(), args[0], diag.DidYouMean(args[0], names))
		if diag.Nearest(args[0], names) == "" {
			msg += " It has " + diag.List(names, 30) + "."
		}
		return &usageError{msg: msg, hint: cmd.CommandPath()}
	}
}

// flagError says what is wrong with a flag, and which one was meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				names = append(names, f.Name)
			}
		})
		name := unknown.GetSpecifiedName()
		flag := "--" + name
		if unknown.GetSpecifiedShortnames() != "" {
			flag = "-" + name
		}
		msg := fmt.Sprintf("No flag of %s is called %s.", cmd.CommandPath(), flag)
		if near := diag.Nearest(name, names); near != "" && len(name) > 1 {
			msg += fmt.Sprintf(" Did you mean --%s?", near)
		}
		return &usageError{msg: msg, hint: cmd.CommandPath()}
	}
	var invalid *pflag.InvalidValueError
	var number *strconv.NumError
	if errors.As(err, &invalid) && errors.As(err, &number) {
		f := invalid.GetFlag()
		names := "--" + f.Name
		if f.Shorthand != "" {
			names = "-" + f.Shorthand + ", " + names
		}
		what := "a whole number"
		switch {
		case f.Value.Type() == "bool":
			what = "true or false"
		case errors.Is(number, strconv.ErrRange):
			what = "a smaller number"
		}
		return &usageError{msg: fmt.Sprintf("%s takes %s, not %q.", names, what, invalid.GetValue()), hint: cmd.CommandPath()}
	}
	return &usageError{msg: sentence(err.Error()), hint: cmd.CommandPath()}
}

// argsError replaces cobra's checks of the number of arguments: what says in
// words what the command takes.
func argsError(min, max int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= min && (max < 0 || len(args) <= max) {
			return nil
		}
		return &usageError{msg: fmt.Sprintf("%s takes %s, not %s.", cmd.CommandPath(), what, count(len(args), "argument")), hint: cmd.CommandPath()}
	}
}

// sentence makes an error's text a sentence.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?") {
		s += "."
	}
	return s
}

// enter goes to the directory of -C, once.
func (a *app) enter() error {
	if a.entered {
		return nil
	}
	a.entered = true
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	a.startDir = wd
	if a.dir == "" {
		return nil
	}
	if err := os.Chdir(a.dir); err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return usagef("-C %s: %v.", a.dir, err)
	}
	return nil
}

// shown is how a path is printed: relative to where the user stands.
func (a *app) shown(path string) string {
	if !filepath.IsAbs(path) {
		abs, err := filepath.Abs(path)
		if err != nil {
			return path
		}
		path = abs
	}
	if rel, err := filepath.Rel(a.startDir, path); err == nil && len(rel) <= len(path) {
		return rel
	}
	return path
}

// printError says why the command failed, unless that was said.
func (a *app) printError(ctx context.Context, err error) {
	if err == nil {
		return
	}
	if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
		err = cause
	}
	var exit *exitError
	if errors.As(err, &exit) && exit.Err == nil {
		return
	}
	fmt.Fprintf(a.stderr, "hbuild: %s\n", strings.TrimPrefix(err.Error(), "hbuild: "))
}

// fixedCompletion completes one of the given words.
func fixedCompletion(words ...string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// must is for calls that fail only when hbuild itself is wrong.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
