package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/importer"
	"github.com/hbuild/hbuild/lang"
)

// importOptions are what `hbuild import` takes.
type importOptions struct {
	file   string
	output string
	target string
	args   []string
	force  bool
}

func newImportCmd(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import DOCKERFILE",
		Short: "Print a Dockerfile as HCL",
		Long: `Import writes a Dockerfile as HCL that builds the same thing from the same cache:
ARGs become variables, stages and their steps stay, and every stage is an address,
stage.NAME. With -o it writes DIR/hbuild.hcl; the directory is the build's context.

The exit code is 2 when BuildKit refuses the Dockerfile, or hbuild cannot say it.`,
		Example: `  hbuild import Dockerfile
  hbuild import Dockerfile -o .
  hbuild import Dockerfile --target test --build-arg GO_VERSION=1.26
  cat Dockerfile | hbuild import -`,
		GroupID: groupFiles,
		Args:    argsError(1, 1, "one Dockerfile"),
		RunE: func(_ *cobra.Command, args []string) error {
			o.file = args[0]
			return a.importFile(&o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "write `DIR`/hbuild.hcl in place of standard output")
	f.StringVar(&o.target, "target", "", "import `STAGE` and what it is made from; default is then that stage")
	f.StringArrayVar(&o.args, "build-arg", nil, "make `NAME=VALUE` the default of the argument's variable; repeatable")
	f.BoolVar(&o.force, "force", false, "replace an hbuild.hcl that is there")
	must(cmd.MarkFlagDirname("output"))
	must(cmd.RegisterFlagCompletionFunc("target", cobra.NoFileCompletions))
	must(cmd.RegisterFlagCompletionFunc("build-arg", cobra.NoFileCompletions))
	return cmd
}

func (a *app) importFile(o *importOptions) error {
	opt := importer.Options{Target: o.target, Args: map[string]string{}}
	for _, kv := range o.args {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return usagef("--build-arg %s: write NAME=VALUE.", kv)
		}
		opt.Args[k] = v
	}
	data, err := a.readDockerfile(o, &opt)
	if err != nil {
		return err
	}
	res, diags := importer.Import(data, opt)
	files := map[string][]byte{opt.Name: data}
	if err := a.report(a.stderr, formatText, diags, files, nil); err != nil {
		return err
	}
	return a.writeImported(o, res.HCL)
}

// readDockerfile reads the file, and finds the ignore file that belongs to it
// alone.
func (a *app) readDockerfile(o *importOptions, opt *importer.Options) ([]byte, error) {
	if o.file == "-" {
		opt.Name = "Dockerfile"
		data, err := io.ReadAll(a.stdin)
		return data, err
	}
	opt.Name = filepath.ToSlash(a.shown(o.file))
	data, err := os.ReadFile(o.file)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, usagef("%s: %v.", o.file, err)
	}
	if _, err := os.Stat(o.file + ignoreSuffix); err == nil {
		dir := o.output
		if dir == "" {
			dir = filepath.Dir(o.file)
		}
		rel, err := filepath.Rel(dir, o.file+ignoreSuffix)
		if err == nil && filepath.IsLocal(rel) {
			opt.IgnoreFile = filepath.ToSlash(rel)
		} else {
			fmt.Fprintf(a.stderr, "warning: %s is outside of %s, so it is not used; copy its patterns into context \"default\".\n", o.file+ignoreSuffix, dir)
		}
	}
	return data, nil
}

func (a *app) writeImported(o *importOptions, text []byte) error {
	if o.output == "" || o.output == "-" {
		_, err := a.stdout.Write(text)
		return err
	}
	name := filepath.Join(o.output, lang.MainFile)
	if _, err := os.Stat(name); err == nil && !o.force {
		return usagef("%s is there already; --force replaces it.", a.shown(name))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(o.output, 0o755); err != nil {
		return err
	}
	return writeFile(name, text, 0o644)
}
