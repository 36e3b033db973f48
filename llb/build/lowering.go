package build

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"sync"

	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
	"github.com/hbuild/hbuild/llb/solve"
)

// lowering lowers the whole graph once.
type lowering struct {
	graph  *ir.Graph
	opt    Options
	reqs   []llb.Request
	first  map[*ir.Target]int // the index of a target's first request
	given  *Givens
	narrow narrowing
	once   sync.Once
	out    []*llb.Result
	defs   []*bk.Definition
	own    []map[digest.Digest]bool // by request: the operations of no other target
	diags  hcl.Diagnostics
	cause  error
}

// failed is the error of a graph that was not lowered.
func (l *lowering) failed() error { return &DiagnosticsError{Diags: l.diags, Cause: l.cause} }

func newLowering(g *ir.Graph, opt Options) *lowering {
	l := &lowering{graph: g, opt: opt, first: map[*ir.Target]int{}, narrow: narrowing{paths: map[string]map[string]bool{}}}
	for _, t := range g.Targets {
		l.first[t] = len(l.reqs)
		l.reqs = append(l.reqs, llb.Requests(t)...)
	}
	for i := range l.reqs {
		l.reqs[i].Pull = l.reqs[i].Pull || opt.Pull
		l.reqs[i].NoCache = l.reqs[i].NoCache || opt.NoCache
	}
	return l
}

// lower gives the i-th result, lowering all of them the first time. The engine
// says what it can do and where it runs steps.
func (l *lowering) lower(ctx context.Context, c gateway.Client, i int) (*llb.Result, error) {
	l.once.Do(func() {
		opts := c.BuildOpts()
		var plats []ocispecs.Platform
		for _, w := range opts.Workers {
			plats = append(plats, w.Platforms...)
		}
		res := &resolver{ImageMetaResolver: c}
		defer func() { l.cause = errors.Join(res.err, l.cause) }()
		l.out, l.diags = llb.LowerAll(ctx, l.graph, l.reqs, llb.Options{
			Resolver: res, BuildPlatforms: plats, Caps: &opts.LLBCaps, SessionID: opts.SessionID,
			LocalName: localName, SharedContext: len(l.reqs) > 1, Narrow: l.narrow.add, Given: l.given.Load(c, res.note), Sources: Sources(c, res.note),
		})
		l.marshal(ctx)
	})
	if l.out[i] == nil || l.diags.HasErrors() && !l.opt.KeepGoing {
		return nil, l.failed()
	}
	return l.out[i], nil
}

// callback makes the solver's side of the i-th request.
func (l *lowering) callback(i int) solve.Lower {
	return func(ctx context.Context, c gateway.Client, _ *ocispecs.Platform) (*solve.Lowered, error) {
		res, err := l.lower(ctx, c, i)
		if err != nil {
			return nil, err
		}
		if l.defs[i] == nil {
			return nil, l.failed()
		}
		config, err := json.Marshal(res.Image)
		if err != nil {
			return nil, err
		}
		extras, err := res.ExtraDefinitions(ctx)
		if err != nil {
			return nil, err
		}
		return &solve.Lowered{
			Definition: l.defs[i], Config: config, Own: l.own[i], Epoch: res.Epoch,
			Extras: extras, ExtrasFresh: res.ExtrasFresh,
		}, nil
	}
}

// marshal makes all definitions, and finds out which of their operations belong to
// one target alone.
func (l *lowering) marshal(ctx context.Context) {
	l.defs, l.own = make([]*bk.Definition, len(l.out)), make([]map[digest.Digest]bool, len(l.out))
	var of []*ir.Target // by request
	for _, t := range l.graph.Targets {
		for range llb.Requests(t) {
			of = append(of, t)
		}
	}
	errs := l.definitions(ctx)
	for i, err := range errs {
		if err != nil {
			l.cause = errors.Join(l.cause, err)
			l.diags = append(l.diags, diag.Error(BuildFailed, of[i].Range, "The definition cannot be made", sentence(err.Error())))
		}
	}
	if len(l.graph.Targets) > 1 { // else there is nobody to share with
		l.findOwners(of)
	}
}

// definitions marshals the results, on all processors: the engine has nothing to do
// until the first is there.
func (l *lowering) definitions(ctx context.Context) (errs []error) {
	errs = make([]error, len(l.out))
	var eg errgroup.Group
	eg.SetLimit(runtime.GOMAXPROCS(0))
	for i, res := range l.out {
		if res == nil {
			continue
		}
		eg.Go(func() error {
			def, err := res.Definition(ctx)
			if errs[i] = err; err == nil {
				l.defs[i] = def
			}
			return nil // all of them are reported
		})
	}
	_ = eg.Wait()
	return errs
}

// findOwners says to whom each operation belongs: to the one target that has it,
// whichever tests have it as well, or else to the one test.
func (l *lowering) findOwners(of []*ir.Target) {
	type claim struct {
		by     *ir.Target
		shared bool
	}
	claims := map[bool]map[digest.Digest]claim{false: {}, true: {}} // by whether it is tests'
	digests := make([][]digest.Digest, len(l.defs))
	for i, def := range l.defs {
		if def == nil {
			continue
		}
		for _, dt := range def.Def {
			d := digest.FromBytes(dt)
			digests[i] = append(digests[i], d)
			c := claims[of[i].Test][d]
			claims[of[i].Test][d] = claim{of[i], c.shared || c.by != nil && c.by != of[i]}
		}
	}
	for i, ds := range digests {
		l.own[i] = map[digest.Digest]bool{}
		for _, d := range ds {
			c, ok := claims[false][d]
			if !ok {
				c = claims[true][d]
			}
			l.own[i][d] = c.by == of[i] && !c.shared
		}
	}
}
