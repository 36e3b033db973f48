package solve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	commonexptypes "github.com/moby/buildkit/exporter/exptypes"
	"github.com/moby/buildkit/frontend/attestations"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/llb/sbom"
)

// exportJob brings a job's results out, each kind by a build of its own.
func (r *runner) exportJob(ctx context.Context, j *job) error {
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
	if _, apart := j.splitCache(); len(apart) > 0 {
		return r.exportCache(ctx, j, apart)
	}
	return nil
}

// splitCache tells the caches that leave with the job's outputs from those that leave by
// a build of their own. The build of an output takes along the cache of what it exports,
// which is the image or the files; an inline cache is a part of the image.
func (j *job) splitCache() (with, apart []client.CacheOptionsEntry) {
	if len(j.outputs) > 0 && !(j.hasImage && j.hasFiles) {
		return j.exports, nil
	}
	for _, e := range j.exports {
		if e.Type == "inline" {
			with = append(with, e)
		} else {
			apart = append(apart, e)
		}
	}
	return with, apart
}

// exportCache writes the cache of all that the job was lowered to, as one result that
// goes nowhere.
func (r *runner) exportCache(ctx context.Context, j *job, to []client.CacheOptionsEntry) error {
	opt := r.exportOpt(j, slices.ContainsFunc(j.imports, localCache) || slices.ContainsFunc(to, localCache))
	opt.CacheExports = cloneCache(to)
	_, err := r.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		var all []fileRef
		for kind, lowered := range []func(*job, int) *Lowered{(*job).image, (*job).fileSystem} {
			refs, err := r.solveAll(ctx, c, j, lowered)
			if err != nil {
				return nil, err
			}
			for i, ref := range refs {
				if ref != nil {
					all = append(all, fileRef{id: fmt.Sprintf("%d.%d", kind, i), ref: ref})
				}
			}
		}
		return resultOf(all)
	}, r.tracker.stream(j.label()))
	return err
}

func localCache(e client.CacheOptionsEntry) bool { return e.Type == "local" }

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
	endSession, err := r.receiveDirs(ctx, &opt, s)
	if err != nil {
		return err
	}
	defer endSession()
	var files []fileRef
	_, err = r.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		refs, err := r.solveAll(ctx, c, j, (*job).fileSystem)
		if err != nil {
			return nil, err
		}
		for i, b := range j.Builds {
			if b.Files != nil {
				files = append(files, fileRef{id: j.fileID(r, i), ref: refs[i], outputs: b.Outputs, epoch: j.fileSystem(i).Epoch})
			}
		}
		return resultOf(files)
	}, r.tracker.stream(j.label()))
	if err != nil {
		return receiveError(err, s)
	}
	defer s.lock()()
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
	own := func(f fileRef) bool { return f.epoch != nil } // a time is of a whole reference
	if len(files) >= collectFrom && !slices.ContainsFunc(files, own) {
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
		addEpoch(res, "/"+f.id, f.epoch)
		all.Platforms = append(all.Platforms, exptypes.Platform{ID: f.id, Platform: platforms.DefaultSpec()})
	}
	dt, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	res.AddMeta(exptypes.ExporterPlatformsKey, dt)
	return res, nil
}

// addEpoch tells exporters the time of what they write.
func addEpoch(res *gateway.Result, suffix string, t *time.Time) {
	if t != nil {
		res.AddMeta(commonexptypes.ExporterEpochKey+suffix, []byte(strconv.FormatInt(t.Unix(), 10)))
	}
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
	cache, _ := j.splitCache()
	own := slices.ContainsFunc(outputs, output.here) || slices.ContainsFunc(j.imports, localCache) || slices.ContainsFunc(cache, localCache)
	opt := r.exportOpt(j, own)
	opt.CacheExports = cloneCache(cache)
	for k, v := range j.attest {
		opt.FrontendAttrs[k] = v
	}
	var received []*receiver
	var stagings []*staging
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
		if rc.staging != nil {
			stagings = append(stagings, rc.staging)
		}
	}
	endSession, err := r.receiveDirs(ctx, &opt, stagings...)
	if err != nil {
		return err
	}
	defer endSession()
	resp, err := r.solveAndExport(ctx, j, outputs, lowered, opt)
	if err != nil {
		for _, rc := range received {
			err = rc.explain(err)
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

// solveAndExport asks for a build of the job's own. Most images are one definition with a
// configuration: the daemon is given both and asked nothing in between, where a gateway
// build takes it four more questions.
func (r *runner) solveAndExport(ctx context.Context, j *job, outputs []output, lowered func(*job, int) *Lowered, opt client.SolveOpt) (*client.SolveResponse, error) {
	stream := r.tracker.stream(j.label())
	if !r.oneDefinition(j, outputs) {
		return r.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
			return r.imageResult(ctx, c, j, lowered)
		}, stream)
	}
	l := lowered(j, 0)
	for i, e := range opt.Exports {
		// What an exporter does not know it takes for the result's metadata.
		e.Attrs = maps.Clone(e.Attrs)
		e.Attrs[exptypes.ExporterImageConfigKey] = string(l.Config)
		opt.Exports[i] = e
	}
	opt.LocalMounts = r.mounts
	return r.client.Solve(ctx, l.Definition, opt, stream)
}

// oneDefinition reports whether a job's image is one definition and its configuration, and goes to
// BuildKit's own image exporter.
func (r *runner) oneDefinition(j *job, outputs []output) bool {
	l := j.image(0)
	if len(j.Builds) != 1 || j.Index || len(j.attest) > 0 || r.engine.docker {
		return false
	}
	for _, o := range outputs {
		if o.kind != client.ExporterImage {
			return false
		}
	}
	return l != nil && l.Definition != nil && len(l.Definition.Def) > 0 && l.Epoch == nil
}

// explain says why an output could not be received, if that is what failed: the
// daemon has it from here, and with less to tell it by.
func (rc *receiver) explain(err error) error {
	if rc.archive != nil && rc.archive.err != nil {
		return rc.archive.err
	}
	return receiveError(err, rc.staging)
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
	var scanner *sbom.Scanner
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
		suffix := ""
		if len(j.Builds) > 1 || j.Index {
			res.AddRef(id, refs[i])
			suffix = "/" + id
		} else {
			res.SetRef(refs[i])
		}
		if l.Config != nil {
			res.AddMeta(exptypes.ExporterImageConfigKey+suffix, l.Config)
		}
		addEpoch(res, suffix, l.Epoch)
		if _, wanted := j.attest[attestSBOM]; !wanted || len(l.Extras) == 0 {
			continue // the engine scans what is in the image by itself
		}
		if scanner == nil {
			if scanner, err = r.scanner(ctx, c, j); err != nil {
				return nil, err
			}
		}
		if err := scanner.Attest(ctx, res, sbom.Request{ID: id, Core: l.Definition, Extras: l.Extras, IgnoreCache: l.ExtrasFresh}); err != nil {
			return nil, err
		}
	}
	dt, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	res.AddMeta(exptypes.ExporterPlatformsKey, dt)
	return res, nil
}

// scanner is the one that the job's SBOM is made with.
func (r *runner) scanner(ctx context.Context, c gateway.Client, j *job) (*sbom.Scanner, error) {
	parsed, err := attestations.Parse(map[string]string{attestSBOM: j.attest[attestSBOM]})
	if err != nil {
		return nil, fmt.Errorf("%w: attest: %w", ErrRequest, err)
	}
	params := parsed[attestations.KeyTypeSbom]
	image := params["generator"]
	delete(params, "generator")
	return sbom.New(ctx, &jobClient{Client: c, shared: &r.resolver, pull: j.Pull}, image, params, "")
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

// upload pushes a job's images by their digests alone, so that they are in the
// registry and no tag names them.
func (r *runner) upload(ctx context.Context, j *job) error {
	opt := r.exportOpt(j, slices.ContainsFunc(j.imports, func(e client.CacheOptionsEntry) bool { return e.Type == "local" }))
	for k, v := range j.attest {
		opt.FrontendAttrs[k] = v
	}
	for _, o := range j.outputs {
		if attrs := o.byDigest(); attrs != nil {
			opt.Exports = append(opt.Exports, client.ExportEntry{Type: o.kind, Attrs: attrs})
		}
	}
	if j.solveOnly || !j.hasImage || len(opt.Exports) == 0 {
		return nil
	}
	if err := r.acquire(ctx, j); err != nil {
		return err
	}
	defer r.release()
	_, err := r.client.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		return r.imageResult(ctx, c, j, (*job).image)
	}, r.tracker.stream(j.Addr))
	return err
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
		defer rc.staging.lock()()
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
		w.Path, w.root = r.written(j, w.Path)
		j.result.Files = append(j.result.Files, w)
	case rc.output.dir:
		w := WrittenFile{}
		w.Path, w.root = r.written(j, rc.output.dest)
		j.result.Files = append(j.result.Files, w)
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
	if len(j.Builds) > 1 || j.Index {
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
