package eval

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

func (s *stepper) mounts(a *lang.Attr, r *ir.Run) {
	if a == nil {
		return
	}
	for _, e := range s.mapOrMaps(a, "a map of paths to build values, or a list of such maps") {
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
			if from, dir := placed(m.From); dir != "" {
				m.From, m.Source = from, placePath(dir, m.Source, false)
			}
			m.Target, m.Range = target, hcl.RangeBetween(e.keyRange, e.item.rng)
			r.Mounts = append(r.Mounts, *m)
		}
	}
}

// mapOrMaps are the entries of a map, or of the maps in a list: a key may be in
// several of them.
func (s *stepper) mapOrMaps(a *lang.Attr, want string) []entry {
	it := s.ev.item(a, s.sc)
	_, isList := it.expr.(*hclsyntax.TupleConsExpr)
	if _, isMap := it.expr.(*hclsyntax.ObjectConsExpr); !isList && !isMap && it.value().IsKnown() {
		t := it.value().Type()
		isList = t.IsTupleType() || t.IsListType()
	}
	if !isList {
		entries, _ := s.ev.entries(it, want)
		return entries
	}
	maps, _ := s.ev.list(it, want)
	var out []entry
	for _, m := range maps {
		entries, _ := s.ev.entries(m, want)
		out = append(out, entries...)
	}
	return out
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
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if given[name] && !slices.Contains(takes, name) {
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
		if _, ok := m.From.(ir.ContextSource); ok {
			ev.checkSource(m.From, m.Source, it)
		}
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
