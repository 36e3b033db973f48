package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/llb"
)

// childBare makes this program a client that does nothing but the solves.
const childBare = "bare-child"

// bareParallel is how many solves or exports are asked for at once, as hbuild does.
const bareParallel = 16

// bareResult is what a bare client took for the solves alone: definitions were made
// before, and nothing is shown, counted or written afterwards.
type bareResult struct{ Wall time.Duration }

// bareImage is one image, ready to be solved.
type bareImage struct {
	def    *bk.Definition
	config []byte
	tag    string
}

// bareChild builds the module in dir the way that is the limit for any client: one
// session, all solves in one gateway build, and for images one more request each.
func bareChild(ctx context.Context, address, dir, kind, what string) error {
	g, diags := compiler.Load(os.DirFS(dir), ".", compiler.Options{}).Graph([]string{what}, nil)
	if diags.HasErrors() {
		return diags
	}
	c, err := client.New(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	// The first build asks for base images and sends what has changed; the second
	// is what counts.
	images, err := bareLower(ctx, c, g)
	if err != nil {
		return err
	}
	var res bareResult
	for range 2 {
		started := time.Now()
		if err := bareBuild(ctx, c, dir, g, images, kind); err != nil {
			return err
		}
		res.Wall = time.Since(started)
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

func bareLower(ctx context.Context, c *client.Client, g *ir.Graph) (images []bareImage, err error) {
	_, err = c.Build(ctx, client.SolveOpt{Internal: true}, "", func(ctx context.Context, gc gateway.Client) (*gateway.Result, error) {
		var reqs []llb.Request
		for _, t := range g.Targets {
			reqs = append(reqs, llb.Requests(t)...)
		}
		caps := gc.BuildOpts().LLBCaps
		all, diags := llb.LowerAll(ctx, g, reqs, llb.Options{Resolver: gc, Caps: &caps, SharedContext: true})
		if diags.HasErrors() {
			return nil, diags
		}
		for i, r := range all {
			def, err := r.Definition(ctx)
			if err != nil {
				return nil, err
			}
			config, err := json.Marshal(r.Image)
			if err != nil {
				return nil, err
			}
			if len(g.Targets) != len(all) || len(g.Targets[i].Tags) > 1 {
				return nil, errors.New("each target has to be one image of one tag")
			}
			img := bareImage{def: def, config: config}
			for _, tag := range g.Targets[i].Tags {
				img.tag = tag
			}
			images = append(images, img)
		}
		return gateway.NewResult(), nil
	}, nil)
	return images, err
}

func bareBuild(ctx context.Context, c *client.Client, dir string, g *ir.Graph, images []bareImage, kind string) error {
	s, err := session.NewSession(ctx, "bench:"+dir)
	if err != nil {
		return err
	}
	opt := client.SolveOpt{SharedSession: s, Internal: true, LocalMounts: map[string]fsutil.FS{}}
	all := slices.Clone(g.Contexts)
	for _, t := range g.Targets {
		all = append(all, t.Main)
	}
	for _, cx := range all {
		if cx == nil {
			continue
		}
		name := cx.Name
		if name == "default" {
			name = "context"
		}
		if opt.LocalMounts[name], err = fsutil.NewFS(filepath.Join(dir, filepath.FromSlash(cx.Path))); err != nil {
			return err
		}
	}
	_, err = c.Build(ctx, opt, "", func(ctx context.Context, gc gateway.Client) (*gateway.Result, error) {
		eg, ctx := errgroup.WithContext(ctx)
		eg.SetLimit(bareParallel)
		for _, img := range images {
			eg.Go(func() error {
				if kind == kindImages {
					return img.export(ctx, c, s)
				}
				_, err := img.solve(ctx, gc)
				return err
			})
		}
		return gateway.NewResult(), eg.Wait()
	}, nil)
	return err
}

func (i bareImage) solve(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	return c.Solve(ctx, gateway.SolveRequest{Definition: i.def.ToPB(), Evaluate: true})
}

func (i bareImage) export(ctx context.Context, c *client.Client, s *session.Session) error {
	opt := client.SolveOpt{
		SharedSession: s, SessionPreInitialized: true, Internal: true,
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{"name": i.tag}}},
	}
	_, err := c.Build(ctx, opt, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		res, err := i.solve(ctx, c)
		if err == nil {
			res.AddMeta(exptypes.ExporterImageConfigKey, i.config)
		}
		return res, err
	}, nil)
	return err
}
