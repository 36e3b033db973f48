package solve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// runJob does one job from beginning to end and notes what became of it.
func (r *runner) runJob(ctx context.Context, j *job) {
	err := r.doJob(ctx, j)
	r.solved.arrive(j, err)
	r.uploaded.arrive(j, err)
	if ctx.Err() != nil && err != nil && !errors.Is(err, ErrSkipped) && canceled(err) {
		err = ErrSkipped
	}
	j.result.Err = err
	if err != nil && !errors.Is(err, ErrSkipped) && !r.goesOn(j) {
		r.mu.Lock()
		if r.culprit == "" {
			r.culprit = j.Addr
		}
		r.mu.Unlock()
		r.cancel(context.Canceled)
	}
}

// goesOn says whether the others are built although the job failed: a test stops
// what it gates, and that is written in the build file.
func (r *runner) goesOn(j *job) bool { return r.req.KeepGoing || j.Test }

// waits says whether the job has to wait, once it is solved, before it may have
// effects.
func (r *runner) waits(j *job) bool { return r.req.Atomic || len(j.Gates) > 0 && !j.tested }

// passed says whether tests have passed by now.
func (r *runner) passed(tests []string) bool {
	for _, addr := range tests {
		select {
		case <-r.byAddr[addr].done:
		default:
			return false
		}
		if r.byAddr[addr].result.Err != nil {
			return false
		}
	}
	return true
}

func (r *runner) doJob(ctx context.Context, j *job) error {
	// Effects that must come first may be what this job starts from: a base image
	// that is pushed. An atomic call has no effects before all is solved.
	if !r.req.Atomic {
		if err := r.await(ctx, j.Requires); err != nil {
			return err
		}
	}
	if err := r.acquire(ctx, j); err != nil {
		return err
	}
	// What is exported without a wait is solved once, not twice.
	j.tested = r.passed(j.Gates)
	started := time.Now()
	defer func() { j.result.Duration = time.Since(started) }()
	err := r.lowerAndSolve(ctx, j)
	if err != nil || !r.waits(j) {
		defer r.release()
	}
	if err != nil {
		return err
	}
	if r.waits(j) {
		r.release() // what it waits for needs the slot
		if err := r.awaitEffects(ctx, j); err != nil {
			return err
		}
		if err := r.acquire(ctx, j); err != nil {
			return err
		}
		defer r.release()
	}
	return r.exportJob(ctx, j)
}

// awaitEffects waits until a job that is solved may have effects. In an atomic call
// that is when all jobs are solved, and when the registries have the content of all
// images that will be pushed: what refuses one is known before the first tag is set.
func (r *runner) awaitEffects(ctx context.Context, j *job) error {
	if r.req.Atomic {
		r.solved.arrive(j, nil)
		if err := r.solved.wait(ctx); err != nil {
			return err
		}
		if err := r.upload(ctx, j); err != nil {
			return err
		}
		r.uploaded.arrive(j, nil)
		if err := r.uploaded.wait(ctx); err != nil {
			return err
		}
		if err := r.await(ctx, j.Requires); err != nil {
			return err
		}
	}
	return r.await(ctx, j.Gates)
}

// await waits for other jobs to be done.
func (r *runner) await(ctx context.Context, addrs []string) error {
	for _, addr := range addrs {
		other := r.byAddr[addr]
		select {
		case <-other.done:
		case <-ctx.Done():
			return ErrSkipped
		}
		var skipped *SkippedError
		switch err := other.result.Err; {
		case err == nil:
		case errors.As(err, &skipped):
			return skipped
		case errors.Is(err, ErrSkipped):
			return ErrSkipped
		default:
			return &SkippedError{By: addr}
		}
	}
	return nil
}

// acquire waits for the job's turn: the one that it has since the build began, or the
// next.
func (r *runner) acquire(ctx context.Context, j *job) error {
	t := j.turn
	if j.turn = nil; t == nil {
		t = r.slots.ask()
	}
	return r.slots.wait(ctx, t)
}

func (r *runner) release() { r.slots.release() }

// lowerAndSolve solves what no build of the job's own will solve: a job that exports
// its image is solved there, unless nothing may be exported before all is solved.
func (r *runner) lowerAndSolve(ctx context.Context, j *job) error {
	c := r.gateways.main
	jc := &jobClient{Client: c, shared: &r.resolver, pull: j.Pull}
	for i, b := range j.Builds {
		for _, lower := range []Lower{b.Image, b.Files} {
			l, err := r.lower(ctx, jc, j, lower, b.Platform)
			if err != nil {
				return err
			}
			j.lowered = append(j.lowered, l)
		}
		j.result.Platforms = append(j.result.Platforms, platformOf(j.image(i), b.Platform, c))
	}
	return r.solveHere(ctx, j)
}

// solvesImage and solvesFiles say whether a job's image and its files are solved in a
// gateway build of the call.
func (r *runner) solvesImage(j *job) bool {
	return j.hasImage && (j.solveOnly || len(j.outputs) == 0 || r.waits(j))
}

func (r *runner) solvesFiles(j *job) bool { return j.hasFiles && (!j.ownFiles || r.waits(j)) }

// filesLeaveTogether says whether the job's files leave through the main build, with
// those of others.
func (j *job) filesLeaveTogether() bool { return j.hasFiles && !j.ownFiles && !j.solveOnly }

// solveHere solves what must be solved in a gateway build of the call, all platforms
// at once.
func (r *runner) solveHere(ctx context.Context, j *job) error {
	image, files := r.solvesImage(j), r.solvesFiles(j)
	if !image && !files {
		return nil
	}
	c, err := r.gateways.client(ctx, j)
	if err != nil {
		return err
	}
	refs := make([]gateway.Reference, len(j.Builds))
	eg, solveCtx := errgroup.WithContext(ctx)
	for i := range j.Builds {
		if l := j.image(i); l != nil && image {
			eg.Go(func() error {
				_, err := r.solve(solveCtx, c, j, l)
				return err
			})
		}
		if l := j.fileSystem(i); l != nil && files {
			eg.Go(func() (err error) {
				refs[i], err = r.solve(solveCtx, c, j, l)
				return err
			})
		}
	}
	if err := eg.Wait(); err != nil || !j.filesLeaveTogether() {
		return err
	}
	for i := range j.Builds {
		if j.fileSystem(i) != nil {
			j.files = append(j.files, fileRef{id: j.fileID(r, i), ref: refs[i], outputs: j.Builds[i].Outputs, epoch: j.fileSystem(i).Epoch})
		}
	}
	return nil
}

// image and fileSystem are what platform i was lowered to; nil when it has none.
func (j *job) image(i int) *Lowered      { return j.lowered[2*i] }
func (j *job) fileSystem(i int) *Lowered { return j.lowered[2*i+1] }

// fileID names a reference in the main build's result. It becomes a directory's
// name.
func (j *job) fileID(r *runner, i int) string {
	return fmt.Sprintf("%d.%d", slices.Index(r.jobs, j), i)
}

func (r *runner) lower(ctx context.Context, c gateway.Client, j *job, lower Lower, p *ocispecs.Platform) (*Lowered, error) {
	if lower == nil {
		return nil, nil
	}
	l, err := lower(ctx, c, p)
	if err != nil {
		return nil, err
	}
	if j.NoCache {
		l = withoutCache(l)
	}
	steps, err := r.tracker.define(j.label(), l)
	j.steps = append(j.steps, steps...)
	return l, err
}

// withoutCache makes every operation but sources ignore its cache. A source has
// none to ignore: what it names is looked up anyway.
func withoutCache(l *Lowered) *Lowered {
	if l.Definition == nil {
		return l
	}
	def := *l.Definition
	def.Metadata = map[digest.Digest]llb.OpMetadata{}
	for d, m := range l.Definition.Metadata {
		def.Metadata[d] = m
	}
	for _, dt := range def.Def {
		var op pb.Op
		if op.UnmarshalVT(dt) != nil || op.Op == nil || op.GetSource() != nil {
			continue
		}
		d := digest.FromBytes(dt)
		m := def.Metadata[d]
		m.IgnoreCache = true
		def.Metadata[d] = m
	}
	return &Lowered{Definition: &def, Config: l.Config, Own: l.Own, Epoch: l.Epoch, Extras: l.Extras, ExtrasFresh: l.ExtrasFresh}
}

// solve evaluates one definition; the reference of the empty file system is nil.
func (r *runner) solve(ctx context.Context, c gateway.Client, j *job, l *Lowered) (gateway.Reference, error) {
	if l.Definition == nil || len(l.Definition.Def) == 0 {
		return nil, nil
	}
	imports, err := importsOf(c, j)
	if err != nil {
		return nil, err
	}
	res, err := c.Solve(ctx, gateway.SolveRequest{
		Definition:   l.Definition.ToPB(),
		Evaluate:     true,
		CacheImports: imports,
	})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// solveAll solves all platforms at once; a platform without a result has a nil
// reference.
func (r *runner) solveAll(ctx context.Context, c gateway.Client, j *job, lowered func(*job, int) *Lowered) ([]gateway.Reference, error) {
	refs := make([]gateway.Reference, len(j.Builds))
	eg, ctx := errgroup.WithContext(ctx)
	for i := range j.Builds {
		if l := lowered(j, i); l != nil {
			eg.Go(func() (err error) {
				refs[i], err = r.solve(ctx, c, j, l)
				return err
			})
		}
	}
	return refs, eg.Wait()
}

// importsOf returns the job's caches as the client prepared them for the build: a
// local one has got its digest there, or was left out because it is empty.
func importsOf(c gateway.Client, j *job) ([]gateway.CacheOptionsEntry, error) {
	opts := c.BuildOpts().Opts[cacheImports]
	if opts == "" || len(j.imports) == 0 {
		return nil, nil
	}
	var prepared, imports []gateway.CacheOptionsEntry
	if err := json.Unmarshal([]byte(opts), &prepared); err != nil {
		return nil, fmt.Errorf("cache imports: %w", err)
	}
	for _, p := range prepared {
		if slices.ContainsFunc(j.imports, func(e client.CacheOptionsEntry) bool { return sameCache(e, p) }) {
			imports = append(imports, p)
		}
	}
	return imports, nil
}

func sameCache(e client.CacheOptionsEntry, p gateway.CacheOptionsEntry) bool {
	if e.Type != p.Type {
		return false
	}
	for k, v := range e.Attrs {
		if p.Attrs[k] != v {
			return false
		}
	}
	return true
}
