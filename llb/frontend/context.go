package frontend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/patternmatcher/ignorefile"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

// mainContext is the build context: the module's directory.
type mainContext struct {
	tree  tree
	state *bk.State // nil for a directory of the caller's machine
}

// mainContext finds the build context, without asking for any of it.
func (b *builder) mainContext(ctx context.Context) (*mainContext, error) {
	if !b.remoteContext(ctx) {
		return &mainContext{tree: &localTree{
			ctx: ctx, client: b.client, marshal: []bk.ConstraintsOpt{bk.WithCaps(b.opts.LLBCaps)},
			name: dockerui.DefaultLocalNameContext, session: b.session(dockerui.DefaultLocalNameContext),
			dirs: map[string]map[string]*fstypes.Stat{}, walked: map[string]bool{}, links: map[string]string{}, files: map[string][]byte{}, sent: map[string]gateway.Reference{},
		}}, nil
	}
	st, err := b.ui.MainContext(ctx)
	if err != nil {
		return nil, err
	}
	return &mainContext{tree: &remoteTree{ctx: ctx, client: b.client, state: *st}, state: st}, nil
}

// remoteContext reports whether the build context is not a local directory: a
// git repository, a URL or another build's result.
func (b *builder) remoteContext(ctx context.Context) bool {
	key := dockerui.DefaultLocalNameContext
	if k := b.opts.Opts["contextkey"]; k != "" {
		key = k
	}
	ref := b.opts.Opts[key]
	if _, ok, _ := dockerui.DetectGitContext(ref, nil); ok {
		return true
	}
	if _, _, ok := dockerui.DetectHTTPContext(ref); ok {
		return true
	}
	inputs, err := b.client.Inputs(ctx)
	_, ok := inputs[dockerui.DefaultLocalNameContext]
	return err == nil && ok
}

// remoteTree is a tree that is made when it is first looked at.
type remoteTree struct {
	ctx    context.Context
	client gateway.Client
	state  bk.State
	mu     sync.Mutex
	made   *refTree
}

func (t *remoteTree) get() (refTree, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.made == nil {
		def, err := t.state.Marshal(t.ctx)
		if err != nil {
			return refTree{}, err
		}
		res, err := t.client.Solve(t.ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
		if err != nil {
			return refTree{}, err
		}
		ref, err := res.SingleRef()
		if err != nil {
			return refTree{}, err
		}
		t.made = &refTree{t.ctx, ref}
	}
	return *t.made, nil
}

func (t *remoteTree) stat(name string) (*fstypes.Stat, error) {
	r, err := t.get()
	if err != nil {
		return nil, err
	}
	return r.stat(name)
}

func (t *remoteTree) read(name string) ([]byte, error) {
	r, err := t.get()
	if err != nil {
		return nil, err
	}
	return r.read(name)
}

func (t *remoteTree) list(dir string) ([]*fstypes.Stat, error) {
	r, err := t.get()
	if err != nil {
		return nil, err
	}
	return r.list(dir)
}

// replaced marks the path of a context that the caller replaced; the option's name
// follows. It is absolute, for nothing of it is in the build context.
const replaced = "/context:"

// matchContexts fills the map of replaced contexts, stages and images. The
// frontend's own image may have been replaced so too, which is none of the
// module's.
func (b *builder) matchContexts(m *module, into map[string]string) {
	names := m.Module.Names(lang.KindContext)
	for _, given := range b.call.contexts {
		whole := withoutPlatform(given)
		base, key, keyed := strings.Cut(whole, ".")
		i := slices.IndexFunc(names, func(n string) bool { return n == whole || strings.EqualFold(n, base) })
		switch {
		case i >= 0:
			name := names[i]
			if keyed {
				name += "." + key
			}
			into[name+given[len(whole):]] = replaced + given
		case !b.isFrontend(whole):
			into[given] = replaced + given
		}
	}
}

// withoutPlatform takes the platform off NAME::PLATFORM, a context for one platform.
func withoutPlatform(given string) string {
	if i := strings.LastIndex(given, "::"); i > 0 && strings.Contains(given[i:], "/") {
		return given[:i]
	}
	return given
}

// checkContexts refuses a --build-context that nothing evaluated so far has a name
// for: it would do nothing.
func (b *builder) checkContexts(m *module) error {
	var names []string
	for _, ev := range m.Evaluator().Everyone() {
		for _, name := range append(ev.Module().Names(lang.KindContext), ev.Module().Names(lang.KindStage)...) {
			names = append(names, ev.At(name))
		}
	}
	for _, given := range m.Evaluator().UnusedContexts() {
		return m.failure(hcl.Diagnostics{diag.Error(diag.BadFlag, hcl.Range{}, fmt.Sprintf("No context is called %q", given),
			fmt.Sprintf("--build-context %s gives one, and the module has no such context.%s Nor is it a stage, or an image() that is reached. There are: %s.", given, diag.DidYouMean(given, names), diag.List(names, 20)))})
	}
	return nil
}

// isFrontend reports whether a context's name is the image of this frontend.
func (b *builder) isFrontend(name string) bool {
	full := func(s string) string {
		n, err := reference.ParseNormalizedNamed(s)
		if err != nil {
			return s
		}
		return reference.FamiliarName(n)
	}
	source := b.opts.Opts["source"]
	return source != "" && full(source) == full(name)
}

// localContexts say where the contexts of a graph come from.
type localContexts struct {
	b      *builder
	main   *mainContext
	graph  *ir.Graph
	locals map[*ir.Context]string // local sources by context, where it is not its name
}

// contexts looks at the contexts of a graph, and sets the patterns of those that
// the caller replaced by directories.
func (b *builder) contexts(ctx context.Context, m *module, g *ir.Graph) (*localContexts, error) {
	lc := &localContexts{b: b, main: m.main, graph: g, locals: map[*ir.Context]string{}}
	for _, c := range g.Contexts {
		given, ok := strings.CutPrefix(c.Path, replaced)
		if !ok {
			continue
		}
		value := b.opts.Opts["context:"+given]
		// Lowering knows one session. A bake target's directories may be in several:
		// then BuildKit's own library, which looks them up, makes the source.
		if local, isLocal := strings.CutPrefix(value, "local:"); isLocal && b.session(local) == b.session(dockerui.DefaultLocalNameContext) {
			lc.locals[c] = local
			var err error
			if c.Patterns, err = b.ownIgnoreFile(ctx, local, given); err != nil {
				return nil, err
			}
		}
	}
	return lc, nil
}

// ownIgnoreFile reads the ignore file of a directory that replaces a context.
func (b *builder) ownIgnoreFile(ctx context.Context, local, name string) ([]string, error) {
	t := &localTree{ctx: ctx, client: b.client, session: b.session(local), name: local, marshal: []bk.ConstraintsOpt{bk.WithCaps(b.opts.LLBCaps)}}
	ref, err := t.solve(
		bk.FollowPaths([]string{dockerui.DefaultDockerignoreName}), bk.SharedKeyHint("context:"+name+"-"+dockerui.DefaultDockerignoreName),
		bk.WithCustomName("[context "+name+"] load "+dockerui.DefaultDockerignoreName), bk.Differ(bk.DiffNone, false),
	)
	if err != nil {
		return nil, err
	}
	data, err := refTree{ctx, ref}.read(dockerui.DefaultDockerignoreName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ignorefile.ReadAll(bytes.NewReader(data))
}

// name is llb.Options.LocalName.
func (lc *localContexts) name(c *ir.Context) string { return lc.locals[c] }

// isGiven is llb.Options.IsGiven: what the caller gives, and is no directory.
func (lc *localContexts) isGiven(c *ir.Context) bool {
	_, local := lc.locals[c]
	return !local && strings.HasPrefix(c.Path, replaced)
}

// given is llb.Options.Given.
func (lc *localContexts) given(ctx context.Context, c *ir.Context, use llb.Use) (*llb.Given, error) {
	name, ok := strings.CutPrefix(c.Path, replaced)
	if !ok && !strings.HasPrefix(c.Given, "oci-layout://") { // a repository that the module names
		st, _, err := dockerui.DetectGitContext(c.Given, nil)
		if err != nil {
			return nil, err
		}
		return &llb.Given{State: *st}, nil
	}
	if !ok {
		dir, _, _ := strings.Cut(strings.TrimPrefix(c.Given, "oci-layout://"), "@")
		dir, _, _ = strings.Cut(dir, ":") // a module's path has neither
		return nil, fmt.Errorf("only the caller can open an OCI layout; give it with --build-context %s=%s", eval.LayoutContext(dir), c.Given)
	}
	g, err := llb.LoadNamed(ctx, lc.b.ui, withoutPlatform(name), use)
	if err != nil {
		return nil, fmt.Errorf("--build-context %s: %w", name, err)
	}
	return g, nil
}

// states are the contexts that lie in the build context.
func (lc *localContexts) states() map[*ir.Context]bk.State {
	out := map[*ir.Context]bk.State{}
	for _, c := range lc.graph.Contexts {
		if c.Given != "" || strings.HasPrefix(c.Path, replaced) {
			continue
		}
		if st := lc.part(c); st != nil {
			out[c] = *st
		}
	}
	return out
}

// part is a context that lies in the build context; nil is the whole of a local
// one. A client sends the directories that it was told of, and a directory within
// one of them has to be taken out of it here.
func (lc *localContexts) part(c *ir.Context) *bk.State {
	dir := path.Clean(c.Path)
	if st := lc.main.state; st != nil {
		if dir == "." {
			return st
		}
		return subdirectory(*st, dir)
	}
	if dir == "." && c.Name == "default" {
		return nil
	}
	name := dockerui.DefaultLocalNameContext
	opts := []bk.LocalOption{
		bk.SessionID(lc.b.session(name)), bk.SharedKeyHint(name + ":" + c.Name), bk.ExcludePatterns(within(dir, c.Patterns)),
		bk.WithCustomName("[context " + c.Name + "] load from client"),
	}
	if dir != "." {
		opts = append(opts, bk.IncludePatterns([]string{escape(dir)}))
	}
	st := bk.Local(name, opts...)
	if dir == "." {
		return &st
	}
	return subdirectory(st, dir)
}

func subdirectory(st bk.State, dir string) *bk.State {
	out := bk.Scratch().File(bk.Copy(st, "/"+dir, "/", &bk.CopyInfo{CopyDirContentsOnly: true}), dockerui.WithInternalName("take "+dir+" of the build context"))
	return &out
}

// within makes exclude patterns of a directory into those of one above it.
func within(dir string, patterns []string) []string {
	if dir == "." {
		return patterns
	}
	out := make([]string, len(patterns))
	for i, p := range patterns {
		rest, not := strings.CutPrefix(p, "!")
		out[i] = escape(dir) + "/" + strings.TrimPrefix(rest, "/")
		if not {
			out[i] = "!" + out[i]
		}
	}
	return out
}
