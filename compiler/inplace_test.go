package compiler_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

const legacyDockerfile = `ARG VERSION=3.22
FROM alpine:$VERSION AS base
ENV A=1 B=$A
FROM base AS build
ARG MODE=debug
ARG TARGETARCH
WORKDIR /src
COPY go.* ./
RUN --mount=type=cache,target=/root/.cache,id=go make $MODE $TARGETARCH
RUN --network=none --mount=type=secret,id=token,required --mount=type=ssh make check
FROM base
ARG TARGETSTAGE
RUN echo $TARGETSTAGE
COPY --from=build /src/app /app
USER 1000
CMD ["/app"]
`

// legacyTree is a module with a Dockerfile beside it, a stage called as one of
// the Dockerfile's.
func legacyTree(stages string) fstest.MapFS {
	return fstest.MapFS{
		"hbuild.hcl":                  {Data: []byte(stages + "\nstage \"base\" { from = scratch }\nsecret \"token\" { env = \"TOKEN\" }\nssh \"default\" {}\ncontext \"docs\" { path = \"docs\" }\n")},
		"docker/Dockerfile":           {Data: []byte(legacyDockerfile)},
		"own/Dockerfile":              {Data: []byte(legacyDockerfile)},
		"own/Dockerfile.dockerignore": {Data: []byte("own\n")},
		"docs/a.md":                   {Data: []byte("a")},
		"go.mod":                      {Data: []byte("module x")},
		".dockerignore":               {Data: []byte("*.md\n")},
	}
}

// TestDockerfileInPlace: a stage of a Dockerfile that is used in place has the
// digest and the image that BuildKit gives the Dockerfile, and so has what is
// emitted of it.
func TestDockerfileInPlace(t *testing.T) {
	for _, c := range []struct {
		name, from, platform string
		attrs                map[string]string
		emit                 string // the code that says why no Dockerfile can have it
	}{
		{"last stage", `dockerfile("./docker/Dockerfile")`, "linux/amd64", nil, ""},
		{"target and args", `dockerfile("docker/Dockerfile", { target = "build", args = { MODE = "it's $5", VERSION = "3.22" } })`, "linux/amd64", map[string]string{"target": "build", "build-arg:MODE": "it's $5", "build-arg:VERSION": "3.22"}, ""},
		{"another platform", `dockerfile("docker/Dockerfile", { target = "build" })`, "linux/arm64", map[string]string{"target": "build"}, ""},
		{"a text", `dockerfile({ text = file("docker/Dockerfile") })`, "linux/amd64", nil, ""},
		{"a context", `dockerfile("docker/Dockerfile", { context = context.default })`, "linux/amd64", nil, ""},
		{"platform", `dockerfile("docker/Dockerfile", { target = "build", platform = "linux/arm64" })`, "linux/amd64", map[string]string{"target": "build", "platform": "linux/arm64"}, ""},
		{"labels", `dockerfile("docker/Dockerfile", { labels = { a = "$b", c = "d e" } })`, "linux/amd64", map[string]string{"label:a": "$b", "label:c": "d e"}, ""},
		{"network", `dockerfile("docker/Dockerfile", { target = "build", network = "host" })`, "linux/amd64", map[string]string{"target": "build", "force-network-mode": "host"}, ""},
		{"hosts", `dockerfile("docker/Dockerfile", { target = "build", hosts = { One = "10.0.0.1", two = "::1" } })`, "linux/amd64", map[string]string{"target": "build", "add-hosts": "One=10.0.0.1,two=::1"}, "HB5005"},
		{"ulimits", `dockerfile("docker/Dockerfile", { target = "build", ulimits = { nofile = "1024:2048" } })`, "linux/amd64", map[string]string{"target": "build", "ulimit": "nofile=1024:2048"}, "HB5005"},
		{"no cache", `dockerfile("docker/Dockerfile", { no_cache = true })`, "linux/amd64", map[string]string{"no-cache": ""}, "HB5013"},
		{"no cache of a stage", `dockerfile("docker/Dockerfile", { target = "build", no_cache = ["Build"] })`, "linux/amd64", map[string]string{"target": "build", "no-cache": "build"}, "HB5013"},
		{"secrets", `dockerfile("docker/Dockerfile", { target = "build", secrets = { token = secret.token }, ssh = [ssh.default] })`, "linux/amd64", map[string]string{"target": "build"}, ""},
		{"an image for an image", `dockerfile("docker/Dockerfile", { target = "build", contexts = { "docker.io/library/alpine:3.22" = image("busybox:3.22") } })`, "linux/amd64", map[string]string{"target": "build"}, ""},
		{"an image for a stage", `dockerfile("docker/Dockerfile", { target = "build", contexts = { Base = image("busybox:3.22") } })`, "linux/amd64", map[string]string{"target": "build"}, ""},
		{"a context for a stage", `dockerfile("docker/Dockerfile", { contexts = { build = context.docs } })`, "linux/amd64", map[string]string{"context:build": "local:docs"}, ""},
		{"its own ignore file", `dockerfile("own/Dockerfile", { target = "build" })`, "linux/amd64", map[string]string{"target": "build"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := compiler.Load(legacyTree("stage \"legacy\" {\n  from = "+c.from+"\n}\ntarget \"default\" {\n  image = stage.legacy\n  platforms = [\""+c.platform+"\"]\n}\n"), ".", compiler.Options{})
			g, diags := p.Graph(nil, nil)
			if len(diags) > 0 {
				t.Fatal(text(p, diags))
			}
			ctx, target := context.Background(), g.Targets[0]
			opt := oracle.Options{Attrs: map[string]string{"platform": c.platform}, Ignore: map[string][]byte{".dockerignore": []byte("*.md\n")}}
			if strings.Contains(c.from, "own/") {
				opt.Ignore["Dockerfile.dockerignore"] = []byte("own\n")
			}
			for k, v := range c.attrs {
				opt.Attrs[k] = v
			}
			src := legacyDockerfile
			switch c.name { // BuildKit does not pin an image that stands for another: write it down
			case "an image for an image":
				src = strings.Replace(src, "alpine:", "busybox:", 1)
			case "an image for a stage":
				src = strings.Replace(strings.Replace(src, "alpine:", "busybox:", 1), "ENV A=1 B=$A\n", "", 1)
			}
			want, err := oracle.Convert(ctx, []byte(src), opt)
			if err != nil {
				t.Fatal(err)
			}
			caps := pb.Caps.CapSet(pb.Caps.All())
			got, diags := llb.Lower(ctx, g, llb.Requests(target)[0], llb.Options{Resolver: oracle.Images{}, Caps: &caps, BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}})
			if diags.HasErrors() {
				t.Fatal(text(p, diags))
			}
			def, err := got.Definition(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if c.attrs["platform"] != "" {
				want.Image.Platform = got.Image.Platform // the image is the target's, and for its platform
			}
			diff, err := oracle.Compare(want.Def, def.ToPB())
			if err != nil || diff+oracle.CompareImages(want.Image, got.Image) != "" {
				t.Errorf("%v %s%s", err, diff, oracle.CompareImages(want.Image, got.Image))
			}
			file, diags := dockerfile.Emit(g, target)
			if c.emit != "" {
				if len(diags) == 0 || string(diag.InfoOf(diags[0]).Code) != c.emit {
					t.Errorf("emitted: want %s, got\n%s", c.emit, text(p, diags))
				}
				return
			}
			if diags.HasErrors() {
				t.Fatal(text(p, diags))
			}
			opt.Attrs = map[string]string{"target": file.Target}
			for k, v := range file.Attrs {
				opt.Attrs[k] = v
			}
			if file.IgnoreFile != nil {
				opt.Ignore["Dockerfile.dockerignore"] = file.IgnoreFile
			}
			again, err := oracle.Convert(ctx, file.Dockerfile, opt)
			if err != nil {
				t.Fatalf("%v\n%s", err, file.Dockerfile)
			}
			if diff, err := oracle.Compare(want.Def, again.Def); err != nil || diff != "" {
				t.Errorf("emitted: %v %s\n%s", err, diff, file.Dockerfile)
			}
			for _, st := range g.Stages {
				if at := st.Range.Filename; strings.HasPrefix(st.Addr, "dockerfile(") && !strings.Contains(at, "Dockerfile") {
					t.Errorf("%s is at %s, which is not the Dockerfile", st.Addr, st.Range)
				}
			}
		})
	}
}

// TestDockerfileUsedEverywhere: what dockerfile() gives is a stage to copies,
// mounts and artifacts, too.
func TestDockerfileUsedEverywhere(t *testing.T) {
	p := compiler.Load(legacyTree(`locals { old = dockerfile("docker/Dockerfile", { target = "build" }) }
artifact "app" {
  from = local.old
  path = "/src/app"
}
stage "new" {
  from = image("alpine:3.22")
  copy {
    from = local.old
    src  = "/src/app"
    dest = "/a"
  }
  run {
    command = "ls /old"
    mounts  = { "/old" = local.old }
  }
  copy { files = { "/b" = artifact.app } }
}
target "default" { image = stage.new }
`), ".", compiler.Options{})
	g, diags := p.Graph(nil, nil)
	if len(diags) > 0 {
		t.Fatal(text(p, diags))
	}
	if len(g.Stages) != 3 { // base, build, new: one import for all three uses
		t.Errorf("%d stages", len(g.Stages))
	}
}

// TestDockerfileTwoMainContexts: one Dockerfile cannot read a directory by two
// ignore files.
func TestDockerfileTwoMainContexts(t *testing.T) {
	p := compiler.Load(legacyTree("stage \"both\" {\n  from = dockerfile(\"own/Dockerfile\", { target = \"build\" })\n  copy { files = { \".\" = \"go.mod\" } }\n}\ntarget \"default\" { image = stage.both }\n"), ".", compiler.Options{})
	g, diags := p.Graph(nil, nil)
	if len(diags) > 0 {
		t.Fatal(text(p, diags))
	}
	if _, diags := dockerfile.Emit(g, g.Targets[0]); len(diags) != 1 || diag.InfoOf(diags[0]).Code != dockerfile.CodeMainContext {
		t.Error(text(p, diags))
	}
}

// TestDockerfileMistakes: a mistake is reported in the Dockerfile, or at the call.
func TestDockerfileMistakes(t *testing.T) {
	for _, c := range []struct{ from, code, at string }{
		{`dockerfile({ text = "FROM alpine:3.22\nRUNN x\n" })`, "HB8001", "Dockerfile at hbuild.hcl:2:2"},
		{`dockerfile("docker/Dockerfil")`, "HB3027", "hbuild.hcl:2"},
		{`dockerfile("../Dockerfile")`, "HB3026", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { target = "biuld" })`, "HB8003", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { args = { MOD = "x" } })`, "HB8009", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { contexts = { biuld = context.docs } })`, "HB8009", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { contexts = { build = secret.token } })`, "HB3002", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { contexts = [context.docs] })`, "HB3001", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { target = "build", secrets = { tokn = secret.token } })`, "HB8009", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { target = "build", ssh = { other = ssh.default } })`, "HB8009", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { no_cache = ["bild"] })`, "HB8009", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { no_cache = { a = 1 } })`, "HB3001", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { context = git("https://example.com/a.git", { keep_git_dir = true }) })`, "HB3002", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { context = image("alpine:3.22") })`, "HB3002", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { network = "hots" })`, "HB3018", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { hosts = { a = "b" } })`, "HB3036", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { ulimits = { nofil = 1 } })`, "HB3037", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { labels = "a" })`, "HB3001", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { platform = "linux amd64" })`, "HB3012", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { tagret = "build" })`, "HB3042", "hbuild.hcl:2"},
		{`dockerfile(stage.base)`, "HB3001", "hbuild.hcl:2"},
		{`dockerfile({ text = "FROM alpine:3.22\nCOPY missing /\n" })`, "HB7003", "Dockerfile at hbuild.hcl:2:2"},
	} {
		p := compiler.Load(legacyTree("stage \"legacy\" {\n  from = "+c.from+"\n}\ntarget \"default\" { image = stage.legacy }\n"), ".", compiler.Options{})
		_, diags := p.Graph(nil, nil)
		if len(diags) != 1 || string(diag.InfoOf(diags[0]).Code) != c.code || !strings.HasPrefix(diags[0].Subject.String(), c.at+",") && !strings.HasPrefix(diags[0].Subject.String(), c.at+":") {
			t.Errorf("%s: want %s at %s, got\n%s", c.from, c.code, c.at, text(p, diags))
		}
	}
}
