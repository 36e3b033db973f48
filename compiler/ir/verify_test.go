package ir

import (
	"strings"
	"testing"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

func run() *Run { return &Run{Command: &Command{Shell: true, Args: []string{"x"}}} }

func TestVerify(t *testing.T) {
	amd64, arm64 := &ocispecs.Platform{OS: "linux", Architecture: "amd64"}, &ocispecs.Platform{OS: "linux", Architecture: "arm64"}
	ctx := &Context{Name: "default"}
	base := func() *Stage { return &Stage{Addr: "stage.a", Name: "a", Root: ScratchRoot{}} }
	with := func(step Step) *Graph {
		s := base()
		s.Steps = []Step{step}
		return &Graph{Stages: []*Stage{s}, Contexts: []*Context{ctx}}
	}
	later := base()
	variant := base()
	variant.For = amd64
	for want, g := range map[string]*Graph{
		"":                                   with(&Copy{From: ContextSource{Context: ctx}, Src: []Word{"a"}, Dest: "/"}),
		"not before it":                      {Stages: []*Stage{{Addr: "b", Name: "b", Root: StageRoot{later}}, later}},
		"there twice":                        {Stages: []*Stage{later, later}},
		"they are no variants":               {Stages: []*Stage{base(), base()}},
		"not in lower case":                  {Stages: []*Stage{{Addr: "A", Name: "A", Root: ScratchRoot{}}}},
		"has no root":                        {Stages: []*Stage{{Addr: "a", Name: "a"}}},
		"a platform over another stage":      {Stages: []*Stage{later, {Addr: "b", Name: "b", Root: StageRoot{later}, Platform: &Platform{}}}},
		"for another platform":               {Stages: []*Stage{variant, {Addr: "b", Name: "b", For: arm64, Root: StageRoot{variant}}}},
		"a context that is not in the graph": with(&Copy{From: ContextSource{Context: &Context{Name: "x"}}, Src: []Word{"a"}, Dest: "/"}),
		"the word \"${\" is broken":          with(&User{User: "${"}),
		"exactly one of command and script":  with(&Run{}),
		"a shell command has 2 arguments":    with(&Cmd{Command: Command{Shell: true, Args: []string{"a", "b"}}}),
		"paths of no source":                 with(&Copy{Src: []Word{"a"}, Dest: "/"}),
		"options of an address":              with(&Copy{From: ContextSource{Context: ctx}, Src: []Word{"a"}, Dest: "/", Checksum: "x"}),
		"it copies nothing":                  with(&Copy{Dest: "/"}),
		"a cache mount without a cache":      with(&Run{Command: run().Command, Mounts: []Mount{{Kind: MountCache, Target: "/x"}}}),
		"a mount of kind":                    with(&Run{Command: run().Command, Mounts: []Mount{{Target: "/x"}}}),
		"it builds nothing":                  {Targets: []*Target{{Addr: "t"}}},
		"a stage that is not in the graph":   {Targets: []*Target{{Addr: "t", Builds: []*Build{{Image: later}}}}},
		"one of them without a platform":     {Stages: []*Stage{later}, Targets: []*Target{{Addr: "t", Builds: []*Build{{Image: later}, {Image: later, Platform: amd64}}}}},
		"no test, and yet more about it":     with(&Healthcheck{Test: []string{"NONE"}, Retries: 1}),
	} {
		err := Verify(g)
		switch {
		case want == "" && err != nil:
			t.Error(err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestReach(t *testing.T) {
	a := &Stage{Name: "a", Root: ScratchRoot{}}
	b := &Stage{Name: "b", Root: StageRoot{a}}
	c := &Stage{Name: "c", Root: ScratchRoot{}, Steps: []Step{
		&Copy{From: StageSource{Stage: b}, Src: []Word{"/"}, Dest: "/"},
		&Run{Command: run().Command, Mounts: []Mount{{Kind: MountCache, Cache: &Cache{ID: "x", From: StageSource{Stage: a}}, Target: "/x"}}},
	}}
	var names []string
	for _, s := range Reach(nil, c, b) {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "a b c" {
		t.Error(got)
	}
	if b.RootPlatform() != nil {
		t.Error("scratch has a platform of its own")
	}
}

func TestPrint(t *testing.T) {
	ctx := &Context{Name: "default", Path: ".", Patterns: []string{"**", "!a"}}
	s := &Stage{Addr: "stage.app", Name: "app", Root: ImageRoot{Ref: "alpine:3.22"}, Comment: []string{"Ships."}, Steps: []Step{
		&Env{Pairs: []WordKV{{"A", `"b c"`}}},
		&Copy{From: ContextSource{Context: ctx}, Src: []Word{"a"}, Texts: []Text{{Name: "t", Data: "x\n"}}, Dest: "/", Chmod: "0644", Link: true},
		&Run{StepMeta: StepMeta{Name: "make it", NoCache: true}, Command: &Command{Args: []string{"a", "b"}}, Mounts: []Mount{{Kind: MountSecret, Secret: &Secret{ID: "npm"}, Env: "NPM"}}},
	}}
	g := &Graph{Contexts: []*Context{ctx}, Stages: []*Stage{s}, Targets: []*Target{{Addr: "target.app", Name: "app", Tags: []string{"x:1"}, Builds: []*Build{{Image: s}}}}}
	want := `context default "." patterns=["**" "!a"]

# Ships.
stage app (stage.app) from image(alpine:3.22)
  env A="b c"
  copy context(default) a text(t "x\n") to / chmod=0644 link
  run ["a" "b"]
    mount secret secret(npm) env=NPM name="make it" no-cache

target app (target.app)
  build image=app
  tag x:1
`
	if got := Print(g); got != want {
		t.Errorf("%s", got)
	}
}

// TestBOM: the lexer drops a byte order mark at the start of a word that is not
// quoted.
func TestBOM(t *testing.T) {
	w, err := Quote("\ufeffa")
	if err != nil || w != "\"\ufeffa\"" {
		t.Errorf("%q %v", w, err)
	}
}
