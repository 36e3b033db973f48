package eval

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// steps appends what one step block asks for, once for each element of its
// for_each.
func (s *stepper) steps(step lang.Step, sc *scope) {
	if d, ok := step.(*lang.Dynamic); ok {
		s.add(s.ev.dynamic(d, sc, func(content lang.Step, sc *scope) []ir.Step {
			sub := &stepper{ev: s.ev, stage: &ir.Stage{Addr: s.stage.Addr}, sc: sc}
			sub.steps(content, sc)
			return sub.stage.Steps
		})...)
		return
	}
	h := step.Head()
	for _, sc := range s.ev.repeat(h, sc) {
		sub := &stepper{ev: s.ev, stage: s.stage, sc: sc}
		first := len(s.stage.Steps)
		switch step := step.(type) {
		case *lang.Run:
			sub.run(step)
		case *lang.Copy:
			sub.copy(step)
		case *lang.Write:
			sub.write(step)
		case *lang.Mkdir:
			sub.mkdir(step)
		case *lang.Remove:
			sub.remove(step)
		case *lang.Symlink:
			sub.symlink(step)
		case *lang.Set:
			sub.settings(step.Args, step.Env, step.Shell, step.Workdir, step.User, step.Labels)
		}
		sub.finish(h, s.stage.Steps[first:])
	}
}

// finish gives the steps of one block what the block says of all of them: its
// comment goes to the first.
func (s *stepper) finish(h *lang.StepHead, steps []ir.Step) {
	noCache, _ := s.ev.attrBool(h.NoCache, s.sc)
	name := ""
	if h.Type != "write" {
		name, _ = s.ev.attrStr(h.Name, s.sc)
	}
	for i, st := range steps {
		m := st.Meta()
		m.NoCache, m.Name = noCache, name
		if i == 0 {
			// In a block of one line the attribute has the block's comment already.
			if c := s.ev.mod.CommentAbove(h.Range); !slices.Equal(c, m.Comment) {
				m.Comment = append(c, m.Comment...)
			}
		}
	}
}

func (s *stepper) run(n *lang.Run) {
	ev, sc := s.ev, s.sc
	r := &ir.Run{StepMeta: ir.StepMeta{Range: n.Range}}
	ok := s.runCommand(n, r)
	r.ExitCodes = s.exitCodes(n.ExitCodes)
	r.Network = ir.NetMode(ev.attrEnum(n.Network, sc, diag.BadNetwork, "network", networks))
	r.Security = ir.Security(ev.attrEnum(n.Security, sc, diag.BadEnum, "security mode", securities))
	s.mounts(n.Mounts, r)
	s.agents(n.SSH, r)
	s.runEnv(n.Env, r)
	s.devices(n.Devices, r)
	r.Hosts = ev.hosts(n.Hosts, sc)
	r.Ulimits = ev.ulimits(n.Ulimits, sc)
	r.Limits = ev.limits(n.Limits, sc)
	if ok {
		s.add(r)
	}
}

func (ev *Evaluator) attrEnum(a *lang.Attr, sc *scope, code diag.Code, what string, words []string) string {
	if a == nil {
		return ""
	}
	return ev.enum(ev.item(a, sc), code, what, words)
}

func (s *stepper) runCommand(n *lang.Run, r *ir.Run) bool {
	ev := s.ev
	switch {
	case ev.set(n.Command, s.sc) && ev.set(n.Script, s.sc):
		ev.add(diag.Error(diag.ConflictingAttrs, n.Script.NameRange, "A run step with a command and a script", "A step runs one of the two; write two steps.", diag.WithRelated(n.Command.NameRange, "command is set here")))
		return false
	case ev.set(n.Command, s.sc):
		c, ok := s.command(n.Command, false)
		if ok && strings.TrimSpace(c.Args[0]) == "" {
			ev.errorf(diag.EmptyValue, n.Command.Expr.Range(), "command is empty", "Name a program and its arguments.")
			return false
		}
		r.Command = c
		return ok
	case ev.set(n.Script, s.sc):
		it := ev.item(n.Script, s.sc)
		text, ok := ev.checked(it, diag.EmptyValue, "script", func(t string) error { return notEmpty(strings.TrimSpace(t)) })
		r.Script = &ir.Text{Name: "EOF", Data: text}
		if n.ScriptName != nil {
			if name, fine := ev.checked(ev.item(n.ScriptName, s.sc), diag.BadPath, "name of a script", checkTextName); fine {
				r.Script.Name = name
			}
		}
		return ok
	}
	ev.errorf(diag.MissingAttribute, n.Range, "A run step that runs nothing", `Set command = "…" or script = <<-EOF … EOF.`)
	return false
}

func (s *stepper) mounts(a *lang.Attr, r *ir.Run) {
	if a == nil {
		return
	}
	entries, _ := s.ev.entries(s.ev.item(a, s.sc), "a map of paths to build values")
	for _, e := range entries {
		if e.item.null() {
			continue
		}
		target, ok := s.ev.quote(e.key, s.ev.given("mounts", e.item.v, e.keyRange))
		if !ok {
			continue
		}
		if t, constant := target.Const(); constant && (t == "" || strings.Trim(t, "/.") == "" && strings.HasPrefix(t, "/")) {
			s.ev.errorf(diag.BadMountTarget, e.keyRange, fmt.Sprintf("Nothing can be mounted at %q", t), "A mount needs a directory or a file below the root, such as /root/.cache.")
			continue
		}
		if m := s.mount(e.item); m != nil {
			m.Target, m.Range = target, hcl.RangeBetween(e.keyRange, e.item.rng)
			r.Mounts = append(r.Mounts, *m)
		}
	}
}

// mount makes a mount of a value; its kind decides which.
func (s *stepper) mount(it *item) *ir.Mount {
	ev := s.ev
	v := ev.build(it, kCache, kSecret, kStage, KindImage, kContext, kArtifact, KindText, kSSH, KindGit, KindHTTP, KindTmpfs, KindMount, KindScratch, KindMerge, KindDiff, KindDockerfile, KindOutput)
	if v == nil {
		return nil
	}
	var o MountOptions
	if v.Kind == KindMount {
		o = *v.Mount
		v = o.Of
	}
	m := &ir.Mount{}
	takes := s.mountKind(it, v, m)
	if takes == nil {
		return nil
	}
	return s.mountOptions(it, m, o, v, takes)
}

// mountKind fills in what follows from the kind of value, and says which options
// that kind takes; nil when the value was refused.
func (s *stepper) mountKind(it *item, v *Value, m *ir.Mount) []string {
	ev := s.ev
	switch v.Kind {
	case kCache:
		m.Kind, m.Cache = ir.MountCache, ev.cache(v.Inst, s.sc)
		if m.Cache == nil {
			return nil
		}
		return []string{"sharing", "source", "mode", "uid", "gid", "writable"}
	case kSecret:
		m.Kind, m.Secret = ir.MountSecret, ev.secret(v.Inst)
		return []string{"mode", "uid", "gid", "required"}
	case kSSH:
		m.Kind, m.SSH = ir.MountSSH, ev.ssh(v.Inst)
		return []string{"mode", "uid", "gid", "required"}
	case KindTmpfs:
		m.Kind, m.Size = ir.MountTmpfs, v.Size
		return []string{"size"}
	case kArtifact:
		a := ev.artifact(v.Inst, s.sc.platform)
		if a == nil {
			return nil
		}
		m.Kind, m.From = ir.MountBind, a.from
		m.Source, _ = ev.quote(a.path, it)
		return []string{"writable", "source"}
	case KindOutput:
		m.Kind, m.From, m.Writable, m.Output = ir.MountBind, ir.ScratchSource{}, true, v.Output
		return []string{}
	case KindText:
		m.Kind, m.From = ir.MountBind, ir.TextSource{Text: *v.Text}
		return []string{"writable"}
	}
	m.Kind, m.From = ir.MountBind, ev.source(it, v, s.sc.platform)
	if m.From == nil {
		return nil
	}
	return []string{"writable", "source"}
}

func (s *stepper) mountOptions(it *item, m *ir.Mount, o MountOptions, v *Value, takes []string) *ir.Mount {
	ev := s.ev
	given := map[string]bool{"source": o.Source != "", "writable": o.Writable != nil, "mode": o.Mode != "", "uid": o.UID != "", "gid": o.GID != "", "sharing": o.Sharing != "", "size": o.Size != 0, "required": o.Required != nil}
	for _, name := range sortedKeys(given) {
		if given[name] && !hasString(takes, name) {
			it.errorf(diag.UnknownOption, fmt.Sprintf("%s has no mount option %q", v.Describe(), name), "A mount of %s takes %s.", articleKind(v.Kind), diag.List(takes, 10))
			return nil
		}
	}
	word := func(text string) ir.Word {
		if text == "" {
			return ""
		}
		w, _ := ev.quote(text, it)
		return w
	}
	if o.Source != "" {
		src := o.Source
		if base := m.Source; base != "" {
			src = strings.TrimSuffix(base.Text(), "/") + "/" + strings.TrimPrefix(src, "/")
		}
		m.Source = word(src)
	}
	if m.Kind == ir.MountCache && o.Writable != nil {
		m.ReadOnly = !*o.Writable
	} else if o.Writable != nil {
		m.Writable = *o.Writable
	}
	if o.Mode != "" {
		m.Mode = word(o.Mode)
	}
	if o.UID != "" {
		m.UID = word(o.UID)
	}
	if o.GID != "" {
		m.GID = word(o.GID)
	}
	if o.Size != 0 {
		m.Size = o.Size
	}
	if o.Sharing != "" {
		c := *m.Cache
		c.Sharing = ir.Sharing(o.Sharing)
		m.Cache = &c
	}
	if o.Required != nil && m.Secret != nil {
		c := *m.Secret
		c.Required = *o.Required
		m.Secret = &c
	}
	if o.Required != nil && m.SSH != nil {
		c := *m.SSH
		c.Required = *o.Required
		m.SSH = &c
	}
	return m
}

func (s *stepper) agents(a *lang.Attr, r *ir.Run) {
	if a == nil {
		return
	}
	items, _ := s.ev.list(s.ev.item(a, s.sc), "a list of ssh")
	for _, it := range items {
		if v := s.ev.build(it, kSSH); v != nil {
			r.Mounts = append(r.Mounts, ir.Mount{Kind: ir.MountSSH, SSH: s.ev.ssh(v.Inst), Range: it.rng})
		}
	}
}

func (s *stepper) runEnv(a *lang.Attr, r *ir.Run) {
	if a == nil {
		return
	}
	entries, _ := s.ev.entries(s.ev.item(a, s.sc), "a map of strings and secrets")
	for _, e := range entries {
		if !envName.MatchString(e.key) {
			s.ev.errorf(diag.BadName, e.keyRange, fmt.Sprintf("%q is no name of a variable", e.key), "A name has letters, digits and _ and does not begin with a digit.")
			continue
		}
		if e.item.unknown() || e.item.null() {
			continue
		}
		plain, _ := e.item.value().Unmark()
		if v := FromCty(plain); v != nil {
			if v.Kind != kSecret {
				e.item.fail(diag.WrongKind, "env takes strings and secrets", fmt.Sprintf("%s is %s.", v.Describe(), articleKind(v.Kind)), declared(v)...)
			} else if v := s.ev.build(e.item, kSecret); v != nil {
				r.Mounts = append(r.Mounts, ir.Mount{Kind: ir.MountSecret, Secret: s.ev.secret(v.Inst), Env: e.key, Range: hcl.RangeBetween(e.keyRange, e.item.rng)})
			}
			continue
		}
		if text, ok := s.ev.str(e.item); ok {
			r.Env = append(r.Env, ir.KV{Key: e.key, Value: text})
		}
	}
}

var deviceName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_.-]*\.[A-Za-z0-9_.-]+/[A-Za-z][A-Za-z0-9_.-]*(=[A-Za-z0-9_.:*-]+)?$`)

func checkDevice(s string) error {
	if !deviceName.MatchString(s) {
		return fmt.Errorf("a CDI device is vendor.tld/class=name, such as vendor.com/gpu=0")
	}
	return nil
}

func (s *stepper) devices(a *lang.Attr, r *ir.Run) {
	if a == nil {
		return
	}
	ev := s.ev
	items, _ := ev.list(ev.item(a, s.sc), "a list of devices")
	for _, it := range items {
		d := ir.Device{}
		if v := it.value(); v.IsKnown() && (v.Type().IsObjectType() || v.Type().IsMapType()) {
			ev.options(it, "a device", map[string]func(*item){
				"name":     func(it *item) { d.Name, _ = ev.checked(it, diag.BadDevice, "device", checkDevice) },
				"required": func(it *item) { d.Required, _ = ev.boolean(it, diag.WrongType) },
			})
		} else {
			d.Name, _ = ev.checked(it, diag.BadDevice, "device", checkDevice)
		}
		if d.Name != "" {
			r.Devices = append(r.Devices, d)
		}
	}
}

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
	s.mayMiss, _ = ev.attrBool(n.Optional, s.sc)
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
		s.optionalCopy(n, &c)
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
		if d := s.ev.mod.Lookup(lang.KindContext, "default").Base(); c == nil && d.ForEach == nil && d.Enabled != nil {
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
		c.Src = append(c.Src, w)
		ok = ok && fine
		if fine && !s.mayMiss {
			s.ev.checkSource(from.src, w, it)
		}
	}
	if len(items) == 0 && from.dir != "" {
		w, fine := s.ev.quote(from.dir, s.ev.given("from", Null, at))
		c.Src = append(c.Src, w)
		ok = ok && fine
	}
	if len(c.Src) > 0 && (!c.Add || len(items) > 1) {
		c.From = from.src
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
			s.optionalCopy(n, &c)
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

// optionalCopy lets the paths of a copy be missing.
func (s *stepper) optionalCopy(n *lang.Copy, c *ir.Copy) {
	if s.mayMiss && !c.Add {
		s.ev.optional(c, s.ev.item(n.Optional, s.sc))
	}
}

// exitCodes reads the exit codes that are no failure.
func (s *stepper) exitCodes(a *lang.Attr) (out []int) {
	if a == nil {
		return nil
	}
	items, _ := s.ev.list(s.ev.item(a, s.sc), "a list of numbers")
	for _, it := range items {
		n, ok := s.ev.integer(it)
		if ok && (n < 0 || n > 255) {
			it.errorf(diag.WrongType, fmt.Sprintf("%d is no exit code", n), "An exit code goes from 0 to 255.")
		} else if ok {
			out = append(out, int(n))
		}
	}
	return out
}

// paths reads one or several paths that a step changes.
func (s *stepper) paths(a *lang.Attr) (out []ir.Word) {
	for _, it := range s.oneOrMore(s.ev.item(a, s.sc)) {
		if it.null() {
			continue
		}
		if w, ok := s.ev.checkedWord(it, diag.BadPath, "path", notRoot); ok {
			out = append(out, w)
		}
	}
	return out
}

func notRoot(p string) error {
	if strings.Trim(p, "/.") == "" && !strings.Contains(p, "..") {
		return fmt.Errorf("it names no file or directory below another one")
	}
	return nil
}

func (s *stepper) mkdir(n *lang.Mkdir) {
	if n.Path == nil {
		return // reported
	}
	m := &ir.Mkdir{StepMeta: ir.StepMeta{Range: n.Range}, Paths: s.paths(n.Path), Mode: 0o755}
	if w := s.ev.chmod(n.Mode, s.sc); w != "" {
		text, _ := w.Const()
		mode, err := strconv.ParseUint(text, 8, 12)
		if err != nil {
			s.ev.errorf(diag.BadChmod, n.Mode.Expr.Range(), fmt.Sprintf("%q is no mode of a new directory", text), "Write it in octal: \"0755\".")
		}
		m.Mode = int(mode)
	}
	if n.Chown != nil {
		m.Chown, _ = s.ev.checkedWord(s.ev.item(n.Chown, s.sc), diag.EmptyValue, "owner", notEmpty)
	}
	if len(m.Paths) > 0 {
		s.add(m)
	}
}

func (s *stepper) remove(n *lang.Remove) {
	if n.Path == nil {
		return // reported
	}
	r := &ir.Remove{StepMeta: ir.StepMeta{Range: n.Range}, Paths: s.paths(n.Path)}
	r.Optional, _ = s.ev.attrBool(n.Optional, s.sc)
	if len(r.Paths) > 0 {
		s.add(r)
	}
}

func (s *stepper) symlink(n *lang.Symlink) {
	if n.Path == nil || n.Target == nil {
		return // reported
	}
	path, ok := s.ev.checkedWord(s.ev.item(n.Path, s.sc), diag.BadPath, "path", notRoot)
	target, fine := s.ev.checkedWord(s.ev.item(n.Target, s.sc), diag.BadPath, "target", notEmpty)
	if ok && fine {
		s.add(&ir.Symlink{StepMeta: ir.StepMeta{Range: n.Range}, Path: path, Target: target})
	}
}
