// Package runimage runs what was built: it unpacks an image that a build exported and runs commands in
// it as `docker run` would, without a daemon.
//
// The file system is made by containerd's own layer applier (whiteouts, owners, modes, links, extended
// attributes). A command gets an overlay over it, so that no run sees what another wrote, and runs under
// runc with namespaces and a loopback interface of its own. The overlay is mounted in a mount namespace
// that ends with the command: however a test ends, no mount is left.
//
// It needs root, runc and overlayfs, as BuildKit's daemon does.
package runimage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/containerd/containerd/v2/pkg/archive"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Options say how an image is opened. The zero value is usable.
type Options struct {
	// Dir is where a directory for the unpacked image is made; empty means the system's temporary
	// directory. Overlayfs must work on its file system.
	Dir string
	// Platform chooses a manifest of an image with several; nil means this machine's.
	Platform *v1.Platform
}

// Image is an unpacked image.
type Image struct {
	// Config is its configuration.
	Config *v1.ConfigFile
	// Size is the sum of the sizes of the files of all layers in bytes: what the image takes when it is
	// unpacked, with the files that later layers replaced.
	Size int64

	image v1.Image
	dir   string
}

// Open unpacks an image from an OCI archive (a tar file) or an OCI layout (a directory), which must
// hold one image. [Image.Close] removes it.
func Open(ctx context.Context, path string, opt Options) (*Image, error) {
	dir, err := os.MkdirTemp(opt.Dir, "image-")
	if err != nil {
		return nil, err
	}
	i := &Image{dir: dir}
	if err := i.open(ctx, path, opt.Platform); err != nil {
		return nil, errors.Join(fmt.Errorf("open image %s: %w", path, err), i.Close())
	}
	return i, nil
}

// Close removes the unpacked image.
func (i *Image) Close() error { return os.RemoveAll(i.dir) }

func (i *Image) root() string { return filepath.Join(i.dir, "rootfs") }

func (i *Image) open(ctx context.Context, path string, want *v1.Platform) error {
	fi, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		if path, err = i.untar(ctx, path); err != nil {
			return err
		}
	}
	idx, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return err
	}
	if want == nil {
		want = &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	}
	if i.image, err = find(idx, want); err != nil {
		return err
	}
	if i.Config, err = i.image.ConfigFile(); err != nil {
		return err
	}
	return i.unpack(ctx)
}

// untar takes an archive apart into a layout.
func (i *Image) untar(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	dir := filepath.Join(i.dir, "layout")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	_, err = archive.Apply(ctx, dir, f)
	return dir, err
}

// find returns the image of an index, or of the indexes in it, that is for a platform. A manifest whose
// platform is not said is taken for the wanted one.
func find(idx v1.ImageIndex, want *v1.Platform) (v1.Image, error) {
	all, err := images(idx, want)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("%d images for %s, want one", len(all), want)
	}
	return all[0], nil
}

func images(idx v1.ImageIndex, want *v1.Platform) (all []v1.Image, err error) {
	m, err := idx.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, d := range m.Manifests {
		switch {
		case d.MediaType.IsIndex():
			sub, err := idx.ImageIndex(d.Digest)
			if err != nil {
				return nil, err
			}
			below, err := images(sub, want)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
		case d.MediaType.IsImage() && (d.Platform == nil || d.Platform.Satisfies(*want)):
			img, err := idx.Image(d.Digest)
			if err != nil {
				return nil, err
			}
			all = append(all, img)
		}
	}
	return all, nil
}

func (i *Image) unpack(ctx context.Context) error {
	if err := os.Mkdir(i.root(), 0o755); err != nil {
		return err
	}
	// The process's umask must not show in the image.
	if err := os.Chmod(i.root(), 0o755); err != nil {
		return err
	}
	layers, err := i.image.Layers()
	if err != nil {
		return err
	}
	for n, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			return fmt.Errorf("layer %d: %w", n, err)
		}
		size, err := archive.Apply(ctx, i.root(), r)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("layer %d: %w", n, err)
		}
		i.Size += size
	}
	return nil
}

// RawConfig is the configuration's blob.
func (i *Image) RawConfig() ([]byte, error) { return i.image.RawConfigFile() }

// Blobs calls visit with all that the image consists of, uncompressed: its manifest, its configuration
// and the tar stream of each layer.
func (i *Image) Blobs(visit func(name string, r io.Reader) error) error {
	manifest, err := i.image.RawManifest()
	if err != nil {
		return err
	}
	config, err := i.image.RawConfigFile()
	if err != nil {
		return err
	}
	if err := errors.Join(visit("manifest", bytes.NewReader(manifest)), visit("config", bytes.NewReader(config))); err != nil {
		return err
	}
	layers, err := i.image.Layers()
	if err != nil {
		return err
	}
	for n, l := range layers {
		r, err := l.Uncompressed()
		if err != nil {
			return err
		}
		if err := errors.Join(visit(fmt.Sprintf("layer %d", n), r), r.Close()); err != nil {
			return err
		}
	}
	return nil
}
