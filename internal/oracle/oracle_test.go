package oracle

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/gateway/client"
)

const sample = `FROM rich AS build
WORKDIR /w
COPY --from=other a* /b/
RUN --mount=type=cache,target=/c make
FROM debian
COPY --from=build /x /y
COPY one two /
ENV A=1
`

func convert(t *testing.T, text string, attrs map[string]string) *Result {
	t.Helper()
	res, err := Convert(context.Background(), []byte(text), Options{
		Attrs: attrs, Resolver: Images{"docker.io/library/rich:latest": Rich("RUN trigger")},
		Ignore: map[string][]byte{"Dockerfile.dockerignore": []byte("# a comment\n*.md\n"), "other/.dockerignore": []byte("x\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestConvert(t *testing.T) {
	res := convert(t, sample, map[string]string{"context:other": "local:other"})
	g, err := Normalise(res.Def)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for d, op := range g.Ops {
		all.WriteString(name(g, d) + " " + opText(g, op))
	}
	for _, want := range []string{
		`"local.followpaths": "[\"one\",\"two\"]"`, `"local.excludepatterns": "[\"*.md\"]"`, `"local.excludepatterns": "[\"x\"]"`,
		`"identifier": "local://other"`, "ONBUILD", `"ID": "//c"`,
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no %s in\n%s", want, all.String())
		}
	}
	if env := res.Image.Config.Env; env[len(env)-1] != "A=1" {
		t.Errorf("env %q", env)
	}
}

func TestConvertError(t *testing.T) {
	if _, err := Convert(context.Background(), []byte("FROM a\nRUNN x\n"), Options{}); err == nil || !strings.Contains(err.Error(), "unknown instruction: RUNN") {
		t.Error(err)
	}
}

// TestCompare changes one thing at a time: each is seen, and what is only a name
// or a session is not.
func TestCompare(t *testing.T) {
	base := convert(t, sample, nil)
	for _, c := range []struct {
		old, now string
		want     string // in the report; "" for no difference
	}{
		{"AS build", "AS build", ""},
		{"ENV A=1", "ENV A=2", ""}, // no operation after it
		{"FROM debian", "# why\nfrom debian", ""},
		{"make", "make all", "+        \"make all\""},
		{"one two", "one three", "local.followpaths"},
		{"WORKDIR /w", "WORKDIR /v", `"path": "/v"`},
		{"FROM debian", "FROM --platform=linux/arm64 debian", "identifier"},
	} {
		got := convert(t, strings.Replace(sample, c.old, c.now, 1), nil)
		diff, err := Compare(base.Def, got.Def)
		if err != nil {
			t.Fatal(err)
		}
		if (diff == "") != (c.want == "") || !strings.Contains(diff, c.want) {
			t.Errorf("%s → %s: %q", c.old, c.now, diff)
		}
	}
	nocache := convert(t, sample, map[string]string{"no-cache": ""})
	if diff, _ := Compare(base.Def, nocache.Def); !strings.Contains(diff, "+ignoreCache=true") {
		t.Errorf("%q", diff)
	}
	other := convert(t, strings.Replace(sample, "ENV A=1", "ENV A=2", 1), nil)
	if diff := CompareImages(base.Image, other.Image); !strings.Contains(diff, `+      "A=2"`) {
		t.Errorf("%q", diff)
	}
	shorter := convert(t, strings.Replace(sample, "ENV A=1\n", "", 1), nil)
	if diff := CompareHistory(base.Image, shorter.Image); !strings.Contains(diff, "ENV A=1") {
		t.Errorf("%q", diff)
	}
}

// TestInner: leaving out builder.Build changes nothing.
func TestInner(t *testing.T) {
	for _, f := range []func(context.Context, client.Client) (*client.Result, error){build, inner} {
		c := &fakeClient{dockerfile: []byte(sample), attrs: map[string]string{}, resolver: Images{}}
		if _, err := f(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		want, err := Convert(context.Background(), []byte(sample), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff, err := Compare(want.Def, c.last); diff != "" || err != nil {
			t.Error(err, diff)
		}
	}
}
