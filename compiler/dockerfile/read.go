package dockerfile

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/hbuild/hbuild/compiler/ir"
)

// Reader makes steps of the IR from instructions that BuildKit's parser read:
// those of a Dockerfile, and the build triggers of a base image.
type Reader struct {
	// Escape is the Dockerfile's escape character; 0 is a backslash.
	Escape rune
	// Context is what COPY and bind mounts read without a `from`.
	Context *ir.Context
	// From finds what a `from` names; mount says that it is a mount's, which
	// knows no stage by its number.
	From func(name string, mount bool) (ir.Source, error)
	// Range is the place of an instruction; nil gives steps no place.
	Range func(*parser.Node) hcl.Range
	// Secret and SSH find what mounts name; nil makes new ones.
	Secret func(id string) *ir.Secret
	SSH    func(id string) *ir.SSH
}

// Steps are the steps of one instruction: one, but for an ARG with several names.
// FROM is not an instruction of a stage.
func (r *Reader) Steps(node *parser.Node) ([]ir.Step, error) {
	cmd, err := ir.ParseCommand(node)
	if err != nil {
		return nil, rootCause(err)
	}
	meta := ir.StepMeta{Comment: node.PrevComment}
	if r.Range != nil {
		meta.Range = r.Range(node)
	}
	if c, ok := cmd.(*instructions.ArgCommand); ok {
		return r.args(c, meta)
	}
	step, err := r.one(cmd, node, meta)
	if err != nil {
		return nil, err
	}
	return []ir.Step{step}, nil
}

func (r *Reader) args(c *instructions.ArgCommand, meta ir.StepMeta) ([]ir.Step, error) {
	var out []ir.Step
	for _, a := range c.Args {
		s := &ir.Arg{StepMeta: meta, Key: a.Key}
		meta.Comment = nil
		if a.Value != nil {
			v, err := r.word(*a.Value)
			if err != nil {
				return nil, err
			}
			s.Value = &v
		}
		out = append(out, s)
	}
	return out, nil
}

func (r *Reader) one(cmd instructions.Command, node *parser.Node, meta ir.StepMeta) (ir.Step, error) {
	var w words
	w.r = r
	var out ir.Step
	switch c := cmd.(type) {
	case *instructions.EnvCommand:
		out = &ir.Env{StepMeta: meta, Pairs: w.pairs(c.Env)}
	case *instructions.LabelCommand:
		out = &ir.Label{StepMeta: meta, Pairs: w.pairs(c.Labels)}
	case *instructions.MaintainerCommand:
		out = &ir.Author{StepMeta: meta, Author: c.Maintainer}
	case *instructions.WorkdirCommand:
		out = &ir.Workdir{StepMeta: meta, Path: w.word(c.Path)}
	case *instructions.UserCommand:
		out = &ir.User{StepMeta: meta, User: w.word(c.User)}
	case *instructions.StopSignalCommand:
		out = &ir.StopSignal{StepMeta: meta, Signal: w.word(c.Signal)}
	case *instructions.VolumeCommand:
		out = &ir.Volume{StepMeta: meta, Paths: w.words(c.Volumes)}
	case *instructions.ExposeCommand:
		out = &ir.Expose{StepMeta: meta, Ports: w.words(c.Ports)}
	case *instructions.ShellCommand:
		out = &ir.Shell{StepMeta: meta, Args: c.Shell}
	case *instructions.CmdCommand:
		out = &ir.Cmd{StepMeta: meta, Command: command(c.ShellDependantCmdLine)}
	case *instructions.EntrypointCommand:
		out = &ir.Entrypoint{StepMeta: meta, Command: command(c.ShellDependantCmdLine)}
	case *instructions.OnbuildCommand:
		out = &ir.OnBuild{StepMeta: meta, Trigger: c.Expression}
	case *instructions.HealthCheckCommand:
		h := c.Health
		out = &ir.Healthcheck{StepMeta: meta, Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, StartInterval: h.StartInterval, Retries: h.Retries}
	case *instructions.CopyCommand:
		out = r.copy(&w, c, meta)
	case *instructions.AddCommand:
		out = r.add(&w, c, meta)
	case *instructions.RunCommand:
		out = r.run(&w, c, node, meta)
	default:
		return nil, fmt.Errorf("%s is not an instruction of a stage", strings.ToUpper(cmd.Name()))
	}
	if w.err != nil {
		return nil, w.err
	}
	return out, nil
}

// words reads words and keeps the first error.
type words struct {
	r   *Reader
	err error
}

func (w *words) word(s string) ir.Word {
	v, err := w.r.word(s)
	w.fail(err)
	return v
}

func (w *words) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *words) words(in []string) []ir.Word {
	out := make([]ir.Word, len(in))
	for i, s := range in {
		out[i] = w.word(s)
	}
	return out
}

func (w *words) pairs(in instructions.KeyValuePairs) []ir.WordKV {
	out := make([]ir.WordKV, len(in))
	for i, p := range in {
		out[i] = ir.WordKV{Key: w.word(p.Key), Value: w.word(p.Value)}
	}
	return out
}

// constant is a word that must not depend on the environment, because the IR
// holds what it says and not how.
func (w *words) constant(what, s string) string {
	v, ok := w.word(s).Const()
	if !ok {
		w.fail(fmt.Errorf("%s cannot have a variable: %s", what, s))
	}
	return v
}

func (w *words) boolean(what, s string) bool {
	b, err := strconv.ParseBool(w.constant(what, s))
	if err != nil {
		w.fail(fmt.Errorf("%s is true or false, not %q", what, s))
	}
	return b
}

// word takes a word of a Dockerfile into the IR, whose escape character is a
// backslash.
func (r *Reader) word(s string) (ir.Word, error) {
	if r.Escape == 0 || r.Escape == '\\' || !strings.ContainsAny(s, "`\\") {
		return ir.Word(s), nil
	}
	if strings.Contains(s, "${") {
		return "", fmt.Errorf("an escape character beside ${…} cannot be converted: %s", s)
	}
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == '\'':
			if c == '\'' {
				quote = 0
			}
			b.WriteByte(c)
		case c == '`' && i+1 < len(s) && (quote == 0 || strings.IndexByte("\"$`", s[i+1]) >= 0):
			i++
			if s[i] != '`' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		case c == '`' && i+1 == len(s):
			// the lexer drops an escape at the end
		case c == '\\':
			b.WriteString(`\\`)
		default:
			if c == quote {
				quote = 0
			} else if quote == 0 && (c == '"' || c == '\'') {
				quote = c
			}
			b.WriteByte(c)
		}
	}
	return ir.Word(b.String()), nil
}

// command is CMD or ENTRYPOINT.
func command(c instructions.ShellDependantCmdLine) ir.Command {
	if c.PrependShell {
		return ir.Command{Shell: true, Args: []string{strings.Join(c.CmdLine, " ")}}
	}
	return ir.Command{Args: c.CmdLine}
}

// source is what a `from` names; "" is the context.
func (r *Reader) source(w *words, name string, mount bool) ir.Source {
	if name == "" {
		return ir.ContextSource{Context: r.Context}
	}
	src, err := r.From(name, mount)
	w.fail(err)
	return src
}

func (r *Reader) files(w *words, s *ir.Copy, in instructions.SourcesAndDest) {
	s.Src = w.words(in.SourcePaths)
	for _, t := range in.SourceContents {
		s.Texts = append(s.Texts, ir.Text{Name: t.Path, Data: t.Data, Expand: t.Expand})
	}
	s.Dest = w.word(in.DestPath)
}

func (r *Reader) copy(w *words, c *instructions.CopyCommand, meta ir.StepMeta) ir.Step {
	s := &ir.Copy{StepMeta: meta, Link: c.Link, Parents: c.Parents, Exclude: c.ExcludePatterns, Chown: w.word(c.Chown), Chmod: w.word(c.Chmod)}
	r.files(w, s, c.SourcesAndDest)
	if len(s.Src) > 0 {
		s.From = r.source(w, c.From, false)
	}
	return s
}

func (r *Reader) add(w *words, c *instructions.AddCommand, meta ir.StepMeta) ir.Step {
	s := &ir.Copy{
		StepMeta: meta, Add: true, Link: c.Link, Exclude: c.ExcludePatterns, Chown: w.word(c.Chown), Chmod: w.word(c.Chmod),
		Unpack: c.Unpack, KeepGitDir: c.KeepGitDir, Checksum: w.word(c.Checksum),
	}
	r.files(w, s, c.SourcesAndDest)
	for _, src := range c.SourcePaths {
		if !remote(src) {
			s.From = r.source(w, "", false)
		}
	}
	return s
}

// remote reports whether a source of an ADD is an address, as far as its text
// says: a variable may still hold one.
func remote(src string) bool {
	return strings.HasPrefix(src, "http://") || strings.HasPrefix(src, "https://") || strings.HasPrefix(src, "git@") ||
		strings.HasPrefix(src, "git://") || strings.HasPrefix(src, "ssh://")
}

func (r *Reader) run(w *words, c *instructions.RunCommand, node *parser.Node, meta ir.StepMeta) ir.Step {
	s := &ir.Run{StepMeta: meta}
	line := strings.Join(c.CmdLine, " ")
	switch {
	case !c.PrependShell:
		s.Command = &ir.Command{Args: c.CmdLine}
	case len(c.Files) > 0 && parser.MustParseHeredoc(line) != nil:
		data := c.Files[0].Data
		if c.Files[0].Chomp {
			data = parser.ChompHeredocContent(data)
		}
		s.Script = &ir.Text{Name: c.Files[0].Name, Data: data}
	default:
		s.Command = &ir.Command{Shell: true, Args: []string{shellText(c.ShellDependantCmdLine)}}
	}
	if n := instructions.GetNetwork(c); n != instructions.NetworkDefault {
		s.Network = ir.NetMode(n)
	}
	if v := instructions.GetSecurity(c); v != instructions.SecuritySandbox {
		s.Security = ir.Security(v)
	}
	for _, d := range instructions.GetDevices(c) {
		s.Devices = append(s.Devices, ir.Device{Name: d.Name, Required: d.Required})
	}
	for _, f := range node.Flags {
		// The typed command has the values of mounts only after expansion.
		if v, ok := strings.CutPrefix(f, "--mount="); ok {
			s.Mounts = append(s.Mounts, r.mount(w, v, meta.Range))
		}
	}
	return s
}

// mountFields are the options of one --mount, by their first names.
type mountFields map[string]string

var mountAliases = map[string]string{
	"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite",
}

func (r *Reader) mount(w *words, value string, at hcl.Range) ir.Mount {
	fields, err := csvvalue.Fields(value, nil)
	w.fail(err)
	f := mountFields{}
	for _, field := range fields {
		k, v, ok := strings.Cut(field, "=")
		k = strings.ToLower(k)
		if full := mountAliases[k]; full != "" {
			k = full
		}
		if !ok {
			v = "true"
		}
		f[k] = v
	}
	m := ir.Mount{Kind: ir.MountBind, Range: at, Target: w.word(f["target"]), Mode: w.word(f["mode"]), UID: w.word(f["uid"]), GID: w.word(f["gid"])}
	if t, ok := f["type"]; ok {
		m.Kind = ir.MountKind(strings.ToLower(w.constant("the type of a mount", t)))
	}
	readOnly, given := r.readOnly(w, f)
	switch m.Kind {
	case ir.MountBind:
		m.From, m.Source = r.source(w, f["from"], true), w.word(f["source"])
		m.Writable = given && !readOnly
	case ir.MountCache:
		m.ReadOnly = given && readOnly
		r.cache(w, f, &m)
	case ir.MountTmpfs:
		if s, ok := f["size"]; ok {
			m.Size, err = units.RAMInBytes(w.constant("the size of a tmpfs", s))
			w.fail(err)
		}
	case ir.MountSecret:
		m.Env = w.constant("the env of a secret", f["env"])
		m.Secret = r.secret(w, f, m.Target)
	case ir.MountSSH:
		m.SSH = r.agent(w, f)
	default:
		w.fail(fmt.Errorf("unsupported mount type %q", m.Kind))
	}
	return m
}

func (r *Reader) readOnly(w *words, f mountFields) (value, given bool) {
	if v, ok := f["readonly"]; ok {
		return w.boolean("readonly", v), true
	}
	if v, ok := f["readwrite"]; ok {
		return !w.boolean("readwrite", v), true
	}
	return false, false
}

func (r *Reader) cache(w *words, f mountFields, m *ir.Mount) {
	c := &ir.Cache{ID: w.constant("the id of a cache", f["id"]), Sharing: ir.Sharing(strings.ToLower(w.constant("sharing", f["sharing"]))), Range: m.Range}
	if target, ok := m.Target.Const(); c.ID == "" && ok {
		c.ID = path.Clean(target)
	}
	if from := f["from"]; from != "" {
		c.From = r.source(w, from, true)
	}
	m.Source, m.Cache = w.word(f["source"]), c
	if c.From == nil && m.Source != "" {
		c.From = ir.ScratchSource{}
	}
}

func (r *Reader) secret(w *words, f mountFields, target ir.Word) *ir.Secret {
	id := f["id"]
	if id == "" {
		id = f["source"]
	}
	id = w.constant("the id of a secret", id)
	if id == "" {
		t, ok := target.Const()
		if !ok {
			w.fail(errors.New("a secret needs an id when its target has a variable"))
		}
		id = path.Base(t)
	}
	s := &ir.Secret{ID: id}
	if r.Secret != nil {
		s = r.Secret(id)
	}
	s.Required = s.Required || f["required"] != "" && w.boolean("required", f["required"])
	return s
}

func (r *Reader) agent(w *words, f mountFields) *ir.SSH {
	id := w.constant("the id of an ssh mount", f["id"])
	if id == "" {
		id = "default"
	}
	s := &ir.SSH{ID: id}
	if r.SSH != nil {
		s = r.SSH(id)
	}
	s.Required = s.Required || f["required"] != "" && w.boolean("required", f["required"])
	return s
}
