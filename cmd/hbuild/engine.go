package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/llb/engine"
)

// engineOptions are what the engine commands take.
type engineOptions struct {
	engine string
	format string
	follow bool
	all    bool
	older  time.Duration
	keep   string
}

func newEngineCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "engine",
		Short:   "Look at and manage the BuildKit that builds run on",
		GroupID: groupBuild,
		Long: `A build uses the engine that --engine, HBUILD_ENGINE or BUILDKIT_HOST names, else
a Docker daemon's, else the system's buildkitd, else a private one of its own
that it starts and leaves running.`,
	}
	asParent(cmd)
	cmd.AddCommand(newEngineStatusCmd(a), newEngineStartCmd(a), newEngineStopCmd(a), newEngineLogsCmd(a), newEnginePruneCmd(a))
	return cmd
}

func (o *engineOptions) find(a *app) engine.Options {
	return engine.Options{Address: o.engine, Log: a.stderr}
}

func newEngineStatusCmd(a *app) *cobra.Command {
	var o engineOptions
	cmd := &cobra.Command{
		Use: "status", Short: "Show which engine a build would use", Args: argsError(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := engine.Status(cmd.Context(), o.find(a))
			if err != nil {
				return err
			}
			if o.format == formatJSON {
				enc := json.NewEncoder(a.stdout)
				enc.SetIndent("", "  ")
				return enc.Encode(r)
			}
			return r.WriteText(a.stdout)
		},
	}
	registerEngine(cmd, &o.engine)
	choice(cmd, cmd.Flags(), &o.format, "format", "how it is printed", formatText, formatJSON)
	return cmd
}

func newEngineStartCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "start", Short: "Start the private engine", Args: argsError(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, started, err := engine.Start(cmd.Context(), engine.Options{Log: a.stderr})
			if err != nil {
				return &exitError{Code: exitUnreachable, Err: err}
			}
			what := "runs already"
			if started {
				what = "started"
			}
			_, err = fmt.Fprintf(a.stdout, "%s: %s\n", what, e.Describe())
			return err
		},
	}
}

func newEngineStopCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "stop", Short: "Stop the private engine", Args: argsError(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			stopped, err := engine.Stop(cmd.Context(), engine.Options{Log: a.stderr})
			if err != nil {
				return err
			}
			what := "No private engine runs."
			if stopped {
				what = "The private engine has stopped."
			}
			_, err = fmt.Fprintln(a.stdout, what)
			return err
		},
	}
}

func newEngineLogsCmd(a *app) *cobra.Command {
	var o engineOptions
	cmd := &cobra.Command{
		Use: "logs", Short: "Print the private engine's log", Args: argsError(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return engine.Logs(cmd.Context(), engine.Options{Log: a.stderr}, a.stdout, o.follow)
		},
	}
	cmd.Flags().BoolVarP(&o.follow, "follow", "f", false, "go on as it grows")
	return cmd
}

func newEnginePruneCmd(a *app) *cobra.Command {
	var o engineOptions
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove cached results from the engine", Args: argsError(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			po := engine.PruneOptions{All: o.all, Older: o.older}
			if o.keep != "" {
				n, err := units.RAMInBytes(o.keep)
				if err != nil {
					return usagef("--keep %q is no size, such as 10g.", o.keep)
				}
				po.Keep = n
			}
			return engine.Prune(cmd.Context(), o.find(a), po, a.stdout)
		},
	}
	registerEngine(cmd, &o.engine)
	cmd.Flags().BoolVar(&o.all, "all", false, "also what BuildKit would keep")
	cmd.Flags().DurationVar(&o.older, "older", 0, "keep what was used within this `TIME`, such as 24h")
	cmd.Flags().StringVar(&o.keep, "keep", "", "keep up to `SIZE`, such as 10g")
	return cmd
}
