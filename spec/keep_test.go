package spec

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/llb"
)

// keepCase is a module whose variables a Dockerfile leaves to its caller, or not.
type keepCase struct {
	name   string
	source string
	args   string // of ARGs, "NAME=variable" each
	fixed  string // the variables that are written out
	vars   map[string][]string
	has    []string // lines of the Dockerfile
}

const keepVersion = `
variable "v" {
  type    = string
  default = "1.26"
}
`

var keepCases = []keepCase{
	{name: "base", args: "v=v", vars: map[string][]string{"v": {"1.27", "1.25-bookworm"}}, has: []string{"ARG v=1.26", "FROM golang:${v} AS app"},
		source: keepVersion + `stage "app" {
  from = image("golang:${var.v}")
  run { command = "go version $v" }
}`},
	{name: "whole base", args: "base=base", vars: map[string][]string{"base": {"debian", "registry.example/x@sha256:1111111111111111111111111111111111111111111111111111111111111111"}},
		has: []string{"ARG base=alpine:3.22", "FROM ${base} AS app"}, source: `variable "base" {
  type    = string
  default = "alpine:3.22"
}
stage "app" {
  from = image(var.base)
  run { command = "true" }
}`},
	{name: "locals", args: "registry=registry,v=v", vars: map[string][]string{"v": {"2"}, "registry": {"localhost:5000"}}, has: []string{"FROM --platform=$BUILDPLATFORM ${registry}/go:${v}-x AS build"},
		source: keepVersion + `variable "registry" {
  type    = string
  default = "registry.example"
}
locals {
  tag = "${var.v}-x"
  go  = image("${var.registry}/go:${local.tag}", { platform = platform.build.id })
}
stage "build" {
  from = local.go
  run { command = "go build" }
}
stage "app" {
  from = scratch
  copy {
    from  = stage.build
    files = { "/" = "/x" }
  }
}`},
	{name: "arg", args: "VERSION=v", vars: map[string][]string{"v": {"2.0"}}, has: []string{"ARG VERSION=1.26"},
		source: keepVersion + `stage "app" {
  from = image("alpine")
  args = { FIRST = "$HOME", VERSION = var.v, LAST = "x$VERSION" }
  run { command = "echo $VERSION" }
}
target "app" {
  image = stage.app
  tags  = ["app:${var.v}"]
}`},
	{name: "odd values", args: "V=v", vars: map[string][]string{"v": {"", "a b", "#x", "=", "é"}}, has: []string{"ARG V=1.26"},
		source: keepVersion + `stage "app" {
  from = image("alpine")
  args = { V = var.v }
  run { command = "echo $V" }
}`},
	{name: "blank default", args: "V=v,W=w", vars: map[string][]string{"v": {"x"}, "w": {"y"}}, source: `variable "v" {
  type    = string
  default = "#a b"
}
variable "w" {
  type    = string
  default = ""
}
stage "app" {
  from = image("alpine:3${var.w}")
  args = { V = var.v }
  env  = { W = var.w }
  run { command = "echo $V" }
}`},
	{name: "arg and base", args: "GO=v", vars: map[string][]string{"v": {"1.27"}}, has: []string{"ARG GO=1.26", "FROM golang:${GO} AS a", "ARG GO"},
		source: keepVersion + `stage "a" {
  from = image("golang:${var.v}")
  args = { GO = var.v }
  run { command = "echo $GO" }
}
stage "app" {
  from = image("golang:${var.v}-alpine")
  run { command = "echo $GO" }
  set { args = { GO = "${var.v}" } }
  copy {
    from  = stage.a
    files = { "/" = "/x" }
  }
  run { command = "echo $GO" }
}`},
	{name: "env", args: "N=n,DEBUG=debug", vars: map[string][]string{"n": {"9"}, "debug": {"true"}}, has: []string{"ARG N=8", "    N=${N} \\", "ARG DEBUG=false", "ENV DEBUG=${DEBUG}"},
		source: `variable "n" {
  type    = number
  default = 8
}
variable "debug" {
  type    = bool
  default = false
}
stage "base" {
  from = image("rich")
  env  = { A = "$Q", N = var.n, Z = "z" }
  run { command = "echo $N" }
}
stage "app" {
  from = stage.base
  run { command = "echo $N $A" }
  set { env = { DEBUG = var.debug } }
  run { command = "echo $DEBUG" }
}`},
	{name: "instances", args: "V=v", vars: map[string][]string{"v": {"3"}}, has: []string{"FROM one/x:${V} AS app-one"},
		source: keepVersion + `stage "app" {
  for_each = toset(["one", "two"])
  from     = image("${each.key}/x:${var.v}")
  args     = { V = var.v }
  run { command = "echo $V" }
}
target "app" {
  files = {
    one = stage.app["one"]
    two = stage.app["two"]
  }
}`},
	{name: "sensitive and untyped", source: `variable "a" {
  default = "1"
}
variable "b" {
  type      = string
  default   = "x"
  sensitive = true
}
stage "app" {
  from = image("alpine:${var.a}")
  args = { A = var.a }
}`},
	{name: "command", fixed: "v", source: keepVersion + `stage "app" {
  from = image("golang:${var.v}")
  run { command = "echo ${var.v}" }
}`},
	{name: "condition", fixed: "v", source: keepVersion + `locals { old = var.v == "1.0" }
stage "app" {
  from = image("golang:${var.v}")
  run {
    enabled = local.old
    command = "true"
  }
}`},
	{name: "function", fixed: "v", source: keepVersion + `function "f" {
  params = [x]
  result = "${x}-${var.v}"
}
stage "app" {
  from = image("golang:${var.v}")
  args = { X = f("a") }
}`},
	{name: "default of another", fixed: "a", args: "b=b", vars: map[string][]string{"b": {"debian"}}, source: `variable "a" {
  type    = string
  default = "3.22"
}
variable "b" {
  type    = string
  default = "alpine:${var.a}"
}
stage "app" {
  from = image(var.b)
  args = { A = var.a }
  run { command = "true" }
}`},
	{name: "two names", fixed: "v", source: keepVersion + `stage "app" {
  from = image("alpine")
  args = { A = var.v, B = var.v }
}`},
	{name: "another value", fixed: "v", source: keepVersion + `stage "base" {
  from = image("alpine")
  args = { V = "fixed" }
}
stage "app" {
  from = stage.base
  args = { V = var.v }
}`},
	{name: "label of the target", fixed: "v", source: keepVersion + `stage "app" {
  from = image("golang:${var.v}")
}
target "app" {
  image  = stage.app
  labels = { version = var.v }
}`},
	{name: "predefined", fixed: "v", source: keepVersion + `stage "app" {
  from = image("alpine")
  args = { HTTP_PROXY = var.v }
}`},
	{name: "unexpandable name", fixed: "go-version", source: `variable "go-version" {
  type    = string
  default = "1"
}
stage "app" {
  from = image("golang:${var.go-version}")
}`},
	{name: "environment that is read", fixed: "v", source: keepVersion + `stage "app" {
  from = image("rich")
  env  = { OLD = "$Q", Q = var.v }
  run { command = "true" }
}`},
	{name: "trigger", fixed: "v", source: keepVersion + `stage "app" {
  from    = image("golang:${var.v}")
  onbuild = ["ARG v"]
}`},
	{name: "expanding value", source: `variable "v" {
  type    = string
  default = "$HOME"
}
stage "app" {
  from = image("alpine")
  args = { V = var.v }
}`},
	{name: "part of an argument", fixed: "v", source: keepVersion + `stage "app" {
  from = image("golang:${var.v}")
  args = { LDFLAGS = "-X main.v=${var.v}" }
}`},
}

// TestKeepArgs holds what is emitted with variables kept to the digest rule twice:
// as it is, and with a build argument against the module with the variable.
func TestKeepArgs(t *testing.T) {
	for _, c := range keepCases {
		t.Run(c.name, func(t *testing.T) {
			g, f := emitKept(t, c.source, nil)
			var args, fixed []string
			byVar := map[string]string{}
			for _, a := range f.Args {
				args = append(args, a.Name+"="+a.Variable)
				byVar[a.Variable] = a.Name
			}
			for _, v := range f.Inlined {
				fixed = append(fixed, v.Variable)
			}
			slices.Sort(args)
			want := strings.FieldsFunc(c.args, func(r rune) bool { return r == ',' })
			slices.Sort(want)
			if !slices.Equal(args, want) || strings.Join(fixed, ",") != c.fixed {
				t.Errorf("ARGs %q, want %q; written out %q, want %q", args, want, fixed, c.fixed)
			}
			for _, line := range c.has {
				if !slices.Contains(strings.Split(string(f.Dockerfile), "\n"), line) {
					t.Errorf("no line %q", line)
				}
			}
			sameBuild(t, f, nil, g)
			for name, values := range c.vars {
				for _, value := range values {
					if byVar[name] == "" {
						t.Fatalf("no ARG for %s", name)
					}
					with, _ := emitKept(t, c.source, map[string]string{name: value})
					sameBuild(t, f, map[string]string{"build-arg:" + byVar[name]: value}, with)
				}
			}
			if t.Failed() {
				t.Logf("\n%s", f.Dockerfile)
			}
		})
	}
}

func emitKept(t *testing.T, source string, vars map[string]string) (*ir.Graph, *dockerfile.File) {
	t.Helper()
	opt := compiler.Options{}
	opt.Provenance = true
	for name, value := range vars {
		opt.Vars = append(opt.Vars, eval.VarSource{Name: name, Source: lang.Source{Data: []byte(value)}, Origin: "--var"})
	}
	p := compiler.Load(fstest.MapFS{"hbuild.hcl": &fstest.MapFile{Data: []byte(source)}}, ".", opt)
	g, diags := p.Graph([]string{address(p.Module)}, nil)
	if diags.HasErrors() {
		t.Fatal(describe(diags))
	}
	f, diags := dockerfile.EmitWith(g, g.Targets[len(g.Targets)-1], dockerfile.Options{KeepArgs: true})
	if diags.HasErrors() {
		t.Fatal(describe(diags))
	}
	return g, f
}

// sameBuild compares what BuildKit makes of a Dockerfile with what hbuild makes of
// a module.
func sameBuild(t *testing.T, f *dockerfile.File, attrs map[string]string, g *ir.Graph) {
	t.Helper()
	caps := pb.Caps.CapSet(pb.Caps.All())
	all := maps.Clone(f.Attrs)
	maps.Copy(all, attrs)
	for _, req := range llb.Requests(g.Targets[len(g.Targets)-1]) {
		want, err := oracle.Convert(context.Background(), f.Dockerfile, oracle.Options{Attrs: all, Resolver: baseImages})
		if err != nil {
			t.Fatalf("BuildKit refuses the Dockerfile: %v\n%s", err, f.Dockerfile)
		}
		got, diags := llb.Lower(context.Background(), g, req, llb.Options{
			Resolver: baseImages, BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}, Caps: &caps, NoSourceMaps: true,
		})
		if diags.HasErrors() {
			t.Fatal(describe(diags))
		}
		def, err := got.Definition(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		diff, err := oracle.Compare(want.Def, def.ToPB())
		if err != nil {
			t.Fatal(err)
		}
		diff += oracle.CompareImages(want.Image, got.Image)
		if diff != "" {
			t.Errorf("with %v BuildKit makes another definition of the Dockerfile:\n%s", attrs, diff)
		}
	}
}
