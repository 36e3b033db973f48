package llb

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
)

// triggers reads the base's onbuild instructions as steps, which come before the
// stage's own.
func (w *lowering) triggers(texts []string) []ir.Step {
	at := w.s.ir.Range
	if r, ok := w.s.ir.Root.(ir.ImageRoot); ok && r.Range.Filename != "" {
		at = r.Range
	}
	r := dockerfile.Reader{
		Context: w.mainContext(),
		From:    w.triggerSource,
		Range:   func(*parser.Node) hcl.Range { return at },
	}
	var out []ir.Step
	for _, text := range texts {
		steps, err := readTrigger(&r, text)
		if err != nil {
			w.errorf(CodeTrigger, at, "An onbuild instruction of the base cannot run", "%s: %v.", strconv.Quote(text), err)
			continue
		}
		w.resolveFor(steps)
		out = append(out, steps...)
	}
	return out
}

func readTrigger(r *dockerfile.Reader, text string) ([]ir.Step, error) {
	res, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, rootCause(err)
	}
	if len(res.AST.Children) != 1 {
		return nil, errors.New("it must be a single instruction")
	}
	return r.Steps(res.AST.Children[0])
}

// mainContext is the main context of the stage's triggers: that of the Dockerfile
// which the stage comes from, or the graph's.
func (w *lowering) mainContext() *ir.Context {
	if p := w.s.ir.InPlace; p != nil && p.Main != nil && (w.isMain(p.Main) || slices.Contains(w.l.graph.Contexts, p.Main)) {
		return p.Main
	}
	return w.l.defaultContext(w.b)
}

// defaultContext is the main context, which a base's trigger may read although no
// stage does.
func (l *lowerer) defaultContext(b *build) *ir.Context {
	if b.Main != nil {
		return b.Main
	}
	for _, c := range l.graph.Contexts {
		if c.Name == "default" {
			return c
		}
	}
	if l.implied == nil {
		l.implied = &ir.Context{Name: "default"}
	}
	return l.implied
}

// contexts are all that a build may read, each once.
func (l *lowerer) contexts(b *build) []*ir.Context {
	out := slices.Clone(l.graph.Contexts)
	for _, c := range []*ir.Context{b.Main, l.implied} {
		if c != nil && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// triggerSource is what a trigger's `from` names: a stage that the build uses, or
// an image.
func (w *lowering) triggerSource(name string, mount bool) (ir.Source, error) {
	if name == "scratch" {
		return ir.ScratchSource{}, nil
	}
	for _, s := range ir.Reach(w.b.Stage) {
		if !strings.EqualFold(s.Name, name) || s.For != nil && platforms.FormatAll(*s.For) != platforms.FormatAll(w.b.target) {
			continue
		}
		if w.dependsOn(s) {
			return nil, fmt.Errorf("stage %q is made from this stage, or is it", name)
		}
		return ir.StageSource{Stage: s}, nil
	}
	if _, err := strconv.Atoi(name); err == nil && !mount {
		return nil, errors.New("stages have no numbers; name the stage")
	}
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		return nil, fmt.Errorf("%q is neither a stage nor an image", name)
	}
	// For the target's platform, whatever this stage's own is.
	p := &ir.Platform{Platform: w.b.target, Auto: "TARGETPLATFORM"}
	return ir.ImageSource{Ref: name, Platform: p, Range: w.s.ir.Range}, nil
}

// dependsOn reports whether s is made from the stage that is being lowered.
func (w *lowering) dependsOn(s *ir.Stage) bool {
	for _, d := range ir.Reach(s) {
		if d == w.s.ir {
			return true
		}
	}
	return false
}

// resolveFor resolves the images that triggers read: nobody knew of them before
// the base image was resolved.
func (w *lowering) resolveFor(steps []ir.Step) {
	var todo []wanted
	for _, step := range steps {
		ir.Sources(step, func(src ir.Source) {
			i, ok := src.(ir.ImageSource)
			if !ok {
				return
			}
			key, p, err := w.l.imageKey(w.b, i.Ref, i.Platform)
			if err == nil && w.l.images[key] == nil {
				w.l.images[key] = &image{failed: true}
				todo = append(todo, wanted{key, p, i.Range, w.b.Multi})
			}
		})
	}
	w.l.resolve(todo)
}
