package frontend_test

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gateway "github.com/moby/buildkit/frontend/gateway/client"

	"github.com/hbuild/hbuild/llb/frontend"
)

const limited = `
stage "s" {
  from = image("busybox:1.37")
  run {
    command = <<-EOT
      cat /proc/self/cgroup > /cgroup
      cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max > /memory 2> /dev/null || true
      ls /sys/class/net > /net
      nproc > /processors
    EOT
  }
}

target "default" {
  image = stage.s
}
`

// TestLimits has the options that show in a step's control group, and the host's
// network. (TestFlags has the others.)
func TestLimits(t *testing.T) {
	fe := frontendImage(t)
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": limited})
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "--no-cache", "-o", "out", ".", "--cgroup-parent", "hbuild-test",
		"--memory", "64m", "--cpuset-cpus", "0", "--network", "host", "--allow", "network.host"))
	read := func(name string) string { return strings.TrimSpace(content(t, filepath.Join(dir, "out", name))) }
	// Where steps have a cgroup namespace they see themselves at its root.
	if got := read("cgroup"); !strings.Contains(got, "/hbuild-test/") && got != "0::/" {
		t.Errorf("the control group is %s", got)
	}
	if got := read("memory"); got != "67108864" {
		t.Errorf("the memory is %s", got)
	}
	if got := read("processors"); got != "1" {
		t.Errorf("there are %s processors", got)
	}
	ifaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	here := []string{}
	for _, i := range ifaces {
		here = append(here, i.Name)
	}
	for _, name := range strings.Fields(read("net")) {
		if name != "lo" && !slices.Contains(here, name) {
			t.Errorf("the network has %s, and the host %q", name, here)
		}
	}
}

// TestPull asks for base images that a registry has: with --pull and without.
func TestPull(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hbuild.hcl"), limited)
	for attr, want := range map[string]bool{"": false, "pull": true} {
		attrs := map[string]string{"filename": "hbuild.hcl", "requestid": "frontend.convertllb"}
		if attr != "" {
			attrs["image-resolve-mode"] = attr
		}
		solve(t, dir, attrs, func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
			res, err := frontend.Build(ctx, gw)
			if err != nil {
				return nil, err
			}
			var converted struct {
				Def map[string]json.RawMessage `json:"def"`
			}
			if err := json.Unmarshal(res.Metadata["result.json"], &converted); err != nil {
				return nil, err
			}
			pulls := false
			for _, op := range converted.Def {
				pulls = pulls || strings.Contains(string(op), `"image.resolvemode": "pull"`)
			}
			if pulls != want {
				t.Errorf("image-resolve-mode=%q: pull is %v\n%s", attr, pulls, res.Metadata["result.json"])
			}
			return gateway.NewResult(), nil
		})
	}
}
