// Package llb lowers the IR to BuildKit's low-level build definition.
//
// What it makes is what BuildKit's Dockerfile frontend makes of the emitted
// Dockerfile, down to the digest, so that both ways of building share one cache.
// The rules it follows are those of frontend/dockerfile/dockerfile2llb at
// v0.33.1; tests run that frontend beside it (internal/oracle). The ones that are
// easy to miss:
//
//   - A stage starts by adding its base's image environment again, which moves
//     those variables behind the base's build arguments.
//   - WORKDIR is a layer, unless it is "/"; it belongs to the current user.
//   - A copy is one file operation per instruction, paths before texts.
//   - A cache's id has a namespace and a slash in front.
//   - The main context is one local source for the whole target, narrowed to the
//     paths that any of its stages read; a named context is one per use.
//   - A tmpfs mount counts as reading all of the main context.
package llb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// Options hold for all that one call lowers.
type Options struct {
	// Resolver finds digests and configurations of base images. It is asked for
	// all images of a call at once.
	Resolver bk.ImageMetaResolver
	// BuildPlatforms are the platforms of the engine, its own first; empty means
	// this machine's. The first is BUILDPLATFORM and the default target, and counts
	// alone, as for BuildKit's frontend.
	BuildPlatforms []ocispecs.Platform
	// Caps are what the engine can do; nil means everything.
	Caps *apicaps.CapSet
	// SessionID is the session whose directories local sources read. Without one
	// definitions are the same in every run, and read whatever session solves them.
	SessionID string
	// LocalName names a context's local source; nil, or a result of "", is
	// "context" for the default context and the context's name otherwise. Contexts
	// of one session that differ in directory or patterns need different names.
	LocalName func(*ir.Context) string
	// Given finds what the caller gives in place of a context, an image or a stage,
	// and the images of OCI layouts: contexts with something in Given, and those
	// that IsGiven picks. nil refuses them.
	Given   func(ctx context.Context, c *ir.Context, use Use) (*Given, error)
	IsGiven func(*ir.Context) bool
	// Sources finds the times of a SOURCE_DATE_EPOCH that is no number; nil refuses
	// those that only an engine can tell.
	Sources SourceClient
	// Contexts replace local directories with something else: a git repository, an
	// image. Patterns do not apply to them.
	Contexts map[*ir.Context]bk.State
	// SharedContext makes one local source of a context for all results of a call (of
	// very many, [Parts]), narrowed to what any of them reads, and lets them share
	// lowered stages. The engine then receives a directory once; without it each result
	// is by itself what its Dockerfile would be.
	SharedContext bool
	// Narrow is told what a local source of a shared context is narrowed to, by a caller
	// that sends no more by itself: nil is all of it. Each of its [Parts] then has a name
	// ([PartName]). Without it the source says so itself.
	Narrow func(name string, paths []string)
	// NoSourceMaps leaves the sources out of definitions.
	NoSourceMaps bool
}

// Request is one stage for one platform.
type Request struct {
	Stage    *ir.Stage
	Platform *ocispecs.Platform // nil: the engine's own
	// Multi says that other platforms are built beside it, so that names of steps
	// tell which is which.
	Multi   bool
	Options ir.BuildOptions
	Main    *ir.Context // the main context; nil is the one that is called "default"
	Labels  []ir.KV     // set last, over the stage's own
	Pull    bool        // look in the registry even for an image that the engine has
	NoCache bool        // run every RUN and COPY of every stage again
}

// Requests are what a target builds: for each platform its image, then its files.
func Requests(t *ir.Target) []Request {
	var out []Request
	for _, b := range t.Builds {
		for _, s := range []*ir.Stage{b.Image, b.Files} {
			if s == nil {
				continue
			}
			r := Request{Stage: s, Platform: b.Platform, Multi: len(t.Builds) > 1 || t.Options.Flag(MultiPlatformArg), Options: t.Options, Main: t.Main, Pull: t.Pull, NoCache: t.NoCache}
			if s == b.Image {
				r.Labels = t.Labels
			}
			out = append(out, r)
		}
	}
	return out
}

// Result is a lowered stage.
type Result struct {
	// Platform is the platform that was built for.
	Platform ocispecs.Platform
	// State is the stage's file system. It marshals with the platform and the
	// capabilities of the call.
	State bk.State
	// Image is the image's configuration, without a time of creation.
	Image *dockerspec.DockerOCIImage
	// BaseImage is the configuration of the image at the bottom; nil over scratch.
	BaseImage *dockerspec.DockerOCIImage
	// Epoch is the time that files and history have; nil for none.
	Epoch *time.Time
	// Extras are the file systems that an SBOM covers besides the image's, by the
	// names that a scanner has of them; ExtrasFresh says that they are scanned anew.
	Extras      map[string]bk.State
	ExtrasFresh bool
	// Locals are the contexts that the result reads from the caller.
	Locals []*ir.Context
}

// Definition marshals the result.
func (r *Result) Definition(ctx context.Context) (*bk.Definition, error) {
	return r.State.Marshal(ctx, bk.LocalUniqueID("hbuild"))
}

// Lower lowers one stage.
func Lower(ctx context.Context, g *ir.Graph, req Request, opt Options) (*Result, hcl.Diagnostics) {
	res, diags := LowerAll(ctx, g, []Request{req}, opt)
	if diags.HasErrors() {
		return nil, diags
	}
	return res[0], diags
}

// LowerAll lowers many stages: it resolves the base images of all of them at
// once, and with Options.SharedContext lowers what they share once. Results are
// nil where there are errors, all of which are reported.
func LowerAll(ctx context.Context, g *ir.Graph, reqs []Request, opt Options) ([]*Result, hcl.Diagnostics) {
	l := &lowerer{ctx: ctx, graph: g, opt: opt, parts: Parts(len(reqs)), images: map[imageKey]*image{}, maps: map[string]*bk.SourceMap{}, givens: map[givenKey]*Given{}, lost: map[*ir.Context]bool{}}
	if len(l.opt.BuildPlatforms) == 0 {
		l.opt.BuildPlatforms = []ocispecs.Platform{platforms.Normalize(platforms.DefaultSpec())}
	}
	builds := make([]*build, len(reqs))
	for i, r := range reqs {
		builds[i] = l.build(r)
	}
	l.resolveImages(builds)
	shared := newScope(l)
	out := make([]*Result, len(reqs))
	for i, b := range builds {
		b.scope = shared
		if !opt.SharedContext {
			b.scope = newScope(l)
		}
		out[i] = l.result(b)
	}
	return out, diag.Sort(withoutEchoes(l.diags))
}

// lowerer is the state of one call.
type lowerer struct {
	ctx    context.Context
	graph  *ir.Graph
	opt    Options
	parts  int // of a shared context, at most
	diags  hcl.Diagnostics
	images map[imageKey]*image
	maps   map[string]*bk.SourceMap
	givens map[givenKey]*Given
	lost   map[*ir.Context]bool // given, and reported
	warned map[warned]bool
	epochs map[epochKey]*time.Time
	// implied is the main context when only triggers of base images read it.
	implied *ir.Context
}

func (l *lowerer) errorf(code diag.Code, at hcl.Range, summary, format string, args ...any) {
	l.diags = append(l.diags, diag.Error(code, at, summary, fmt.Sprintf(format, args...)))
}

// build is a request with all that follows from it.
type build struct {
	Request
	key      string // equal for requests that lower any stage alike
	target   ocispecs.Platform
	implicit bool              // nobody asked for a platform
	auto     map[string]string // automatic arguments
	args     map[string]string // what the caller set
	hosts    []bk.HostIP
	network  pb.NetMode
	hostname string
	proxy    *bk.ProxyEnv
	epoch    *time.Time
	// epochAsked is also set when what was asked for its time has none.
	epochAsked bool
	scope      *scope
}

func (l *lowerer) build(r Request) *build {
	b := &build{Request: r, args: map[string]string{}}
	if r.Platform != nil {
		b.target = platforms.Normalize(*r.Platform)
	} else {
		b.target, b.implicit = l.opt.BuildPlatforms[0], true
	}
	for _, kv := range r.Options.BuildArgs {
		b.args[kv.Key] = kv.Value
	}
	b.auto = autoArgs(l.opt.BuildPlatforms[0], b.target, r.Stage.Name, b.args)
	b.hostname = r.Options.Hostname
	if v := b.args[argHostname]; v != "" {
		b.hostname = v
	}
	b.proxy = proxyEnv(b.args)
	l.buildHosts(b)
	switch r.Options.Network {
	case ir.NetHost:
		b.network = pb.NetMode_HOST
	case ir.NetNone:
		b.network = pb.NetMode_NONE
	}
	plain := r.Options
	plain.Epoch, plain.EpochFrom = nil, nil // pointers; the value is among b.args
	b.key = fmt.Sprintf("%s|%v|%v|%v|%v|%+v", platforms.FormatAll(b.target), b.implicit, r.Multi, r.Pull, r.NoCache, plain)
	if l.usesTargetStage() {
		b.key += "|" + r.Stage.Name
	}
	l.setEpoch(b)
	b.key += fmt.Sprintf("|%v%s", b.epochAsked, b.args[argEpoch])
	return b
}

// usesTargetStage reports whether a step depends on which stage is built.
func (l *lowerer) usesTargetStage() bool {
	for _, s := range l.graph.Stages {
		for _, step := range s.Steps {
			if a, ok := step.(*ir.Arg); ok && a.Key == "TARGETSTAGE" {
				return true
			}
		}
	}
	return false
}

// scope is what shares one local source per context.
type scope struct {
	l      *lowerer
	stages map[stageKey]*stage
	main   map[*ir.Context]*mainContext
}

type stageKey struct {
	stage *ir.Stage
	build string
}

func newScope(l *lowerer) *scope {
	return &scope{l: l, stages: map[stageKey]*stage{}, main: map[*ir.Context]*mainContext{}}
}

// result lowers the stage of a request and finishes its image.
func (l *lowerer) result(b *build) *Result {
	before := len(l.diags)
	s := l.stage(b, b.Stage)
	if s == nil || l.diags[before:].HasErrors() {
		return nil
	}
	extras, fresh := l.extras(b, s)
	for ctx, paths := range s.reads {
		b.scope.context(ctx).add(paths)
		b.scope.context(ctx).add(s.strays)
	}
	img := cloneImage(s.image)
	for _, kv := range b.Labels {
		if img.Config.Labels == nil {
			img.Config.Labels = map[string]string{}
		}
		img.Config.Labels[kv.Key] = kv.Value
	}
	finishPlatform(&img, b)
	defaults := []bk.ConstraintsOpt{bk.Platform(b.target)}
	if l.opt.Caps != nil {
		defaults = append(defaults, bk.WithCaps(*l.opt.Caps))
	}
	for name, st := range extras {
		extras[name] = st.SetMarshalDefaults(defaults...)
	}
	return &Result{
		Platform: b.target, State: s.state.SetMarshalDefaults(defaults...), Extras: extras, ExtrasFresh: fresh,
		Image: &img, BaseImage: s.base, Epoch: b.epoch, Locals: s.locals(l.contexts(b)),
	}
}

// finishPlatform writes the platform that was asked for over the base image's.
func finishPlatform(img *dockerspec.DockerOCIImage, b *build) {
	if !b.implicit {
		t := b.target
		same := t.OS == img.OS && t.Architecture == img.Architecture
		img.OS, img.Architecture = t.OS, t.Architecture
		if t.Variant != "" || !same {
			img.Variant = t.Variant
		}
		if t.OSVersion != "" || !same {
			img.OSVersion = t.OSVersion
		}
		if t.OSFeatures != nil {
			img.OSFeatures = append([]string(nil), t.OSFeatures...)
		}
	}
	img.Platform = platforms.Normalize(img.Platform)
}

// rootCause is an error without the wrapping that repeats what it is about.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
