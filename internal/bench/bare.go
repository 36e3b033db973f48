package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"

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
// session, all solves in one gateway build, and for images one more request each.
// Definitions, directories, their names and the sender's are those of the request that
// hbuild itself would make: after a build by hbuild there is nothing left to send.
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
		eg, ctx := errgroup.WithContext(ctx)
		eg.SetLimit(solve.DefaultParallel)
		for _, i := range images {
			eg.Go(func() error {
				if kind == kindImages {
					return i.export(ctx, c, s, opt.LocalMounts)
				}
				_, err := i.solve(ctx, gc)
				return err
			})
		}
		return gateway.NewResult(), eg.Wait()
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

func (i bareImage) solve(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	return c.Solve(ctx, gateway.SolveRequest{Definition: i.Definition.ToPB(), Evaluate: true})
}

func (i bareImage) export(ctx context.Context, c *client.Client, s *session.Session, mounts map[string]fsutil.FS) error {
	opt := client.SolveOpt{
		SharedSession: s, SessionPreInitialized: true, Internal: true, LocalMounts: mounts,
		Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{
			"name": i.tag, exptypes.ExporterImageConfigKey: string(i.Config),
		}}},
	}
	_, err := c.Solve(ctx, i.Definition, opt, nil)
	return err
}
