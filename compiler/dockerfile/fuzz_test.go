package dockerfile

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/ir"
)

// roundTrip emits one step, has BuildKit's parser read the file, and reads the
// instruction back as a step. It returns nil when the step cannot be emitted.
func roundTrip(t *testing.T, step ir.Step) ir.Step {
	t.Helper()
	tgt := target(stage("app", step))
	f, diags := Emit(graph(tgt), tgt)
	if diags.HasErrors() {
		return nil
	}
	res, err := parser.Parse(strings.NewReader(string(f.Dockerfile)))
	if err != nil {
		t.Fatalf("%v\n%s", err, f.Dockerfile)
	}
	nodes := res.AST.Children
	nodes = nodes[len(nodes)-1:]
	if n := len(res.AST.Children); n < 2 {
		t.Fatalf("%d instructions:\n%s", n, f.Dockerfile)
	}
	r := Reader{Context: mainContext, From: func(name string, _ bool) (ir.Source, error) { return ir.ImageSource{Ref: name}, nil }}
	steps, err := r.Steps(nodes[0])
	if err != nil || len(steps) != 1 {
		t.Fatalf("%v\n%s", err, f.Dockerfile)
	}
	return steps[0]
}

// same compares what words expand to, with and without variables set.
func same(t *testing.T, what string, want, got ir.Word) {
	t.Helper()
	for _, env := range []envs{{}, {"A": "1", "Q": "x y", "NO": ""}} {
		a, errA := expand(want, env)
		b, errB := expand(got, env)
		if a != b || (errA == nil) != (errB == nil) {
			t.Fatalf("%s: %q expands to %q (%v), back as %q to %q (%v)", what, want, a, errA, got, b, errB)
		}
	}
}

func expand(w ir.Word, env envs) (string, error) {
	if w == "" {
		return "", nil
	}
	return w.Expand(env)
}

type envs map[string]string

func (e envs) Get(k string) (string, bool) { v, ok := e[k]; return v, ok }
func (e envs) Keys() []string              { return nil }

// raw is a word that some Dockerfile might hold, or nothing if the lexer refuses
// it; quoted is what Quote makes of it.
func fuzzWords(s string) (out []ir.Word) {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(s) > 1000 {
		return nil
	}
	if w, err := ir.Quote(s); err == nil {
		out = append(out, w)
	}
	out = append(out, ir.Literal(s))
	return out
}

func seed(f *testing.F) {
	for _, s := range []string{"", "a", "a b", `a"b`, "it's", `a\`, "$A", "${Q:-x y}", `${Q:-"a b"}`, `\$A`, "#x", "--f", "-", "<<EOF", "1<<E", "[a]", `["a"]`, "a=b", "=", "ü", "\t", "a\rb", "\u00a0", "\ufeff", "`", "a,b", `"a,b"`, "$", "${A", "a\nb", "!x", "A=$A", "<<", "a<<b c", "\\\\", "&&   x", "x \\"} {
		f.Add(s)
	}
}

func FuzzEnv(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range fuzzWords(s) {
			got := roundTrip(t, &ir.Env{Pairs: []ir.WordKV{{Key: "A", Value: w}, {Key: w, Value: "x"}, {Key: "B", Value: w}}})
			if got == nil {
				got = roundTrip(t, &ir.Env{Pairs: []ir.WordKV{{Key: "A", Value: w}}})
			}
			if e, ok := got.(*ir.Env); ok {
				same(t, "value", w, e.Pairs[0].Value)
				if len(e.Pairs) > 1 {
					same(t, "key", w, e.Pairs[1].Key)
					same(t, "last value", w, e.Pairs[2].Value)
				}
			}
			if a, ok := roundTrip(t, &ir.Arg{Key: "A", Value: &w}).(*ir.Arg); ok {
				same(t, "arg", w, *a.Value)
			}
		}
	})
}

func FuzzWholeLine(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range fuzzWords(s) {
			if d, ok := roundTrip(t, &ir.Workdir{Path: w}).(*ir.Workdir); ok {
				same(t, "workdir", w, d.Path)
			}
			if u, ok := roundTrip(t, &ir.User{User: w}).(*ir.User); ok {
				same(t, "user", w, u.User)
			}
		}
		if !utf8.ValidString(s) {
			return
		}
		if a, ok := roundTrip(t, &ir.Author{Author: s}).(*ir.Author); ok && a.Author != s {
			t.Fatalf("%q", a.Author)
		}
	})
}

func FuzzCopy(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range fuzzWords(s) {
			step := &ir.Copy{From: ir.ContextSource{Context: mainContext}, Src: []ir.Word{w, "b", w}, Dest: w, Chown: w, Chmod: w, Exclude: []string{s}}
			if s == "" {
				step.Exclude = nil
			}
			c, ok := roundTrip(t, step).(*ir.Copy)
			if !ok {
				continue
			}
			same(t, "source", w, c.Src[0])
			same(t, "last source", w, c.Src[2])
			same(t, "dest", w, c.Dest)
			same(t, "chown", w, c.Chown)
			same(t, "chmod", w, c.Chmod)
			if !reflect.DeepEqual(c.Exclude, step.Exclude) {
				t.Fatalf("exclude %q, want %q", c.Exclude, step.Exclude)
			}
			if v, ok := roundTrip(t, &ir.Volume{Paths: []ir.Word{w, w}}).(*ir.Volume); ok {
				same(t, "volume", w, v.Paths[0])
				same(t, "volume", w, v.Paths[1])
			}
		}
	})
}

func FuzzMount(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range fuzzWords(s) {
			step := shell("x")
			step.Mounts = []ir.Mount{
				{Kind: ir.MountBind, From: ir.ImageSource{Ref: "alpine"}, Target: w, Source: w},
				{Kind: ir.MountCache, Cache: &ir.Cache{ID: s}, Target: w, Mode: w},
				{Kind: ir.MountSecret, Secret: &ir.Secret{ID: s}, Target: w, UID: w},
			}
			r, ok := roundTrip(t, step).(*ir.Run)
			if !ok {
				continue
			}
			same(t, "target", w, r.Mounts[0].Target)
			same(t, "source", w, r.Mounts[0].Source)
			same(t, "mode", w, r.Mounts[1].Mode)
			same(t, "uid", w, r.Mounts[2].UID)
			if id := r.Mounts[1].Cache.ID; s != "" && id != s {
				t.Fatalf("cache %q, want %q", id, s)
			}
			if id := r.Mounts[2].Secret.ID; s != "" && id != s {
				t.Fatalf("secret %q, want %q", id, s)
			}
		}
	})
}

func FuzzRun(f *testing.F) {
	seed(f)
	for _, s := range []string{"a\nb", "cat <<A\nx\nA", "a &&   b &&   #c", "for i in   a;   do   'x     y';   done        # end        \\ of it all", "<<A <<B\n", "\\\n", "a \\\n  b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) || s == "" {
			return
		}
		for _, mounts := range [][]ir.Mount{nil, {{Kind: ir.MountTmpfs, Target: "/t"}}} {
			step := shell(s)
			step.Mounts = mounts
			r, ok := roundTrip(t, step).(*ir.Run)
			if !ok {
				continue
			}
			if len(r.Mounts) != len(mounts) {
				t.Fatalf("%d mounts", len(r.Mounts))
			}
			var got string
			switch RunForm(s) {
			case FormHeredoc:
				if r.Script == nil {
					t.Fatal("no script")
				}
				got = strings.TrimSuffix(r.Script.Data, "\n")
			case FormExec:
				got = r.Command.Args[2]
			default:
				if !r.Command.Shell {
					t.Fatal("no shell")
				}
				got = r.Command.Args[0]
			}
			if got != s {
				t.Fatalf("%q, want %q", got, s)
			}
		}
		if c, ok := roundTrip(t, &ir.Cmd{Command: ir.Command{Shell: true, Args: []string{s}}}).(*ir.Cmd); ok {
			if got := c.Args[len(c.Args)-1]; got != s || c.Shell == (CommandForm(s) == FormExec) {
				t.Fatalf("CMD %q, want %q", got, s)
			}
		}
		if c, ok := roundTrip(t, &ir.Entrypoint{Command: ir.Command{Args: []string{s, s}}}).(*ir.Entrypoint); ok && !reflect.DeepEqual(c.Args, []string{s, s}) {
			t.Fatalf("ENTRYPOINT %q", c.Args)
		}
		if h, ok := roundTrip(t, &ir.Healthcheck{Test: []string{"CMD-SHELL", s}}).(*ir.Healthcheck); ok && h.Test[1] != s {
			t.Fatalf("HEALTHCHECK %q", h.Test)
		}
	})
}

func FuzzText(f *testing.F) {
	seed(f)
	f.Add("a\nEOF\nb\n")
	f.Add("\tx\n\r\n")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		for _, expand := range []bool{true, false} {
			want := ir.Text{Name: "EOF", Data: s, Expand: expand}
			step := &ir.Copy{Texts: []ir.Text{want, {Name: "b", Data: s}}, Dest: "/x", From: ir.ContextSource{Context: mainContext}, Src: []ir.Word{"a"}}
			if c, ok := roundTrip(t, step).(*ir.Copy); ok && (len(c.Texts) != 2 || c.Texts[0] != want || c.Texts[1].Data != s) {
				t.Fatalf("%+v", c.Texts)
			}
		}
		for _, data := range []string{s, "#!" + s, s + "\n"} {
			r, ok := roundTrip(t, &ir.Run{Script: &ir.Text{Name: "EOF", Data: data}}).(*ir.Run)
			if ok && r.Script != nil && r.Script.Data != data {
				t.Fatalf("%q, want %q", r.Script.Data, data)
			}
		}
		// A name either is a heredoc's word or refused.
		if c, ok := roundTrip(t, &ir.Copy{Texts: []ir.Text{{Name: s, Data: "x\n"}}, Dest: "/x"}).(*ir.Copy); ok && c.Texts[0].Name != s {
			t.Fatalf("name %q, want %q", c.Texts[0].Name, s)
		}
	})
}
