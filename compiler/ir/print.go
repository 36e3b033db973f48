package ir

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Print writes a graph as text for golden files: a line per step, words as they
// are, ranges left out. Equal graphs print alike, and what matters to a backend
// shows.
func Print(g *Graph) string {
	p := &printer{}
	for _, c := range g.Contexts {
		p.line("context %s %s%s", c.Name, strconv.Quote(c.Path), list(" patterns", c.Patterns)+opt(" ignore-file", c.IgnoreFile)+opt(" given", c.Given))
	}
	for _, s := range g.Secrets {
		p.line("secret %s%s%s%s", s.ID, flag(" required", s.Required), opt(" env", s.Env), opt(" file", s.File))
	}
	for _, s := range g.SSH {
		p.line("ssh %s%s", s.ID, flag(" required", s.Required))
	}
	for _, s := range g.Stages {
		p.stage(s)
	}
	for _, t := range g.Targets {
		p.target(t)
	}
	return p.b.String()
}

type printer struct{ b strings.Builder }

func (p *printer) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func platformText(p *ocispecs.Platform) string {
	if p == nil {
		return ""
	}
	return path.Join(p.OS, p.Architecture, p.Variant)
}

func (p *Platform) text() string {
	if p == nil {
		return ""
	}
	if p.Auto != "" {
		return "$" + p.Auto
	}
	return platformText(&p.Platform)
}

// name is how other lines speak of a stage.
func (s *Stage) name() string {
	if s.For != nil {
		return s.Name + "@" + platformText(s.For)
	}
	return s.Name
}

func (p *printer) comment(indent string, lines []string) {
	for _, l := range lines {
		p.line("%s# %s", indent, l)
	}
}

func (p *printer) stage(s *Stage) {
	p.line("")
	p.comment("", s.Comment)
	p.line("stage %s (%s) from %s%s", s.name(), s.Addr, rootText(s.Root), opt(" platform", s.Platform.text())+flag(" no-cache", s.NoCache)+s.InPlace.text())
	for _, step := range s.Steps {
		m := step.Meta()
		p.comment("  ", m.Comment)
		p.line("  %s%s%s", stepText(step), optQ(" name", m.Name), flag(" no-cache", m.NoCache))
	}
}

func rootText(r Root) string {
	switch r := r.(type) {
	case ScratchRoot:
		return "scratch"
	case ImageRoot:
		return "image(" + r.Ref + ")"
	case ContextRoot:
		return "context(" + r.Context.Name + ")"
	case StageRoot:
		return "stage(" + r.Stage.name() + ")"
	}
	return fmt.Sprint(r)
}

func sourceText(src Source) string {
	switch s := src.(type) {
	case nil:
		return "nothing"
	case ContextSource:
		return "context(" + s.Context.Name + opt(" platform", s.Platform.text()) + ")"
	case StageSource:
		return "stage(" + s.Stage.name() + opt(" output", s.Output) + ")"
	case ImageSource:
		return "image(" + s.Ref + opt(" platform", s.Platform.text()) + ")"
	case TextSource:
		return textText(s.Text)
	case ScratchSource:
		return "scratch"
	}
	return fmt.Sprint(src)
}

func textText(t Text) string {
	return "text(" + t.Name + " " + strconv.Quote(t.Data) + flag(" expand", t.Expand) + ")"
}

func stepText(step Step) string {
	switch s := step.(type) {
	case *Arg:
		text := "arg " + s.Key
		if s.Value != nil {
			text += "=" + word(*s.Value)
		}
		return text + flag(" auto", s.Auto)
	case *Env:
		return "env" + pairs(s.Pairs)
	case *Label:
		return "label" + pairs(s.Pairs)
	case *Shell:
		return fmt.Sprintf("shell %q", s.Args)
	case *Workdir:
		return "workdir " + word(s.Path)
	case *User:
		return "user " + word(s.User)
	case *Author:
		return "author " + strconv.Quote(s.Author)
	case *Entrypoint:
		return "entrypoint " + commandText(s.Command)
	case *Cmd:
		return "cmd " + commandText(s.Command)
	case *Expose:
		return "expose" + wordList(s.Ports)
	case *Volume:
		return "volume" + wordList(s.Paths)
	case *StopSignal:
		return "stop-signal " + word(s.Signal)
	case *OnBuild:
		return "onbuild " + strconv.Quote(s.Trigger)
	case *Healthcheck:
		text := fmt.Sprintf("healthcheck %q", s.Test)
		if s.Interval+s.Timeout+s.StartPeriod+s.StartInterval != 0 || s.Retries != 0 {
			text += fmt.Sprintf(" interval=%v timeout=%v start-period=%v start-interval=%v retries=%d", s.Interval, s.Timeout, s.StartPeriod, s.StartInterval, s.Retries)
		}
		return text
	case *Clear:
		return "clear " + s.What
	case *Merge:
		text := "merge"
		for _, src := range s.Of {
			text += " " + sourceText(src)
		}
		return text
	case *Diff:
		return "diff " + sourceText(s.Lower) + " " + sourceText(s.Upper)
	case *Mkdir:
		return fmt.Sprintf("mkdir%s mode=%04o%s", wordList(s.Paths), s.Mode, optWord(" chown", s.Chown))
	case *Remove:
		return "remove" + wordList(s.Paths) + flag(" optional", s.Optional)
	case *Symlink:
		return "symlink " + word(s.Path) + " to " + word(s.Target)
	case *Run:
		return runText(s)
	case *Copy:
		return copyText(s)
	}
	return fmt.Sprintf("%T", step)
}

func commandText(c Command) string {
	if c.Shell {
		return "shell " + strconv.Quote(strings.Join(c.Args, " "))
	}
	return fmt.Sprintf("%q", c.Args)
}

func runText(s *Run) string {
	text := "run "
	if s.Script != nil {
		text += textText(*s.Script)
	} else {
		text += commandText(*s.Command)
	}
	text += opt(" network", string(s.Network)) + opt(" security", string(s.Security))
	for _, d := range s.Devices {
		text += " device=" + d.Name + flag(",required", d.Required)
	}
	for _, kv := range s.Env {
		text += fmt.Sprintf(" env=%s=%q", kv.Key, kv.Value)
	}
	if s.ExitCodes != nil {
		text += fmt.Sprintf(" exit-codes=%d", s.ExitCodes)
	}
	text += hostsText(s.Hosts) + ulimitsText(s.Ulimits)
	if s.Limits != (Limits{}) {
		text += fmt.Sprintf(" limits=%+v", s.Limits)
	}
	for i := range s.Mounts {
		text += "\n    mount " + mountText(&s.Mounts[i])
	}
	return text
}

func hostsText(hosts []Host) (text string) {
	for _, h := range hosts {
		text += " host=" + h.Name + "=" + h.IP
	}
	return text
}

func ulimitsText(limits []Ulimit) (text string) {
	for _, u := range limits {
		text += fmt.Sprintf(" ulimit=%s=%d:%d", u.Name, u.Soft, u.Hard)
	}
	return text
}

func mountText(m *Mount) string {
	text := string(m.Kind)
	if m.Target != "" {
		text += " " + word(m.Target)
	}
	switch m.Kind {
	case MountBind:
		text += " " + sourceText(m.From)
	case MountCache:
		c := m.Cache
		text += " cache(" + c.ID + opt(" sharing", string(c.Sharing)) + opt(" mode", c.Mode) + optInt(" uid", c.UID) + optInt(" gid", c.GID)
		if c.From != nil {
			text += " from=" + sourceText(c.From) + optWord(" path", c.Path)
		}
		text += ")"
	case MountTmpfs:
		if m.Size != 0 {
			text += " size=" + strconv.FormatInt(m.Size, 10)
		}
	case MountSecret:
		text += " secret(" + m.Secret.ID + flag(" required", m.Secret.Required) + ")" + opt(" env", m.Env)
	case MountSSH:
		text += " ssh(" + m.SSH.ID + flag(" required", m.SSH.Required) + ")"
	}
	return text + optWord(" source", m.Source) + flag(" writable", m.Writable) + opt(" output", m.Output) + flag(" read-only", m.ReadOnly) +
		optWord(" mode", m.Mode) + optWord(" uid", m.UID) + optWord(" gid", m.GID)
}

func copyText(s *Copy) string {
	text := "copy" + flag(" add", s.Add)
	if len(s.Src) > 0 {
		text += " " + sourceText(s.From) + wordList(s.Src)
	}
	for _, t := range s.Texts {
		text += " " + textText(t)
	}
	text += " to " + word(s.Dest) + optWord(" chown", s.Chown) + optWord(" chmod", s.Chmod) +
		flag(" link", s.Link) + flag(" parents", s.Parents) + list(" exclude", s.Exclude)
	text += optWord(" checksum", s.Checksum)
	if s.KeepGitDir != nil {
		text += fmt.Sprintf(" keep-git-dir=%v", *s.KeepGitDir)
	}
	if s.Unpack != nil {
		text += fmt.Sprintf(" unpack=%v", *s.Unpack)
	}
	return text
}

func (p *printer) target(t *Target) {
	p.line("")
	p.comment("", t.Comment)
	p.line("target %s (%s)%s%s%s%s", t.Name, t.Addr, flag(" test", t.Test), flag(" push", t.Push), flag(" pull", t.Pull), flag(" no-cache", t.NoCache))
	for _, b := range t.Builds {
		text := "  build" + opt(" platform", platformText(b.Platform))
		if b.Image != nil {
			text += " image=" + b.Image.name()
		}
		if b.Files != nil {
			text += " files=" + b.Files.name()
		}
		p.line("%s", text)
		for _, o := range b.Outputs {
			p.line("    output %s%s", strconv.Quote(o.Path), flag(" dir", o.Dir))
		}
	}
	kvs := func(name string, list []KV) {
		for _, kv := range list {
			p.line("  %s %s=%s", name, kv.Key, strconv.Quote(kv.Value))
		}
	}
	each := func(name string, list []string) {
		for _, s := range list {
			p.line("  %s %s", name, s)
		}
	}
	each("tag", t.Tags)
	kvs("label", t.Labels)
	kvs("annotation", t.Annotations)
	for _, r := range t.Requires {
		p.line("  requires %s", r.Name)
	}
	each("cache-from", t.CacheFrom)
	each("cache-to", t.CacheTo)
	each("attest", t.Attest)
	each("output", t.Outputs)
	p.options(t.Options, kvs)
}

func (p *printer) options(o BuildOptions, kvs func(string, []KV)) {
	kvs("build-arg", o.BuildArgs)
	for _, h := range o.Hosts {
		p.line("  host %s=%s", h.Name, h.IP)
	}
	for _, u := range o.Ulimits {
		p.line("  ulimit %s=%d:%d", u.Name, u.Soft, u.Hard)
	}
	if o.ShmSize != 0 {
		p.line("  shm-size %d", o.ShmSize)
	}
	for _, f := range []struct{ name, value string }{{"hostname", o.Hostname}, {"cgroup-parent", o.CgroupParent}, {"network", string(o.Network)}} {
		if f.value != "" {
			p.line("  %s %s", f.name, f.value)
		}
	}
	if o.Limits != (Limits{}) {
		p.line("  limits %+v", o.Limits)
	}
	if o.Epoch != nil {
		p.line("  source-date-epoch %d", *o.Epoch)
	}
	switch from := o.EpochFrom.(type) {
	case ContextSource:
		p.line("  source-date-epoch context %s", from.Context.Name)
	case StageSource:
		p.line("  source-date-epoch stage %s", from.Stage.Name)
	}
}

// word prints a word bare, or quoted where a golden file could not show it.
func word(w Word) string {
	if w == "" || strings.ContainsAny(string(w), "\n\r") {
		return "<" + strconv.Quote(string(w)) + ">"
	}
	return string(w)
}

func wordList(ws []Word) string {
	text := ""
	for _, w := range ws {
		text += " " + word(w)
	}
	return text
}

func pairs(kvs []WordKV) string {
	text := ""
	for _, kv := range kvs {
		text += " " + word(kv.Key) + "=" + word(kv.Value)
	}
	return text
}

func flag(name string, set bool) string {
	if set {
		return name
	}
	return ""
}

func opt(name, value string) string {
	if value == "" {
		return ""
	}
	return name + "=" + value
}

func optQ(name, value string) string {
	if value == "" {
		return ""
	}
	return name + "=" + strconv.Quote(value)
}

func optWord(name string, w Word) string {
	if w == "" {
		return ""
	}
	return name + "=" + word(w)
}

func optInt(name string, n *int) string {
	if n == nil {
		return ""
	}
	return name + "=" + strconv.Itoa(*n)
}

func list(name string, items []string) string {
	if len(items) == 0 {
		return ""
	}
	return fmt.Sprintf("%s=%q", name, items)
}
