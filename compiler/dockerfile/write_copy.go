package dockerfile

import (
	"strconv"
	"strings"

	"github.com/hbuild/hbuild/compiler/ir"
)

func (w *writer) copy(s *ir.Copy) {
	keyword := w.copyKeyword(s)
	if keyword == "" {
		return
	}
	flags, ok := w.copyFlags(s, keyword)
	if !ok {
		return
	}
	texts, ok := w.texts(s)
	if !ok {
		return
	}
	words := append([]ir.Word{}, s.Src...)
	head := append([]string{keyword}, flags...)
	if len(texts) == 0 {
		all, ok := wordList(append(words, s.Dest))
		if !ok {
			all = jsonWords(append(words, s.Dest))
		}
		w.line(append(head, all)...)
		return
	}
	// A heredoc needs the form without JSON.
	list, ok := "", true
	if len(words) > 0 {
		list, ok = wordList(words)
	}
	dest, dok := wordList([]ir.Word{s.Dest})
	if !ok || !dok {
		w.errorf(CodeWord, s.Range, "A Dockerfile cannot hold this path",
			"An instruction with a text takes paths without blanks: %s.", strconv.Quote(s.Dest.Text()))
		return
	}
	if list != "" {
		head = append(head, list)
	}
	for _, t := range texts {
		head = append(head, t[0])
	}
	w.line(append(head, dest)...)
	for _, t := range texts {
		w.b.WriteString(t[1] + "\n")
	}
}

// copyKeyword decides between COPY and ADD.
func (w *writer) copyKeyword(s *ir.Copy) string {
	if s.Unpack == nil && !s.Add {
		return "COPY"
	}
	src, local := s.From.(ir.ContextSource)
	local = (local && w.e.isMain(src.Context) || s.From == nil) && !s.Parents
	switch {
	case local:
		return "ADD"
	case !s.Add && !*s.Unpack:
		return "COPY" // which never unpacks
	}
	w.errorf(CodeUnpack, s.Range, "A Dockerfile unpacks archives of the main context only",
		"ADD unpacks, and reads nothing but the main context and addresses, without parents. Copy from context.default, or unpack in a run step.")
	return ""
}

func (w *writer) copyFlags(s *ir.Copy, keyword string) ([]string, bool) {
	var flags []string
	ok := true
	add := func(name, value string) {
		if value == "" {
			return
		}
		if !flagSafe(value) {
			w.badFlag(name, value)
			ok = false
			return
		}
		flags = append(flags, "--"+name+"="+flagValue(value))
	}
	if s.From != nil {
		add("from", w.from(s.From))
	}
	add("chown", string(s.Chown))
	add("chmod", string(s.Chmod))
	if s.Link {
		flags = append(flags, "--link")
	}
	if s.Parents {
		flags = append(flags, "--parents")
	}
	for _, x := range s.Exclude {
		add("exclude", x)
	}
	add("checksum", string(s.Checksum))
	if s.KeepGitDir != nil {
		flags = append(flags, "--keep-git-dir="+strconv.FormatBool(*s.KeepGitDir))
	}
	if keyword == "ADD" && s.Unpack != nil && (s.Add || !*s.Unpack) {
		flags = append(flags, "--unpack="+strconv.FormatBool(*s.Unpack))
	}
	return flags, ok
}

// texts are the heredocs of a copy.
func (w *writer) texts(s *ir.Copy) ([][2]string, bool) {
	var out [][2]string
	names := map[string]bool{}
	for _, t := range s.Texts {
		if names[t.Name] {
			w.errorf(CodeText, s.Range, "Two texts of one name",
				"Both texts are called %q, and a Dockerfile tells the heredocs of an instruction apart by their words.", t.Name)
			return nil, false
		}
		names[t.Name] = true
		body, ok := w.heredoc(t)
		if !ok {
			return nil, false
		}
		if strings.HasPrefix(t.Name, "-") {
			w.errorf(CodeText, s.Range, "A name that a heredoc cannot have", "The name %q starts with a `-`.", t.Name)
			return nil, false
		}
		out = append(out, body)
	}
	return out, true
}
