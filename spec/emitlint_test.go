package spec

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/lint"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang"
)

// emitWarnings are what BuildKit's linter says of emitted Dockerfiles: "module:
// rule: message" and why the HCL asks for it.
var emitWarnings = map[string]string{
	"keep arg: UndefinedVar: Usage of undefined variable '$HOME'":                                                                                "the module expands it",
	"keep expanding value: UndefinedVar: Usage of undefined variable '$HOME'":                                                                    "the module expands it",
	"copy_flags: UndefinedVar: Usage of undefined variable '$UID'":                                                                               "the module expands it",
	"copy_forms: UndefinedVar: Usage of undefined variable '$HOME'":                                                                              "the module expands it",
	"env_order: UndefinedVar: Usage of undefined variable '$NOT_HERE'":                                                                           "the module expands it",
	"expansion: UndefinedVar: Usage of undefined variable '$A' (did you mean $Q?)":                                                               "the module expands it",
	"expansion: UndefinedVar: Usage of undefined variable '$SIG'":                                                                                "the module expands it",
	"expansion: UndefinedVar: Usage of undefined variable '$USER'":                                                                               "the module expands it",
	"expansion: WorkdirRelativePath: Relative workdir \"1/my dir\" can have unexpected results if the base image changes":                        "the module says so",
	"run_mounts: UndefinedVar: Usage of undefined variable '$HOME'":                                                                              "the module expands it",
	"set: WorkdirRelativePath: Relative workdir \"data\" can have unexpected results if the base image changes":                                  "the module says so",
	"stage_image: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals":                  "the module gives a line for the shell",
	"stage_image: MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label":                                            "author has no other instruction",
	"stage_settings: FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value \"linux/arm64\"":                        "the module names the platform",
	"examples/fan-out: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals":             "the module gives a line for the shell",
	"examples/instructions: UndefinedVar: Usage of undefined variable '$PWD'":                                                                    "the module expands it",
	"examples/instructions: UndefinedVar: Usage of undefined variable '$NOT_SET'":                                                                "the module expands it",
	"examples/instructions: MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label":                                  "author has no other instruction",
	"examples/instructions: JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals":        "the module gives a line for the shell",
	"examples/instructions: JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to prevent unintended behavior related to OS signals": "the module gives a line for the shell",
	"examples/secrets: SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"API_KEY_SHA256\")":                    "a checksum of a secret, by which a step runs anew",
	"examples/secrets: SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG \"TOKEN_SHA256\")":                      "a checksum of a secret, by which a step runs anew",
}

// TestEmittedDockerfilesPassTheLinter runs BuildKit's linter over what is emitted
// of every target, or else every stage, of all golden cases and examples, with and
// without variables kept.
func TestEmittedDockerfilesPassTheLinter(t *testing.T) {
	found := map[string]bool{}
	n := 0
	for _, m := range lintModules(t) {
		for _, f := range emitEverything(t, m, &n) {
			for _, w := range lintDockerfile(t, m.name, f) {
				if !found[w] && emitWarnings[w] == "" {
					t.Errorf("%q: \n%s", w, f.Dockerfile)
				}
				found[w] = true
			}
		}
	}
	for w := range emitWarnings {
		if !found[w] {
			t.Errorf("the linter does not say any more: %s", w)
		}
	}
	if n < 150 {
		t.Errorf("only %d Dockerfiles", n)
	}
}

// lintModule is a module and the values of its variables.
type lintModule struct {
	name string
	load func(keep bool) *compiler.Program
}

func lintModules(t *testing.T) (out []lintModule) {
	t.Helper()
	cases, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range cases {
		c, err := readGolden(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, lintModule{strings.TrimSuffix(filepath.Base(file), ".txtar"), func(keep bool) *compiler.Program {
			opt := compiler.Options{Levels: lint.Quiet()}
			opt.Provenance = keep
			opt.Sets = c.info["set"]
			opt.Git = func() *eval.Git { return &eval.Git{Commit: "0123456789abcdef", Branch: "main"} }
			for _, v := range c.info["var"] {
				name, value, _ := strings.Cut(v, "=")
				opt.Vars = append(opt.Vars, eval.VarSource{Name: name, Source: lang.Source{Data: []byte(value)}, Origin: "--var"})
			}
			return compiler.Load(c.fsys, ".", opt)
		}})
	}
	examples, err := filepath.Glob("../examples/*/hbuild.hcl")
	if err != nil || len(examples) < 10 {
		t.Fatalf("%d examples: %v", len(examples), err)
	}
	for _, file := range examples {
		dir := filepath.Dir(file)
		out = append(out, lintModule{"examples/" + filepath.Base(dir), func(keep bool) *compiler.Program {
			opt := compiler.Options{Levels: lint.Quiet()}
			opt.Provenance = keep
			return compiler.Load(os.DirFS(dir), ".", opt)
		}})
	}
	for _, c := range keepCases {
		out = append(out, lintModule{"keep " + c.name, func(keep bool) *compiler.Program {
			opt := compiler.Options{Levels: lint.Quiet()}
			opt.Provenance = keep
			return compiler.Load(fstest.MapFS{"hbuild.hcl": &fstest.MapFile{Data: []byte(c.source)}}, ".", opt)
		}})
	}
	return out
}

// emitEverything emits what of a module can be emitted.
func emitEverything(t *testing.T, m lintModule, n *int) (out []*dockerfile.File) {
	t.Helper()
	p := m.load(false)
	addrs, diags := p.Targets(nil, nil)
	if diags.HasErrors() {
		return nil
	}
	for _, d := range p.Module.Decls {
		if _, ok := d.(*lang.Stage); ok {
			for _, i := range p.Evaluator().Instances(d) {
				addrs = append(addrs, "stage."+i.Name())
			}
		}
	}
	for _, addr := range addrs {
		for _, keep := range []bool{false, true} {
			p := m.load(keep)
			g, diags := p.Graph([]string{addr}, nil)
			if diags.HasErrors() {
				continue
			}
			f, ds := dockerfile.EmitWith(g, g.Targets[len(g.Targets)-1], dockerfile.Options{KeepArgs: keep, Command: "hbuild emit dockerfile " + addr})
			if ds.HasErrors() {
				continue
			}
			*n++
			out = append(out, f)
		}
	}
	return out
}

// lintDockerfile runs the linter for every platform.
func lintDockerfile(t *testing.T, module string, f *dockerfile.File) (out []string) {
	t.Helper()
	args := map[string]string{}
	for k, v := range f.Attrs {
		if name, ok := strings.CutPrefix(k, "build-arg:"); ok {
			args[name] = v
		}
	}
	caps := pb.Caps.CapSet(pb.Caps.All())
	main := llb.Local("context")
	opt := dockerfile2llb.ConvertOpt{
		Config:       dockerui.Config{BuildArgs: args, BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}, Target: f.Attrs["target"]},
		MetaResolver: baseImages, LLBCaps: &caps, MainContext: &main,
		TargetPlatform: &oracle.BuildPlatform,
		SourceMap:      &llb.SourceMap{Definition: &llb.Definition{}, Filename: "Dockerfile", Data: f.Dockerfile},
	}
	res, err := dockerfile2llb.DockerfileLint(t.Context(), slices.Clone(f.Dockerfile), opt)
	if err != nil {
		t.Fatal(err)
	}
	if res.Error != nil {
		t.Errorf("%s: the linter cannot read the Dockerfile: %s\n%s", module, res.Error.Message, f.Dockerfile)
	}
	found := map[string]bool{}
	for _, w := range res.Warnings {
		found[module+": "+w.RuleName+": "+w.Detail] = true
	}
	return slices.Sorted(maps.Keys(found))
}
