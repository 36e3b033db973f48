//go:build linux

package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func TestBuildConfig(t *testing.T) {
	root := t.TempDir()
	user := `
root = "/elsewhere"
[grpc]
address = ["tcp://0.0.0.0:1234"]
[worker.oci]
networkMode = "auto"
gc = false
[registry."docker.io"]
mirrors = ["mirror.example"]
`
	if err := os.WriteFile(filepath.Join(root, "engine.toml"), []byte(user), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HBUILD_ENGINE_ROOT": root, "HBUILD_ENGINE_MIRRORS": "docker.io=127.0.0.1:5000,quay.io=proxy.example/quay"}
	o := Options{Env: func(n string) string { return env[n] }}
	p, err := PrivatePaths(o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := buildConfig(o, p, "/usr/bin/runc", true)
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Root string
		GRPC struct{ Address []string }
		OTEL struct{ SocketPath string }
		// What the user set stays; what is silent gets hbuild's default.
		Worker struct {
			OCI struct {
				NetworkMode, Binary string
				GC, Rootless        bool
			}
			Containerd struct{ Enabled bool }
		}
		Registry map[string]struct {
			Mirrors []string
			HTTP    bool
		}
	}
	c.Worker.OCI.GC, c.Worker.Containerd.Enabled = true, true
	if err := toml.Unmarshal(b, &c); err != nil {
		t.Fatal(err)
	}
	check := func(what string, ok bool) {
		if !ok {
			t.Errorf("%s:\n%s", what, b)
		}
	}
	check("hbuild decides where its engine is", c.Root == p.State && len(c.GRPC.Address) == 1 && c.GRPC.Address[0] == p.address() && strings.HasPrefix(c.OTEL.SocketPath, p.Run))
	check("the user's worker settings stay", c.Worker.OCI.NetworkMode == "auto" && !c.Worker.OCI.GC)
	check("defaults where the user is silent", c.Worker.OCI.Binary == "/usr/bin/runc" && c.Worker.OCI.Rootless && !c.Worker.Containerd.Enabled)
	check("mirrors of the environment come first", strings.Join(c.Registry["docker.io"].Mirrors, " ") == "127.0.0.1:5000 mirror.example")
	check("only a loopback mirror is without TLS", c.Registry["127.0.0.1:5000"].HTTP && !c.Registry["proxy.example"].HTTP && !c.Registry["quay.io"].HTTP)
	again, err := buildConfig(o, p, "/usr/bin/runc", true)
	check("the same settings give the same file", err == nil && string(again) == string(b))
}

func TestPrivatePaths(t *testing.T) {
	long := "/tmp/" + strings.Repeat("long/", 30)
	for _, test := range []struct {
		env    map[string]string
		socket string
		state  string
	}{
		{map[string]string{"HBUILD_ENGINE_ROOT": "/r"}, "/r/run/buildkitd.sock", "/r/state"},
		{map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": "/x"}, "/x/hbuild/buildkitd.sock", "/h/.local/share/hbuild/engine"},
		{map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": "/x", "XDG_DATA_HOME": "/d"}, "/x/hbuild/buildkitd.sock", "/d/hbuild/engine"},
		// A socket's path has a limit; its place is then short and still depends on the root.
		{map[string]string{"HBUILD_ENGINE_ROOT": long, "TMPDIR": "/t"}, "/t/hbuild-", long + "state"},
	} {
		p, err := PrivatePaths(Options{Env: func(n string) string { return test.env[n] }})
		if err != nil || !strings.HasPrefix(p.Socket, test.socket) || p.State != test.state || len(p.Socket) > 107 {
			t.Errorf("%v: %+v, %v", test.env, p, err)
		}
	}
	if _, err := PrivatePaths(Options{Env: func(string) string { return "" }}); err == nil {
		t.Error("no HOME and no HBUILD_ENGINE_ROOT: want an error that says so")
	}
}

func TestMakePrivate(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if err := makePrivate(link); err == nil {
		t.Error("a link in a shared directory may lead anywhere; want it refused")
	}
}
