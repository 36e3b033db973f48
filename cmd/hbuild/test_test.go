package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hbuild/hbuild/internal/testengine"
	"github.com/hbuild/hbuild/llb/solve"
)

// gated has tests that pass and that fail, and what they gate. ID makes its steps
// unlike those of any other build; code is what the test "bad" exits with.
const gated = `
-- hbuild.hcl --
variable "id" {}
variable "code" { default = "3" }

stage "base" {
  from = image("alpine:3.22")
  run { command = "echo ${var.id} > /base" }
}
artifact "base" {
  from = stage.base
  path = "/base"
}

test "unit" {
  description = "The base has its id."
  from        = stage.base
  env         = { WANT = var.id }
  run { command = "grep -q $WANT /base" }
}
test "slow" {
  matrix   = { n = ["1", "2"] }
  from     = stage.base
  no_cache = true
  run { command = "echo slow ${matrix.n}" }
}
test "bad" {
  from = stage.base
  run { command = "echo looking at ${var.id}; echo it is wrong; exit ${var.code}" }
}

target "base" {
  files    = { "out/first" = artifact.base }
  requires = [test.unit]
}
target "good" {
  files    = { "out/good" = artifact.base }
  requires = [target.base, test.slow]
}
target "gated" {
  files    = { "out/gated" = artifact.base }
  requires = [test.unit, test.bad]
}
target "image" {
  image    = stage.base
  tags     = ["registry.example/gated:1"]
  requires = [test.bad]
}
target "after" {
  files    = { "out/after" = artifact.base }
  requires = [target.image]
}
target "free" { files = { "out/free" = artifact.base } }

group "all" { targets = [target.good, target.gated, target.image, target.after, target.free] }
group "tests" { targets = [test.unit, test.slow] }
`

// TestTestGates: a failing test stops what it gates, that and nothing else, with
// --keep-going and without.
func TestTestGates(t *testing.T) {
	for _, flags := range [][]string{nil, {"--keep-going"}, {"-j", "1"}} {
		m := newModule(t, gated)
		id := unique()
		args := append([]string{"all", "--var", "id=" + id, "--metadata-file", "md.json"}, flags...)
		m.build(args...).exits(1).says(
			`The step "echo looking at `+id+`; echo it is wrong; exit 3" failed with exit code 3`, "hbuild.hcl:27:3, in test \"bad\"",
			"it is wrong", "Not done because of it: after, gated and image.",
			"test.unit passed", "test.bad failed", "gated skipped: test.bad failed", "after skipped: test.bad failed", "base done", "good done",
			"6 targets (3 done, 3 skipped), 4 tests (3 passed, 1 failed)")
		want := []string{"md.json", "out", "out/first", "out/free", "out/good"}
		if got := m.files(); !slices.Equal(got, want) {
			t.Errorf("%v: there are %v", flags, got)
		}
		md := m.metadata("md.json")
		if md.Result != solve.ResultFailed || md.Tests["test.bad"].Result != solve.ResultFailed || *md.Tests["test.bad"].Error.ExitCode != 3 ||
			md.Tests["test.bad"].Error.Source.Line != 27 || md.Tests["test.bad"].Error.Log[1] != "it is wrong" {
			t.Errorf("%v: metadata %+v", flags, md)
		}
		if g := md.Targets["target.gated"]; g.Result != solve.ResultSkipped || g.SkippedBy != "test.bad" || g.Tests["test.unit"] != solve.ResultPassed || g.Tests["test.bad"] != solve.ResultFailed || len(g.Files) > 0 {
			t.Errorf("%v: target.gated %+v", flags, g)
		}
		if i := md.Targets["target.image"]; i.Digest != "" || i.StepsRun+i.StepsCached != 1 {
			t.Errorf("%v: target.image was built, and stayed where it was: %+v", flags, i)
		}
		// What failed runs again, all else is there.
		m.build("all", "--var", "id="+id, "--var", "code=0").exits(0).says("test.bad passed 1 1", "test.unit passed 0 2", "6 targets, 4 tests in")
	}
}

// TestTestGatesPushes: what a failing test gates is not in the registry, and what
// another target pushes is; with --atomic nothing is.
func TestTestGatesPushes(t *testing.T) {
	m := newModule(t, gated)
	repository := testengine.Registry(t) + "/gates/" + strings.ToLower(unique())
	set := func(target string) []string {
		return []string{"--set", fmt.Sprintf(`%s.tags=["%s:%s"]`, target, repository, target), "--set", target + ".push=true"}
	}
	pushed := func(target string) bool {
		ref, err := name.ParseReference(repository + ":" + target)
		if err != nil {
			t.Fatal(err)
		}
		_, err = remote.Head(ref)
		return err == nil
	}
	m.write("hbuild.hcl", m.read("hbuild.hcl")+`
target "second" {
  image    = stage.base
  requires = [test.unit]
}
`)
	args := slices.Concat([]string{"image", "second", "--var", "id=" + unique()}, set("image"), set("second"))
	m.build(append(args, "--atomic")...).exits(1).saysNot("pushed ")
	if pushed("image") || pushed("second") {
		t.Error("--atomic has pushed")
	}
	m.build(args...).exits(1).says("pushed "+repository+":second@sha256:", "image skipped: test.bad failed").saysNot("pushed " + repository + ":image")
	if pushed("image") || !pushed("second") {
		t.Errorf("image is pushed: %v, second: %v", pushed("image"), pushed("second"))
	}
	m.build(append(args, "--atomic", "--var", "code=0")...).exits(0)
	if !pushed("image") {
		t.Error("image is not pushed although its test passes")
	}
}

// TestTestAtomic: with --atomic one failing test keeps everything from happening.
func TestTestAtomic(t *testing.T) {
	m := newModule(t, gated)
	id := "id=" + unique()
	m.build("all", "--var", id, "--atomic").exits(1).says("free skipped: test.bad failed", "6 targets (6 skipped)")
	if got := m.files(); len(got) > 0 {
		t.Errorf("there are %v", got)
	}
	m.build("all", "--var", id, "--var", "code=0", "--atomic").exits(0)
	if got := m.files(); len(got) != 6 {
		t.Errorf("there are %v", got)
	}
}

// TestTestCommand: which tests run, the table on standard output, exit codes.
func TestTestCommand(t *testing.T) {
	m := newModule(t, gated)
	id := "id=" + unique()
	test := func(args ...string) *output {
		t.Helper()
		return m.run(append([]string{"test", "--progress", "plain", "--var", id}, args...)...)
	}
	out := test().exits(1).says("it is wrong", "hbuild.hcl:27:3")
	for _, line := range []string{"TEST RESULT RUN CACHED TIME", "test.unit passed", "test.slow.1 passed", "test.slow.2 passed", "test.bad failed", "4 tests (3 passed, 1 failed)"} {
		if !strings.Contains(strings.Join(strings.Fields(out.stdout), " "), line) {
			t.Errorf("%q is not in\n%s", line, out.stdout)
		}
	}
	for _, c := range []struct {
		addrs []string
		want  string
	}{
		{[]string{"unit"}, "test.unit"},
		{[]string{"test.slow.2", "slow[1]", "unit"}, "test.slow.2 test.slow.1 test.unit"},
		{[]string{"good"}, "test.unit test.slow.1 test.slow.2"}, // by the target that it requires, too
		{[]string{"tests"}, "test.unit test.slow.1 test.slow.2"},
		{[]string{"sl*"}, "test.slow.1 test.slow.2"},
		{[]string{"goo*"}, "test.unit test.slow.1 test.slow.2"},
	} {
		out := test(c.addrs...).exits(0)
		var got []string
		for line := range strings.Lines(out.stdout) {
			if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, "test.") {
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%v ran %v, want %s", c.addrs, got, c.want)
		}
	}
	if got := m.files(); len(got) > 0 {
		t.Errorf("tests wrote %v", got)
	}
	test("unit", "--metadata-file", "md.json").exits(0)
	if md := m.metadata("md.json"); md.Result != solve.ResultDone || md.Tests["test.unit"].StepsCached != 2 || len(md.Targets) > 0 {
		t.Errorf("metadata %+v", md)
	}
	test("unit", "--no-cache", "--metadata-file", "md.json").exits(0)
	if md := m.metadata("md.json"); md.Tests["test.unit"].StepsRun != 2 {
		t.Errorf("metadata %+v", md)
	}
	test("slow", "--metadata-file", "md.json").exits(0)
	if one := m.metadata("md.json").Tests[`test.slow["1"]`]; one.StepsRun != 1 || one.StepsCached != 1 { // no_cache, over a base that is cached
		t.Errorf("metadata %+v", one)
	}
	test("free").exits(2).says(`"free" has no tests`)
	test("unti").exits(2).says(`Nothing is at the address "unti"`, `"unit"`)
	m.run("test", "unit").exits(2).says("id")
	m.build("unit", "--var", id).exits(0).says("test.unit: passed (0 steps run, 2 cached)")
	m.build("unit", "--var", id, "--push").exits(2).says("--push is for images")
	m.run("test", "--dry-run", "--var", id, "unit").exits(0)
}

// TestTestOfNothing: a module without tests has nothing to test, which is most
// likely a mistake of who asked.
func TestTestOfNothing(t *testing.T) {
	m := newModule(t, "-- hbuild.hcl --\nstage \"a\" { from = scratch }\n")
	m.run("test").exits(2).says("There are no tests")
}

// TestKeepGoingReportsAll: all failures are said at the end, each with what it
// stopped.
func TestKeepGoingReportsAll(t *testing.T) {
	m := newModule(t, gated+`
stage "broken" {
  from = stage.base
  run { command = "exit 9" }
}
target "broken" {
  image    = stage.broken
}
target "behind" {
  files    = { "out/behind" = artifact.base }
  requires = [target.broken]
}
`)
	id := "id=" + unique()
	m.build("gated", "behind", "free", "--var", id, "--keep-going").exits(1).says(
		"exit code 3", "Not done because of it: gated.", "exit code 9", "Not done because of it: behind.", "free done", "broken failed", "behind skipped: broken failed")
	if got := m.files(); !slices.Equal(got, []string{"out", "out/free"}) {
		t.Errorf("there are %v", got)
	}
	// Without it the first failure of a target ends the rest.
	m.build("behind", "free", "-j", "1", "--var", "id="+unique()).exits(1).says("exit code 9", "skipped: broken failed")
}

// TestManyTargets: progress and the table of very many targets are about those
// that have something to do.
func TestManyTargets(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
variable "id" {}
variable "odd" { default = "" }
stage "base" {
  from = image("alpine:3.22")
  run { command = "echo ${var.id} > /base" }
}
stage "svc" {
  for_each = toset([for i in range(60) : format("s%02d", i)])
  from     = stage.base
  run { command = "echo ${each.key} ${each.key == "s07" ? var.odd : ""} > /svc" }
}
target "svc" {
  for_each = toset([for i in range(60) : format("s%02d", i)])
  image    = stage.svc[each.key]
}
`)
	id := "id=" + unique()
	m.build("svc", "--var", id).exits(0).says("[svc.s07 1/1] echo s07", "svc.s07 done", "svc.s59 done", "60 targets in", "60 images are in the engine").saysNot("CACHED [")
	m.build("svc", "--var", id).exits(0).says("60 targets in", "0 steps run, 61 cached").saysNot("echo s07", "CACHED [", "RESULT")
	second := m.build("svc", "--var", id, "--var", "odd=odd").exits(0).says("svc.s07 done 1 1", "[svc.s07 1/1] echo s07 odd", "60 targets in").saysNot("echo s08", "CACHED [")
	if lines := strings.Count(second.stderr, "\n"); lines > 40 {
		t.Errorf("%d lines:\n%s", lines, second.stderr)
	}
	// A raw stream has everything.
	raw := m.run("build", "svc", "--var", id, "--progress", "rawjson").exits(0)
	n := 0
	for line := range strings.Lines(raw.stderr) {
		var st struct{ Vertexes []struct{ Name string } }
		if err := json.Unmarshal([]byte(line), &st); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		n += len(st.Vertexes)
	}
	if n < 120 {
		t.Errorf("%d vertexes in the raw stream", n)
	}
}

// TestTestRunsBesideItsTarget: neither the test nor a step of the target that it
// gates ends before the other has begun.
func TestTestRunsBesideItsTarget(t *testing.T) {
	m := newModule(t, `
-- hbuild.hcl --
variable "id" {}
cache "meeting" {}
function "meet" {
  params = [me, other]
  result = "touch /c/${me}-${var.id}; i=0; until [ -e /c/${other}-${var.id} ]; do i=$((i+1)); [ $i -lt 600 ] || exit 7; sleep 0.1; done"
}
stage "app" {
  from = image("alpine:3.22")
  run {
    command = meet("target", "test")
    mounts  = { "/c" = cache.meeting }
  }
}
test "app" {
  from = image("alpine:3.22")
  run {
    command = meet("test", "target")
    mounts  = { "/c" = cache.meeting }
  }
}
target "prod" {
  image    = stage.app
  requires = [test.app]
}
`)
	m.build("prod", "--var", "id="+unique()).exits(0).says("prod done 1 0", "test.app passed 1 0")
}
