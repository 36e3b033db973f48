package ir

import (
	"errors"
	"fmt"
)

// EpochSource finds what the time of a stage is that [BuildOptions.EpochFrom]
// names: the context that the caller gave in its place, or its only step besides
// arguments, which adds what is at one address. BuildKit takes no other stage
// (frontend/dockerfile/dockerfile2llb/epoch.go), for there is no saying which of
// several things a stage's time would be.
func EpochSource(s *Stage) (*Context, *Copy, error) {
	if r, ok := s.Root.(ContextRoot); ok {
		return r.Context, nil, nil
	}
	if _, ok := s.Root.(ScratchRoot); !ok {
		return nil, nil, errors.New("it does not start from scratch")
	}
	var found *Copy
	for _, step := range s.Steps {
		switch step := step.(type) {
		case *Arg:
		case *Copy:
			if found != nil || !step.Add || len(step.Src) != 1 || len(step.Texts) > 0 {
				return nil, nil, errors.New("it has to copy one git() or http() and nothing else")
			}
			found = step
		default:
			return nil, nil, fmt.Errorf("it has another step than the copy of one git() or http()")
		}
	}
	if found == nil {
		return nil, nil, errors.New("it copies no git() or http()")
	}
	return nil, found, nil
}
