package runimage

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/hbuild/hbuild/internal/testimage"
)

// alpine is the stand-in for alpine:3.22 of this machine's architecture.
func alpine(t *testing.T) v1.Image {
	t.Helper()
	reg, _, err := testimage.Serve(t.Context(), testimage.Options{Log: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reg.Stop() })
	ref, err := name.ParseReference(reg.Addr + "/library/alpine:3.22")
	if err != nil {
		t.Fatal(err)
	}
	idx, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	img, err := idx.Image(m.Manifests[0].Digest) // the machine's own is the first
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// add puts a layer of files on an image.
func add(t *testing.T, img v1.Image, files ...tar.Header) v1.Image {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range files {
		body := h.PAXRecords["body"]
		h.PAXRecords = nil
		h.Size = int64(len(body))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	if img, err = mutate.AppendLayers(img, l); err != nil {
		t.Fatal(err)
	}
	return img
}

func reg(path, body string, mode int64, uid, gid int) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: path, Mode: mode, Uid: uid, Gid: gid, PAXRecords: map[string]string{"body": body}}
}

func configure(t *testing.T, img v1.Image, change func(*v1.Config)) v1.Image {
	t.Helper()
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := f.Config
	change(&c)
	if img, err = mutate.Config(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

// with is an unpacked image with another configuration.
func with(i *Image, change func(*v1.Config)) *Image {
	f, out := *i.Config, *i
	change(&f.Config)
	out.Config = &f
	return &out
}

// save writes a layout, or an archive of it.
func save(t *testing.T, img v1.Image, archived bool) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := layout.Write(dir, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
		t.Fatal(err)
	}
	if !archived {
		return dir
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

func open(t *testing.T, img v1.Image, archived bool) *Image {
	t.Helper()
	dir := t.TempDir()
	i, err := Open(t.Context(), save(t, img, archived), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil || strings.Contains(string(mounts), i.dir) {
			t.Errorf("a mount is left below %s (%v)", i.dir, err)
		}
	})
	return i
}

func run(t *testing.T, i *Image, c Command) Result {
	t.Helper()
	res, err := i.Run(t.Context(), c)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, res.Stdout, res.Stderr)
	}
	return res
}

// sh runs a shell line and returns what it printed.
func sh(t *testing.T, i *Image, line string) string {
	t.Helper()
	res := run(t, i, Command{Entrypoint: []string{"/bin/sh", "-c", line}})
	if res.Exit != 0 {
		t.Fatalf("%s: exit code %d\n%s%s", line, res.Exit, res.Stdout, res.Stderr)
	}
	return string(res.Stdout)
}

func TestFiles(t *testing.T) {
	img := add(t, empty.Image,
		tar.Header{Typeflag: tar.TypeDir, Name: "d/", Mode: 0o1777},
		reg("d/replaced", "old content", 0o644, 0, 0),
		reg("d/hard", "same", 0o4750, 7, 8),
		tar.Header{Typeflag: tar.TypeLink, Name: "d/link", Linkname: "d/hard", Mode: 0o4750, Uid: 7, Gid: 8},
		reg("d/gone", "x", 0o600, 0, 0),
		tar.Header{Typeflag: tar.TypeDir, Name: "opaque", Mode: 0o755},
		reg("opaque/gone", "x", 0o600, 0, 0),
		tar.Header{Typeflag: tar.TypeSymlink, Name: "abs", Linkname: "/d", Mode: 0o777},
	)
	img = add(t, img,
		reg("d/.wh.gone", "", 0, 0, 0),
		reg("d/replaced", "new", 0o640, 1, 2),
		reg("opaque/.wh..wh..opq", "", 0, 0, 0),
		reg("opaque/stays", "y", 0o604, 0, 0),
		tar.Header{Typeflag: tar.TypeSymlink, Name: "out", Linkname: "../../../../etc", Mode: 0o777},
		tar.Header{Typeflag: tar.TypeFifo, Name: "pipe", Mode: 0o600},
	)
	for _, archived := range []bool{false, true} {
		i := open(t, img, archived)
		all, err := i.Files()
		if err != nil {
			t.Fatal(err)
		}
		want := []File{
			{"/abs", Symlink, 0o777, 0, 0, 0, "/d"},
			{"/d", Dir, 0o1777, 0, 0, 0, ""},
			{"/d/hard", Regular, 0o4750, 7, 8, 4, ""},
			{"/d/link", Regular, 0o4750, 7, 8, 4, ""},
			{"/d/replaced", Regular, 0o640, 1, 2, 3, ""},
			{"/opaque", Dir, 0o755, 0, 0, 0, ""},
			{"/opaque/stays", Regular, 0o604, 0, 0, 1, ""},
			{"/out", Symlink, 0o777, 0, 0, 0, "../../../../etc"},
			{"/pipe", Other, 0o600, 0, 0, 0, ""},
		}
		if !slices.Equal(all, want) {
			t.Errorf("files: %+v\nwant %+v", all, want)
		}
		if f, err := i.Stat("/abs/replaced"); err != nil || f.UID != 1 || f.GID != 2 {
			t.Errorf("through an absolute link: %+v, %v", f, err)
		}
		if b, err := i.ReadFile("abs/replaced"); string(b) != "new" || err != nil {
			t.Errorf("content %q, %v", b, err)
		}
		if _, err := i.Stat("/out/hostname"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a link leads out of the image: %v", err)
		}
		if _, err := i.ReadFile("/d"); err == nil {
			t.Error("a directory was read")
		}
		if want := int64(len("old content" + "same" + "x" + "x" + "new" + "y")); i.Size != want {
			t.Errorf("size %d, want %d", i.Size, want)
		}
	}
}

func TestRun(t *testing.T) {
	img := add(t, alpine(t),
		reg("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1234:100::/home/app:/bin/sh\n", 0o644, 0, 0),
		reg("etc/group", "root:x:0:\nusers:x:100:\nextra:x:7:app\n", 0o644, 0, 0))
	plain := open(t, img, false)

	t.Run("default command", func(t *testing.T) {
		i := with(plain, func(c *v1.Config) { c.Entrypoint, c.Cmd = []string{"echo", "a"}, []string{"b"} })
		for want, c := range map[string]Command{
			"a b\n": {}, "a c\n": {Args: []string{"c"}}, "a\n": {Args: []string{}},
			"x\n": {Entrypoint: []string{"echo", "x"}}, "x y\n": {Entrypoint: []string{"echo", "x"}, Args: []string{"y"}},
		} {
			if res := run(t, i, c); string(res.Stdout) != want || res.Exit != 0 {
				t.Errorf("%+v: %q %q, exit code %d; want %q", c, res.Stdout, res.Stderr, res.Exit, want)
			}
		}
	})
	t.Run("streams and exit code", func(t *testing.T) {
		res := run(t, plain, Command{Args: []string{"sh", "-c", "echo out; echo err >&2; read x || exit 3"}})
		if string(res.Stdout) != "out\n" || string(res.Stderr) != "err\n" || res.Exit != 3 {
			t.Errorf("%+v", res)
		}
	})
	t.Run("user environment and directory", func(t *testing.T) {
		for user, want := range map[string]string{
			"": "0 0 0", "app": "1234 100 100 7", "1234": "1234 100 100 7", "app:extra": "1234 7 7", "55:66": "55 66 66",
		} {
			i := with(plain, func(c *v1.Config) {
				c.User, c.WorkingDir, c.Env = user, "/made/for it", []string{"A=b c", "PATH=/bin:/usr/bin"}
			})
			got := sh(t, i, `echo $(id -u) $(id -g) $(id -G); pwd; echo "$A $PATH"`)
			if want := want + "\n/made/for it\nb c /bin:/usr/bin\n"; got != want {
				t.Errorf("user %q: %q, want %q", user, got, want)
			}
		}
		i := with(plain, func(c *v1.Config) { c.User = "nobody-here" })
		if _, err := i.Run(t.Context(), Command{}); err == nil || !strings.Contains(err.Error(), "nobody-here") {
			t.Errorf("an unknown user: %v", err)
		}
	})
	t.Run("network is loopback", func(t *testing.T) {
		if got := sh(t, plain, `ip -o link | wc -l; ping -c 1 -W 1 localhost >/dev/null && echo up`); got != "1\nup\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("runs do not see each other", func(t *testing.T) {
		sh(t, plain, "echo x > /etc/passwd; rm /bin/sh; touch /new; chmod 700 /")
		if got := sh(t, plain, "ls /new 2>/dev/null; head -n 1 /etc/passwd; stat -c %a /"); got != "root:x:0:0::/root:/bin/sh\n755\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("is not the host", func(t *testing.T) {
		if got := sh(t, plain, "echo $$; hostname; mknod /dev/loop7x b 7 7; dd if=/dev/loop7x of=/dev/null 2>/dev/null || echo denied"); got != "1\ncontainer\ndenied\n" {
			t.Errorf("%q", got)
		}
	})
	t.Run("not there", func(t *testing.T) {
		if _, err := plain.Run(t.Context(), Command{Args: []string{"no-such-program"}}); err == nil || !strings.Contains(err.Error(), "no-such-program") {
			t.Errorf("error %v", err)
		}
		none := with(plain, func(c *v1.Config) { c.Entrypoint, c.Cmd = nil, nil })
		if _, err := none.Run(t.Context(), Command{}); err == nil {
			t.Error("no command, no error")
		}
	})
	t.Run("timeout", func(t *testing.T) {
		started := time.Now()
		res, err := plain.Run(t.Context(), Command{Args: []string{"sh", "-c", "echo began; sleep 300 & sleep 300"}, Timeout: time.Second})
		if !errors.Is(err, ErrTimeout) || string(res.Stdout) != "began\n" || time.Since(started) > 4*time.Second {
			t.Errorf("%v, %q, after %v", err, res.Stdout, time.Since(started))
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if _, err := plain.Run(ctx, Command{Args: []string{"sleep", "300"}}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	img := add(t, empty.Image, reg("a", "a", 0o644, 0, 0))
	two := t.TempDir()
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img}, mutate.IndexAddendum{Add: add(t, img, reg("b", "b", 0o644, 0, 0))})
	if _, err := layout.Write(two, idx); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, path := range []string{two, filepath.Join(two, "oci-layout"), filepath.Join(two, "missing")} {
		if _, err := Open(t.Context(), path, Options{Dir: dir}); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBlobs(t *testing.T) {
	i := open(t, configure(t, add(t, empty.Image, reg("a", "in a layer", 0o644, 0, 0)), func(c *v1.Config) { c.User = "in the config" }), false)
	var names []string
	found := 0
	err := i.Blobs(func(name string, r io.Reader) error {
		names = append(names, name)
		b, err := io.ReadAll(r)
		found += bytes.Count(b, []byte("in a layer")) + bytes.Count(b, []byte("in the config"))
		return err
	})
	if want := []string{"manifest", "config", "layer 0"}; err != nil || !slices.Equal(names, want) || found != 2 {
		t.Errorf("%v, %d found in %v", err, found, names)
	}
}
