package compiler_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// quarrel is a tree of modules that meet in all that modules share: names of stages
// and contexts that are alike, one directory that many call, stages and contexts that
// no block declares, and mistakes in one place that many calls have.
func quarrel(n int) fstest.MapFS {
	fsys := fstest.MapFS{}
	file := func(name, text string) { fsys[name] = &fstest.MapFile{Data: []byte(text)} }
	file("hbuild.hcl", fmt.Sprintf(`
module "svc" {
  for_each = toset([for i in range(%[1]d) : format("s%%d", i)])
  source   = "./template"
  name     = each.key
  size     = each.key == "s7" ? "large" : "small"
}
module "own" {
  for_each = toset([for i in range(%[1]d) : format("m%%d", i)])
  source   = "./own/${each.key}"
}
module "a-b" { source = "./own/m0" }
module "a" { source = "./own/m1" }
module "given" {
  for_each = toset(["x", "y", "z"])
  source   = "./given"
  base     = module.svc["s1"].image
  tool     = artifact.tool
  mounts   = { "/c" = cache.c, "/s" = mount(secret.s, { required = false }), "/m" = merge([stage.varies, stage.tools]) }
}
module "shared" {
  for_each = toset([for i in range(%[1]d) : format("g%%d", i)])
  source   = "./given"
  base     = each.key == "g2" ? stage.varies : module.svc["s2"].image
  tool     = artifact.tool
  mounts   = { "/c" = cache.c, "/s" = mount(secret.s, { required = false }), "/m" = merge([stage.tools, image("debian:13")]) }
}
stage "tools" {
  from = image("alpine:3.22")
  run { command = "make tools" }
}
stage "varies" {
  from = image("alpine:3.22")
  args = { ARCH = platform.target.arch }
}
artifact "tool" {
  from = stage.tools
  path = "/tool"
}
cache "c" {}
secret "s" { env = "S" }
module "broken" { source = "./broken" }
context "default" { exclude = ["own/m5", "**/*.log"] }
stage "svc-s3-app" { from = image("alpine:3.22") }
target "root" { image = stage.svc-s3-app }
`, n))
	file("template/hbuild.hcl", `
variable "name" { type = string }
variable "size" { type = string }
context "extra" {
  path        = "."
  ignore_file = "no-such-file"
}
stage "app" {
  from   = image("alpine:3.22")
  labels = { name = var.name, size = { small = 1 }[var.size] }
  copy { files = { "/" = ["x", "missing"] } }
  run {
    command = "true"
    mounts  = { "/h" = http("https://example.com/f"), "/o" = oci_layout("layout"), "/e" = context.extra }
  }
}
stage "both" { from = merge([stage.app, image("busybox:1.37")]) }
stage "file" {
  from = dockerfile({ text = "FROM alpine:3.22\nCOPY x y /\n" })
}
output "image" { value = stage.app }
target "app" {
  image = stage.both
  files = { "out/${var.name}" = stage.file }
  tags  = ["example/${var.name}"]
}
module "inner" {
  source = "../inner"
  name   = var.name
}
`)
	file("template/x", "x")
	file("template/layout/index.json", "{}")
	file("inner/hbuild.hcl", `
variable "name" { type = string }
stage "app" {
  from = scratch
  copy { files = { "/" = "nothing" } }
}
target "t" {
  image       = stage.app
  description = bad
  tags        = ["example/Inner-${var.name}"]
}
`)
	for i := range n {
		file(fmt.Sprintf("own/m%d/hbuild.hcl", i), fmt.Sprintf(`
stage "b-app" {
  from = image("alpine:3.22")
  copy { files = { "/" = "f%d" } }
}
stage "app" {
  from = stage.b-app
  env  = { GIT = git.commit }
}
target "t" {
  image     = stage.app
  platforms = ["linux/amd64", "linux/arm64"]
}
`, i))
		file(fmt.Sprintf("own/m%d/f%d", i, i%3*i), "f")
	}
	file("given/hbuild.hcl", `
variable "base" { type = stage }
variable "tool" { type = artifact }
variable "mounts" {}
stage "app" {
  from = var.base
  copy { files = { "/" = "y", "/tool" = var.tool } }
  run {
    command = "true"
    mounts  = var.mounts
  }
}
target "t" { image = stage.app }
`)
	file("broken/hbuild.hcl", `stage "s" { from = imaage("x") }`)
	return fsys
}

// outcome is all that compiling a tree gives, as text.
func outcome(fsys fstest.MapFS) string {
	asked := 0
	p := compiler.Load(fsys, ".", compiler.Options{Options: eval.Options{Check: true, Git: func() *eval.Git {
		asked++
		return &eval.Git{Commit: fmt.Sprint("commit", asked)}
	}}})
	diags := p.Check()
	g := &ir.Graph{Stages: ir.Reach(p.Evaluator().Stages()...)}
	contexts := map[*ir.Context]bool{}
	for _, st := range g.Stages {
		st.Contexts(func(c *ir.Context) {
			if !contexts[c] {
				contexts[c] = true
				g.Contexts = append(g.Contexts, c)
			}
		})
	}
	var b strings.Builder
	b.WriteString(ir.Print(g))
	for _, c := range g.Contexts {
		fmt.Fprintln(&b, c.Name, c.Range)
	}
	for _, m := range p.Evaluator().Modules() {
		fmt.Fprintln(&b, m.Dir)
	}
	describe(&b, diags)
	return b.String()
}

func describe(b *strings.Builder, diags hcl.Diagnostics) {
	for _, d := range diags {
		info := diag.InfoOf(d)
		fmt.Fprintln(b, d.Subject, info.Code, d.Summary, d.Detail)
		for _, r := range info.Related {
			fmt.Fprintln(b, "  ", r)
		}
	}
}

// TestSideBySide compiles one tree with one processor and with many, and wants the
// same stages, names, contexts and mistakes.
func TestSideBySide(t *testing.T) {
	fsys := quarrel(12)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	want := outcome(fsys)
	for _, text := range []string{"svc-s3-app-2", "commit1", "imaage", `"large"`, "The same goes for", "layout-layout", "no-such-file", "y to /"} {
		if !strings.Contains(want, text) {
			t.Errorf("the tree has nothing of %q, and tests less than it should:\n%s", text, want)
		}
	}
	runtime.GOMAXPROCS(8)
	for range 15 {
		if got := outcome(fsys); got != want {
			t.Fatalf("with 8 processors there is\n%s\nand with one\n%s", without(got, want), without(want, got))
		}
	}
}

// without are the lines of a text that another one has not.
func without(text, other string) string {
	has := map[string]bool{}
	for line := range strings.Lines(other) {
		has[line] = true
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !has[line] {
			b.WriteString(line)
		}
	}
	return b.String()
}
