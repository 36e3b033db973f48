package lint_test

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// warnings lints one file and returns "line code" of each warning, and "line
// code!" of each that a directive made an error.
func warnings(t *testing.T, files map[string]string, caller lint.Levels) []string {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	m, diags := lang.Load(fsys, ".", lang.LoadOptions{})
	diags = append(diags, lang.Resolve(m, eval.Builtins())...)
	ev := eval.New(m, fsys, nil, eval.Options{})
	ev.All()
	diags = append(diags, ev.Diagnostics()...)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var out []string
	for _, d := range lint.Apply([]*lang.Module{m}, lint.Check([]*lang.Module{m}, ev.Stages()), caller) {
		mark := ""
		if d.Severity == hcl.DiagError {
			mark = "!"
		}
		out = append(out, fmt.Sprintf("%02d %s%s", d.Subject.Start.Line, diag.InfoOf(d).Code, mark))
	}
	sort.Strings(out)
	return out
}

func TestRules(t *testing.T) {
	got := warnings(t, map[string]string{".dockerignore": "docs\n!docs/keep\nhidden\n", "hbuild.hcl": `
variable "unused" { default = 1 }
cache "unused" {}
locals { unused = 1 }
stage "context" {
  from     = image("debian")
  platform = "linux/amd64"
  author   = "me"
  args     = { API_TOKEN = "x", TOKEN_SHA256 = "y", REV = git.commit }
  workdir  = "rel"
  run { command = "apt-get install -y gcc" }
  run { command = "apt-get update && apt-get install -y gcc" }
  copy { files = { "/a/" = ["hidden", "docs", "docs/x", "shown"] } }
  copy {
    from = image("alpine:latest")
    src  = "/etc/os-release"
    dest = "/"
  }
  cmd        = "run me"
  expose     = ["80/TCP"]
}
stage "fine" {
  from    = image("debian:bookworm")
  workdir = "/abs"
  set { workdir = "rel" }
  run { command = "make" }
  set { args = { REV = git.commit } }
  shell      = ["/bin/bash", "-c"]
  entrypoint = "fine with a shell of its own"
}
target "x" { image = stage.context }
target "y" { image = stage.fine }
`}, nil)
	want := []string{
		"02 HB7004", "03 HB7004", "04 HB7004", "05 HB7015", "06 HB7007", "07 HB7012", "08 HB7014",
		"09 HB7006", "09 HB7009", "10 HB7011", "11 HB7008", "13 HB7005", "13 HB7005", "15 HB7007", "19 HB7010", "20 HB7013",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestWorkdirsOfWindows: a directory with a drive is absolute.
func TestWorkdirsOfWindows(t *testing.T) {
	const module = `stage "a" {
  from    = image("mcr.example.com/nanoserver:1")
  workdir = %q
  set { workdir = "rel" }
}
target "default" { image = stage.a }
`
	for dir, want := range map[string]string{`C:\\app`: "", "c:/app": "", `\\app`: "", "C:app": "03 HB7011,04 HB7011"} {
		got := strings.Join(warnings(t, map[string]string{"hbuild.hcl": fmt.Sprintf(module, dir)}, nil), ",")
		if got != want {
			t.Errorf("%s: got %q, want %q", dir, got, want)
		}
	}
}

func TestDirectives(t *testing.T) {
	const module = `# hbuild: allow HB7010 signals do not matter here

# hbuild: deny HB7007
stage "a" {
  from = image("debian")
  cmd  = "x"
}
# The base is pinned by a mirror.
# hbuild: allow all
stage "b" {
  from = image("debian")
}
stage "c" {
  from = image("debian")
}
`
	got := strings.Join(warnings(t, map[string]string{"hbuild.hcl": module}, nil), ",")
	if want := "05 HB7007!,14 HB7007"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	got = strings.Join(warnings(t, map[string]string{"hbuild.hcl": module}, lint.Levels{"all": "deny"}), ",")
	if want := "05 HB7007!,14 HB7007!"; got != want {
		t.Errorf("with deny all: got %s, want %s", got, want)
	}
}

// TestUndefined: without an image's configuration, a variable is known to be unset
// over scratch, and suspected of it where it is another one with a slip.
func TestUndefined(t *testing.T) {
	got := strings.Join(warnings(t, map[string]string{"hbuild.hcl": `stage "empty" {
  from    = scratch
  args    = { APP = "x", NONE = null }
  workdir = "/$APP/$PATH/$NONE"
  user    = "$USER_ID"
  labels  = { a = "$${MISSING:-default}", b = "\\$TEXT" }
}
stage "built" {
  from = stage.empty
  copy {
    src  = "$APP"
    dest = "$DEST/"
  }
}
stage "image" {
  from    = image("alpine:3.22")
  env     = { APP_HOME = "/srv", JAVA8 = "8" }
  workdir = "$APP_HOEM/$APP_HOM/$BASE/$JAVA7"
  run {
    command = "echo $NOT_EXPANDED"
    mounts  = { "/$HOMEAPP" = tmpfs() }
  }
}
target "x" { image = stage.built }
target "y" { image = stage.image }
`}, nil), ",")
	if want := "05 HB4018,10 HB4018,18 HB4018,18 HB4018"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestMissing: what the context does not have, as a path or a pattern.
func TestMissing(t *testing.T) {
	const module = `context "default" {
  include = ["src", "/none", "src/*.c", "*.h", "**/*.go", "src/**/*.rs", "gone/**", "**"]
}
stage "a" {
  from = scratch
  copy { files = { "/1" = "src/a.*" } }
  copy { files = { "/2" = "src/b.*" } }
  copy { files = { "/3/" = ["src/a.c", "src/b.*"] } }
  copy { files = { "/may" = "src/b.[c]" } }
  copy { files = { "/be" = "src/lock*" } }
  copy {
    src      = "src/b.*"
    dest     = "/4"
    optional = true
  }
  run {
    command = ["x"]
    mounts  = { "/5" = mount(context.default, { source = "src/none" }), "/6" = mount(context.default, { source = "src" }) }
  }
}
target "x" { image = stage.a }
`
	m, diags := lang.Load(fstest.MapFS{"hbuild.hcl": {Data: []byte(module)}}, ".", lang.LoadOptions{})
	diags = append(diags, lang.Resolve(m, eval.Builtins())...)
	ev := eval.New(m, fstest.MapFS{"src/a.c": {}, "src/deep/a.go": {}}, nil, eval.Options{Check: true})
	ev.All()
	var got []string
	for _, d := range append(diags, ev.Diagnostics()...) {
		got = append(got, fmt.Sprintf("%d %s %s", d.Subject.Start.Line, diag.InfoOf(d).Code, d.Summary))
	}
	sort.Strings(got)
	want := []string{
		`18 HB7003 "src/none" is not in the context`,
		`2 HB7003 "*.h" matches nothing in the context`,
		`2 HB7003 "/none" is not in the context`,
		`2 HB7003 "gone/**" matches nothing in the context`,
		`2 HB7003 "src/**/*.rs" matches nothing in the context`,
		`7 HB7003 "src/b.*" matches nothing in the context`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
