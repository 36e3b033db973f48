// Package corpus holds the importer to its bar: for every Dockerfile of a set and
// every stage of it that BuildKit converts, the imported file lowers to the same
// definition and image, and so does the Dockerfile that is emitted from it.
// BuildKit's own frontend is the judge (internal/oracle); base images are made up,
// so no network is used.
package corpus

import (
	"context"
	"fmt"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/importer"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

// File is a Dockerfile of the set.
type File struct {
	Name string // where it comes from, for a reader
	Data []byte
}

// Outcome says how one pair went.
type Outcome int

// The outcomes. The first two are what the bar asks for.
const (
	Equal       Outcome = iota // BuildKit converts it, and all definitions are equal
	BothRefuse                 // BuildKit refuses it, and so does the import
	BaseDecides                // BuildKit refuses it for what the made-up base image lacks
	Late                       // BuildKit refuses it, and only lowering does
	Accepted                   // BuildKit refuses it, and hbuild does not
	NoImport                   // BuildKit converts it, and the import refuses it
	NoCheck                    // what was imported has mistakes
	NoLower                    // it cannot be lowered
	Differs                    // it lowers to something else
	NoEmit                     // it cannot be emitted
	Emitted                    // what is emitted is something else
)

var words = []string{"equal", "refused by both", "base decides", "refused late", "accepted", "not imported", "not checked", "not lowered", "differs", "not emitted", "emitted differs"}

func (o Outcome) String() string { return words[o] }

// Good reports whether the bar is met.
func (o Outcome) Good() bool { return o == Equal || o == BothRefuse || o == BaseDecides }

// Pair is a stage of a Dockerfile, and how it went.
type Pair struct {
	File    File
	Stage   string // "" is the last one
	Outcome Outcome
	Cause   string // one line
	Detail  string
	HCL     []byte

	base Base
}

// Summary is the result of a run.
type Summary struct {
	Files int
	Pairs []*Pair
	Count map[Outcome]int
}

// Converted is how many pairs BuildKit converts, and Share how many of them are
// equal.
func (s *Summary) Converted() int {
	return len(s.Pairs) - s.Count[BothRefuse] - s.Count[BaseDecides] - s.Count[Late] - s.Count[Accepted]
}

// Refused is how many pairs BuildKit refuses.
func (s *Summary) Refused() int { return len(s.Pairs) - s.Converted() }

// Base is what base images are like.
type Base int

// The kinds of base images.
const (
	Plain Base = iota // a PATH and a command
	Rich              // environment, user, directory, shell, entrypoint and more
	Arm               // as Plain, and the build is for another platform than the engine's
	Given             // as Plain, and the caller sets the arguments of all stages
)

// given are the values that a caller sets: for every argument that a stage
// declares and no FROM may read.
func (b Base) given(dt []byte, res *importer.Result) map[string]string {
	out := map[string]string{}
	if b != Given || res == nil {
		return out
	}
	for key := range res.Vars {
		if !globalArg(dt, key) {
			out[key] = "given"
		}
	}
	return out
}

// globalArg reports whether an argument is declared before the first FROM.
func globalArg(dt []byte, key string) bool {
	res, err := parser.Parse(strings.NewReader(string(dt)))
	if err != nil {
		return true
	}
	_, meta, err := instructions.Parse(res.AST, linter.New(&linter.Config{}))
	if err != nil {
		return true
	}
	for _, m := range meta {
		for _, a := range m.Args {
			if a.Key == key {
				return true
			}
		}
	}
	return false
}

// platforms are what is built for; nil is the engine's own.
func (b Base) platforms() []ocispecs.Platform {
	if b == Arm {
		return []ocispecs.Platform{{OS: "linux", Architecture: "arm64"}}
	}
	return nil
}

func (b Base) resolver() bk.ImageMetaResolver {
	if b == Rich {
		return rich{}
	}
	return oracle.Images{}
}

// rich resolves every image to one that sets everything.
type rich struct{}

// ResolveImageConfig implements bk.ImageMetaResolver.
func (rich) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return oracle.Images{ref: oracle.Rich("RUN a-trigger", "COPY . /triggered")}.ResolveImageConfig(ctx, ref, opt)
}

// Run runs a set over base images of a kind.
func Run(ctx context.Context, files []File, base Base) *Summary {
	s := &Summary{Files: len(files), Count: map[Outcome]int{}}
	results := make([][]*Pair, len(files))
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.NumCPU() {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				results[i] = runFile(ctx, files[i], base)
			}
		}()
	}
	for i := range files {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, r := range results {
		for _, p := range r {
			s.Pairs = append(s.Pairs, p)
			s.Count[p.Outcome]++
		}
	}
	return s
}

// stagesOf are the names that BuildKit can be asked for, "" for the last stage,
// each with the stage's index.
func stagesOf(dt []byte) map[string]int {
	out := map[string]int{"": 0}
	res, err := parser.Parse(strings.NewReader(string(dt)))
	if err != nil {
		return out
	}
	stages, _, err := instructions.Parse(res.AST, linter.New(&linter.Config{}))
	if err != nil || len(stages) == 0 {
		return out
	}
	for i, st := range stages {
		if st.Name != "" && i != len(stages)-1 {
			out[st.Name] = i
		}
	}
	last := len(stages) - 1
	delete(out, stages[last].Name)
	out[""] = last
	return out
}

func runFile(ctx context.Context, f File, base Base) []*Pair {
	whole, wholeDiags := importer.Import(f.Data, importer.Options{})
	var prog *compiler.Program
	given := base.given(f.Data, whole)
	if whole != nil {
		prog = load(whole, given)
	}
	var out []*Pair
	stages := stagesOf(f.Data)
	names := make([]string, 0, len(stages))
	for n := range stages {
		names = append(names, n)
	}
	sort.Slice(names, func(i, j int) bool { return stages[names[i]] < stages[names[j]] })
	for _, name := range names {
		p := &Pair{File: f, Stage: name, base: base}
		out = append(out, p)
		func() {
			defer func() {
				if r := recover(); r != nil {
					p.Outcome, p.Cause = NoImport, fmt.Sprintf("panic: %v", r)
					panic(fmt.Sprintf("%s: %v", f.Name, r))
				}
			}()
			attrs := map[string]string{"cmdline": "here"} // no other frontend, whatever `# syntax=` says
			if name != "" {
				attrs["target"] = name
			}
			if base == Arm {
				attrs["platform"] = "linux/arm64"
			}
			for k, v := range given {
				attrs["build-arg:"+k] = v
			}
			want, err := oracle.Convert(ctx, f.Data, oracle.Options{Attrs: attrs, Resolver: base.resolver()})
			res, diags, pr := whole, wholeDiags, prog
			if res == nil || err != nil {
				res, diags = importer.Import(f.Data, importer.Options{Target: name})
				if res != nil {
					pr = load(res, given)
				}
			}
			if err != nil {
				p.refused(ctx, err, res, diags, pr, stages[name])
				return
			}
			if res == nil {
				p.fail(NoImport, diags)
				return
			}
			p.HCL = res.HCL
			p.compare(ctx, want, res, pr, stages[name])
		}()
	}
	return out
}

func load(res *importer.Result, args map[string]string) *compiler.Program {
	fsys := fstest.MapFS{lang.MainFile: {Data: res.HCL}}
	opt := eval.Options{BuildPlatform: oracle.BuildPlatform}
	for k, v := range args {
		opt.Vars = append(opt.Vars, eval.VarSource{Name: res.Vars[k], Source: lang.Source{Name: "--var", Data: []byte(v)}, Origin: "--var"})
	}
	return compiler.Load(fsys, ".", compiler.Options{Options: opt})
}

func (p *Pair) fail(o Outcome, diags hcl.Diagnostics) {
	p.Outcome = o
	var b strings.Builder
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		if p.Cause == "" {
			p.Cause = d.Summary
		}
		fmt.Fprintf(&b, "%s %v: %s: %s\n", diag.InfoOf(d).Code, d.Subject, d.Summary, d.Detail)
	}
	p.Detail = b.String()
}

// address is what a stage is called after the import.
func (p *Pair) address(res *importer.Result, index int) string {
	if p.Stage == "" {
		return "default"
	}
	return res.Stages[index]
}

// refused records a pair that BuildKit refuses.
func (p *Pair) refused(ctx context.Context, err error, res *importer.Result, diags hcl.Diagnostics, prog *compiler.Program, index int) {
	p.Cause = "BuildKit: " + firstLine(err.Error())
	if res == nil {
		p.Outcome = BothRefuse
		for _, d := range diags {
			if d.Severity == hcl.DiagError {
				p.Detail += "import: " + d.Summary + "\n"
			}
		}
		return
	}
	p.HCL, p.Outcome = res.HCL, Accepted
	if baseDecides(p.Cause) {
		p.Outcome = BaseDecides
		return
	}
	g, gd := prog.Graph([]string{p.address(res, index)}, p.base.platforms())
	if gd.HasErrors() {
		p.Outcome = Late
		return
	}
	if _, d := p.lower(ctx, g, g.Targets[0]); d.HasErrors() {
		p.Outcome = Late
	}
}

// baseDecides reports a refusal that follows from the base image alone: it sets no
// variable but PATH and no working directory here, where a real one may.
func baseDecides(cause string) bool {
	return strings.HasSuffix(cause, "lint violation found for rules: UndefinedVar") || strings.HasSuffix(cause, `invalid mount target "/"`)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

func (p *Pair) lower(ctx context.Context, g *ir.Graph, t *ir.Target) (*llb.Result, hcl.Diagnostics) {
	caps := pb.Caps.CapSet(pb.Caps.All())
	return llb.Lower(ctx, g, llb.Requests(t)[0], llb.Options{
		Resolver: p.base.resolver(), BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}, Caps: &caps,
		Sources: oracle.NewClient(oracle.Options{}),
	})
}

// compare holds what was imported against what BuildKit makes of the Dockerfile.
func (p *Pair) compare(ctx context.Context, want *oracle.Result, res *importer.Result, prog *compiler.Program, index int) {
	g, diags := prog.Graph([]string{p.address(res, index)}, p.base.platforms())
	if diags.HasErrors() {
		p.fail(NoCheck, diags)
		return
	}
	got, diags := p.lower(ctx, g, g.Targets[0])
	if diags.HasErrors() {
		p.fail(NoLower, diags)
		return
	}
	def, err := got.Definition(ctx)
	if err != nil {
		p.Outcome, p.Cause = NoLower, err.Error()
		return
	}
	if diff := differences(want, &oracle.Result{Def: def.ToPB(), Image: got.Image}); diff != "" {
		p.Outcome, p.Cause, p.Detail = Differs, firstLine(diff), diff
		return
	}
	file, diags := dockerfile.Emit(g, g.Targets[0])
	if diags.HasErrors() {
		p.fail(NoEmit, diags)
		return
	}
	attrs := map[string]string{"cmdline": "here"}
	for k, v := range file.Attrs {
		attrs[k] = v
	}
	again, err := oracle.Convert(ctx, file.Dockerfile, oracle.Options{Attrs: attrs, Resolver: p.base.resolver()})
	if err != nil {
		p.Outcome, p.Cause, p.Detail = Emitted, firstLine(err.Error()), err.Error()+"\n"+string(file.Dockerfile)
		return
	}
	if diff := differences(want, again); diff != "" {
		p.Outcome, p.Cause, p.Detail = Emitted, firstLine(diff), diff+"\n"+string(file.Dockerfile)
	}
}

// differences compares definitions, image configurations and the number of
// layers; the order of what makes no layer is nobody's business.
func differences(want, got *oracle.Result) string {
	diff, err := oracle.Compare(want.Def, got.Def)
	if err != nil {
		return err.Error()
	}
	diff += oracle.CompareImages(want.Image, got.Image)
	layers := func(r *oracle.Result) (n int) {
		for _, h := range r.Image.History {
			if !h.EmptyLayer {
				n++
			}
		}
		return n
	}
	if a, b := layers(want), layers(got); a != b {
		diff += fmt.Sprintf("%d layers in the history, want %d\n", b, a)
	}
	return diff
}

// Bar reports whether a run meets the bar: 99 of 100 converted pairs are equal,
// and all that BuildKit refuses is refused.
func Bar(s *Summary) bool {
	return 100*s.Count[Equal] >= 99*s.Converted() && s.Count[Accepted] == 0
}
