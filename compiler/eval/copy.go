package eval

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// copyHead is what all instructions of one copy block share.
func (s *stepper) copyHead(n *lang.Copy) ir.Copy {
	ev, sc := s.ev, s.sc
	c := ir.Copy{StepMeta: ir.StepMeta{Range: n.Range}}
	if n.Chown != nil {
		c.Chown, _ = ev.checkedWord(ev.item(n.Chown, sc), diag.EmptyValue, "owner", notEmpty)
	}
	c.Chmod = ev.chmod(n.Chmod, sc)
	c.Link, _ = ev.attrBool(n.Link, sc)
	c.Parents, _ = ev.attrBool(n.Parents, sc)
	c.Exclude, _ = ev.attrStrings(n.Exclude, sc)
	if u, ok := ev.attrBool(n.Unpack, sc); ok {
		c.Unpack = &u
	}
	return c
}

// chmod reads a mode; a number is refused, because 0755 and 755 are one number.
func (ev *Evaluator) chmod(a *lang.Attr, sc *scope) ir.Word {
	if a == nil {
		return ""
	}
	it := ev.item(a, sc)
	if lit, ok := it.expr.(*hclsyntax.LiteralValueExpr); ok && lit.Val.Type().FriendlyName() == "number" {
		src := string(it.rng.SliceBytes(ev.mod.Files[it.rng.Filename]))
		it.fail(diag.BadChmod, fmt.Sprintf("%s takes a string", a.Name), fmt.Sprintf("HCL reads %s as a decimal number; write %q, in quotes.", src, src), diag.WithFix(it.rng, `"`+src+`"`, "write %q", src))
		return ""
	}
	w, _ := ev.checkedWord(it, diag.BadChmod, "mode", checkChmod)
	return w
}

func (s *stepper) copy(n *lang.Copy) {
	ev := s.ev
	head := s.copyHead(n)
	if yes, _ := ev.attrBool(n.Optional, s.sc); yes {
		s.mayMiss = ev.item(n.Optional, s.sc)
	}
	from, ok := s.copyFrom(n)
	if ev.set(n.Files, s.sc) {
		for _, a := range []*lang.Attr{n.Src, n.Dest} {
			if ev.set(a, s.sc) {
				ev.add(diag.Error(diag.ConflictingAttrs, a.NameRange, fmt.Sprintf("files and %s in one copy", a.Name), "files has sources and destinations in it; use either files, or src and dest.", diag.WithRelated(n.Files.NameRange, "files is set here")))
				return
			}
		}
		if ok {
			s.copyFiles(n, head, from)
		}
		return
	}
	if !ev.set(n.Dest, s.sc) {
		ev.errorf(diag.MissingAttribute, n.Range, "A copy without a destination", `Set files = { "dest" = "path" }, or src and dest.`)
		return
	}
	c := head
	c.Dest, _ = ev.checkedWord(ev.item(n.Dest, s.sc), diag.BadPath, "destination", notEmpty)
	var srcs []*item
	if ev.set(n.Src, s.sc) {
		srcs = s.oneOrMore(ev.item(n.Src, s.sc))
	} else if from.dir == "" {
		ev.errorf(diag.MissingAttribute, n.Range, "A copy without a source", `Set src = "path" or src = ["path", …].`)
		return
	}
	if ok && s.sources(&c, from, srcs, n.Range) {
		s.add(&c)
	}
}

// copySource is what a copy reads: a source, and a path in it that all paths are
// relative to.
type copySource struct {
	src  ir.Source
	dir  string // an artifact's path; "" for the root
	file bool   // dir is a file
}

func (s *stepper) copyFrom(n *lang.Copy) (copySource, bool) {
	if n.From == nil {
		c := s.ev.DefaultContext()
		if d := s.ev.mod.Lookup(lang.KindContext, defaultContext).Base(); c == nil && d.ForEach == nil && d.Enabled != nil {
			s.ev.add(diag.Error(diag.DisabledReference, n.Range, "context.default is not enabled",
				"A copy reads it when it does not say from where. Give it a from, or leave it out when the context is disabled.",
				diag.WithRelated(d.Enabled.SrcRange, "it is switched off here")))
		}
		return copySource{src: ir.ContextSource{Context: c}}, c != nil
	}
	it := s.ev.item(n.From, s.sc)
	v := s.ev.build(it, kContext, kStage, KindImage, kArtifact, KindGit, KindHTTP, KindMerge, KindDiff, KindDockerfile)
	if v == nil {
		return copySource{}, false
	}
	return s.copySourceOf(it, v)
}

func (s *stepper) copySourceOf(it *item, v *Value) (copySource, bool) {
	if v.Kind != kArtifact {
		src := s.ev.source(it, v, s.sc.platform)
		return copySource{src: src}, src != nil
	}
	a := s.ev.artifact(v.Inst, s.sc.platform)
	if a == nil {
		return copySource{}, false
	}
	return copySource{src: a.from, dir: a.path, file: !a.dir}, true
}

// oneOrMore reads a value or a list of values.
func (s *stepper) oneOrMore(it *item) []*item {
	if _, isList := it.expr.(*hclsyntax.TupleConsExpr); !isList {
		if !it.value().IsKnown() {
			return nil
		}
		if t := it.value().Type(); !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
			if FromCty(it.value()) == nil && !t.IsPrimitiveType() {
				it.wrongType("a string or a list of strings")
				return nil
			}
			return []*item{it}
		}
	}
	items, _ := s.ev.list(it, "a string or a list of strings")
	return items
}

// sources fills in what one copy instruction copies: paths of one source, texts.
func (s *stepper) sources(c *ir.Copy, from copySource, items []*item, at hcl.Range) bool {
	ok := true
	for _, it := range items {
		if !it.ready() {
			ok = ok && it.unknown()
			continue
		}
		if v := FromCty(it.value()); v != nil {
			if v.Kind == KindText {
				c.Texts = append(c.Texts, *v.Text)
				continue
			}
			if v.Remote != nil && from.dir == "" {
				ok = s.ev.remote(c, v, it, len(items) > 1) && ok
				continue
			}
			it.errorf(diag.WrongKind, "A list of sources holds paths and texts", "%s is a source of its own; give it an entry of its own in files, or set from.", v.Describe())
			ok = false
			continue
		}
		text, fine := s.ev.checked(it, diag.BadPath, "path", notEmpty)
		if !fine {
			ok = false
			continue
		}
		if from.dir != "" {
			text = strings.TrimSuffix(from.dir, "/") + "/" + strings.TrimPrefix(text, "/")
		}
		w, fine := s.ev.quote(text, it)
		ok = s.addPath(c, from.src, w) && ok && fine
		// One pattern among other sources is how an optional file is said.
		if fine && s.mayMiss == nil && (len(items) == 1 || !strings.ContainsAny(text, "*?[")) {
			s.ev.checkSource(from.src, w, it)
		}
	}
	if len(items) == 0 && from.dir != "" {
		w, fine := s.ev.quote(from.dir, s.ev.given("from", Null, at))
		ok = s.addPath(c, from.src, w) && ok && fine
	}
	if len(c.Src) > 0 && (!c.Add || len(items) > 1) {
		c.From, _ = placed(from.src)
	}
	if ok && len(c.Src)+len(c.Texts) == 0 && c.Dest != "" && len(items) == 0 {
		s.ev.errorf(diag.EmptyValue, at, "A copy of nothing", "The list of sources is empty.")
		return false
	}
	if ok && len(c.Src)+len(c.Texts) > 1 {
		if d, constant := c.Dest.Const(); constant && !strings.HasSuffix(d, "/") && d != "." && !strings.HasSuffix(d, "/.") && !strings.HasSuffix(d, `\`) {
			s.ev.errorf(diag.BadPath, at, "Several sources need a directory to go to", "The destination %q does not end with a slash; write %q.", d, d+"/")
			return false
		}
	}
	return ok
}

// addPath adds a path of a source to what is copied.
func (s *stepper) addPath(c *ir.Copy, src ir.Source, w ir.Word) bool {
	ok := true
	if s.mayMiss != nil {
		w, ok = s.ev.optional(w, s.mayMiss)
	}
	_, dir := placed(src)
	c.Src = append(c.Src, placePath(dir, w, c.Parents))
	return ok
}

// copyFiles makes one instruction of each entry of files.
func (s *stepper) copyFiles(n *lang.Copy, head ir.Copy, from copySource) {
	ev := s.ev
	entries, _ := ev.entries(ev.item(n.Files, s.sc), "a map of destinations")
	for _, e := range entries {
		if e.item.null() || e.item.unknown() {
			continue
		}
		c := head
		c.Range = hcl.RangeBetween(e.keyRange, e.item.rng)
		c.Comment = ev.mod.CommentAbove(c.Range)
		var ok bool
		if c.Dest, ok = ev.quote(e.key, ev.given("files", e.item.v, e.keyRange)); !ok {
			continue
		}
		if e.key == "" {
			ev.errorf(diag.BadPath, e.keyRange, "An empty destination", `A destination is a path; "." or "./" is the working directory.`)
			continue
		}
		if s.filesEntry(&c, e, from, n) {
			s.add(&c)
		}
	}
}

// filesEntry fills in the copy of one entry.
func (s *stepper) filesEntry(c *ir.Copy, e entry, from copySource, n *lang.Copy) bool {
	v := FromCty(e.item.value())
	if v == nil {
		return s.sources(c, from, s.oneOrMore(e.item), c.Range)
	}
	if v.Kind == KindText {
		c.Texts = []ir.Text{*v.Text}
		return true
	}
	if n.From != nil {
		e.item.fail(diag.ConflictingAttrs, "A build value in a copy that has from", fmt.Sprintf("%s is a source of its own, and so is from.", v.Describe()), diag.WithRelated(n.From.SrcRange, "from is set here"))
		return false
	}
	if v = s.ev.build(e.item, kArtifact, kStage, KindImage, kContext, KindGit, KindHTTP, KindMerge, KindDiff, KindDockerfile); v == nil {
		return false
	}
	if v.Remote != nil && v.Remote.Filename == "" {
		return s.ev.remote(c, v, e.item, false)
	}
	own, ok := s.copySourceOf(e.item, v)
	if !ok {
		return false
	}
	if own.dir == "" {
		own.dir = map[bool]string{true: ".", false: "/"}[v.Kind == kContext]
	}
	return s.sources(c, own, nil, c.Range)
}

func (s *stepper) write(n *lang.Write) {
	ev, sc := s.ev, s.sc
	if n.Path == nil || n.Content == nil {
		return // reported
	}
	for _, a := range []*lang.Attr{n.Path, n.Content} {
		if it := ev.item(a, sc); it.null() {
			it.errorf(diag.NullValue, fmt.Sprintf("%s is null", a.Name), "A write step needs it.")
			return
		}
	}
	c := &ir.Copy{StepMeta: ir.StepMeta{Range: n.Range}}
	t := ir.Text{Name: "EOF"}
	var ok, fine bool
	c.Dest, ok = ev.checkedWord(ev.item(n.Path, sc), diag.BadPath, "path", notEmpty)
	t.Data, fine = ev.str(ev.item(n.Content, sc))
	if n.TextName != nil {
		if name, good := ev.checked(ev.item(n.TextName, sc), diag.BadPath, "name for a text", checkTextName); good {
			t.Name = name
		}
	}
	t.Expand, _ = ev.attrBool(n.Expand, sc)
	if n.Chown != nil {
		c.Chown, _ = ev.checkedWord(ev.item(n.Chown, sc), diag.EmptyValue, "owner", notEmpty)
	}
	c.Chmod = ev.chmod(n.Chmod, sc)
	c.Texts = []ir.Text{t}
	if ok && fine {
		s.add(c)
	}
}
