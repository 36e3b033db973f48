package llb_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

// named finds the variable in hbuild's warning and in BuildKit's.
var named = regexp.MustCompile(`(?:Nothing sets |undefined variable ')\$(\w+)`)

// TestUndefined has the variables that nothing sets, and compares with what
// BuildKit's linter says of the emitted Dockerfile.
func TestUndefined(t *testing.T) {
	ctx := ir.ContextSource{Context: mainContext}
	base := stage("base", "rich", &ir.Arg{Key: "DECLARED"}, &ir.Env{Pairs: kvs("SET", "1")})
	for name, c := range map[string]struct {
		steps []ir.Step
		want  []string
		more  []string // what BuildKit warns of besides, although a default says what is meant
	}{
		"set by the base image": {[]ir.Step{&ir.Workdir{Path: q("/$Q/$PATH")}}, nil, nil},
		"set by the base stage": {[]ir.Step{&ir.Workdir{Path: q("/$SET$DECLARED")}}, nil, nil},
		"unset":                 {[]ir.Step{&ir.Workdir{Path: q("/${NO1}$NO2")}}, []string{"NO1", "NO2"}, nil},
		"set later":             {[]ir.Step{&ir.User{User: q("u$LATER")}, &ir.Env{Pairs: kvs("LATER", "x$LATER")}}, []string{"LATER", "LATER"}, nil},
		"label, env, copy": {[]ir.Step{&ir.Label{Pairs: kvs("a$L", "$M")}, &ir.Env{Pairs: kvs("X", "$E")}, &ir.Copy{From: ctx, Src: qs("f$S"), Dest: q("/d$D"), Chown: q("u$C")}},
			[]string{"C", "D", "E", "L", "M", "S"}, nil},
		"argument's default":          {[]ir.Step{&ir.Arg{Key: "A", Value: ptr(q("$B"))}}, []string{"B"}, nil},
		"mount":                       {[]ir.Step{run("x", ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "c"}, Target: q("/c$M")})}, []string{"M"}, nil},
		"text":                        {[]ir.Step{&ir.Copy{Texts: []ir.Text{{Name: "a", Data: "$T ${U#x}\n", Expand: true}, {Name: "b", Data: "$V\n"}}, Dest: q("/")}}, []string{"T", "U"}, nil},
		"default":                     {[]ir.Step{&ir.Workdir{Path: q("/${D1:-x}${D2-}${D3:+y}${D4:-$N}")}}, []string{"N"}, []string{"D1", "D2", "D3", "D4"}},
		"both":                        {[]ir.Step{&ir.Workdir{Path: q("/${D1:-x}$D1")}}, []string{"D1"}, nil},
		"command":                     {[]ir.Step{sh("echo $NO")}, nil, nil},
		"not an environment variable": {[]ir.Step{&ir.Env{Pairs: kvs("X", "$BUILDKIT_SBOM_SCAN_STAGE")}}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for i, s := range c.steps {
				s.Meta().Range = hcl.Range{Filename: "hbuild.hcl", Start: hcl.Pos{Line: i + 1, Byte: 10 * i}, End: hcl.Pos{Line: i + 1, Byte: 10*i + 5}}
			}
			g, target := graph(on(base, "app", c.steps...))
			_, diags := llb.Lower(context.Background(), g, llb.Requests(target)[0], options)
			var got, theirs []string
			for _, d := range diags {
				if d.Severity != hcl.DiagWarning || diag.InfoOf(d).Code != llb.CodeUndefined {
					t.Errorf("%s", messages(hcl.Diagnostics{d}))
				}
				got = append(got, named.FindStringSubmatch(d.Summary)[1])
			}
			slices.Sort(got)
			if !slices.Equal(got, c.want) {
				t.Errorf("warnings about %q, not %q", got, c.want)
			}
			file, diags := dockerfile.Emit(g, target)
			if diags.HasErrors() {
				t.Fatal(messages(diags))
			}
			res, err := oracle.Convert(context.Background(), file.Dockerfile, oracle.Options{Attrs: file.Attrs, Resolver: images})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range res.Warnings {
				if m := named.FindStringSubmatch(w); m != nil {
					theirs = append(theirs, m[1])
				}
			}
			slices.Sort(theirs)
			want := append(slices.Clone(c.want), c.more...)
			slices.Sort(want)
			if !slices.Equal(theirs, want) {
				t.Errorf("BuildKit warns about %q, not %q\n%s", theirs, want, file.Dockerfile)
			}
		})
	}
}

// TestUndefinedHint names what was meant, and each place once for all platforms.
func TestUndefinedHint(t *testing.T) {
	s := stage("app", "debian", &ir.Env{Pairs: kvs("APP_HOME", "/srv")}, &ir.Workdir{Path: q("$APP_HOM")})
	g, target := graph(s)
	target.Builds = []*ir.Build{{Platform: &oracle.BuildPlatform, Image: s}, {Platform: armv7, Image: s}}
	_, diags := llb.LowerAll(context.Background(), g, llb.Requests(target), options)
	if len(diags) != 1 || !strings.Contains(diags[0].Detail, "Did you mean") || !strings.Contains(diags[0].Detail, "APP_HOME") {
		t.Errorf("%s", messages(diags))
	}
}

// TestBasePlatform has images that a registry gives out for a platform that they
// are not made for.
func TestBasePlatform(t *testing.T) {
	const layer = `"rootfs": {"type": "layers", "diff_ids": ["sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d"]}`
	image := func(os, arch, more string) string {
		return fmt.Sprintf(`{"linux/amd64": {"digest": "sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d", "config": {"os": %q, "architecture": %q, %s}}}`, os, arch, more)
	}
	m, err := llb.ReadImages(strings.NewReader(`{"good": ` + image("linux", "amd64", layer) + `, "arm": ` + image("linux", "arm64", layer) +
		`, "none": ` + image("", "", layer) + `, "empty": ` + image("linux", "arm64", `"rootfs": {"type": "layers"}`) + `}`))
	if err != nil {
		t.Fatal(err)
	}
	opt := options
	opt.Resolver = m
	tool := ir.ImageSource{Ref: "arm"}
	for name, c := range map[string]struct {
		stage *ir.Stage
		want  string
	}{
		"the platform asked for": {stage("a", "good", sh("x")), ""},
		"another":                {stage("a", "arm", sh("x")), "docker.io/library/arm:latest was asked for as linux/amd64, and its configuration says linux/arm64."},
		"none":                   {stage("a", "none", sh("x")), "configuration says none."},
		"without layers":         {stage("a", "empty", sh("x")), ""},
		"a copy's":               {stage("a", "good", &ir.Copy{From: tool, Src: qs("/x"), Dest: q("/")}), "says linux/arm64"},
	} {
		g, target := graph(c.stage)
		_, diags := llb.Lower(context.Background(), g, llb.Requests(target)[0], opt)
		switch {
		case c.want == "" && len(diags) == 0:
		case c.want == "" || len(diags) != 1 || diags[0].Severity != hcl.DiagWarning || diag.InfoOf(diags[0]).Code != llb.CodeBasePlatform || !strings.Contains(diags[0].Detail, c.want):
			t.Errorf("%s: %q", name, messages(diags))
		}
	}
}
