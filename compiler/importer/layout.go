package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// settings are the attributes that change the environment of what follows. They
// take effect in this order, whatever the order they are written in: args, env,
// shell, workdir, user, labels. So an instruction joins one only if moving it in
// front of those of a later kind changes nothing.
type settings struct {
	args, env, labels    []entry
	together             []entry // an ENV whose values do not see each other
	again                []entry // of those, what is set again
	shell, workdir, user *attr
	image                []attr          // expose, volumes and stop_signal that stay in place
	later                map[string]bool // what workdir, user and labels read
	passed               bool            // copies stand between these and what comes
	node                 *parser.Node
}

func (g *settings) empty() bool {
	return len(g.args)+len(g.env)+len(g.together)+len(g.labels) == 0 && g.shell == nil && g.workdir == nil && g.user == nil && len(g.image) == 0
}

func hasKey(list []entry, key string) bool {
	for _, e := range list {
		if e.key == key {
			return true
		}
	}
	return false
}

// setting is what an instruction adds to settings.
type setting struct {
	kind    string
	entries []entry
	val     expr
	reads   map[string]bool
	again   []entry // together: what is set again behind them, to be the last
	odd     bool    // a key expands, so that nobody knows what is set
}

// leads reports whether an attribute of the stage can say it: those that describe
// the image take effect behind the steps there.
func (s setting) leads() bool {
	switch s.kind {
	case "labels", "expose", "volumes", "stop_signal":
		return false
	}
	return true
}

// takes reports whether s can join g without a change of meaning.
func (g *settings) takes(s setting) bool {
	switch s.kind {
	case "args", "env", "together":
		if len(g.together) > 0 || s.kind == "together" && len(g.env) > 0 {
			return false
		}
		for _, e := range s.entries {
			if hasKey(g.args, e.key) && s.kind == "args" || hasKey(g.env, e.key) || g.later[e.key] {
				return false
			}
		}
		return !(s.kind == "args" && len(g.env) > 0) && !(s.odd && !g.empty())
	case "shell":
		return g.shell == nil
	case "workdir":
		return g.workdir == nil && g.user == nil && !g.passed
	case "user":
		return g.user == nil
	case "expose", "volumes", "stop_signal":
		for _, a := range g.image {
			if a.name == s.kind {
				return false
			}
		}
		return true
	}
	for _, e := range s.entries {
		if hasKey(g.labels, e.key) {
			return false
		}
	}
	return !s.odd || len(g.labels) == 0
}

func (g *settings) add(s setting, st *step) {
	if g.node == nil {
		g.node = st.node
	}
	one := func() *attr { return &attr{comment: st.comment, val: s.val, from: st.node} }
	if len(s.entries) > 0 && len(st.comment) > 0 {
		s.entries[0].comment = st.comment
	}
	switch s.kind {
	case "args":
		g.args = append(g.args, s.entries...)
		return
	case "env":
		g.env = append(g.env, s.entries...)
		return
	case "together":
		g.together, g.again = s.entries, s.again
		return
	case "shell":
		g.shell = one()
		return
	case "workdir":
		g.workdir = one()
	case "user":
		g.user = one()
	case "labels":
		g.labels = append(g.labels, s.entries...)
	case "expose", "volumes", "stop_signal":
		a := one()
		a.name = s.kind
		g.image = append(g.image, *a)
	}
	if g.later == nil {
		g.later = map[string]bool{}
	}
	for k := range s.reads {
		g.later[k] = true
	}
}

// pass lets settings take what comes after a copy: a copy has no environment but
// the variables that its words read, and no user; only the directory counts.
func (g *settings) pass(reads map[string]bool) {
	g.passed = true
	if g.later == nil {
		g.later = map[string]bool{}
	}
	for k := range reads {
		g.later[k] = true
	}
}

// copyReads are the variables that a copy reads; false for another step.
func (im *importer) copyReads(s *step) (map[string]bool, bool) {
	var words []string
	files := func(f instructions.SourcesAndDest) {
		words = append(append(words, f.SourcePaths...), f.DestPath)
		for _, t := range f.SourceContents {
			if t.Expand {
				words = append(words, t.Data)
			}
		}
	}
	switch c := s.cmd.(type) {
	case *instructions.CopyCommand:
		files(c.SourcesAndDest)
		words = append(words, c.Chown, c.Chmod)
	case *instructions.AddCommand:
		files(c.SourcesAndDest)
		words = append(words, c.Chown, c.Chmod, c.Checksum)
	default:
		return nil, false
	}
	return im.refs(words...), true
}

// write puts the attributes into a block.
func (g *settings) write(b *block) {
	object := func(name string, list []entry) {
		if len(list) == 0 {
			return
		}
		a := attr{name: name, from: g.node}
		if len(list) == 1 {
			a.comment, list[0].comment = list[0].comment, nil
		}
		a.val = obj(list)
		b.attrs = append(b.attrs, a)
	}
	one := func(name string, a *attr) {
		if a != nil {
			a.name = name
			b.attrs = append(b.attrs, *a)
		}
	}
	object("args", g.args)
	object("env", g.env)
	if len(g.together) > 0 {
		a := attr{name: "env", from: g.node, comment: g.together[0].comment}
		g.together[0].comment = nil
		a.val = list{obj(g.together)}
		if len(g.again) > 0 {
			a.val = list{obj(g.together), obj(g.again)}
		}
		b.attrs = append(b.attrs, a)
	}
	one("shell", g.shell)
	one("workdir", g.workdir)
	one("user", g.user)
	object("labels", g.labels)
	b.attrs = append(b.attrs, g.image...)
}

func obj(list []entry) expr { return object{entries: list} }

// layout writes a stage.
func (im *importer) layout(st *stage) {
	b := &block{head: "stage " + quote(st.name), from: st.node, comment: im.comments[st.node]}
	st.block = b
	if st.cmd.DocComment != "" && len(trimComment(b.comment)) == 1 {
		b.comment = nil
		b.set("description", str(described(st.cmd.DocComment)), st.node)
	}
	b.set("from", st.from, st.node)
	if st.plat != nil {
		b.set("platform", st.plat, st.node)
	}
	if st.base != nil {
		st.shell = st.base.shell
		if len(st.bases) == 1 {
			for k, v := range st.base.env {
				st.env[k] = v
			}
		}
	}
	im.float(st)
	head := &settings{}
	leading := true
	var set *settings
	flush := func() {
		if set != nil && !set.empty() {
			sb := &block{head: "set", from: set.node}
			set.write(sb)
			if len(sb.attrs) == 1 && len(sb.attrs[0].comment) > 0 {
				sb.comment, sb.attrs[0].comment = sb.attrs[0].comment, nil
			}
			b.blocks = append(b.blocks, sb)
		}
		set = nil
	}
	for _, s := range st.steps {
		if s.floats {
			im.learn(st, s)
			continue
		}
		list, isSetting, ok := im.settingsOf(st, s)
		if !ok {
			continue
		}
		if isSetting {
			for _, x := range list {
				if leading && x.leads() && head.takes(x) {
					head.add(x, s)
					continue
				}
				leading = false
				if set == nil || !set.takes(x) {
					flush()
					set = &settings{}
				}
				set.add(x, s)
			}
			im.learn(st, s)
			continue
		}
		if reads, ok := im.copyReads(s); ok && leading {
			head.pass(reads)
		} else {
			leading = false
		}
		flush()
		im.step(st, s)
	}
	flush()
	head.write(b)
	im.image(st)
	if st.index == len(im.stages)-1 {
		b.end = trimComment(im.rest)
	}
}

func trimComment(c []string) []string {
	for len(c) > 0 && c[len(c)-1] == "" {
		c = c[:len(c)-1]
	}
	return c
}

// described is a doc comment ("NAME is the …") without its first words.
func described(text string) string { return strings.TrimPrefix(text, "is ") }

// settingsOf reads an instruction that changes the environment.
func (im *importer) settingsOf(st *stage, s *step) ([]setting, bool, bool) {
	ok := true
	text := func(w string) string {
		t, err := im.text(w)
		if err != nil {
			im.cannot(st, s.node, err)
			ok = false
		}
		return t
	}
	pairs := func(kind string, kvs instructions.KeyValuePairs) []setting {
		var out []setting
		cur := setting{kind: kind, reads: map[string]bool{}}
		for _, kv := range kvs {
			k, v := text(kv.Key), text(kv.Value)
			if hasKey(cur.entries, k) {
				out = append(out, cur)
				cur = setting{kind: kind, reads: map[string]bool{}}
			}
			if _, constant := im.constant(kv.Key); !constant {
				cur.odd = true
			}
			for r := range im.refs(kv.Key, kv.Value) {
				cur.reads[r] = true
			}
			cur.entries = append(cur.entries, entry{key: k, val: str(v)})
		}
		return append(out, cur)
	}
	switch c := s.cmd.(type) {
	case *instructions.ArgCommand:
		var out []setting
		for _, a := range c.Args {
			v, fine := im.stageArg(st, s, a)
			ok = ok && fine
			if x := im.varOf[a.Key]; x != nil && x.desc != "" && x.desc == a.DocComment && len(trimComment(s.comment)) == 1 {
				s.comment = nil // it is the variable's description
			}
			out = append(out, setting{kind: "args", entries: []entry{{key: a.Key, val: v}}})
		}
		return out, true, ok
	case *instructions.EnvCommand:
		list := pairs("env", c.Env)
		if im.neighbours(c) {
			x := im.together(list)
			for _, e := range x.again {
				if !plainExpansion.MatchString("$" + e.key) {
					im.unsayable(s.node, "A name that one ENV sets twice, and that nothing can read", "The value of %q cannot be set again, for ${%s} is no variable.", e.key, e.key)
				}
			}
			return []setting{x}, true, ok
		}
		return list, true, ok
	case *instructions.LabelCommand:
		return pairs("labels", c.Labels), true, ok
	case *instructions.ShellCommand:
		return []setting{{kind: "shell", val: strs(c.Shell)}}, true, ok
	case *instructions.WorkdirCommand:
		return []setting{{kind: "workdir", val: str(text(c.Path)), reads: im.refs(c.Path)}}, true, ok
	case *instructions.UserCommand:
		return []setting{{kind: "user", val: str(text(c.User)), reads: im.refs(c.User)}}, true, ok
	case *instructions.ExposeCommand:
		l := list{}
		for _, p := range asWritten(s.node, c.Ports) {
			l = append(l, im.port(st, s, p))
		}
		return []setting{{kind: "expose", val: l, reads: im.refs(c.Ports...)}}, true, ok
	case *instructions.VolumeCommand:
		l := list{}
		for _, v := range c.Volumes {
			l = append(l, str(text(v)))
		}
		return []setting{{kind: "volumes", val: l, reads: im.refs(c.Volumes...)}}, true, ok
	case *instructions.StopSignalCommand:
		return []setting{{kind: "stop_signal", val: str(text(c.Signal)), reads: im.refs(c.Signal)}}, true, ok
	}
	return nil, false, true
}

// together makes one setting of an ENV that was taken apart where it sets a name
// again: its values all see the environment above it. The last value of a name
// counts; its place in the image is that of the first one, and its place in the
// environment of the steps that of the last one, so that some are set again.
func (im *importer) together(list []setting) setting {
	out := setting{kind: "together", reads: map[string]bool{}}
	var last []string // by where a name is set last
	for _, x := range list {
		out.odd = out.odd || x.odd
		for r := range x.reads {
			out.reads[r] = true
		}
		for _, e := range x.entries {
			out.entries = putEntry(out.entries, e)
			last = append(slices.DeleteFunc(last, func(k string) bool { return k == e.key }), e.key)
		}
	}
	if len(list) == 1 {
		return out
	}
	// What stays where it is leads in both orders.
	stays := len(last)
	for !leads(out.entries, last[:stays]) {
		stays--
	}
	for _, k := range last[stays:] {
		out.again = append(out.again, entry{key: k, val: str("$" + k)})
	}
	return out
}

// leads reports whether keys are in the order of the entries.
func leads(entries []entry, keys []string) bool {
	at := -1
	for _, k := range keys {
		i := slices.IndexFunc(entries, func(e entry) bool { return e.key == k })
		if i < at {
			return false
		}
		at = i
	}
	return true
}

func strs(in []string) list {
	out := list{}
	for _, s := range in {
		out = append(out, str(s))
	}
	return out
}

// neighbours reports an ENV in which a value reads a name that the same
// instruction sets before it: BuildKit expands it from the environment above,
// while an entry of `env` sees those before it, unless it stands in a list.
func (im *importer) neighbours(c *instructions.EnvCommand) bool {
	set := map[string]bool{}
	for _, kv := range c.Env {
		if overlap(im.refs(kv.Key, kv.Value), set) {
			return true
		}
		if k, ok := im.constant(kv.Key); ok {
			set[k] = true
		}
	}
	return false
}

// learn notes what an instruction makes known of the environment.
func (im *importer) learn(st *stage, s *step) {
	lex := shell.NewLex(rune(im.esc))
	switch c := s.cmd.(type) {
	case *instructions.EnvCommand:
		vals := make([]known, len(c.Env))
		for i, kv := range c.Env {
			vals[i].tmpl, vals[i].ok = im.literal(st, kv.Value)
			v, _, err := lex.ProcessWord(kv.Value, defaultsEnv(st.env))
			vals[i].value, vals[i].set = v, err == nil
		}
		for i, kv := range c.Env {
			k, ok := im.constant(kv.Key)
			if !ok {
				st.env = map[string]known{}
				continue
			}
			st.env[k] = vals[i]
		}
	case *instructions.ArgCommand:
		for _, a := range c.Args {
			st.env[a.Key] = im.knownArg(st, s, a)
		}
	case *instructions.ShellCommand:
		st.shell = c.Shell
	}
}

// knownArg is what is known of an argument once it is declared.
func (im *importer) knownArg(st *stage, s *step, a instructions.KeyValuePairOptional) known {
	e, ok := im.stageArg(st, s, a)
	if !ok {
		return known{}
	}
	var k known
	globals, _ := im.globals()
	if a.Value != nil {
		v, _, err := shell.NewLex(rune(im.esc)).ProcessWord(*a.Value, defaultsEnv(st.env))
		k.value, k.set = v, err == nil
	} else {
		k.value, k.set = globals.Get(a.Key)
	}
	if given, ok := im.opt.Args[a.Key]; ok {
		k.value, k.set = given, true
	}
	text := e.render(0)
	v := im.varOf[a.Key]
	switch {
	case text == "null": // nobody has set it when it is not an automatic argument
		k.tmpl, k.ok = escapeTemplate(escapeQuoted(k.value)), auto[a.Key] == ""
	case strings.HasPrefix(text, `"`):
		inner := strings.TrimSuffix(text[1:], `"`)
		k.tmpl, k.ok = inner, !strings.Contains(inner, "$")
	case strings.HasPrefix(text, "var.") && v != nil && v.def == nil && !v.split:
		k.tmpl, k.ok = fmt.Sprintf(`${%s != null ? %s : ""}`, text, text), true
	case v != nil && (v.def != nil && strings.Contains(v.def.render(0), "$${") || strings.Contains(text, "$")):
		// Its default expands from the environment, which HCL does not know.
		if a.Value != nil {
			k.tmpl, k.ok = im.literal(st, *a.Value)
			k.ok = false
		}
	default:
		k.tmpl, k.ok = "${"+text+"}", true
	}
	return k
}

// literal is a word as the inside of an HCL template, for places that do not
// expand at build time; false when what it reads is not known before the build.
func (im *importer) literal(st *stage, word string) (string, bool) { return im.fill(st, word, false) }

// guessed is literal, with nothing for what the file does not set.
func (im *importer) guessed(st *stage, word string) (string, bool) { return im.fill(st, word, true) }

func (im *importer) fill(st *stage, word string, guess bool) (string, bool) {
	var b strings.Builder
	for _, p := range split(word, im.esc) {
		if !p.expand {
			b.WriteString(escapeTemplate(escapeQuoted(p.text)))
			continue
		}
		m := plainExpansion.FindStringSubmatch(p.text)
		if m == nil {
			if !guess {
				return "", false
			}
			v, _, err := shell.NewLex('\\').ProcessWord(p.text, defaultsEnv(st.env))
			if err != nil {
				return "", false
			}
			b.WriteString(escapeTemplate(escapeQuoted(v)))
			continue
		}
		k := st.env[m[1]+m[2]]
		switch {
		case k.ok:
			b.WriteString(k.tmpl)
		case guess:
			b.WriteString(escapeTemplate(escapeQuoted(k.value)))
		default:
			return "", false
		}
	}
	return b.String(), true
}

// static is a word's value when it is known to be the same in every build.
func (im *importer) static(st *stage, word string) (string, bool) {
	t, ok := im.literal(st, word)
	if !ok {
		return "", false
	}
	return evalString(`"` + t + `"`)
}

// float decides which instructions only describe the image and can stand behind
// the steps.
func (im *importer) float(st *stage) {
	changed := map[string]bool{} // by instructions below
	odd, shell := false, false
	placed := map[string]bool{} // labels that stay in place
	signal := false             // a signal does
	for i := len(st.steps) - 1; i >= 0; i-- {
		s := st.steps[i]
		free := func(words ...string) bool {
			r := im.refs(words...)
			return len(r) == 0 || !odd && !overlap(r, changed)
		}
		switch c := s.cmd.(type) {
		case *instructions.ArgCommand:
			for _, a := range c.Args {
				changed[a.Key] = true
			}
		case *instructions.EnvCommand:
			for _, kv := range c.Env {
				k, ok := im.constant(kv.Key)
				changed[k], odd = true, odd || !ok
			}
		case *instructions.ShellCommand:
			shell = true
		case *instructions.LabelCommand:
			s.floats = true
			for _, kv := range c.Labels {
				k, ok := im.constant(kv.Key)
				s.floats = s.floats && free(kv.Key, kv.Value) && !placed[k] && (ok || len(placed) == 0)
			}
			if !s.floats {
				for _, kv := range c.Labels {
					k, _ := im.constant(kv.Key)
					placed[k] = true
				}
			}
		case *instructions.ExposeCommand:
			s.floats = im.fixed(st, s, c.Ports, free)
		case *instructions.VolumeCommand:
			s.floats = im.fixed(st, s, c.Volumes, free)
		case *instructions.StopSignalCommand:
			words := []string{c.Signal}
			s.floats = im.fixed(st, s, words, free) && !signal
			signal = signal || !s.floats
			c.Signal = words[0]
		case *instructions.CmdCommand:
			s.floats = true
			im.explicit(st, s, &c.ShellDependantCmdLine, shell)
		case *instructions.EntrypointCommand:
			s.floats = true
			im.explicit(st, s, &c.ShellDependantCmdLine, shell)
		case *instructions.HealthCheckCommand, *instructions.OnbuildCommand, *instructions.MaintainerCommand:
			s.floats = true
		}
	}
}

// fixed makes words that cannot be moved into ones that can, by what is known of
// them; false when that is not enough.
func (im *importer) fixed(st *stage, s *step, words []string, free func(...string) bool) bool {
	for i, w := range words {
		if free(w) {
			continue
		}
		before := &stage{env: map[string]known{}}
		for k, v := range st.env {
			before.env[k] = v
		}
		for _, earlier := range st.steps {
			if earlier == s {
				break
			}
			im.learn(before, earlier)
		}
		v, ok := im.static(before, w)
		if !ok {
			return false
		}
		words[i] = im.literalWord(v)
	}
	return true
}

// explicit gives a shell command that a later SHELL would change its shell.
func (im *importer) explicit(st *stage, s *step, c *instructions.ShellDependantCmdLine, shellBelow bool) {
	if !c.PrependShell || !shellBelow {
		return
	}
	shell := st.shell
	for _, earlier := range st.steps {
		if earlier == s {
			break
		}
		if sh, ok := earlier.cmd.(*instructions.ShellCommand); ok {
			shell = sh.Shell
		}
	}
	if shell == nil {
		shell = []string{"/bin/sh", "-c"}
		im.warnf(CodeFixed, s.node, "The shell was taken to be /bin/sh -c", "A SHELL further down would change this command, so it is written as a list; should the base image have a shell of its own, write that.")
	}
	c.CmdLine = append(append([]string{}, shell...), strings.Join(c.CmdLine, " "))
	c.PrependShell = false
}

// image writes what describes the image.
func (im *importer) image(st *stage) {
	tail := map[string]*attr{}
	order := []string{"labels", "author", "expose", "volumes", "stop_signal", "healthcheck", "onbuild", "entrypoint", "cmd"}
	replace := func(name string, v expr, s *step) {
		if old := tail[name]; old != nil {
			im.warnf(CodeDropped, old.from, fmt.Sprintf("%s has no effect", strings.ToUpper(old.from.Value)), "Line %d replaces it.", s.node.StartLine)
		}
		tail[name] = &attr{name: name, val: v, from: s.node, comment: s.comment}
	}
	appendTo := func(name string, s *step, items ...expr) {
		a := tail[name]
		if a == nil {
			a = &attr{name: name, val: list{}, from: s.node}
			tail[name] = a
		}
		a.comment = append(a.comment, s.comment...)
		l := a.val.(list)
		for _, it := range items {
			seen := false
			for _, have := range l {
				seen = seen || name != "onbuild" && have.render(0) == it.render(0)
			}
			if !seen {
				l = append(l, it)
			}
		}
		a.val = l
	}
	for _, s := range st.steps {
		if !s.floats {
			continue
		}
		switch c := s.cmd.(type) {
		case *instructions.LabelCommand:
			list, _, ok := im.settingsOf(st, s)
			if !ok {
				continue
			}
			a := tail["labels"]
			if a == nil {
				a = &attr{name: "labels", val: object{}, from: s.node}
				tail["labels"] = a
			}
			o := a.val.(object)
			first := true
			for _, x := range list {
				for _, e := range x.entries {
					if first {
						e.comment, first = s.comment, false
					}
					o.entries = putEntry(o.entries, e)
				}
			}
			a.val = o
		case *instructions.MaintainerCommand:
			replace("author", str(c.Maintainer), s)
		case *instructions.EntrypointCommand:
			replace("entrypoint", im.command(c.ShellDependantCmdLine), s)
		case *instructions.CmdCommand:
			replace("cmd", im.command(c.ShellDependantCmdLine), s)
		case *instructions.ExposeCommand:
			for _, p := range asWritten(s.node, c.Ports) {
				appendTo("expose", s, im.port(st, s, p))
				s.comment = nil
			}
		case *instructions.VolumeCommand:
			for _, v := range c.Volumes {
				t, err := im.text(v)
				if err != nil {
					im.cannot(st, s.node, err)
				}
				appendTo("volumes", s, str(t))
				s.comment = nil
			}
		case *instructions.StopSignalCommand:
			t, err := im.text(c.Signal)
			if err != nil {
				im.cannot(st, s.node, err)
			}
			replace("stop_signal", str(t), s)
		case *instructions.OnbuildCommand:
			appendTo("onbuild", s, im.trigger(c.Expression))
		case *instructions.HealthCheckCommand:
			replace("healthcheck", health(c), s)
		}
	}
	for _, name := range order {
		if a := tail[name]; a != nil {
			if o, ok := a.val.(object); ok && len(o.entries) == 1 {
				a.comment, o.entries[0].comment = o.entries[0].comment, nil
				a.val = o
			}
			st.block.tail = append(st.block.tail, *a)
		}
	}
}

// asWritten are an instruction's words in the order of the file; BuildKit sorts
// ports. Words that were changed since stay as they are.
func asWritten(n *parser.Node, words []string) []string {
	var out []string
	have := map[string]bool{}
	for _, w := range words {
		have[w] = true
	}
	for a := n.Next; a != nil; a = a.Next {
		if !have[a.Value] {
			return words
		}
		out = append(out, a.Value)
	}
	return out
}

// putEntry adds an entry; the last one of a key counts.
func putEntry(list []entry, e entry) []entry {
	for i := range list {
		if list[i].key == e.key {
			list[i].val = e.val
			list[i].comment = append(list[i].comment, e.comment...)
			return list
		}
	}
	return append(list, e)
}

// trigger is an ONBUILD instruction's text.
func (im *importer) trigger(text string) expr {
	if strings.Contains(strings.TrimSuffix(text, "\n"), "\n") && strings.HasSuffix(text, "\n") {
		return doc(text)
	}
	return str(text)
}

// command is a CMD or ENTRYPOINT.
func (im *importer) command(c instructions.ShellDependantCmdLine) expr {
	if c.PrependShell {
		return str(strings.Join(c.CmdLine, " "))
	}
	return strs(c.CmdLine)
}

// port is an entry of EXPOSE. A host's part has no effect and goes.
func (im *importer) port(st *stage, s *step, word string) expr {
	if c, ok := im.constant(word); ok {
		if i := strings.LastIndexByte(c, ':'); i >= 0 {
			c = c[i+1:]
		}
		if n, err := strconv.ParseUint(c, 10, 16); err == nil && strconv.FormatUint(n, 10) == c {
			return raw(c)
		}
		return str(strings.ReplaceAll(c, "$", `\$`))
	}
	t, err := im.text(word)
	if err != nil {
		im.cannot(st, s.node, err)
	}
	return str(t)
}

// health is a HEALTHCHECK.
func health(c *instructions.HealthCheckCommand) expr {
	h := c.Health
	if len(h.Test) == 0 || h.Test[0] == "NONE" {
		return str("none")
	}
	o := object{}
	put := func(key string, v expr) { o.entries = append(o.entries, entry{key: key, val: v}) }
	if h.Test[0] == "CMD-SHELL" {
		put("command", str(strings.Join(h.Test[1:], " ")))
	} else {
		put("command", strs(h.Test[1:]))
	}
	for _, d := range []struct{ key, text string }{
		{"interval", h.Interval.String()}, {"timeout", h.Timeout.String()},
		{"start_period", h.StartPeriod.String()}, {"start_interval", h.StartInterval.String()},
	} {
		if d.text != "0s" {
			put(d.key, str(short(d.text)))
		}
	}
	if h.Retries != 0 {
		put("retries", raw(strconv.Itoa(h.Retries)))
	}
	return o
}

// short drops the zero parts at the end of a duration: 5m0s is 5m.
func short(d string) string {
	if strings.HasSuffix(d, "m0s") {
		d = strings.TrimSuffix(d, "0s")
	}
	if strings.HasSuffix(d, "h0m") {
		d = strings.TrimSuffix(d, "0m")
	}
	return d
}

// cannot reports a word that hbuild cannot say, or that BuildKit cannot read.
func (im *importer) cannot(_ *stage, n *parser.Node, err error) {
	code := CodeInvalid
	if strings.HasPrefix(err.Error(), "hbuild has no") {
		code = CodeUnsayable
	}
	im.errorf(code, n, sentence(err.Error()), "The instruction cannot be imported.")
}
