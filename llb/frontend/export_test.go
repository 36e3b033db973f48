package frontend

import (
	"context"
	"io/fs"

	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/moby/buildkit/frontend/dockerui"
)

// ContextFS is the build context of a call as the compiler reads it, for tests.
func ContextFS(ctx context.Context, c gateway.Client) (fs.FS, error) {
	ui, err := dockerui.NewClient(c)
	if err != nil {
		return nil, err
	}
	b := &builder{client: c, ui: ui, opts: c.BuildOpts()}
	m, err := b.mainContext(ctx)
	if err != nil {
		return nil, err
	}
	return &contextFS{tree: m.tree}, nil
}

// Within makes patterns of a directory into those of one above it.
var Within = within
