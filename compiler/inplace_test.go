package compiler_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/containerd/platforms"
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
FROM base
COPY --from=build /src/app /app
USER 1000
CMD ["/app"]
`

// legacyTree is a module with a Dockerfile beside it, a stage called as one of
// the Dockerfile's.
func legacyTree(stages string) fstest.MapFS {
	return fstest.MapFS{
		"hbuild.hcl":        {Data: []byte(stages + "\nstage \"base\" { from = scratch }\n")},
		"docker/Dockerfile": {Data: []byte(legacyDockerfile)},
		"go.mod":            {Data: []byte("module x")},
		".dockerignore":     {Data: []byte("*.md\n")},
	}
}

// TestDockerfileInPlace: a stage of a Dockerfile that is used in place has the
// digest and the image that BuildKit gives the Dockerfile, and so has what is
// emitted of it.
func TestDockerfileInPlace(t *testing.T) {
	for _, c := range []struct {
		name, from, platform string
		attrs                map[string]string
	}{
		{"last stage", `dockerfile("./docker/Dockerfile")`, "linux/amd64", nil},
		{"target and args", `dockerfile("docker/Dockerfile", { target = "build", args = { MODE = "it's $5", VERSION = "3.22" } })`, "linux/amd64", map[string]string{"target": "build", "build-arg:MODE": "it's $5", "build-arg:VERSION": "3.22"}},
		{"another platform", `dockerfile("docker/Dockerfile", { target = "build" })`, "linux/arm64", map[string]string{"target": "build"}},
		{"a text", `dockerfile({ text = file("docker/Dockerfile") })`, "linux/amd64", nil},
		{"a context", `dockerfile("docker/Dockerfile", { context = context.default })`, "linux/amd64", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := compiler.Load(legacyTree("stage \"legacy\" {\n  from = "+c.from+"\n}\ntarget \"default\" {\n  image = stage.legacy\n  platforms = [\""+c.platform+"\"]\n}\n"), ".", compiler.Options{})
			g, diags := p.Graph(nil, nil)
			if len(diags) > 0 {
				t.Fatal(text(p, diags))
			}
			ctx, target := context.Background(), g.Targets[0]
			opt := oracle.Options{Attrs: map[string]string{"platform": c.platform}, Ignore: map[string][]byte{".dockerignore": []byte("*.md\n")}}
			for k, v := range c.attrs {
				opt.Attrs[k] = v
			}
			want, err := oracle.Convert(ctx, []byte(legacyDockerfile), opt)
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
			diff, err := oracle.Compare(want.Def, def.ToPB())
			if err != nil || diff+oracle.CompareImages(want.Image, got.Image) != "" {
				t.Errorf("%v %s%s", err, diff, oracle.CompareImages(want.Image, got.Image))
			}
			file, diags := dockerfile.Emit(g, target)
			if diags.HasErrors() {
				t.Fatal(text(p, diags))
			}
			opt.Attrs = map[string]string{"platform": platforms.FormatAll(*target.Builds[0].Platform), "target": file.Target}
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

// TestDockerfileMistakes: a mistake is reported in the Dockerfile, or at the call.
func TestDockerfileMistakes(t *testing.T) {
	for _, c := range []struct{ from, code, at string }{
		{`dockerfile({ text = "FROM alpine:3.22\nRUNN x\n" })`, "HB8001", "Dockerfile at hbuild.hcl:2:2"},
		{`dockerfile("docker/Dockerfil")`, "HB3027", "hbuild.hcl:2"},
		{`dockerfile("../Dockerfile")`, "HB3026", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { target = "biuld" })`, "HB8003", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { args = { MOD = "x" } })`, "HB8009", "hbuild.hcl:2"},
		{`dockerfile("docker/Dockerfile", { labels = { a = "b" } })`, "HB1012", "hbuild.hcl:2"},
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
