package examples_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"

	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/llb/build"
	"github.com/hbuild/hbuild/llb/solve"
)

// TestChange changes files of monorepo-real and looks which steps run: those of what
// the file belongs to, and no others.
func TestChange(t *testing.T) {
	if *update {
		t.Skip("-update builds nothing")
	}
	c, err := client.New(t.Context(), testengine.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	x := &example{c: c, dir: filepath.Join(t.TempDir(), "monorepo-real")}
	if err := os.CopyFS(x.dir, os.DirFS("monorepo-real")); err != nil {
		t.Fatal(err)
	}
	all := buildCase{Address: "default"}
	first := x.build(t, graph(t, x.dir, all), build.Options{})
	if len(first.Jobs) != 18 {
		t.Errorf("%d targets and tests", len(first.Jobs))
	}
	for _, j := range first.Jobs {
		if j.Err != nil || (j.Digest == "") != j.Test {
			t.Errorf("%s: %v %s", j.Addr, j.Err, j.Digest)
		}
	}
	if ran := ranIn(x.build(t, graph(t, x.dir, all), build.Options{})); len(ran) > 0 {
		t.Errorf("nothing changed, and steps ran in %v", ran)
	}
	for _, tc := range []struct{ file, change, want string }{
		{"services/rates/main.go", "// " + rand.Text(), `service["rates"]`},
		{"services/notify/notify.sh", "# " + rand.Text(), `service["notify"]`},
		{"services/handbook/pages/rates.md", rand.Text(), "handbook"},
		{"lib/geo/geo.cpp", "// " + rand.Text(), `service["route"] service["zone"]`},
		{"services/rates/service.json", "\n", ""}, // what it says is the same
	} {
		x.append(t, tc.file, tc.change)
		res := x.build(t, graph(t, x.dir, all), build.Options{})
		if ran := strings.Join(ranIn(res), " "); ran != tc.want {
			t.Errorf("after a change of %s steps ran in %q, want %q", tc.file, ran, tc.want)
		}
	}

	// A test that fails stops its image, and only that.
	x.append(t, "services/zone/test.sh", "echo "+rand.Text()+" is wrong; exit 1\n")
	res, _, err := build.Run(t.Context(), c, graph(t, x.dir, all), build.Options{Root: x.dir, LookupEnv: os.LookupEnv})
	if err == nil {
		t.Fatal("a failing test fails nothing")
	}
	if text := message(build.Failure(err, graph(t, x.dir, all)), nil); !strings.Contains(text, "is wrong") {
		t.Errorf("the failure says:\n%s", text)
	}
	for _, j := range res.Jobs {
		mine := strings.HasPrefix(j.Addr, `service["zone"]/`)
		if mine && j.Test && (j.Err == nil || errors.Is(j.Err, solve.ErrSkipped)) || mine && !j.Test && !errors.Is(j.Err, solve.ErrSkipped) || !mine && j.Err != nil {
			t.Errorf("%s: %v", j.Addr, j.Err)
		}
	}
}

// ranIn names the modules in which steps ran.
func ranIn(res *solve.Result) (out []string) {
	for _, j := range res.Jobs {
		if m, _, _ := strings.Cut(j.Addr, "/"); j.StepsRun > 0 && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out
}

// append adds to a file of the example.
func (x *example) append(t *testing.T, file, text string) {
	t.Helper()
	path := filepath.Join(x.dir, filepath.FromSlash(file))
	old, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, bytes.Join([][]byte{old, []byte(text)}, nil), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
