package importer

import (
	"path"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// step writes an instruction that does something.
func (im *importer) step(st *stage, s *step) {
	switch c := s.cmd.(type) {
	case *instructions.RunCommand:
		im.run1(st, s, c)
	case *instructions.CopyCommand:
		im.copy(st, s, copyCmd{
			files: c.SourcesAndDest, from: s.from, chown: c.Chown, chmod: c.Chmod, link: c.Link, parents: c.Parents, exclude: c.ExcludePatterns,
		})
	case *instructions.AddCommand:
		unpack := c.Unpack == nil || *c.Unpack
		im.copy(st, s, copyCmd{
			files: c.SourcesAndDest, chown: c.Chown, chmod: c.Chmod, link: c.Link, exclude: c.ExcludePatterns,
			add: true, unpack: &unpack, asked: c.Unpack, checksum: c.Checksum, keepGit: c.KeepGitDir,
		})
	default:
		im.unsayable(s.node, "An instruction that hbuild does not know", "%s has no counterpart.", strings.ToUpper(s.cmd.Name()))
	}
}

// ---- RUN --------------------------------------------------------------------

func (im *importer) run1(st *stage, s *step, c *instructions.RunCommand) {
	b := &block{head: "run", from: s.node, comment: s.comment}
	if !im.validMounts(st, s, c) {
		return
	}
	line := strings.Join(c.CmdLine, " ")
	switch {
	case !c.PrependShell:
		b.set("command", strs(c.CmdLine), s.node)
	case len(c.Files) > 0 && parser.MustParseHeredoc(line) != nil:
		im.script(st, b, s, c)
	default:
		im.shellLine(st, b, s, shellText(c))
	}
	if n := instructions.GetNetwork(c); n != instructions.NetworkDefault {
		b.set("network", str(n), s.node)
	}
	if v := instructions.GetSecurity(c); v != instructions.SecuritySandbox {
		b.set("security", str(v), s.node)
	}
	if devices := instructions.GetDevices(c); len(devices) > 0 {
		var l list
		for _, d := range devices {
			if d.Required {
				l = append(l, object{tight: true, entries: []entry{{key: "name", val: str(d.Name)}, {key: "required", val: raw("true")}}})
			} else {
				l = append(l, str(d.Name))
			}
		}
		b.set("devices", l, s.node)
	}
	im.mounts(st, s, b)
	st.block.blocks = append(st.block.blocks, b)
}

// script is a heredoc that is the whole command.
func (im *importer) script(st *stage, b *block, s *step, c *instructions.RunCommand) {
	f := c.Files[0]
	data := f.Data
	if f.Chomp {
		data = parser.ChompHeredocContent(data)
	}
	if strings.HasPrefix(data, "#!") && f.Name != "EOF" {
		b.set("script_name", str(f.Name), s.node)
	}
	if strings.TrimSpace(data) == "" {
		b.set("command", append(strs(im.shellOf(st, s)), str(data)), s.node)
		return
	}
	b.set("script", textOf(data), s.node)
}

// textOf is a text as a heredoc where that can hold it.
func textOf(data string) expr {
	if strings.HasSuffix(data, "\n") {
		return doc(data)
	}
	return str(data)
}

// shellText is the line that BuildKit gives to the shell: the heredocs of the
// shell's own are put back behind it.
func shellText(c *instructions.RunCommand) string {
	var b strings.Builder
	b.WriteString(strings.Join(c.CmdLine, " "))
	for _, f := range c.Files {
		b.WriteString("\n" + f.Data + f.Name)
	}
	return b.String()
}

// shellLine writes a command for the shell as its author wrote it, where the
// language makes the same command of that.
func (im *importer) shellLine(st *stage, b *block, s *step, text string) {
	if lines := im.commandLines(s.node, text); lines != "" {
		b.set("command", doc(lines+"\n"), s.node)
		return
	}
	switch {
	case strings.Contains(text, "\n"):
		if joined(text+"\n") == text {
			b.set("command", doc(text+"\n"), s.node)
			return
		}
		// A line that ends in a backslash would be joined to the next one.
		b.set("script", str(text), s.node)
	case strings.Count(text, `"`)+strings.Count(text, `\`) > 2 && joined(text+"\n") == text:
		b.set("command", doc(text+"\n"), s.node)
	case strings.TrimSpace(text) == "":
		b.set("command", append(strs(im.shellOf(st, s)), str(text)), s.node)
	default:
		b.set("command", str(text), s.node)
	}
}

func (im *importer) shellOf(st *stage, _ *step) []string {
	if st.shell != nil {
		return st.shell
	}
	return []string{"/bin/sh", "-c"}
}

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

// ---- caches, secrets, agents ------------------------------------------------

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

var cacheWords = map[string]string{
	"/go/pkg/mod": "gomod", "/root/.cache/go-build": "gobuild", "/root/.cache/go": "gobuild", "/root/.npm": "npm", "/root/.cache/pip": "pip", "/root/.cache/uv": "uv",
	"/var/cache/apt": "apt", "/var/lib/apt": "apt_lists", "/var/lib/apt/lists": "apt_lists", "/root/.m2": "maven", "/root/.gradle": "gradle", "/usr/local/cargo/registry": "cargo_registry",
	"/usr/local/cargo/git": "cargo_git", "/root/.cargo/registry": "cargo_registry", "/root/.cache": "home_cache", "/usr/local/share/.cache/yarn": "yarn", "/var/cache/apk": "apk", "/etc/apk/cache": "apk",
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

// ---- COPY and ADD -------------------------------------------------------------

// copyCmd is a COPY or an ADD.
type copyCmd struct {
	files              instructions.SourcesAndDest
	from               *source
	chown, chmod       string
	link, parents, add bool
	exclude            []string
	unpack, asked      *bool // what an ADD does, and what it was asked to do
	checksum           string
	keepGit            *bool
	mixed              bool // addresses and paths
}

func (im *importer) copy(st *stage, s *step, c copyCmd) {
	text := func(w string) string {
		t, err := im.text(w)
		if err != nil {
			im.cannot(st, s.node, err)
		}
		return t
	}
	remote := 0
	var values []expr
	for _, src := range c.files.SourcePaths {
		t := text(src)
		if c.add {
			if v := im.remoteValue(st, src, t, c, text); v != nil {
				values = append(values, v)
				remote++
				continue
			}
		}
		values = append(values, str(t))
	}
	c.mixed = remote > 0 && remote < len(c.files.SourcePaths)
	if c.checksum != "" && remote == 0 {
		im.errorf(CodeInvalid, s.node, "checksum can't be specified for non-HTTP(S) sources", "BuildKit refuses this, so it cannot be imported.")
		return
	}
	dest := text(c.files.DestPath)
	if dest == "" {
		dest = "."
	}
	if len(c.files.SourcePaths) == 0 && len(c.files.SourceContents) == 1 && !c.link && len(c.exclude) == 0 {
		im.writeStep(st, s, c, dest, text)
		return
	}
	b := &block{head: "copy", from: s.node, comment: s.comment}
	var value expr
	switch {
	case len(c.files.SourceContents) > 0:
		for _, t := range c.files.SourceContents {
			values = append(values, heredocValue(t))
		}
	case remote > 0:
	case c.from != nil && c.from.stage != nil && len(values) == 1:
		if w, ok := im.constant(c.files.SourcePaths[0]); ok && w == "/" && !c.parents {
			value = raw("stage." + c.from.stage.name)
			c.from = nil
		} else if a := im.artifact(c.from.stage, c.files.SourcePaths[0]); a != "" && !c.parents {
			value = raw(a)
			c.from = nil
		}
	}
	if c.from != nil {
		b.set("from", im.sourceValue(st, c.from), s.node)
	}
	if value == nil {
		value = list(values)
		if len(values) == 1 {
			if _, isCall := values[0].(call); !isCall || remote > 0 {
				value = values[0]
			}
		}
	}
	b.set("files", object{entries: []entry{{key: dest, path: true, val: value}}}, s.node)
	im.copyOptions(b, s, c, remote > 0, text)
	im.merge(st, b)
}

// merge puts a copy into the one before it, when they differ in their files only.
func (im *importer) merge(st *stage, b *block) {
	blocks := st.block.blocks
	if len(blocks) > 0 && len(b.comment) == 0 { // a comment is about its own copy
		last := blocks[len(blocks)-1]
		if last.head == "copy" && len(last.attrs) == len(b.attrs) && sameButFiles(last, b) {
			i := filesIndex(last)
			o, add := last.attrs[i].val.(object), b.attrs[filesIndex(b)].val.(object).entries[0]
			if !hasKey(o.entries, add.key) {
				o.entries = append(o.entries, add)
				last.attrs[i].val = o
				return
			}
		}
	}
	st.block.blocks = append(blocks, b)
}

func filesIndex(b *block) int {
	for i, a := range b.attrs {
		if a.name == "files" {
			return i
		}
	}
	return -1
}

func sameButFiles(a, b *block) bool {
	for i := range a.attrs {
		if a.attrs[i].name != b.attrs[i].name || a.attrs[i].name != "files" && a.attrs[i].val.render(0) != b.attrs[i].val.render(0) {
			return false
		}
	}
	return filesIndex(a) >= 0
}

func (im *importer) copyOptions(b *block, s *step, c copyCmd, remote bool, text func(string) string) {
	if c.chown != "" {
		b.set("chown", str(text(c.chown)), s.node)
	}
	if c.chmod != "" {
		b.set("chmod", str(text(c.chmod)), s.node)
	}
	if c.link {
		b.set("link", raw("true"), s.node)
	}
	if c.parents {
		b.set("parents", raw("true"), s.node)
	}
	if len(c.exclude) > 0 {
		b.set("exclude", strs(c.exclude), s.node)
	}
	switch {
	case c.add && !remote && *c.unpack && len(c.files.SourcePaths) > 0:
		b.set("unpack", raw("true"), s.node)
	case c.add && remote && c.asked != nil && *c.asked:
		b.set("unpack", raw("true"), s.node)
	case c.add && c.mixed && c.asked != nil:
		b.set("unpack", raw("false"), s.node)
	}
}

// heredocValue is a heredoc source as text().
func heredocValue(t instructions.SourceContent) expr {
	var opts []entry
	if t.Path != "EOF" {
		opts = append(opts, entry{key: "name", val: str(t.Path)})
	}
	if t.Expand && strings.ContainsAny(t.Data, "$\\") {
		opts = append(opts, entry{key: "expand", val: raw("true")})
	}
	args := []expr{textOf(t.Data)}
	if len(opts) > 0 {
		args = append(args, object{entries: opts, tight: true})
	}
	return call{"text", args}
}

// writeStep is a heredoc that is copied to a file.
func (im *importer) writeStep(st *stage, s *step, c copyCmd, dest string, text func(string) string) {
	t := c.files.SourceContents[0]
	b := &block{head: "write", from: s.node, comment: s.comment}
	b.set("path", str(dest), s.node)
	if t.Path != "EOF" {
		b.set("name", str(t.Path), s.node)
	}
	if t.Expand && strings.ContainsAny(t.Data, "$\\") {
		b.set("expand", raw("true"), s.node)
	}
	if c.chown != "" {
		b.set("chown", str(text(c.chown)), s.node)
	}
	if c.chmod != "" {
		b.set("chmod", str(text(c.chmod)), s.node)
	}
	b.set("content", textOf(t.Data), s.node)
	st.block.blocks = append(st.block.blocks, b)
}

// remoteValue is a source of ADD that is an address; nil when it is a path. Which of
// them it is when it begins with a variable, the defaults say.
func (im *importer) remoteValue(st *stage, word, src string, c copyCmd, text func(string) string) expr {
	var opts []entry
	fn, addr := "", src
	if v, _, err := shell.NewLex(rune(im.esc)).ProcessWord(word, defaultsEnv(st.env)); err == nil && strings.HasPrefix(src, "$") {
		addr = v
	}
	isHTTP := strings.HasPrefix(addr, "http://") || strings.HasPrefix(addr, "https://")
	switch {
	case isGit(addr):
		fn = "git"
		if c.checksum != "" {
			opts = append(opts, entry{key: "commit", val: str(text(c.checksum))})
		}
		if c.keepGit != nil {
			opts = append(opts, entry{key: "keep_git_dir", val: raw(strconv.FormatBool(*c.keepGit))})
		}
	case isHTTP:
		fn = "http"
		if c.checksum != "" {
			opts = append(opts, entry{key: "checksum", val: str(text(c.checksum))})
		}
	default:
		return nil
	}
	args := []expr{str(src)}
	if len(opts) > 0 {
		args = append(args, object{entries: opts, tight: true})
	}
	return call{fn, args}
}

// artifact is the reference of the artifact at a path of a stage; "" when the path
// is not one file or directory whose name is known.
func (im *importer) artifact(from *stage, word string) string {
	p, ok := im.constant(word)
	if !ok || strings.ContainsAny(p, "*?[$\\") || !strings.HasPrefix(p, "/") || path.Clean(p) == "/" {
		return ""
	}
	id := from.name + " " + p
	if im.avoid[id] {
		return ""
	}
	r := find(im.artifacts, id)
	if r == nil {
		base := path.Base(strings.TrimSuffix(p, "/."))
		name := base
		if i := strings.IndexByte(name, '.'); i > 0 && !strings.HasSuffix(name, ".conf") {
			name = name[:i]
		}
		name = strings.TrimLeft(name, ".")
		if up := path.Base(path.Dir(path.Clean(p))); dull[name] && up != "/" && !dull[up] {
			name = up + "_" + name
		}
		if im.taken["artifact"][strings.ToLower(strings.Trim(notName.ReplaceAllString(name, "_"), "_-"))] {
			name = from.name + "_" + name
		}
		r = &resource{name: im.unique("artifact", name, from.name), id: id, stage: from}
		r.attrs = []entry{{key: "from", val: raw("stage." + from.name)}, {key: "path", val: str(p)}}
		im.artifacts = append(im.artifacts, r)
	}
	return "artifact." + r.name
}

// dull are names that say too little.
var dull = map[string]bool{"bin": true, "lib": true, "local": true, "usr": true, "share": true, "out": true, "app": true, "src": true, "dist": true, "build": true, "etc": true, "opt": true, "target": true, "release": true, "include": true}
