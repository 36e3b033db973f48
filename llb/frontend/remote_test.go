package frontend_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRemoteContext builds from an archive that a server has, and from one on
// standard input: the module and what it reads come from the archive.
func TestRemoteContext(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{
		"hbuild.hcl": reading, "more.hbuild.hcl": "locals {\n  extra = \"more\"\n}\nvariable \"who\" {}\n", "hbuild.vars.hcl": "who = \"vars\"\n",
		"meta/VERSION": "1.2\n", "conf/a.conf": "a", "conf/x/b.conf": "b",
	})
	archive := archived(t, dir)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(archive) }))
	defer server.Close()
	check := func(out string) {
		t.Helper()
		if got, want := content(t, filepath.Join(out, "ctx/values")), "1.2 a.conf x/b.conf false vars more\n"; got != want {
			t.Errorf("values are %q, not %q", got, want)
		}
		if l := content(t, filepath.Join(out, "ctx/list")); !strings.Contains(l, "./conf/x/b.conf") || !strings.Contains(l, "./hbuild.hcl") {
			t.Errorf("the context has\n%s", l)
		}
	}
	out := t.TempDir()
	ok(t, buildx(t, t.TempDir(), "build", "-f", "hbuild.hcl", "-o", out, server.URL+"/context.tar.gz"))
	check(out)

	file := filepath.Join(t.TempDir(), "context.tar.gz")
	if err := os.WriteFile(file, archive, 0o644); err != nil {
		t.Fatal(err)
	}
	out = t.TempDir()
	ok(t, run(t, t.TempDir(), append(builder.env, "BUILDKIT_PROGRESS=plain"), "sh", "-c", `exec "$0" build -f hbuild.hcl -o "$1" - < "$2"`, tool(t, "buildx"), out, file))
	check(out)
}

// TestStandardInput has the file on standard input: with a context, and with none
// at all, which only fails what reads it.
func TestStandardInput(t *testing.T) {
	fe := frontendImage(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "main.txt"), "main")
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "# syntax="+fe.ref+`
stage "text" {
  from = scratch
  write {
    path    = "/text"
    content = "text"
  }
}
stage "copy" {
  from = scratch
  copy { files = { "/" = "main.txt" } }
}
target "default" { image = stage.text }
target "copy" { image = stage.copy }
`)
	build := func(target, context string) (result, string) {
		out := t.TempDir()
		buildx(t, dir, "version") // sets the builder up
		return run(t, dir, append(builder.env, "BUILDKIT_PROGRESS=plain"), "sh", "-c", `exec "$0" build -o "$1" --target "$2" $3 < "$4"`, tool(t, "buildx"), out, target, context, file), out
	}
	for _, c := range []struct{ target, context, file, content string }{
		{"default", "-", "text", "text"}, {"default", "-f - .", "text", "text"}, {"copy", "-f - .", "main.txt", "main"},
	} {
		r, out := build(c.target, c.context)
		ok(t, r)
		if got := content(t, filepath.Join(out, c.file)); got != c.content {
			t.Errorf("%s %s: %q", c.target, c.context, got)
		}
	}
	r, _ := build("copy", "-")
	fails(t, r, "HB7003", `"/main.txt": not found`, `>>>   copy { files = { "/" = "main.txt" } }`)
}

func archived(t *testing.T, dir string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for _, name := range list(t, dir) {
		data := content(t, filepath.Join(dir, name))
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
