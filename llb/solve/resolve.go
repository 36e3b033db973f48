package solve

import (
	"context"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/protobuf/proto"
)

// resolver shares the answers of one call among all its jobs: two
// hundred targets on one base image ask the registry once, and all of them build
// on the same image even when its tag moves meanwhile.
type resolver struct {
	mu      sync.Mutex
	answers map[resolveKey]*answer
}

type resolveKey struct {
	source, platform, mode string
	config                 bool
}

type answer struct {
	done   chan struct{}
	meta   *sourceresolver.MetaResponse
	ref    string
	digest digest.Digest
	config []byte
	err    error
}

// once calls f for the first asker of key; the others wait for its answer. An
// answer that the asker's own cancelling spoilt is not kept.
func (r *resolver) once(ctx context.Context, key resolveKey, f func(*answer)) (*answer, error) {
	for {
		r.mu.Lock()
		a, waiting := r.answers[key]
		if !waiting {
			a = &answer{done: make(chan struct{})}
			if r.answers == nil {
				r.answers = map[resolveKey]*answer{}
			}
			r.answers[key] = a
		}
		r.mu.Unlock()
		if !waiting {
			f(a)
			if a.err != nil && ctx.Err() != nil {
				r.mu.Lock()
				delete(r.answers, key)
				r.mu.Unlock()
			}
			close(a.done)
			return a, a.err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		r.mu.Lock()
		kept := r.answers[key] == a
		r.mu.Unlock()
		if kept {
			return a, a.err
		}
	}
}

// jobClient is the client that a [Lower] sees.
type jobClient struct {
	gateway.Client
	shared *resolver
	pull   bool
}

func (c *jobClient) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	if c.pull && opt.ImageOpt != nil {
		image := *opt.ImageOpt
		image.ResolveMode = "pull"
		opt.ImageOpt = &image
	}
	key := resolveKey{source: sourceKey(op), config: true}
	var platform *ocispecs.Platform
	if opt.ImageOpt != nil {
		platform = opt.ImageOpt.Platform
		key.mode, key.config = opt.ImageOpt.ResolveMode, !opt.ImageOpt.NoConfig
	} else if opt.OCILayoutOpt != nil {
		platform = opt.OCILayoutOpt.Platform
	}
	key.platform = platformID(platform)
	a, err := c.shared.once(ctx, key, func(a *answer) {
		a.meta, a.err = c.Client.ResolveSourceMetadata(ctx, op, opt)
		a.err = imageError(a.err, op.GetIdentifier(), key.platform)
	})
	if err != nil {
		return nil, err
	}
	return a.meta, nil
}

func (c *jobClient) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if c.pull {
		image := sourceresolver.ResolveImageOpt{}
		if opt.ImageOpt != nil {
			image = *opt.ImageOpt
		}
		image.ResolveMode = "pull"
		opt.ImageOpt = &image
	}
	key := resolveKey{source: "config " + ref}
	if opt.ImageOpt != nil {
		key.platform, key.mode = platformID(opt.ImageOpt.Platform), opt.ImageOpt.ResolveMode
	} else if opt.OCILayoutOpt != nil {
		key.platform = platformID(opt.OCILayoutOpt.Platform)
	}
	a, err := c.shared.once(ctx, key, func(a *answer) {
		a.ref, a.digest, a.config, a.err = c.Client.ResolveImageConfig(ctx, ref, opt)
		a.err = imageError(a.err, ref, key.platform)
	})
	if err != nil {
		return "", "", nil, err
	}
	return a.ref, a.digest, a.config, nil
}

func sourceKey(op *pb.SourceOp) string {
	dt, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		panic(err) // a SourceOp is strings
	}
	return string(dt)
}

func platformID(p *ocispecs.Platform) string {
	if p == nil {
		return ""
	}
	return platforms.FormatAll(platforms.Normalize(*p))
}
