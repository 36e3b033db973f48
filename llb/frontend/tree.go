package frontend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/util/grpcerrors"
	fstypes "github.com/tonistiigi/fsutil/types"
	"google.golang.org/grpc/codes"
)

// tree is a directory of the caller. Names are those of [fs.FS]; a name that is
// not there is [fs.ErrNotExist].
type tree interface {
	// stat follows symbolic links, which cannot leave the tree.
	stat(name string) (*fstypes.Stat, error)
	read(name string) ([]byte, error)
	// list gives the entries of a directory; links are not followed.
	list(dir string) ([]*fstypes.Stat, error)
}

// chunk is how much of a file one message carries. The gateway's messages end at
// 16 MiB; files do not.
const chunk = 8 << 20

// maxFile bounds the files that are read: the frontend's memory is the daemon's.
const maxFile = 256 << 20

// refTree is a tree that the daemon has: a git repository, an unpacked archive,
// the result of another build. It keeps the context of the call, because fs.FS
// has no place for one.
type refTree struct {
	ctx context.Context
	ref gateway.Reference // nil is the empty directory
}

func (t refTree) stat(name string) (*fstypes.Stat, error) {
	if t.ref == nil {
		if name == "." {
			return rootStat(), nil
		}
		return nil, fs.ErrNotExist
	}
	// BuildKit's StatFile does not follow the last link.
	for range 40 {
		st, err := t.ref.StatFile(t.ctx, gateway.StatRequest{Path: name})
		if err != nil {
			return nil, notExist(err)
		}
		if !isLink(st) {
			return st, nil
		}
		if name = follow(name, st.Linkname); name == "" {
			return nil, fs.ErrNotExist
		}
	}
	return nil, fmt.Errorf("%s: too many symbolic links", name)
}

func (t refTree) read(name string) ([]byte, error) {
	st, err := t.stat(name)
	if err != nil {
		return nil, err
	}
	if st.Size > maxFile {
		return nil, fmt.Errorf("it has %d bytes, and at most %d can be read", st.Size, maxFile)
	}
	data := make([]byte, 0, st.Size)
	for {
		part, err := t.ref.ReadFile(t.ctx, gateway.ReadRequest{Filename: name, Range: &gateway.FileRange{Offset: len(data), Length: chunk}})
		if err != nil {
			return nil, notExist(err)
		}
		data = append(data, part...)
		if len(part) < chunk || len(data) > maxFile {
			return data, nil
		}
	}
}

func (t refTree) list(dir string) ([]*fstypes.Stat, error) {
	if t.ref == nil {
		return nil, nil
	}
	entries, err := t.ref.ReadDir(t.ctx, gateway.ReadDirRequest{Path: dir})
	return entries, notExist(err)
}

// notExist gives an error of the daemon its kind back, which does not cross the
// gateway.
func notExist(err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err
	}
	text := err.Error()
	if grpcerrors.Code(err) == codes.NotFound || strings.Contains(text, "no such file or directory") || strings.Contains(text, "not a directory") ||
		strings.Contains(text, "cannot find the ") { // Windows
		return fmt.Errorf("%w (%v)", fs.ErrNotExist, err)
	}
	return err
}

func isLink(st *fstypes.Stat) bool { return fs.FileMode(st.Mode)&fs.ModeSymlink != 0 }

// follow is where a symbolic link leads within a tree; "" is outside.
func follow(name, link string) string {
	to := path.Join(path.Dir(name), link)
	if path.IsAbs(link) {
		// An absolute link of the caller's machine leads out of the context.
		return ""
	}
	if !fs.ValidPath(to) {
		return ""
	}
	return to
}

func rootStat() *fstypes.Stat { return &fstypes.Stat{Mode: uint32(fs.ModeDir | 0o755)} }

// contextFS is a tree as the compiler reads it: the module's directory.
type contextFS struct {
	tree
	// own are files that do not come from the tree; nil data is no file.
	own map[string]func() ([]byte, error)
}

// Open implements fs.FS.
func (f *contextFS) Open(name string) (fs.File, error) {
	st, data, err := f.entry("open", name)
	if err != nil {
		return nil, err
	}
	return &file{fs: f, name: name, info: info{path.Base(name), st}, data: data}, nil
}

// Stat implements fs.StatFS.
func (f *contextFS) Stat(name string) (fs.FileInfo, error) {
	st, _, err := f.entry("stat", name)
	if err != nil {
		return nil, err
	}
	return info{path.Base(name), st}, nil
}

// entry finds a name; data is that of one of the module's own files.
func (f *contextFS) entry(op, name string) (*fstypes.Stat, []byte, error) {
	fail := func(err error) (*fstypes.Stat, []byte, error) {
		return nil, nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	if own := f.own[name]; own != nil {
		data, err := own()
		if err == nil && data == nil {
			err = fs.ErrNotExist
		}
		if err != nil {
			return fail(err)
		}
		return &fstypes.Stat{Path: name, Mode: 0o644, Size: int64(len(data))}, data, nil
	}
	if name == "." {
		return rootStat(), nil, nil
	}
	st, err := f.stat(name)
	if err != nil {
		return fail(err)
	}
	return st, nil, nil
}

// ReadFile implements fs.ReadFileFS.
func (f *contextFS) ReadFile(name string) ([]byte, error) {
	st, data, err := f.entry("open", name)
	if err != nil {
		return nil, err
	}
	if data != nil {
		return slices.Clone(data), nil
	}
	if !fs.FileMode(st.Mode).IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("it is not a regular file")}
	}
	if data, err = f.read(name); err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return slices.Clone(data), nil // the caller may write to it
}

// ReadDir implements fs.ReadDirFS.
func (f *contextFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	stats, err := f.list(name)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	out := make([]fs.DirEntry, 0, len(stats))
	for _, st := range stats {
		out = append(out, fs.FileInfoToDirEntry(info{path.Base(st.Path), st}))
	}
	slices.SortFunc(out, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	return out, nil
}

// info is a file's description as the standard library wants it.
type info struct {
	name string
	st   *fstypes.Stat
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.st.Size }
func (i info) Mode() fs.FileMode  { return fs.FileMode(i.st.Mode) }
func (i info) ModTime() time.Time { return time.Unix(0, i.st.ModTime) }
func (i info) IsDir() bool        { return i.Mode().IsDir() }
func (i info) Sys() any           { return i.st }

// file is an open file. Its content is asked for at the first read.
type file struct {
	fs      *contextFS
	name    string
	info    info
	data    []byte
	loaded  bool
	offset  int
	entries []fs.DirEntry
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *file) Close() error               { return nil }

func (f *file) Read(p []byte) (int, error) {
	if !f.loaded {
		if f.data == nil {
			data, err := f.fs.ReadFile(f.name)
			if err != nil {
				return 0, err
			}
			f.data = data
		}
		f.loaded = true
	}
	if f.offset >= len(f.data) {
		return 0, io.EOF
	}
	n := copy(p, f.data[f.offset:])
	f.offset += n
	return n, nil
}

// ReadDir implements fs.ReadDirFile.
func (f *file) ReadDir(n int) ([]fs.DirEntry, error) {
	if !f.loaded {
		entries, err := f.fs.ReadDir(f.name)
		if err != nil {
			return nil, err
		}
		f.entries, f.loaded = entries, true
	}
	rest := f.entries[f.offset:]
	if n > 0 && len(rest) == 0 {
		return nil, io.EOF
	}
	if n > 0 && len(rest) > n {
		rest = rest[:n]
	}
	f.offset += len(rest)
	return rest, nil
}
