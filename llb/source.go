package llb

import (
	"context"
	"maps"
	"strings"
	"time"

	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/gitutil/gitobject"
)

// SourceClient looks at what definitions fetch, without building on it. A
// [gateway.Client] is one.
type SourceClient interface {
	ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error)
	Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error)
}

// metadata asks about a source; of a git repository for the commit, too.
func metadata(ctx context.Context, c SourceClient, op *pb.SourceOp, name string) (*sourceresolver.MetaResponse, error) {
	opt := sourceresolver.Opt{LogName: name}
	if isGit(op) {
		opt.GitOpt = &sourceresolver.ResolveGitOpt{ReturnObject: true}
	}
	return c.ResolveSourceMetadata(ctx, &pb.SourceOp{Identifier: op.Identifier, Attrs: maps.Clone(op.Attrs)}, opt)
}

func isGit(op *pb.SourceOp) bool { return strings.HasPrefix(op.Identifier, "git://") }

// GitSource finds the commit that a state fetches; nil when it fetches something
// else. Nothing of the repository is fetched but what it takes to know.
func GitSource(ctx context.Context, c SourceClient, st bk.State) (*sourceresolver.ResolveGitResponse, error) {
	op, err := onlySource(ctx, st)
	if err != nil || op == nil || !isGit(op) {
		return nil, err
	}
	md, err := metadata(ctx, c, op, "[internal] resolve the commit of the build context")
	if err != nil {
		return nil, err
	}
	return md.Git, nil
}

// onlySource is the one thing that a state fetches, whatever it does with it.
func onlySource(ctx context.Context, st bk.State) (*pb.SourceOp, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	var found *pb.SourceOp
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		if src := op.GetSource(); src != nil {
			if found != nil {
				return nil, nil
			}
			found = src
		}
	}
	return found, nil
}

// CommitTime is when a commit was made, of the object that git has of it.
func CommitTime(object []byte) (*time.Time, error) {
	obj, err := gitobject.Parse(object)
	if err != nil {
		return nil, err
	}
	commit, err := obj.ToCommit()
	if err != nil {
		return nil, err
	}
	return commit.Committer.When, nil
}
