package dockerfile

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

func q(s string) ir.Word {
	w, err := ir.Quote(s)
	if err != nil {
		panic(err)
	}
	return w
}

var mainContext = &ir.Context{Name: "default", Path: "."}

func graph(t *ir.Target) *ir.Graph {
	var roots []*ir.Stage
	for _, b := range t.Builds {
		roots = append(roots, b.Image, b.Files)
	}
	return &ir.Graph{Targets: []*ir.Target{t}, Stages: ir.Reach(roots...), Contexts: []*ir.Context{mainContext}}
}

func stage(name string, steps ...ir.Step) *ir.Stage {
	return &ir.Stage{Addr: "stage." + name, Name: name, Root: ir.ImageRoot{Ref: "debian"}, Steps: steps}
}

func target(s *ir.Stage) *ir.Target {
	return &ir.Target{Addr: "target.t", Name: "t", Builds: []*ir.Build{{Image: s}}}
}

func shell(line string) *ir.Run {
	return &ir.Run{Command: &ir.Command{Shell: true, Args: []string{line}}}
}

func TestEmitText(t *testing.T) {
	build := stage("build",
		&ir.Env{StepMeta: ir.StepMeta{Comment: []string{" How to compile.", "", "check=skip=all"}}, Pairs: []ir.WordKV{{Key: "CGO_ENABLED", Value: "0"}, {Key: "FLAGS", Value: q("-s -w")}}},
		&ir.Workdir{Path: "/src"},
		&ir.Run{Command: &ir.Command{Shell: true, Args: []string{"apt-get update &&   apt-get install --yes --no-install-recommends gcc &&   rm -rf /var/lib/apt"}}},
		&ir.Run{Command: &ir.Command{Shell: true, Args: []string{"make"}}, Network: ir.NetNone, Mounts: []ir.Mount{
			{Kind: ir.MountCache, Cache: &ir.Cache{ID: "/root/.cache"}, Target: "/root/.cache"},
			{Kind: ir.MountSecret, Secret: &ir.Secret{ID: "npm", Required: true}, Env: "NPM"},
			{Kind: ir.MountTmpfs, Target: "/t", Size: 64 << 20}}},
		shell("if a; then\n  b\nfi"),
		&ir.Run{Script: &ir.Text{Name: "x.py", Data: "#!/usr/bin/python3\nprint()\n"}},
		shell("ends in \\"))
	build.Comment = []string{" Compiles."}
	tools := ir.ImageSource{Ref: "busybox:1", Platform: &ir.Platform{Auto: "BUILDPLATFORM"}}
	app := stage("app",
		&ir.Copy{From: ir.StageSource{Stage: build}, Src: []ir.Word{q("/out/a b"), "/c"}, Dest: "/bin/", Chown: "1:1", Link: true},
		&ir.Copy{From: tools, Src: []ir.Word{"/bin/busybox"}, Dest: "/bin/"},
		&ir.Copy{Texts: []ir.Text{{Name: "EOF", Data: "a\n"}}, Dest: "/etc/a"},
		&ir.Healthcheck{Test: []string{"CMD-SHELL", "true"}, Interval: 90 * time.Minute},
		&ir.Entrypoint{Command: ir.Command{Args: []string{"/bin/a"}}})
	app.Root = ir.ImageRoot{Ref: "build"}
	tgt := target(app)
	tgt.Labels = []ir.KV{{Key: "a", Value: "it's"}}
	tgt.Comment = []string{" Ships it.", " syntax=docker/dockerfile:1"}
	f, diags := Emit(graph(tgt), tgt)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	want := `# target.t, written by hbuild: change the HCL files, not this one.
#
#   docker build \
#     --label 'a=it'\''s' \
#     .
# Ships it.

# Compiles.
FROM debian AS build
# How to compile.
#
ENV CGO_ENABLED=0 \
    FLAGS="-s -w"
WORKDIR /src
RUN apt-get update && \
  apt-get install --yes --no-install-recommends gcc && \
  rm -rf /var/lib/apt
RUN --mount=type=cache,target=/root/.cache \
    --mount=type=secret,id=npm,env=NPM,required \
    --mount=type=tmpfs,target=/t,size=64m \
    --network=none \
    make
RUN <<EOF
if a; then
  b
fi
EOF
RUN <<x.py
#!/usr/bin/python3
print()
x.py
RUN ["/bin/sh", "-c", "ends in \\"]

FROM --platform=$BUILDPLATFORM busybox:1 AS busybox-1-buildplatform

FROM docker.io/library/build:latest AS app
COPY --from=build --chown=1:1 --link ["\"/out/a b\"", "/c", "/bin/"]
COPY --from=busybox-1-buildplatform /bin/busybox /bin/
COPY <<"EOF" /etc/a
a
EOF
HEALTHCHECK --interval=1h30m \
            CMD true
ENTRYPOINT ["/bin/a"]
`
	if got := string(f.Dockerfile); got != want {
		t.Error(Diff("Dockerfile", []byte(want), f.Dockerfile))
	}
	if f.Target != "app" || f.Files != "" || f.IgnoreFile != nil {
		t.Errorf("%+v", f)
	}
}

// TestUnsupported is what no Dockerfile can say: each is an error at its step.
func TestUnsupported(t *testing.T) {
	text := func(s ir.Text) *ir.Copy { return &ir.Copy{Texts: []ir.Text{s}, Dest: "/x"} }
	mount := func(m ir.Mount) *ir.Run {
		r := shell("x")
		r.Mounts = []ir.Mount{m}
		return r
	}
	other := stage("other")
	yes := true
	env := []ir.KV{{Key: "A", Value: "b"}}
	for name, c := range map[string]struct {
		code diag.Code
		step ir.Step
	}{
		"env newline":      {CodeLineBreak, &ir.Env{Pairs: []ir.WordKV{{Key: "A", Value: q("a\nb")}}}},
		"label newline":    {CodeLineBreak, &ir.Label{Pairs: []ir.WordKV{{Key: "A", Value: q("a\nb")}}}},
		"workdir newline":  {CodeLineBreak, &ir.Workdir{Path: q("/a\nb")}},
		"label =":          {CodeWord, &ir.Label{Pairs: []ir.WordKV{{Key: q("a=b"), Value: "c"}}}},
		"arg key":          {CodeWord, &ir.Arg{Key: "a\"b"}},
		"split word":       {CodeWord, &ir.Env{Pairs: []ir.WordKV{{Key: "A", Value: `${X:-"a" b}`}}}},
		"expose":           {CodeWord, &ir.Expose{Ports: []ir.Word{`"80 81"`}}},
		"author":           {CodeLineBreak, &ir.Author{Author: "a\nb"}},
		"author empty":     {CodeLineBreak, &ir.Author{}},
		"healthcheck":      {CodeLineBreak, &ir.Healthcheck{Test: []string{"CMD-SHELL", "a\nb"}}},
		"healthcheck time": {CodeWord, &ir.Healthcheck{Test: []string{"CMD", "a"}, Timeout: time.Microsecond}},
		"clear":            {CodeClear, &ir.Clear{What: "expose"}},
		"onbuild":          {CodeTrigger, &ir.OnBuild{Trigger: "FROM x"}},
		"onbuild two":      {CodeTrigger, &ir.OnBuild{Trigger: "RUN a\nRUN b"}},
		"onbuild unknown":  {CodeTrigger, &ir.OnBuild{Trigger: "RUNN a"}},
		"hosts":            {CodeStepOption, &ir.Run{Command: shell("x").Command, Hosts: []ir.Host{{Name: "a", IP: "1.1.1.1"}}}},
		"ulimits":          {CodeStepOption, &ir.Run{Command: shell("x").Command, Ulimits: []ir.Ulimit{{Name: "a"}}}},
		"limits":           {CodeStepOption, &ir.Run{Command: shell("x").Command, Limits: ir.Limits{Memory: 1}}},
		"env exec":         {CodeEnvExec, &ir.Run{Command: &ir.Command{Args: []string{"a"}}, Env: env}},
		"env script":       {CodeEnvExec, &ir.Run{Script: &ir.Text{Name: "EOF", Data: "#!/x\n"}, Env: env}},
		"script end":       {CodeText, &ir.Run{Script: &ir.Text{Name: "EOF", Data: "#!/x\na"}}},
		"script lines end": {CodeText, &ir.Run{Script: &ir.Text{Name: "EOF", Data: "a\nb"}}},
		"script name":      {CodeText, &ir.Run{Script: &ir.Text{Name: "a b", Data: "#!/x\n"}}},
		"text end":         {CodeText, text(ir.Text{Name: "EOF", Data: "a"})},
		"text delimiter":   {CodeText, text(ir.Text{Name: "EOF", Data: "a\nEOF\nb\n"})},
		"text name":        {CodeText, text(ir.Text{Name: "a'b", Data: "a\n"})},
		"text dash":        {CodeText, text(ir.Text{Name: "-a", Data: "a\n"})},
		"text dest":        {CodeWord, &ir.Copy{Texts: []ir.Text{{Name: "a", Data: ""}}, Dest: q("/a b")}},
		"texts":            {CodeText, &ir.Copy{Texts: []ir.Text{{Name: "a", Data: ""}, {Name: "a", Data: ""}}, Dest: "/"}},
		"text long":        {CodeTooLong, text(ir.Text{Name: "a", Data: strings.Repeat("x", 70000) + "\n"})},
		"command long":     {CodeTooLong, shell(strings.Repeat("x", 70000))},
		"mounted text":     {CodeText, mount(ir.Mount{Kind: ir.MountBind, From: ir.TextSource{Text: ir.Text{Name: "a", Data: "$X\n", Expand: true}}, Target: "/x"})},
		"cache of context": {CodeStepOption, mount(ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "a", From: ir.ContextSource{Context: mainContext}}, Target: "/x"})},
		"mount unicode":    {CodeFlag, mount(ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "ü"}, Target: "/x"})},
		"exclude newline":  {CodeFlag, &ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: []ir.Word{"a"}, Dest: "/", Exclude: []string{"a\nb"}}},
		"unpack stage":     {CodeUnpack, &ir.Copy{From: ir.StageSource{Stage: other}, Src: []ir.Word{"a"}, Dest: "/", Unpack: &yes}},
		"unpack parents":   {CodeUnpack, &ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: []ir.Word{"a"}, Dest: "/", Unpack: &yes, Parents: true}},
	} {
		t.Run(name, func(t *testing.T) {
			at := hcl.Range{Filename: "hbuild.hcl", Start: hcl.Pos{Line: 3, Byte: 5}, End: hcl.Pos{Line: 3, Byte: 9}}
			c.step.Meta().Range = at
			if r, ok := c.step.(*ir.Run); ok {
				for i := range r.Mounts {
					r.Mounts[i].Range = at
				}
			}
			tgt := target(stage("app", c.step))
			tgt.Range = at
			f, diags := Emit(graph(tgt), tgt)
			if f != nil || len(diags) != 1 || diag.InfoOf(diags[0]).Code != c.code {
				t.Fatalf("want one %s: %v", c.code, diags)
			}
			if d := diags[0]; d.Subject == nil || *d.Subject != at || d.Detail == "" || Titles[c.code] == "" {
				t.Errorf("%+v", d)
			}
		})
	}
}

func TestAllErrorsReported(t *testing.T) {
	tgt := target(stage("app", &ir.Clear{What: "env"}, &ir.Author{}, &ir.Env{Pairs: []ir.WordKV{{Key: "A", Value: q("\n")}, {Key: "B", Value: q("\n")}}}))
	_, diags := Emit(graph(tgt), tgt)
	if len(diags) != 3 { // the two of ENV are one place and one summary
		t.Errorf("%d: %v", len(diags), diags)
	}
}

func TestNoCacheWarns(t *testing.T) {
	s := shell("x")
	s.NoCache = true
	tgt := target(stage("app", s))
	f, diags := Emit(graph(tgt), tgt)
	if f == nil || len(diags) != 1 || diags[0].Severity != hcl.DiagWarning || diag.InfoOf(diags[0]).Code != CodeNoCache {
		t.Errorf("%v", diags)
	}
}

// TestVariantErrorsOnce has one mistake in a stage that is evaluated for two
// platforms: it is one mistake.
func TestVariantErrorsOnce(t *testing.T) {
	tgt := &ir.Target{Addr: "target.t"}
	for _, arch := range []string{"amd64", "arm64"} {
		p := &ocispecs.Platform{OS: "linux", Architecture: arch}
		s := stage("app", shell(arch), &ir.Clear{What: "env"})
		s.For = p
		tgt.Builds = append(tgt.Builds, &ir.Build{Platform: p, Image: s})
	}
	if _, diags := Emit(graph(tgt), tgt); len(diags) != 1 {
		t.Errorf("%v", diags)
	}
}

func TestBadStageName(t *testing.T) {
	tgt := target(stage("1x"))
	_, diags := Emit(graph(tgt), tgt)
	if len(diags) != 1 || diag.InfoOf(diags[0]).Code != CodeName {
		t.Errorf("%v", diags)
	}
}

func TestForms(t *testing.T) {
	for text, want := range map[string]LineForm{
		"make all":                  FormLine,
		"[ -f x ] && y":             FormLine,
		"cat <<A >b\nx\nA":          FormLine,
		"--version":                 FormDashes,
		"a\nb":                      FormHeredoc,
		" a":                        FormHeredoc,
		"a ":                        FormHeredoc,
		`["a"]`:                     FormHeredoc,
		"[1]":                       FormHeredoc,
		"a <<EOF":                   FormHeredoc,
		"<<EOF":                     FormHeredoc,
		`a \`:                       FormExec,
		"#!/bin/sh\na":              FormExec,
		strings.Repeat("x ", 40000): FormExec,
	} {
		if got := RunForm(text); got != want {
			t.Errorf("%.40q: %d, want %d", text, got, want)
		}
	}
	if got := RunText("a\nb"); got != "a\nb\n" {
		t.Errorf("%q", got)
	}
}

func TestKnownShell(t *testing.T) {
	base := stage("base", &ir.Shell{Args: []string{"bash"}})
	last := shell("x")
	child := stage("child", shell("y"), &ir.Shell{Args: []string{"zsh"}}, last)
	child.Root = ir.StageRoot{Stage: base}
	for want, before := range map[string]ir.Step{"bash": child.Steps[0], "zsh": last} {
		if got := KnownShell(child, before, "linux"); got[0] != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if got := KnownShell(stage("x"), nil, "windows"); got[0] != "cmd" {
		t.Errorf("%v", got)
	}
}

func TestDiff(t *testing.T) {
	if d := Diff("Dockerfile", []byte("a\n"), []byte("a\n")); d != "" {
		t.Errorf("%q", d)
	}
	want := "--- Dockerfile\n+++ Dockerfile (emitted)\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n"
	if d := Diff("Dockerfile", []byte("a\nb"), []byte("a\nc\n")); d != want {
		t.Errorf("%q", d)
	}
}

func TestIgnoreFile(t *testing.T) {
	dt, ok := ignoreFile([]string{"**", "!#x", "#y", "a b"})
	if !ok || string(dt) != "**\n!#x\n/#y\na b\n" {
		t.Errorf("%v %q", ok, dt)
	}
	for _, bad := range []string{"a\nb", " a", ""} {
		if _, ok := ignoreFile([]string{bad}); ok {
			t.Errorf("%q", bad)
		}
	}
}

func ExampleTrigger() {
	text, err := Trigger("RUN a && \\\n    b")
	fmt.Printf("%q %v\n", text, err)
	// Output: "RUN a &&     b" <nil>
}
