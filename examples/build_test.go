package examples_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/log"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	digest "github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/runimage"
	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/internal/testimage"
	"github.com/hbuild/hbuild/llb/build"
	"github.com/hbuild/hbuild/llb/solve"
)

// TestBuild builds what each expect.json says, from the HCL and then from the emitted Dockerfile, and
// looks at the results.
func TestBuild(t *testing.T) {
	if *update {
		t.Skip("-update writes golden files and builds nothing")
	}
	if err := log.SetLevel("error"); err != nil { // the image stores' advice about their file system
		t.Fatal(err)
	}
	c, err := client.New(t.Context(), testengine.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	// The environment is the process's; examples run at the same time.
	env := map[string]string{}
	for _, name := range names(t) {
		e := readExpectation(t, name)
		if len(e.SSHAgent) > 0 {
			e.Env = withAgent(t, e)
		}
		for k, v := range e.Env {
			if _, taken := env[k]; taken {
				t.Fatalf("two examples set %s", k)
			}
			env[k] = v
			t.Setenv(k, v)
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := &example{c: c, expectation: e, dir: filepath.Join(t.TempDir(), name)}
			if err := os.CopyFS(x.dir, os.DirFS(name)); err != nil {
				t.Fatal(err)
			}
			x.leaks = newLeaks(e)
			for _, b := range e.Builds {
				t.Run(b.title(), func(t *testing.T) {
					started := time.Now()
					x.check(t, b)
					t.Logf("%.1f s", time.Since(started).Seconds())
				})
			}
		})
	}
}

func (b buildCase) title() string {
	out := b.Address
	for _, k := range slices.Sorted(mapKeys(b.Vars)) {
		out += "," + k + "=" + b.Vars[k]
	}
	return out
}

// example is a copy of an example's folder, to be built.
type example struct {
	*expectation
	c     *client.Client
	dir   string
	leaks *leaks
}

func (x *example) check(t *testing.T, b buildCase) {
	if b.Fails != nil {
		x.checkFails(t, b)
		return
	}
	g := graph(t, x.dir, b)
	if x.leaks != nil {
		x.searchLogs(t, b)
	}
	var opt build.Options
	layout := ""
	if b.Image != nil {
		layout = filepath.Join(scratchDir(t), "layout")
		opt.Outputs = []string{"type=oci,tar=false,compression=uncompressed,dest=" + layout}
	}
	res := x.build(t, g, opt)
	t.Logf("from HCL: %d steps run, %d cached", res.StepsRun, res.StepsCached)
	if b.Image != nil {
		if n := len(slices.DeleteFunc(slices.Clone(g.Targets), func(t *ir.Target) bool { return t.Test })); n != 1 {
			t.Fatalf("an image is expected of %d targets", n)
		}
		x.checkImage(t, layout, b.Image)
	}
	for _, f := range b.Files {
		checkHostFile(t, x.dir, f)
	}
	for i, target := range g.Targets {
		if target.Test {
			x.fromDockerfile(t, g, target, "", "") // it has no result, only steps
			continue
		}
		x.fromDockerfile(t, g, target, layout, res.Jobs[i].Digest)
	}
}

// build builds a graph as the command does; what is not set in opt is as without flags.
func (x *example) build(t *testing.T, g *ir.Graph, opt build.Options) *solve.Result {
	t.Helper()
	var log bytes.Buffer
	if opt.Progress.Out == nil {
		opt.Progress = solve.Progress{Mode: "plain", Out: &log}
	}
	opt.Root, opt.LookupEnv = x.dir, os.LookupEnv
	res, diags, err := build.Run(t.Context(), x.c, g, opt)
	if err != nil {
		t.Fatalf("%s\n%s", message(build.Failure(err, g), g.Files), log.Bytes())
	}
	if len(diags) > 0 {
		t.Errorf("warnings: %s", message(diags, g.Files))
	}
	return res
}

// checkFails builds what must fail, and compares what hbuild would print and exit with.
func (x *example) checkFails(t *testing.T, b buildCase) {
	p := load(x.dir, b.Vars)
	exit, stderr := 0, ""
	g, diags := p.Graph([]string{b.Address}, nil)
	if diags.HasErrors() {
		exit, stderr = 2, message(diags, p.Module.Files)
	} else {
		_, _, err := build.Run(t.Context(), x.c, g, build.Options{Root: x.dir, LookupEnv: os.LookupEnv})
		stderr = message(build.Failure(err, g), g.Files)
		switch {
		case build.Unreachable(err):
			exit = 4
		case build.Misconfigured(err):
			exit = 2
		case err != nil:
			exit = 1
		}
	}
	if exit != b.Fails.Exit || !b.Fails.StderrMatch.matches(stderr) {
		t.Errorf("exit code %d, want %d, with:\n%s", exit, b.Fails.Exit, stderr)
	}
}

// fromDockerfile builds what hbuild emits with the daemon's own frontend. No step may run, and the result
// must be the same: layout holds the image made from the HCL, its manifest has the digest; host files are
// in the example's folder.
func (x *example) fromDockerfile(t *testing.T, g *ir.Graph, target *ir.Target, layout, image string) {
	t.Helper()
	f, diags := dockerfile.Emit(g, target)
	if diags.HasErrors() {
		t.Fatal(message(diags, g.Files))
	}
	for _, r := range roots(target) {
		var export client.ExportEntry
		files := ""
		switch {
		case r.files:
			files = t.TempDir()
			export = client.ExportEntry{Type: client.ExporterLocal, OutputDir: files}
		case layout != "":
			// Beside the first image: what both have is sent once.
			export = client.ExportEntry{Type: client.ExporterOCI, OutputDir: layout, Attrs: map[string]string{"tar": "false", "compression": "uncompressed"}}
		}
		steps, res := x.solve(t, g, f, target, r, export)
		if ran := steps.ran(t); len(ran) > 0 {
			t.Errorf("%s: the emitted Dockerfile runs steps that are in the cache:\n  %s", target.Addr, strings.Join(ran, "\n  "))
		}
		switch {
		case r.files:
			sameFiles(t, r.build.Outputs, x.dir, files)
		case layout != "":
			sameImage(t, layout, image, res.ExporterResponse["containerimage.digest"])
		}
	}
}

// solve is `docker build` of an emitted file.
func (x *example) solve(t *testing.T, g *ir.Graph, f *dockerfile.File, target *ir.Target, r root, export client.ExportEntry) (*steps, *client.SolveResponse) {
	t.Helper()
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, "Dockerfile"), f.Dockerfile, 0o644)
	if f.IgnoreFile != nil {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, "Dockerfile.dockerignore"), f.IgnoreFile, 0o644))
	}
	if err != nil {
		t.Fatal(err)
	}
	mainContext := x.dir
	if target.Main != nil {
		mainContext = filepath.Join(x.dir, filepath.FromSlash(target.Main.Path))
	}
	opt := client.SolveOpt{
		Frontend:      "dockerfile.v0",
		FrontendAttrs: f.Attrs,
		LocalMounts:   map[string]fsutil.FS{"dockerfile": directory(t, dir), "context": directory(t, mainContext)},
		Session:       attachables(t, x.dir, g),
	}
	if r.stage.Name != f.Target {
		opt.FrontendAttrs["target"] = r.stage.Name
	}
	for _, n := range f.Contexts {
		opt.LocalMounts[n.Name] = directory(t, filepath.Join(x.dir, filepath.FromSlash(n.Context.Path)))
	}
	if export.Type != "" {
		opt.Exports = []client.ExportEntry{export}
	}
	status, all := make(chan *client.SolveStatus), &steps{since: time.Now()}
	var wait sync.WaitGroup
	wait.Go(func() {
		for s := range status {
			all.add(s)
		}
	})
	res, err := x.c.Solve(t.Context(), nil, opt, status)
	wait.Wait()
	if err != nil {
		t.Fatalf("BuildKit's frontend: %v\n%s", err, f.Dockerfile)
	}
	return all, res
}

func directory(t *testing.T, dir string) fsutil.FS {
	t.Helper()
	fsys, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// attachables gives the secrets and agents that the header of a Dockerfile asks for.
func attachables(t *testing.T, dir string, g *ir.Graph) (out []session.Attachable) {
	t.Helper()
	values := map[string][]byte{}
	for _, s := range g.Secrets {
		values[s.ID] = []byte(os.Getenv(s.Env))
		if s.File != "" {
			b, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(s.File)))
			if err != nil {
				t.Fatal(err)
			}
			values[s.ID] = b
		}
	}
	out = append(out, secretsprovider.FromMap(values))
	var agents []sshprovider.AgentConfig
	for _, s := range g.SSH {
		agents = append(agents, sshprovider.AgentConfig{ID: s.ID})
	}
	if agents == nil {
		return out
	}
	a, err := sshprovider.NewSSHAgentProvider(agents)
	if err != nil {
		t.Fatal(err)
	}
	return append(out, a)
}

// steps are the operations that a solve reported. An operation that another build has at the moment is
// reported with all that happened to it before the solve began.
type steps struct {
	since    time.Time
	byDigest map[digest.Digest]*operation
}

type operation struct {
	name      string
	inputs    int
	intervals map[time.Time]bool // start → whether it completed without the cache
}

func (s *steps) add(st *client.SolveStatus) {
	if s.byDigest == nil {
		s.byDigest = map[digest.Digest]*operation{}
	}
	for _, v := range st.Vertexes {
		o := s.byDigest[v.Digest]
		if o == nil {
			o = &operation{intervals: map[time.Time]bool{}}
			s.byDigest[v.Digest] = o
		}
		o.name, o.inputs = v.Name, len(v.Inputs)
		if v.Started != nil && v.Completed != nil && v.Started.After(s.since) {
			o.intervals[*v.Started] = !v.Cached
		}
	}
}

var (
	// stepName is what BuildKit calls an instruction: "[build 2/4] RUN make".
	stepName = regexp.MustCompile(`^\[(?:.+ )? *\d+/\d+\] `)
	// fromName is the first of a stage, and a stage's that is an image.
	fromName = regexp.MustCompile(`^(?:\[(?:.+ )? *\d+/\d+\] )?FROM `)
	// otherName is what is no step of the Dockerfile. An image that another test's
	// build reads at the moment has the name which that gave it, or its address.
	otherName = regexp.MustCompile(`^(?:docker-image://|\[internal\] |\[context |\[auth\] |exporting |sending |copying files )`)
)

// ran names the steps that were not in the cache.
func (s *steps) ran(t *testing.T) (out []string) {
	t.Helper()
	for _, o := range s.byDigest {
		switch {
		case fromName.MatchString(o.name), otherName.MatchString(o.name):
			continue
		case !stepName.MatchString(o.name):
			t.Errorf("what kind of operation is %q?", o.name)
		}
		worked := 0
		for _, uncached := range o.intervals {
			if uncached {
				worked++
			}
		}
		// Of a file that depends on nothing, BuildKit reports the computation of its
		// cache key as if it were made.
		if worked > 1 || worked == 1 && o.inputs > 0 {
			out = append(out, o.name)
		}
	}
	slices.Sort(out)
	return out
}

// sameImage compares two images of a layout by the digests of their manifests: the layers, and the
// configurations but for their history and times.
func sameImage(t *testing.T, layout, want, got string) {
	t.Helper()
	wl, wc := manifest(t, layout, want)
	gl, gc := manifest(t, layout, got)
	if !slices.Equal(wl, gl) {
		t.Errorf("layers from HCL %v, from the Dockerfile %v", wl, gl)
	}
	if wc != gc {
		t.Errorf("the configurations from HCL (want) and from the Dockerfile (got) differ:\n%s", difference(wc, gc))
	}
}

func manifest(t *testing.T, layout, dgst string) (layers []string, config string) {
	t.Helper()
	var m struct {
		Config struct{ Digest string }
		Layers []struct{ Digest string }
	}
	readBlob(t, layout, dgst, &m)
	for _, l := range m.Layers {
		layers = append(layers, l.Digest)
	}
	var c map[string]any
	readBlob(t, layout, m.Config.Digest, &c)
	delete(c, "history")
	delete(c, "created")
	out, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return layers, string(out) + "\n"
}

func readBlob(t *testing.T, layout, dgst string, into any) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(layout, "blobs", "sha256", strings.TrimPrefix(dgst, "sha256:")))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		t.Fatal(err)
	}
}

// sameFiles compares the files that a target wrote with those of the emitted Dockerfile.
func sameFiles(t *testing.T, outputs []ir.Output, want, got string) {
	t.Helper()
	for _, o := range outputs {
		if o.Dir {
			t.Fatalf("%s: directories are not compared", o.Path)
		}
		w, wm := readFile(t, filepath.Join(want, o.Path))
		g, gm := readFile(t, filepath.Join(got, o.Path))
		if !bytes.Equal(w, g) || wm != gm {
			t.Errorf("%s differs: from HCL %s, %s, from the Dockerfile %s, %s", o.Path, digest.FromBytes(w), wm, digest.FromBytes(g), gm)
		}
	}
}

func readFile(t *testing.T, path string) ([]byte, fs.FileMode) {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b, fi.Mode()
}

// scratchDir is a directory for images: in memory where there is enough of it (a base image has thousands
// of files), else beside the base images rather than in the temporary directory, where overlayfs may not work.
func scratchDir(t *testing.T) string {
	t.Helper()
	const memory, enough = "/dev/shm", 4 << 30
	parent := memory
	var st syscall.Statfs_t
	if err := syscall.Statfs(memory, &st); err != nil || int64(st.Bavail)*int64(st.Bsize) < enough {
		standins, err := testimage.DefaultDir()
		if err != nil {
			t.Fatal(err)
		}
		parent = filepath.Dir(standins)
	}
	dir, err := os.MkdirTemp(parent, "hbuild-examples-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// checkHostFile compares a file that a build wrote.
func checkHostFile(t *testing.T, dir string, want hostFileCase) {
	t.Helper()
	host := filepath.Join(dir, filepath.FromSlash(want.Path))
	got, err := runimage.Describe(host)
	checkFile(t, want.fileCase, got, err, func() ([]byte, error) { return os.ReadFile(host) })
	for _, r := range want.Run {
		ctx, cancel := context.WithTimeout(t.Context(), runimage.DefaultTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, host, r.Args...)
		var out, errOut bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errOut
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
			t.Error(err)
			continue
		}
		checkRun(t, fmt.Sprintf("%s %q", want.Path, r.Args), r, out.String(), errOut.String(), cmd.ProcessState.ExitCode())
	}
}
