package eval

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

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

func (s *stepper) runEnv(a *lang.Attr, r *ir.Run) {
	if a == nil {
		return
	}
	for _, e := range s.mapOrMaps(a, "a map of strings and secrets, or a list of such maps") {
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
