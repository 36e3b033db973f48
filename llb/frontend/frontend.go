package frontend

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/containerd/platforms"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/llb"
	"github.com/hbuild/hbuild/llb/sbom"
)

// Build is the frontend: a [gateway.BuildFunc] for
// grpcclient.RunFromEnvironment, or for client.Build in a test. It answers a
// subrequest, or builds the address that the option `target` names.
//
// A mistake in the module is an error that carries the places as
// errdefs.Source, so that clients print the HCL lines.
func Build(ctx context.Context, c gateway.Client) (res *gateway.Result, err error) {
	defer func() {
		// The container's stderr goes to the daemon's log, where no caller looks.
		if p := recover(); p != nil {
			res, err = nil, fmt.Errorf("hbuild has a bug: %v\n%s", p, debug.Stack())
		}
	}()
	if err := checkCaps(c.BuildOpts().Opts["frontend.caps"]); err != nil {
		return nil, err
	}
	ui, err := dockerui.NewClient(c)
	if err != nil {
		return nil, err
	}
	b := &builder{client: &pinned{Client: c}, ui: ui, opts: c.BuildOpts()}
	if b.call, err = readCall(ui, b.opts.Opts); err != nil {
		return nil, err
	}
	if res, ok, err := b.subrequest(ctx); ok || err != nil {
		return res, err
	}
	return b.build(ctx)
}

// builder is one call of the frontend.
type builder struct {
	client gateway.Client
	ui     *dockerui.Client
	opts   gateway.BuildOpts
	call   *call
}

// pinned answers each question about an image once: the platforms of a build
// share most of their images, and all must build on the same ones even when a
// tag moves meanwhile.
type pinned struct {
	gateway.Client
	mu      sync.Mutex
	answers map[string]func() (string, digest.Digest, []byte, error)
}

// ResolveImageConfig implements llb.ImageMetaResolver.
func (p *pinned) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	key := ref
	if o := opt.ImageOpt; o != nil {
		key += fmt.Sprintf("|%s|%v", o.ResolveMode, o.Platform)
	}
	if o := opt.OCILayoutOpt; o != nil {
		key += fmt.Sprintf("|%v|%v", o.Store, o.Platform)
	}
	p.mu.Lock()
	ask := p.answers[key]
	if ask == nil {
		ask = onceValues(func() (string, digest.Digest, []byte, error) { return p.Client.ResolveImageConfig(ctx, ref, opt) })
		if p.answers == nil {
			p.answers = map[string]func() (string, digest.Digest, []byte, error){}
		}
		p.answers[key] = ask
	}
	p.mu.Unlock()
	return ask()
}

func onceValues(f func() (string, digest.Digest, []byte, error)) func() (string, digest.Digest, []byte, error) {
	var once sync.Once
	var ref string
	var dgst digest.Digest
	var config []byte
	var err error
	return func() (string, digest.Digest, []byte, error) {
		once.Do(func() { ref, dgst, config, err = f() })
		return ref, dgst, config, err
	}
}

// resolver adds the call's resolve mode to questions that have none: with
// Docker's own engine an image that it has is used without asking a registry.
type resolver struct {
	gateway.Client
	mode bk.ResolveMode
}

// ResolveImageConfig implements llb.ImageMetaResolver.
func (r resolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if o := opt.ImageOpt; o != nil && r.mode != bk.ResolveModeDefault && o.ResolveMode == bk.ResolveModeDefault.String() {
		image := *o
		image.ResolveMode = r.mode.String()
		opt.ImageOpt = &image
	}
	return r.Client.ResolveImageConfig(ctx, ref, opt)
}

// build builds the requested target: what it requires first, then its platforms
// all at once.
func (b *builder) build(ctx context.Context) (*gateway.Result, error) {
	m, err := b.load(ctx, false)
	if err != nil {
		return nil, err
	}
	sel, err := b.choose(m)
	if err != nil {
		return nil, err
	}
	lints := b.warnings(m, sel.graph)
	if lints.HasErrors() {
		return nil, m.failure(lints)
	}
	lowered, err := b.lower(ctx, m, sel)
	if err != nil {
		return nil, err
	}
	warnings := b.level(m, sel.warnings)
	if warnings.HasErrors() {
		return nil, m.failure(warnings)
	}
	m.warn(ctx, append(warnings, lints...))
	if err := b.requirements(ctx, sel, lowered); err != nil {
		return nil, err
	}
	t := sel.target
	b.ui.TargetPlatforms = nil
	for _, build := range t.Builds {
		if build.Platform != nil {
			b.ui.TargetPlatforms = append(b.ui.TargetPlatforms, *build.Platform)
		}
	}
	b.ui.MultiPlatformRequested = b.ui.MultiPlatformRequested || len(t.Builds) > 1 || t.Options.Flag(llb.MultiPlatformArg)
	rb, err := b.ui.Build(ctx, func(ctx context.Context, _ *ocispecs.Platform, i int) (*dockerui.BuildResult, error) {
		r := lowered[main(t, i)]
		ref, err := b.solve(ctx, r, false)
		if err != nil {
			return nil, err
		}
		return &dockerui.BuildResult{Reference: ref, Image: r.Image, BaseImage: r.BaseImage, Epoch: r.Epoch}, nil
	})
	if err != nil {
		return nil, err
	}
	if err := b.scan(ctx, rb, t, lowered); err != nil {
		return nil, err
	}
	for _, kv := range t.Annotations {
		rb.AddMeta(exptypes.AnnotationManifestKey(nil, kv.Key), []byte(kv.Value))
	}
	return rb.Finalize()
}

// scan makes the SBOMs of platforms that stages or the build context belong to as
// well. The engine makes all others.
func (b *builder) scan(ctx context.Context, rb *dockerui.ResultBuilder, t *ir.Target, lowered map[part]*llb.Result) error {
	if b.ui.SBOM == nil {
		return nil
	}
	byID := map[string]*llb.Result{}
	for i, build := range t.Builds {
		p := platforms.DefaultSpec()
		if build.Platform != nil {
			p = *build.Platform
		}
		if r := lowered[main(t, i)]; len(r.Extras) > 0 {
			byID[platforms.FormatAll(platforms.Normalize(p))] = r
		}
	}
	if len(byID) == 0 {
		return nil
	}
	scanner, err := sbom.New(ctx, b.client, b.ui.SBOM.Generator, b.ui.SBOM.Parameters, b.opts.Opts["image-resolve-mode"])
	if err != nil {
		return err
	}
	return rb.EachPlatform(ctx, func(ctx context.Context, id string, _ ocispecs.Platform) error {
		r := byID[id]
		if r == nil {
			return nil
		}
		def, err := r.Definition(ctx)
		if err != nil {
			return err
		}
		extras, err := r.ExtraDefinitions(ctx)
		if err != nil {
			return err
		}
		return scanner.Attest(ctx, rb.Result, sbom.Request{ID: id, Core: def, Extras: extras, IgnoreCache: r.ExtrasFresh})
	})
}

// main is what a target's build returns: its image, else its files.
func main(t *ir.Target, build int) part {
	return part{t, build, t.Builds[build].Image == nil}
}

// requirements solves what the target requires, so that a failing test or base
// fails the build, and the target itself beside that. Tags and files of what is
// required are other builds' results, which one call of a frontend does not have.
func (b *builder) requirements(ctx context.Context, sel *selection, lowered map[part]*llb.Result) error {
	if len(sel.graph.Targets) == 1 {
		return nil
	}
	eg, ctx := errgroup.WithContext(ctx)
	for _, t := range sel.graph.Targets {
		for _, p := range parts(t) {
			if t == sel.target && p.files && t.Builds[p.build].Image != nil {
				continue // a call returns the image
			}
			eg.Go(func() error {
				_, err := b.solve(ctx, lowered[p], true)
				return err
			})
		}
	}
	return eg.Wait()
}

// solve asks for a result's files; evaluate waits until they are there.
func (b *builder) solve(ctx context.Context, r *llb.Result, evaluate bool) (gateway.Reference, error) {
	def, err := r.Definition(ctx)
	if err != nil {
		return nil, err
	}
	res, err := b.client.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), CacheImports: b.ui.CacheImports, Evaluate: evaluate})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// part is one of the results of a target: a platform's image or files.
type part struct {
	target *ir.Target
	build  int // index of Target.Builds
	files  bool
}

// parts are a target's, in the order of llb.Requests.
func parts(t *ir.Target) []part {
	var out []part
	for i, b := range t.Builds {
		if b.Image != nil {
			out = append(out, part{t, i, false})
		}
		if b.Files != nil {
			out = append(out, part{t, i, true})
		}
	}
	return out
}

// lower lowers all that is built. It is what `hbuild build` does with the same
// addresses, so both make the same definitions, unless a context is an image that
// differs by platform: then each platform is lowered by itself.
func (b *builder) lower(ctx context.Context, m *module, sel *selection) (map[part]*llb.Result, error) {
	var reqs []llb.Request
	var all []part
	for _, t := range sel.graph.Targets {
		reqs = append(reqs, llb.Requests(t)...)
		all = append(all, parts(t)...)
	}
	for i := range reqs {
		reqs[i].NoCache = reqs[i].NoCache || b.call.noCacheAll
		reqs[i].Pull = reqs[i].Pull || b.ui.ImageResolveMode == bk.ResolveModeForcePull
	}
	local, err := b.contexts(ctx, m, sel.graph)
	if err != nil {
		return nil, err
	}
	opt := llb.Options{
		Resolver: resolver{b.client, b.ui.ImageResolveMode}, BuildPlatforms: b.platforms(), Caps: &b.opts.LLBCaps,
		SessionID: b.session("context"), LocalName: local.name, SharedContext: len(reqs) > 1,
		Given: local.given, IsGiven: local.isGiven, Contexts: local.states(), Sources: b.client,
	}
	out := map[part]*llb.Result{}
	lowered, diags := llb.LowerAll(ctx, sel.graph, reqs, opt)
	sel.warnings = append(sel.warnings, diags...)
	if diags.HasErrors() {
		return nil, m.failure(diags)
	}
	for i, res := range lowered {
		out[all[i]] = res
	}
	return out, nil
}

// platforms are the engine's, its own first.
func (b *builder) platforms() []ocispecs.Platform {
	var out []ocispecs.Platform
	for _, w := range b.opts.Workers {
		out = append(out, w.Platforms...)
	}
	if len(out) == 0 {
		return b.ui.BuildPlatforms
	}
	return out
}

// session is the one that has a local directory: a call may name another than
// its own.
func (b *builder) session(local string) string {
	if id := b.opts.Opts["local-sessionid:"+local]; id != "" {
		return id
	}
	return b.opts.SessionID
}
