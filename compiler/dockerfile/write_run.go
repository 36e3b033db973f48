package dockerfile

import (
	"path"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/ir"
)

func (w *writer) run(s *ir.Run) {
	s = w.v.stage.InPlace.Run(s)
	flags := w.runFlags(s)
	w.unsayable(s)
	switch {
	case s.Script != nil:
		w.script(s, flags)
	case s.Command.Shell:
		w.shellRun(s, flags)
	case len(s.Env) > 0:
		w.errorf(CodeEnvExec, s.Range, "env of a step without a shell",
			"In a Dockerfile the environment of one step is an export before its command, and a list runs no shell. Give the command as a string, or use set { env } or args.")
	default:
		w.list("RUN", append(flags, jsonArray(s.Command.Args)))
	}
}

// unsayable reports options that no RUN has.
func (w *writer) unsayable(s *ir.Run) {
	if s.ExitCodes != nil {
		w.llbOnly("exit_codes", "Say it in the command: `cmd || [ $? -eq 3 ]`.")
	}
	for _, o := range []struct {
		set  bool
		name string
	}{{len(s.Hosts) > 0, "hosts"}, {len(s.Ulimits) > 0, "ulimits"}, {s.Limits != ir.Limits{}, "limits"}} {
		if o.set {
			w.errorf(CodeStepOption, s.Range, "A Dockerfile has no "+o.name+" for one step",
				"Set %s on the target, where `docker build` has a flag for it, or leave it to hbuild build.", o.name)
		}
	}
}

// shellRun writes a command for the shell in the form that keeps it whole.
func (w *writer) shellRun(s *ir.Run, flags []string) {
	text := exports(s.Env) + s.Command.Args[0]
	switch RunForm(text) {
	case FormLine:
		if !strings.Contains(text, "\n") {
			text = w.folded(text)
		}
		w.list("RUN", append(flags, text))
	case FormDashes:
		w.list("RUN", append(flags, "-- "+text))
	case FormHeredoc:
		word := delimiter("EOF", text)
		w.list("RUN", append(flags, "<<"+word))
		w.b.WriteString(text + "\n" + word + "\n")
	default:
		w.list("RUN", append(flags, jsonArray(append(append([]string{}, w.shell()...), text))))
	}
}

// folded breaks a long line if that changes nothing.
func (w *writer) folded(text string) string {
	if f := fold(text); f != text && parsesTo("RUN "+f, text) {
		return f
	}
	return text
}

// exports is the shell's way to say what the step's environment is.
func exports(env []ir.KV) string {
	if len(env) == 0 {
		return ""
	}
	b := "export"
	for _, kv := range env {
		b += " " + kv.Key + "='" + strings.ReplaceAll(kv.Value, "'", `'\''`) + "'"
	}
	return b + "; "
}

// script writes a heredoc that is the whole command.
func (w *writer) script(s *ir.Run, flags []string) {
	t := *s.Script
	shebang := strings.HasPrefix(t.Data, "#!")
	if len(s.Env) > 0 {
		if shebang {
			w.errorf(CodeEnvExec, s.Range, "env of a step without a shell",
				"In a Dockerfile the environment of one step is an export before its command, and this script picks its own interpreter. Use set { env } or args.")
			return
		}
		t.Data = exports(s.Env) + t.Data
	}
	if !shebang {
		if !strings.HasSuffix(t.Data, "\n") && t.Data != "" {
			if RunForm(t.Data) == FormHeredoc {
				w.noFinalNewline(s.Range, "script")
				return
			}
			w.shellRun(&ir.Run{StepMeta: s.StepMeta, Command: &ir.Command{Shell: true, Args: []string{t.Data}}}, flags)
			return
		}
		t.Name = delimiter("EOF", t.Data) // not in the digest
	}
	body, ok := w.heredoc(ir.Text{Name: t.Name, Data: t.Data, Expand: true})
	if !ok {
		return
	}
	w.list("RUN", append(flags, body[0]))
	w.b.WriteString(body[1] + "\n")
}

func (w *writer) noFinalNewline(at hcl.Range, what string) {
	w.errorf(CodeText, at, "A "+what+" without a line break at its end",
		"A heredoc always ends with a line break, so a Dockerfile cannot hold this %s. End it with one.", what)
}

// heredoc is the word and the lines of a heredoc, the last of which is its
// delimiter.
func (w *writer) heredoc(t ir.Text) ([2]string, bool) {
	at := hcl.Range{}
	word := "<<" + t.Name
	if !t.Expand {
		word = `<<"` + t.Name + `"`
	}
	doc, err := parser.ParseHeredoc(word)
	switch {
	case t.Name == "" || blank(t.Name) || strings.ContainsAny(t.Name, "\"'\\$<`#,[]{}()&;|>*?~!") || err != nil || doc == nil || doc.Name != t.Name || doc.Expand != t.Expand || doc.Chomp:
		w.errorf(CodeText, at, "A name that a heredoc cannot have",
			"The name %s cannot be the word of a heredoc: use letters, digits, `.`, `_` and `-`.", strconv.Quote(t.Name))
		return [2]string{}, false
	case t.Data != "" && !strings.HasSuffix(t.Data, "\n"):
		w.noFinalNewline(at, "text")
		return [2]string{}, false
	case hasLine(t.Data, t.Name):
		w.errorf(CodeText, at, "A line of the text ends its heredoc",
			"The text has the line %q, which is also its name. Give it another name.", t.Name)
		return [2]string{}, false
	case !linesFit(t.Data):
		w.errorf(CodeTooLong, at, "A line too long for a Dockerfile", "BuildKit's parser reads lines of %d bytes at most. Put the text into a file of the context.", maxLine)
		return [2]string{}, false
	}
	return [2]string{word, t.Data + t.Name}, true
}

func (w *writer) runFlags(s *ir.Run) []string {
	var flags []string
	add := func(name, value string) {
		if !flagSafe(value) {
			w.badFlag(name, value)
			return
		}
		flags = append(flags, "--"+name+"="+flagValue(value))
	}
	for i := range s.Mounts {
		w.step = s
		add("mount", strings.Join(w.mount(&s.Mounts[i]), ","))
	}
	if s.Network != "" && s.Network != ir.NetDefault {
		add("network", string(s.Network))
	}
	if s.Security != "" && s.Security != ir.SecuritySandbox {
		add("security", string(s.Security))
	}
	for _, d := range s.Devices {
		v := csvField("name=" + d.Name)
		if d.Required {
			v += ",required"
		}
		add("device", v)
	}
	return flags
}

func (w *writer) badFlag(name, value string) {
	w.errorf(CodeFlag, hcl.Range{}, "A flag of a Dockerfile's instruction cannot hold this value",
		"BuildKit reads flags such as --%s byte by byte, on one line: %s has a character that is not ASCII, or a line break.", name, strconv.Quote(value))
}

// mount is the fields of a --mount.
func (w *writer) mount(m *ir.Mount) []string {
	fields := []string{"type=" + string(m.Kind)}
	field := func(key string, v ir.Word) {
		if v != "" {
			fields = append(fields, csvField(key+"="+string(v)))
		}
	}
	from := func(src ir.Source) {
		if name := w.from(src); name != "" {
			fields = append(fields, "from="+name)
		}
	}
	switch m.Kind {
	case ir.MountBind:
		if m.Output != "" {
			w.llbOnly("an output", "Let the step write to a path of the stage.")
		}
		source := m.Source
		if t, ok := m.From.(ir.TextSource); ok && source == "" {
			source = ir.Literal("/" + t.Text.Name)
		}
		from(m.From)
		field("source", source)
		field("target", m.Target)
		if m.Writable {
			fields = append(fields, "rw")
		}
	case ir.MountCache:
		w.cacheMount(m, &fields, field, from)
	case ir.MountTmpfs:
		field("target", m.Target)
		if m.Size != 0 {
			fields = append(fields, "size="+sizeText(m.Size))
		}
	case ir.MountSecret:
		field("id", ir.Literal(m.Secret.ID))
		field("target", m.Target)
		if m.Env != "" {
			field("env", ir.Literal(m.Env))
		}
		w.owner(m, field)
		if m.Secret.Required {
			fields = append(fields, "required")
		}
	case ir.MountSSH:
		if m.SSH.ID != "default" && m.SSH.ID != "" {
			field("id", ir.Literal(m.SSH.ID))
		}
		field("target", m.Target)
		w.owner(m, field)
		if m.SSH.Required {
			fields = append(fields, "required")
		}
	}
	return fields
}

func (w *writer) owner(m *ir.Mount, field func(string, ir.Word)) {
	field("mode", m.Mode)
	field("uid", m.UID)
	field("gid", m.GID)
}

func (w *writer) cacheMount(m *ir.Mount, fields *[]string, field func(string, ir.Word), from func(ir.Source)) {
	c := m.Cache
	if target, ok := m.Target.Const(); (!ok || path.Clean(target) != c.ID) && c.ID != "" {
		field("id", ir.Literal(c.ID))
	}
	if c.From != nil {
		if src, ok := c.From.(ir.ContextSource); ok && w.e.isMain(src.Context) {
			w.errorf(CodeStepOption, m.Range, "A Dockerfile cannot fill a cache from the main context",
				"A cache mount without `from` starts empty there, and the main context has no name to give. Fill cache %s from a stage that copies the files, or from another context.", c.ID)
		}
		from(c.From)
		field("source", CacheSource(m))
	}
	field("target", m.Target)
	if c.Sharing != "" && c.Sharing != ir.SharingShared {
		*fields = append(*fields, "sharing="+string(c.Sharing))
	}
	owner := CacheOwner(m)
	w.owner(&owner, field)
	if m.ReadOnly {
		*fields = append(*fields, "ro")
	}
}

// CacheSource is the path within a cache's initial content that a mount shows.
func CacheSource(m *ir.Mount) ir.Word {
	if m.Source != "" {
		return m.Source
	}
	return m.Cache.Path
}

// CacheOwner is a mount with the mode and owner of its cache where it has none of
// its own.
func CacheOwner(m *ir.Mount) ir.Mount {
	out := *m
	if out.Mode == "" && m.Cache.Mode != "" {
		out.Mode = ir.Literal(m.Cache.Mode)
	}
	if out.UID == "" && m.Cache.UID != nil {
		out.UID = ir.Word(strconv.Itoa(*m.Cache.UID))
	}
	if out.GID == "" && m.Cache.GID != nil {
		out.GID = ir.Word(strconv.Itoa(*m.Cache.GID))
	}
	return out
}

// sizeText is a size as short as it can be said exactly.
func sizeText(n int64) string {
	for _, u := range []struct {
		n int64
		s string
	}{{1 << 30, "g"}, {1 << 20, "m"}, {1 << 10, "k"}} {
		if n%u.n == 0 {
			return strconv.FormatInt(n/u.n, 10) + u.s
		}
	}
	return strconv.FormatInt(n, 10)
}
