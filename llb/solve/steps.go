package solve

import (
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	digest "github.com/opencontainers/go-digest"
)

// position is where an operation was written; nil when the definition has no source
// map.
func (l *Lowered) position(d digest.Digest) *Position {
	if l.Definition.Source == nil {
		return nil
	}
	locations := l.Definition.Source.Locations[d.String()].GetLocations()
	if len(locations) == 0 || len(locations[0].Ranges) == 0 {
		return nil
	}
	infos := l.Definition.Source.Infos
	i := int(locations[0].SourceIndex)
	if i >= len(infos) {
		return nil
	}
	start, end := locations[0].Ranges[0].GetStart(), locations[0].Ranges[0].GetEnd()
	return &Position{File: infos[i].GetFilename(), Line: int(start.GetLine()), Column: int(start.GetCharacter()) + 1, EndLine: int(end.GetLine()), EndColumn: int(end.GetCharacter()) + 1}
}

// positionOf is a range as a position; nil for an empty one.
func positionOf(r hcl.Range) *Position {
	if r.Filename == "" {
		return nil
	}
	return &Position{File: r.Filename, Line: r.Start.Line, Column: r.Start.Column, EndLine: r.End.Line, EndColumn: r.End.Column}
}

// results says what became of steps. complete says that their job succeeded: what
// was not heard of then was not needed, because what is made from it is cached.
func (t *tracker) results(steps []digest.Digest, complete bool) (out []StepResult) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[digest.Digest]bool{}
	for _, d := range steps {
		if seen[d] {
			continue
		}
		seen[d] = true
		s := t.steps[d]
		r := StepResult{Name: s.name, Digest: d, Source: s.source, State: StepSkipped}
		if complete {
			r.State = StepCached
		}
		if v := t.vertexes[d]; v != nil {
			r.DurationMS = v.took(s.rootless)
			switch {
			case v.failed():
				r.State = StepFailed
			case v.worked(s.rootless):
				r.State = StepRun
			case v.cached:
				r.State = StepCached
			}
		}
		out = append(out, r)
	}
	return out
}

// worked says whether a vertex did its work, as opposed to finding it done. What it
// does after its result was found is a download from an imported cache.
func (v *vertex) worked(rootless bool) bool {
	for _, start := range slices.SortedFunc(maps.Keys(v.intervals), time.Time.Compare) {
		switch i := v.intervals[start]; {
		case i.found:
			return false
		case i.worked && rootless:
			rootless = false // that was its cache key
		case i.worked:
			return true
		}
	}
	return false
}

// failed says whether the last that was heard of a vertex is that it failed.
func (v *vertex) failed() bool {
	if !v.errored || v.canceled {
		return false
	}
	for _, i := range v.intervals {
		if i.failed {
			return true
		}
	}
	return false
}

// took is how long a vertex was at work, in milliseconds.
func (v *vertex) took(rootless bool) (ms int64) {
	if !v.worked(rootless) && !v.errored {
		return 0
	}
	for _, i := range v.intervals {
		ms += i.took.Milliseconds()
	}
	return ms
}

// countSteps counts the steps that ran, with those that failed, and those that were
// cached.
func countSteps(steps []StepResult) (run, cached int) {
	for _, s := range steps {
		switch s.State {
		case StepRun, StepFailed:
			run++
		case StepCached:
			cached++
		}
	}
	return run, cached
}

// countAll counts the steps of all jobs, each once.
func (r *Result) countAll() (run, cached int) {
	seen := map[digest.Digest]int{} // in steps
	var steps []StepResult
	for _, j := range r.Jobs {
		for _, s := range j.Steps {
			i, ok := seen[s.Digest]
			switch {
			case !ok:
				seen[s.Digest] = len(steps)
				steps = append(steps, s)
			case steps[i].State == StepSkipped:
				steps[i] = s // another job knows more of it
			}
		}
	}
	return countSteps(steps)
}
