package testimage

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Registry is a running registry that serves a [Set].
type Registry struct {
	// Addr is its address, 127.0.0.1:PORT. Plain HTTP.
	Addr string

	server *http.Server
	done   chan error
}

// Serve makes the images and serves them on a free port of 127.0.0.1. The registry ends when the
// context does, or with [Registry.Stop].
func Serve(ctx context.Context, o Options) (*Registry, *Set, error) {
	s, err := Make(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	r, err := s.Serve(ctx, "127.0.0.1:0")
	return r, s, err
}

// Serve serves the set at addr, which must be on the loopback interface ("127.0.0.1:0" takes a free port).
func (s *Set) Serve(ctx context.Context, addr string) (*Registry, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if a, ok := l.Addr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		l.Close()
		return nil, errors.New("the registry of base images listens on the loopback interface only, not on " + addr)
	}
	r := &Registry{
		Addr:   l.Addr().String(),
		server: &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second},
		done:   make(chan error, 1),
	}
	go func() { r.done <- r.server.Serve(l) }()
	context.AfterFunc(ctx, func() { r.server.Close() })
	return r, nil
}

// Stop ends the registry and waits for it.
func (r *Registry) Stop() error {
	err := r.server.Close()
	if e := <-r.done; e != nil && !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	r.done <- http.ErrServerClosed // so that a second Stop returns as well
	return err
}

// Handler is a registry (the OCI distribution API). It answers for the set's images from the disk,
// and keeps in memory what is pushed to it, so that one registry serves for tests of pulls and pushes.
// Repositories have no host: library/golang is docker.io's, as a mirror of docker.io is asked for it.
func (s *Set) Handler() http.Handler {
	tags, kinds := s.index()
	pushed := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		if h, mt := find(tags, kinds, r.URL.Path); read && h.Hex != "" && s.serveBlob(w, r, h, mt) {
			return
		}
		pushed.ServeHTTP(w, r)
	})
}

// index lists what can be asked for: "repository:tag" → digest, and the media type of each blob.
func (s *Set) index() (map[string]v1.Hash, map[v1.Hash]types.MediaType) {
	tags, kinds := map[string]v1.Hash{}, map[v1.Hash]types.MediaType{}
	for _, img := range s.images {
		_, repo, tag := splitRef(img.Ref)
		tags[repo+":"+tag] = img.Digest
		kinds[img.Digest] = types.OCIImageIndex
		for _, p := range img.Platforms {
			kinds[p.Manifest] = types.OCIManifestSchema1
		}
	}
	return tags, kinds
}

// find reads a request path: /v2/REPO/manifests/TAG-OR-DIGEST or /v2/REPO/blobs/DIGEST. The zero
// hash means that the set does not have it (a blob is looked for on the disk later).
func find(tags map[string]v1.Hash, kinds map[v1.Hash]types.MediaType, p string) (v1.Hash, types.MediaType) {
	p, ok := strings.CutPrefix(p, "/v2/")
	if !ok {
		return v1.Hash{}, ""
	}
	dir, ref := path.Split(p)
	repo, kind := path.Split(strings.TrimSuffix(dir, "/"))
	h, err := v1.NewHash(ref)
	switch {
	case kind == "manifests" && err != nil:
		h = tags[strings.TrimSuffix(repo, "/")+":"+ref]
		return h, kinds[h]
	case kind == "manifests":
		if mt, ok := kinds[h]; ok {
			return h, mt
		}
	case kind == "blobs" && err == nil:
		return h, "application/octet-stream"
	}
	return v1.Hash{}, ""
}

// serveBlob answers from the disk, and reports whether the blob was there. A pushed image may share
// blobs with the set's; those are found here too, because a blob's digest is all its identity.
func (s *Set) serveBlob(w http.ResponseWriter, r *http.Request, h v1.Hash, mt types.MediaType) bool {
	f, err := os.Open(s.store.blobPath(h))
	if err != nil {
		return false
	}
	defer f.Close()
	w.Header().Set("Content-Type", string(mt))
	w.Header().Set("Docker-Content-Digest", h.String())
	http.ServeContent(w, r, "", time.Time{}, f)
	return true
}
