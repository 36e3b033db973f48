package runimage

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	continuity "github.com/containerd/continuity/fs"
)

// The kinds of files.
const (
	Regular = "file"
	Dir     = "dir"
	Symlink = "symlink"
	Other   = "other" // a device, a pipe, a socket
)

// File is a file of an image.
type File struct {
	Path string // absolute in the image
	Type string // [Regular], [Dir], [Symlink] or [Other]
	Mode uint32 // permissions with setuid, setgid and sticky: 0o7777 at most
	UID  int
	GID  int
	Size int64  // of a regular file, in bytes
	Link string // a symbolic link's target
}

// Stat describes a file by its absolute path. Symbolic links in the path's directories are followed
// within the image, one at its end is not. An error is fs.ErrNotExist when there is no such file.
func (i *Image) Stat(p string) (File, error) {
	host, err := i.host(p)
	if err != nil {
		return File{}, err
	}
	return describe(host, path.Clean("/"+p))
}

// ReadFile returns a regular file's content; the path is [Image.Stat]'s.
func (i *Image) ReadFile(p string) ([]byte, error) {
	f, err := i.Stat(p)
	if err != nil {
		return nil, err
	}
	if f.Type != Regular {
		return nil, &fs.PathError{Op: "read", Path: p, Err: syscall.EINVAL}
	}
	host, err := i.host(p)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(host)
}

// Files lists the image's files but for its root, in lexical order of their paths.
func (i *Image) Files() (all []File, err error) {
	err = filepath.WalkDir(i.root(), func(host string, _ fs.DirEntry, err error) error {
		if err != nil || host == i.root() {
			return err
		}
		rel, err := filepath.Rel(i.root(), host)
		if err != nil {
			return err
		}
		f, err := describe(host, "/"+filepath.ToSlash(rel))
		all = append(all, f)
		return err
	})
	return all, err
}

// host is where a file of the image is on this machine. Nothing outside the image is ever named.
func (i *Image) host(p string) (string, error) {
	dir, base := path.Split(path.Clean("/" + p))
	host, err := continuity.RootPath(i.root(), dir)
	return filepath.Join(host, base), err
}

// Describe describes a file of this machine; its Path is the one given.
func Describe(path string) (File, error) { return describe(path, path) }

func describe(host, p string) (File, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(host, &st); err != nil {
		return File{}, &fs.PathError{Op: "stat", Path: p, Err: err}
	}
	f := File{Path: p, Type: Other, Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid)}
	switch st.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		f.Type, f.Size = Regular, st.Size
	case syscall.S_IFDIR:
		f.Type = Dir
	case syscall.S_IFLNK:
		f.Type = Symlink
		link, err := os.Readlink(host)
		if err != nil {
			return File{}, err
		}
		f.Link = link
	}
	return f, nil
}
