package solve

import (
	"context"
	"errors"
	"sync"
)

// barrier is where the jobs of an atomic call wait for each other.
type barrier struct {
	mu      sync.Mutex
	left    int
	arrived map[*job]bool
	failed  error // why those that got here have no effects; nil while nothing failed
	release chan struct{}
}

func (b *barrier) start(n int) {
	b.left, b.release, b.arrived = n, make(chan struct{}), map[*job]bool{}
	if n == 0 {
		close(b.release)
	}
}

// arrive notes that a job got here, or that it failed to. Only the first time counts.
func (b *barrier) arrive(j *job, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.arrived[j] {
		return
	}
	b.arrived[j] = true
	switch {
	case err == nil:
	case !errors.Is(err, ErrSkipped):
		b.failed = &SkippedError{By: j.Addr}
	case b.failed == nil:
		b.failed = err
	}
	if b.left--; b.left == 0 {
		close(b.release)
	}
}

// wait returns nil when all jobs got here.
func (b *barrier) wait(ctx context.Context) error {
	select {
	case <-b.release:
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.failed
	case <-ctx.Done():
		return ErrSkipped
	}
}
