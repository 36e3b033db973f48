package solve

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// TestSlots: turns come in the order in which they were asked for, never more at once
// than there are slots, and who gives up holds nobody up.
func TestSlots(t *testing.T) {
	s := newSlots(2)
	var turns []*turn
	for range 6 {
		turns = append(turns, s.ask())
	}
	come := func() (n int) {
		for _, turn := range turns {
			select {
			case <-turn.come:
				n++
			default:
				return n
			}
		}
		return n
	}
	if come() != 2 {
		t.Fatalf("%d turns have come, of two slots", come())
	}
	s.release()
	if come() != 3 {
		t.Fatal("the third is not the next")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.wait(gone, turns[4]); !errors.Is(err, ErrSkipped) { // it leaves the queue
		t.Error(err)
	}
	s.release()
	s.release()
	select {
	case <-turns[5].come:
	default:
		t.Error("who left is waited for")
	}
	if err := s.wait(t.Context(), turns[5]); err != nil {
		t.Error(err)
	}
	s.release()
	s.release()
	if s.free != 2 || len(s.queue) != 0 {
		t.Errorf("%d slots are free, %d wait", s.free, len(s.queue))
	}
}

// TestSlotsAreNotLost: whatever is cancelled when, all slots are free in the end.
func TestSlotsAreNotLost(t *testing.T) {
	s := newSlots(3)
	var all sync.WaitGroup
	for i := range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		mine := s.ask()
		all.Go(func() {
			if s.wait(ctx, mine) == nil {
				s.release()
			}
		})
		all.Go(func() {
			if i%2 == 0 {
				cancel()
			}
		})
		defer cancel()
	}
	all.Wait()
	if s.free != 3 || len(s.queue) != 0 {
		t.Errorf("%d slots are free, %d wait", s.free, len(s.queue))
	}
}
