//go:build !race

package oracle

import (
	"context"

	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/client"
)

// build is BuildKit's Dockerfile frontend.
func build(ctx context.Context, c client.Client) (*client.Result, error) {
	return builder.Build(ctx, c)
}
