package funcs_test

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang/funcs"
)

// readDirs notes which directories are read.
type readDirs struct {
	fstest.MapFS
	names *[]string
}

func (f readDirs) ReadDir(name string) ([]fs.DirEntry, error) {
	*f.names = append(*f.names, name)
	return f.MapFS.ReadDir(name)
}

// TestFilesetReads: a pattern that finds services does not read what is below them,
// nor what lies beside.
func TestFilesetReads(t *testing.T) {
	fsys := fstest.MapFS{}
	for _, name := range []string{
		"services/api/hbuild.hcl", "services/api/src/a.go", "services/web/hbuild.hcl", "services/web/src/node_modules/b.js",
		"libs/x/hbuild.hcl", "top.hcl",
	} {
		fsys[name] = &fstest.MapFile{}
	}
	for pattern, want := range map[string][]string{
		"services/*/hbuild.hcl": {"services", "services/api", "services/web"},
		"*/x/*":                 {".", "libs", "libs/x", "services"},
		"s*/*/src/*.go":         {".", "services", "services/api", "services/api/src", "services/web", "services/web/src"},
		"*.hcl":                 {"."},
	} {
		var read []string
		f := funcs.Map(funcs.Env{FS: readDirs{fsys, &read}})["fileset"]
		v, err := f.Call([]cty.Value{cty.StringVal("."), cty.StringVal(pattern)})
		if err != nil || v.LengthInt() == 0 {
			t.Errorf("%s: %#v, %v", pattern, v, err)
		}
		slices.Sort(read)
		if !slices.Equal(read, want) {
			t.Errorf("%s: reads %q, want %q", pattern, read, want)
		}
	}
}
