//go:build race

package oracle

import (
	"context"

	"github.com/moby/buildkit/frontend/gateway/client"
)

// build is the frontend without its outermost layer, builder.Build: its cache of
// image configurations sets one flag from several goroutines
// (builder/resolvecache.go), which the race detector rightly reports, and would
// hide what tests under it are for.
func build(ctx context.Context, c client.Client) (*client.Result, error) {
	return inner(ctx, c)
}
