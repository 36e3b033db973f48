package llb

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/system"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// historyComment marks history entries that are made as BuildKit makes them.
const historyComment = "buildkit.dockerfile.v0"

// stage is a lowered stage.
type stage struct {
	ir       *ir.Stage
	state    bk.State
	image    dockerspec.DockerOCIImage
	base     *dockerspec.DockerOCIImage
	platform ocispecs.Platform
	env      environ
	dir      string   // working directory, with slashes
	shell    []string // set by a step here or in a base stage; nil otherwise
	args     []argument
	// reads has the paths of the default context that the stage and all it is made
	// from read, and other contexts without paths.
	reads map[*ir.Context]map[string]bool
	// outputs is what steps left in mounts, by ir.Mount.Output.
	outputs map[string]bk.State
	// strays are paths by which BuildKit widens the main context although nobody
	// reads it there: all of it for a tmpfs mount, the address of a repository.
	strays map[string]bool
}

// argument is a declared build argument, for the history.
type argument struct {
	key, value string
	set        bool // it has a value
}

// environ is what words expand from. It implements shell.EnvGetter.
type environ map[string]string

// Get implements shell.EnvGetter.
func (e environ) Get(k string) (string, bool) { v, ok := e[k]; return v, ok }

// Keys implements shell.EnvGetter.
func (e environ) Keys() []string { return slices.Sorted(maps.Keys(e)) }

// read notes that a context's paths are read.
func (s *stage) read(c *ir.Context, paths []string) {
	if s.reads[c] == nil {
		s.reads[c] = map[string]bool{}
	}
	for _, p := range paths {
		s.reads[c][p] = true
	}
}

// stray notes a path that widens the main context if that is read at all.
func (s *stage) stray(p string) {
	if s.strays == nil {
		s.strays = map[string]bool{}
	}
	s.strays[p] = true
}

// use notes what a stage that s reads itself reads.
func (s *stage) use(other *stage) {
	for p := range other.strays {
		s.stray(p)
	}
	for c, paths := range other.reads {
		s.read(c, slices.Sorted(maps.Keys(paths)))
	}
}

func (s *stage) locals(order []*ir.Context) []*ir.Context {
	var out []*ir.Context
	for _, c := range order {
		if _, ok := s.reads[c]; ok {
			out = append(out, c)
		}
	}
	return out
}

// lowering is the lowering of one stage.
type lowering struct {
	l       *lowerer
	b       *build
	s       *stage
	step    ir.Step // the one being lowered
	onbuild bool    // it is a trigger of the base
	cmdSet  bool    // the stage has set a command
	index   int     // of the last named step
	total   int
}

func (w *lowering) errorf(code diag.Code, at hcl.Range, summary, format string, args ...any) {
	w.l.errorf(code, at, summary, format, args...)
}

func (w *lowering) at() hcl.Range { return w.step.Meta().Range }

// stage lowers a stage once per scope and build. It returns nil after an error in
// what the stage is made from.
func (l *lowerer) stage(b *build, st *ir.Stage) *stage {
	key := stageKey{st, b.key}
	if s, ok := b.scope.stages[key]; ok {
		return s
	}
	b.scope.stages[key] = nil // an error, or a cycle that the verifier reports
	s := &stage{ir: st, reads: map[*ir.Context]map[string]bool{}, env: environ{}, dir: "/"}
	w := &lowering{l: l, b: b, s: s, total: numbered(st.Steps)}
	triggers, ok := w.root()
	if !ok {
		return nil
	}
	w.start()
	steps := w.triggers(triggers)
	w.total += numbered(steps)
	before := len(l.diags)
	for i, step := range append(steps, st.Steps...) {
		w.onbuild = i < len(steps)
		w.step = step
		w.lower(step)
	}
	if l.diags[before:].HasErrors() {
		return nil
	}
	b.scope.stages[key] = s
	return s
}

// root sets what the first step sees, and returns the base's build triggers.
func (w *lowering) root() ([]string, bool) {
	s := w.s
	switch r := s.ir.Root.(type) {
	case ir.ScratchRoot:
		if p := s.ir.Platform; p != nil && platforms.FormatAll(p.Platform) != platforms.FormatAll(w.b.target) && p.Auto == "" {
			w.errorf(CodePlatform, s.ir.Range, "scratch has the target's platform",
				"Stage %s is built for %s over scratch, but BuildKit gives scratch the platform of the target, %s.", s.ir.Addr, platforms.FormatAll(p.Platform), platforms.FormatAll(w.b.target))
			return nil, false
		}
		s.state, s.image, s.platform = bk.Scratch(), emptyImage(w.b.target), w.b.target
		return nil, true
	case ir.ImageRoot:
		return w.imageRoot(r)
	case ir.ContextRoot:
		return w.contextRoot(r)
	case ir.StageRoot:
		base := w.l.stage(w.b, r.Stage)
		if base == nil {
			return nil, false
		}
		s.state, s.platform = base.state, base.platform
		s.image, s.base = cloneImage(base.image), base.base
		for k, v := range base.env {
			s.env[k] = v
		}
		s.dir, s.shell = base.dir, base.shell
		s.args = append(s.args, base.args...)
		s.use(base)
		s.image.Config.OnBuild = nil
		var triggers []string
		for _, step := range r.Stage.Steps {
			if o, ok := step.(*ir.OnBuild); ok {
				triggers = append(triggers, o.Trigger)
			}
		}
		return triggers, true
	}
	panic(fmt.Sprintf("llb: unknown root %T", s.ir.Root))
}

func (w *lowering) imageRoot(r ir.ImageRoot) ([]string, bool) {
	s := w.s
	key, _, err := w.l.imageKey(w.b, r.Ref, s.ir.Platform)
	if err != nil {
		return nil, false // reported when images were resolved
	}
	img := w.l.images[key]
	if img == nil || img.failed {
		return nil, false
	}
	s.platform = img.platform
	s.image = cloneImage(img.config)
	s.image.Created = nil
	base := cloneImage(img.config)
	s.base = &base
	w.total++
	name := w.name("FROM " + img.ref)
	s.state = w.l.imageState(img, w.b, name, r.Range)
	triggers := s.image.Config.OnBuild
	s.image.Config.OnBuild = nil
	return triggers, true
}

// start applies the base image's configuration. It adds environment variables
// that an inherited state has already, because BuildKit does: their order is in
// the digest.
func (w *lowering) start() {
	s := w.s
	if s.platform.OS != "windows" && !hasEnv(s.image.Config.Env, "PATH") {
		s.image.Config.Env = append(s.image.Config.Env, "PATH="+system.DefaultPathEnv(s.platform.OS))
	}
	for _, kv := range s.image.Config.Env {
		k, v, _ := strings.Cut(kv, "=")
		s.state = s.state.AddEnv(k, v)
		s.env[k] = v
	}
	if w.b.hostname != "" {
		s.state = s.state.Hostname(w.b.hostname)
	}
	if dir := s.image.Config.WorkingDir; dir != "" {
		if err := w.chdir(dir); err != nil {
			w.errorf(CodePath, s.ir.Range, "The base image's working directory cannot be used", "%v.", err)
		}
	}
	if u := s.image.Config.User; u != "" {
		s.state = s.state.User(u)
	}
	s.state = s.state.Network(w.b.network)
}

func hasEnv(env []string, key string) bool {
	for _, kv := range env {
		if k, _, _ := strings.Cut(kv, "="); k == key {
			return true
		}
	}
	return false
}

// chdir enters a directory, which may be relative to the one before.
func (w *lowering) chdir(dir string) error {
	os := w.s.platform.OS
	wd, err := system.NormalizeWorkdir(w.s.image.Config.WorkingDir, dir, os)
	if err != nil {
		return rootCause(err)
	}
	w.s.image.Config.WorkingDir = wd
	w.s.dir = system.ToSlash(wd, os)
	w.s.state = w.s.state.Dir(w.s.dir)
	return nil
}

// noCache reports whether a run or a copy ignores its cache.
func (w *lowering) noCache(m *ir.StepMeta) bool {
	return w.b.NoCache || w.s.ir.NoCache || m.NoCache
}

// numbered counts the steps that get a number in their names.
func numbered(steps []ir.Step) int {
	n := 0
	for _, step := range steps {
		switch step.(type) {
		case *ir.Run, *ir.Copy, *ir.Workdir, *ir.Merge, *ir.Diff, *ir.Mkdir, *ir.Remove, *ir.Symlink:
			n++
		}
	}
	return n
}

// name is what progress shows for a step: `[build 2/4] go mod download`.
func (w *lowering) name(text string) string {
	s := w.s
	if w.step != nil && w.step.Meta().Name != "" {
		text = w.step.Meta().Name
	}
	out := "["
	if w.b.Multi {
		out += platforms.FormatAll(s.platform)
		if s.platform.OS != w.b.target.OS || s.platform.Architecture != w.b.target.Architecture {
			out += "->" + platforms.FormatAll(w.b.target)
		}
		out += " "
	}
	w.index++
	width := 1 + int(math.Log10(float64(max(w.total, 1))))
	out += fmt.Sprintf("%s %*d/%d] ", s.ir.Name, width, w.index, w.total)
	if w.onbuild {
		out += "ONBUILD "
	}
	return out + strings.ReplaceAll(text, "\n", " ")
}

// location points a step's errors into the HCL.
func (l *lowerer) location(at hcl.Range) bk.ConstraintsOpt {
	var m *bk.SourceMap
	if data, ok := l.graph.Files[at.Filename]; ok && !l.opt.NoSourceMaps {
		m = l.maps[at.Filename]
		if m == nil {
			m = bk.NewSourceMap(nil, at.Filename, "HCL", data)
			l.maps[at.Filename] = m
		}
	}
	return m.Location([]*pb.Range{{
		Start: &pb.Position{Line: int32(at.Start.Line), Character: int32(max(at.Start.Column-1, 0))},
		End:   &pb.Position{Line: int32(at.End.Line), Character: int32(max(at.End.Column-1, 0))},
	}})
}

// history appends an entry to the image's history.
func (w *lowering) history(text string, layer bool) {
	w.s.image.History = append(w.s.image.History, ocispecs.History{
		CreatedBy: text, Comment: historyComment, EmptyLayer: !layer, Created: w.b.epoch,
	})
}

// expand expands a word in the stage's environment.
func (w *lowering) expand(v ir.Word) (string, bool) {
	if v == "" {
		return "", true
	}
	if !strings.Contains(string(v), "$") {
		out, err := v.Expand(w.s.env)
		return out, err == nil
	}
	out, err := shell.NewLex('\\').ProcessWordWithMatches(string(v), w.s.env)
	if err != nil {
		w.errorf(CodeExpand, w.at(), "The expansion failed", "%s: %v.", v.Text(), rootCause(err))
		return "", false
	}
	w.undefined(string(v), out.Unmatched)
	return out.Result, true
}

// words expands several; false when one fails.
func (w *lowering) words(vs []ir.Word) ([]string, bool) {
	out, ok := make([]string, len(vs)), true
	for i, v := range vs {
		var good bool
		out[i], good = w.expand(v)
		ok = ok && good
	}
	return out, ok
}
