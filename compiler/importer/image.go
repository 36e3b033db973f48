package importer

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

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
