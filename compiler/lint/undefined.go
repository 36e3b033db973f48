package lint

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// UndefinedVariable is the code of llb, which warns of every variable that nothing
// sets, once the base image is known. Before that some are known all the same.
const UndefinedVariable diag.Code = "HB4018"

// variables are what a stage's steps may read.
type variables struct {
	names map[string]bool // not to be changed: stages share them
	// all says that there are no others: the stages start from scratch.
	all bool
}

// always are the variables that every stage has.
var always = map[string]bool{"PATH": true}

// variables are those that a stage has behind its last step.
func (c *checker) variables(st *ir.Stage) variables {
	if v, ok := c.known[st]; ok {
		return v
	}
	v := variables{names: always, all: true}
	switch r := st.Root.(type) {
	case ir.ScratchRoot:
	case ir.StageRoot:
		v = c.variables(r.Stage)
		for _, step := range r.Stage.Steps {
			if _, ok := step.(*ir.OnBuild); ok {
				v.all = false // its triggers may set more
			}
		}
	default:
		v.all = false
	}
	own := false
	set := func(name string) {
		if !own {
			v.names, own = maps.Clone(v.names), true
		}
		v.names[name] = true
	}
	for _, step := range st.Steps {
		for _, w := range expanded(step) {
			c.undefined(st, step, w, v)
		}
		switch s := step.(type) {
		case *ir.Arg:
			set(s.Key)
		case *ir.Env:
			for _, kv := range s.Pairs {
				if k, constant := kv.Key.Const(); constant {
					set(k)
				} else {
					v.all = false
				}
			}
		}
	}
	c.known[st] = v
	return v
}

// expanded are the words of a step that expand.
func expanded(step ir.Step) []ir.Word {
	switch s := step.(type) {
	case *ir.Arg:
		if s.Value != nil {
			return []ir.Word{*s.Value}
		}
	case *ir.Env:
		return pairWords(s.Pairs)
	case *ir.Label:
		return pairWords(s.Pairs)
	case *ir.Workdir:
		return []ir.Word{s.Path}
	case *ir.User:
		return []ir.Word{s.User}
	case *ir.Expose:
		return s.Ports
	case *ir.Volume:
		return s.Paths
	case *ir.StopSignal:
		return []ir.Word{s.Signal}
	case *ir.Copy:
		return append(slices.Clone(s.Src), s.Dest, s.Chown, s.Chmod, s.Checksum)
	case *ir.Mkdir:
		return append(slices.Clone(s.Paths), s.Chown)
	case *ir.Remove:
		return s.Paths
	case *ir.Symlink:
		return []ir.Word{s.Path, s.Target}
	case *ir.Run:
		var out []ir.Word
		for _, m := range s.Mounts {
			out = append(out, m.Target, m.Source, m.Mode, m.UID, m.GID)
		}
		return out
	}
	return nil
}

func pairWords(pairs []ir.WordKV) (out []ir.Word) {
	for _, kv := range pairs {
		out = append(out, kv.Key, kv.Value)
	}
	return out
}

// asked notes the variables that a word reads. It implements shell.EnvGetter.
type asked map[string]bool

// Get implements shell.EnvGetter.
func (a asked) Get(name string) (string, bool) {
	a[name] = true
	return "", false
}

// Keys implements shell.EnvGetter.
func (a asked) Keys() []string { return nil }

// answered matches the forms that say what an unset variable means.
var answered = regexp.MustCompile(`\$\{\w+:?[-+?]`)

// undefined warns of variables that nothing sets: of all of them where the base is
// scratch, and of those that are another one misspelt where an image may set more.
func (c *checker) undefined(st *ir.Stage, step ir.Step, w ir.Word, have variables) {
	if !strings.Contains(string(w), "$") || answered.MatchString(string(w)) {
		return
	}
	names := asked{}
	if _, err := w.Expand(names); err != nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if have.names[name] {
			continue
		}
		near := ""
		for _, k := range slices.Sorted(maps.Keys(have.names)) {
			if oneSlip(name, k) {
				near = fmt.Sprintf(" Did you mean $%s?", k)
			}
		}
		switch {
		case have.all:
			c.warn(UndefinedVariable, step.Meta().Range, fmt.Sprintf("Nothing sets $%s", name),
				"It expands to nothing: %s starts from scratch, and no env or args before this sets it.%s Where nothing is meant, $${%s:-} says so.", st.Addr, near, name)
		case near != "":
			c.warn(UndefinedVariable, step.Meta().Range, fmt.Sprintf("Nothing sets $%s", name),
				"Unless the base image does, it expands to nothing.%s Where nothing is meant, $${%s:-} says so.", near, name)
		}
	}
}

// oneSlip reports whether two names differ by one letter: one too many, one too few,
// another one, or two in the wrong order. Short names and digits are not letters
// that people get wrong.
func oneSlip(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) < 4 || len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	if i < len(a) && digit(a[i]) || digit(b[min(i, len(b)-1)]) {
		return false
	}
	if len(a) < len(b) {
		return a[i:] == b[i+1:]
	}
	return i < len(a) && (a[i+1:] == b[i+1:] || i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:])
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
