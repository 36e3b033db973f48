package solve

import (
	"context"
	"slices"
	"sync"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
)

// GatewayJobs is how many jobs one gateway build solves. For each solve BuildKit looks
// through all that the same gateway build has solved before (llbsolver,
// provenanceBridge.findByResult), so that a thousand in one build cost the square.
const GatewayJobs = 200

// cacheImports is where a client tells its gateway build what caches it has prepared.
const cacheImports = "cache-imports"

// gateways are the gateway builds in which the jobs of a call are solved: the main one,
// and further ones, which return nothing, for more jobs than one should solve. They
// hold what was solved until all jobs are done.
type gateways struct {
	main    gateway.Client
	of      map[*job]*furtherGateway // those that are not solved in the main one
	running sync.WaitGroup
	done    chan struct{}
}

// furtherGateway is a gateway build beside the main one.
type furtherGateway struct {
	ready  chan struct{} // client or err is there
	client gateway.Client
	err    error
}

// openGateways begins the gateway builds that the jobs need, without waiting for them.
func (r *runner) openGateways(ctx context.Context, main gateway.Client) *gateways {
	g := &gateways{main: main, of: map[*job]*furtherGateway{}, done: make(chan struct{})}
	// Only the main build returns files.
	jobs := slices.DeleteFunc(slices.Clone(r.jobs), func(j *job) bool {
		return j.filesLeaveTogether() || !r.solvesImage(j) && !r.solvesFiles(j)
	})
	first := min(len(jobs), GatewayJobs) // the main build's
	for jobs := range slices.Chunk(jobs[first:], GatewayJobs) {
		f := &furtherGateway{ready: make(chan struct{})}
		g.running.Go(func() { r.runGateway(ctx, g, f) })
		for _, j := range jobs {
			g.of[j] = f
		}
	}
	return g
}

// runGateway runs a further gateway build over the session of the call.
func (r *runner) runGateway(ctx context.Context, g *gateways, f *furtherGateway) {
	ready := sync.OnceFunc(func() { close(f.ready) })
	defer ready()
	opt := client.SolveOpt{
		SharedSession:         r.session,
		SessionPreInitialized: true,
		Internal:              true, // the main build is the call's record
		AllowedEntitlements:   r.req.Allow,
		FrontendAttrs:         map[string]string{},
	}
	if imports := g.main.BuildOpts().Opts[cacheImports]; imports != "" {
		opt.FrontendAttrs[cacheImports] = imports
	}
	// Once it is ready, what ends it early ends its solves too, and they say why.
	_, f.err = r.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		f.client = c
		ready()
		select {
		case <-g.done:
		case <-ctx.Done():
		}
		return gateway.NewResult(), nil
	}, r.tracker.stream(""))
}

// client returns the gateway build in which the job is solved.
func (g *gateways) client(ctx context.Context, j *job) (gateway.Client, error) {
	f := g.of[j]
	if f == nil {
		return g.main, nil
	}
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.client == nil {
		return nil, f.err
	}
	return f.client, nil
}

// close ends the further builds.
func (g *gateways) close() {
	close(g.done)
	g.running.Wait()
}
