package importer

import (
	"path"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// validMounts has BuildKit read the mounts with what is known of the environment,
// for its errors.
func (im *importer) validMounts(st *stage, s *step, c *instructions.RunCommand) bool {
	guessed := false
	err := c.Expand(func(word string) (string, error) {
		if v, ok := im.static(st, word); ok {
			return v, nil
		}
		if v, ok := im.constant(word); ok {
			return v, nil
		}
		guessed = true
		return "1", nil
	})
	if err != nil && !guessed {
		im.failAt(CodeInvalid, err, s.node)
		return false
	}
	if err == nil {
		for _, m := range instructions.GetMounts(c) {
			switch m.Type {
			case instructions.MountTypeSecret, instructions.MountTypeSSH:
			default:
				if path.Clean(m.Target) == "/" {
					im.errorf(CodeInvalid, s.node, "invalid mount target "+strconv.Quote(m.Target), "BuildKit refuses this, so it cannot be imported.")
					return false
				}
			}
		}
	}
	return true
}

func (im *importer) mounts(st *stage, s *step, b *block) {
	var mounts, env, agents []entry
	for _, m := range s.mounts {
		f := m.fields
		text := func(key string) string {
			t, err := im.text(f[key])
			if err != nil {
				im.cannot(st, s.node, err)
			}
			return t
		}
		kind := strings.ToLower(im.decided(st, s, f, "type"))
		if kind == "" {
			kind = "bind"
		}
		e := entry{key: text("target"), path: true}
		if e.key == "" && kind != "secret" && kind != "ssh" {
			e.key = "." // the working directory
		}
		switch kind {
		case "bind":
			e.val = im.bindMount(st, s, m, text)
		case "cache":
			e.val = im.cacheMount(st, s, m, text)
		case "tmpfs":
			e.val = call{"tmpfs", nil}
			if f["size"] != "" {
				e.val = call{"tmpfs", []expr{object{tight: true, entries: []entry{{key: "size", val: str(text("size"))}}}}}
			}
		case "secret":
			im.secretMount(st, s, m, text, &mounts, &env)
			continue
		case "ssh":
			v := im.sshMount(st, s, m, text)
			if v == nil {
				return
			}
			if e.key == "" {
				if _, plain := v.(raw); !plain {
					e.key = "/run/buildkit/ssh_agent." + strconv.Itoa(len(agents))
				} else {
					agents = append(agents, entry{val: v})
					continue
				}
			}
			e.val = v
		}
		if e.val == nil {
			return
		}
		mounts = append(mounts, e)
	}
	if len(mounts) > 0 {
		b.set("mounts", objects(mounts), s.node)
	}
	if len(agents) > 0 {
		l := list{}
		for _, a := range agents {
			l = append(l, a.val)
		}
		b.set("ssh", l, s.node)
	}
	if len(env) > 0 {
		b.set("env", objects(env), s.node)
	}
}

// objects is an object, or a list of them when a key occurs more than once.
func objects(entries []entry) expr {
	out := list{}
	first := 0
	for i, e := range entries {
		if hasKey(entries[first:i], e.key) {
			out = append(out, obj(entries[first:i]))
			first = i
		}
	}
	if len(out) == 0 {
		return obj(entries)
	}
	return append(out, obj(entries[first:]))
}

// fieldText is an option of a mount that the language does not expand at build
// time, as the inside of an HCL template.
func (im *importer) fieldText(st *stage, s *step, f map[string]string, key string) (string, bool) {
	v := f[key]
	if v == "" {
		return "", true
	}
	t, ok := im.literal(st, v)
	if !ok {
		if t, ok = im.guessed(st, v); ok {
			im.warnf(CodeFixed, s.node, "An option of a mount was worked out", "%s=%s reads a variable that the Dockerfile does not set, and was taken to have no value. Should the base image set it, put its value there.", key, v)
			return t, true
		}
		im.unsayable(s.node, "An option of a mount that is not known before the build", "hbuild has to know %s=%s before it builds.", key, v)
	}
	return t, ok
}

// decided is an option of a mount that must be one of a few words.
func (im *importer) decided(st *stage, s *step, f map[string]string, key string) string {
	v := f[key]
	if c, ok := im.constant(v); ok {
		return c
	}
	out, _, err := shell.NewLex(rune(im.esc)).ProcessWord(v, defaultsEnv(st.env))
	if err != nil {
		im.failAt(CodeInvalid, err, s.node)
		return ""
	}
	im.warnf(CodeFixed, s.node, "An option of a mount was worked out", "%s=%s is %q by default, and hbuild takes that whatever a caller sets.", key, v, out)
	return out
}

// defaultsEnv is a stage's environment when a caller sets nothing.
type defaultsEnv map[string]known

// Get implements shell.EnvGetter.
func (e defaultsEnv) Get(k string) (string, bool) { v := e[k]; return v.value, v.set }

// Keys implements shell.EnvGetter.
func (e defaultsEnv) Keys() []string { return nil }

// withOptions wraps a value in mount() when there are options.
func withOptions(v expr, options []entry) expr {
	if len(options) == 0 {
		return v
	}
	return call{"mount", []expr{v, object{entries: options, tight: true}}}
}

func (im *importer) writable(st *stage, s *step, f map[string]string) (value, given bool) {
	if _, ok := f["readwrite"]; ok {
		return truth(im.decided(st, s, f, "readwrite")), true
	}
	if _, ok := f["readonly"]; ok {
		return !truth(im.decided(st, s, f, "readonly")), true
	}
	return false, false
}

func (im *importer) bindMount(st *stage, s *step, m *mount, text func(string) string) expr {
	var opts []entry
	src := text("source")
	v := im.sourceValue(st, m.from)
	if m.from != nil && m.from.stage != nil && src != "" && src != "/" {
		if a := im.artifact(m.from.stage, m.fields["source"]); a != "" {
			v, src = raw(a), ""
		}
	}
	if src != "" && src != "/" {
		opts = append(opts, entry{key: "source", val: str(src)})
	}
	if w, given := im.writable(st, s, m.fields); given && w {
		opts = append(opts, entry{key: "writable", val: raw("true")})
	}
	return withOptions(v, opts)
}

// sourceValue is what a `from` names, as a build value; nil names the context.
func (im *importer) sourceValue(st *stage, from *source) expr {
	switch {
	case from == nil:
		return raw("context.default")
	case from.stage != nil:
		return raw("stage." + from.stage.name)
	case from.image == "scratch":
		return raw("scratch")
	}
	args := []expr{str(from.image)}
	if root := st; true {
		for root.base != nil {
			root = root.base
		}
		if root.plat != nil && root.plat.render(0) != "platform.target.id" {
			// An image that is only read has the target's platform in a Dockerfile.
			args = append(args, object{tight: true, entries: []entry{{key: "platform", val: raw("platform.target.id")}}})
		}
	}
	return call{"image", args}
}

// resource is a cache, a secret, an agent or an artifact.
type resource struct {
	name  string
	id    string
	attrs []entry
	from  *parser.Node
	stage *stage
}

func find(list []*resource, id string) *resource {
	for _, r := range list {
		if r.id == id {
			return r
		}
	}
	return nil
}

func (im *importer) cacheMount(st *stage, s *step, m *mount, text func(string) string) expr {
	f := m.fields
	id, ok := im.fieldText(st, s, f, "id")
	if !ok {
		return nil
	}
	target, known := im.literal(st, f["target"])
	empty := false // the path ends in a variable that has no value, and BuildKit cleans it
	if id == "" {
		if !known {
			if target, known = im.guessed(st, f["target"]); !known {
				im.unsayable(s.node, "A cache whose id is not known before the build", "Its path is its id, and %s reads a variable. Give the mount an id.", f["target"])
				return nil
			}
			im.warnf(CodeFixed, s.node, "The id of a cache was worked out", "Its path is its id, and %s reads a variable that the Dockerfile does not set; it was taken to have no value.", f["target"])
		}
		id = path.Clean(target)
		v, _, err := shell.NewLex(rune(im.esc)).ProcessWord(f["target"], defaultsEnv(st.env))
		empty = err == nil && known && strings.Contains(id, "${") && strings.HasSuffix(v, "/") && v != "/"
	}
	sharing := strings.ToLower(im.decided(st, s, f, "sharing"))
	from := ""
	if m.from != nil {
		from = im.sourceValue(st, m.from).render(0)
	}
	if from == "scratch" {
		from = ""
	}
	if from == "" && f["source"] != "" && f["source"] != "/" {
		from = "scratch" // a part of the cache is a part of what it starts with
	}
	// One block for each id, initial content and way of sharing.
	key := id + "\x00" + from + "\x00" + sharing
	r := find(im.caches, key)
	if r == nil {
		name := cacheWords[id]
		if name == "" {
			base := id
			if i := strings.Index(base, "${"); i >= 0 {
				base = base[:i]
			}
			name = strings.Trim(strings.TrimLeft(path.Base("/"+strings.Trim(base, "/")), "."), "/")
			if name == "" || name == "cache" {
				name = strings.ReplaceAll(strings.Trim(base, "/"), "/", "_")
			}
		}
		r = &resource{name: im.unique("cache", strings.ToLower(name), "cache"), id: key, from: s.node}
		switch {
		case empty:
			r.attrs = append(r.attrs, entry{key: "id", val: raw(`trimsuffix("` + id + `", "/")`)})
		case id != r.name:
			r.attrs = append(r.attrs, entry{key: "id", val: raw(`"` + id + `"`)})
		}
		if sharing != "" && sharing != "shared" {
			r.attrs = append(r.attrs, entry{key: "sharing", val: str(sharing)})
		}
		if from != "" {
			r.attrs = append(r.attrs, entry{key: "from", val: raw(from)})
		}
		im.caches = append(im.caches, r)
	}
	var opts []entry
	for _, k := range []string{"source", "mode", "uid", "gid"} {
		if f[k] != "" && !(k == "source" && f[k] == "/") {
			opts = append(opts, entry{key: k, val: str(text(k))})
		}
	}
	if w, given := im.writable(st, s, f); given && !w {
		opts = append(opts, entry{key: "writable", val: raw("false")})
	}
	return withOptions(raw("cache."+r.name), opts)
}

func truth(v string) bool {
	b, _ := strconv.ParseBool(v)
	return b
}

func (im *importer) secretMount(st *stage, s *step, m *mount, text func(string) string, mounts, env *[]entry) {
	f := m.fields
	name := f["id"]
	if name == "" {
		name = f["source"]
	}
	if name == "" {
		name = path.Base(f["target"])
	}
	id, ok := im.fieldText(st, s, map[string]string{"id": name}, "id")
	if !ok {
		return
	}
	required := truth(im.decided(st, s, f, "required"))
	ref := im.supplied(&im.secrets, "secret", id, required, s)
	_, hasEnv := f["env"]
	target := text("target")
	var opts []entry
	for _, k := range []string{"mode", "uid", "gid"} {
		if f[k] != "" {
			opts = append(opts, entry{key: k, val: str(text(k))})
		}
	}
	if hasEnv {
		e, ok := im.fieldText(st, s, f, "env")
		if !ok {
			return
		}
		if e == "" {
			e = id
		}
		*env = append(*env, entry{key: e, val: raw(ref)})
	}
	tmpl := false
	if target == "" && !hasEnv {
		target, tmpl = "/run/secrets/"+path.Base(id), true
	}
	if target == "" {
		return
	}
	*mounts = append(*mounts, entry{key: target, path: true, tmpl: tmpl, val: withOptions(raw(ref), opts)})
}

// supplied is the reference of a secret or an agent.
func (im *importer) supplied(in *[]*resource, kind, id string, required bool, s *step) string {
	key := id
	if required {
		key += "\x00required"
	}
	r := find(*in, key)
	if r == nil {
		name, _, _ := strings.Cut(id, "${")
		r = &resource{name: im.unique(kind, name, kind), id: key, from: s.node}
		if r.name != id {
			r.attrs = append(r.attrs, entry{key: "id", val: raw(`"` + id + `"`)})
		}
		if required != (kind == "secret") { // the defaults of the language
			r.attrs = append(r.attrs, entry{key: "required", val: raw(strconv.FormatBool(required))})
		}
		*in = append(*in, r)
	}
	return kind + "." + r.name
}

func (im *importer) sshMount(st *stage, s *step, m *mount, text func(string) string) expr {
	f := m.fields
	id, ok := im.fieldText(st, s, f, "id")
	if !ok {
		return nil
	}
	if id == "" {
		id = "default"
	}
	ref := im.supplied(&im.agents, "ssh", id, truth(im.decided(st, s, f, "required")), s)
	var opts []entry
	for _, k := range []string{"mode", "uid", "gid"} {
		if f[k] != "" {
			opts = append(opts, entry{key: k, val: str(text(k))})
		}
	}
	return withOptions(raw(ref), opts)
}

var cacheWords = map[string]string{
	"/go/pkg/mod": "gomod", "/root/.cache/go-build": "gobuild", "/root/.cache/go": "gobuild", "/root/.npm": "npm", "/root/.cache/pip": "pip", "/root/.cache/uv": "uv",
	"/var/cache/apt": "apt", "/var/lib/apt": "apt_lists", "/var/lib/apt/lists": "apt_lists", "/root/.m2": "maven", "/root/.gradle": "gradle", "/usr/local/cargo/registry": "cargo_registry",
	"/usr/local/cargo/git": "cargo_git", "/root/.cargo/registry": "cargo_registry", "/root/.cache": "home_cache", "/usr/local/share/.cache/yarn": "yarn", "/var/cache/apk": "apk", "/etc/apk/cache": "apk",
}
