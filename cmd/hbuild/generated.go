package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hbuild/hbuild/compiler/dockerfile"
)

// generated is a Dockerfile and the name that it is written to.
type generated struct {
	name string
	file *dockerfile.File
}

// writeGenerated writes Dockerfiles and their ignore files, all or none of them:
// beside their places first, and nothing is moved there before all are written. An
// ignore file goes before its Dockerfile: one that is there too early belongs to
// none yet, one that is late is missing in a build.
func (a *app) writeGenerated(files []generated) (err error) {
	var staged []*stagedFile
	defer func() {
		for _, s := range staged {
			err = errors.Join(err, s.drop())
		}
	}()
	stage := func(name string, data []byte) error {
		s, err := stageFile(name, data, 0o644)
		if err == nil {
			staged = append(staged, s)
		}
		return err
	}
	var old []string
	for _, f := range files {
		ignore := f.name + ignoreSuffix
		if f.file.IgnoreFile != nil {
			if err := stage(ignore, f.file.IgnoreFile); err != nil {
				return err
			}
		} else if a.oldIgnore(ignore) != nil {
			old = append(old, ignore)
		}
		if err := stage(f.name, f.file.Dockerfile); err != nil {
			return err
		}
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return usagef("%s: %v.", a.shown(name), reason(err))
		}
	}
	for _, s := range staged {
		if err := s.commit(); err != nil {
			return err
		}
	}
	return nil
}

// oldIgnore is the text of an ignore file that an earlier emit wrote and that the
// target does not have any more; docker build would still read it. Of one that
// somebody else wrote it warns.
func (a *app) oldIgnore(name string) []byte {
	text, err := os.ReadFile(name)
	switch {
	case err != nil:
		return nil
	case dockerfile.IsGenerated(text):
		return text
	}
	fmt.Fprintf(a.stderr, "hbuild: warning: docker build reads %s, and the target leaves nothing out by itself; remove it unless you mean it.\n", filepath.ToSlash(a.shown(name)))
	return nil
}

// checkGenerated prints how the files differ from what would be written, and names
// those that are left over.
func (a *app) checkGenerated(files []generated, left []string) error {
	stale := len(left) > 0
	compare := func(name string, want []byte) error {
		other, err := a.compare(name, want)
		stale = stale || other
		return err
	}
	for _, f := range files {
		if err := compare(f.name, f.file.Dockerfile); err != nil {
			return err
		}
		ignore := f.name + ignoreSuffix
		if f.file.IgnoreFile == nil && a.oldIgnore(ignore) == nil {
			continue
		}
		if err := compare(ignore, f.file.IgnoreFile); err != nil {
			return err
		}
	}
	for _, name := range left {
		fmt.Fprintf(a.stderr, "hbuild: %s was written for a target that is not there any more; remove it.\n", filepath.ToSlash(a.shown(name)))
	}
	if stale {
		return &exitError{Code: exitStale}
	}
	return nil
}

// compare prints how a file differs from what it should be; a missing file counts
// as an empty one.
func (a *app) compare(name string, want []byte) (stale bool, err error) {
	have, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, usagef("%s: %v.", a.shown(name), reason(err))
	}
	missing := err != nil
	if missing {
		fmt.Fprintf(a.stderr, "hbuild: %s is not there.\n", a.shown(name))
	}
	return missing || !bytes.Equal(have, want), a.printDiff(filepath.ToSlash(a.shown(name)), have, want)
}

// leftovers are the files in a directory that the same command wrote before, as
// their headers say, and does not write now; and their ignore files.
func leftovers(dir, command string, files []generated) (left []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("%s: %v.", dir, reason(err))
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if !strings.HasSuffix(name, dockerfileSuffix) || slices.ContainsFunc(files, func(f generated) bool { return f.name == name }) {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil || dockerfile.Command(text) != command {
			continue
		}
		left = append(left, name)
		if text, err := os.ReadFile(name + ignoreSuffix); err == nil && dockerfile.IsGenerated(text) {
			left = append(left, name+ignoreSuffix)
		}
	}
	return left, nil
}
