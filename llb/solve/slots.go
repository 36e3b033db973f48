package solve

import (
	"context"
	"slices"
	"sync"
)

// slots bounds how many jobs are at work at once. Who asks first is served first: targets
// are built in the order of the request, and tests before what waits for them. A place in
// the queue is taken without waiting, before the job's goroutine begins; with a semaphore
// the order would be that in which goroutines happen to run.
type slots struct {
	mu    sync.Mutex
	free  int
	queue []*turn // nobody waits while a slot is free
}

// turn is a place in the queue.
type turn struct{ come chan struct{} }

func newSlots(n int) *slots { return &slots{free: n} }

// ask takes a place in the queue. Who has one waits for it.
func (s *slots) ask() *turn {
	t := &turn{make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
		close(t.come)
	} else {
		s.queue = append(s.queue, t)
	}
	return t
}

// wait waits until a turn has come; the slot is then the caller's. Who is cancelled has
// none, and is [ErrSkipped].
func (s *slots) wait(ctx context.Context, t *turn) error {
	select {
	case <-t.come:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	i := slices.Index(s.queue, t)
	if i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
	}
	s.mu.Unlock()
	if i < 0 { // it came just now
		s.release()
	}
	return ErrSkipped
}

// release gives a slot back, to who waits longest.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.free++
		return
	}
	close(s.queue[0].come)
	s.queue = s.queue[1:]
}
