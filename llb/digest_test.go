package llb_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/internal/oracle"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
)

// images are the base images of these tests.
var images = oracle.Images{
	"docker.io/library/rich:latest": oracle.Rich(),
	"docker.io/library/triggers:1": oracle.Rich(
		"COPY . /app", "RUN --mount=type=cache,target=/c make", "COPY --from=alpine:3 /etc/os-release /x",
		"ENV T=$Q", "ADD a.tar /", "WORKDIR sub", "CMD [\"onbuild\"]", "COPY <<E /y\n$Q\nE"),
	"docker.io/library/empty:latest": {},
}

// messages is all of diags, a line each.
func messages(diags hcl.Diagnostics) string {
	var b strings.Builder
	for _, d := range diags {
		fmt.Fprintf(&b, "%s %s: %s\n", diag.InfoOf(d).Code, d.Summary, d.Detail)
	}
	return b.String()
}

// agree checks the rule: what is lowered and what BuildKit makes of what is
// emitted is the same, for each platform of the target.
func agree(t testing.TB, g *ir.Graph, target *ir.Target) {
	t.Helper()
	if err := ir.Verify(g); err != nil {
		t.Fatal(err)
	}
	if text, ok := disagreement(t, g, target); !ok || text != "" {
		t.Fatal(text)
	}
}

func disagreement(t testing.TB, g *ir.Graph, target *ir.Target) (string, bool) {
	t.Helper()
	file, diags := dockerfile.Emit(g, target)
	if diags.HasErrors() {
		return "emit: " + messages(diags), false
	}
	return compareFile(g, target, file)
}

func compareFile(g *ir.Graph, target *ir.Target, file *dockerfile.File) (string, bool) {
	ctx := context.Background()
	for _, b := range target.Builds {
		for _, s := range []*ir.Stage{b.Image, b.Files} {
			if s == nil {
				continue
			}
			attrs := maps.Clone(file.Attrs)
			delete(attrs, "platform")
			if b.Platform != nil {
				attrs["platform"] = platforms.FormatAll(*b.Platform)
			}
			if s.Name != file.Target {
				attrs["target"] = s.Name
			}
			if s == b.Files { // labels are the image's
				for k := range attrs {
					if strings.HasPrefix(k, "label:") {
						delete(attrs, k)
					}
				}
			}
			ignore := map[string][]byte{}
			if file.IgnoreFile != nil {
				ignore["Dockerfile.dockerignore"] = file.IgnoreFile
			}
			for _, c := range g.Contexts {
				if c.IgnoreFile == ".dockerignore" {
					dt := []byte(strings.Join(c.Patterns, "\n") + "\n")
					if c.Name == "default" {
						ignore[".dockerignore"] = dt
					}
					for _, n := range file.Contexts {
						if n.Context == c {
							ignore[n.Name+"/.dockerignore"] = dt
						}
					}
				}
			}
			want, err := oracle.Convert(ctx, file.Dockerfile, oracle.Options{Attrs: attrs, Ignore: ignore, Resolver: images, Multi: len(target.Builds) > 1})
			var req llb.Request
			for _, r := range llb.Requests(target) {
				if r.Stage == s && r.Platform == b.Platform {
					req = r
				}
			}
			names := map[*ir.Context]string{}
			for _, n := range file.Contexts {
				names[n.Context] = n.Name
			}
			caps := pb.Caps.CapSet(pb.Caps.All())
			got, diags := llb.Lower(ctx, g, req, llb.Options{
				Resolver: images, BuildPlatforms: []ocispecs.Platform{oracle.BuildPlatform}, Caps: &caps,
				LocalName: func(c *ir.Context) string { return names[c] }, Sources: oracle.NewClient(oracle.Options{}),
			})
			if err != nil && diags.HasErrors() {
				return fmt.Sprintf("both refuse: %v\n%s\n%s", err, messages(diags), file.Dockerfile), true
			}
			if diags.HasErrors() && diag.InfoOf(diags[0]).Code == llb.CodeEmpty {
				return "hbuild refuses an empty name that BuildKit takes", true
			}
			if err != nil {
				return fmt.Sprintf("BuildKit: %v\n%s", err, file.Dockerfile), false
			}
			if diags.HasErrors() {
				return fmt.Sprintf("lower: %s\n%s", messages(diags), file.Dockerfile), false
			}
			def, err := got.Definition(ctx)
			if err != nil {
				return fmt.Sprintf("marshal: %v\n%s", err, file.Dockerfile), false
			}
			diff, err := oracle.Compare(want.Def, def.ToPB())
			if err != nil {
				return err.Error(), false
			}
			diff += oracle.CompareImages(want.Image, got.Image)
			diff += oracle.CompareHistory(want.Image, got.Image)
			if diff != "" {
				return fmt.Sprintf("%s\n%s", diff, file.Dockerfile), false
			}
		}
	}
	return "", true
}

// ---- building graphs -------------------------------------------------------

func ptr[T any](v T) *T { return &v }

func q(s string) ir.Word {
	w, err := ir.Quote(s)
	if err != nil {
		panic(err)
	}
	return w
}

func qs(texts ...string) []ir.Word {
	out := make([]ir.Word, len(texts))
	for i, s := range texts {
		out[i] = q(s)
	}
	return out
}

func kvs(kv ...string) []ir.WordKV {
	var out []ir.WordKV
	for i := 0; i < len(kv); i += 2 {
		out = append(out, ir.WordKV{Key: q(kv[i]), Value: q(kv[i+1])})
	}
	return out
}

func sh(line string) *ir.Run { return &ir.Run{Command: &ir.Command{Shell: true, Args: []string{line}}} }

func run(line string, mounts ...ir.Mount) *ir.Run {
	r := sh(line)
	r.Mounts = mounts
	return r
}

func script(data string) *ir.Run { return &ir.Run{Script: &ir.Text{Name: "EOF", Data: data}} }

var mainContext = &ir.Context{Name: "default", Path: "."}

func cp(dest string, src ...string) *ir.Copy {
	return &ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs(src...), Dest: q(dest)}
}

func stage(name, image string, steps ...ir.Step) *ir.Stage {
	s := &ir.Stage{Addr: "stage." + name, Name: name, Root: ir.ImageRoot{Ref: image}, Steps: steps}
	if image == "scratch" {
		s.Root = ir.ScratchRoot{}
	}
	return s
}

func on(base *ir.Stage, name string, steps ...ir.Step) *ir.Stage {
	s := stage(name, "x", steps...)
	s.Root = ir.StageRoot{Stage: base}
	return s
}

func from(s *ir.Stage, dest string, src ...string) *ir.Copy {
	return &ir.Copy{From: ir.StageSource{Stage: s}, Src: qs(src...), Dest: q(dest)}
}

// graph is a graph with one target that builds a stage, for no platform.
func graph(s *ir.Stage) (*ir.Graph, *ir.Target) {
	t := &ir.Target{Addr: "target.t", Name: "t", Builds: []*ir.Build{{Image: s}}}
	return graphOf(t), t
}

func graphOf(t *ir.Target) *ir.Graph {
	g := &ir.Graph{Targets: []*ir.Target{t}}
	var roots []*ir.Stage
	for _, b := range t.Builds {
		roots = append(roots, b.Image, b.Files)
	}
	if from, ok := t.Options.EpochFrom.(ir.StageSource); ok {
		roots = append(roots, from.Stage)
	}
	g.Stages = ir.Reach(roots...)
	seen := map[*ir.Context]bool{}
	if from, ok := t.Options.EpochFrom.(ir.ContextSource); ok {
		seen[from.Context] = true
		g.Contexts = append(g.Contexts, from.Context)
	}
	for _, s := range g.Stages {
		for _, step := range s.Steps {
			ir.Sources(step, func(src ir.Source) {
				if c, ok := src.(ir.ContextSource); ok && !seen[c.Context] {
					seen[c.Context] = true
					g.Contexts = append(g.Contexts, c.Context)
				}
			})
		}
	}
	return g
}

// ---- every step and option --------------------------------------------------

// stepCases are steps that a stage over `from` has; each is exact.
func stepCases() map[string][]ir.Step {
	build := stage("build", "golang:1.26", &ir.Workdir{Path: q("/src")}, sh("make"))
	cache := &ir.Cache{ID: "gomod"}
	secret := &ir.Secret{ID: "npm", Required: true}
	bind := func(src ir.Source, source, target string) ir.Mount {
		return ir.Mount{Kind: ir.MountBind, From: src, Source: optional(source), Target: q(target)}
	}
	other := &ir.Context{Name: "Assets_", Path: "../assets"}
	return map[string][]ir.Step{
		"nothing":             nil,
		"arg":                 {&ir.Arg{Key: "A", Value: ptr(q("1"))}, &ir.Arg{Key: "B", Value: ptr(q("$A b"))}, sh("x")},
		"arg unset":           {&ir.Arg{Key: "A"}, sh("x")},
		"arg auto":            {&ir.Arg{Key: "TARGETARCH", Value: ptr(q("amd64")), Auto: true}, &ir.Arg{Key: "TARGETVARIANT", Auto: true}, sh("x")},
		"arg undeclared auto": {&ir.Arg{Key: "BUILDPLATFORM"}, sh("x")},
		"arg target stage":    {&ir.Arg{Key: "TARGETSTAGE"}, sh("x")},
		"arg over env":        {&ir.Env{Pairs: kvs("A", "1")}, &ir.Arg{Key: "A", Value: ptr(q("2"))}, sh("x"), &ir.Env{Pairs: kvs("B", "$A")}},
		"arg not env":         {&ir.Arg{Key: "BUILDKIT_SBOM_SCAN_STAGE", Value: ptr(q("true"))}, sh("x")},
		"env": {&ir.Env{Pairs: kvs("A", "John Doe", "B", `Rex "The Dog" O'Hara`, "C", `C:\dogs`, "D", `\$5`, "PATH", "/x:$PATH", "E", "", "F", "#x", "G", "<<EOF", "H", "ünï", "I", "a\tb")},
			&ir.Env{Pairs: kvs("J", "$A", "K", "${NO:-a default} ${A:+set}", "L", "${A#J} ${A%%o*} ${A/o/0}")}, sh("x")},
		"env same step":        {&ir.Env{Pairs: kvs("A", "1")}, &ir.Env{Pairs: kvs("A", "2", "B", "$A")}, sh("x")},
		"shell":                {&ir.Shell{Args: []string{"/bin/bash", "-o", "pipefail", "-c"}}, sh("a | b"), &ir.Cmd{Command: ir.Command{Shell: true, Args: []string{"run it"}}}},
		"shell odd":            {&ir.Shell{Args: []string{"/bin/bash", "-c"}}, sh(`ends with a backslash \`), sh("#!/x\nmulti"), &ir.Cmd{Command: ir.Command{Shell: true, Args: []string{"a\nb"}}}},
		"workdir":              {&ir.Workdir{Path: q("/a")}, &ir.Workdir{Path: q("b")}, &ir.Workdir{Path: q("c d")}, &ir.Workdir{Path: q("../e")}, sh("pwd"), &ir.Workdir{Path: q("/")}, sh("pwd")},
		"workdir var":          {&ir.Env{Pairs: kvs("BASE", "/a")}, &ir.Workdir{Path: q("$BASE/${X:-y}")}, sh("pwd"), &ir.Workdir{Path: q("")}, &ir.Workdir{Path: q("--x")}, &ir.Workdir{Path: q(" y ")}},
		"user":                 {&ir.User{User: q("app:staff")}, &ir.Workdir{Path: q("/home/app")}, sh("id"), &ir.User{User: q("")}, sh("id")},
		"labels":               {&ir.Label{Pairs: kvs("com.example.vendor", "ACME Incorporated", "q", `a "quoted" word and a \ backslash`, "-x", "y", "a b", "c")}},
		"author":               {&ir.Author{Author: "Jane Doe <jane@example.com>"}},
		"cmd":                  {&ir.Cmd{Command: ir.Command{Args: []string{"a", "b \"c\"", "<&>", "d\ne"}}}},
		"cmd shell":            {&ir.Cmd{Command: ir.Command{Shell: true, Args: []string{`echo "$HOME" && x`}}}},
		"cmd empty":            {&ir.Cmd{Command: ir.Command{Args: []string{}}}},
		"cmd odd":              {&ir.Cmd{Command: ir.Command{Shell: true, Args: []string{" leading"}}}, &ir.Entrypoint{Command: ir.Command{Shell: true, Args: []string{`["json"]`}}}},
		"cmd dashes":           {&ir.Cmd{Command: ir.Command{Shell: true, Args: []string{"--version"}}}, sh("--version")},
		"entrypoint":           {&ir.Entrypoint{Command: ir.Command{Args: []string{"/a"}}}},
		"entrypoint empty":     {&ir.Entrypoint{Command: ir.Command{}}},
		"entrypoint after cmd": {&ir.Cmd{Command: ir.Command{Args: []string{"c"}}}, &ir.Entrypoint{Command: ir.Command{Shell: true, Args: []string{"e"}}}},
		"expose":               {&ir.Arg{Key: "P", Value: ptr(q("70 71/udp"))}, &ir.Expose{Ports: qs("8080", "53/udp", "9000-9002", "$P", "80/TCP")}},
		"volume":               {&ir.Volume{Paths: qs("/data", "/var/log/app")}, &ir.Volume{Paths: qs("/a dir", "/b")}},
		"stop signal":          {&ir.StopSignal{Signal: q("SIGQUIT")}, &ir.StopSignal{Signal: q("9")}},
		"onbuild":              {&ir.OnBuild{Trigger: "RUN a && \\\n  b"}, &ir.OnBuild{Trigger: "COPY <<EOF /x\ntext\nEOF"}, &ir.OnBuild{Trigger: `ENTRYPOINT ["a"]`}},
		"healthcheck":          {&ir.Healthcheck{Test: []string{"CMD", "test", "-d", "/data dir"}, Interval: 30 * time.Second, Timeout: 1500 * time.Millisecond, StartPeriod: 90 * time.Second, StartInterval: time.Hour, Retries: 5}},
		"healthcheck shell":    {&ir.Healthcheck{Test: []string{"CMD-SHELL", "test -d /data || exit 1"}}},
		"healthcheck none":     {&ir.Healthcheck{Test: []string{"NONE"}}},

		"run":          {sh("go build -o /out/server ./cmd/server")},
		"run spaces":   {sh("groupadd --gid 4242 staff-app &&   useradd --uid 4243 --gid staff-app 'a    b' --create-home app &&    true")},
		"run exec":     {&ir.Run{Command: &ir.Command{Args: []string{"sed", "-i", "$ a exec", "/run.txt"}}}},
		"run test":     {sh("[ -f /x ] && echo y")},
		"run json":     {sh(`["a", "b"]`), sh(`[1]`), sh(`[] `)},
		"run lines":    {sh("for i in a b; do\n  echo $i\ndone"), sh("a\n\n# comment\nb"), sh("echo EOF\nEOF\n<<EOF")},
		"run heredoc":  {sh("cat <<X > /a && cat <<'Y' >> /a\none\nX\ntwo\nY"), sh("cat <<X > /a"), sh("cat <<X\na\nX\nafter")},
		"run odd":      {sh(" leading"), sh("trailing "), sh("tab\t"), sh("# comment"), sh("a\rb"), sh("a \\"), sh(`a \\`), sh("\u00a0nbsp"), sh("#!/bin/sh\nx"), sh("--mount=type=cache,target=/x y"), sh("-x")},
		"script":       {script("echo a\n  echo b\n"), script("#!/usr/bin/perl\nprint 1;\n"), script("one line"), script(""), script("EOF\n")},
		"script name":  {&ir.Run{Script: &ir.Text{Name: "setup.py", Data: "#!/usr/bin/python3\n\tx = '''$HOME \\ '''\n\n"}}},
		"run network":  {&ir.Run{Command: sh("x").Command, Network: ir.NetNone}, &ir.Run{Command: sh("x").Command, Network: ir.NetHost}, &ir.Run{Command: sh("x").Command, Network: ir.NetDefault}},
		"run security": {&ir.Run{Command: sh("x").Command, Security: ir.SecurityInsecure}, &ir.Run{Command: sh("x").Command, Security: ir.SecuritySandbox}},
		"run devices":  {&ir.Run{Command: sh("x").Command, Devices: []ir.Device{{Name: "vendor.com/gpu=all"}, {Name: "vendor.com/x", Required: true}}}},

		"mount cache": {run("x", ir.Mount{Kind: ir.MountCache, Cache: cache, Target: q("/go/pkg/mod")}, ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "/root/.cache"}, Target: q("/root/.cache/")})},
		"mount cache options": {run("x",
			ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: `odd "id", $x`, Sharing: ir.SharingLocked, Mode: "0700", UID: ptr(1000), GID: ptr(0)}, Target: q("rel/$Q dir")},
			ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "p", Sharing: ir.SharingPrivate}, Target: q("/p"), ReadOnly: true, UID: q("7")},
			ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "f", From: ir.StageSource{Stage: build}, Path: q("/seed")}, Target: q("/f"), Mode: q("0777")},
			ir.Mount{Kind: ir.MountCache, Cache: &ir.Cache{ID: "g", From: ir.ImageSource{Ref: "alpine"}}, Target: q("/g"), Mode: q("0777")})},
		"mount bind": {run("x", bind(ir.ContextSource{Context: mainContext}, "", "/ctx"), bind(ir.ContextSource{Context: mainContext}, "sub/$Q", "/sub"),
			bind(ir.StageSource{Stage: build}, "/out", "/build"), bind(ir.ImageSource{Ref: "alpine:3.22"}, "", "/alpine"), bind(ir.ScratchSource{}, "", "/empty"))},
		"mount bind rw":   {run("x", ir.Mount{Kind: ir.MountBind, From: ir.StageSource{Stage: build}, Target: q("/build"), Writable: true})},
		"mount narrowed":  {run("x", bind(ir.ContextSource{Context: mainContext}, "one", "/one")), cp("/", "two/*.go")},
		"mount text":      {run("x", bind(ir.TextSource{Text: ir.Text{Name: "app.conf", Data: "a = 1\n"}}, "", "/etc/app.conf"))},
		"mount context":   {run("x", bind(ir.ContextSource{Context: other}, "img", "/img")), &ir.Copy{From: ir.ContextSource{Context: other}, Src: qs("a", "b*"), Dest: q("/z/")}},
		"mount tmpfs":     {run("x", ir.Mount{Kind: ir.MountTmpfs, Target: q("/t"), Size: 64 << 20}, ir.Mount{Kind: ir.MountTmpfs, Target: q("/u")}), cp("/", "only")},
		"mount tmpfs odd": {run("x", ir.Mount{Kind: ir.MountTmpfs, Target: q("/t"), Size: 1234567})},
		"mount secret": {run("x", ir.Mount{Kind: ir.MountSecret, Secret: secret}, ir.Mount{Kind: ir.MountSecret, Secret: secret, Env: "NPM_TOKEN"},
			ir.Mount{Kind: ir.MountSecret, Secret: &ir.Secret{ID: "a/b c"}, Target: q("/etc/s"), Env: "S"}, ir.Mount{Kind: ir.MountSecret, Secret: secret, Target: q("/x"), Mode: q("0440"), UID: q("1"), GID: q("${Q:-3}")})},
		"mount ssh": {run("x", ir.Mount{Kind: ir.MountSSH, SSH: &ir.SSH{ID: "default"}}, ir.Mount{Kind: ir.MountSSH, SSH: &ir.SSH{ID: "github", Required: true}, Target: q("/agent"), Mode: q("0666"), UID: q("5")})},

		"copy":               {cp("./", "go.mod", "go.sum"), cp(".", "."), cp("/a/.", "x/"), cp("rel/", "hom?.txt", "arr[[]0].txt")},
		"copy spaces":        {cp("/a dir/", "files/with space.txt"), cp("/x", "a\tb"), cp("/new\nline/", "a")},
		"copy var":           {&ir.Env{Pairs: kvs("V", "x y")}, cp("/$V/", "${V}.txt", "$NO/z")},
		"copy odd":           {cp("/x", "[a]"), cp("/x", "--y"), cp("/x", "<<EOF"), cp("/x", "it's"), cp("/x", "a#b"), cp("/x", "-y", "<z")},
		"copy owner":         {&ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("f"), Dest: q("/f"), Chown: q("55:games"), Chmod: q("0640")}, &ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("f"), Dest: q("/f"), Chown: q("$Q"), Chmod: q("u=rwx,go=r")}},
		"copy parents":       {&ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("files/tree/./docs", "a/*/b", "plain"), Dest: q("/p/"), Parents: true, Exclude: []string{"**/*.md", "a b", `q"x`}}},
		"copy link":          {&ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("f"), Dest: q("/f"), Link: true}, sh("x"), &ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("f"), Dest: q("/f"), Link: true, Chmod: q("0600")}},
		"copy stage":         {from(build, "/usr/bin/", "/out/server"), &ir.Copy{From: ir.ImageSource{Ref: "nginx:latest"}, Src: qs("/etc/nginx/nginx.conf"), Dest: q("/")}},
		"copy scratch":       {&ir.Copy{From: ir.ScratchSource{}, Src: qs("/"), Dest: q("/z")}},
		"copy text":          {&ir.Copy{Texts: []ir.Text{{Name: "EOF", Data: "Hello from $HOME\n"}}, Dest: q("/etc/greeting"), Chmod: q("0600")}, &ir.Copy{Texts: []ir.Text{{Name: "x", Data: "In ${PWD:-an unset} \"directory\" \\$ $Q\n", Expand: true}}, Dest: q("/y")}, &ir.Copy{Texts: []ir.Text{{Name: "EOF", Data: ""}}, Dest: q("/empty")}},
		"copy text and path": {&ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("a"), Texts: []ir.Text{{Name: "b", Data: "\tb\n"}, {Name: "c.txt", Data: "\n\n"}}, Dest: q("/d/")}},
		"copy empty image":   {&ir.Copy{From: ir.ImageSource{Ref: "empty"}, Src: qs("/"), Dest: q("/")}},
		"add":                {&ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("a.tar"), Dest: q("/opt/"), Unpack: ptr(true)}, &ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: qs("a.tar"), Dest: q("/opt/"), Unpack: ptr(false)}, &ir.Copy{From: ir.StageSource{Stage: build}, Src: qs("a.tar"), Dest: q("/opt/"), Unpack: ptr(false)}},
	}
}

func optional(s string) ir.Word {
	if s == "" {
		return ""
	}
	return q(s)
}

func TestStepsAgree(t *testing.T) {
	for name, steps := range stepCases() {
		for _, root := range []string{"debian", "scratch", "rich", "triggers:1", "empty"} {
			t.Run(name+"/"+root, func(t *testing.T) {
				g, target := graph(stage("app", root, steps...))
				agree(t, g, target)
			})
		}
	}
}
