// Package sbom has BuildKit's SBOM scanner look at more than an image: at stages
// that it was made from, and at the build context, as the build arguments
// BUILDKIT_SBOM_SCAN_STAGE and BUILDKIT_SBOM_SCAN_CONTEXT ask for. Where neither
// does, the engine scans results by itself, and none of this is needed.
package sbom

import (
	"context"
	"fmt"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/attestations/sbom"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/result"
)

// Request is one image that is scanned.
type Request struct {
	ID   string // of the platform, "linux/amd64"
	Core *llb.Definition
	// Extras are scanned too, by the name that the scanner has of each: a stage's,
	// or "context".
	Extras map[string]*llb.Definition
	// IgnoreCache scans again what was scanned before.
	IgnoreCache bool
}

// Scanner is a scanner's image, resolved.
type Scanner struct {
	client gateway.Client
	scan   sbom.Scanner
}

// New resolves a scanner's image, for the engine's own platform. params are the
// scanner's, and mode is how the image is resolved ("", "pull", "local").
func New(ctx context.Context, c gateway.Client, image string, params map[string]string, mode string) (*Scanner, error) {
	ref, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, fmt.Errorf("the SBOM scanner %q: %w", image, err)
	}
	p := platforms.Normalize(platforms.DefaultSpec())
	if w := c.BuildOpts().Workers; len(w) > 0 && len(w[0].Platforms) > 0 {
		p = w[0].Platforms[0]
	}
	opt := sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: mode, Platform: &p}}
	scan, err := sbom.CreateSBOMScanner(ctx, c, reference.TagNameOnly(ref).String(), p, opt, params)
	if err != nil {
		return nil, err
	}
	return &Scanner{c, scan}, nil
}

// Attest scans an image and adds what was found to the result that holds it. The
// engine then leaves that result alone.
func (s *Scanner) Attest(ctx context.Context, res *gateway.Result, req Request) error {
	core, err := state(req.Core)
	if err != nil {
		return err
	}
	extras := map[string]llb.State{}
	for name, def := range req.Extras {
		if extras[name], err = state(def); err != nil {
			return err
		}
	}
	var opts []llb.ConstraintsOpt
	if req.IgnoreCache {
		opts = append(opts, llb.IgnoreCache)
	}
	found, err := s.scan(ctx, req.ID, core, extras, opts...)
	if err != nil {
		return err
	}
	att, err := result.ConvertAttestation(&found, func(st *llb.State) (gateway.Reference, error) {
		def, err := st.Marshal(ctx)
		if err != nil {
			return nil, err
		}
		res, err := s.client.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
		if err != nil {
			return nil, err
		}
		return res.SingleRef()
	})
	if err != nil {
		return err
	}
	res.AddAttestation(req.ID, *att)
	return nil
}

// state is what a definition makes; one of nothing is the empty file system.
func state(def *llb.Definition) (llb.State, error) {
	if def == nil || len(def.Def) == 0 {
		return llb.Scratch(), nil
	}
	op, err := llb.NewDefinitionOp(def.ToPB())
	if err != nil {
		return llb.State{}, err
	}
	return llb.NewState(op), nil
}
