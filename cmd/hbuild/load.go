package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/patternmatcher/ignorefile"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// moduleFlags are the flags that say which module is read, and with which values.
type moduleFlags struct {
	files     []string // -f
	overrides []string // --override
	sets      []string // --set
	contexts  []string // --context
	vars      []varFlag
	epoch     string // --source-date-epoch, of commands that have it
	// provenance asks for what becomes of variables; of commands that have --args.
	provenance bool
	levels     lint.Levels // --allow and --deny, of commands that have them
}

// varFlag is one --var or --var-file; one list holds both, because their order on
// the command line decides.
type varFlag struct {
	file  bool
	value string
}

// varValue appends to the list of the two flags.
type varValue struct {
	list *[]varFlag
	file bool
}

func (v varValue) String() string { return "" }

func (v varValue) Type() string { return "string" }

func (v varValue) Set(s string) error {
	if !v.file {
		if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
			return errors.New("it is not NAME=VALUE")
		}
	}
	*v.list = append(*v.list, varFlag{v.file, s})
	return nil
}

// register adds the flags to a command, with their completion.
func (f *moduleFlags) register(a *app, cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVarP(&f.files, "file", "f", nil, "read `FILE` in place of the module's files, - for standard input; repeatable")
	fs.Var(varValue{&f.vars, false}, "var", "give a variable a value: `NAME=VALUE`; repeatable")
	fs.Var(varValue{&f.vars, true}, "var-file", "read values of variables from `FILE`; repeatable")
	fs.StringArrayVar(&f.sets, "set", nil, "change an attribute: `ADDR.ATTR=VALUE`, += appends; repeatable")
	fs.StringArrayVar(&f.overrides, "override", nil, "apply the override file `FILE`; repeatable")
	fs.StringArrayVar(&f.contexts, "context", nil, "take `NAME=DIR` for a context, a stage or an image, NAME::OS/ARCH=... on one platform; also docker-image://REF, oci-layout://DIR, a git or http address, - for a tar archive; repeatable")
	must(cmd.RegisterFlagCompletionFunc("var", a.completeVars(f)))
	must(cmd.RegisterFlagCompletionFunc("set", a.completeSets(f)))
	must(cmd.RegisterFlagCompletionFunc("context", a.completeContexts(f)))
	must(cmd.MarkFlagFilename("file", "hcl"))
	must(cmd.MarkFlagFilename("var-file", "hcl"))
	must(cmd.MarkFlagFilename("override", "hcl"))
}

// registerEpoch adds --source-date-epoch.
func (f *moduleFlags) registerEpoch(a *app, cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.epoch, "source-date-epoch", "", "give images and files the time `TIME`: seconds, \"context\" for that of the build context, or a context's or a stage's name")
	must(cmd.RegisterFlagCompletionFunc("source-date-epoch", cobra.NoFileCompletions))
}

// program is a module that was loaded, and where it is on this machine.
type program struct {
	*compiler.Program
	// Root is the directory, absolute, that names of source files, host files of
	// targets and contexts' paths are relative to.
	Root string
	// FS holds Root; symbolic links cannot leave it.
	FS fs.FS

	found bool // whether there are hbuild files to read
	a     *app
	root  *os.Root
}

// loadMode says what a command needs of a module.
type loadMode int

const (
	// forBuild needs values for the required variables that are reached.
	forBuild loadMode = iota
	// forCheck takes a required variable without a value as unknown.
	forCheck
)

// load reads the module that the flags and the working directory name. The error
// is about the command line or unreadable files; mistakes in the module are the
// program's diagnostics. The caller closes the program.
func (a *app) load(f *moduleFlags, mode loadMode) (*program, error) {
	p, opt, err := a.open(f, mode)
	if err != nil {
		return nil, err
	}
	if !p.found {
		return nil, errors.Join(p.noModule(), p.Close())
	}
	p.Program = compiler.Load(p.FS, ".", opt)
	return p, nil
}

// noModule says that there are no hbuild files.
func (p *program) noModule() error {
	return p.a.report(p.a.stderr, formatText, hcl.Diagnostics{diag.Error(diag.NoModule, hcl.Range{}, "No hbuild files here",
		fmt.Sprintf("Neither %s nor a directory above it has %s or a file *%s. Write one, or name a module's directory with -C DIR or a file with -f FILE.", p.Root, lang.MainFile, lang.FileSuffix))}, nil, nil)
}

// open finds the module and reads what the flags name, without loading it.
func (a *app) open(f *moduleFlags, mode loadMode) (*program, compiler.Options, error) {
	var opt compiler.Options
	if err := a.enter(); err != nil {
		return nil, opt, err
	}
	dir, found, err := f.moduleDir(a.dir != "")
	if err != nil {
		return nil, opt, err
	}
	stand := dir
	if len(f.files) == 0 {
		dir = workspace(dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, opt, usagef("%s: %v.", a.shown(dir), reason(err))
	}
	p := &program{Root: dir, FS: newRootFS(root), found: found, a: a, root: root}
	if opt, err = a.options(f, p, mode); err != nil {
		return nil, opt, errors.Join(err, p.Close())
	}
	if opt.Stand, err = p.below(stand); err == nil && len(f.files) == 0 {
		var wd string
		if wd, err = os.Getwd(); err == nil {
			opt.Dir, err = p.below(wd)
		}
	}
	return p, opt, err
}

// below is a directory of this machine as one of the compiled file system.
func (p *program) below(dir string) (string, error) {
	rel, err := filepath.Rel(p.Root, dir)
	return filepath.ToSlash(rel), err
}

// workspace is the nearest directory, at a module's or above, that is the root of a
// workspace; the module's own when there is none.
func workspace(module string) string {
	for dir := module; ; dir = filepath.Dir(dir) {
		if lang.IsWorkspace(os.DirFS(dir), ".") {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return module
		}
	}
}

// Close releases the module's directory.
func (p *program) Close() error { return p.root.Close() }

// moduleDir finds the module's directory: with -f the first file's own, unless -C
// names one, else the nearest at or above the working directory that has hbuild
// files. Where none has any, it is the working directory and found is false.
func (f *moduleFlags) moduleDir(given bool) (dir string, found bool, err error) {
	wd, err := os.Getwd()
	if err != nil {
		return "", false, err
	}
	if len(f.files) > 0 {
		if given || f.files[0] == "-" {
			return wd, true, nil
		}
		dir, err = filepath.Abs(filepath.Dir(f.files[0]))
		return dir, true, err
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if lang.IsModule(os.DirFS(dir), ".") {
			return dir, true, nil
		}
		if dir == filepath.Dir(dir) {
			return wd, false, nil
		}
	}
}

// options reads what the flags name.
func (a *app) options(f *moduleFlags, p *program, mode loadMode) (opt compiler.Options, err error) {
	opt.Sets = f.sets
	opt.Levels = f.levels
	opt.Provenance = f.provenance
	opt.Epoch = f.epoch
	opt.LookupEnv = os.LookupEnv
	opt.BuildPlatform = hostPlatform()
	opt.Check = mode == forCheck
	opt.Git = func() *eval.Git { return a.git(p.Root) }
	stdin := false
	read := func(flag, name string) (lang.Source, error) {
		if name == "-" {
			if stdin {
				return lang.Source{}, usagef("Standard input (-) can be read once only.")
			}
			stdin = true
			data, err := io.ReadAll(a.stdin)
			return lang.Source{Name: "<stdin>", Data: data}, err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return lang.Source{}, usagef("%s %s: %v.", flag, name, reason(err))
		}
		return lang.Source{Name: p.relative(name), Data: data}, nil
	}
	if opt.Sources, err = readAll(read, "-f", f.files); err != nil {
		return opt, err
	}
	if opt.Overrides, err = readAll(read, "--override", f.overrides); err != nil {
		return opt, err
	}
	for _, v := range f.vars {
		if !v.file {
			name, value, _ := strings.Cut(v.value, "=")
			opt.Vars = append(opt.Vars, eval.VarSource{Name: name, Source: lang.Source{Data: []byte(value)}, Origin: "--var"})
			continue
		}
		src, err := read("--var-file", v.value)
		if err != nil {
			return opt, err
		}
		opt.Vars = append(opt.Vars, eval.VarSource{Source: src, Origin: "--var-file " + v.value})
	}
	if opt.Contexts, err = contextValues(f.contexts); err == nil && stdin && opt.Contexts["default"] == "-" {
		err = usagef("Standard input (-) can be read once only.")
	}
	return opt, err
}

func readAll(read func(flag, name string) (lang.Source, error), flag string, names []string) (out []lang.Source, err error) {
	for _, name := range names {
		src, err := read(flag, name)
		if err != nil {
			return nil, err
		}
		out = append(out, src)
	}
	return out, nil
}

// contextValues reads --context flags, in the forms of docker build's
// --build-context; directories become absolute.
func contextValues(flags []string) (map[string]string, error) {
	out := map[string]string{}
	for _, flag := range flags {
		name, value, ok := strings.Cut(flag, "=")
		if !ok || name == "" || value == "" {
			return nil, usagef("--context %q is not NAME=DIR.", flag)
		}
		base, platform, err := contextName(name)
		if err == nil {
			out[base+platform], err = contextValue(base, value)
		}
		if err != nil {
			return nil, usagef("--context %s: %v.", flag, reason(err))
		}
	}
	return out, nil
}

// contextName takes NAME::PLATFORM apart; the platform keeps its "::".
func contextName(s string) (name, platform string, err error) {
	i := strings.LastIndex(s, "::")
	if i < 0 || !strings.Contains(s[i:], "/") { // an IPv6 address of a registry has it, too
		return s, "", nil
	}
	p, err := platforms.Parse(s[i+2:])
	switch {
	case err != nil:
		return "", "", fmt.Errorf("%q is not OS/ARCH[/VARIANT], such as linux/arm64", s[i+2:])
	case s[:i] == "default":
		return "", "", errors.New("context.default is the same for all platforms")
	}
	return s[:i], "::" + platforms.FormatAll(platforms.Normalize(p)), nil
}

func contextValue(name, value string) (string, error) {
	scheme, rest, remote := strings.Cut(value, "://")
	switch {
	case value == "-":
		if name != "default" {
			return "", errors.New("standard input is for context.default only")
		}
		return value, nil
	case remote && scheme == "oci-layout":
		dir, err := filepath.Abs(rest)
		return scheme + "://" + filepath.ToSlash(dir), err
	case remote && scheme == "docker-image":
		if _, err := reference.ParseNormalizedNamed(rest); err != nil {
			return "", fmt.Errorf("%q is no image reference: %w", rest, err)
		}
		return value, nil
	case remote || strings.HasPrefix(value, "git@"):
		if remote && !slices.Contains([]string{"http", "https", "git", "ssh"}, scheme) {
			return "", fmt.Errorf("%s:// is none of docker-image, oci-layout, git, ssh, http and https", scheme)
		}
		if scheme == "ssh" && name != "default" {
			return "", errors.New("BuildKit takes git@HOST:PATH here, and ssh:// for context.default only")
		}
		return value, nil
	}
	abs, err := filepath.Abs(value)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory")
	}
	return filepath.ToSlash(abs), err
}

// checkContexts refuses a --context whose name nothing has, once all that counts
// is evaluated.
func (p *program) checkContexts() error {
	var names []string
	for _, m := range p.Evaluator().Everyone() {
		for _, kind := range []lang.Kind{lang.KindContext, lang.KindStage} {
			for _, n := range m.Module().Names(kind) {
				names = append(names, m.At(n))
			}
		}
	}
	for _, name := range p.Evaluator().UnusedContexts() {
		return usagef("--context names %q, and the module has no such context.%s Nor is it a stage, or an image() that is reached. There are: %s.", name, diag.DidYouMean(name, names), diag.List(names, 20))
	}
	return nil
}

// ownPatterns reads the ignore files of directories that the caller gives.
func ownPatterns(g *ir.Graph) error {
	all := slices.Clone(g.Contexts)
	for _, t := range g.Targets {
		if t.Main != nil && !slices.Contains(all, t.Main) {
			all = append(all, t.Main)
		}
	}
	for _, c := range all {
		if c.Given != "" || !filepath.IsAbs(filepath.FromSlash(c.Path)) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(filepath.FromSlash(c.Path), ".dockerignore"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			c.Patterns, err = ignorefile.ReadAll(bytes.NewReader(data))
			c.IgnoreFile = ".dockerignore"
		}
		if err != nil {
			return usagef("--context %s: .dockerignore: %v.", c.Name, reason(err))
		}
	}
	return nil
}

// relative names a file as ranges do: relative to the module.
func (p *program) relative(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		return filepath.ToSlash(name)
	}
	rel, err := filepath.Rel(p.Root, abs)
	if err != nil {
		return filepath.ToSlash(abs)
	}
	return filepath.ToSlash(rel)
}

// ContextDir is a context's directory on this machine, absolute.
func (p *program) ContextDir(c *ir.Context) string {
	dir := filepath.FromSlash(c.Path)
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(p.Root, dir)
}

// HostPath is where a file of a target's `files` lies on this machine, absolute.
func (p *program) HostPath(rel string) string {
	return filepath.Join(p.Root, filepath.FromSlash(rel))
}

// graph evaluates what the addresses reach; see [program.checked].
func (p *program) graph(addrs []string, plats []ocispecs.Platform) (*ir.Graph, error) {
	return p.checked(p.Graph(addrs, plats))
}

// checked prints what is wrong with what was evaluated; the error is of that kind
// when the graph is nil.
func (p *program) checked(g *ir.Graph, diags hcl.Diagnostics) (*ir.Graph, error) {
	if err := p.report(diags); err != nil {
		return nil, err
	}
	if err := p.checkContexts(); err != nil {
		return nil, err
	}
	return g, ownPatterns(g)
}

// hostPlatform is where steps run: Linux on this machine's processor.
func hostPlatform() ocispecs.Platform {
	p := platforms.Normalize(platforms.DefaultSpec())
	if runtime.GOOS != "windows" {
		p.OS = "linux"
	}
	p.OSVersion, p.OSFeatures = "", nil
	return p
}

// parsePlatforms reads --platform flags, each of which may hold several,
// separated by commas.
func parsePlatforms(flags []string) ([]ocispecs.Platform, error) {
	var out []ocispecs.Platform
	for _, flag := range flags {
		for _, s := range strings.Split(flag, ",") {
			// A platform alone, "linux" or "arm64", would be completed from this machine.
			p, err := platforms.Parse(strings.TrimSpace(s))
			if err != nil || !strings.Contains(s, "/") {
				return nil, usagef("--platform %q is not OS/ARCH[/VARIANT], such as linux/arm64.", s)
			}
			out = append(out, platforms.Normalize(p))
		}
	}
	return out, nil
}

// reason is an error of the file system without the name that the message has.
func reason(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
