package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/llb/build"
	"github.com/hbuild/hbuild/llb/solve"
)

// childBare makes this program a client that does nothing but the solves.
const childBare = "bare-child"

// bareResult is what a bare client took for the solves alone: reading and compiling
// files, and making definitions, are not in it, and nothing is shown, counted or
// written.
type bareResult struct{ Wall time.Duration }

// bareChild builds the module in dir the way that is the limit for any client: one
// session, all solves in as few gateway builds as hbuild has, and for images one more
// request each. Definitions, directories, their names and the sender's are those of the
// request that hbuild itself would make: after a build by hbuild there is nothing left
// to send.
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
	res, err := bareBuild(ctx, c, dir, g, kind)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(res)
}

// bareImage is one image, ready to be solved.
type bareImage struct {
	*solve.Lowered
	tag string
}

func bareBuild(ctx context.Context, c *client.Client, dir string, g *ir.Graph, kind string) (res bareResult, err error) {
	plan, err := build.NewPlan(g, build.Options{Root: dir, Outputs: []string{"type=" + kind}})
	if err != nil {
		return res, err
	}
	defer plan.Close()
	started := time.Now()
	s, err := session.NewSession(ctx, plan.Request.Sender())
	if err != nil {
		return res, err
	}
	opt := client.SolveOpt{SharedSession: s, Internal: true, LocalMounts: map[string]fsutil.FS{}}
	for name, cx := range plan.Request.Contexts {
		if opt.LocalMounts[name], err = cx.Open(); err != nil {
			return res, err
		}
	}
	var lowered time.Duration
	_, err = c.Build(ctx, opt, "", func(ctx context.Context, gc gateway.Client) (*gateway.Result, error) {
		// Local sources name the session, so this cannot be done before there is one.
		lowering := time.Now()
		images, err := bareLower(ctx, gc, plan.Request)
		if err != nil {
			return nil, err
		}
		lowered = time.Since(lowering)
		opt := opt
		opt.SessionPreInitialized = true // the session is open, and has what it shows
		return gateway.NewResult(), bareWork(ctx, c, gc, opt, images, kind)
	}, nil)
	res.Wall = time.Since(started) - lowered
	return res, err
}

func bareLower(ctx context.Context, gc gateway.Client, req solve.Request) (images []bareImage, err error) {
	for _, j := range req.Jobs {
		if len(j.Builds) != 1 || j.Builds[0].Image == nil || len(j.Tags) != 1 {
			return nil, fmt.Errorf("%s is not one image of one tag", j.Addr)
		}
		l, err := j.Builds[0].Image(ctx, gc, j.Builds[0].Platform)
		if err != nil {
			return nil, err
		}
		images = append(images, bareImage{l, j.Tags[0]})
	}
	return images, nil
}

// bareWork does all images, as many at once as hbuild does, while the gateway build gc is
// open. Those that are solved, not exported, have further ones.
func bareWork(ctx context.Context, c *client.Client, gc gateway.Client, opt client.SolveOpt, images []bareImage, kind string) error {
	slots := semaphore.NewWeighted(solve.DefaultParallel)
	each := func(ctx context.Context, images []bareImage, do func(context.Context, bareImage) error) error {
		eg, ctx := errgroup.WithContext(ctx)
		for _, i := range images {
			eg.Go(func() error {
				if err := slots.Acquire(ctx, 1); err != nil {
					return err
				}
				defer slots.Release(1)
				return do(ctx, i)
			})
		}
		return eg.Wait()
	}
	if kind == kindImages {
		return each(ctx, images, func(ctx context.Context, i bareImage) error { return i.export(ctx, c, opt) })
	}
	solveAll := func(ctx context.Context, gc gateway.Client, images []bareImage) error {
		return each(ctx, images, func(ctx context.Context, i bareImage) error { return i.solve(ctx, gc) })
	}
	first := min(len(images), solve.GatewayJobs)
	eg, ctx := errgroup.WithContext(ctx)
	eg.Go(func() error { return solveAll(ctx, gc, images[:first]) })
	for images := range slices.Chunk(images[first:], solve.GatewayJobs) {
		eg.Go(func() error {
			_, err := c.Build(ctx, opt, "", func(ctx context.Context, gc gateway.Client) (*gateway.Result, error) {
				return gateway.NewResult(), solveAll(ctx, gc, images)
			}, nil)
			return err
		})
	}
	return eg.Wait()
}

func (i bareImage) solve(ctx context.Context, c gateway.Client) error {
	_, err := c.Solve(ctx, gateway.SolveRequest{Definition: i.Definition.ToPB(), Evaluate: true})
	return err
}

func (i bareImage) export(ctx context.Context, c *client.Client, opt client.SolveOpt) error {
	opt.Exports = []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{
		"name": i.tag, exptypes.ExporterImageConfigKey: string(i.Config),
	}}}
	_, err := c.Solve(ctx, i.Definition, opt, nil)
	return err
}
