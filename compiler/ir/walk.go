package ir

// Sources calls visit for everything that a step reads besides the stage's own
// files, in the order of the step.
func Sources(step Step, visit func(Source)) {
	see := func(s Source) {
		if s != nil {
			visit(s)
		}
	}
	switch s := step.(type) {
	case *Copy:
		see(s.From)
		for _, t := range s.Texts {
			visit(TextSource{Text: t})
		}
	case *Merge:
		for _, src := range s.Of {
			see(src)
		}
	case *Diff:
		see(s.Lower)
		see(s.Upper)
	case *Run:
		for i := range s.Mounts {
			m := &s.Mounts[i]
			see(m.From)
			if m.Cache != nil {
				see(m.Cache.From)
			}
		}
	}
}

// Deps calls visit for every stage that s is made from: its root first, then what
// the root's triggers read and what its steps read. A stage that is read twice is visited twice.
func (s *Stage) Deps(visit func(*Stage)) {
	if r, ok := s.Root.(StageRoot); ok {
		visit(r.Stage)
		for _, step := range r.Stage.Steps {
			if o, ok := step.(*OnBuild); ok {
				for _, d := range o.Reads {
					visit(d)
				}
			}
		}
	}
	for _, step := range s.Steps {
		Sources(step, func(src Source) {
			if from, ok := src.(StageSource); ok {
				visit(from.Stage)
			}
		})
	}
}

// RootPlatform is the platform that was asked for where the chain of stages that
// s is built on starts: nil when that is the target's.
func (s *Stage) RootPlatform() *Platform {
	for {
		switch r := s.Root.(type) {
		case StageRoot:
			s = r.Stage
			continue
		case ImageRoot, ContextRoot:
			return s.Platform
		}
		return nil // BuildKit's scratch always has the target's platform
	}
}

// Reach returns the stages that the given ones are made from, themselves
// included, each after what it depends on. A cycle is cut where it closes; see
// [Verify].
func Reach(roots ...*Stage) []*Stage {
	var out []*Stage
	seen := map[*Stage]bool{}
	var walk func(*Stage)
	walk = func(s *Stage) {
		if seen[s] {
			return
		}
		seen[s] = true
		s.Deps(walk)
		out = append(out, s)
	}
	for _, s := range roots {
		if s != nil {
			walk(s)
		}
	}
	return out
}

// Contexts calls visit for every context that s starts from or its steps read.
func (s *Stage) Contexts(visit func(*Context)) {
	if r, ok := s.Root.(ContextRoot); ok {
		visit(r.Context)
	}
	for _, step := range s.Steps {
		Sources(step, func(src Source) {
			if c, ok := src.(ContextSource); ok {
				visit(c.Context)
			}
		})
	}
}
