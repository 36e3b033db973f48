package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"os"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/compiler/view"
	"github.com/hbuild/hbuild/llb/build"
	"github.com/hbuild/hbuild/llb/engine"
	"github.com/hbuild/hbuild/llb/solve"
)

// buildOptions are what `hbuild build` takes, and in part `hbuild test`.
type buildOptions struct {
	module    moduleFlags
	engine    string
	addrs     []string
	secrets   []string
	ssh       []string
	platforms []string
	push      bool
	noPush    bool
	load      bool
	outputs   []string
	steps     stepFlags
	progress  string
	metadata  string
	allow     []string
	dryRun    bool
	parallel  int
	keepGoing bool
	atomic    bool
	test      bool // it is `hbuild test`
}

func newBuildCmd(a *app) *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build [ADDR...]",
		Short: "Build targets on BuildKit",
		Long: `Build builds what the addresses name, "default" without one, in one session with
the engine: images and host files of targets, or a stage to stop at.

An image goes where --push, --load or -o say; otherwise it stays in the engine.
A target's files are written into the module, whole or not at all. Tests that a
target requires run beside its steps; unless they pass it is neither pushed nor
written, and the other targets are.`,
		Example: `  hbuild build prod
  hbuild build prod bin --push
  hbuild build prod -o type=oci,dest=app.tar
  hbuild build stage.test           stop at a stage
  hbuild build '*' --platform linux/arm64 --load`,
		GroupID:           groupBuild,
		ValidArgsFunction: a.completeAddresses(&o.module),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.addrs = args
			return a.build(cmd.Context(), &o)
		},
	}
	o.register(a, cmd)
	o.module.registerEpoch(a, cmd)
	fs := cmd.Flags()
	fs.StringSliceVar(&o.platforms, "platform", nil, "build for `OS/ARCH`, in place of what targets say; repeatable")
	fs.BoolVar(&o.push, "push", false, "push all images to the registries of their tags")
	fs.BoolVar(&o.noPush, "no-push", false, "push nothing, whatever targets say")
	fs.BoolVar(&o.load, "load", false, "load images into this machine's Docker or Podman")
	fs.StringArrayVarP(&o.outputs, "output", "o", nil, "export: `type=oci|docker|tar|local|image|registry,dest=...`; repeatable")
	fs.BoolVar(&o.keepGoing, "keep-going", false, "after a failure build what does not depend on it")
	fs.BoolVar(&o.atomic, "atomic", false, "export, push and write nothing unless every target builds and every test passes")
	return cmd
}

// register adds the flags that building and testing share.
func (o *buildOptions) register(a *app, cmd *cobra.Command) {
	o.module.register(a, cmd)
	registerEngine(cmd, &o.engine)
	fs := cmd.Flags()
	fs.StringArrayVar(&o.secrets, "secret", nil, "give a secret: `id=ID[,src=FILE|,env=NAME]`; repeatable")
	fs.StringArrayVar(&o.ssh, "ssh", nil, "give an ssh agent or keys: `ID[=SOCKET|KEY,...]`; repeatable")
	o.steps.register(cmd)
	choice(cmd, fs, &o.progress, "progress", "how progress is shown", "auto", "tty", "plain", "quiet", "rawjson")
	fs.StringVar(&o.metadata, "metadata-file", "", "write what was done to `FILE`, as JSON")
	fs.StringSliceVar(&o.allow, "allow", nil, "let steps use `ENTITLEMENT`: network.host, security.insecure, device[=NAME]; repeatable")
	fs.BoolVar(&o.dryRun, "dry-run", false, "show what would be done, without an engine")
	fs.IntVarP(&o.parallel, "jobs", "j", 0, "solve at most `N` targets and tests at once")
	must(cmd.MarkFlagFilename("metadata-file"))
}

// registerEngine adds --engine.
func registerEngine(cmd *cobra.Command, p *string) {
	cmd.Flags().StringVar(p, "engine", "", "build on `ADDRESS`: unix://, tcp://, docker-container://, ssh://, ..., \"docker\" or \"private\"")
	must(cmd.RegisterFlagCompletionFunc("engine", fixedCompletion("docker", "private", "unix://", "tcp://", "docker-container://", "ssh://")))
}

func (a *app) build(ctx context.Context, o *buildOptions) error {
	opt, err := o.options(a)
	if err != nil {
		return err
	}
	plats, err := parsePlatforms(o.platforms)
	if err != nil {
		return err
	}
	var search *engine.Search
	if !o.dryRun {
		search = a.look(ctx, o)
		defer search.Stop()
	}
	p, err := a.load(&o.module, forBuild)
	if err != nil {
		return err
	}
	defer p.Close()
	g, err := p.graphOf(o, plats)
	if err != nil {
		return err
	}
	if err := o.steps.apply(p, g); err != nil {
		return err
	}
	if len(g.Targets) == 0 {
		// Targets that are chosen by what has changed may be none: no mistake, but
		// nobody should take it for a build.
		fmt.Fprintf(a.stderr, "hbuild: warning: nothing is built: %s for no target\n", standsFor(o.addrs))
		return nil
	}
	if o.dryRun {
		return view.WritePlan(a.stdout, g)
	}
	opt.Root = p.Root
	if err := p.report(build.Missing(g, opt)); err != nil {
		return err
	}
	return a.buildGraph(ctx, p, g, o, opt, search)
}

// standsFor begins a sentence about what addresses mean.
func standsFor(addrs []string) string {
	switch len(addrs) {
	case 0:
		return `"default" stands`
	case 1:
		return fmt.Sprintf("%q stands", addrs[0])
	}
	return fmt.Sprintf("%q stand", addrs)
}

// options reads the flags that the solver takes.
func (o *buildOptions) options(a *app) (opt build.Options, err error) {
	opt = build.Options{
		Push: o.push, NoPush: o.noPush, Load: o.load, Outputs: o.outputs, Allow: o.allow,
		Parallel: o.parallel, KeepGoing: o.keepGoing, Atomic: o.atomic, MetadataFile: o.metadata,
		Progress: solve.Progress{Mode: o.progress, Out: a.stderr}, LookupEnv: os.LookupEnv,
	}
	opt.Stdin = a.stdin
	if terminal(a.stdout) == nil {
		opt.Stdout = a.stdout // an archive is nothing to look at
	}
	if o.steps.options.Network == ir.NetHost {
		opt.Allow = append(opt.Allow, "network.host") // the caller asks for it by name
	}
	if o.parallel < 0 {
		return opt, usagef("-j, --jobs takes a number above zero, not %d.", o.parallel)
	}
	if o.push && o.noPush {
		return opt, usagef("--push and --no-push exclude each other.")
	}
	for _, flag := range o.outputs {
		if err := solve.CheckOutput(flag); err != nil {
			return opt, usagef("--%v.", err)
		}
	}
	for _, flag := range o.secrets {
		s, err := solve.ParseSecret(flag)
		if err != nil {
			return opt, usagef("--%v.", err)
		}
		opt.Secrets = append(opt.Secrets, s)
	}
	for _, flag := range o.ssh {
		s, err := solve.ParseSSH(flag)
		if err != nil {
			return opt, usagef("--%v.", err)
		}
		opt.SSH = append(opt.SSH, s)
	}
	return opt, nil
}

// look begins to look for an engine while the files are compiled.
func (a *app) look(ctx context.Context, o *buildOptions) *engine.Search {
	// BuildKit's client libraries log to standard error by themselves; what matters
	// of it comes back as an error.
	stdlog.SetOutput(io.Discard)
	logrus.SetOutput(io.Discard)
	log := a.stderr
	if o.progress == "rawjson" {
		log = io.Discard
	}
	return engine.Look(ctx, engine.Options{Address: o.engine, Log: log})
}

// buildGraph builds on the engine that was looked for, and says what was made.
func (a *app) buildGraph(ctx context.Context, p *program, g *ir.Graph, o *buildOptions, opt build.Options, search *engine.Search) error {
	collectSooner()
	report := p.report
	if o.progress == "rawjson" {
		report = p.reportLine
	}
	e, err := search.Engine(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	c, err := e.Client(ctx)
	if err != nil {
		return &exitError{Code: exitUnreachable, Err: err}
	}
	defer c.Close()
	opt.Dialer = e.Dialer(c)
	res, diags, err := build.Run(ctx, c, g, opt)
	if err == nil {
		if err := report(p.allowed(diags)); err != nil {
			return err
		}
	}
	if res != nil && o.progress != "rawjson" && !o.test {
		res.Summary(a.stderr)
	}
	if err != nil && ctx.Err() == nil {
		err = buildFailed(report, g, res, err)
	}
	if res != nil && o.test && len(res.Jobs) > 0 {
		res.TestSummary(a.stdout)
	}
	return err
}

// allowed leaves out the warnings that the files switch off. What they make errors
// of, `hbuild check` refuses: a build that is done is done.
func (p *program) allowed(diags hcl.Diagnostics) hcl.Diagnostics {
	return slices.DeleteFunc(slices.Clone(diags), func(d *hcl.Diagnostic) bool {
		return len(lint.Apply(p.Evaluator().Modules(), hcl.Diagnostics{d}, nil)) == 0
	})
}

// reportLine prints diagnostics as one line of JSON, among the lines of progress.
func (p *program) reportLine(diags hcl.Diagnostics) error {
	if len(diags) == 0 {
		return nil
	}
	var doc, line bytes.Buffer
	err := p.reportAs(&doc, formatJSON, diags)
	if json.Compact(&line, doc.Bytes()) == nil {
		fmt.Fprintln(p.a.stderr, line.String())
	}
	return err
}

// buildFailed shows why, and makes the exit code of it.
func buildFailed(report func(hcl.Diagnostics) error, g *ir.Graph, res *solve.Result, err error) error {
	diags := build.FailureOf(res, err, g)
	if len(diags) == 0 || report(diags) == nil {
		return err // there was no place to say it at
	}
	code := exitFailed
	switch {
	case build.Unreachable(err):
		code = exitUnreachable
	case errors.Is(err, solve.ErrRequest), build.Misconfigured(err):
		code = exitConfig
	}
	return &exitError{Code: code}
}
