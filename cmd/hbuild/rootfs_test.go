package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
)

// TestRootFS: the file system that is compiled is the directory's, and ends there.
func TestRootFS(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for name, content := range map[string]string{"b/hbuild.hcl": "b", "a.hcl": "a", "b/c/d": "", "z": ""} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	fsys := newRootFS(root)
	if err := fstest.TestFS(fsys, "b/hbuild.hcl", "a.hcl", "b/c/d", "z"); err != nil {
		t.Fatal(err)
	}

	for name, to := range map[string]string{"link": "a.hcl", "out": outside, "in": "b", "nowhere": "x"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := fs.ReadDir(fsys, ".")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b fs.DirEntry) bool { return a.Name() == b.Name() && a.Type() == b.Type() }
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("%v, not %v", got, want)
	}
	if in, err := fs.ReadDir(fsys, "in"); err != nil || len(in) != 2 {
		t.Errorf("a link within: %v, %v", in, err)
	}
	if _, err := fs.ReadDir(fsys, "out"); err == nil {
		t.Error("a link leads out")
	}
	if _, err := fs.ReadDir(fsys, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
	if _, err := fs.ReadDir(fsys, "z"); err == nil {
		t.Error("a file has entries")
	}
}
