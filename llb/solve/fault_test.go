package solve

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/identity"
	"golang.org/x/crypto/ssh"

	"github.com/hbuild/hbuild/internal/testengine"
)

func TestCaches(t *testing.T) {
	reg := httptest.NewServer(quietRegistry())
	defer reg.Close()
	host := strings.TrimPrefix(reg.URL, "http://")
	root := t.TempDir()
	st := state(shell("echo " + identity.NewID() + " >/f"))
	j := imageJob("target.a", st)
	j.CacheFrom = []string{"type=local,src=cache", host + "/cache:1"}
	j.CacheTo = []string{"type=local,dest=cache,mode=max", "type=registry,ref=" + host + "/cache:1,mode=max"}
	// Neither is there yet: a first build must not fail.
	mustRun(t, Request{Root: root, Jobs: []Job{j}})
	if read(t, filepath.Join(root, "cache", "index.json")) == "" {
		t.Error("no local cache")
	}
	f := filesJob("target.f", st, FileOutput{Path: "f"})
	f.CacheFrom = j.CacheFrom
	if res := mustRun(t, Request{Root: root, Jobs: []Job{f, j}, Atomic: true}); res.StepsRun != 0 {
		t.Errorf("%d steps run", res.StepsRun)
	}
	j.CacheTo, j.CacheFrom = []string{"127.0.0.1:1/cache:1"}, nil
	if _, err := run(t, Request{Root: root, Jobs: []Job{j}}); !errors.Is(err, ErrRegistry) {
		t.Errorf("%v", err)
	}
}

// TestCacheOfWhatIsMade: cache_to has all steps of a target, whether or not something
// is exported, and a step whose result comes from an imported cache did not run, though
// its download is reported as the step's work.
func TestCacheOfWhatIsMade(t *testing.T) {
	own, err := testengine.Launch(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Stop()
	c, err := client.New(t.Context(), own.Engine)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	made := func() Lower { return state(shell("echo " + identity.NewID() + " >/f")) } // an image in the store keeps its steps
	files := FileOutput{Path: "f"}
	both := filesJob("target.both", made(), files)
	both.Builds[0].Image = made()
	for name, j := range map[string]Job{"files": filesJob("target.f", made(), files), "an image": imageJob("target.i", made()), "both": both} {
		for _, out := range []string{"type=cacheonly", ""} {
			if j.Outputs = nil; out != "" {
				j.Outputs = []string{out}
			}
			root := t.TempDir()
			j.CacheTo, j.CacheFrom = []string{"type=local,dest=cache,mode=max"}, nil
			for _, want := range []string{StepRun, StepCached} {
				res, err := Run(t.Context(), c, Request{Root: root, Jobs: []Job{j}})
				if err != nil {
					t.Fatalf("%s, %q: %v", name, out, err)
				}
				steps := res.Jobs[0].Steps
				for _, s := range steps {
					if s.State != want || want == StepCached && s.DurationMS != 0 {
						t.Errorf("%s, %q: %+v, want %s", name, out, s, want)
					}
				}
				if len(steps) == 0 {
					t.Errorf("%s, %q: no steps", name, out)
				}
				if err := c.Prune(t.Context(), nil, client.PruneAll); err != nil {
					t.Fatal(err)
				}
				j.CacheTo, j.CacheFrom = nil, []string{"type=local,src=cache"}
			}
		}
		j.CacheTo, j.CacheFrom = []string{"127.0.0.1:1/cache:1"}, nil
		if _, err := Run(t.Context(), c, Request{Root: t.TempDir(), Jobs: []Job{j}}); !errors.Is(err, ErrRegistry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	root := t.TempDir()
	tar := filepath.Join(root, "image.tar")
	both.Outputs, both.CacheTo = []string{"type=oci,dest=" + tar}, []string{"type=inline", "type=local,dest=cache"}
	if _, err := Run(t.Context(), c, Request{Root: root, Jobs: []Job{both}}); err != nil || !strings.Contains(read(t, tar), "moby.buildkit.cache.v0") {
		t.Errorf("no inline cache in the image beside files: %v", err)
	}
	if read(t, filepath.Join(root, "cache", "index.json")) == "" {
		t.Error("no cache beside the inline one")
	}
	empty := imageJob("target.e", state(llb.Scratch()))
	empty.Outputs, empty.CacheTo = []string{"type=cacheonly"}, []string{"type=local,dest=cache"}
	if _, err := Run(t.Context(), c, Request{Root: t.TempDir(), Jobs: []Job{empty}}); err != nil {
		t.Errorf("nothing to export: %v", err)
	}
}

func TestOneRegistryOfSeveralFails(t *testing.T) {
	handler := quietRegistry()
	reg := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/p7/") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	defer reg.Close()
	req := Request{KeepGoing: true}
	id := identity.NewID()
	for i := range 12 {
		j := imageJob(fmt.Sprintf("target.t%d", i), state(file("f", id+fmt.Sprint(i))))
		j.Push, j.Tags = true, []string{fmt.Sprintf("%s/p%d:1", strings.TrimPrefix(reg.URL, "http://"), i)}
		req.Jobs = append(req.Jobs, j)
	}
	res, err := run(t, req)
	var re *RegistryError
	if !errors.As(err, &re) || re.Target != "target.t7" || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	for i, j := range res.Jobs {
		if (j.Err == nil) != (i != 7) || (len(j.Pushed) == 1) != (i != 7) {
			t.Errorf("%+v", j)
		}
	}
}

func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	root := t.TempDir()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=256k"); err != nil {
		t.Skip(err)
	}
	defer syscall.Unmount(root, 0)
	write(t, filepath.Join(root, "big"), "before")
	made := shell("head -c 1000000 /dev/urandom >/big; mkdir /dir; echo x >/dir/x")
	big := state(llb.Scratch().File(llb.Copy(made, "/big", "/big").Copy(made, "/dir", "/dir")))
	jobs := []Job{filesJob("target.big", big, FileOutput{Path: "big"}, FileOutput{Path: "dir", Dir: true})}
	_, err := run(t, Request{Root: root, Jobs: jobs})
	if err == nil || !strings.Contains(err.Error(), "no space left on device") || errors.Is(err, ErrEngine) {
		t.Errorf("%v", err)
	}
	j := imageJob("target.image", big)
	j.Outputs = []string{"type=oci,dest=" + filepath.Join(root, "image.tar")}
	if _, err := run(t, Request{Root: root, Jobs: []Job{j}}); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("%v", err)
	}
	clean(t, root, "big")
	if read(t, filepath.Join(root, "big")) != "before" {
		t.Error("half-written")
	}
	if err := syscall.Mount("", root, "", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	mustRun(t, Request{Root: root, Jobs: jobs})
	clean(t, root, "big", "dir")
}

func TestAnotherFileSystemBelowTheRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	root := t.TempDir()
	sub := filepath.Join(root, "bin")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", sub, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip(err)
	}
	defer syscall.Unmount(sub, 0)
	write(t, filepath.Join(sub, "f"), "old")
	mustRun(t, Request{Root: root, Jobs: []Job{filesJob("target.f", state(file("bin/f", "new")), FileOutput{Path: "bin/f"})}})
	if fi, _ := os.Stat(filepath.Join(sub, "f")); read(t, filepath.Join(sub, "f")) != "new" || fi.Mode().Perm() != 0o640 {
		t.Error("not replaced")
	}
	clean(t, sub, "f")
	clean(t, root, "bin")
}

func TestTwoBuildsAtOnce(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "src"), identity.NewID())
	c := connect(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			// The context is the module itself, into which the others write.
			_, err := Run(t.Context(), c, Request{Root: root, Contexts: map[string]Context{"module": {Dir: root, Exclude: []string{"out"}}},
				Jobs: []Job{filesJob("target.f", local("module"), FileOutput{Path: "src"}), filesJob("target.o", state(file("out/f", "f")), FileOutput{Path: "out", Dir: true})}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	clean(t, root, "out", "src")
}

func TestSSHKey(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	j := imageJob("target.a", state(shell("test -S \"$SSH_AUTH_SOCK\" # "+identity.NewID(), llb.AddSSHSocket(llb.SSHID("deploy")))))
	mustRun(t, Request{Jobs: []Job{j}, SSH: []SSH{{ID: "deploy", Paths: []string{path}}}})
	t.Setenv("SSH_AUTH_SOCK", "")
	if _, err := run(t, Request{SSH: []SSH{{ID: "default", Required: true}}}); !errors.Is(err, ErrRequest) {
		t.Errorf("%v", err)
	}
	mustRun(t, Request{SSH: []SSH{{ID: "default"}}})
}
