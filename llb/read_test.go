package llb_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/llb"
)

// readDockerfile makes a graph of a Dockerfile without global arguments.
func readDockerfile(dt []byte) (*ir.Graph, *ir.Target, error) {
	res, err := parser.Parse(bytes.NewReader(dt))
	if err != nil {
		return nil, nil, err
	}
	var stages []*ir.Stage
	byName := map[string]*ir.Stage{}
	r := &dockerfile.Reader{Escape: res.EscapeToken, Context: mainContext, From: func(name string, mount bool) (ir.Source, error) {
		if s := byName[strings.ToLower(name)]; s != nil {
			return ir.StageSource{Stage: s}, nil
		}
		if i, err := strconv.Atoi(name); err == nil && !mount {
			return ir.StageSource{Stage: stages[i]}, nil
		}
		return ir.ImageSource{Ref: name}, nil
	}}
	for _, node := range res.AST.Children {
		if !strings.EqualFold(node.Value, "from") {
			steps, err := r.Steps(node)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", node.Original, err)
			}
			last := stages[len(stages)-1]
			last.Steps = append(last.Steps, steps...)
			continue
		}
		cmd, err := instructions.ParseInstruction(node)
		if err != nil {
			return nil, nil, err
		}
		from := cmd.(*instructions.Stage)
		s := stage(fmt.Sprintf("stage%d", len(stages)), from.BaseName)
		if from.Name != "" {
			s.Name = from.Name
		}
		if base := byName[from.BaseName]; base != nil {
			s.Root = ir.StageRoot{Stage: base}
		}
		stages = append(stages, s)
		if from.Name != "" {
			byName[from.Name] = s
		}
	}
	g, t := graph(stages[len(stages)-1])
	return g, t, nil
}

// TestReadAgrees reads Dockerfiles as the IR: what is lowered has the digest that
// BuildKit gives the original, and so has what is emitted again.
func TestReadAgrees(t *testing.T) {
	files, err := filepath.Glob("testdata/read/*.Dockerfile")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			g, target, err := readDockerfile(text)
			if err != nil {
				t.Fatal(err)
			}
			agree(t, g, target)
			ctx := context.Background()
			want, err := oracle.Convert(ctx, text, oracle.Options{Resolver: images})
			if err != nil {
				t.Fatal(err)
			}
			caps := pb.Caps.CapSet(pb.Caps.All())
			got, diags := llb.Lower(ctx, g, llb.Requests(target)[0], llb.Options{Resolver: images, Caps: &caps, BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}})
			if diags.HasErrors() {
				t.Fatal(messages(diags))
			}
			def, err := got.Definition(ctx)
			if err != nil {
				t.Fatal(err)
			}
			diff, err := oracle.Compare(want.Def, def.ToPB())
			if err != nil || diff+oracle.CompareImages(want.Image, got.Image) != "" {
				t.Errorf("%v %s%s\n%s", err, diff, oracle.CompareImages(want.Image, got.Image), ir.Print(g))
			}
		})
	}
}
