package solve

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"

	"github.com/hbuild/hbuild/internal/testengine"
)

// BenchmarkUnchanged builds targets of which nothing has changed, all on one
// context: what a call costs beside the work itself.
func BenchmarkUnchanged(b *testing.B) {
	c, err := client.New(b.Context(), testengine.Start(b))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	dir := b.TempDir()
	for i := range 200 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), fmt.Append(nil, i), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	for _, kind := range []string{"solved", "images", "files"} {
		for _, n := range []int{1, 50, 200} {
			req := Request{Root: b.TempDir(), Contexts: map[string]Context{"ctx": {Dir: dir}}}
			for i := range n {
				src := llb.Local("ctx", llb.SharedKeyHint("ctx"), llb.LocalUniqueID("bench"))
				l := state(llb.Scratch().File(llb.Copy(src, fmt.Sprint("/", i), fmt.Sprint("/f", i))))
				j := imageJob(fmt.Sprint("target.", i), l)
				if kind == "files" {
					j = filesJob(j.Addr, l, FileOutput{Path: fmt.Sprint("f", i)})
				}
				j.SolveOnly = kind == "solved"
				req.Jobs = append(req.Jobs, j)
			}
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				if _, err := Run(context.Background(), c, req); err != nil {
					b.Fatal(err)
				}
				for b.Loop() {
					res, err := Run(context.Background(), c, req)
					if err != nil || res.StepsRun != 0 {
						b.Fatalf("%v, %d steps run", err, res.StepsRun)
					}
				}
			})
		}
	}
}
