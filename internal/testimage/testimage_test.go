package testimage_test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/internal/testimage"
)

func serve(t *testing.T) (*testimage.Registry, *testimage.Set) {
	t.Helper()
	r, s, err := testimage.Serve(t.Context(), testimage.Options{Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r, s
}

// mirrored is the reference under which a mirror is asked for a canonical one.
func mirrored(t *testing.T, r *testimage.Registry, canonical string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(r.Addr + "/" + strings.TrimPrefix(canonical, "docker.io/"))
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// TestImages pulls every image, and looks at each blob of the small ones.
func TestImages(t *testing.T) {
	r, s := serve(t)
	for _, img := range s.Images() {
		desc, err := remote.Get(mirrored(t, r, img.Ref))
		if err != nil {
			t.Errorf("%s: %v", img.Ref, err)
			continue
		}
		if desc.Digest != img.Digest || desc.Size != img.Size {
			t.Errorf("%s: served %v (%d bytes), want %v (%d)", img.Ref, desc.Digest, desc.Size, img.Digest, img.Size)
		}
		idx, err := desc.ImageIndex()
		if err != nil {
			t.Errorf("%s: %v", img.Ref, err)
			continue
		}
		if strings.Contains(img.Ref, "/alpine:") || strings.Contains(img.Ref, "/nginx:") {
			if err := validate.Index(idx); err != nil {
				t.Errorf("%s: %v", img.Ref, err)
			}
		}
	}
}

func TestConfigs(t *testing.T) {
	_, s := serve(t)
	all, err := s.Configs()
	if err != nil {
		t.Fatal(err)
	}
	config := func(ref string) v1.Config {
		t.Helper()
		img, ok := s.Lookup(ref)
		if !ok || len(img.Platforms) != 2 {
			t.Fatalf("%s: %+v", ref, img)
		}
		p := all[ref][img.Platforms[0].ID]
		var c v1.ConfigFile
		if err := json.Unmarshal(p.Config, &c); err != nil {
			t.Fatalf("%s: %v", ref, err)
		}
		if p.Digest != img.Digest.String() || "linux/"+c.Architecture != img.Platforms[0].ID || len(c.RootFS.DiffIDs) == 0 {
			t.Errorf("%s: digest %s, config %s", ref, p.Digest, p.Config)
		}
		return c.Config
	}
	if c := config("docker.io/library/golang:1.26"); c.WorkingDir != "/go" || !strings.Contains(strings.Join(c.Env, " "), "GOPATH=/go") {
		t.Errorf("golang: %+v", c)
	}
	if c := config("docker.io/library/nginx:latest"); c.StopSignal != "SIGQUIT" || len(c.ExposedPorts) != 1 {
		t.Errorf("nginx: %+v", c)
	}
	if c := config("docker.io/example/onbuild:latest"); len(c.OnBuild) != 3 {
		t.Errorf("onbuild: %+v", c)
	}
	c := config("docker.io/example/rich:latest")
	if c.Shell == nil || c.Entrypoint == nil || c.Healthcheck == nil || c.User == "" || c.Volumes == nil || c.Labels == nil {
		t.Errorf("rich: %+v", c)
	}
}

// TestReproducible makes the small images again from nothing.
func TestReproducible(t *testing.T) {
	_, s := serve(t)
	dir, err := testimage.DefaultDir()
	if err != nil {
		t.Fatal(err)
	}
	// Only the notes of the two large layers are taken over, so that the others are made again.
	again := t.TempDir()
	for _, pattern := range []string{"notes/debian-*", "notes/go-*"} {
		notes, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, n := range notes {
			link(t, n, strings.Replace(n, dir, again, 1))
		}
	}
	blobs, _ := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	for _, b := range blobs {
		if fi, err := os.Stat(b); err == nil && fi.Size() > 10<<20 {
			link(t, b, strings.Replace(b, dir, again, 1))
		}
	}
	fresh, err := testimage.Make(t.Context(), testimage.Options{Dir: again})
	if err != nil {
		t.Fatal(err)
	}
	for i, img := range s.Images() {
		if f := fresh.Images()[i]; f.Ref != img.Ref || f.Digest != img.Digest {
			t.Errorf("%s: %v, made again %s %v", img.Ref, img.Digest, f.Ref, f.Digest)
		}
	}
}

func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestPush: what is pushed can be pulled, and the set's images stay as they are.
func TestPush(t *testing.T) {
	r, s := serve(t)
	alpine, err := remote.Image(mirrored(t, r, "docker.io/library/alpine:3.22"))
	if err != nil {
		t.Fatal(err)
	}
	to := mirrored(t, r, "docker.io/pushed/app:1")
	if err := remote.Write(to, alpine); err != nil {
		t.Fatal(err)
	}
	back, err := remote.Image(to)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Error(err)
	}
	if _, ok := s.Lookup("docker.io/pushed/app:1"); ok {
		t.Error("a push changed the set")
	}
}

func TestAbsent(t *testing.T) {
	r, _ := serve(t)
	_, err := remote.Get(mirrored(t, r, "docker.io/library/nosuch:1"))
	if err == nil || !strings.Contains(err.Error(), "404") && !strings.Contains(err.Error(), "NAME_UNKNOWN") {
		t.Errorf("got %v, want not found: a mirror that fails otherwise makes BuildKit wait for docker.io", err)
	}
	res, err := http.Get("http://" + r.Addr + "/v2/")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("the API's root: %v, %v", res, err)
	}
}

func TestLoopbackOnly(t *testing.T) {
	_, s := serve(t)
	if r, err := s.Serve(t.Context(), "0.0.0.0:0"); err == nil {
		r.Stop()
		t.Error("served base images to the network")
	}
}

// TestRun runs the stand-ins' own programs, on the machine's platform and the foreign one.
func TestRun(t *testing.T) {
	c, err := client.New(t.Context(), testengine.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, test := range []struct{ name, image, command, want string }{
		{"apk", "alpine:3.22", "apk add --no-cache ca-certificates tzdata && ls /etc/ssl/certs/ca-certificates.crt && TZ=Asia/Tokyo date -d @0 +%H", "/etc/ssl/certs/ca-certificates.crt\n09"},
		{"apk virtual", "alpine:3.22", "apk --no-cache add --virtual .build tzdata && ls -d /usr/share/zoneinfo/UTC", "/usr/share/zoneinfo/UTC"},
		{"apk unknown", "alpine:3.22", "apk add curl && echo added || echo refused", "refused"},
		{"apk is needed", "alpine:3.22", "test -e /usr/share/zoneinfo || echo absent", "absent"},
		{"users", "alpine:3.22", "addgroup -S web && adduser -S -D -H -G web app && adduser -D -u 1234 me && id app && id -u me && stat -c %U /home/me", "uid=100(app) gid=101(web) groups=101(web)\n1234\nme"},
		{"add to group", "alpine:3.22", "adduser -D a && adduser -D b && addgroup -g 5000 g && addgroup a g && adduser b g && tail -1 /etc/group", "g:x:5000:a,b"},
		{"user twice", "alpine:3.22", "adduser -D a && adduser -D a || echo refused", "refused"},
		{"busybox", "busybox:latest", "echo $0 && test ! -e /sbin/apk", "/bin/sh"},
		{"debian", "debian:bookworm", "dpkg --get-selections | grep -c '^apt' && . /etc/os-release && echo $ID $VERSION_CODENAME", "1\ndebian bookworm"},
		{"golang", "golang:1.26", "cd /tmp && echo 'package main; func main() { println(40+2) }' > m.go && go run m.go 2>&1 && pwd", "42\n/tmp"},
		{"nginx", "nginx:latest", "test -s /etc/nginx/nginx.conf && test -s /usr/share/nginx/html/index.html && echo there", "there"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := runIn(t, c, test.image, test.command, ""); !strings.HasSuffix(got, test.want+"\n") {
				t.Errorf("%s\ngot  %q\nwant its end %q", test.command, got, test.want)
			}
		})
	}
	t.Run("foreign platform", func(t *testing.T) {
		if got := runIn(t, c, "alpine:3.22", "echo runs", "linux/arm64"); got != "runs\n" {
			t.Errorf("got %q", got)
		}
	})
}

// runIn returns what a shell command writes.
func runIn(t *testing.T, c *client.Client, image, command, platform string) string {
	t.Helper()
	var imgOpts []llb.ImageOption
	runOpts := []llb.RunOption{llb.Args([]string{"/bin/sh", "-c", "{ " + command + "; } > /out/log"}), llb.IgnoreCache}
	if platform == "linux/arm64" {
		imgOpts, runOpts = append(imgOpts, llb.LinuxArm64), append(runOpts, llb.LinuxArm64)
	}
	st := llb.Image("docker.io/library/"+image, imgOpts...).
		AddEnv("PATH", "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").
		AddEnv("GOPATH", "/go").AddEnv("HOME", "/root").
		Run(runOpts...).AddMount("/out", llb.Scratch())
	def, err := st.Marshal(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var data []byte
	_, err = c.Build(t.Context(), client.SolveOpt{}, "", func(ctx context.Context, g gateway.Client) (*gateway.Result, error) {
		res, err := g.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
		if err != nil {
			return nil, err
		}
		data, err = res.Ref.ReadFile(ctx, gateway.ReadRequest{Filename: "log"})
		return res, err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
