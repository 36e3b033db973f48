package dockerfile

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// writer writes one variant of one stage.
type writer struct {
	e       *emitter
	v       *variant
	b       strings.Builder
	helpers []*helper
	step    ir.Step // the one being written, for diagnostics
}

func (w *writer) errorf(code diag.Code, at hcl.Range, summary, format string, args ...any) {
	if at == (hcl.Range{}) && w.step != nil {
		at = w.step.Meta().Range
	}
	w.e.errorf(code, at, summary, format, args...)
}

// stage writes the whole stage; its name is nameMark.
func (w *writer) stage() string {
	s := w.v.stage
	w.comment(s.Comment)
	w.b.WriteString("FROM ")
	switch r := s.Root.(type) {
	case ir.ScratchRoot:
		w.b.WriteString("scratch")
	case ir.ImageRoot:
		if p := s.Platform; p != nil {
			w.b.WriteString("--platform=" + platformWord(p) + " ")
		}
		w.b.WriteString(w.base(r.Ref))
	case ir.ContextRoot:
		if p := s.Platform; p != nil {
			w.b.WriteString("--platform=" + platformWord(p) + " ")
		}
		w.b.WriteString(w.e.contexts[r.Context])
	case ir.StageRoot:
		w.b.WriteString(r.Stage.Name)
	}
	w.b.WriteString(" AS " + nameMark + "\n")
	if s.NoCache && s.InPlace != nil {
		w.e.diags = append(w.e.diags, diag.Warning(CodeNoCache, s.Range, "no_cache is not kept in a Dockerfile",
			"Whether a cache is used, the caller says: docker build --no-cache-filter "+s.Name+"."))
	}
	for _, step := range s.Steps {
		w.step = step
		w.comment(step.Meta().Comment)
		w.write(step)
		if step.Meta().NoCache {
			w.e.diags = append(w.e.diags, diag.Warning(CodeNoCache, step.Meta().Range, "no_cache is not kept in a Dockerfile",
				fmt.Sprintf("A Dockerfile has no such option: build with `--no-cache-filter %s`.", s.Name)))
		}
	}
	w.step = nil
	return w.b.String()
}

// directive matches comments that BuildKit reads as more than a comment: parser
// directives at the top of the file, lint options above an instruction.
var directive = regexp.MustCompile(`(?i)^\s*(syntax|escape|check)\s*=`)

func (w *writer) comment(lines []string) {
	for _, l := range lines {
		if directive.MatchString(l) {
			continue
		}
		w.b.WriteString(strings.TrimRight("# "+strings.TrimPrefix(l, " "), " ") + "\n")
	}
}

func (w *writer) line(parts ...string) {
	w.b.WriteString(strings.Join(parts, " ") + "\n")
}

// list writes an instruction with a list of items, each on a line of its own
// when there are several. What would be read as a comment or an empty line
// stays on the line before.
func (w *writer) list(keyword string, items []string) {
	w.b.WriteString(keyword)
	for i, item := range items {
		if i == 0 || item == "" || item[0] == '#' {
			w.b.WriteString(" " + item)
			continue
		}
		w.b.WriteString(" \\\n" + strings.Repeat(" ", len(keyword)+1) + item)
	}
	w.b.WriteByte('\n')
}

func (w *writer) write(step ir.Step) {
	switch s := step.(type) {
	case *ir.Arg:
		w.arg(s)
	case *ir.Env:
		w.pairs("ENV", w.keptEnv(s))
	case *ir.Label:
		w.pairs("LABEL", s.Pairs)
	case *ir.Shell:
		w.line("SHELL", jsonArray(s.Args))
	case *ir.Workdir:
		w.rest("WORKDIR", s.Path)
	case *ir.User:
		w.rest("USER", s.User)
	case *ir.StopSignal:
		w.rest("STOPSIGNAL", s.Signal)
	case *ir.Author:
		w.author(s)
	case *ir.Entrypoint:
		w.command("ENTRYPOINT", s.Command)
	case *ir.Cmd:
		w.command("CMD", s.Command)
	case *ir.Expose:
		w.expose(s)
	case *ir.Volume:
		w.volume(s)
	case *ir.OnBuild:
		w.onbuild(s)
	case *ir.Healthcheck:
		w.healthcheck(s)
	case *ir.Clear:
		w.errorf(CodeClear, s.Range, "A Dockerfile cannot clear "+s.What,
			"No instruction empties what the base image or stage set. hbuild build does it; a Dockerfile needs another base.")
	case *ir.Merge:
		w.llbOnly("merge()", "Copy the parts into one stage, or build it with hbuild build.")
	case *ir.Diff:
		w.llbOnly("diff()", "Copy the paths that were added by name, or build it with hbuild build.")
	case *ir.Mkdir:
		w.llbOnly("a mkdir step", "WORKDIR makes a directory and enters it; or let a run step make it.")
	case *ir.Remove:
		w.llbOnly("a remove step", "Let a run step remove the files, if the stage has a shell.")
	case *ir.Symlink:
		w.llbOnly("a symlink step", "Let a run step make the link, if the stage has a shell.")
	case *ir.Run:
		w.run(s)
	case *ir.Copy:
		w.copy(s)
	default:
		panic(fmt.Sprintf("dockerfile: unknown step %T", step))
	}
}

func (w *writer) arg(s *ir.Arg) {
	if !plainKey(s.Key) {
		w.errorf(CodeWord, s.Range, "Bad argument name", "A Dockerfile cannot declare an ARG named %q.", s.Key)
		return
	}
	if w.keptArg(s) {
		return
	}
	if s.Auto || s.Value == nil {
		w.line("ARG", s.Key)
		return
	}
	if v, ok := w.word(*s.Value); ok {
		w.line("ARG", s.Key+"="+v)
	}
}

// plainKey reports whether a name stands unquoted at the start of a word.
func plainKey(k string) bool {
	return k != "" && !strings.ContainsAny(k, "=\"'\\$#`") && !blank(k) && oneWord(k) && !strings.HasPrefix(k, "-")
}

// word writes a word of an instruction that cuts at blanks outside of quotes.
func (w *writer) word(v ir.Word) (string, bool) {
	s := canonical(v)
	if lineBreak(s) {
		w.errorf(CodeLineBreak, hcl.Range{}, "A Dockerfile cannot hold a line break here",
			"The value has a line break, and this instruction ends with its line. Give it without line breaks, or write it into a file of the image.")
		return "", false
	}
	if !oneWord(s) {
		w.unwritable(v)
		return "", false
	}
	return s, true
}

func (w *writer) unwritable(v ir.Word) {
	w.errorf(CodeWord, hcl.Range{}, "A Dockerfile cannot hold this value",
		"Quotes and blanks inside of `${…}` make %s fall apart in a Dockerfile's instruction.", strconv.Quote(v.Text()))
}

func (w *writer) pairs(keyword string, pairs []ir.WordKV) {
	var items []string
	for _, p := range pairs {
		k, ok := w.word(p.Key)
		if ok && strings.Contains(k, "=") {
			w.errorf(CodeWord, hcl.Range{}, "A Dockerfile cannot hold this name",
				"The name %s has an `=`, at which a Dockerfile cuts name and value apart.", strconv.Quote(p.Key.Text()))
			ok = false
		}
		v, vok := w.word(p.Value)
		if ok && vok {
			items = append(items, k+"="+v)
		}
	}
	if len(items) > 0 {
		w.list(keyword, items)
	}
}

// rest writes an instruction whose argument is the rest of the line.
func (w *writer) rest(keyword string, v ir.Word) {
	s := string(v)
	if s == "" || strings.TrimSpace(s) != s || s[0] == '-' || strings.HasSuffix(s, `\`) {
		s = canonical(v)
	}
	if lineBreak(s) {
		w.word(v)
		return
	}
	if strings.TrimSpace(s) != s || strings.HasPrefix(s, "--") || strings.HasSuffix(s, `\`) {
		w.unwritable(v)
		return
	}
	w.line(keyword, s)
}

func (w *writer) author(s *ir.Author) {
	node := parseOne("MAINTAINER " + s.Author + "\n")
	if s.Author == "" || node == nil || len(node.Flags) > 0 || node.Next == nil || node.Next.Value != s.Author {
		w.errorf(CodeLineBreak, s.Range, "A Dockerfile cannot hold this author",
			"MAINTAINER takes one line that starts and ends with a character that is not blank.")
		return
	}
	w.line("MAINTAINER", s.Author)
}

func (w *writer) command(keyword string, c ir.Command) {
	if !c.Shell {
		w.line(keyword, jsonArray(c.Args))
		return
	}
	switch CommandForm(c.Args[0]) {
	case FormLine:
		w.line(keyword, fold(c.Args[0]))
	case FormDashes:
		w.line(keyword, "--", c.Args[0])
	default:
		w.line(keyword, jsonArray(append(append([]string{}, w.shell()...), c.Args[0])))
	}
}

// shell is what the exec form of a shell command starts with here.
func (w *writer) shell() []string {
	os := "linux"
	if p := w.v.stage.RootPlatform(); p != nil {
		os = p.OS
	} else if p := w.v.platforms[0]; p != nil {
		os = p.OS
	}
	return KnownShell(w.v.stage, w.step, os)
}

func (w *writer) expose(s *ir.Expose) {
	var ports []string
	for _, p := range s.Ports {
		v := string(p)
		if v == "" || blank(v) || v[0] == '-' || strings.HasSuffix(v, `\`) {
			w.unwritable(p)
			continue
		}
		ports = append(ports, v)
	}
	if len(ports) > 0 {
		w.line("EXPOSE", strings.Join(ports, " "))
	}
}

func (w *writer) volume(s *ir.Volume) {
	if items, ok := wordList(s.Paths); ok {
		w.line("VOLUME", items)
		return
	}
	for _, p := range s.Paths {
		if strings.TrimSpace(string(p)) != string(p) || p == "" {
			w.unwritable(p)
			return
		}
	}
	w.line("VOLUME", jsonWords(s.Paths))
}

// wordList writes words one after the other when no word needs the JSON form.
func wordList(words []ir.Word) (string, bool) {
	out := make([]string, len(words))
	for i, v := range words {
		s := string(v)
		if s == "" || blank(s) || i == 0 && (s[0] == '[' || s[0] == '-') || strings.HasSuffix(s, `\`) {
			return "", false
		}
		if strings.Contains(s, "<<") && strings.IndexAny(s, `"'\`) != 0 {
			return "", false // might be read as a heredoc
		}
		if strings.TrimFunc(s, func(r rune) bool { return !isSpace(r) }) != "" {
			return "", false // another kind of blank, which trimming the line may cut
		}
		out[i] = s
	}
	return strings.Join(out, " "), true
}

func isSpace(r rune) bool { return strings.TrimSpace(string(r)) == "" }

func jsonWords(words []ir.Word) string {
	out := make([]string, len(words))
	for i, v := range words {
		out[i] = string(v)
	}
	return jsonArray(out)
}

func (w *writer) onbuild(s *ir.OnBuild) {
	text, err := Trigger(s.Trigger)
	if err != nil {
		w.errorf(CodeTrigger, s.Range, "Not an onbuild instruction", "%s: %v.", strconv.Quote(s.Trigger), err)
		return
	}
	w.line("ONBUILD", text)
}

func (w *writer) healthcheck(s *ir.Healthcheck) {
	if len(s.Test) == 1 && s.Test[0] == "NONE" {
		w.line("HEALTHCHECK", "NONE")
		return
	}
	var flags []string
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"interval", s.Interval}, {"timeout", s.Timeout}, {"start-period", s.StartPeriod}, {"start-interval", s.StartInterval}} {
		switch {
		case f.d == 0:
		case f.d < time.Millisecond:
			w.errorf(CodeWord, s.Range, "A duration too short", "HEALTHCHECK takes a %s of at least 1ms.", f.name)
		default:
			flags = append(flags, "--"+f.name+"="+duration(f.d))
		}
	}
	if s.Retries != 0 {
		flags = append(flags, "--retries="+strconv.Itoa(s.Retries))
	}
	command := "CMD " + jsonArray(s.Test[1:])
	if s.Test[0] == "CMD-SHELL" {
		line := s.Test[1]
		node := parseOne("HEALTHCHECK CMD " + line + "\n")
		if line == "" || node == nil || node.Attributes["json"] || node.Next == nil || node.Next.Next == nil || node.Next.Next.Value != line {
			w.errorf(CodeLineBreak, s.Range, "A Dockerfile cannot hold this health check",
				"A health check that the shell runs is one line in a Dockerfile, and starts and ends with a character that is not blank. Give it as a list: [\"/bin/sh\", \"-c\", …].")
			return
		}
		command = "CMD " + line
	}
	w.list("HEALTHCHECK", append(joined(flags), command))
}

// joined makes one item of short flags.
func joined(flags []string) []string {
	if len(flags) == 0 {
		return nil
	}
	return []string{strings.Join(flags, " ")}
}

// duration is the shortest form that Go's parser reads: 30s, not 0m30s.
func duration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// platformWord is a platform after `--platform=`.
func platformWord(p *ir.Platform) string {
	if p.Auto != "" {
		return "$" + p.Auto
	}
	return platforms.FormatAll(p.Platform)
}

// imageName is how a reference is written: as the user did, unless BuildKit
// would take that for a stage.
func (e *emitter) imageName(ref string) string {
	if !e.taken[strings.ToLower(ref)] && ref != "scratch" {
		return ref
	}
	return fullRef(ref)
}

// fullRef is a reference with its registry and tag.
func fullRef(ref string) string {
	n, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return reference.TagNameOnly(n).String()
}

// familiar is the name by which BuildKit looks for a context that replaces an
// image.
func familiar(ref string) string {
	n, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return strings.TrimSuffix(reference.FamiliarString(n), ":latest")
}

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// referenceName makes a valid repository name of a context's name, itself when
// it is one.
func referenceName(name string) string {
	n := strings.ToLower(name)
	if reference.DomainRegexp.MatchString(n) && reference.NameRegexp.FindString(n) == n && !hexName.MatchString(n) {
		return n
	}
	n = strings.Trim(notName.ReplaceAllString(n, "-"), "-")
	if n == "" || hexName.MatchString(n) {
		n = "context-" + n
	}
	return strings.Trim(n, "-")
}

var hexName = regexp.MustCompile(`^[a-f0-9]{64}$`)

// helper registers a stage that others read, and returns its name.
func (w *writer) helper(base, text string) string {
	h := w.e.helpers[text]
	if h == nil {
		name := strings.Trim(notName.ReplaceAllString(strings.ToLower(base), "-"), "-")
		if name == "" || name[0] < 'a' {
			name = "stage-" + name
		}
		try := name
		for i := 2; w.e.taken[try]; i++ {
			try = name + "-" + strconv.Itoa(i)
		}
		w.e.taken[try] = true
		h = &helper{name: try, text: text}
		w.e.helpers[text] = h
	}
	for _, have := range w.helpers {
		if have == h {
			return h.name
		}
	}
	w.helpers = append(w.helpers, h)
	return h.name
}

// from is the name of a source for `--from=`; "" is the main context.
func (w *writer) from(src ir.Source) string {
	switch s := src.(type) {
	case ir.StageSource:
		if s.Output != "" {
			w.llbOnly("an output", "Let the step copy the files to a path of the stage, and name that.")
		}
		return s.Stage.Name
	case ir.ContextSource:
		name, p := w.e.contexts[s.Context], s.Platform
		if p == nil && s.Context.Given != "" {
			p = w.v.stage.RootPlatform()
		}
		if p == nil || name == "" {
			return name
		}
		return w.helper(name+"-"+strings.TrimPrefix(platformWord(p), "$"), "FROM --platform="+platformWord(p)+" "+name)
	case ir.ScratchSource:
		return "scratch"
	case ir.TextSource:
		if s.Text.Expand && strings.ContainsAny(s.Text.Data, "$\\") {
			w.errorf(CodeText, hcl.Range{}, "A Dockerfile cannot mount a text that expands",
				"A mounted text is a stage of its own there, without this stage's variables. Copy the text instead, or leave out expand.")
			return "scratch"
		}
		body, ok := w.heredoc(s.Text)
		if !ok {
			return "scratch"
		}
		return w.helper("text-"+s.Text.Name, "FROM scratch\nCOPY "+body[0]+" /\n"+body[1])
	case ir.ImageSource:
		p := s.Platform
		if p == nil {
			p = w.v.stage.RootPlatform()
		}
		if p == nil || p.Auto == "TARGETPLATFORM" { // what BuildKit pulls an image for that is only read
			return w.e.imageName(s.Ref)
		}
		base := path.Base(familiar(s.Ref)) + "-" + strings.TrimPrefix(platformWord(p), "$")
		return w.helper(base, "FROM --platform="+platformWord(p)+" "+w.e.imageName(s.Ref))
	}
	panic(fmt.Sprintf("dockerfile: unknown source %T", src))
}

// llbOnly reports something that no instruction says.
func (w *writer) llbOnly(what, instead string) {
	w.errorf(CodeLLBOnly, hcl.Range{}, "A Dockerfile has no "+strings.TrimPrefix(strings.TrimPrefix(what, "a "), "an "), "hbuild build makes %s; no instruction does. %s", what, instead)
}
