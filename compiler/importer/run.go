package importer

import (
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func (im *importer) run(st *stage, s *step, c *instructions.RunCommand) {
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
