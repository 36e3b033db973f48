package solve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
)

// engine is what matters of the daemon's kind.
type engine struct {
	docker bool // it is the one inside a Docker daemon
	images bool // it keeps images under their names
}

// prepare checks the request as a whole, before anything is sent.
func (r *runner) prepare(ctx context.Context) error {
	if err := checkAllow(r.req.Allow); err != nil {
		return err
	}
	if err := checkMetadataFile(r.req.MetadataFile); err != nil {
		return err
	}
	if err := r.inspect(ctx); err != nil {
		return err
	}
	r.byAddr = map[string]*job{}
	for i := range r.req.Jobs {
		j, err := r.plan(r.req.Jobs[i])
		if err != nil {
			return &CallError{Target: r.req.Jobs[i].Addr, Err: err}
		}
		r.jobs = append(r.jobs, j)
		r.byAddr[j.Addr] = j
	}
	if err := r.checkRequires(); err != nil {
		return err
	}
	if err := r.checkDestinations(); err != nil {
		return err
	}
	if err := r.findLoader(ctx); err != nil {
		return err
	}
	attach, secrets, err := r.req.attachables()
	if err != nil {
		return err
	}
	r.attach = attach
	parallel := r.req.Parallel
	if parallel <= 0 {
		parallel = DefaultParallel
	}
	r.slots = newSlots(parallel)
	if r.tracker, err = newTracker(r.req.Progress, secrets, len(r.jobs)); err != nil {
		return err
	}
	r.session, err = session.NewSession(context.Background(), r.req.Sender())
	r.sessions.Add(1)
	return err
}

// inspect asks what kind of engine it is.
func (r *runner) inspect(ctx context.Context) error {
	workers, err := r.client.ListWorkers(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %s", ErrEngine, plain(err))
	}
	for _, w := range workers {
		if w.ID == "moby" {
			// Docker's engine on its own image store; its labels came later.
			r.engine.docker = true
		}
		for label, value := range w.Labels {
			switch {
			case strings.HasPrefix(label, "org.mobyproject.buildkit.worker.moby."):
				r.engine.docker = true
			case label == "org.mobyproject.buildkit.worker.executor" && value == "containerd":
				r.engine.images = true
			}
		}
	}
	if r.engine.docker {
		// Docker's engine names a snapshotter when it runs on containerd's image
		// store, and only then keeps images as BuildKit's own exporter makes them.
		r.engine.images = slices.ContainsFunc(workers, func(w *client.WorkerInfo) bool {
			_, ok := w.Labels["org.mobyproject.buildkit.worker.snapshotter"]
			return ok
		})
	}
	return nil
}

func (r *runner) plan(in Job) (*job, error) {
	j := &job{Job: in, done: make(chan struct{})}
	j.result = JobResult{Addr: in.Addr, Name: in.Name, Test: in.Test, Requires: in.Requires, Gates: in.Gates, Source: positionOf(in.Range), Tags: in.Tags, Err: ErrSkipped}
	if in.Addr == "" {
		return nil, errors.New("a target without an address")
	}
	if r.byAddr[in.Addr] != nil {
		return nil, errors.New("asked for twice")
	}
	seen := map[string]bool{}
	for _, b := range in.Builds {
		j.hasImage = j.hasImage || b.Image != nil
		j.hasFiles = j.hasFiles || b.Files != nil
		id := platformID(b.Platform)
		if seen[id] {
			return nil, fmt.Errorf("platform %s twice", id)
		}
		seen[id] = true
	}
	j.NoCache = j.NoCache || r.req.NoCache
	j.Pull = j.Pull || r.req.Pull
	var err error
	if err = j.planOutputs(r.engine, r.req.Root); err != nil {
		return nil, err
	}
	if j.imports, j.exports, err = parseCache(r.req.Root, in.CacheFrom, in.CacheTo); err != nil {
		return nil, err
	}
	if j.attest, err = parseAttest(in.Attest); err != nil {
		return nil, err
	}
	if j.hasFiles && !j.solveOnly && j.filesRoot == "" && r.req.Root == "" {
		return nil, errors.New("files need a root to be written under")
	}
	return j, nil
}

// checkRequires also finds cycles: jobs would wait for each other for ever.
func (r *runner) checkRequires() error {
	state := map[*job]int{}
	var visit func(*job) error
	visit = func(j *job) error {
		switch state[j] {
		case 1:
			return fmt.Errorf("%w: %s requires itself", ErrRequest, j.Addr)
		case 2:
			return nil
		}
		state[j] = 1
		for _, addr := range slices.Concat(j.Requires, j.Gates) {
			other := r.byAddr[addr]
			if other == nil {
				return fmt.Errorf("%w: %s requires %s, which is not part of the build", ErrRequest, j.Addr, addr)
			}
			other.required = other.required || !other.Test
			if err := visit(other); err != nil {
				return err
			}
		}
		state[j] = 2
		return nil
	}
	for _, j := range r.jobs {
		if err := visit(j); err != nil {
			return err
		}
	}
	for _, j := range r.jobs {
		// Effects that others wait for cannot come at the end with all the rest,
		// nor can files with a directory of their own.
		j.ownFiles = j.hasFiles && (j.required || j.filesRoot != "" || len(j.outputs) > 0 && !j.hasImage)
		j.ownFiles = j.ownFiles && !j.solveOnly
	}
	return nil
}

// checkDestinations refuses an archive for a terminal, and two results in one
// place: an archive would be that of the last target, a directory a mixture of
// images.
func (r *runner) checkDestinations() error {
	writers := map[string]string{}
	for _, j := range r.jobs {
		for _, o := range j.outputs {
			if o.dest == "" {
				continue
			}
			if o.dest == "-" && r.req.Stdout == nil {
				return &CallError{Target: j.Addr, Err: errors.New("an archive is not written to a terminal: give dest=FILE")}
			}
			dest := filepath.Clean(o.dest)
			if other := writers[dest]; other != "" {
				return &CallError{Target: j.Addr, Err: fmt.Errorf("%s is written by %s already: build one of them, or give each outputs of its own", o.dest, other)}
			}
			writers[dest] = j.Addr
		}
	}
	return nil
}

func (r *runner) findLoader(ctx context.Context) error {
	needed := slices.ContainsFunc(r.jobs, func(j *job) bool {
		return slices.ContainsFunc(j.outputs, func(o output) bool { return o.load })
	})
	if !needed || r.req.Loader != nil {
		return nil
	}
	loader, err := FindLoader(ctx)
	r.req.Loader = loader
	return err
}

// mainOpt is how the main build is asked for. It opens the session.
func (r *runner) mainOpt() (opt client.SolveOpt, sent *transfer, err error) {
	sent = new(transfer)
	opt = client.SolveOpt{
		SharedSession:       r.session,
		Session:             r.attach,
		AllowedEntitlements: r.req.Allow,
		FrontendAttrs:       map[string]string{},
	}
	if opt.LocalMounts, err = r.req.mounts(sent); err != nil {
		return opt, nil, err
	}
	if opt.OCIStores, err = r.req.layouts(); err != nil {
		return opt, nil, err
	}
	files := 0
	for _, j := range r.jobs {
		opt.CacheImports = append(opt.CacheImports, cloneCache(j.imports)...)
		if j.filesLeaveTogether() {
			files += len(j.Builds)
		}
	}
	if files == 0 {
		return opt, sent, nil
	}
	if r.staging, err = newStaging(r.req.Root); err != nil {
		return opt, nil, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	export := client.ExportEntry{Type: client.ExporterLocal, OutputDir: r.staging.dir(), Attrs: map[string]string{}}
	opt.Exports = []client.ExportEntry{export}
	return opt, sent, nil
}

// cloneCache copies what the client writes digests into.
func cloneCache(entries []client.CacheOptionsEntry) []client.CacheOptionsEntry {
	out := slices.Clone(entries)
	for i := range out {
		out[i].Attrs = maps.Clone(out[i].Attrs)
	}
	return out
}
