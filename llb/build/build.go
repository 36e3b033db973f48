// Package build turns a graph and the flags of a call into one request to an
// engine: which jobs there are, how each is lowered, where contexts and secrets
// come from.
//
// All stages of a call are lowered together, when the first job asks, so that
// base images are resolved once, stages that targets share are lowered once, and
// a directory that they share is sent once.
package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	bkclient "github.com/moby/buildkit/client"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/llb"
	"github.com/hbuild/hbuild/llb/solve"
)

// Options are the flags of one call.
type Options struct {
	// Root is the directory on this machine that the graph was compiled from.
	Root string
	// Secrets and SSH are what the flags give; they win over what the files say.
	Secrets []solve.Secret
	SSH     []solve.SSH
	// Push and NoPush overrule the targets.
	Push, NoPush bool
	Load         bool
	// Outputs in the CSV form of --output; they replace the default of every
	// target that can give them.
	Outputs []string
	NoCache bool
	Pull    bool
	Allow   []string
	// Parallel bounds the targets solved at once; 0 is the default.
	Parallel     int
	KeepGoing    bool
	Atomic       bool
	Progress     solve.Progress
	MetadataFile string
	// Dialer is what sessions run over; nil is the client's connection.
	Dialer session.Dialer
	// LookupEnv reads the environment that secrets may name.
	LookupEnv func(string) (string, bool)
	Stdout    io.Writer
	// Stdin is what a context that is given as "-" reads: a tar archive.
	Stdin io.Reader
}

// DiagnosticsError is a graph that cannot be lowered.
type DiagnosticsError struct {
	Diags hcl.Diagnostics
	// Cause is why an image could not be resolved; nil when the graph itself is
	// wrong.
	Cause error
}

func (e *DiagnosticsError) Error() string { return e.Diags.Error() }
func (e *DiagnosticsError) Unwrap() error { return e.Cause }

// Diagnostics tells the solver that there is nothing to explain.
func (e *DiagnosticsError) Diagnostics() hcl.Diagnostics { return e.Diags }

// resolver asks the engine for images and remembers what went wrong, for a
// diagnostic has words for the user and no error for the exit code.
type resolver struct {
	bk.ImageMetaResolver
	mu  sync.Mutex
	err error
}

// ResolveImageConfig implements llb.ImageMetaResolver.
func (r *resolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	name, dgst, config, err := r.ImageMetaResolver.ResolveImageConfig(ctx, ref, opt)
	if err != nil {
		r.note(err)
	}
	return name, dgst, config, err
}

func (r *resolver) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

// sources is a client that notes what went wrong with a source, as [resolver] does.
type sources struct {
	gateway.Client
	note func(error)
}

// Sources is [llb.Options.Sources] over an engine. Errors are noted too, for the
// exit code.
func Sources(c gateway.Client, note func(error)) llb.SourceClient { return sources{c, note} }

// ResolveSourceMetadata implements [llb.SourceClient].
func (s sources) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	md, err := s.Client.ResolveSourceMetadata(ctx, op, opt)
	if err != nil {
		s.note(err)
	}
	return md, err
}

// Solve implements [llb.SourceClient].
func (s sources) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	res, err := s.Client.Solve(ctx, req)
	if err != nil {
		s.note(err)
	}
	return res, err
}

// Run builds a graph on an engine. The result may be there with an error, and
// then says which targets were built. Warnings of the lowering are returned with
// a result.
func Run(ctx context.Context, c *bkclient.Client, g *ir.Graph, opt Options) (*solve.Result, hcl.Diagnostics, error) {
	p, err := NewPlan(g, opt)
	if err != nil {
		return nil, nil, err
	}
	defer p.Close()
	l := p.lowering
	res, err := solve.Run(ctx, c, p.Request)
	// An image is not found, either, on an engine that went away meanwhile.
	if l.diags.HasErrors() && ctx.Err() == nil && !opt.KeepGoing && !errors.Is(err, solve.ErrEngine) {
		return res, l.diags, l.failed()
	}
	return res, l.diags, err
}

// Plan is a call before an engine has heard of it.
type Plan struct {
	// Request is what [Run] asks for. Its jobs lower the graph when the first of them
	// asks, for the session that it asks with; so it is for one session.
	Request  solve.Request
	lowering *lowering
}

// NewPlan turns a graph and flags into a request. The caller closes it.
func NewPlan(g *ir.Graph, opt Options) (p *Plan, err error) {
	given, err := NewGivens(g, opt)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			given.Close()
		}
	}()
	l := newLowering(g, opt)
	l.given = given
	req := solve.Request{
		Root: opt.Root, Contexts: l.contexts(), OCILayouts: given.Layouts, Uploads: given.Uploads, Allow: opt.Allow, NoCache: opt.NoCache, Pull: opt.Pull,
		Parallel: opt.Parallel, KeepGoing: opt.KeepGoing, Atomic: opt.Atomic, Progress: opt.Progress, MetadataFile: opt.MetadataFile, Stdout: opt.Stdout,
		Secrets: secrets(g, opt), SSH: agents(g, opt), Dialer: opt.Dialer,
	}
	for _, t := range g.Targets {
		job, err := l.job(t, opt)
		if err != nil {
			return nil, err
		}
		req.Jobs = append(req.Jobs, job)
	}
	if err := opt.checkUse(req.Jobs); err != nil {
		return nil, err
	}
	return &Plan{Request: req, lowering: l}, nil
}

// Close removes what was kept for the call.
func (p *Plan) Close() { p.lowering.given.Close() }

// checkUse refuses flags about images where no target has one: they would do
// nothing.
func (o Options) checkUse(jobs []solve.Job) error {
	hasImage := slices.ContainsFunc(jobs, func(j solve.Job) bool {
		return !j.Test && slices.ContainsFunc(j.Builds, func(b solve.PlatformBuild) bool { return b.Image != nil })
	})
	flag := ""
	switch {
	case hasImage:
	case o.Push:
		flag = "--push"
	case o.Load:
		flag = "--load"
	case len(outputsFor(o.Outputs, false)) < len(o.Outputs):
		flag = "--output " + o.Outputs[slices.IndexFunc(o.Outputs, func(s string) bool { return len(outputsFor([]string{s}, false)) == 0 })]
	}
	if flag == "" {
		return nil
	}
	return fmt.Errorf("%w: %s is for images, and what is built has none", solve.ErrRequest, flag)
}

// job makes a target's job. Requests are in the order of llb.Requests.
func (l *lowering) job(t *ir.Target, opt Options) (solve.Job, error) {
	j := solve.Job{
		Addr: t.Addr, Name: nameOf(t), Range: t.Range, Tags: t.Tags, Push: (t.Push || opt.Push) && !opt.NoPush, CacheFrom: t.CacheFrom, CacheTo: t.CacheTo,
		Attest: t.Attest, NoCache: t.NoCache, Pull: t.Pull,
		Outputs: t.Outputs, OutputsInRoot: len(t.Outputs) > 0,
	}
	j.Index = t.Options.Flag(llb.MultiPlatformArg)
	for _, r := range t.Requires {
		if r.Test {
			j.Gates = append(j.Gates, r.Addr)
		} else {
			j.Requires = append(j.Requires, r.Addr)
		}
	}
	if t.Test {
		j.Test, j.SolveOnly = true, true
		j.Builds = []solve.PlatformBuild{{Image: l.callback(l.first[t])}}
		return j, nil
	}
	if len(t.Annotations) > 0 {
		j.Annotations = map[string]string{}
		for _, kv := range t.Annotations {
			j.Annotations[kv.Key] = kv.Value
		}
	}
	hasImage := false
	first := l.first[t]
	for _, b := range t.Builds {
		pb := solve.PlatformBuild{Platform: b.Platform}
		if b.Image != nil {
			pb.Image, hasImage = l.callback(first), true
			first++
		}
		if b.Files != nil {
			pb.Files = l.callback(first)
			first++
			for _, o := range b.Outputs {
				pb.Outputs = append(pb.Outputs, solve.FileOutput{Path: o.Path, Dir: o.Dir})
			}
		}
		j.Builds = append(j.Builds, pb)
	}
	inline := func(s string) bool { return strings.Contains(s, "type=inline") }
	if hasImage && t.Options.Flag("BUILDKIT_INLINE_CACHE") && !slices.ContainsFunc(t.CacheTo, inline) {
		j.CacheTo = append(slices.Clone(t.CacheTo), "type=inline")
	}
	j.Push = j.Push && hasImage
	j.Load = opt.Load && hasImage
	if outs := outputsFor(opt.Outputs, hasImage); len(outs) > 0 {
		j.Outputs, j.OutputsInRoot = outs, false
	}
	// What is no target has no effects of its own.
	j.SolveOnly = !targetAddr.MatchString(t.Addr) && len(j.Outputs) == 0 && !j.Load && !j.Push
	return j, nil
}

// nameOf is what progress calls a target, and what a command line takes; a test is
// told from a target by its kind: "prod", "svc.api", "test.unit", "api/test.unit".
func nameOf(t *ir.Target) string {
	if !t.Test {
		return t.Name
	}
	at := len(t.Name)
	for range strings.Count(lastPart(t.Addr), "/") + 1 { // a key may hold slashes
		at = strings.LastIndexByte(t.Name[:max(at, 0)], '/')
	}
	return t.Name[:at+1] + "test." + t.Name[at+1:]
}

// lastPart is an address without the modules that it leads through.
func lastPart(addr string) string {
	depth, from := 0, 0
	for i, c := range addr {
		switch c {
		case '[':
			depth++
		case ']':
			depth--
		case '/':
			if depth == 0 {
				from = i + 1
			}
		}
	}
	return addr[from:]
}

// targetAddr matches the addresses of targets, those in modules too: target.t,
// svc["api"]/target.t. Not those of stages and artifacts.
var targetAddr = regexp.MustCompile(`^(?:[^/"]*(?:\["(?:[^"\\]|\\.)*"\])?/)*target\.`)

// outputsFor chooses the outputs that a target can give: a target of files alone
// has no image, and goes on writing its files where an image is asked for.
func outputsFor(outputs []string, hasImage bool) (out []string) {
	for _, o := range outputs {
		files := strings.Contains(o, "type=local") || strings.Contains(o, "type=tar") || !strings.Contains(o, "type=")
		if hasImage || files {
			out = append(out, o)
		}
	}
	return out
}

// localName is what the session calls a context's directory.
func localName(c *ir.Context) string {
	if c.Name == "default" {
		return "context"
	}
	return c.Name
}

// contexts are the directories that the session has.
func (l *lowering) contexts() map[string]solve.Context {
	out := map[string]solve.Context{}
	all := slices.Clone(l.graph.Contexts)
	for _, t := range l.graph.Targets {
		if t.Main != nil {
			all = append(all, t.Main)
		}
	}
	for _, c := range all {
		if c.Given != "" {
			continue
		}
		dir := filepath.FromSlash(c.Path)
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(l.opt.Root, dir)
		}
		for i := range llb.Parts(len(l.reqs)) {
			name := llb.PartName(localName(c), i)
			out[name] = solve.Context{Dir: dir, Paths: func() []string { return l.narrow.of(name) }}
		}
	}
	return out
}

// secrets are the flags' and, for IDs that no flag names, the files'.
func secrets(g *ir.Graph, opt Options) []solve.Secret {
	out := append([]solve.Secret(nil), opt.Secrets...)
	given := map[string]bool{}
	for _, s := range out {
		given[s.ID] = true
	}
	for _, s := range g.Secrets {
		if given[s.ID] || s.Env == "" && s.File == "" {
			continue
		}
		given[s.ID] = true
		sec := solve.Secret{ID: s.ID, Env: s.Env, Required: s.Required}
		if s.File != "" {
			sec.File = opt.path(s.File)
		}
		out = append(out, sec)
	}
	return out
}

// path places a path of a build file on this machine. A leading ~/ is the home
// directory, as everywhere where people write down where their keys are.
func (o Options) path(p string) string {
	p = filepath.FromSlash(p)
	if rest, ok := strings.CutPrefix(p, "~"+string(filepath.Separator)); ok && o.LookupEnv != nil {
		if home, ok := o.LookupEnv("HOME"); ok {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(o.Root, p)
}

func agents(g *ir.Graph, opt Options) []solve.SSH {
	out := append([]solve.SSH(nil), opt.SSH...)
	given := map[string]bool{}
	for _, s := range out {
		given[s.ID] = true
	}
	for _, s := range g.SSH {
		if !given[s.ID] && opt.hasAgent() {
			out = append(out, solve.SSH{ID: s.ID, Required: s.Required})
		}
	}
	return out
}

// hasAgent says whether the caller's own ssh agent can be offered.
func (o Options) hasAgent() bool {
	if o.LookupEnv == nil {
		return false
	}
	socket, ok := o.LookupEnv("SSH_AUTH_SOCK")
	return ok && socket != ""
}
