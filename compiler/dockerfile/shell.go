package dockerfile

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/ir"
)

// LineForm is how a shell command is written in a Dockerfile.
type LineForm int

const (
	// FormLine is the plain form: `RUN make all`.
	FormLine LineForm = iota
	// FormDashes is the plain form after the word that ends flags: `RUN -- --x`.
	FormDashes
	// FormHeredoc is `RUN <<EOF`. The shell gets a line feed at the end that the
	// command does not have, so the lowering adds it too.
	FormHeredoc
	// FormExec is `RUN ["/bin/sh", "-c", "…"]`, for what no other form can hold.
	FormExec
)

// RunForm decides how a RUN instruction holds a command for the shell. Both
// backends ask it, because a heredoc changes the command by a final line feed.
//
// The question is put to BuildKit's own parser: the plain form is right exactly
// when the parser gives back the same text. It does not for text that starts or
// ends with blanks, starts with `--` or with a JSON array, ends in a backslash,
// or has line breaks that are not those of the command's own heredocs.
func RunForm(text string) LineForm {
	switch {
	case simpleLine(text), parsesTo("RUN "+text, text):
		return FormLine
	case parsesTo("RUN -- "+text, text):
		return FormDashes
	case heredocHolds(text):
		return FormHeredoc
	}
	return FormExec
}

// RunText is what the shell is given for a command of a RUN instruction: the
// text itself, with a final line feed when a Dockerfile can only say it so.
func RunText(text string) string {
	if RunForm(text) == FormHeredoc {
		return text + "\n"
	}
	return text
}

// CommandForm decides how CMD and ENTRYPOINT hold a command for the shell:
// FormLine, FormDashes or FormExec. They have no heredocs.
func CommandForm(text string) LineForm {
	switch {
	case simpleLine(text), parsesTo("CMD "+text, text):
		return FormLine
	case parsesTo("CMD -- "+text, text):
		return FormDashes
	}
	return FormExec
}

// DefaultShell is what runs a shell command when no SHELL says otherwise.
func DefaultShell(os string) []string {
	if os == "windows" {
		return []string{"cmd", "/S", "/C"}
	}
	return []string{"/bin/sh", "-c"}
}

// KnownShell is the shell of a stage before one of its steps, as far as the
// stages say: what the exec form of a command is written with. An image may have
// a shell of its own, which nobody knows before it is pulled; then the default of
// the operating system is taken, by both backends.
func KnownShell(s *ir.Stage, before ir.Step, os string) []string {
	for s != nil {
		var shell []string
		for _, step := range s.Steps {
			if step == before {
				break
			}
			if sh, ok := step.(*ir.Shell); ok {
				shell = sh.Args
			}
		}
		if shell != nil {
			return shell
		}
		root, ok := s.Root.(ir.StageRoot)
		if !ok {
			break
		}
		s, before = root.Stage, nil
	}
	return DefaultShell(os)
}

// simpleLine is a quick yes for the many commands that no rule touches.
func simpleLine(text string) bool {
	if text == "" || len(text) > maxLine/2 {
		return false
	}
	switch c := text[0]; {
	case c == '[', c == '-', c == '#':
		return false
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c < ' ' || c >= 0x7f || c == '<' && i+1 < len(text) && text[i+1] == '<' {
			return false
		}
	}
	last := text[len(text)-1]
	return text[0] != ' ' && last != ' ' && last != '\\'
}

// parsesTo reports whether BuildKit reads an instruction as a single shell form
// that runs exactly text.
func parsesTo(line, text string) bool {
	node := parseOne(line + "\n")
	if node == nil {
		return false
	}
	cmd, err := ir.ParseCommand(node)
	if err != nil {
		return false
	}
	var got instructions.ShellDependantCmdLine
	switch c := cmd.(type) {
	case *instructions.RunCommand:
		got = c.ShellDependantCmdLine
	case *instructions.CmdCommand:
		got = c.ShellDependantCmdLine
	default:
		return false
	}
	if !got.PrependShell || len(node.Flags) > 0 {
		return false
	}
	return shellText(got) == text
}

// shellText is the line that BuildKit gives to the shell for a shell form whose
// heredocs are the shell's own: they are put back behind the line.
func shellText(c instructions.ShellDependantCmdLine) string {
	line := strings.Join(c.CmdLine, " ")
	if len(c.Files) == 0 {
		return line
	}
	if parser.MustParseHeredoc(line) != nil {
		return "" // one heredoc that is the whole command: a script
	}
	var b strings.Builder
	b.WriteString(line)
	for _, f := range c.Files {
		b.WriteByte('\n')
		b.WriteString(f.Data)
		b.WriteString(f.Name)
	}
	return b.String()
}

// parseOne parses text that must be a single instruction; nil when it is not.
func parseOne(text string) *parser.Node {
	res, err := parser.Parse(strings.NewReader(text))
	if err != nil || len(res.AST.Children) != 1 {
		return nil
	}
	return res.AST.Children[0]
}

// maxLine is the longest line that BuildKit's parser reads, with its line feed.
const maxLine = 64*1024 - 1

// heredocHolds reports whether a heredoc can hold a command: one that the shell
// reads alike with a final line feed, and that is not taken for a script.
func heredocHolds(text string) bool {
	return text != "" && !strings.HasPrefix(text, "#!") && !strings.HasSuffix(text, `\`) && linesFit(text+"\n")
}

func linesFit(text string) bool {
	for _, l := range strings.SplitAfter(text, "\n") {
		if len(l) > maxLine {
			return false
		}
	}
	return true
}

// delimiter picks a heredoc word that no line of text is equal to.
func delimiter(word, text string) string {
	for hasLine(text, word) {
		word += "_"
	}
	return word
}

// hasLine reports whether a line of text would end a heredoc of that word.
func hasLine(text, word string) bool {
	for _, l := range strings.Split(text, "\n") {
		if strings.TrimRight(l, "\r") == word {
			return true
		}
	}
	return false
}

// jsonArray writes an exec form.
func jsonArray(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = jsonString(a)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func jsonString(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// fold breaks a shell line where its author broke it: at the runs of blanks that
// joining lines left behind. The parser joins them to the same text again.
func fold(line string) string {
	if len(line) < 60 {
		return line
	}
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && quote != '\'':
			b.WriteByte(c)
			if i+1 < len(line) {
				i++
				b.WriteByte(line[i])
			}
			continue
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == ' ':
			end := i
			for end < len(line) && line[end] == ' ' {
				end++
			}
			if end-i > 2 && end < len(line) && line[end] != '#' && !unicode.IsSpace(rune(line[end])) && i > 0 && line[i-1] != '\\' {
				b.WriteString(" \\\n")
				b.WriteString(line[i+1 : end])
				i = end - 1
				continue
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}
