package frontend_test

import "testing"

// TestUndefined has a variable that the base image does not set: a warning at its
// line, which the file or the caller drops, or the caller makes an error of.
func TestUndefined(t *testing.T) {
	fe := frontendImage(t)
	const text = `
stage "s" {
  from    = image("busybox:1.37")
  env     = { HOME_DIR = "/srv" }
  workdir = "$HOME_DIRR/x"
}

target "default" {
  image = stage.s
}
`
	dir := module(t, fe.ref, map[string]string{"hbuild.hcl": text})
	build := []string{"--debug", "build", "-f", "hbuild.hcl", "."}
	says(t, ok(t, buildx(t, dir, build...)).stderr, "HB4018: Nothing sets $HOME_DIRR (line 6)", `Did you mean "HOME_DIR"?`, `>>>   workdir = "$HOME_DIRR/x"`)
	saysNot(t, ok(t, buildx(t, dir, append(build, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=HB4018")...)).stderr, "HB4018")
	fails(t, buildx(t, dir, append(build, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=true")...), "HB4018", `>>>   workdir = "$HOME_DIRR/x"`)
	r := buildx(t, dir, append(build, "--check")...)
	says(t, r.stdout, "HB4018", `>>>   workdir = "$HOME_DIRR/x"`)
	if r.code != 1 {
		t.Errorf("--check: exit code %d", r.code)
	}
	dir = module(t, fe.ref, map[string]string{"hbuild.hcl": "# hbuild: allow HB4018\n" + text})
	saysNot(t, ok(t, buildx(t, dir, build...)).stderr, "HB4018")
}
