package frontend_test

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestDockerfileInPlace builds a stage of a Dockerfile that lies in the module: by
// its own ignore file, with a repository in place of one of its stages.
func TestDockerfileInPlace(t *testing.T) {
	fe := frontendImage(t)
	url, _ := repository(t, filepath.Dir(filepath.Join(module(t, fe.ref, map[string]string{"from-git.txt": "git"}), "x")))
	dir := module(t, fe.ref, map[string]string{
		"hbuild.hcl": `
stage "s" {
  from = dockerfile("old/Dockerfile", {
    contexts = { source = git("` + url + `#v1") }
    platform = "linux/amd64"
  })
}

target "default" {
  image = stage.s
}
`,
		"old/Dockerfile":              "FROM scratch AS source\nFROM scratch\nCOPY --from=source from-git.txt /\nCOPY *.txt /main/\n",
		"old/Dockerfile.dockerignore": "hidden.txt\n",
		".dockerignore":               "shown.txt\n",
		"hidden.txt":                  "",
		"shown.txt":                   "",
	})
	out := t.TempDir()
	ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "-o", out, "."))
	if got, want := list(t, out), []string{"from-git.txt", "main/shown.txt"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, not %q", got, want)
	}
}
