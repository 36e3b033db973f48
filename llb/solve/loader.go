package solve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Loader takes images as docker archives.
type Loader interface {
	// Name says what the images go into: "docker", "podman".
	Name() string
	// Load reads an archive to its end.
	Load(ctx context.Context, archive io.Reader) error
}

// FindLoader finds the Docker or Podman of this machine: by the docker command,
// which knows its contexts and credentials, by podman's, else by a socket of
// Docker's API. The error is [ErrNoLoader] and says what was tried.
func FindLoader(ctx context.Context) (Loader, error) {
	var tried []string
	for _, name := range []string{"docker", "podman"} {
		path, err := exec.LookPath(name)
		if err != nil {
			tried = append(tried, "no "+name+" command")
			continue
		}
		probe := exec.CommandContext(ctx, path, "info", "--format", "{{.ID}}")
		if name == "podman" {
			probe = exec.CommandContext(ctx, path, "info", "--format", "{{.Host.Os}}")
		}
		if out, err := probe.CombinedOutput(); err != nil {
			tried = append(tried, name+" info: "+firstLine(out, err))
			continue
		}
		return commandLoader{name: name, path: path}, nil
	}
	for _, socket := range dockerSockets() {
		c, err := net.Dial("unix", socket)
		if err != nil {
			tried = append(tried, err.Error())
			continue
		}
		c.Close()
		return socketLoader(socket), nil
	}
	return nil, fmt.Errorf("%w (%s); use -o type=docker,dest=FILE for an archive", ErrNoLoader, strings.Join(tried, "; "))
}

func dockerSockets() (sockets []string) {
	if socket, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		return []string{socket}
	}
	sockets = append(sockets, "/var/run/docker.sock")
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		sockets = append(sockets, filepath.Join(dir, "docker.sock"), filepath.Join(dir, "podman", "podman.sock"))
	}
	return sockets
}

func firstLine(out []byte, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if line == "" {
		return err.Error()
	}
	return line
}

type commandLoader struct{ name, path string }

func (l commandLoader) Name() string { return l.name }

func (l commandLoader) Load(ctx context.Context, archive io.Reader) error {
	cmd := exec.CommandContext(ctx, l.path, "load")
	cmd.Stdin = archive
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s load: %w: %s", l.name, err, bytes.TrimSpace(out))
	}
	return nil
}

// socketLoader speaks Docker's API, which Podman's service has too.
type socketLoader string

func (l socketLoader) Name() string {
	if strings.Contains(string(l), "podman") {
		return "podman"
	}
	return "docker"
}

func (l socketLoader) Load(ctx context.Context, archive io.Reader) error {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", string(l))
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://docker/images/load?quiet=1", archive)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-tar")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("load into %s: %w", string(l), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
		return fmt.Errorf("load into %s: %s: %s", string(l), resp.Status, bytes.TrimSpace(body))
	}
	return readLoadMessages(resp.Body)
}

// readLoadMessages reads the stream of JSON messages in which the API reports a
// load; a failure is one of them, after the status 200.
func readLoadMessages(r io.Reader) error {
	for d := json.NewDecoder(r); ; {
		var m struct{ Error string }
		switch err := d.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("load: %w", err)
		case m.Error != "":
			return fmt.Errorf("load: %s", m.Error)
		}
	}
}

// loading is an archive on its way into a Loader.
type loading struct {
	*io.PipeWriter
	done chan error
}

func startLoading(ctx context.Context, l Loader) *loading {
	r, w := io.Pipe()
	ld := &loading{PipeWriter: w, done: make(chan error, 1)}
	go func() {
		err := l.Load(ctx, r)
		r.CloseWithError(errOr(err, io.ErrClosedPipe)) // the sender must not wait for a reader that is gone
		ld.done <- err
	}()
	return ld
}

func errOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// Close ends the archive and waits until it is loaded.
func (l *loading) Close() error {
	l.PipeWriter.Close()
	err := <-l.done
	l.done <- err
	return err
}
