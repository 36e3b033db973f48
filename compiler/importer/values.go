package importer

import (
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

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
