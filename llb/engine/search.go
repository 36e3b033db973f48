package engine

import (
	"bytes"
	"context"
	"errors"
	"strings"
)

// Search is a search for an engine that goes on while the caller does something else.
type Search struct {
	options Options
	cancel  context.CancelFunc
	found   chan struct{} // closed when engine and err are set; nil: nothing goes on
	engine  *Engine
	err     error
	log     bytes.Buffer
}

// Look begins to look for an engine, as far as nobody notices: nothing is started, and no other
// machine is asked, which may take long or ask for a password. The caller stops the search.
func Look(ctx context.Context, o Options) *Search {
	s := &Search{options: o, cancel: func() {}}
	if !o.onThisMachine() {
		return s
	}
	ctx, s.cancel = context.WithCancel(ctx)
	s.found = make(chan struct{})
	o.NoStart = true
	if o.Log != nil {
		o.Log = &s.log
	}
	go func() {
		defer close(s.found)
		s.engine, s.err = Find(ctx, o)
	}()
	return s
}

// Engine ends the search with what [Find] returns. An engine that has to be started is started only
// now.
func (s *Search) Engine(ctx context.Context) (*Engine, error) {
	if s.found == nil {
		return Find(ctx, s.options)
	}
	select {
	case <-s.found:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if e := s.engine; e != nil {
		s.engine = nil // the caller closes it
		if s.log.Len() > 0 {
			s.log.WriteTo(s.options.Log)
		}
		return e, nil
	}
	var none *NotFoundError
	if address, _ := s.options.given(); !errors.As(s.err, &none) || address != "" && address != "private" {
		return nil, s.err
	}
	// All others were asked; the last attempt was to find a private one that runs.
	e, failed := tryPrivate(ctx, s.options)
	if e != nil {
		return e, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, &NotFoundError{Attempts: append(none.Attempts[:len(none.Attempts)-1], failed...)}
}

// Stop ends a search whose engine is not wanted any more, or has been taken.
func (s *Search) Stop() {
	s.cancel()
	if s.found == nil {
		return
	}
	<-s.found
	if s.engine != nil {
		s.engine.Close()
	}
}

// onThisMachine reports whether the engine that would be found first is reached by a socket of this
// machine.
func (o Options) onThisMachine() bool {
	switch address, _ := o.given(); address {
	case "private":
		return true
	case "", "docker":
		d, err := findDocker(o)
		return err == nil && strings.HasPrefix(d.address, "unix://")
	default:
		return strings.HasPrefix(address, "unix://")
	}
}
