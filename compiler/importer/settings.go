package importer

import (
	"slices"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
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
