package solve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// runJob does one job from beginning to end and notes what became of it.
func (r *runner) runJob(ctx context.Context, c gateway.Client, j *job) {
	arrived := false
	arrive := func(ok bool) {
		if !arrived {
			arrived = true
			r.barrier.arrive(ok)
		}
	}
	err := r.doJob(ctx, c, j, arrive)
	arrive(err == nil)
	if ctx.Err() != nil && err != nil && canceled(err) {
		err = ErrSkipped
	}
	j.result.Err = err
	if err != nil && !errors.Is(err, ErrSkipped) && !r.req.KeepGoing {
		r.cancel(context.Canceled)
	}
}

func (r *runner) doJob(ctx context.Context, c gateway.Client, j *job, arrive func(bool)) error {
	// Effects that must come first may be what this job starts from: a base image
	// that is pushed. An atomic call has no effects before all is solved.
	if !r.req.Atomic {
		if err := r.awaitRequired(ctx, j); err != nil {
			return err
		}
	}
	if err := r.acquire(ctx); err != nil {
		return err
	}
	started := time.Now()
	defer func() { j.result.Duration = time.Since(started) }()
	err := r.lowerAndSolve(ctx, c, j)
	if err != nil || !r.req.Atomic {
		defer r.release()
	}
	if err != nil {
		return err
	}
	if r.req.Atomic {
		r.release()
		arrive(true)
		if !r.barrier.wait(ctx) {
			return ErrSkipped
		}
		if err := r.awaitRequired(ctx, j); err != nil {
			return err
		}
		if err := r.acquire(ctx); err != nil {
			return err
		}
		defer r.release()
	}
	return r.exportJob(ctx, c, j)
}

func (r *runner) awaitRequired(ctx context.Context, j *job) error {
	for _, addr := range j.Requires {
		other := r.byAddr[addr]
		select {
		case <-other.done:
		case <-ctx.Done():
			return ErrSkipped
		}
		if other.result.Err != nil {
			return ErrSkipped
		}
	}
	return nil
}

func (r *runner) acquire(ctx context.Context) error {
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ErrSkipped
	}
}

func (r *runner) release() { <-r.slots }

// lowerAndSolve solves, in the main build, what no build of its own will solve:
// a job that exports its image is solved there, unless nothing may be exported
// before all is solved.
func (r *runner) lowerAndSolve(ctx context.Context, c gateway.Client, j *job) error {
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
	return r.solveHere(ctx, c, j)
}

// solveHere solves what must be solved in the main build, all platforms at once.
func (r *runner) solveHere(ctx context.Context, c gateway.Client, j *job) error {
	ownImage := !j.solveOnly && len(j.outputs) > 0 && !r.req.Atomic
	ownFiles := j.ownFiles && !r.req.Atomic
	refs := make([]gateway.Reference, len(j.Builds))
	eg, solveCtx := errgroup.WithContext(ctx)
	for i := range j.Builds {
		if l := j.image(i); l != nil && !ownImage {
			eg.Go(func() error {
				_, err := r.solve(solveCtx, c, j, l)
				return err
			})
		}
		if l := j.fileSystem(i); l != nil && !ownFiles {
			eg.Go(func() (err error) {
				refs[i], err = r.solve(solveCtx, c, j, l)
				return err
			})
		}
	}
	if err := eg.Wait(); err != nil || j.ownFiles || j.solveOnly {
		return err
	}
	for i := range j.Builds {
		if j.fileSystem(i) != nil {
			j.files = append(j.files, fileRef{id: j.fileID(r, i), ref: refs[i], outputs: j.Builds[i].Outputs})
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
	steps, err := r.tracker.define(l)
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
	return &Lowered{Definition: &def, Config: l.Config}
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
	opts := c.BuildOpts().Opts["cache-imports"]
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

// exportJob brings a job's results out, each kind by a build of its own.
func (r *runner) exportJob(ctx context.Context, c gateway.Client, j *job) error {
	if !j.solveOnly {
		if len(j.outputs) > 0 {
			lowered := (*job).image
			if !j.hasImage {
				lowered = (*job).fileSystem
			}
			if err := r.export(ctx, j, j.outputs, lowered); err != nil {
				return err
			}
		}
		if j.ownFiles && (j.filesRoot != "" || j.hasImage || len(j.outputs) == 0) {
			if err := r.exportFiles(ctx, j); err != nil {
				return err
			}
		}
	}
	return nil
}

// exportFiles writes a job's files at once, not with those of all the others.
func (r *runner) exportFiles(ctx context.Context, j *job) error {
	root := j.filesRoot
	if root == "" {
		root = r.req.Root
	}
	s, err := newStaging(root)
	if err != nil {
		return err
	}
	defer s.close()
	opt := r.exportOpt(j, true)
	opt.Exports = []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: s.dir(), Attrs: map[string]string{"platform-split": "true"}}}
	var files []fileRef
	_, err = r.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		refs, err := r.solveAll(ctx, c, j, (*job).fileSystem)
		if err != nil {
			return nil, err
		}
		for i, b := range j.Builds {
			if b.Files != nil {
				files = append(files, fileRef{id: j.fileID(r, i), ref: refs[i], outputs: b.Outputs})
			}
		}
		return resultOf(files)
	}, r.tracker.stream(j.Addr))
	if err != nil {
		return receiveError(err, s)
	}
	for _, f := range files {
		in, err := s.install(f.id, f.outputs)
		if err != nil {
			return err
		}
		r.keep(j, in, j.filesRoot)
	}
	return nil
}

// filesResult is the result of the main build: the files of all jobs that have no
// build of their own.
func (r *runner) filesResult(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	var files []fileRef
	for _, j := range r.jobs {
		if j.result.Err == nil {
			files = append(files, j.files...)
		}
	}
	if len(files) >= collectFrom {
		return r.collect(ctx, c, files)
	}
	return resultOf(files)
}

// collect solves one file system that holds all files, each reference's under its
// own name.
func (r *runner) collect(ctx context.Context, c gateway.Client, files []fileRef) (*gateway.Result, error) {
	var action *llb.FileAction
	for _, f := range files {
		st := llb.Scratch()
		if f.ref != nil {
			var err error
			if st, err = f.ref.ToState(); err != nil {
				return nil, err
			}
		}
		info := &llb.CopyInfo{CopyDirContentsOnly: true, CreateDestPath: true}
		if action == nil {
			action = llb.Copy(st, "/", "/"+f.id, info)
		} else {
			action = action.Copy(st, "/", "/"+f.id, info)
		}
	}
	def, err := llb.Scratch().File(action, llb.WithCustomName("[internal] collecting files")).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res, err := c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, fmt.Errorf("collect the files: %w", err)
	}
	return res, nil
}

// resultOf makes one result of many references. BuildKit calls the key a platform
// and asks for one, but takes any name.
func resultOf(files []fileRef) (*gateway.Result, error) {
	res := gateway.NewResult()
	if len(files) == 0 {
		return res, nil
	}
	var all exptypes.Platforms
	for _, f := range files {
		res.AddRef(f.id, f.ref)
		all.Platforms = append(all.Platforms, exptypes.Platform{ID: f.id, Platform: platforms.DefaultSpec()})
	}
	dt, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	res.AddMeta(exptypes.ExporterPlatformsKey, dt)
	return res, nil
}

// exportOpt is how a build of a job's own is asked for.
func (r *runner) exportOpt(j *job, ownSession bool) client.SolveOpt {
	opt := client.SolveOpt{
		Internal:            true,
		AllowedEntitlements: r.req.Allow,
		FrontendAttrs:       map[string]string{},
		CacheImports:        cloneCache(j.imports),
	}
	if ownSession {
		opt.Session = r.attach
		r.sessions.Add(1)
	} else {
		opt.SharedSession, opt.SessionPreInitialized = r.session, true
	}
	return opt
}

// export sends what a job was lowered to to its outputs.
func (r *runner) export(ctx context.Context, j *job, outputs []output, lowered func(*job, int) *Lowered) error {
	local := func(e client.CacheOptionsEntry) bool { return e.Type == "local" }
	own := slices.ContainsFunc(outputs, output.here) || slices.ContainsFunc(j.imports, local) || slices.ContainsFunc(j.exports, local)
	opt := r.exportOpt(j, own)
	opt.CacheExports = cloneCache(j.exports)
	for k, v := range j.attest {
		opt.FrontendAttrs[k] = v
	}
	var received []*receiver
	defer func() {
		for _, rc := range received {
			rc.discard()
		}
	}()
	for _, o := range outputs {
		entry, rc, err := r.receive(ctx, o)
		if err != nil {
			return err
		}
		opt.Exports = append(opt.Exports, entry)
		received = append(received, rc)
	}
	resp, err := r.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		return r.imageResult(ctx, c, j, lowered)
	}, r.tracker.stream(j.Addr))
	if err != nil {
		for _, rc := range received {
			err = receiveError(err, rc.staging)
		}
		return err
	}
	for _, rc := range received {
		if err := rc.commit(r, j); err != nil {
			return err
		}
	}
	return j.note(resp.ExporterResponse, outputs, r)
}

// receiveError says why a directory could not be received, if that is what failed.
func receiveError(err error, s *staging) error {
	var vtx *errdefs.VertexError
	if s == nil || errors.As(err, &vtx) || canceled(err) {
		return err
	}
	return s.explain(err)
}

// imageResult solves all platforms and makes the result as exporters expect it.
func (r *runner) imageResult(ctx context.Context, c gateway.Client, j *job, lowered func(*job, int) *Lowered) (*gateway.Result, error) {
	refs, err := r.solveAll(ctx, c, j, lowered)
	if err != nil {
		return nil, err
	}
	res := gateway.NewResult()
	var all exptypes.Platforms
	for i, b := range j.Builds {
		l := lowered(j, i)
		if l == nil {
			continue
		}
		id := platformOf(l, b.Platform, c)
		p, err := platforms.Parse(id)
		if err != nil {
			return nil, err
		}
		all.Platforms = append(all.Platforms, exptypes.Platform{ID: id, Platform: p})
		config := exptypes.ExporterImageConfigKey
		if len(j.Builds) > 1 {
			res.AddRef(id, refs[i])
			config += "/" + id
		} else {
			res.SetRef(refs[i])
		}
		if l.Config != nil {
			res.AddMeta(config, l.Config)
		}
	}
	dt, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	res.AddMeta(exptypes.ExporterPlatformsKey, dt)
	return res, nil
}

// platformOf is the platform of an image: the one asked for, else what its
// configuration says, else the engine's.
func platformOf(l *Lowered, p *ocispecs.Platform, c gateway.Client) string {
	if p != nil {
		return platformID(p)
	}
	if l != nil && l.Config != nil {
		var config ocispecs.Platform
		if json.Unmarshal(l.Config, &config) == nil && config.OS != "" && config.Architecture != "" {
			return platformID(&config)
		}
	}
	for _, w := range c.BuildOpts().Workers {
		if len(w.Platforms) > 0 {
			return platformID(&w.Platforms[0])
		}
	}
	p2 := platforms.DefaultSpec()
	return platformID(&p2)
}

// receiver is an output that comes to this side.
type receiver struct {
	output  output
	archive *archive
	loading *loading
	staging *staging
}

// receive prepares an output; nothing is opened before something comes.
func (r *runner) receive(ctx context.Context, o output) (client.ExportEntry, *receiver, error) {
	entry := client.ExportEntry{Type: o.kind, Attrs: o.attrs}
	rc := &receiver{output: o}
	switch {
	case o.load:
		entry.Output = func(map[string]string) (io.WriteCloser, error) {
			rc.loading = startLoading(ctx, r.req.Loader)
			return rc.loading, nil
		}
	case o.dest == "":
	case o.dir && o.kind == client.ExporterLocal && o.attrs["mode"] != string(client.LocalExporterModeDelete):
		s, err := newStaging(o.dest)
		if err != nil {
			return entry, nil, fmt.Errorf("%w: %w", ErrRequest, err)
		}
		rc.staging = s
		entry.OutputDir = s.dir()
	case o.dir:
		entry.OutputDir = o.dest
	case o.dest == "-":
		if r.req.Stdout == nil {
			return entry, nil, fmt.Errorf("%w: an archive is not written to a terminal: give dest=FILE", ErrRequest)
		}
		entry.Output = func(map[string]string) (io.WriteCloser, error) { return nopCloser{r.req.Stdout}, nil }
	default:
		if fi, err := os.Stat(filepath.Dir(o.dest)); err != nil || !fi.IsDir() {
			return entry, nil, fmt.Errorf("%w: output %s: there is no directory %s", ErrRequest, o.dest, filepath.Dir(o.dest))
		}
		entry.Output = func(map[string]string) (io.WriteCloser, error) {
			var err error
			rc.archive, err = createArchive(o.dest)
			return rc.archive, err
		}
	}
	return entry, rc, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// commit puts what was received into place.
func (rc *receiver) commit(r *runner, j *job) error {
	switch {
	case rc.loading != nil:
		j.result.Loaded = r.req.Loader.Name()
	case rc.staging != nil:
		in, err := rc.staging.merge()
		if err != nil {
			return err
		}
		r.keep(j, in, rc.output.dest)
	case rc.archive != nil:
		w, err := rc.archive.describe()
		if err != nil {
			return err
		}
		if err := rc.archive.commit(); err != nil {
			return err
		}
		rc.archive = nil
		j.result.Files = append(j.result.Files, w)
	case rc.output.dir:
		j.result.Files = append(j.result.Files, WrittenFile{Path: rc.output.dest})
	}
	return nil
}

func (rc *receiver) discard() {
	if rc.archive != nil {
		rc.archive.discard()
	}
	if rc.staging != nil {
		rc.staging.close()
	}
}

func (a *archive) describe() (WrittenFile, error) {
	w := WrittenFile{Path: a.dest}
	f, err := os.Open(a.f.Name())
	if err != nil {
		return w, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return w, err
	}
	w.Size = fi.Size()
	w.Digest, err = digestOf(f)
	return w, err
}

// note reads what the daemon answered to an export.
func (j *job) note(resp map[string]string, outputs []output, r *runner) error {
	if !j.hasImage {
		return nil
	}
	j.result.Digest = resp[exptypes.ExporterImageDigestKey]
	j.result.ConfigDigest = resp[exptypes.ExporterImageConfigDigestKey]
	if len(j.Builds) > 1 {
		j.result.ConfigDigest = ""
	}
	if s := resp[exptypes.ExporterImageDescriptorKey]; s != "" {
		dt, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return fmt.Errorf("descriptor: %w", err)
		}
		if err := json.Unmarshal(dt, &j.result.Descriptor); err != nil {
			return fmt.Errorf("descriptor: %w", err)
		}
	}
	for _, o := range outputs {
		pushed := o.attrs["push"] == "true"
		if pushed && o.attrs["name"] != "" {
			j.result.Pushed = strings.Split(o.attrs["name"], ",")
		}
		switch {
		case o.kind != client.ExporterImage && o.kind != "moby":
		case r.engine.docker:
			// The engine's images are Docker's own.
			j.result.Loaded = "docker"
		case !pushed:
			j.result.InEngine, j.result.Stored = true, r.engine.images
		}
	}
	return nil
}
