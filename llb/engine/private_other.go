//go:build !linux

package engine

import (
	"context"
	"errors"
)

var errLinuxOnly = errors.New("hbuild starts an engine of its own on Linux only")

func tryPrivate(context.Context, Options) (*Engine, []Attempt) {
	return nil, []Attempt{{"a private buildkitd of hbuild's own", errLinuxOnly}}
}

// Start starts the private engine, which only Linux can run.
func Start(context.Context, Options) (*Engine, bool, error) {
	return nil, false, &NotFoundError{Attempts: []Attempt{{"a private buildkitd of hbuild's own", errLinuxOnly}}}
}

// Stop ends the private engine; there is none on this system.
func Stop(context.Context, Options) (bool, error) { return false, nil }

func runningPID(Paths) int { return 0 }
