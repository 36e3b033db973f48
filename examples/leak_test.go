package examples_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"golang.org/x/crypto/ssh/agent"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/llb/build"
	"github.com/hbuild/hbuild/llb/solve"
)

// withAgent starts an SSH agent with new keys and returns the example's environment with its socket. The
// keys' private halves may occur nowhere.
func withAgent(t *testing.T, e *expectation) map[string]string {
	t.Helper()
	keys := agent.NewKeyring()
	for _, kind := range e.SSHAgent {
		if kind != "ed25519" {
			t.Fatalf("no keys of kind %q are made", kind)
		}
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if err := keys.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
		e.Never = append(e.Never, string(key.Seed()))
	}
	dir, err := os.MkdirTemp("", "agent-") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				agent.ServeAgent(keys, conn) // ends with the connection
			}()
		}
	}()
	env := map[string]string{"SSH_AUTH_SOCK": socket}
	maps.Copy(env, e.Env)
	return env
}

// leaks looks for texts that may occur nowhere.
type leaks struct{ never [][]byte }

// newLeaks is nil when an example has nothing to hide.
func newLeaks(e *expectation) *leaks {
	if len(e.Never) == 0 {
		return nil
	}
	l := &leaks{}
	for _, s := range e.Never {
		l.never = append(l.never, []byte(s))
	}
	return l
}

// found returns which of the texts occur in r, by their place in the list, and how much was read.
func (l *leaks) found(r io.Reader) (out []int, n int, err error) {
	b, err := io.ReadAll(r)
	for i, s := range l.never {
		if bytes.Contains(b, s) {
			out = append(out, i)
		}
	}
	return out, len(b), err
}

func (l *leaks) search(t *testing.T, what string, r io.Reader) error {
	t.Helper()
	found, n, err := l.found(r)
	for _, i := range found {
		t.Errorf("%s has never[%d]", what, i)
	}
	if n == 0 {
		t.Errorf("%s is empty", what)
	}
	return err
}

// searchLogs builds so that all steps of the last stage run and print, and searches what hbuild makes of
// the build: definition, Dockerfile, progress, metadata, and a cache with all intermediate layers.
func (x *example) searchLogs(t *testing.T, b buildCase) {
	t.Helper()
	search := func(what string, b []byte) {
		if err := x.leaks.search(t, what, bytes.NewReader(b)); err != nil {
			t.Error(err)
		}
	}
	dir := scratchDir(t)
	metadata := filepath.Join(dir, "metadata.json")
	var plain, raw bytes.Buffer
	g := x.salted(t, b)
	x.searchTexts(t, g, search)
	x.buildAnew(t, g, build.Options{Progress: solve.Progress{Mode: "plain", Out: &plain}})
	g = x.salted(t, b)
	g.Targets[0].CacheTo = []string{"type=local,mode=max,dest=" + filepath.Join(dir, "cache")}
	x.buildAnew(t, g, build.Options{Progress: solve.Progress{Mode: "rawjson", Out: &raw}, MetadataFile: metadata})
	search("the plain progress", plain.Bytes())
	search("the raw progress", raw.Bytes())
	search("the raw progress's logs", decodeLogs(t, raw.Bytes()))
	data, err := os.ReadFile(metadata)
	if err != nil {
		t.Fatal(err)
	}
	search("the metadata file", data)
	x.searchCache(t, filepath.Join(dir, "cache"))
}

// salted is the case's graph with an argument of its own in the last stage. Building without the cache
// would do as well, but its steps are shared with builds that run at the same time, which then miss the
// cache too.
func (x *example) salted(t *testing.T, b buildCase) *ir.Graph {
	t.Helper()
	last := graph(t, x.dir, b).Targets[0].Builds[0].Image
	opt := options(b.Vars)
	opt.Sets = []string{fmt.Sprintf("%s.args+={ SALT = %q }", last.Addr, rand.Text())}
	g, diags := compiler.Load(os.DirFS(x.dir), ".", opt).Graph([]string{b.Address}, nil)
	if len(diags) > 0 {
		t.Fatal(message(diags, nil))
	}
	return g
}

// buildAnew builds a salted graph: every command of the last stage must run.
func (x *example) buildAnew(t *testing.T, g *ir.Graph, opt build.Options) {
	t.Helper()
	commands := 0
	for _, s := range g.Targets[0].Builds[0].Image.Steps {
		if _, ok := s.(*ir.Run); ok {
			commands++
		}
	}
	if res := x.build(t, g, opt); res.StepsRun < commands {
		t.Errorf("%d steps run, want the %d of the last stage at least", res.StepsRun, commands)
	}
}

// searchTexts searches the Dockerfile and the definition.
func (x *example) searchTexts(t *testing.T, g *ir.Graph, search func(string, []byte)) {
	t.Helper()
	for _, target := range g.Targets {
		f, diags := dockerfile.Emit(g, target)
		if diags.HasErrors() {
			t.Fatal(message(diags, g.Files))
		}
		search("the Dockerfile", f.Dockerfile)
		for _, r := range roots(target) {
			_, def := lower(t, g, target, r)
			dt, err := def.MarshalVT()
			if err != nil {
				t.Fatal(err)
			}
			search("the definition", dt)
		}
	}
}

// decodeLogs joins what the steps printed, which is base64 in a raw log.
func decodeLogs(t *testing.T, raw []byte) []byte {
	t.Helper()
	var out []byte
	d := json.NewDecoder(bytes.NewReader(raw))
	for {
		var s client.SolveStatus
		if err := d.Decode(&s); errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		for _, l := range s.Logs {
			out = append(out, l.Data...)
		}
	}
}

// searchCache searches the blobs of an exported cache, layers uncompressed.
func (x *example) searchCache(t *testing.T, dir string) {
	t.Helper()
	blobs := 0
	err := filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		blobs++
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		r := bufio.NewReader(f)
		if magic, _ := r.Peek(2); !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
			return x.leaks.search(t, "the cache's "+d.Name(), r)
		}
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		return x.leaks.search(t, "the cache's "+d.Name(), z)
	})
	if err != nil || blobs < 3 {
		t.Errorf("searched %d blobs of the cache: %v", blobs, err)
	}
}

func TestLeaksAreFound(t *testing.T) {
	l := newLeaks(&expectation{Never: []string{"alpha", "beta"}})
	for text, want := range map[string]string{"": "[]", "alp ha bet": "[]", "xbetax": "[1]", "betaalpha": "[0 1]"} {
		got, n, err := l.found(strings.NewReader(text))
		if fmt.Sprint(got) != want || n != len(text) || err != nil {
			t.Errorf("%q: %v, %d bytes, %v; want %s", text, got, n, err, want)
		}
	}
}
