package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFile writes a file whole or not at all: beside it, then in its place. A
// symbolic link stays one, and a file that is there keeps its mode.
func writeFile(name string, data []byte, mode fs.FileMode) error {
	s, err := stageFile(name, data, mode)
	if err != nil {
		return err
	}
	return errors.Join(s.commit(), s.drop())
}

// stagedFile is a file that was written beside its place.
type stagedFile struct {
	temp, name string
	direct     func() error // for what cannot be replaced: a device, a pipe
}

// stageFile writes a file beside its place; the caller commits and drops it.
func stageFile(name string, data []byte, mode fs.FileMode) (s *stagedFile, err error) {
	if real, err := filepath.EvalSymlinks(name); err == nil {
		name = real
	}
	if info, err := os.Stat(name); err == nil {
		if info.IsDir() {
			return nil, usagef("%s: it is a directory.", name)
		}
		if !info.Mode().IsRegular() { // /dev/stdout, a pipe: nothing to replace
			return &stagedFile{direct: func() error { return os.WriteFile(name, data, mode) }}, nil
		}
		mode = info.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return nil, usagef("%s: %v.", name, reason(err))
	}
	if _, err = f.Write(data); err == nil {
		err = f.Chmod(mode)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(f.Name()))
	}
	return &stagedFile{temp: f.Name(), name: name}, nil
}

// commit puts the file in its place.
func (s *stagedFile) commit() error {
	if s.direct != nil {
		return s.direct()
	}
	err := os.Rename(s.temp, s.name)
	if err == nil {
		s.temp = ""
	}
	return err
}

// drop removes what was not committed.
func (s *stagedFile) drop() error {
	if s.temp == "" {
		return nil
	}
	return os.Remove(s.temp)
}
