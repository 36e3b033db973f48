package eval

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

func readFile(fsys fs.FS, name string) ([]byte, error) {
	if fsys == nil {
		return nil, fs.ErrNotExist
	}
	return fs.ReadFile(fsys, name)
}

// cache evaluates a cache in the scope of the stage that mounts it.
func (ev *Evaluator) cache(inst *Instance, user *scope) *ir.Cache {
	if inst.owner != ev {
		if c, ok := inst.ahead.(*ir.Cache); ok {
			return c
		}
		return inst.owner.cache(inst, user)
	}
	n := inst.Node.(*lang.Cache)
	sc := inst.scope(user.platform)
	if c, ok := inst.memo.(*ir.Cache); ok && !ev.varies(n) {
		return c
	}
	c := &ir.Cache{ID: inst.Name(), Range: n.Range}
	if ev.mod.Dir != "." && ev.mod.Dir != "" {
		c.ID = ev.mod.Dir + "/" + c.ID
	}
	if n.ID != nil {
		if id, ok := ev.checked(ev.item(n.ID, sc), diag.EmptyValue, "id of a cache", notEmpty); ok {
			c.ID = id
		}
	}
	c.Sharing = ir.Sharing(ev.attrEnum(n.Sharing, sc, diag.BadSharing, "sharing mode", sharings))
	if w := ev.chmod(n.Mode, sc); w != "" {
		c.Mode, _ = w.Const()
	}
	c.UID, c.GID = ev.id(n.UID, sc), ev.id(n.GID, sc)
	if n.From != nil {
		it := ev.item(n.From, sc)
		if v := ev.build(it, kStage, KindImage, kContext, KindScratch); v != nil {
			c.From = ev.source(it, v, user.platform)
		}
	}
	c.Path, _ = ev.attrWord(n.Path, sc)
	inst.memo = c
	return c
}

// id reads a user's or a group's number.
func (ev *Evaluator) id(a *lang.Attr, sc *scope) *int {
	if a == nil {
		return nil
	}
	it := ev.item(a, sc)
	n, ok := ev.integer(it)
	if !ok {
		return nil
	}
	if n < 0 || n > 1<<32-2 {
		it.errorf(diag.WrongType, fmt.Sprintf("%s is out of range", a.Name), "An id goes from 0 to 4294967294.")
		return nil
	}
	i := int(n)
	return &i
}

func (ev *Evaluator) secret(inst *Instance) *ir.Secret {
	if inst.owner != ev {
		if s, ok := inst.ahead.(*ir.Secret); ok {
			return s
		}
		return inst.owner.secret(inst)
	}
	if s, ok := inst.memo.(*ir.Secret); ok {
		return s
	}
	n := inst.Node.(*lang.Secret)
	sc := inst.scope(nil)
	s := &ir.Secret{ID: inst.Name(), Required: true, Range: n.Range}
	inst.memo = s
	if n.ID != nil {
		if id, ok := ev.checked(ev.item(n.ID, sc), diag.EmptyValue, "id of a secret", notEmpty); ok {
			s.ID = id
		}
	}
	if r, ok := ev.attrBool(n.Required, sc); ok {
		s.Required = r
	}
	s.Env, _ = ev.attrStr(n.Env, sc)
	if f, ok := ev.attrStr(n.File, sc); ok {
		if s.File = f; !path.IsAbs(f) && !strings.HasPrefix(f, "~/") {
			s.File = path.Join(ev.mod.Dir, f)
		}
	}
	if s.Env != "" && s.File != "" {
		ev.add(diag.Error(diag.ConflictingAttrs, n.File.NameRange, "A secret with env and file", "The value is in one of the two.", diag.WithRelated(n.Env.NameRange, "env is set here")))
	}
	return s
}

func (ev *Evaluator) ssh(inst *Instance) *ir.SSH {
	if inst.owner != ev {
		if s, ok := inst.ahead.(*ir.SSH); ok {
			return s
		}
		return inst.owner.ssh(inst)
	}
	if s, ok := inst.memo.(*ir.SSH); ok {
		return s
	}
	n := inst.Node.(*lang.SSH)
	sc := inst.scope(nil)
	s := &ir.SSH{ID: inst.Name(), Range: n.Range}
	inst.memo = s
	if n.ID != nil {
		if id, ok := ev.checked(ev.item(n.ID, sc), diag.EmptyValue, "id of an ssh agent", notEmpty); ok {
			s.ID = id
		}
	}
	if r, ok := ev.attrBool(n.Required, sc); ok {
		s.Required = r
	}
	return s
}

// checkOnBuild parses one instruction as BuildKit does when it runs a trigger.
func checkOnBuild(text string) error {
	res, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("%v", err)
	}
	if len(res.AST.Children) != 1 {
		return fmt.Errorf("a trigger is one instruction")
	}
	switch cmd := strings.ToUpper(res.AST.Children[0].Value); cmd {
	case "FROM", "ONBUILD", "MAINTAINER":
		return fmt.Errorf("%s cannot be a trigger", cmd)
	}
	_, err = ir.ParseCommand(res.AST.Children[0])
	return err
}

// triggerFroms are the names in `from` of an instruction that was checked.
func triggerFroms(text string) (out []string) {
	res, err := parser.Parse(strings.NewReader(text))
	if err != nil || len(res.AST.Children) != 1 {
		return nil
	}
	cmd, err := ir.ParseCommand(res.AST.Children[0])
	if err != nil {
		return nil
	}
	switch c := cmd.(type) {
	case *instructions.CopyCommand:
		out = append(out, c.From)
	case *instructions.RunCommand:
		for _, m := range instructions.GetMounts(c) {
			out = append(out, m.From)
		}
	}
	return out
}
