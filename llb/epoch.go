package llb

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/go-archive/compression"

	"github.com/hbuild/hbuild/compiler/ir"
)

var errNoSources = errors.New("its time cannot be looked up without an engine; give a number of seconds")

// epochKey is what a time depends on.
type epochKey struct {
	from  ir.Source
	build string
}

// epoch finds the time that a build's SOURCE_DATE_EPOCH names, as BuildKit's
// frontend does (dockerfile2llb/epoch.go): of a commit, what a server says of a
// file, the newest file of an archive. nil is something without a time, and leaves
// SOURCE_DATE_EPOCH unset.
func (l *lowerer) epoch(b *build, from ir.Source) *time.Time {
	key := epochKey{from, b.key}
	if t, ok := l.epochs[key]; ok {
		return t
	}
	before := len(l.diags)
	st, at, what := l.epochState(b, from)
	var t *time.Time
	if st != nil && !l.diags[before:].HasErrors() {
		var err error
		if t, err = l.timeOf(*st, what); err != nil {
			l.errorf(CodeBuildOption, at, "SOURCE_DATE_EPOCH has no value", "The time of %s: %v.", what, rootCause(err))
		}
	}
	if l.epochs == nil {
		l.epochs = map[epochKey]*time.Time{}
	}
	l.epochs[key] = t
	return t
}

// epochState is what has the time; nil for a directory, which has none.
func (l *lowerer) epochState(b *build, from ir.Source) (st *bk.State, at hcl.Range, what string) {
	ctx, inContext := (*ir.Context)(nil), false
	switch from := from.(type) {
	case ir.ContextSource:
		ctx, inContext = from.Context, true
	case ir.StageSource:
		at, what = from.Stage.Range, from.Stage.Addr
		c, _, err := ir.EpochSource(from.Stage)
		if err != nil {
			l.errorf(CodeBuildOption, at, "SOURCE_DATE_EPOCH has no value", "The time of %s: %v.", what, err)
			return nil, at, what
		}
		ctx, inContext = c, c != nil
		if !inContext {
			own := *b
			own.scope = newScope(l)
			if s := l.stage(&own, from.Stage); s != nil {
				st = &s.state
			}
			return st, at, what
		}
	}
	at, what = ctx.Range, ctx.Address()
	if given, ok := l.opt.Contexts[ctx]; ok {
		return &given, at, what
	}
	if l.isGiven(ctx) {
		if g := l.given(b, ctx, Use{Platform: b.target}, at); g != nil {
			return &g.State, at, what
		}
	}
	return nil, at, what
}

// timeOf is the time of what a state fetches, nil for none: it fetches something
// else, or several things.
func (l *lowerer) timeOf(st bk.State, what string) (*time.Time, error) {
	op, err := onlySource(l.ctx, st)
	if err != nil || op == nil {
		return nil, err
	}
	if !isGit(op) && !strings.HasPrefix(op.Identifier, "http://") && !strings.HasPrefix(op.Identifier, "https://") {
		return nil, nil
	}
	if l.opt.Sources == nil {
		return nil, errNoSources
	}
	md, err := metadata(l.ctx, l.opt.Sources, op, "[internal] resolve SOURCE_DATE_EPOCH of "+what)
	switch {
	case err != nil:
		return nil, err
	case md.Git != nil && len(md.Git.CommitObject) > 0:
		return CommitTime(md.Git.CommitObject)
	case md.HTTP != nil && md.HTTP.LastModified != nil:
		return md.HTTP.LastModified, nil
	case isGit(op):
		return nil, nil
	}
	return l.archiveTime(op)
}

// archiveTime is the time of the newest file in an archive that a server says no
// time of; nil when it is no archive.
func (l *lowerer) archiveTime(op *pb.SourceOp) (*time.Time, error) {
	name := op.Attrs[pb.AttrHTTPFilename]
	if name == "" {
		return nil, nil
	}
	src := bk.NewState(bk.NewSource(op.Identifier, maps.Clone(op.Attrs), bk.Constraints{}).Output())
	def, err := src.Marshal(l.ctx)
	if err != nil {
		return nil, err
	}
	res, err := l.opt.Sources.Solve(l.ctx, gateway.SolveRequest{Definition: def.ToPB()})
	if err != nil {
		return nil, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	data, err := dockerui.ReadFile(l.ctx, ref, name)
	if err != nil {
		return nil, err
	}
	return newest(data), nil
}

// newest is the time of the newest regular file of an archive; nil when the data is
// none.
func newest(data []byte) *time.Time {
	stream, err := compression.DecompressStream(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	defer stream.Close()
	var max *time.Time
	for r := tar.NewReader(stream); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return max
		}
		if err != nil {
			return nil
		}
		if t := h.ModTime.UTC(); h.FileInfo().Mode().IsRegular() && (max == nil || t.After(*max)) {
			max = &t
		}
	}
}

// setEpoch decides a build's SOURCE_DATE_EPOCH. The argument is what steps that
// declare it see.
func (l *lowerer) setEpoch(b *build) {
	o := b.Options
	if o.EpochFrom != nil {
		b.epochAsked = true
		b.epoch = l.epoch(b, o.EpochFrom)
	} else if o.Epoch != nil {
		b.epochAsked = true
		t := time.Unix(*o.Epoch, 0).UTC()
		b.epoch = &t
	}
	if b.epoch != nil {
		b.args[argEpoch] = fmt.Sprint(b.epoch.Unix())
	}
}
