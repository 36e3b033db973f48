package oracle

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	digest "github.com/opencontainers/go-digest"
	"github.com/pmezard/go-difflib/difflib"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Graph is a normalised definition.
type Graph struct {
	Head  digest.Digest // of the last operation that does something
	Index int64         // which output of Head is the result
	Ops   map[digest.Digest]*pb.Op
	Meta  map[digest.Digest]*pb.OpMetadata
}

// Normalise drops from a definition what differs between two runs of one build
// (session ids, unique ids and shared-key hints of local sources), sorts follow
// paths, and recomputes the digests from the bottom up. The empty definition (a
// scratch image) has no Head.
func Normalise(def *pb.Definition) (*Graph, error) {
	g := &Graph{Ops: map[digest.Digest]*pb.Op{}, Meta: map[digest.Digest]*pb.OpMetadata{}}
	if def == nil || len(def.Def) == 0 {
		return g, nil
	}
	renamed := map[string]string{}
	for i, dt := range def.Def {
		op := &pb.Op{}
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		for _, in := range op.Inputs {
			to, ok := renamed[in.Digest]
			if !ok {
				return nil, fmt.Errorf("operation %d reads %s, which is not before it", i, in.Digest)
			}
			in.Digest = to
		}
		if i == len(def.Def)-1 {
			g.Head, g.Index = digest.Digest(op.Inputs[0].Digest), op.Inputs[0].Index
			break
		}
		if src := op.GetSource(); src != nil {
			normaliseSource(src)
		}
		out, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
		if err != nil {
			return nil, err
		}
		old, dgst := digest.FromBytes(dt), digest.FromBytes(out)
		renamed[string(old)] = string(dgst)
		g.Ops[dgst] = op
		g.Meta[dgst] = def.Metadata[string(old)]
	}
	return g, nil
}

func normaliseSource(src *pb.SourceOp) {
	for _, k := range []string{pb.AttrLocalSessionID, pb.AttrLocalUniqueID, pb.AttrSharedKeyHint, pb.AttrOCILayoutSessionID} {
		delete(src.Attrs, k)
	}
	if v := src.Attrs[pb.AttrFollowPaths]; v != "" {
		var paths []string
		if json.Unmarshal([]byte(v), &paths) == nil {
			sort.Strings(paths)
			dt, _ := json.Marshal(paths)
			src.Attrs[pb.AttrFollowPaths] = string(dt)
		}
	}
	if len(src.Attrs) == 0 {
		src.Attrs = nil
	}
}

// Compare returns "" when two definitions say the same build, and otherwise the
// first operations, from the sources up, that differ, as a unified diff. What is
// not in a digest but changes what happens (cache, limits) is compared too.
func Compare(want, got *pb.Definition) (string, error) {
	a, err := Normalise(want)
	if err != nil {
		return "", fmt.Errorf("want: %w", err)
	}
	b, err := Normalise(got)
	if err != nil {
		return "", fmt.Errorf("got: %w", err)
	}
	if a.Index != b.Index {
		return fmt.Sprintf("the result is output %d, want %d", b.Index, a.Index), nil
	}
	if a.Head != b.Head {
		c := comparer{a: a, b: b, seen: map[[2]digest.Digest]bool{}}
		return c.compare(a.Head, b.Head), nil
	}
	for d := range a.Ops {
		if x, y := effects(a.Meta[d]), effects(b.Meta[d]); x != y {
			return unified("metadata of "+name(a, d), x, y), nil
		}
	}
	return "", nil
}

type comparer struct {
	a, b *Graph
	seen map[[2]digest.Digest]bool
}

func (c *comparer) compare(da, db digest.Digest) string {
	key := [2]digest.Digest{da, db}
	if da == db || c.seen[key] {
		return ""
	}
	c.seen[key] = true
	a, b := c.a.Ops[da], c.b.Ops[db]
	if a != nil && b != nil && len(a.Inputs) == len(b.Inputs) {
		for i := range a.Inputs {
			if d := c.compare(digest.Digest(a.Inputs[i].Digest), digest.Digest(b.Inputs[i].Digest)); d != "" {
				return d
			}
		}
	}
	return unified(name(c.a, da)+" | "+name(c.b, db), opText(c.a, a), opText(c.b, b))
}

// effects is the part of an operation's metadata that is more than a name.
func effects(m *pb.OpMetadata) string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("ignoreCache=%v\nexportCache=%v\nlimits=%v\n", m.IgnoreCache, m.ExportCache, m.LinuxResources)
}

func name(g *Graph, d digest.Digest) string {
	if m := g.Meta[d]; m != nil && m.Description["llb.customname"] != "" {
		return m.Description["llb.customname"]
	}
	if d == "" {
		return "nothing"
	}
	return string(d)
}

// opText is an operation for a human: its inputs by name, its body as JSON.
func opText(g *Graph, op *pb.Op) string {
	if op == nil {
		return ""
	}
	op = op.CloneVT()
	for _, in := range op.Inputs {
		in.Digest = name(g, digest.Digest(in.Digest))
	}
	dt, err := protojson.MarshalOptions{}.Marshal(op)
	if err != nil {
		return err.Error()
	}
	var v any
	if err := json.Unmarshal(dt, &v); err != nil { // protojson varies its spaces on purpose
		return string(dt)
	}
	dt, _ = json.MarshalIndent(v, "", "  ")
	return string(dt) + "\n"
}

func unified(title, want, got string) string {
	s, _ := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(want), B: difflib.SplitLines(got),
		FromFile: "want", ToFile: "got", Context: 4,
	})
	return title + "\n" + s
}

// CompareImages returns "" when two image configurations are the same but for
// their history and times, and otherwise a diff.
func CompareImages(want, got *dockerspec.DockerOCIImage) string {
	a, b := imageText(want), imageText(got)
	if a == b {
		return ""
	}
	return unified("image configuration", a, b)
}

func imageText(img *dockerspec.DockerOCIImage) string {
	if img == nil {
		return ""
	}
	c := *img
	c.History, c.Created = nil, nil
	dt, _ := json.MarshalIndent(c, "", "  ")
	return string(dt) + "\n"
}

// CompareHistory returns "" when two configurations have the same number of
// history entries with the same layers, which the exporter counts.
func CompareHistory(want, got *dockerspec.DockerOCIImage) string {
	layers := func(img *dockerspec.DockerOCIImage) []bool {
		var out []bool
		for _, h := range img.History {
			out = append(out, h.EmptyLayer)
		}
		return out
	}
	if a, b := layers(want), layers(got); !reflect.DeepEqual(a, b) {
		text := func(img *dockerspec.DockerOCIImage) string {
			var s strings.Builder
			for _, h := range img.History {
				fmt.Fprintf(&s, "%v %s\n", h.EmptyLayer, h.CreatedBy)
			}
			return s.String()
		}
		return unified("history", text(want), text(got))
	}
	return ""
}
