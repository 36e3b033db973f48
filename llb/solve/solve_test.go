package solve

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/hbuild/hbuild/internal/testengine"
)

// BuildKit's libraries log what they meet on the way.
func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	logrus.SetOutput(io.Discard)
	os.Exit(m.Run())
}

func connect(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New(t.Context(), testengine.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func run(t *testing.T, req Request) (*Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return Run(ctx, connect(t), req)
}

func mustRun(t *testing.T, req Request) *Result {
	t.Helper()
	res, err := run(t, req)
	if err != nil {
		t.Fatalf("%v (%T)", err, err)
	}
	return res
}

// state lowers to a state, with a minimal image configuration.
func state(st llb.State) Lower {
	return func(ctx context.Context, c gateway.Client, p *ocispecs.Platform) (*Lowered, error) {
		def, err := st.Marshal(ctx, llb.LinuxAmd64)
		if err != nil {
			return nil, err
		}
		pl := platforms.DefaultSpec()
		if p != nil {
			pl = *p
		}
		config, err := json.Marshal(ocispecs.Image{Platform: pl, Config: ocispecs.ImageConfig{Env: []string{"A=1"}}})
		return &Lowered{Definition: def, Config: config}, err
	}
}

func local(name string, opts ...llb.LocalOption) Lower {
	return func(ctx context.Context, c gateway.Client, p *ocispecs.Platform) (*Lowered, error) {
		opts := append([]llb.LocalOption{llb.SessionID(c.BuildOpts().SessionID), llb.SharedKeyHint(name)}, opts...)
		src := llb.Local(name, opts...)
		return state(llb.Scratch().File(llb.Copy(src, "/", "/", &llb.CopyInfo{CopyDirContentsOnly: true})))(ctx, c, p)
	}
}

func file(path, content string) llb.State {
	return llb.Scratch().File(llb.Mkdir(filepath.Dir("/"+path), 0o755, llb.WithParents(true)).Mkfile("/"+path, 0o640, []byte(content)))
}

func imageJob(addr string, l Lower) Job {
	return Job{Addr: addr, Builds: []PlatformBuild{{Image: l}}}
}

func filesJob(addr string, l Lower, outputs ...FileOutput) Job {
	return Job{Addr: addr, Builds: []PlatformBuild{{Files: l, Outputs: outputs}}}
}

func shell(command string, opts ...llb.RunOption) llb.State {
	opts = append([]llb.RunOption{llb.Args([]string{"/bin/sh", "-c", command})}, opts...)
	return llb.Image("docker.io/library/alpine:3.22").Run(opts...).Root()
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	dt, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(dt)
}

// clean fails when something was left in a directory beside the names given.
func clean(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	if strings.Join(have, " ") != strings.Join(names, " ") {
		t.Errorf("%s has %q, want %q", dir, have, names)
	}
}

func TestImageStaysInEngine(t *testing.T) {
	id := identity.NewID()
	req := Request{Jobs: []Job{imageJob("target.a", state(file("hello", id)))}}
	first := mustRun(t, req)
	j := first.Jobs[0]
	if !strings.HasPrefix(j.Digest, "sha256:") || !j.InEngine || j.Err != nil || j.Descriptor == nil || j.Platforms[0] != "linux/"+runtime.GOARCH {
		t.Fatalf("%+v", j)
	}
	if j.StepsRun != 1 || j.StepsCached != 0 || first.Sessions != 1 {
		t.Errorf("first build: %+v", first)
	}
	second := mustRun(t, req)
	if second.StepsRun != 0 || second.Jobs[0].StepsCached != 1 {
		t.Errorf("second build ran steps: %+v", second)
	}
	if second.Jobs[0].Digest != j.Digest {
		t.Errorf("digest %s, then %s", j.Digest, second.Jobs[0].Digest)
	}
	var out bytes.Buffer
	second.Summary(&out)
	if s := out.String(); !strings.Contains(s, j.Digest) || !strings.Contains(s, "--load") {
		t.Errorf("summary: %s", s)
	}
}

func TestEmptyImageAndSolveOnly(t *testing.T) {
	req := Request{Jobs: []Job{imageJob("target.empty", state(llb.Scratch())), imageJob("stage.x", state(file("x", "x")))}}
	req.Jobs[1].SolveOnly = true
	res := mustRun(t, req)
	if res.Jobs[0].Digest == "" || res.Jobs[1].Digest != "" {
		t.Errorf("%+v", res.Jobs)
	}
}

func TestRunIsCachedAndLogged(t *testing.T) {
	var out bytes.Buffer
	st := shell("echo out-$((40+2)) "+identity.NewID()+" | tee /made", llb.WithCustomName("[build 1/1] make it"))
	req := Request{Jobs: []Job{imageJob("target.a", state(st)), imageJob("target.b", state(st))}, Progress: Progress{Mode: "plain", Out: &out}}
	res := mustRun(t, req)
	if res.StepsRun != 1 || res.Jobs[0].StepsRun != 1 || res.Jobs[1].StepsRun != 1 {
		t.Errorf("run %d, per job %d and %d", res.StepsRun, res.Jobs[0].StepsRun, res.Jobs[1].StepsRun)
	}
	if n := strings.Count(out.String(), "out-42"); n != 1 {
		t.Errorf("output shown %d times:\n%s", n, &out)
	}
	if !strings.Contains(out.String(), "[target.b] exporting to image") {
		t.Errorf("no export of target.b:\n%s", &out)
	}
	if res := mustRun(t, req); res.StepsRun != 0 || res.StepsCached != 1 {
		t.Errorf("again: run %d cached %d", res.StepsRun, res.StepsCached)
	}
	req.NoCache = true
	if res := mustRun(t, req); res.StepsRun != 1 {
		t.Errorf("without cache: run %d cached %d", res.StepsRun, res.StepsCached)
	}
}

func TestFiles(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "dist", "kept"), "kept")
	write(t, filepath.Join(root, "dist", "css", "old"), "old")
	write(t, filepath.Join(root, "bin", "server"), "old server")
	st := llb.Scratch().
		File(llb.Mkdir("/bin", 0o755)).
		File(llb.Mkfile("/bin/server", 0o755, []byte("new server"))).
		File(llb.Mkdir("/dist/css", 0o755, llb.WithParents(true))).
		File(llb.Mkfile("/dist/css/new", 0o600, []byte("new"))).
		File(llb.Symlink("css/new", "/dist/link"))
	req := Request{Root: root, MetadataFile: filepath.Join(root, "meta.json"), Jobs: []Job{
		filesJob("target.bin", state(st), FileOutput{Path: "bin/server"}, FileOutput{Path: "dist", Dir: true}),
		filesJob("target.other", state(file("deep/er/f", "f")), FileOutput{Path: "deep/er/f"}),
	}}
	res := mustRun(t, req)
	if got := read(t, filepath.Join(root, "bin/server")); got != "new server" {
		t.Errorf("bin/server: %q", got)
	}
	for p, mode := range map[string]os.FileMode{"bin/server": 0o755, "dist/css/new": 0o600, "deep/er/f": 0o640} {
		if fi, err := os.Stat(filepath.Join(root, p)); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want %v", p, fi.Mode(), err, mode)
		}
	}
	if read(t, filepath.Join(root, "dist/kept"))+read(t, filepath.Join(root, "dist/css/old"))+read(t, filepath.Join(root, "dist/link")) != "keptoldnew" {
		t.Error("merged badly")
	}
	clean(t, root, "bin", "deep", "dist", "meta.json")
	if res.Sessions != 1 || len(res.Jobs[0].Files) != 3 || res.Jobs[1].Files[0].Path != "deep/er/f" || res.Jobs[1].Files[0].Size != 1 {
		t.Errorf("%+v", res)
	}
	var meta Metadata
	if err := json.Unmarshal([]byte(read(t, req.MetadataFile)), &meta); err != nil {
		t.Fatal(err)
	}
	if m := meta.Targets["target.bin"]; meta.Version != MetadataVersion || meta.Result != ResultDone || len(m.Steps) != 5 || len(m.Files) != 3 || !strings.HasPrefix(m.Files[0].Digest, "sha256:") || m.StepsRun+m.StepsCached != 5 {
		t.Errorf("metadata %+v", m)
	}
}

func TestFilesNeverLeaveTheRoot(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "server"), "precious")
	for _, c := range []struct {
		name  string
		setup func(root string) error
		out   FileOutput
		want  string
	}{
		{"linked parent", func(root string) error { return os.Symlink(outside, filepath.Join(root, "bin")) }, FileOutput{Path: "bin/server"}, "outside"},
		{"linked directory", func(root string) error { return os.Symlink(outside, filepath.Join(root, "bin")) }, FileOutput{Path: "bin", Dir: true}, "outside"},
		{"dots", func(string) error { return nil }, FileOutput{Path: "../bin/server"}, "outside"},
		{"a directory is there", func(root string) error { return os.MkdirAll(filepath.Join(root, "bin/server"), 0o755) }, FileOutput{Path: "bin/server"}, "is a directory"},
		{"not made", func(string) error { return nil }, FileOutput{Path: "bin/serve"}, "did not make"},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			if err := c.setup(root); err != nil {
				t.Fatal(err)
			}
			_, err := run(t, Request{Root: root, Jobs: []Job{
				filesJob("target.first", state(file("first", "1")), FileOutput{Path: "first"}),
				filesJob("target.bin", state(file("bin/server", "evil")), c.out),
			}})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "target.bin") {
				t.Fatalf("error %v, want %q", err, c.want)
			}
			if read(t, filepath.Join(outside, "server")) != "precious" {
				t.Fatal("written outside")
			}
			if _, err := os.Lstat(filepath.Join(root, "first")); err == nil {
				t.Error("another target's file was left behind")
			}
		})
	}
	clean(t, outside, "server")
}

func TestLinkInPlaceOfAFileIsReplaced(t *testing.T) {
	root, outside := t.TempDir(), filepath.Join(t.TempDir(), "f")
	write(t, outside, "precious")
	if err := os.Symlink(outside, filepath.Join(root, "f")); err != nil {
		t.Fatal(err)
	}
	mustRun(t, Request{Root: root, Jobs: []Job{filesJob("target.f", state(file("f", "new")), FileOutput{Path: "f"})}})
	if read(t, outside) != "precious" || read(t, filepath.Join(root, "f")) != "new" {
		t.Error("the link was followed")
	}
}

func TestFilesToAnOutput(t *testing.T) {
	root, dest := t.TempDir(), filepath.Join(t.TempDir(), "sub", "out")
	j := filesJob("target.f", state(file("bin/f", "f")), FileOutput{Path: "bin/f"})
	j.Outputs = []string{"type=local,dest=" + dest, "type=tar,dest=" + filepath.Join(root, "f.tar")}
	res := mustRun(t, Request{Root: root, Jobs: []Job{j}})
	if read(t, filepath.Join(dest, "bin/f")) != "f" {
		t.Error("not written to dest")
	}
	clean(t, root, "f.tar")
	clean(t, dest, "bin")
	if len(res.Jobs[0].Files) != 2 {
		t.Errorf("%+v", res.Jobs[0].Files)
	}
}

func TestFailingStepLeavesNothing(t *testing.T) {
	source := "stage \"build\" {\n  run {\n    /*é日*/ command = \"exit 7\"\n  }\n}\n"
	sm := llb.NewSourceMap(nil, "hbuild.hcl", "HCL", []byte(source))
	at := sm.Location([]*pb.Range{{Start: &pb.Position{Line: 3, Character: 11}, End: &pb.Position{Line: 3, Character: 29}}})
	var script strings.Builder
	for i := range 40 {
		fmt.Fprintf(&script, "echo line-%d; ", i)
	}
	id := identity.NewID()
	st := shell(script.String()+"echo oh-no-"+id+"; exit 7", at, llb.WithCustomName("[linux/arm64 build 2/4] go test ./..."))
	root := t.TempDir()
	for _, progress := range []string{"plain", "rawjson", "none", "quiet"} {
		var out bytes.Buffer
		res, err := run(t, Request{Root: root, Progress: Progress{Mode: progress, Out: &out}, MetadataFile: filepath.Join(root, "meta"), Jobs: []Job{
			filesJob("target.ok", state(file("ok", "ok")), FileOutput{Path: "ok"}),
			filesJob("target.bad", state(st), FileOutput{Path: "bad"}),
			imageJob("target.image", state(st)),
		}})
		var step *StepError
		if !errors.As(err, &step) {
			t.Fatalf("%v (%T)", err, err)
		}
		if step.Platform != "linux/arm64" || step.Stage != "build" || step.Step != "go test ./..." || step.ExitCode != 7 || len(step.Command) != 3 || step.Target == "" {
			t.Errorf("%+v", step)
		}
		if len(step.Log) != lastLines || step.Log[lastLines-1] != "oh-no-"+id || step.Log[lastLines-2] != "line-39" {
			t.Errorf("log %q", step.Log)
		}
		s := SourceOf(err)
		if s == nil || s.Filename != "hbuild.hcl" || s.Start.Line != 3 || s.Start.Column != 12 || string(s.Data) != source {
			t.Fatalf("source %+v", s)
		}
		if got := source[s.Start.Byte:s.End.Byte]; got != `command = "exit 7"` {
			t.Errorf("range covers %q", got)
		}
		if strings.Count(err.Error(), "exit code 7") != 1 {
			t.Errorf("the shared step is reported more than once: %v", err)
		}
		if errors.Is(err, ErrEngine) || errors.Is(err, ErrRegistry) {
			t.Error("a failing step is nobody else's fault")
		}
		if res == nil || res.Jobs[0].Err == nil && len(res.Jobs[0].Files) > 0 {
			t.Errorf("result %+v", res)
		}
		var meta Metadata
		if err := json.Unmarshal([]byte(read(t, filepath.Join(root, "meta"))), &meta); err != nil {
			t.Fatal(err)
		}
		failed := meta.Targets["target.bad"]
		if failed.Result != ResultFailed {
			failed = meta.Targets["target.image"] // which of the two had the step
		}
		if e := failed.Error; meta.Result != ResultFailed || e == nil || *e.ExitCode != 7 || e.Source.Line != 3 || e.Source.Column != 12 || len(e.Log) != lastLines {
			t.Errorf("metadata %+v", meta)
		}
		if s := failed.Steps[len(failed.Steps)-1]; s.State != StepFailed || s.Source.Line != 3 || s.Name != "[linux/arm64 build 2/4] go test ./..." {
			t.Errorf("step %+v", s)
		}
		if ok := meta.Targets["target.ok"]; ok.Result != ResultSkipped || ok.SkippedBy == "" || len(ok.Files) > 0 {
			t.Errorf("the other target: %+v", ok)
		}
		clean(t, root, "meta")
		os.Remove(filepath.Join(root, "meta"))
	}
}

func TestKeepGoing(t *testing.T) {
	root := t.TempDir()
	need := filesJob("target.need", state(file("need", "")), FileOutput{Path: "need"})
	need.Requires = []string{"target.bad"}
	res, err := run(t, Request{Root: root, KeepGoing: true, Jobs: []Job{
		need,
		filesJob("target.bad", state(shell("exit 3")), FileOutput{Path: "bad"}),
		filesJob("target.ok", state(shell("sleep 0.5; echo ok >/ok; echo "+identity.NewID())), FileOutput{Path: "ok"}),
		imageJob("target.worse", state(shell("exit 4"))),
	}})
	var step *StepError
	if !errors.As(err, &step) || step.Target != "target.bad" || !strings.Contains(err.Error(), "exit code 4") {
		t.Fatalf("%v", err)
	}
	if !errors.Is(res.Jobs[0].Err, ErrSkipped) || res.Jobs[2].Err != nil {
		t.Errorf("%+v", res.Jobs)
	}
	clean(t, root, "ok")
}

func TestRequiredEffectsComeFirst(t *testing.T) {
	reg := httptest.NewServer(quietRegistry())
	defer reg.Close()
	tag := strings.TrimPrefix(reg.URL, "http://") + "/base:1"
	base := imageJob("target.base", state(file("f", "from base "+identity.NewID())))
	base.Tags, base.Push = []string{tag}, true
	root := t.TempDir()
	user := filesJob("target.user", state(llb.Scratch().File(llb.Copy(llb.Image(tag), "/f", "/f"))), FileOutput{Path: "f"})
	user.Requires = []string{"target.base"}
	mustRun(t, Request{Root: root, Jobs: []Job{user, base}})
	if !strings.HasPrefix(read(t, filepath.Join(root, "f")), "from base") {
		t.Error("not from base")
	}
	_, err := run(t, Request{Root: root, Jobs: []Job{{Addr: "a", Requires: []string{"b"}}, {Addr: "b", Requires: []string{"a"}}}})
	if !errors.Is(err, ErrRequest) {
		t.Errorf("cycle: %v", err)
	}
}

func TestAtomicPushesNothing(t *testing.T) {
	var puts atomic.Int64
	handler := quietRegistry()
	reg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			puts.Add(1)
		}
		handler.ServeHTTP(w, r)
	}))
	defer reg.Close()
	good := imageJob("target.good", state(file("f", identity.NewID())))
	good.Tags, good.Push = []string{strings.TrimPrefix(reg.URL, "http://") + "/good:1"}, true
	req := Request{Atomic: true, Jobs: []Job{good, imageJob("target.bad", state(shell("sleep 1; exit 1")))}}
	if _, err := run(t, req); err == nil || puts.Load() > 0 {
		t.Fatalf("%v, %d pushed", err, puts.Load())
	}
	req.Jobs = req.Jobs[:1]
	mustRun(t, req)
	if puts.Load() == 0 {
		t.Error("not pushed")
	}
}

func TestPush(t *testing.T) {
	reg := httptest.NewServer(quietRegistry())
	defer reg.Close()
	host := strings.TrimPrefix(reg.URL, "http://")
	j := imageJob("target.p", state(file("f", identity.NewID())))
	j.Tags, j.Push = []string{host + "/a/b:1", host + "/a/b:2"}, true
	j.Annotations = map[string]string{"org.example.note": "hi", "manifest:org.example.other": "ho"}
	j.Attest = []string{"type=provenance,mode=max"}
	res := mustRun(t, Request{Jobs: []Job{j}})
	if len(res.Jobs[0].Pushed) != 2 || res.Jobs[0].InEngine || res.Sessions != 1 {
		t.Errorf("%+v", res)
	}
	ref, err := name.ParseReference(j.Tags[1])
	if err != nil {
		t.Fatal(err)
	}
	ix, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ix.IndexManifest()
	if err != nil || len(m.Manifests) != 2 || m.Manifests[1].Annotations["vnd.docker.reference.type"] != "attestation-manifest" {
		t.Fatalf("%v %+v", err, m)
	}
	if d, _ := ix.Digest(); d.String() != res.Jobs[0].Digest {
		t.Errorf("pushed %s, said %s", d, res.Jobs[0].Digest)
	}
	img, err := ix.Image(m.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	mf, err := img.Manifest()
	if err != nil || mf.Annotations["org.example.note"] != "hi" || mf.Annotations["org.example.other"] != "ho" {
		t.Errorf("%v %+v", err, mf)
	}
}

func TestRegistryRefuses(t *testing.T) {
	for _, status := range []int{401, 500} {
		reg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
		host := strings.TrimPrefix(reg.URL, "http://")
		j := imageJob("target.p", state(file("f", "x")))
		j.Tags, j.Push = []string{host + "/a/b:1"}, true
		_, err := run(t, Request{Jobs: []Job{j}})
		var re *RegistryError
		if !errors.As(err, &re) || !errors.Is(err, ErrRegistry) || re.Target != "target.p" || re.Ref != j.Tags[0] {
			t.Errorf("push %d: %v (%T)", status, err, err)
		}
		_, err = run(t, Request{Jobs: []Job{imageJob("target.q", state(llb.Image(host+"/nice:1")))}})
		var ie *ImageError
		if !errors.As(err, &ie) || !errors.Is(err, ErrRegistry) || ie.NotFound || !strings.Contains(ie.Ref, host+"/nice:1") {
			t.Errorf("pull %d: %v (%T)", status, err, err)
		}
		reg.Close()
	}
	j := imageJob("target.p", state(file("f", "x")))
	j.Tags, j.Push = []string{"127.0.0.1:1/a/b:1"}, true
	if _, err := run(t, Request{Jobs: []Job{j}}); !errors.Is(err, ErrRegistry) || errors.Is(err, ErrEngine) {
		t.Errorf("nobody there: %v", err)
	}
}

func quietRegistry() http.Handler { return registry.New(registry.Logger(log.New(io.Discard, "", 0))) }

func TestImageNotFound(t *testing.T) {
	reg := httptest.NewServer(quietRegistry())
	defer reg.Close()
	missing := strings.TrimPrefix(reg.URL, "http://") + "/nope:1"
	sm := llb.NewSourceMap(nil, "hbuild.hcl", "HCL", []byte("a\nb\nfrom = image(\"nope\")\n"))
	at := sm.Location([]*pb.Range{{Start: &pb.Position{Line: 3}, End: &pb.Position{Line: 3, Character: 20}}})
	_, err := run(t, Request{Jobs: []Job{imageJob("target.a", state(llb.Image(missing, at, llb.WithCustomName("FROM nope"))))}})
	var ie *ImageError
	if !errors.As(err, &ie) || !ie.NotFound || ie.Source == nil || ie.Source.Start.Line != 3 || errors.Is(err, ErrRegistry) {
		t.Errorf("at solve: %v %+v", err, ie)
	}
	resolve := func(ctx context.Context, c gateway.Client, p *ocispecs.Platform) (*Lowered, error) {
		st := llb.Image(missing, llb.WithMetaResolver(c), llb.ResolveDigest(true))
		return state(st)(ctx, c, p)
	}
	_, err = run(t, Request{Jobs: []Job{imageJob("target.a", resolve), imageJob("target.b", resolve)}})
	if !errors.As(err, &ie) || !ie.NotFound || !strings.Contains(ie.Ref, missing) {
		t.Errorf("when resolved: %v (%T)", err, err)
	}
}

func TestEntitlements(t *testing.T) {
	sm := llb.NewSourceMap(nil, "hbuild.hcl", "HCL", []byte("a\nnetwork = \"host\"\n"))
	at := sm.Location([]*pb.Range{{Start: &pb.Position{Line: 2}, End: &pb.Position{Line: 2, Character: 16}}})
	j := imageJob("target.a", state(shell("true", llb.Network(llb.NetModeHost), at)))
	_, err := run(t, Request{Jobs: []Job{j}})
	var e *EntitlementError
	if !errors.As(err, &e) || e.Entitlement != "network.host" || e.Daemon || !strings.Contains(err.Error(), "--allow network.host") || e.Source == nil || e.Source.Start.Line != 2 {
		t.Errorf("%v %+v", err, e)
	}
	if _, err := run(t, Request{Jobs: []Job{j}, Allow: []string{"network.hots"}}); !errors.Is(err, ErrRequest) {
		t.Errorf("unknown: %v", err)
	}
	// Whether the daemon grants it is its own configuration.
	if _, err := run(t, Request{Jobs: []Job{j}, Allow: []string{"network.host"}}); err != nil && (!errors.As(err, &e) || !e.Daemon) {
		t.Errorf("allowed: %v", err)
	}
}

func TestArchives(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "oci.tar"), "old")
	j := imageJob("target.a", state(file("f", "hello")))
	j.Tags = []string{"example.test/a:1"}
	j.Outputs = []string{
		"type=oci,dest=" + filepath.Join(dir, "oci.tar"),
		"type=docker,dest=" + filepath.Join(dir, "docker.tar"),
		"type=tar,dest=" + filepath.Join(dir, "root.tar"),
		filepath.Join(dir, "root"),
		"type=oci,tar=false,dest=" + filepath.Join(dir, "layout"),
	}
	res := mustRun(t, Request{Jobs: []Job{j}})
	clean(t, dir, "docker.tar", "layout", "oci.tar", "root", "root.tar")
	if len(res.Jobs[0].Files) != 5 || res.Jobs[0].Digest == "" || res.Jobs[0].InEngine {
		t.Errorf("%+v", res.Jobs[0])
	}
	if read(t, filepath.Join(dir, "root", "f")) != "hello" {
		t.Error("local")
	}
	tag, _ := name.NewTag(j.Tags[0])
	img, err := tarball.ImageFromPath(filepath.Join(dir, "docker.tar"), &tag)
	if err != nil {
		t.Fatal(err)
	}
	if layers, err := img.Layers(); err != nil || len(layers) != 1 {
		t.Errorf("%v %v", layers, err)
	}
	if !strings.Contains(read(t, filepath.Join(dir, "layout", "index.json")), res.Jobs[0].Digest) {
		t.Error("layout has no index of the image")
	}
	if fi, _ := os.Stat(filepath.Join(dir, "oci.tar")); fi.Mode().Perm() != 0o644 || fi.Size() < 1000 {
		t.Errorf("oci.tar %v %d", fi.Mode(), fi.Size())
	}
	j.Builds[0].Image = state(shell("exit 1"))
	if _, err := run(t, Request{Jobs: []Job{j}}); err == nil {
		t.Fatal("no error")
	}
	clean(t, dir, "docker.tar", "layout", "oci.tar", "root", "root.tar")
	clean(t, filepath.Join(dir, "root"), "f")
	var stdout bytes.Buffer
	j = imageJob("target.a", state(file("f", "hello")))
	j.Outputs = []string{"type=tar"}
	mustRun(t, Request{Jobs: []Job{j}, Stdout: &stdout})
	if h, err := tar.NewReader(&stdout).Next(); err != nil || h.Name != "f" {
		t.Errorf("%v %v", h, err)
	}
}

type memory struct{ bytes.Buffer }

func (*memory) Name() string { return "memory" }
func (m *memory) Load(_ context.Context, r io.Reader) error {
	_, err := io.Copy(m, r)
	return err
}

func TestLoad(t *testing.T) {
	j := imageJob("target.a", state(file("f", "hello")))
	j.Load, j.Tags = true, []string{"example.test/a:1"}
	var m memory
	res := mustRun(t, Request{Jobs: []Job{j}, Loader: &m})
	if res.Jobs[0].Loaded != "memory" {
		t.Errorf("%+v", res.Jobs[0])
	}
	tag, _ := name.NewTag(j.Tags[0])
	if _, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(m.Bytes())), nil }, &tag); err != nil {
		t.Error(err)
	}
	// No Docker anywhere.
	t.Setenv("PATH", t.TempDir())
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	if _, err := run(t, Request{Jobs: []Job{j}}); !errors.Is(err, ErrNoLoader) || !strings.Contains(err.Error(), "no podman command") {
		t.Errorf("%v", err)
	}
	// A command that refuses.
	t.Setenv("PATH", os.Getenv("PATH")+":/bin:/usr/bin")
	bin := strings.Split(os.Getenv("PATH"), ":")[0]
	write(t, filepath.Join(bin, "docker"), "#!/bin/sh\ncase $1 in load) cat >/dev/null; echo no space left; exit 1;; esac\n")
	os.Chmod(filepath.Join(bin, "docker"), 0o755)
	if _, err := run(t, Request{Jobs: []Job{j}}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("%v", err)
	}
}

func TestTwoPlatforms(t *testing.T) {
	reg := httptest.NewServer(quietRegistry())
	defer reg.Close()
	lower := func(ctx context.Context, c gateway.Client, p *ocispecs.Platform) (*Lowered, error) {
		return state(file("arch", p.Architecture))(ctx, c, p)
	}
	j := Job{Addr: "target.multi", Tags: []string{strings.TrimPrefix(reg.URL, "http://") + "/m:1"}, Push: true}
	for _, arch := range []string{"amd64", "arm64"} {
		p := ocispecs.Platform{OS: "linux", Architecture: arch}
		files := state(file("bin-"+arch+"/x", arch))
		j.Builds = append(j.Builds, PlatformBuild{Platform: &p, Image: lower, Files: files, Outputs: []FileOutput{{Path: "bin-" + arch + "/x"}}})
	}
	dest := filepath.Join(t.TempDir(), "m")
	j.Outputs = []string{"type=local,dest=" + dest, "type=oci,dest=" + dest + ".tar"}
	root := t.TempDir()
	res := mustRun(t, Request{Root: root, Jobs: []Job{j}})
	if strings.Join(res.Jobs[0].Platforms, " ") != "linux/amd64 linux/arm64" {
		t.Errorf("%v", res.Jobs[0].Platforms)
	}
	if read(t, filepath.Join(dest, "linux_arm64", "arch")) != "arm64" {
		t.Error("local")
	}
	clean(t, root, "bin-amd64", "bin-arm64")
	ref, _ := name.ParseReference(j.Tags[0])
	ix, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ix.IndexManifest()
	if err != nil || len(m.Manifests) != 2 || m.Manifests[1].Platform.Architecture != "arm64" {
		t.Fatalf("%v %+v", err, m)
	}
}

func TestContexts(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	if err := os.Chmod(write(t, filepath.Join(dir, "a"), strings.Repeat("a", 1000)+identity.NewID()), 0o640); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "never"), "never")
	write(t, filepath.Join(dir, tempPrefix+"x", "y"), "another build's")
	req := Request{Root: root, Contexts: map[string]Context{"ctx": {Dir: dir, Exclude: []string{"never"}}}}
	for i := range 20 {
		req.Jobs = append(req.Jobs, filesJob(fmt.Sprintf("target.t%d", i), local("ctx"), FileOutput{Path: fmt.Sprintf("out/%d", i), Dir: true}))
		req.Jobs[i].Builds[0].Files = func(ctx context.Context, c gateway.Client, p *ocispecs.Platform) (*Lowered, error) {
			src := llb.Local("ctx", llb.SessionID(c.BuildOpts().SessionID))
			return state(llb.Scratch().File(llb.Copy(src, "/", fmt.Sprintf("/out/%d", i), &llb.CopyInfo{CopyDirContentsOnly: true, CreateDestPath: true})))(ctx, c, p)
		}
	}
	res := mustRun(t, req)
	if res.Sessions != 1 {
		t.Errorf("%d sessions", res.Sessions)
	}
	if res.BytesSent < 1000 || res.BytesSent > 1100 {
		t.Errorf("the context of 1036 bytes was sent as %d", res.BytesSent)
	}
	clean(t, filepath.Join(root, "out", "19"), "a")
	clean(t, filepath.Join(root, "out"), strings.Split("0 1 10 11 12 13 14 15 16 17 18 19 2 3 4 5 6 7 8 9", " ")...)
	if fi, _ := os.Stat(filepath.Join(root, "out", "7", "a")); fi.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", fi.Mode())
	}
	if len(res.Jobs[7].Files) != 1 || res.Jobs[7].Files[0].Path != "out/7/a" {
		t.Errorf("%+v", res.Jobs[7].Files)
	}
	if res := mustRun(t, req); res.StepsRun != 0 || res.BytesSent != 0 {
		t.Errorf("again: %d steps, %d bytes", res.StepsRun, res.BytesSent)
	}
	if _, err := run(t, Request{Contexts: map[string]Context{"x": {Dir: filepath.Join(dir, "nope")}}}); !errors.Is(err, ErrRequest) {
		t.Errorf("%v", err)
	}
}

func TestManyImagesOneSession(t *testing.T) {
	var req Request
	id := identity.NewID()
	for i := range 20 {
		req.Jobs = append(req.Jobs, imageJob(fmt.Sprintf("target.t%d", i), state(file("f", fmt.Sprint(id, i)))))
	}
	req.Parallel = 4
	res := mustRun(t, req)
	if res.Sessions != 1 || res.StepsRun != 20 {
		t.Errorf("%d sessions, %d steps", res.Sessions, res.StepsRun)
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "token"), "s3cr3t-file-value\n")
	t.Setenv("HB_TEST_SECRET", "s3cr3t-env-value")
	values := []string{"s3cr3t-file-value", "s3cr3t-env-value"}
	dir := t.TempDir()
	st := shell("cat /run/secrets/f; printf s3cr3t-; sleep 0.3; echo env-value; echo $E; test -n \"$E\"; echo "+identity.NewID(),
		llb.AddSecret("/run/secrets/f", llb.SecretID("f")), llb.AddSecretWithDest("e", nil, llb.SecretAsEnvName("E")),
		llb.AddSecret("/run/secrets/optional", llb.SecretID("o"), llb.SecretOptional))
	for _, mode := range []string{"plain", "rawjson"} {
		var out bytes.Buffer
		j := imageJob("target.a", state(st))
		j.NoCache = true
		j.Outputs = []string{"type=oci,dest=" + filepath.Join(dir, "a.tar")}
		req := Request{
			Jobs:         []Job{j},
			Secrets:      []Secret{{ID: "f", File: file, Required: true}, {ID: "e", Env: "HB_TEST_SECRET"}, {ID: "o", Env: "HB_TEST_NOT_SET"}},
			Progress:     Progress{Mode: mode, Out: &out},
			MetadataFile: filepath.Join(dir, "meta"),
		}
		res, err := run(t, req)
		if err != nil {
			t.Fatal(err)
		}
		res.Summary(&out)
		out.WriteString(read(t, req.MetadataFile) + read(t, filepath.Join(dir, "a.tar")))
		for _, v := range values {
			if strings.Contains(out.String(), v) {
				t.Errorf("%s shows %q:\n%.2000s", mode, v, &out)
			}
		}
		if mode == "plain" && strings.Count(out.String(), hidden) != 3 {
			t.Errorf("not three times hidden:\n%.2000s", &out)
		}
	}
	// A failing step shows its output.
	_, err := run(t, Request{Jobs: []Job{imageJob("target.a", state(shell("cat /run/secrets/f; exit 1", llb.AddSecret("/run/secrets/f", llb.SecretID("f")))))},
		Secrets: []Secret{{ID: "f", File: file}}})
	var step *StepError
	if !errors.As(err, &step) || strings.Join(step.Log, "") != hidden {
		t.Errorf("%v %q", err, step.Log)
	}
}

func TestSecretsThatAreMissing(t *testing.T) {
	big := write(t, filepath.Join(t.TempDir(), "big"), strings.Repeat("x", MaxSecret+1))
	for _, s := range []Secret{{ID: "a", Env: "HB_TEST_NOT_SET", Required: true}, {ID: "a", File: "/nowhere", Required: true}, {ID: "a", File: big}} {
		_, err := run(t, Request{Secrets: []Secret{s}})
		if !errors.Is(err, ErrRequest) || !strings.Contains(err.Error(), `"a"`) {
			t.Errorf("%+v: %v", s, err)
		}
	}
	_, err := run(t, Request{Jobs: []Job{imageJob("target.a", state(shell("true # "+identity.NewID(), llb.AddSecret("/s", llb.SecretID("nobody")))))}})
	var step *StepError
	if !errors.As(err, &step) || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("%v (%T)", err, err)
	}
}

func TestCancel(t *testing.T) {
	c := connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	root := t.TempDir()
	id := identity.NewID()
	var out notify
	out.want, out.seen = "started "+id, make(chan struct{})
	go func() {
		select {
		case <-out.seen:
			if !runs(t, id) {
				t.Error("the step's process is not to be seen")
			}
		case <-time.After(30 * time.Second):
		}
		cancel()
	}()
	sleep := state(shell("echo star''ted " + id + "; sleep 100; : " + id))
	_, err := Run(ctx, c, Request{Root: root, Progress: Progress{Mode: "plain", Out: &out}, Jobs: []Job{
		filesJob("target.a", sleep, FileOutput{Path: "f"}), imageJob("target.b", sleep),
	}})
	cancelled := time.Now()
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if !strings.Contains(out.String(), out.want) {
		t.Fatalf("cancelled before it started:\n%s", &out)
	}
	clean(t, root)
	for { // the process must end in the daemon
		if !runs(t, id) {
			break
		}
		if time.Since(cancelled) > 10*time.Second {
			t.Fatal("the step still runs")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// runs says whether a process has the mark in its command line.
func runs(t *testing.T, mark string) bool {
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	return slices.ContainsFunc(names, func(name string) bool {
		b, err := os.ReadFile(name)
		return err == nil && bytes.Contains(b, []byte(mark))
	})
}

func TestEngineGone(t *testing.T) {
	c, err := client.New(t.Context(), "unix:///nowhere/buildkitd.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := Run(t.Context(), c, Request{}); !errors.Is(err, ErrEngine) {
		t.Errorf("nobody there: %v", err)
	}
	own, err := testengine.Launch(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Stop()
	c, err = client.New(t.Context(), own.Engine)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	root := t.TempDir()
	out := notify{want: "started now", seen: make(chan struct{})}
	killed := make(chan time.Time, 1)
	go func() {
		select {
		case <-out.seen:
		case <-time.After(30 * time.Second):
		}
		syscall.Kill(own.PID, syscall.SIGKILL)
		killed <- time.Now()
	}()
	long := state(shell("echo star''ted now; sleep 20"))
	j := imageJob("target.b", long)
	j.Outputs = []string{"type=oci,dest=" + filepath.Join(root, "b.tar")}
	_, err = Run(t.Context(), c, Request{Root: root, Progress: Progress{Mode: "plain", Out: &out}, Jobs: []Job{
		filesJob("target.a", long, FileOutput{Path: "f"}), j,
	}})
	if !errors.Is(err, ErrEngine) || errors.Is(err, ErrRegistry) {
		t.Errorf("killed: %v", err)
	}
	if since := time.Since(<-killed); since > 5*time.Second {
		t.Errorf("noticed after %v", since)
	}
	clean(t, root)
}

// notify is a buffer that says when a text has come.
type notify struct {
	bytes.Buffer
	want string
	seen chan struct{}
	done bool
}

func (n *notify) Write(p []byte) (int, error) {
	n.Buffer.Write(p)
	if !n.done && strings.Contains(n.String(), n.want) {
		n.done = true
		close(n.seen)
	}
	return len(p), nil
}
