package testimage

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// compression says how a layer's tar is stored.
type compression int

const (
	// gzipFast suits layers that may end up in a result: every tool reads gzip.
	gzipFast compression = iota
	// zstdFast suits the Go tree: it is read often, is large, and stays in build stages.
	zstdFast
)

// store is a directory of content-addressed blobs (blobs/sha256/HEX) and of notes that say which
// blob a recipe gave (notes/NAME-KEY.json), so that a recipe runs once for each of its keys.
type store struct{ dir string }

// layer is a finished layer blob: its descriptor and the digest of its uncompressed tar.
type layer struct {
	Desc   v1.Descriptor `json:"descriptor"`
	DiffID v1.Hash       `json:"diffID"`
}

func (s store) blobPath(h v1.Hash) string {
	return filepath.Join(s.dir, "blobs", h.Algorithm, h.Hex)
}

func (s store) notePath(name, key string) string {
	return filepath.Join(s.dir, "notes", name+"-"+key+".json")
}

// readNote loads a note into v, and reports whether there was one.
func (s store) readNote(name, key string, v any) bool {
	b, err := os.ReadFile(s.notePath(name, key))
	return err == nil && json.Unmarshal(b, v) == nil
}

func (s store) writeNote(name, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.writeFile(s.notePath(name, key), b)
}

// writeFile puts b at path, whole or not at all.
func (s store) writeFile(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// has reports whether a blob is there in its full length.
func (s store) has(d v1.Descriptor) bool {
	fi, err := os.Stat(s.blobPath(d.Digest))
	return err == nil && fi.Size() == d.Size
}

// writeJSON stores v's JSON as a blob.
func (s store) writeJSON(v any, mt types.MediaType) (v1.Descriptor, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	sum := sha256.Sum256(b)
	d := v1.Descriptor{MediaType: mt, Size: int64(len(b)), Digest: hashOf(sum[:])}
	return d, s.writeFile(s.blobPath(d.Digest), b)
}

// layer returns the layer that a recipe gives, from the cache where it has run for this key.
func (s store) layer(name, key string, c compression, recipe func(io.Writer) error) (layer, error) {
	var l layer
	if s.readNote(name, key, &l) && s.has(l.Desc) {
		return l, nil
	}
	l, err := s.writeLayer(c, recipe)
	if err != nil {
		return layer{}, fmt.Errorf("make layer %s: %w", name, err)
	}
	return l, s.writeNote(name, key, l)
}

// writeLayer runs a recipe that writes a tar, compressing and hashing it in one pass.
func (s store) writeLayer(c compression, recipe func(io.Writer) error) (layer, error) {
	if err := os.MkdirAll(filepath.Join(s.dir, "blobs", "sha256"), 0o755); err != nil {
		return layer{}, err
	}
	f, err := os.CreateTemp(s.dir, "layer-*")
	if err != nil {
		return layer{}, err
	}
	defer os.Remove(f.Name())
	defer f.Close()

	blob, diff := sha256.New(), sha256.New()
	size := &countWriter{}
	z, mt, err := compressor(c, io.MultiWriter(f, blob, size))
	if err != nil {
		return layer{}, err
	}
	if err := errors.Join(recipe(io.MultiWriter(z, diff)), z.Close(), f.Close()); err != nil {
		return layer{}, err
	}
	if err := os.Chmod(f.Name(), 0o644); err != nil {
		return layer{}, err
	}
	l := layer{Desc: v1.Descriptor{MediaType: mt, Size: size.n, Digest: sumOf(blob)}, DiffID: sumOf(diff)}
	return l, os.Rename(f.Name(), s.blobPath(l.Desc.Digest))
}

func compressor(c compression, w io.Writer) (io.WriteCloser, types.MediaType, error) {
	if c == zstdFast {
		// One goroutine, because the split into blocks (and so the digest) must not depend on the machine.
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		return z, types.OCILayerZStd, err
	}
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	return z, types.OCILayer, err
}

type countWriter struct{ n int64 }

func (c *countWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func hashOf(sum []byte) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum)} }
func sumOf(h hash.Hash) v1.Hash { return hashOf(h.Sum(nil)) }

// tarball writes a root file system entry by entry. Every entry belongs to root and has the time
// 0, so that the same entries give the same bytes. The first error sticks and is what close returns.
type tarball struct {
	w   *tar.Writer
	err error
}

func newTarball(w io.Writer) *tarball { return &tarball{w: tar.NewWriter(w)} }

func (t *tarball) close() error {
	if t.err != nil {
		return t.err
	}
	return t.w.Close()
}

func (t *tarball) header(h *tar.Header) {
	h.Format = tar.FormatPAX
	if t.err == nil {
		t.err = t.w.WriteHeader(h)
	}
}

func (t *tarball) dir(path string, mode int64) {
	t.header(&tar.Header{Typeflag: tar.TypeDir, Name: path + "/", Mode: mode})
}

func (t *tarball) file(path string, mode int64, data []byte) {
	t.header(&tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: mode, Size: int64(len(data))})
	if t.err == nil {
		_, t.err = t.w.Write(data)
	}
}

func (t *tarball) link(path, target string) {
	t.header(&tar.Header{Typeflag: tar.TypeSymlink, Name: path, Linkname: target, Mode: 0o777})
}

// hostFile copies one regular file of this machine, following links.
func (t *tarball) hostFile(path string, mode int64, host string) {
	if t.err != nil {
		return
	}
	b, err := os.ReadFile(host)
	if err != nil {
		t.err = err
		return
	}
	t.file(path, mode, b)
}

// hostTree copies a directory of this machine to path, in lexical order; skip leaves out a file or
// directory by its slash-separated path below host.
func (t *tarball) hostTree(path, host string, skip func(rel string) bool) {
	if t.err != nil {
		return
	}
	t.err = filepath.WalkDir(host, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel != "." && skip(rel) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return t.hostEntry(join(path, rel), p, d)
	})
}

func (t *tarball) hostEntry(name, host string, d fs.DirEntry) error {
	switch {
	case d.IsDir():
		t.dir(name, 0o755)
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		t.link(name, target)
	case d.Type().IsRegular():
		fi, err := d.Info()
		if err != nil {
			return err
		}
		// Only the executable bit is kept: the rest of a mode depends on the umask of whoever unpacked the tree.
		t.hostFile(name, 0o644|int64(fi.Mode().Perm()&0o111), host)
	}
	return t.err
}

func join(dir, rel string) string {
	if rel == "." {
		return dir
	}
	return dir + "/" + rel
}
