package main

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// rootFS is the directory that is compiled: a file system that nothing leads out of,
// as [os.Root] sees to. But that looks at every file of a directory that it lists, for
// their sizes and times, and a workspace is listed several times for the modules in it;
// only what kind of file each is matters here, and a listing has that.
type rootFS struct {
	fs.FS
	root *os.Root
}

func newRootFS(root *os.Root) rootFS { return rootFS{root.FS(), root} }

// ReadFile implements fs.ReadFileFS.
func (r rootFS) ReadFile(name string) ([]byte, error) { return fs.ReadFile(r.FS, name) }

// Stat implements fs.StatFS.
func (r rootFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(r.FS, name) }

// ReadDir implements fs.ReadDirFS.
func (r rootFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	dir, err := r.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := readKinds(dir)
	for i, e := range entries {
		entries[i] = rootEntry{e, r.root, name}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// rootEntry is an entry that is looked at when somebody asks, within the root.
type rootEntry struct {
	fs.DirEntry
	root *os.Root
	dir  string
}

// Info implements fs.DirEntry.
func (e rootEntry) Info() (fs.FileInfo, error) { return e.root.Lstat(path.Join(e.dir, e.Name())) }
