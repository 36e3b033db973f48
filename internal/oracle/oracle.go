// Package oracle asks BuildKit's own Dockerfile frontend what a Dockerfile means,
// and compares definitions, so that tests can say: the LLB that hbuild lowers has
// the digest that BuildKit gives for the Dockerfile that hbuild emits.
//
// The whole frontend runs (frontend/dockerfile/builder, with dockerui's ignore
// files, follow paths and named contexts) against a gateway client that solves
// nothing: it serves the Dockerfile and the ignore files and records the
// definition that it is asked to solve last. No daemon is involved; a conversion
// takes milliseconds.
package oracle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// BuildPlatform is the platform of the worker that conversions pretend to have.
var BuildPlatform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}

// Options say how the Dockerfile is built.
type Options struct {
	// Attrs are frontend attributes: "platform" (one platform at most), "target",
	// "label:K", "build-arg:K", "add-hosts", "context:NAME" = "local:NAME".
	Attrs map[string]string
	// Ignore holds ignore files: "Dockerfile.dockerignore" is beside the
	// Dockerfile, ".dockerignore" at the root of the main context, and
	// "NAME/.dockerignore" at the root of the local source NAME.
	Ignore map[string][]byte
	// Resolver knows base images; nil knows those of [Images].
	Resolver llb.ImageMetaResolver
	// Multi asks for a multi-platform result, which only changes names.
	Multi bool
}

// Result is what BuildKit made.
type Result struct {
	Def *pb.Definition
	// Image is the image configuration; its History is BuildKit's.
	Image *dockerspec.DockerOCIImage
	// Warnings are the lint messages of the frontend.
	Warnings []string
}

// Convert runs BuildKit's Dockerfile frontend over a Dockerfile for one platform.
func Convert(ctx context.Context, dockerfile []byte, opt Options) (*Result, error) {
	c := &fakeClient{dockerfile: dockerfile, opt: opt, resolver: opt.Resolver, attrs: maps.Clone(opt.Attrs)}
	if c.attrs == nil {
		c.attrs = map[string]string{}
	}
	if strings.Contains(c.attrs["platform"], ",") {
		return nil, errors.New("oracle: one platform at a time")
	}
	if opt.Multi {
		c.attrs["multi-platform"] = "true"
	}
	if c.resolver == nil {
		c.resolver = Images{}
	}
	res, err := build(ctx, c)
	if err != nil {
		return nil, err
	}
	config := res.Metadata[exptypes.ExporterImageConfigKey]
	for k, v := range res.Metadata {
		if strings.HasPrefix(k, exptypes.ExporterImageConfigKey+"/") {
			config = v
		}
	}
	out := &Result{Def: c.last, Warnings: c.warnings, Image: &dockerspec.DockerOCIImage{}}
	return out, json.Unmarshal(config, out.Image)
}

// NewClient is the gateway client that [Convert] runs the frontend with, for
// BuildKit's libraries that read contexts.
func NewClient(opt Options) client.Client {
	if opt.Resolver == nil {
		opt.Resolver = Images{}
	}
	return &fakeClient{opt: opt, resolver: opt.Resolver, attrs: opt.Attrs}
}

// fakeClient is a gateway client without a daemon behind it.
type fakeClient struct {
	dockerfile []byte
	opt        Options
	attrs      map[string]string
	resolver   llb.ImageMetaResolver

	mu       sync.Mutex
	last     *pb.Definition
	warnings []string
}

var _ client.Client = (*fakeClient)(nil)

func (c *fakeClient) BuildOpts() client.BuildOpts {
	return client.BuildOpts{
		Opts:      c.attrs,
		SessionID: "session",
		Workers:   []client.WorkerInfo{{ID: "worker", Platforms: []ocispecs.Platform{BuildPlatform}}},
		Product:   "oracle",
		LLBCaps:   pb.Caps.CapSet(pb.Caps.All()),
		Caps:      gwpb.Caps.CapSet(gwpb.Caps.All()),
	}
}

func (c *fakeClient) Solve(_ context.Context, req client.SolveRequest) (*client.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = req.Definition
	res := client.NewResult()
	res.SetRef(&fakeRef{c: c, local: localName(req.Definition)})
	return res, nil
}

func (c *fakeClient) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return c.resolver.ResolveImageConfig(ctx, ref, opt)
}

// SourceTime is when every commit was made and every file changed that a
// definition fetches, in seconds since 1970.
const SourceTime = 1600000000

func (c *fakeClient) ResolveSourceMetadata(_ context.Context, op *pb.SourceOp, _ sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	if strings.HasPrefix(op.Identifier, "git://") {
		object := fmt.Sprintf("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@example.com> 1500000000 +0000\ncommitter C <c@example.com> %d +0200\n\nmessage\n", SourceTime)
		return &sourceresolver.MetaResponse{Op: op, Git: &sourceresolver.ResolveGitResponse{CommitObject: []byte(object)}}, nil
	}
	if !strings.HasPrefix(op.Identifier, "http") {
		return &sourceresolver.MetaResponse{Op: op}, nil
	}
	t := time.Unix(SourceTime, 0)
	return &sourceresolver.MetaResponse{Op: op, HTTP: &sourceresolver.ResolveHTTPResponse{LastModified: &t}}, nil
}

func (c *fakeClient) Inputs(context.Context) (map[string]llb.State, error) { return nil, nil }

func (c *fakeClient) NewContainer(context.Context, client.NewContainerRequest) (client.Container, error) {
	return nil, errors.New("oracle: no containers")
}

func (c *fakeClient) Warn(_ context.Context, _ digest.Digest, msg string, _ client.WarnOpts) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, msg)
	return nil
}

// localName is the name of the local source that a definition consists of.
func localName(def *pb.Definition) string {
	if def == nil {
		return ""
	}
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err == nil && op.GetSource() != nil {
			if name, ok := strings.CutPrefix(op.GetSource().Identifier, "local://"); ok {
				return name
			}
		}
	}
	return ""
}

// fakeRef serves the few files that the frontend reads.
type fakeRef struct {
	c     *fakeClient
	local string
}

func (r *fakeRef) ToState() (llb.State, error)      { return llb.Scratch(), nil }
func (r *fakeRef) Evaluate(_ context.Context) error { return nil }

func (r *fakeRef) read(name string) ([]byte, bool) {
	switch {
	case r.local == "dockerfile" && name == "Dockerfile":
		return r.c.dockerfile, true
	case r.local == "dockerfile", r.local == "context":
		dt, ok := r.c.opt.Ignore[name]
		return dt, ok
	}
	dt, ok := r.c.opt.Ignore[r.local+"/"+name]
	return dt, ok
}

func (r *fakeRef) ReadFile(_ context.Context, req client.ReadRequest) ([]byte, error) {
	if dt, ok := r.read(req.Filename); ok {
		return dt, nil
	}
	return nil, fmt.Errorf("open %s: %w", req.Filename, fs.ErrNotExist)
}

func (r *fakeRef) StatFile(_ context.Context, req client.StatRequest) (*fstypes.Stat, error) {
	if dt, ok := r.read(req.Path); ok {
		return &fstypes.Stat{Path: req.Path, Size: int64(len(dt))}, nil
	}
	return nil, fmt.Errorf("stat %s: %w", req.Path, fs.ErrNotExist)
}

func (r *fakeRef) ReadDir(context.Context, client.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, errors.New("oracle: no directories")
}

// Images resolves every reference to a made-up image: a Debian-like one unless
// the map has a configuration for the reference, in its full form
// ("docker.io/library/rich:latest"). The digest follows from reference and
// platform. It is an llb.ImageMetaResolver.
type Images map[string]dockerspec.DockerOCIImage

// ResolveImageConfig implements llb.ImageMetaResolver.
func (m Images) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	p := BuildPlatform
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		p = *opt.ImageOpt.Platform
	}
	img, ok := m[ref]
	if !ok {
		img = plainImage()
	}
	if img.Architecture == "" {
		img.OS, img.Architecture, img.Variant = p.OS, p.Architecture, p.Variant
	}
	dt, err := json.Marshal(img)
	return ref, digest.FromString(ref + " " + platforms.FormatAll(p)), dt, err
}

func plainImage() dockerspec.DockerOCIImage {
	var img dockerspec.DockerOCIImage
	img.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	img.Config.Cmd = []string{"/bin/sh"}
	// Without a layer BuildKit takes an image for scratch.
	img.RootFS = ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("layer")}}
	return img
}

// Rich is the configuration of an image that sets everything: environment, user,
// working directory, shell, entrypoint, volumes, health check, labels and build
// triggers. Tests put it into [Images].
func Rich(onbuild ...string) dockerspec.DockerOCIImage {
	img := plainImage()
	img.Author = "somebody"
	img.Config.Env = []string{"Q=1", "PATH=/opt/bin:/usr/bin:/bin", "Z=z"}
	img.Config.User = "app"
	img.Config.WorkingDir = "/srv"
	img.Config.Shell = []string{"/bin/bash", "-eo", "pipefail", "-c"}
	img.Config.Entrypoint = []string{"/entry"}
	img.Config.Cmd = []string{"serve"}
	img.Config.Volumes = map[string]struct{}{"/data": {}}
	img.Config.ExposedPorts = map[string]struct{}{"80/tcp": {}}
	img.Config.Labels = map[string]string{"from": "base"}
	img.Config.StopSignal = "SIGINT"
	img.Config.Healthcheck = &dockerspec.HealthcheckConfig{Test: []string{"CMD", "true"}, Retries: 2}
	img.Config.OnBuild = onbuild
	img.History = []ocispecs.History{{CreatedBy: "base layer"}}
	return img
}
