package solve

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/moby/buildkit/identity"
)

// staging is a directory beside the destination in which results are received.
// All paths go through root, which never follows a link out of it.
type staging struct {
	root     *os.Root
	name     string     // of the temporary directory, relative to root
	mu       sync.Mutex // platforms are received at once
	prepared bool
	claimed  io.Closer // nil where nothing can be
}

// newStaging makes root when it is missing: an output may name a new directory.
// The temporary directory appears when something is received, not before: until
// then contexts are read. Those of builds that were killed are removed.
func newStaging(dir string) (*staging, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	sweep(dir)
	return &staging{root: root, name: ownedPrefix + identity.NewID()}, nil
}

// prepare makes the directory to receive in, and claims it.
func (s *staging) prepare() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.prepared {
		if err := s.root.MkdirAll(s.name, 0o700); err != nil {
			return err
		}
		s.claimed, s.prepared = claim(filepath.Join(s.root.Name(), s.name))
	}
	return s.root.MkdirAll(path.Join(s.name, "new"), 0o700)
}

// dir is where to receive, as a path of the operating system.
func (s *staging) dir() string { return filepath.Join(s.root.Name(), s.name, "new") }

// explain finds out why nothing could be received. What fails on this side ends
// the transfer, and the daemon only notices the end; so what may have failed is
// tried again.
func (s *staging) explain(err error) error {
	fi, statErr := s.root.Stat(s.name)
	if statErr != nil || !fi.IsDir() {
		return err
	}
	probe := path.Join(s.name, "probe")
	defer s.root.Remove(probe)
	// A block more than any file system keeps room for in its own structures.
	if probeErr := s.root.WriteFile(probe, make([]byte, 128<<10), 0o600); probeErr != nil {
		return fmt.Errorf("write under %s: %w", s.root.Name(), cause(probeErr))
	}
	return err
}

// cause is why an operation on a file failed, without the file's name: that of a
// temporary one says nothing.
func cause(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// close removes what was received and not installed.
func (s *staging) close() error {
	makeRemovable(filepath.Join(s.root.Name(), s.name))
	err := errors.Join(s.root.RemoveAll(s.name), s.root.Close())
	if s.claimed != nil {
		s.claimed.Close() // it was opened for nothing but the claim
	}
	return err
}

// makeRemovable lets a directory be removed: those below it may have come without the
// permission to empty them.
func makeRemovable(dir string) {
	filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if e != nil && e.IsDir() {
			os.Chmod(p, 0o700)
		}
		return nil
	})
}

// installation moves what was received into place, and back when something
// fails on the way.
type installation struct {
	s       *staging
	whole   bool // everything that was received, not chosen paths
	undo    []func() error
	written []WrittenFile
}

// install moves outputs from the received directory sub into the root. After an
// error nothing is changed; a later failure may still roll the installation back.
func (s *staging) install(sub string, outputs []FileOutput) (*installation, error) {
	in := &installation{s: s}
	for _, o := range outputs {
		if err := in.output(path.Join(s.name, "new", sub, o.Path), o); err != nil {
			return nil, errors.Join(fmt.Errorf("write %s: %w", o.Path, err), in.rollback())
		}
	}
	return in, nil
}

// merge moves everything that was received into the root: an image's files for
// an output of type local.
func (s *staging) merge() (*installation, error) {
	in := &installation{s: s, whole: true}
	if err := in.dir(path.Join(s.name, "new"), "."); err != nil {
		return nil, errors.Join(err, in.rollback())
	}
	return in, nil
}

func (in *installation) output(from string, o FileOutput) error {
	to := path.Clean(o.Path)
	if !filepath.IsLocal(to) {
		return errors.New("the path leads outside the root")
	}
	fi, err := in.s.root.Lstat(from)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the build did not make it")
	} else if err != nil {
		return err
	}
	switch {
	case o.Dir && !fi.IsDir():
		return errors.New("a directory is expected, and the build made a file")
	case to == "." && !o.Dir:
		return errors.New("a file cannot replace the root")
	}
	if err := in.parents(path.Dir(to)); err != nil {
		return err
	}
	if fi.IsDir() {
		return in.dir(from, to)
	}
	return in.file(from, to, fi)
}

// parents makes missing directories, to be removed again on failure.
func (in *installation) parents(dir string) error {
	if dir == "." {
		return nil
	}
	fi, err := in.s.root.Stat(dir)
	if err == nil && !fi.IsDir() {
		return fmt.Errorf("%s is a file", dir)
	}
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return escapes(dir, err)
	}
	if err := in.parents(path.Dir(dir)); err != nil {
		return err
	}
	return in.mkdir(dir, 0o755)
}

func (in *installation) mkdir(dir string, mode fs.FileMode) error {
	err := in.s.root.Mkdir(dir, 0o755)
	if fi, statErr := in.s.root.Stat(dir); errors.Is(err, fs.ErrExist) && statErr == nil && fi.IsDir() {
		return nil // another build made it at this moment
	}
	if err != nil {
		return escapes(dir, err)
	}
	in.undo = append(in.undo, func() error {
		err := in.s.root.Remove(dir)
		if errors.Is(err, syscall.ENOTEMPTY) {
			return nil // it holds another build's files by now
		}
		return err
	})
	return in.s.root.Chmod(dir, mode)
}

// dir merges a received directory into one of the root. Files that are there and
// were not built stay.
func (in *installation) dir(from, to string) error {
	fi, err := in.s.root.Lstat(from)
	if err != nil {
		return err
	}
	switch have, err := in.s.root.Stat(to); {
	case errors.Is(err, fs.ErrNotExist):
		moved, err := in.tree(from, to)
		if err != nil || moved {
			return err
		}
		// Stat says so of a link that leads nowhere, too: Mkdir then refuses.
		if err := in.mkdir(to, fi.Mode().Perm()); err != nil {
			return err
		}
	case err != nil:
		return escapes(to, err)
	case !have.IsDir():
		return fmt.Errorf("%s is a file, and the build made a directory", to)
	}
	if err := in.s.root.Chmod(from, 0o700); err != nil {
		return err
	}
	entries, err := fs.ReadDir(in.s.root.FS(), from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, dest := path.Join(from, e.Name()), path.Join(to, e.Name())
		if e.IsDir() {
			err = in.dir(source, dest)
		} else {
			var fi fs.FileInfo
			if fi, err = e.Info(); err == nil {
				err = in.file(source, dest, fi)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tree moves a received directory as a whole to where nothing is yet, which for
// many files is much faster than one by one. It says whether that was possible.
func (in *installation) tree(from, to string) (bool, error) {
	if _, err := in.s.root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var written []WrittenFile
	err := fs.WalkDir(in.s.root.FS(), from, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		w, err := in.describe(p, path.Join(to, strings.TrimPrefix(p, from)), fi)
		written = append(written, w)
		return err
	})
	if err != nil {
		return false, nil // a directory that its owner may not read; file by file it can be
	}
	switch err := in.s.root.Rename(from, to); {
	case errors.Is(err, syscall.EXDEV), errors.Is(err, fs.ErrExist): // or another build made it at this moment
		return false, nil
	case err != nil:
		return false, escapes(to, err)
	}
	in.undo = append(in.undo, func() error { return in.s.root.Rename(to, from) })
	in.written = append(in.written, written...)
	return true, nil
}

// file moves one file or link into place; what was there is kept until all is
// done.
func (in *installation) file(from, to string, fi fs.FileInfo) error {
	written, err := in.describe(from, to, fi)
	if err != nil {
		return err
	}
	switch have, err := in.s.root.Lstat(to); {
	case err == nil && have.IsDir():
		return fmt.Errorf("%s is a directory, and the build made a file", to)
	case err == nil:
		if err := in.backup(to); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return escapes(to, err)
	}
	if err := in.move(from, to); err != nil {
		return escapes(to, err)
	}
	in.undo = append(in.undo, func() error { return in.s.root.Remove(to) })
	in.written = append(in.written, written)
	return nil
}

func (in *installation) backup(to string) error {
	dir := path.Join(in.s.name, "old")
	if err := in.s.root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	old := path.Join(dir, identity.NewID())
	if err := in.move(to, old); errors.Is(err, fs.ErrNotExist) {
		return nil // another build took it away at this moment
	} else if err != nil {
		return escapes(to, err)
	}
	in.undo = append(in.undo, func() error { return in.move(old, to) })
	return nil
}

// move renames, or copies where the two are on different file systems.
func (in *installation) move(from, to string) error {
	err := in.s.root.Rename(from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	fi, err := in.s.root.Lstat(from)
	if err != nil {
		return err
	}
	temp := path.Join(path.Dir(to), tempPrefix+"move-"+path.Base(to))
	if err := in.copy(from, temp, fi); err != nil {
		in.s.root.Remove(temp)
		return err
	}
	if err := in.s.root.Rename(temp, to); err != nil {
		in.s.root.Remove(temp)
		return err
	}
	return in.s.root.Remove(from)
}

func (in *installation) copy(from, to string, fi fs.FileInfo) error {
	if fi.Mode()&fs.ModeSymlink != 0 {
		link, err := in.s.root.Readlink(from)
		if err != nil {
			return err
		}
		return in.s.root.Symlink(link, to)
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s cannot be written: %s", from, fi.Mode().Type())
	}
	source, err := in.s.root.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	dest, err := in.s.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dest, source)
	if err := errors.Join(err, dest.Close()); err != nil {
		return err
	}
	if err := in.s.root.Chmod(to, fi.Mode().Perm()|fi.Mode()&(fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	return in.s.root.Chtimes(to, fi.ModTime(), fi.ModTime())
}

func (in *installation) rollback() error {
	var errs []error
	for _, undo := range slices.Backward(in.undo) {
		errs = append(errs, undo())
	}
	return errors.Join(errs...)
}

func (in *installation) describe(from, to string, fi fs.FileInfo) (WrittenFile, error) {
	w := WrittenFile{Path: to, Size: fi.Size()}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		link, err := in.s.root.Readlink(from)
		w.Link = link
		return w, err
	case !fi.Mode().IsRegular():
		return w, nil
	}
	f, err := in.s.root.Open(from)
	if errors.Is(err, fs.ErrPermission) {
		// A file that its owner may not read is written like any other.
		return w, nil
	} else if err != nil {
		return w, err
	}
	defer f.Close()
	w.Digest, err = digestOf(f)
	return w, err
}

func digestOf(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// escapes says in the build's words that a link leads out of the root.
func escapes(p string, err error) error {
	if err != nil && strings.Contains(err.Error(), "path escapes from parent") {
		return fmt.Errorf("%s: a symbolic link leads outside the root", p)
	}
	return err
}

// writeAtomically replaces a file as a whole.
func writeAtomically(dest string, data []byte) error {
	a, err := createArchive(dest)
	if err != nil {
		return err
	}
	_, err = a.Write(data)
	if err := errors.Join(err, a.Close()); err != nil {
		a.discard()
		return err
	}
	if err := a.commit(); err != nil {
		a.discard()
		return err
	}
	return nil
}

// copyInto writes a file into what cannot be replaced: /dev/null, a pipe.
func copyInto(dest, from string) error {
	defer os.Remove(from)
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	f, err := os.OpenFile(dest, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, source)
	return errors.Join(err, f.Close())
}
