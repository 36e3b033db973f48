// Package testimage makes the base images that the examples and the tests build on, on this
// machine and without an image registry, and serves them where BuildKit pulls them from.
//
// They are stand-ins: they have the names, the shape and the image config of the images that
// build files name (golang:1.26, debian:bookworm, alpine:3.22, nginx, busybox), and their content is
// what a Debian machine with a Go toolchain has at hand:
//
//   - alpine and busybox are Debian's busybox-static; alpine's apk is a script that can add
//     ca-certificates and tzdata (both lie in the image) and fails for every other package.
//   - debian is debootstrap's minbase, with this machine's way to reach Debian's mirrors.
//   - golang is that Debian with this machine's GOROOT at /usr/local/go, and with the environment
//     (module proxy, checksum database, certificates) that lets `go mod download` work as it does here.
//   - nginx has nginx's files and config, and no server.
//
// Every image is an index of two platforms, as images of Docker Hub are: the machine's own and
// one foreign one. The foreign manifest has the same layers, so its programs are the machine's own
// and run without emulation; a test that builds for two platforms gets a real two-platform result.
//
// An image's bytes depend on what it is made of and never on the time: each layer has a key of its
// inputs (the files of this machine, apt's settings, the recipe's own files) and is made once for it.
// Everything is kept in one directory, see [DefaultDir].
package testimage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Options say where images are kept and who hears about the making of them. The zero value is usable.
type Options struct {
	// Dir is the cache directory; empty means [DefaultDir].
	Dir string
	// Log receives a line for each slow piece of work; nil discards.
	Log io.Writer
}

// Set is a made set of images, ready to be served.
type Set struct {
	store  store
	images []Image
}

// Image is one name in a [Set].
type Image struct {
	// Ref is the canonical reference, such as docker.io/library/golang:1.26.
	Ref string
	// Digest is the digest of the image's index: what a tag resolves to.
	Digest v1.Hash
	// Size is the index's length in bytes, as a registry reports it.
	Size int64
	// Platforms are the manifests of the index, the machine's own platform first.
	Platforms []Platform
}

// Platform is one platform of an [Image].
type Platform struct {
	// ID is the platform as BuildKit writes it, such as linux/amd64.
	ID string
	// Manifest is the digest of the platform's manifest.
	Manifest v1.Hash
	// Config is the digest of the platform's image config blob.
	Config v1.Hash
}

// DefaultDir is where images are kept: $HBUILD_STANDINS_DIR, else hbuild/standins in the user's cache directory.
func DefaultDir() (string, error) {
	if d := os.Getenv("HBUILD_STANDINS_DIR"); d != "" {
		return filepath.Abs(d)
	}
	c, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a cache directory for base images: %w", err)
	}
	return filepath.Join(c, "hbuild", "standins"), nil
}

// Make returns the images, making what the cache does not have. Callers in several processes take
// turns. It needs the programs that `make tools` installs; an error names the one that is missing.
func Make(ctx context.Context, o Options) (*Set, error) {
	if o.Dir == "" {
		d, err := DefaultDir()
		if err != nil {
			return nil, err
		}
		o.Dir = d
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()

	m := &maker{ctx: ctx, store: store{o.Dir}, log: o.Log}
	s := &Set{store: m.store}
	for _, spec := range specs() {
		imgs, err := m.image(spec)
		if err != nil {
			return nil, fmt.Errorf("make image %s: %w", spec.names[0], err)
		}
		s.images = append(s.images, imgs...)
	}
	sort.Slice(s.images, func(i, j int) bool { return s.images[i].Ref < s.images[j].Ref })
	return s, nil
}

// lock takes the directory's lock file, waiting for its holder.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// Images lists the set's images, sorted by reference.
func (s *Set) Images() []Image { return s.images }

// Lookup finds an image by its canonical reference.
func (s *Set) Lookup(ref string) (Image, bool) {
	for _, i := range s.images {
		if i.Ref == ref {
			return i, true
		}
	}
	return Image{}, false
}

// PlatformConfig is one platform's entry in an image-config file.
type PlatformConfig struct {
	// Digest is what the tag resolves to ("sha256:…").
	Digest string `json:"digest"`
	// Config is the OCI image config, as the registry serves it.
	Config json.RawMessage `json:"config"`
}

// Configs returns what `hbuild emit llb --image-config FILE` reads to lower without a network:
// reference → platform → digest and image config.
func (s *Set) Configs() (map[string]map[string]PlatformConfig, error) {
	all := map[string]map[string]PlatformConfig{}
	for _, img := range s.images {
		all[img.Ref] = map[string]PlatformConfig{}
		for _, p := range img.Platforms {
			b, err := os.ReadFile(s.store.blobPath(p.Config))
			if err != nil {
				return nil, err
			}
			all[img.Ref][p.ID] = PlatformConfig{Digest: img.Digest.String(), Config: b}
		}
	}
	return all, nil
}

// spec is an image to make: the names it has, its layers from the lowest up, and its config.
type spec struct {
	names  []string
	layers []recipe
	config func() v1.Config
}

// recipe makes one layer; key says for which inputs the result may be reused.
type recipe struct {
	name        string
	compression compression
	key         func() (string, error)
	write       func(ctx context.Context, log io.Writer, w io.Writer) error
}

// maker holds what making images shares. The context is for the programs it runs.
type maker struct {
	ctx   context.Context
	store store
	log   io.Writer
}

// image makes one image and returns it under each of its names.
func (m *maker) image(sp spec) ([]Image, error) {
	var layers []layer
	for _, r := range sp.layers {
		key, err := r.key()
		if err != nil {
			return nil, err
		}
		l, err := m.store.layer(r.name, key, r.compression, func(w io.Writer) error {
			fmt.Fprintf(m.log, "base images: making %s\n", r.name)
			return r.write(m.ctx, m.log, w)
		})
		if err != nil {
			return nil, err
		}
		layers = append(layers, l)
	}
	img, err := m.index(sp, layers)
	if err != nil {
		return nil, err
	}
	var named []Image
	for _, n := range sp.names {
		img.Ref = n
		named = append(named, img)
	}
	return named, nil
}

// index writes the configs, manifests and the index of an image.
func (m *maker) index(sp spec, layers []layer) (Image, error) {
	var img Image
	idx := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for _, arch := range architectures() {
		p, desc, err := m.manifest(sp, layers, arch)
		if err != nil {
			return Image{}, err
		}
		img.Platforms = append(img.Platforms, p)
		idx.Manifests = append(idx.Manifests, desc)
	}
	d, err := m.store.writeJSON(idx, types.OCIImageIndex)
	img.Digest, img.Size = d.Digest, d.Size
	return img, err
}

func (m *maker) manifest(sp spec, layers []layer, arch string) (Platform, v1.Descriptor, error) {
	platform := &v1.Platform{OS: "linux", Architecture: arch}
	if arch == "arm64" {
		platform.Variant = "v8"
	}
	cfg := v1.ConfigFile{OS: "linux", Architecture: arch, Variant: platform.Variant, Config: sp.config(), RootFS: v1.RootFS{Type: "layers"}}
	man := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1}
	for i, l := range layers {
		cfg.RootFS.DiffIDs = append(cfg.RootFS.DiffIDs, l.DiffID)
		cfg.History = append(cfg.History, v1.History{CreatedBy: "hbuild stand-in " + sp.layers[i].name})
		man.Layers = append(man.Layers, l.Desc)
	}
	var err error
	if man.Config, err = m.store.writeJSON(cfg, types.OCIConfigJSON); err != nil {
		return Platform{}, v1.Descriptor{}, err
	}
	desc, err := m.store.writeJSON(man, types.OCIManifestSchema1)
	desc.Platform = platform
	// BuildKit's spelling leaves out arm64's only variant.
	return Platform{ID: "linux/" + arch, Manifest: desc.Digest, Config: man.Config.Digest}, desc, err
}

// architectures are the machine's own and one other.
func architectures() []string {
	if runtime.GOARCH == "arm64" {
		return []string{"arm64", "amd64"}
	}
	return []string{runtime.GOARCH, "arm64"}
}

// splitRef splits a canonical reference into registry, repository and tag.
func splitRef(ref string) (host, repo, tag string) {
	host, rest, _ := strings.Cut(ref, "/")
	i := strings.LastIndexByte(rest, ':')
	return host, rest[:i], rest[i+1:]
}
