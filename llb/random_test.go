package llb_test

import (
	"math/rand"
	"strings"
	"testing"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/ir"
)

// gen makes random graphs that break no rule of the IR.
type gen struct {
	*rand.Rand
	contexts []*ir.Context
	stages   []*ir.Stage
	platform *ocispecs.Platform // that a variant is made for; nil for all
}

// pieces are what words, commands and texts are put together from: plain text,
// and everything that some parser on the way reads as more.
var pieces = []string{
	"a", "b/c", "x.go", "*.md", "1", "-", "--f", "=", ",", ":", "/", "..", "~", " ", "  ", "   ", "\t", "'", `"`, `\`, "`", "$", "$Q", "$NO", "${Q}",
	"${Q:-d e}", "${NO:+x}", "${Q#1}", "${Q/1/2}", "${NO-'z y'}", "${NO:?must}", "#", "# x", "<", "<<", "<<EOF", "EOF", "[", "]", `["a"]`, "{", "}", "(", ";", "&&", "|", "!", "%", "@", "ü", "日本", "\u00a0", "\ufeff", "\r", "\v", "\x01", `\$`, `\\`,
}

func (g *gen) text(max int, more ...string) string {
	var b strings.Builder
	for n := g.Intn(max); n >= 0; n-- {
		if len(more) > 0 && g.Intn(6) == 0 {
			b.WriteString(more[g.Intn(len(more))])
			continue
		}
		b.WriteString(pieces[g.Intn(len(pieces))])
	}
	return b.String()
}

func (g *gen) flip(n int) bool { return g.Intn(n) == 0 }

func pick[T any](g *gen, list ...T) T { return list[g.Intn(len(list))] }

// word is a word as a user's text makes it, or for a path that stays harmless.
func (g *gen) word() ir.Word {
	if g.flip(3) {
		return q(pick(g, "/a", "b/c", "x", "/d/e/", ".", "./", "$Q"))
	}
	for {
		if w, err := ir.Quote(g.text(4)); err == nil {
			return w
		}
	}
}

func (g *gen) maybe(w ir.Word) ir.Word {
	if g.flip(2) {
		return ""
	}
	return w
}

func (g *gen) words() []ir.Word {
	out := []ir.Word{g.word()}
	for g.flip(2) {
		out = append(out, g.word())
	}
	return out
}

func (g *gen) pairs() []ir.WordKV {
	var out []ir.WordKV
	for {
		key := q(pick(g, "A", "B", "Q", "PATH", "k-1", "a.b"))
		if g.flip(5) {
			key = g.word()
		}
		out = append(out, ir.WordKV{Key: key, Value: g.word()})
		if g.flip(2) {
			return out
		}
	}
}

func (g *gen) line() string { return g.text(6, "\n", "\n#", "\\\n", "echo", "<<X\n", "\nX") }

func (g *gen) command() ir.Command {
	if g.flip(2) {
		return ir.Command{Shell: true, Args: []string{g.line()}}
	}
	args := []string{g.text(3)}
	for g.flip(2) {
		args = append(args, g.text(3, "\n"))
	}
	return ir.Command{Args: args}
}

func (g *gen) textFile() ir.Text {
	t := ir.Text{Name: pick(g, "EOF", "a.txt", "X", "my-file_1"), Data: g.text(8, "\n", "\nEOF\n", "\n\t"), Expand: g.flip(2)}
	if !g.flip(8) {
		t.Data += "\n"
	}
	return t
}

func (g *gen) source() ir.Source {
	switch g.Intn(7) {
	case 0:
		if len(g.stages) > 0 {
			return ir.StageSource{Stage: pick(g, g.stages...)}
		}
	case 1:
		return ir.ImageSource{Ref: pick(g, "alpine", "rich", "s0", "golang:1.26", "empty")}
	case 2:
		return ir.ImageSource{Ref: "alpine", Platform: &ir.Platform{Platform: *arm64}}
	case 3:
		return ir.ScratchSource{}
	}
	return ir.ContextSource{Context: pick(g, g.contexts...)}
}

func (g *gen) mount() ir.Mount {
	m := ir.Mount{Kind: pick(g, ir.MountBind, ir.MountCache, ir.MountTmpfs, ir.MountSecret, ir.MountSSH), Target: g.word()}
	if g.flip(2) {
		m.Target = q(pick(g, "/m", "/m/n", "rel", "/root/.cache"))
	}
	owner := func() {
		m.Mode, m.UID, m.GID = g.maybe("0750"), g.maybe("1000"), g.maybe(q("${U:-7}"))
	}
	switch m.Kind {
	case ir.MountBind:
		m.From, m.Source, m.Writable = g.source(), g.maybe(g.word()), g.flip(3)
		if g.flip(6) {
			m.From, m.Source = ir.TextSource{Text: g.textFile()}, ""
		}
	case ir.MountCache:
		m.Cache = &ir.Cache{ID: pick(g, "/m", "id", g.text(3)), Sharing: pick(g, "", ir.SharingShared, ir.SharingPrivate, ir.SharingLocked), Mode: pick(g, "", "0700")}
		if g.flip(3) {
			m.Cache.From, m.Cache.Path = g.source(), g.maybe(g.word())
		}
		if g.flip(3) {
			m.Cache.UID = ptr(g.Intn(3))
		}
		m.ReadOnly = g.flip(4)
		owner()
	case ir.MountTmpfs:
		m.Size = pick(g, int64(0), 1, 4096, 1<<30, 12345)
	case ir.MountSecret:
		m.Secret = &ir.Secret{ID: pick(g, "npm", g.text(2)), Required: g.flip(2)}
		if g.flip(2) {
			m.Env = "TOKEN"
		}
		if g.flip(2) {
			m.Target = ""
		}
		owner()
	case ir.MountSSH:
		m.SSH = &ir.SSH{ID: pick(g, "default", "x", g.text(2)), Required: g.flip(2)}
		if g.flip(2) {
			m.Target = ""
		}
		owner()
	}
	return m
}

func (g *gen) step() ir.Step {
	switch g.Intn(20) {
	case 0:
		a := &ir.Arg{Key: pick(g, "A", "Q", "TARGETARCH", "BUILDOS", "HTTP_PROXY", "X")}
		if g.flip(2) {
			a.Value = ptr(g.word())
		}
		return a
	case 1, 2:
		return &ir.Env{Pairs: g.pairs()}
	case 3:
		return &ir.Shell{Args: []string{"/bin/bash", g.text(2)}}
	case 4:
		return &ir.Workdir{Path: g.word()}
	case 5:
		return &ir.User{User: g.word()}
	case 6:
		return &ir.Label{Pairs: g.pairs()}
	case 7:
		return &ir.Entrypoint{Command: g.command()}
	case 8:
		return &ir.Cmd{Command: g.command()}
	case 9:
		return &ir.Volume{Paths: g.words()}
	case 10:
		return &ir.OnBuild{Trigger: pick(g, "RUN a", "ENV A=$Q", "COPY x /y", "WORKDIR d", "USER $Q", "CMD x", "ARG Z=1", "LABEL a=b")}
	case 11:
		if g.flip(3) {
			return &ir.Healthcheck{Test: []string{"NONE"}}
		}
		return &ir.Healthcheck{Test: pick(g, []string{"CMD-SHELL", g.line()}, []string{"CMD", g.text(2)}), Interval: pick(g, 0, time.Second, time.Hour+time.Millisecond)}
	case 12:
		return &ir.Author{Author: g.text(4)}
	case 13:
		return &ir.Expose{Ports: []ir.Word{pick(g, ir.Word("80"), "$P", "1-3/udp", q("${NO:-9 10}"), "70000")}}
	case 14, 15, 16:
		r := &ir.Run{Network: pick(g, "", ir.NetNone)}
		if g.flip(3) {
			t := g.textFile()
			if g.flip(2) {
				t.Data = "#!/bin/x" + t.Data
			}
			r.Script = &ir.Text{Name: t.Name, Data: t.Data}
		} else {
			r.Command = ptr(g.command())
		}
		for g.flip(2) {
			r.Mounts = append(r.Mounts, g.mount())
		}
		return r
	}
	c := &ir.Copy{Dest: g.word(), Chown: g.maybe(q(pick(g, "1:2", "$Q", "a b"))), Chmod: g.maybe(q(pick(g, "0644", "u+x", "$Q", "nonsense"))), Link: g.flip(4)}
	if g.flip(3) {
		c.Texts = append(c.Texts, g.textFile())
	}
	if len(c.Texts) == 0 || g.flip(2) {
		c.From, c.Src = g.source(), g.words()
		c.Parents = g.flip(5)
		if g.flip(5) {
			c.Unpack = ptr(g.flip(2))
		}
	}
	if g.flip(5) {
		c.Exclude = []string{g.text(2)}
	}
	if g.flip(4) && !c.Parents {
		c.Add = true
		if g.flip(2) {
			c.Src = append(c.Src, q(pick(g, "https://example.com/a.tgz", "https://example.com/$Q", "https://example.com/x.git#main:sub", "git://example.com/y.git")))
			c.KeepGitDir = pick(g, nil, ptr(true), ptr(false))
		}
		if len(c.Src) > 0 && c.From == nil {
			c.From = ir.ContextSource{Context: g.contexts[0]}
		}
	}
	return c
}

func (g *gen) graph() (*ir.Graph, *ir.Target) {
	g.contexts = []*ir.Context{{Name: "default", Path: ".", Patterns: pick(g, nil, []string{"x", "!#y"})}, {Name: "Extra", Path: "e"}}
	t := &ir.Target{Addr: "target.t", Name: "t"}
	platforms := pick(g, []*ocispecs.Platform{nil}, []*ocispecs.Platform{amd64}, []*ocispecs.Platform{amd64, arm64}, []*ocispecs.Platform{amd64, arm64, armv7})
	variants := platforms[0] != nil && g.flip(2)
	seed := g.Int63()
	for _, p := range platforms {
		if variants {
			g.Rand, g.platform = rand.New(rand.NewSource(seed)), p
			g.stages = nil
		}
		if variants || g.stages == nil {
			g.makeStages()
		}
		t.Builds = append(t.Builds, &ir.Build{Platform: p, Image: g.stages[len(g.stages)-1]})
	}
	return graphOf(t), t
}

// makeStages makes stages, each on or beside those before. Variants differ where
// a step names their platform.
func (g *gen) makeStages() {
	for i, n := 0, 1+g.Intn(4); i < n; i++ {
		s := stage(pick(g, "s", "app", "alpine")+string(rune('0'+i)), pick(g, "debian", "rich", "scratch", "alpine:3", "triggers:1", "s0"))
		s.For = g.platform
		if len(g.stages) > 0 && g.flip(2) {
			s.Root = ir.StageRoot{Stage: pick(g, g.stages...)}
		}
		if _, ok := s.Root.(ir.ImageRoot); ok && g.flip(4) {
			s.Platform = pick(g, &ir.Platform{Platform: *amd64, Auto: "BUILDPLATFORM"}, &ir.Platform{Platform: *armv7})
		}
		for k := g.Intn(6); k > 0; k-- {
			s.Steps = append(s.Steps, g.step())
			if g.platform != nil && g.flip(6) {
				auto := g.flip(2)
				s.Steps = append(s.Steps, &ir.Arg{Key: pick(g, "TARGETARCH", "GOARCH"), Value: ptr(q(g.platform.Architecture)), Auto: false})
				if auto {
					s.Steps[len(s.Steps)-1] = &ir.Arg{Key: "TARGETARCH", Value: ptr(q(g.platform.Architecture)), Auto: true}
				}
			}
		}
		g.stages = append(g.stages, s)
	}
}

// check is the property for one seed. It reports whether a Dockerfile could be
// emitted and BuildKit took it.
func check(t *testing.T, seed int64) bool {
	g, target := (&gen{Rand: rand.New(rand.NewSource(seed))}).graph()
	if err := ir.Verify(g); err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, ir.Print(g))
	}
	file, diags := dockerfile.Emit(g, target)
	if diags.HasErrors() {
		return false
	}
	text, ok := compareFile(g, target, file)
	if !ok {
		t.Fatalf("seed %d:\n%s\n%s", seed, ir.Print(g), text)
	}
	return text == ""
}

func TestRandomGraphsAgree(t *testing.T) {
	built := 0
	const n = 1000
	for seed := int64(0); seed < n; seed++ {
		if check(t, seed) {
			built++
		}
	}
	if built < n/8 {
		t.Errorf("only %d of %d graphs were built by both: the generator is too wild to prove much", built, n)
	}
	t.Logf("%d of %d built", built, n)
}

func FuzzRandomGraphs(f *testing.F) {
	f.Add(int64(1))
	f.Fuzz(func(t *testing.T, seed int64) { check(t, seed) })
}
