package frontend_test

import (
	"os/exec"
	"strings"
	"testing"
)

// hostOnly is what the image must not hold: clients of a host's programs, files and
// credentials, which a frontend has none of.
var hostOnly = []string{
	"github.com/hbuild/hbuild/cmd/hbuild", "github.com/hbuild/hbuild/internal/", "github.com/hbuild/hbuild/llb/solve", "github.com/hbuild/hbuild/llb/engine", "github.com/hbuild/hbuild/llb/build",
	"github.com/moby/buildkit/client ", "github.com/moby/buildkit/client/connhelper", "github.com/moby/buildkit/session/auth", "github.com/moby/buildkit/session/filesync",
	"github.com/moby/buildkit/session/secrets", "github.com/moby/buildkit/session/sshforward", "github.com/moby/buildkit/util/progress/progressui",
	"github.com/docker/cli", "github.com/spf13/cobra", "github.com/google/go-containerregistry", "testing ",
}

func TestLinks(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "../../cmd/hbuild-frontend").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 100 {
		t.Fatalf("only %d packages", len(packages))
	}
	for _, p := range packages {
		for _, no := range hostOnly {
			if strings.HasPrefix(p+" ", no) && p != "github.com/hbuild/hbuild/cmd/hbuild-frontend" {
				t.Errorf("the frontend links %s", p)
			}
		}
	}
}
