package frontend

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

// module is the caller's module, loaded.
type module struct {
	*compiler.Program
	src  *dockerui.Source // the file that was named
	main *mainContext
}

// isModuleFile reports whether a file is one of a module's: then all of them
// count, as on the command line of hbuild. Another file (a Dockerfile with a
// `# syntax=` line, standard input) is the whole module.
func isModuleFile(name string) bool {
	return name == lang.MainFile || strings.HasSuffix(name, lang.FileSuffix) && name != lang.FileSuffix
}

// load reads the module: the hbuild files from where the named file is, and all
// else, when it is first asked for, from the build context. With check a
// required variable without a value is unknown.
func (b *builder) load(ctx context.Context, check bool) (*module, error) {
	src, files, err := b.hbuildFiles(ctx)
	if err != nil {
		return nil, err
	}
	m := &module{src: src}
	if m.main, err = b.mainContext(ctx); err != nil {
		return nil, err
	}
	fsys := &contextFS{tree: m.main.tree, own: map[string]func() ([]byte, error){
		dockerui.DefaultDockerignoreName: func() ([]byte, error) { return b.ignoreFile(ctx) },
	}}
	var opt compiler.Options
	// Files that are given stand alone, so those that go with a module are given too.
	opt.Sources = moduleSources(path.Base(b.call.filename), src.Data, files)
	if data, ok := files[lang.OverrideFile]; ok {
		opt.Overrides = []lang.Source{{Name: lang.OverrideFile, Data: data}}
	}
	// The compiler looks for one in any case, and a look into the context is a round
	// trip.
	fsys.own[lang.VarsFile] = func() ([]byte, error) { return files[lang.VarsFile], nil }
	if data, ok := files[lang.VarsFile]; ok {
		opt.Vars = []eval.VarSource{{Source: lang.Source{Name: lang.VarsFile, Data: data}, Origin: lang.VarsFile}}
	}
	opt.Vars = append(opt.Vars, b.vars(opt.Sources)...)
	opt.Check = check
	opt.Levels = b.levels()
	opt.BuildPlatform = platforms.Normalize(b.platforms()[0])
	opt.Git = func() *eval.Git { return b.git(ctx, m.main) }
	opt.Contexts = map[string]string{}
	opt.Epoch = b.call.epoch
	m.Program = compiler.Load(fsys, ".", opt)
	// The compiler keeps the map, and asks it when it comes to a name.
	b.matchContexts(m, opt.Contexts)
	return m, nil
}

// moduleSources are a module's files in the order of the compiler: hbuild.hcl
// first.
func moduleSources(base string, data []byte, files map[string][]byte) []lang.Source {
	all := map[string][]byte{base: data}
	for name, data := range files {
		if isModuleFile(name) {
			all[name] = data
		}
	}
	var out []lang.Source
	for name, data := range all {
		out = append(out, lang.Source{Name: name, Data: data})
	}
	slices.SortFunc(out, func(x, y lang.Source) int {
		if (x.Name == lang.MainFile) != (y.Name == lang.MainFile) {
			if x.Name == lang.MainFile {
				return -1
			}
			return 1
		}
		return strings.Compare(x.Name, y.Name)
	})
	return out
}

// hbuildFiles asks for the named file and those of its module beside it, by their
// names there. One transfer brings them all, and nothing else.
func (b *builder) hbuildFiles(ctx context.Context) (*dockerui.Source, map[string][]byte, error) {
	dir, base := path.Split(b.call.filename)
	follow := []string{b.call.filename, b.call.filename + ".dockerignore"}
	if base == dockerui.DefaultDockerfileName {
		follow = append(follow, dir+strings.ToLower(base))
	}
	if isModuleFile(base) {
		for _, name := range []string{lang.MainFile, "*" + lang.FileSuffix, lang.VarsFile, lang.OverrideFile} {
			follow = append(follow, dir+name)
		}
	}
	src, err := b.ui.ReadEntrypoint(ctx, "HCL", bk.FollowPaths(follow))
	if err != nil || !isModuleFile(base) {
		return src, nil, err
	}
	files, err := b.besides(ctx, src, path.Clean("./"+dir))
	return src, files, err
}

// besides reads the files of a module in the directory of the named one.
func (b *builder) besides(ctx context.Context, src *dockerui.Source, dir string) (map[string][]byte, error) {
	res, err := b.client.Solve(ctx, gateway.SolveRequest{Definition: src.Definition.ToPB()})
	if err != nil {
		return nil, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	t := refTree{ctx: ctx, ref: ref}
	entries, err := t.list(dir)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, e := range entries {
		name := path.Base(e.Path)
		if !isModuleFile(name) && name != lang.VarsFile && name != lang.OverrideFile {
			continue
		}
		if files[name], err = t.read(path.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
}

// ignoreFile is the ignore file of the main context: that of the named file wins
// over the context's own, and a remote context has none. Nil is no file.
func (b *builder) ignoreFile(ctx context.Context) ([]byte, error) {
	patterns, err := b.ui.DockerIgnorePatterns(ctx)
	if err != nil || len(patterns) == 0 {
		return nil, err
	}
	return []byte(strings.Join(patterns, "\n")), nil
}

// vars are the build arguments that are variables: all but BuildKit's own, and
// those too where the module declares a variable of the name.
func (b *builder) vars(sources []lang.Source) []eval.VarSource {
	var out []eval.VarSource
	for _, name := range slices.Sorted(maps.Keys(b.call.args)) {
		if predefined(name) && !declares(sources, name) {
			continue
		}
		out = append(out, eval.VarSource{Name: name, Source: lang.Source{Data: []byte(b.call.args[name])}, Origin: "--build-arg"})
	}
	return out
}

// declares reports whether a variable block of the name is there.
func declares(sources []lang.Source, name string) bool {
	for _, src := range sources {
		if !bytes.Contains(src.Data, []byte(name)) {
			continue
		}
		if body, _ := lang.Parse(src); body != nil {
			for _, block := range body.Blocks {
				if block.Type == string(lang.KindVariable) && len(block.Labels) == 1 && block.Labels[0] == name {
					return true
				}
			}
		}
	}
	return false
}

// levels are what --build-arg BUILDKIT_DOCKERFILE_CHECK says of warnings:
// skip=CODE,… or skip=all drops them, error=true makes errors of them.
func (b *builder) levels() lint.Levels {
	l := lint.Levels{}
	c := b.ui.LinterConfig
	if c == nil {
		return l
	}
	if c.ReturnAsError {
		l["all"] = "deny"
	}
	if c.SkipAll {
		l["all"] = "allow"
	}
	for _, code := range c.SkipRules {
		l[diag.Code(code)] = "allow"
	}
	return l
}

// warnings are those about what is built, as for a Dockerfile.
func (b *builder) warnings(m *module, g *ir.Graph) hcl.Diagnostics {
	return b.level(m, lint.Check(m.Evaluator().Modules(), g.Stages))
}

// level carries out what the files and the caller say of warnings. Only the caller
// makes errors of them: what the file denies, `--check` refuses.
func (b *builder) level(m *module, diags hcl.Diagnostics) hcl.Diagnostics {
	levels := b.levels()
	was := map[*hcl.Diagnostic]bool{}
	for _, d := range diags {
		was[d] = d.Severity == hcl.DiagError
	}
	diags = lint.Apply(m.Evaluator().Modules(), diags, levels)
	for i, d := range diags {
		if d.Severity == hcl.DiagError && !was[d] && levels["all"] != "deny" {
			w := *d
			w.Severity = hcl.DiagWarning
			diags[i] = &w
		}
	}
	return diags
}

// git describes the checkout: of a build context that is a repository the engine
// knows the commit; else it is what the client says. Nil is an engine that cannot
// tell, or no repository.
func (b *builder) git(ctx context.Context, main *mainContext) *eval.Git {
	if main.state == nil {
		return b.call.git()
	}
	found, err := llb.GitSource(ctx, b.client, *main.state)
	if err != nil || found == nil {
		return b.call.git()
	}
	commit := found.CommitChecksum // Checksum is an annotated tag's own
	if commit == "" {
		commit = found.Checksum
	}
	g := &eval.Git{Commit: commit, Short: commit[:min(7, len(commit))]}
	g.Branch = strings.TrimPrefix(found.Ref, "refs/heads/")
	g.Tag = strings.TrimPrefix(found.Ref, "refs/tags/")
	if g.Branch == found.Ref {
		g.Branch = ""
	}
	if g.Tag == found.Ref {
		g.Tag = ""
	}
	if t, err := llb.CommitTime(found.CommitObject); err == nil && t != nil {
		g.Time = t.UTC().Format(time.RFC3339)
	}
	return g
}

// git is what the client says of its checkout: buildx sends the commit, with
// "-dirty" behind it where it looked.
func (c *call) git() *eval.Git {
	commit, dirty := strings.CutSuffix(c.revision, "-dirty")
	if commit == "" {
		return nil
	}
	return &eval.Git{Commit: commit, Short: commit[:min(7, len(commit))], Dirty: dirty}
}
