package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

// wire is a socket in front of a daemon's, which counts what clients send.
type wire struct {
	address string // as the daemon's: unix://PATH
	sent    atomic.Int64

	backend string // the daemon's socket
	dir     string
	l       net.Listener
}

// listen puts a socket in front of the daemon at an address.
func listen(address string) (*wire, error) {
	backend, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		return nil, errors.New(address + " is no socket")
	}
	dir, err := os.MkdirTemp("", "bench-wire-")
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	w := &wire{address: "unix://" + socket, backend: backend, dir: dir, l: l}
	go w.serve()
	return w, nil
}

func (w *wire) serve() {
	for {
		client, err := w.l.Accept()
		if err != nil {
			return // closed
		}
		daemon, err := net.Dial("unix", w.backend)
		if err != nil {
			client.Close() // the client says what is wrong
			continue
		}
		// A connection of gRPC ends as a whole, so that errors say nothing more.
		go func() {
			io.Copy(daemon, counter{client, &w.sent})
			daemon.Close()
		}()
		go func() {
			io.Copy(client, daemon)
			client.Close()
		}()
	}
}

func (w *wire) close() error { return errors.Join(w.l.Close(), os.RemoveAll(w.dir)) }

// counter counts what is read.
type counter struct {
	io.Reader
	n *atomic.Int64
}

func (c counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}
