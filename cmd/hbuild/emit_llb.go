package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/llb"
	"github.com/hbuild/hbuild/llb/build"
	"github.com/hbuild/hbuild/llb/engine"
	"github.com/hbuild/hbuild/llb/solve"
)

// llbOptions are what `hbuild emit llb` takes.
type llbOptions struct {
	emitOptions
	imageConfig string
	format      string
	engine      string
	steps       stepFlags
}

func newEmitLLBCmd(a *app) *cobra.Command {
	var o llbOptions
	cmd := &cobra.Command{
		Use:   "llb [ADDR]",
		Short: "Print a target as BuildKit's LLB",
		Long: `Emit llb prints the definition of a target's image, or of its files when it has no
image, as buildctl reads it (pb), as one operation a line (json), or the digest of
its result (digest).

Base images are looked up through the engine, as a build does, unless
--image-config names a file that has them; then nothing is asked over a network:

  {"docker.io/library/alpine:3.22": {"linux/amd64": {
    "digest": "sha256:...", "config": { an OCI image configuration }}}}`,
		Example: `  hbuild emit llb prod -o prod.pb
  buildctl build --local context=. < prod.pb
  hbuild emit llb prod --platform linux/arm64 --image-config images.json --format digest`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.arg(args)
			return a.emitLLB(cmd.Context(), &o)
		},
	}
	o.register(a, cmd)
	choice(cmd, cmd.Flags(), &o.format, "format", "what is printed", "pb", formatJSON, "digest")
	cmd.Flags().StringVar(&o.imageConfig, "image-config", "", "read base images from `FILE` in place of the engine")
	registerEngine(cmd, &o.engine)
	o.steps.register(cmd)
	return cmd
}

func (a *app) emitLLB(ctx context.Context, o *llbOptions) error {
	if o.format == "pb" && o.output == "" && terminal(a.stdout) != nil {
		return usagef("A definition is binary; write it with -o FILE, or print it with --format json.")
	}
	e, err := a.emit(&o.emitOptions)
	if err != nil {
		return err
	}
	defer e.p.Close()
	if err := o.steps.apply(e.p, e.graph); err != nil {
		return err
	}
	req, err := oneRequest(e.target)
	if err != nil {
		return err
	}
	var def *bk.Definition
	switch {
	case o.imageConfig != "":
		images, err := readImages(o.imageConfig)
		if err != nil {
			return err
		}
		def, err = e.lower(ctx, req, llb.Options{Resolver: images, BuildPlatforms: []ocispecs.Platform{hostPlatform()}})
		if err != nil {
			return err
		}
	case needsImages(e.graph):
		def, err = a.lowerOnline(ctx, o, e, req)
	default:
		def, err = e.lower(ctx, req, llb.Options{BuildPlatforms: []ocispecs.Platform{hostPlatform()}})
	}
	if err != nil {
		return err
	}
	data, err := o.encode(def)
	if err != nil {
		return err
	}
	return a.write(&o.emitOptions, data)
}

// oneRequest is what is printed of a target: its image, else its files.
func oneRequest(t *ir.Target) (llb.Request, error) {
	if len(t.Builds) > 1 {
		return llb.Request{}, usagef("%s is built for %s; say which one with --platform.", t.Name, platformNames(t.Builds, platforms.FormatAll))
	}
	return llb.Requests(t)[0], nil
}

// needsImages reports whether anything in the graph comes from a registry, or the
// time of its files from another server.
func needsImages(g *ir.Graph) bool {
	if slices.ContainsFunc(g.Targets, func(t *ir.Target) bool { return t.Options.EpochFrom != nil }) {
		return true
	}
	for _, st := range g.Stages {
		if _, ok := st.Root.(ir.ImageRoot); ok {
			return true
		}
		found := false
		st.Contexts(func(c *ir.Context) { found = found || c.Given != "" })
		for _, step := range st.Steps {
			ir.Sources(step, func(s ir.Source) {
				_, ok := s.(ir.ImageSource)
				found = found || ok
			})
		}
		if found {
			return true
		}
	}
	return false
}

func readImages(name string) (*llb.Images, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usagef("--image-config %s: %v.", name, reason(err))
	}
	defer f.Close()
	images, err := llb.ReadImages(f)
	if err != nil {
		return nil, usagef("--image-config %s: %v.", name, err)
	}
	return images, nil
}

// lower lowers one request without an engine, and prints what is wrong.
func (e *emitted) lower(ctx context.Context, req llb.Request, opt llb.Options) (*bk.Definition, error) {
	res, diags := llb.Lower(ctx, e.graph, req, opt)
	if err := e.p.report(e.p.allowed(diags)); err != nil {
		return nil, err
	}
	return res.Definition(ctx)
}

// lowerOnline lowers one request with an engine that resolves base images. It is
// a build of nothing, so that registries are asked as they are in a build.
func (a *app) lowerOnline(ctx context.Context, o *llbOptions, e *emitted, req llb.Request) (*bk.Definition, error) {
	eng, err := engine.Find(ctx, engine.Options{Address: o.engine, Log: a.stderr})
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	c, err := eng.Client(ctx)
	if err != nil {
		return nil, &exitError{Code: exitUnreachable, Err: err}
	}
	defer c.Close()
	given, err := build.NewGivens(e.graph, build.Options{Root: e.p.Root, Stdin: a.stdin})
	if err != nil {
		return nil, buildFailed(e.p.report, e.graph, nil, err)
	}
	defer given.Close()
	var def *bk.Definition
	var diags hcl.Diagnostics
	lower := func(ctx context.Context, gw gateway.Client, _ *ocispecs.Platform) (*solve.Lowered, error) {
		var plats []ocispecs.Platform
		for _, w := range gw.BuildOpts().Workers {
			plats = append(plats, w.Platforms...)
		}
		seen := &seenError{ImageMetaResolver: gw}
		var res *llb.Result
		res, diags = llb.Lower(ctx, e.graph, req, llb.Options{Resolver: seen, BuildPlatforms: plats, Given: given.Load(gw, seen.note), Sources: build.Sources(gw, seen.note)})
		if diags.HasErrors() {
			return nil, &build.DiagnosticsError{Diags: diags, Cause: seen.err}
		}
		var err error
		def, err = res.Definition(ctx)
		return &solve.Lowered{}, err
	}
	_, err = solve.Run(ctx, c, solve.Request{
		Jobs: []solve.Job{{Addr: e.target.Addr, Builds: []solve.PlatformBuild{{Image: lower}}, SolveOnly: true}},
		Root: e.p.Root, OCILayouts: given.Layouts, Uploads: given.Uploads, Progress: solve.Progress{Mode: "none"},
	})
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, buildFailed(e.p.report, e.graph, nil, err)
	}
	return def, e.p.report(e.p.allowed(diags))
}

// encode writes a definition in the format that was asked for.
func (o *llbOptions) encode(def *bk.Definition) ([]byte, error) {
	switch o.format {
	case formatJSON:
		return llb.JSON(def)
	case "digest":
		head, err := llb.Head(def)
		return []byte(fmt.Sprintln(head)), err
	}
	var b bytes.Buffer
	err := bk.WriteTo(def, &b)
	return b.Bytes(), err
}

// seenError keeps the error of a resolver, which decides the exit code; the
// diagnostic that the lowering makes of it only has the words.
type seenError struct {
	bk.ImageMetaResolver
	mu  sync.Mutex
	err error
}

// ResolveImageConfig implements llb.ImageMetaResolver.
func (s *seenError) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	name, dgst, config, err := s.ImageMetaResolver.ResolveImageConfig(ctx, ref, opt)
	if err != nil {
		s.note(err)
	}
	return name, dgst, config, err
}

func (s *seenError) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}
