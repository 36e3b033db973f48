package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// dockerfileOptions are what `hbuild emit dockerfile` takes.
type dockerfileOptions struct {
	emitOptions
	args  string
	check bool
	all   bool
	addrs []string // of --all
}

// ignoreSuffix is what BuildKit adds to a Dockerfile's name to find the ignore
// file that belongs to it alone.
const ignoreSuffix = ".dockerignore"

// What --args takes.
const (
	argsInline = "inline"
	argsKeep   = "keep"
)

// dockerfileSuffix ends the names of the files of --all.
const dockerfileSuffix = ".Dockerfile"

func newEmitDockerfileCmd(a *app) *cobra.Command {
	var o dockerfileOptions
	cmd := &cobra.Command{
		Use:   "dockerfile [ADDR]",
		Short: "Print a target as a Dockerfile",
		Long: `Emit dockerfile prints a Dockerfile that builds what the target builds; its first
lines say what it is made from, how to make it anew, and how to call docker build.
With -o it also writes FILE.dockerignore when the target's context leaves files out.

With --all it writes every target, or those that the addresses name, to a file
NAME.Dockerfile of its own (svc.api.Dockerfile for an instance), in the module's
directory or the one of -o. Either all files are written or none.

With --args keep, a variable that the caller may set stays an ARG with its default
where that changes no digest: in the reference of a base image, and as the whole
value of an entry of args or env. docker build --build-arg then makes what hbuild
--var does; a note says which variables had to be written out, and why.

With --check nothing is written: the exit code is 3, and the differences are
printed, when a file is not what would be written.`,
		Example: `  hbuild emit dockerfile prod
  hbuild emit dockerfile prod -o Dockerfile
  hbuild emit dockerfile prod --args keep
  hbuild emit dockerfile --all -o docker
  hbuild emit dockerfile --all -o docker --check`,
		RunE: func(_ *cobra.Command, args []string) error {
			o.module.provenance = o.args == argsKeep
			if o.all {
				o.addrs = args
				return a.emitAll(&o)
			}
			o.arg(args)
			return a.emitDockerfile(&o)
		},
	}
	o.register(a, cmd)
	one := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if o.all {
			return nil
		}
		return one(cmd, args)
	}
	choice(cmd, cmd.Flags(), &o.args, "args", "what becomes of variables", argsInline, argsKeep)
	cmd.Flags().BoolVar(&o.check, "check", false, "write nothing; exit with 3 when a file is another")
	cmd.Flags().BoolVar(&o.all, "all", false, "write every target to a file of its own; -o names the directory")
	return cmd
}

func (a *app) emitDockerfile(o *dockerfileOptions) error {
	if o.check && (o.output == "" || o.output == "-") {
		return usagef("--check compares with a file; name it with -o FILE.")
	}
	e, err := a.emit(&o.emitOptions)
	if err != nil {
		return err
	}
	defer e.p.Close()
	f, diags := dockerfile.EmitWith(e.graph, e.target, o.options(e.p))
	if err := e.p.report(diags); err != nil {
		return err
	}
	e.p.notes([]generated{{file: f}})
	if o.output == "" || o.output == "-" {
		if f.IgnoreFile != nil {
			fmt.Fprintf(a.stderr, "hbuild: note: the build also needs a file Dockerfile%s; -o FILE writes it.\n", ignoreSuffix)
		}
		return a.write(&o.emitOptions, f.Dockerfile)
	}
	files := []generated{{o.output, f}}
	if o.check {
		return a.checkGenerated(files, nil)
	}
	return a.writeGenerated(files)
}

// options are the emitter's.
func (o *dockerfileOptions) options(p *program) dockerfile.Options {
	return dockerfile.Options{Command: o.command(p), KeepArgs: o.args == argsKeep}
}

// command is the command line that writes the files anew, for their headers: run
// in the module's directory, on any machine. So files are named from there, and
// one outside of the module that was named by an absolute path by its last element.
func (o *dockerfileOptions) command(p *program) string {
	words := []string{"hbuild", "emit", "dockerfile"}
	if o.all {
		words = append(append(words, "--all"), o.addrs...)
	} else {
		words = append(words, fromRoot(p, o.addr))
	}
	words = append(words, o.module.words(p)...)
	if len(o.platform) > 0 {
		words = append(words, "--platform", strings.Join(o.platform, ","))
	}
	if o.args == argsKeep {
		words = append(words, "--args", o.args)
	}
	if o.output != "" && o.output != "-" {
		words = append(words, "-o", p.portable(o.output))
	}
	for i, w := range words {
		words[i] = dockerfile.ShellWord(w)
	}
	return strings.Join(words, " ")
}

// words are the flags as one would give them in the module's directory. Values of
// sensitive variables are left out.
func (f *moduleFlags) words(p *program) (words []string) {
	add := func(flag, value string) { words = append(words, flag, value) }
	for _, name := range f.files {
		add("-f", p.portable(name))
	}
	for _, name := range f.overrides {
		add("--override", p.portable(name))
	}
	for _, v := range f.vars {
		name, _, _ := strings.Cut(v.value, "=")
		switch {
		case v.file:
			add("--var-file", p.portable(v.value))
		case !p.sensitive(name):
			add("--var", v.value)
		}
	}
	for _, set := range f.sets {
		addr, _, _ := strings.Cut(set, "=")
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(addr, "var."), "variable."), ".")
		for _, set := range p.SetsFromRoot(set) {
			if !p.sensitive(name) {
				add("--set", set)
			}
		}
	}
	for _, c := range f.contexts {
		name, value, _ := strings.Cut(c, "=")
		if !strings.Contains(value, "://") && !strings.HasPrefix(value, "git@") {
			value = p.portable(value)
		}
		for _, name := range p.ContextsFromRoot(name) {
			add("--context", name+"="+value)
		}
	}
	return words
}

// fromRoot is an address as it reads in the root module, where all other names in a
// Dockerfile's head are relative to.
func fromRoot(p *program, addr string) string {
	if at := p.Here()[0].Path(); at != "" && !strings.HasPrefix(addr, "/") && !strings.HasPrefix(addr, ".") {
		return p.Here()[0].At(addr)
	}
	return addr
}

// sensitive reports whether a variable of this name may be; one that decides by an
// expression is taken for it.
func (p *program) sensitive(name string) bool {
	v, ok := p.Module.Lookup(lang.KindVariable, name).(*lang.Variable)
	return ok && v.Sensitive != nil
}

// portable names a file from the module's directory, without what only this
// machine has.
func (p *program) portable(name string) string {
	if name == "-" {
		return name
	}
	rel := p.relative(name)
	if filepath.IsAbs(name) && (strings.HasPrefix(rel, "../") || path.IsAbs(rel)) {
		return path.Base(rel)
	}
	return rel
}

// emitAll writes every target to a file of its own, or compares them.
func (a *app) emitAll(o *dockerfileOptions) error {
	if o.output == "-" {
		return usagef("--all writes one file for every target; -o names their directory.")
	}
	plats, err := parsePlatforms(o.platform)
	if err != nil {
		return err
	}
	p, err := a.load(&o.module, forBuild)
	if err != nil {
		return err
	}
	defer p.Close()
	dir := p.Root
	if o.output != "" {
		dir = o.output
	}
	files, err := o.generate(p, dir, plats)
	if err != nil {
		return err
	}
	p.notes(files)
	left, err := leftovers(dir, o.command(p), files)
	if err != nil {
		return err
	}
	if o.check {
		return a.checkGenerated(files, left)
	}
	for _, name := range left {
		fmt.Fprintf(a.stderr, "hbuild: warning: %s was written for a target that is not there any more; remove it.\n", filepath.ToSlash(a.shown(name)))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return usagef("%s: %v.", a.shown(dir), reason(err))
	}
	return a.writeGenerated(files)
}

// generate makes the files of --all, and reports what is wrong with all targets at
// once. Each is evaluated by itself, for two targets that may not be built
// together may still have a file each.
func (o *dockerfileOptions) generate(p *program, dir string, plats []ocispecs.Platform) (files []generated, err error) {
	addrs, diags := p.Targets(o.addrs, plats)
	opt := o.options(p)
	owner := map[string]string{} // by file name, which not every file system tells apart by case
	for _, addr := range addrs {
		g, ds := p.Graph([]string{addr}, plats)
		diags = append(diags, ds...)
		if g == nil {
			continue
		}
		t, err := theTarget(g, addr)
		if err != nil {
			return nil, err
		}
		f, ds := dockerfile.EmitWith(g, t, opt)
		diags = append(diags, ds...)
		name := dockerfileName(t)
		if other := owner[strings.ToLower(name)]; other != "" {
			return nil, usagef("%s and %s would both be written to %s; emit one of them by itself with -o FILE.", other, t.Addr, name)
		}
		owner[strings.ToLower(name)] = t.Addr
		files = append(files, generated{filepath.Join(dir, name), f})
	}
	if len(addrs) == 0 && !diags.HasErrors() {
		return nil, usagef("The module has no targets to write.")
	}
	return files, p.report(diag.Sort(diags))
}

// notes says which variables are no ARGs, each once for a reason.
func (p *program) notes(files []generated) {
	said := map[string]bool{}
	for _, f := range files {
		for _, v := range f.file.Inlined {
			at := ""
			if v.At.Filename != "" {
				at = fmt.Sprintf("%s:%d: ", p.shown(v.At.Filename), v.At.Start.Line)
			}
			note := fmt.Sprintf("hbuild: note: var.%s stays no ARG: %s%s.\n", v.Variable, at, v.Why)
			if !said[note] {
				said[note] = true
				fmt.Fprint(p.a.stderr, note)
			}
		}
	}
}

// dockerfileName is the file of a target: api/prod is api.prod.Dockerfile, and
// `svc["a/b"]` is svc.a%2Fb.Dockerfile.
func dockerfileName(t *ir.Target) string {
	var b strings.Builder
	key := false
	for _, c := range []byte(t.Name) {
		switch {
		case c == '[':
			key = true
			b.WriteByte('.')
		case c == ']':
			key = false
		case key && c == '"':
		case c == '/' && !key:
			b.WriteByte('.')
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String() + dockerfileSuffix
}
