package importer

import (
	"path"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// copyCmd is a COPY or an ADD.
type copyCmd struct {
	files              instructions.SourcesAndDest
	from               *source
	chown, chmod       string
	link, parents, add bool
	exclude            []string
	unpack, asked      *bool // what an ADD does, and what it was asked to do
	checksum           string
	keepGit            *bool
	mixed              bool // addresses and paths
}

func (im *importer) copy(st *stage, s *step, c copyCmd) {
	text := func(w string) string {
		t, err := im.text(w)
		if err != nil {
			im.cannot(st, s.node, err)
		}
		return t
	}
	remote := 0
	var values []expr
	for _, src := range c.files.SourcePaths {
		t := text(src)
		if c.add {
			if v := im.remoteValue(st, src, t, c, text); v != nil {
				values = append(values, v)
				remote++
				continue
			}
		}
		values = append(values, str(t))
	}
	c.mixed = remote > 0 && remote < len(c.files.SourcePaths)
	if c.checksum != "" && remote == 0 {
		im.errorf(CodeInvalid, s.node, "checksum can't be specified for non-HTTP(S) sources", "BuildKit refuses this, so it cannot be imported.")
		return
	}
	dest := text(c.files.DestPath)
	if dest == "" {
		dest = "."
	}
	if len(c.files.SourcePaths) == 0 && len(c.files.SourceContents) == 1 && !c.link && len(c.exclude) == 0 {
		im.writeStep(st, s, c, dest, text)
		return
	}
	b := &block{head: "copy", from: s.node, comment: s.comment}
	var value expr
	switch {
	case len(c.files.SourceContents) > 0:
		for _, t := range c.files.SourceContents {
			values = append(values, heredocValue(t))
		}
	case remote > 0:
	case c.from != nil && c.from.stage != nil && len(values) == 1:
		if w, ok := im.constant(c.files.SourcePaths[0]); ok && w == "/" && !c.parents {
			value = raw("stage." + c.from.stage.name)
			c.from = nil
		} else if a := im.artifact(c.from.stage, c.files.SourcePaths[0]); a != "" && !c.parents {
			value = raw(a)
			c.from = nil
		}
	}
	if c.from != nil {
		b.set("from", im.sourceValue(st, c.from), s.node)
	}
	if value == nil {
		value = list(values)
		if len(values) == 1 {
			if _, isCall := values[0].(call); !isCall || remote > 0 {
				value = values[0]
			}
		}
	}
	b.set("files", object{entries: []entry{{key: dest, path: true, val: value}}}, s.node)
	im.copyOptions(b, s, c, remote > 0, text)
	im.merge(st, b)
}

// merge puts a copy into the one before it, when they differ in their files only.
func (im *importer) merge(st *stage, b *block) {
	blocks := st.block.blocks
	if len(blocks) > 0 && len(b.comment) == 0 { // a comment is about its own copy
		last := blocks[len(blocks)-1]
		if last.head == "copy" && len(last.attrs) == len(b.attrs) && sameButFiles(last, b) {
			i := filesIndex(last)
			o, add := last.attrs[i].val.(object), b.attrs[filesIndex(b)].val.(object).entries[0]
			if !hasKey(o.entries, add.key) {
				o.entries = append(o.entries, add)
				last.attrs[i].val = o
				return
			}
		}
	}
	st.block.blocks = append(blocks, b)
}

func filesIndex(b *block) int {
	for i, a := range b.attrs {
		if a.name == "files" {
			return i
		}
	}
	return -1
}

func sameButFiles(a, b *block) bool {
	for i := range a.attrs {
		if a.attrs[i].name != b.attrs[i].name || a.attrs[i].name != "files" && a.attrs[i].val.render(0) != b.attrs[i].val.render(0) {
			return false
		}
	}
	return filesIndex(a) >= 0
}

func (im *importer) copyOptions(b *block, s *step, c copyCmd, remote bool, text func(string) string) {
	if c.chown != "" {
		b.set("chown", str(text(c.chown)), s.node)
	}
	if c.chmod != "" {
		b.set("chmod", str(text(c.chmod)), s.node)
	}
	if c.link {
		b.set("link", raw("true"), s.node)
	}
	if c.parents {
		b.set("parents", raw("true"), s.node)
	}
	if len(c.exclude) > 0 {
		b.set("exclude", strs(c.exclude), s.node)
	}
	switch {
	case c.add && !remote && *c.unpack && len(c.files.SourcePaths) > 0:
		b.set("unpack", raw("true"), s.node)
	case c.add && remote && c.asked != nil && *c.asked:
		b.set("unpack", raw("true"), s.node)
	case c.add && c.mixed && c.asked != nil:
		b.set("unpack", raw("false"), s.node)
	}
}

// heredocValue is a heredoc source as text().
func heredocValue(t instructions.SourceContent) expr {
	var opts []entry
	if t.Path != "EOF" {
		opts = append(opts, entry{key: "name", val: str(t.Path)})
	}
	if t.Expand && strings.ContainsAny(t.Data, "$\\") {
		opts = append(opts, entry{key: "expand", val: raw("true")})
	}
	args := []expr{textOf(t.Data)}
	if len(opts) > 0 {
		args = append(args, object{entries: opts, tight: true})
	}
	return call{"text", args}
}

// writeStep is a heredoc that is copied to a file.
func (im *importer) writeStep(st *stage, s *step, c copyCmd, dest string, text func(string) string) {
	t := c.files.SourceContents[0]
	b := &block{head: "write", from: s.node, comment: s.comment}
	b.set("path", str(dest), s.node)
	if t.Path != "EOF" {
		b.set("name", str(t.Path), s.node)
	}
	if t.Expand && strings.ContainsAny(t.Data, "$\\") {
		b.set("expand", raw("true"), s.node)
	}
	if c.chown != "" {
		b.set("chown", str(text(c.chown)), s.node)
	}
	if c.chmod != "" {
		b.set("chmod", str(text(c.chmod)), s.node)
	}
	b.set("content", textOf(t.Data), s.node)
	st.block.blocks = append(st.block.blocks, b)
}

// remoteValue is a source of ADD that is an address; nil when it is a path. Which of
// them it is when it begins with a variable, the defaults say.
func (im *importer) remoteValue(st *stage, word, src string, c copyCmd, text func(string) string) expr {
	var opts []entry
	fn, addr := "", src
	if v, _, err := shell.NewLex(rune(im.esc)).ProcessWord(word, defaultsEnv(st.env)); err == nil && strings.HasPrefix(src, "$") {
		addr = v
	}
	isHTTP := strings.HasPrefix(addr, "http://") || strings.HasPrefix(addr, "https://")
	switch {
	case isGit(addr):
		fn = "git"
		if c.checksum != "" {
			opts = append(opts, entry{key: "commit", val: str(text(c.checksum))})
		}
		if c.keepGit != nil {
			opts = append(opts, entry{key: "keep_git_dir", val: raw(strconv.FormatBool(*c.keepGit))})
		}
	case isHTTP:
		fn = "http"
		if c.checksum != "" {
			opts = append(opts, entry{key: "checksum", val: str(text(c.checksum))})
		}
	default:
		return nil
	}
	args := []expr{str(src)}
	if len(opts) > 0 {
		args = append(args, object{entries: opts, tight: true})
	}
	return call{fn, args}
}

// artifact is the reference of the artifact at a path of a stage; "" when the path
// is not one file or directory whose name is known.
func (im *importer) artifact(from *stage, word string) string {
	p, ok := im.constant(word)
	if !ok || strings.ContainsAny(p, "*?[$\\") || !strings.HasPrefix(p, "/") || path.Clean(p) == "/" {
		return ""
	}
	id := from.name + " " + p
	if im.avoid[id] {
		return ""
	}
	r := find(im.artifacts, id)
	if r == nil {
		base := path.Base(strings.TrimSuffix(p, "/."))
		name := base
		if i := strings.IndexByte(name, '.'); i > 0 && !strings.HasSuffix(name, ".conf") {
			name = name[:i]
		}
		name = strings.TrimLeft(name, ".")
		if up := path.Base(path.Dir(path.Clean(p))); dull[name] && up != "/" && !dull[up] {
			name = up + "_" + name
		}
		if im.taken["artifact"][strings.ToLower(strings.Trim(notName.ReplaceAllString(name, "_"), "_-"))] {
			name = from.name + "_" + name
		}
		r = &resource{name: im.unique("artifact", name, from.name), id: id, stage: from}
		r.attrs = []entry{{key: "from", val: raw("stage." + from.name)}, {key: "path", val: str(p)}}
		im.artifacts = append(im.artifacts, r)
	}
	return "artifact." + r.name
}

// dull are names that say too little.
var dull = map[string]bool{"bin": true, "lib": true, "local": true, "usr": true, "share": true, "out": true, "app": true, "src": true, "dist": true, "build": true, "etc": true, "opt": true, "target": true, "release": true, "include": true}
