package importer

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// metaArg is an ARG before the first FROM.
type metaArg struct {
	key   string
	value *string
	node  *parser.Node
	desc  string
	used  bool
}

// variable is an argument that a caller may set.
type variable struct {
	name    string
	key     string
	def     expr // nil: null
	split   bool // places differ in their defaults, so the variable has none
	comment []string
	desc    string
	node    *parser.Node
}

// known is what is known of a variable of a stage's environment at a step: the
// HCL that gives its value, or nothing.
type known struct {
	tmpl  string // the inside of a template
	ok    bool
	value string // when a caller sets nothing
	set   bool
}

// auto are the automatic arguments, with the expression that has their value;
// "" has none.
var auto = map[string]string{
	"TARGETPLATFORM": "platform.target.id", "TARGETOS": "platform.target.os", "TARGETARCH": "platform.target.arch", "TARGETVARIANT": "platform.target.variant",
	"BUILDPLATFORM": "platform.build.id", "BUILDOS": "platform.build.os", "BUILDARCH": "platform.build.arch", "BUILDVARIANT": "platform.build.variant",
	"TARGETOSVERSION": "", "BUILDOSVERSION": "", "TARGETSTAGE": "",
}

// argEpoch is the argument that says what time images have.
const argEpoch = "SOURCE_DATE_EPOCH"

// predefined are the arguments that BuildKit takes without a declaration, and
// that a target's build_args set.
var predefined = map[string]bool{
	"HTTP_PROXY": true, "http_proxy": true, "HTTPS_PROXY": true, "https_proxy": true, "FTP_PROXY": true, "ftp_proxy": true,
	"NO_PROXY": true, "no_proxy": true, "ALL_PROXY": true, "all_proxy": true,
	"SOURCE_DATE_EPOCH": true, "BUILDKIT_SANDBOX_HOSTNAME": true, "BUILDKIT_SBOM_SCAN_CONTEXT": true, "BUILDKIT_SBOM_SCAN_STAGE": true,
	"BUILDKIT_CACHE_MOUNT_NS": true, "BUILDKIT_CONTEXT_KEEP_GIT_DIR": true, "BUILDKIT_INLINE_CACHE": true, "BUILDKIT_MULTI_PLATFORM": true,
}

func (im *importer) metaArgs(n *parser.Node, c *instructions.ArgCommand) {
	for _, a := range c.Args {
		m := &metaArg{key: a.Key, value: a.Value, node: n, desc: a.DocComment}
		if v, ok := im.opt.Args[a.Key]; ok {
			lit := im.literalWord(v)
			m.value = &lit
		}
		im.meta = append(im.meta, m)
	}
}

// literalWord writes a text as a word of the file that stands for it.
func (im *importer) literalWord(s string) string {
	if !strings.ContainsAny(s, "'") {
		return "'" + s + "'"
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if strings.IndexByte("'\"$", s[i]) >= 0 || s[i] == im.esc {
			b.WriteByte(im.esc)
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// globals evaluates the arguments before the first FROM with their defaults.
func (im *importer) globals() (shell.EnvGetter, bool) {
	p := platforms.FormatAll(im.opt.Platform)
	env := mapEnv{
		"TARGETPLATFORM": p, "BUILDPLATFORM": p, "TARGETOS": im.opt.Platform.OS, "BUILDOS": im.opt.Platform.OS,
		"TARGETARCH": im.opt.Platform.Architecture, "BUILDARCH": im.opt.Platform.Architecture,
		"TARGETVARIANT": im.opt.Platform.Variant, "BUILDVARIANT": im.opt.Platform.Variant,
		"TARGETOSVERSION": im.opt.Platform.OSVersion, "BUILDOSVERSION": im.opt.Platform.OSVersion, "TARGETSTAGE": im.targetStage(),
	}
	for k := range env {
		if v, ok := im.opt.Args[k]; ok {
			env[k] = v
		}
	}
	lex := shell.NewLex(rune(im.esc))
	for _, m := range im.meta {
		if m.value == nil {
			continue
		}
		v, _, err := lex.ProcessWord(*m.value, env)
		if err != nil {
			im.failAt(CodeInvalid, err, m.node)
			return nil, false
		}
		env[m.key] = v
	}
	return env, true
}

func (im *importer) targetStage() string {
	if im.opt.Target != "" {
		return im.opt.Target
	}
	if n := im.stages[len(im.stages)-1].cmd.Name; n != "" {
		return n
	}
	return "default"
}

// mapEnv is an environment.
type mapEnv map[string]string

// Get implements shell.EnvGetter.
func (e mapEnv) Get(k string) (string, bool) { v, ok := e[k]; return v, ok }

// Keys implements shell.EnvGetter.
func (e mapEnv) Keys() []string { return nil }

// metaOf is the last global argument of a name.
func (im *importer) metaOf(key string) *metaArg {
	for i := len(im.meta) - 1; i >= 0; i-- {
		if im.meta[i].key == key {
			return im.meta[i]
		}
	}
	return nil
}

// variable returns the variable of an argument, a new one when there is none.
func (im *importer) variable(key string) *variable {
	if v := im.varOf[key]; v != nil {
		return v
	}
	v := &variable{key: key, name: im.unique("variable", strings.ToLower(key), "arg")}
	im.varOf[key] = v
	im.vars = append(im.vars, v)
	im.defaults(v)
	return v
}

// defaults finds the default of a variable: what all its declarations agree on.
func (im *importer) defaults(v *variable) {
	type decl struct {
		node *parser.Node
		desc string
		text string // as in a stage
		set  bool
	}
	var decls []decl
	m := im.metaOf(v.key)
	if m != nil {
		decls = append(decls, decl{m.node, m.desc, "", m.value != nil})
		if m.value != nil {
			v.def = im.metaTemplate(m)
		}
	}
	own, bare := false, false
	for _, st := range im.stages {
		for _, s := range st.steps {
			c, ok := s.cmd.(*instructions.ArgCommand)
			if !ok {
				continue
			}
			for _, a := range c.Args {
				if a.Key != v.key {
					continue
				}
				d := decl{node: s.node, desc: a.DocComment, set: a.Value != nil}
				if a.Value != nil {
					text, err := im.text(*a.Value)
					if err != nil {
						text = *a.Value
					}
					d.text, own = text, true
				} else {
					bare = true
				}
				decls = append(decls, d)
			}
		}
	}
	for _, d := range decls {
		if v.node == nil {
			v.node = d.node
		}
		if d.desc != "" && v.desc == "" {
			v.desc = d.desc
		}
	}
	if given, ok := im.opt.Args[v.key]; ok {
		v.def = str(strings.ReplaceAll(given, "$", `\$`))
		return
	}
	if m != nil && m.value == nil && len(decls) == 1 {
		v.def = str("") // only FROM reads it, where "not set" is nothing
	}
	if !own {
		return
	}
	// Stages have defaults of their own: one variable can hold them only if all
	// are the same text, and no declaration means "not set".
	first := ""
	same := true
	for i, d := range decls {
		if i == 0 && m != nil {
			continue
		}
		if d.set && first == "" {
			first = d.text
		}
		same = same && (!d.set || d.text == first)
	}
	switch {
	case m == nil && same && !bare:
		v.def = str(first)
	case m != nil && m.value != nil && same && v.def != nil && v.def.render(0) == quote(first):
	default:
		v.split, v.def = true, nil
	}
}

// use is the expression for an argument at a place whose own default is def (nil
// for none).
func (im *importer) use(v *variable, def expr) expr {
	if !v.split || def == nil {
		return raw("var." + v.name)
	}
	return raw(fmt.Sprintf("var.%s != null ? var.%s : %s", v.name, v.name, def.render(0)))
}

// metaTemplate is the default of a global argument, in which the ones before it
// are HCL interpolations.
func (im *importer) metaTemplate(m *metaArg) expr {
	t, err := im.template(*m.value, m)
	if err != nil {
		env, ok := im.globals()
		if !ok {
			return nil
		}
		v, _ := env.Get(m.key)
		im.fixedBy(*m.value)
		im.warnf(CodeFixed, m.node, "The default of "+m.key+" was worked out", "%v. A caller who sets what it is made from must set it too.", err)
		return str(strings.ReplaceAll(v, "$", `\$`))
	}
	return t
}

// template writes a word that expands from global arguments as HCL. before is the
// global argument whose default it is; nil means that all count.
func (im *importer) template(word string, before *metaArg) (expr, error) {
	var b strings.Builder
	parts := split(word, im.esc)
	for _, p := range parts {
		if !p.expand {
			b.WriteString(escapeTemplate(escapeQuoted(p.text)))
			continue
		}
		t, err := im.expansion(p.text, before)
		if err != nil {
			return nil, err
		}
		b.WriteString(t)
	}
	if len(parts) == 1 && parts[0].expand {
		if inner, ok := strings.CutPrefix(b.String(), "${"); ok && strings.HasSuffix(inner, "}") && !strings.Contains(inner, "${") {
			return raw(strings.TrimSuffix(inner, "}")), nil
		}
	}
	return raw(`"` + b.String() + `"`), nil
}

var plainExpansion = regexp.MustCompile(`^\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))$`)
var defaultExpansion = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:?[-+])([^}]*)\}$`)

// expansion is one expansion as HCL in a template.
func (im *importer) expansion(text string, before *metaArg) (string, error) {
	if m := plainExpansion.FindStringSubmatch(text); m != nil {
		e, null, err := im.global(m[1]+m[2], before)
		if err != nil {
			return "", err
		}
		if e == "" {
			return "", nil
		}
		if null {
			return fmt.Sprintf(`${%s != null ? %s : ""}`, e, e), nil
		}
		return "${" + e + "}", nil
	}
	m := defaultExpansion.FindStringSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("HCL has no form for %s", text)
	}
	e, null, err := im.global(m[1], before)
	if err != nil {
		return "", err
	}
	word, err := im.template(m[3], before)
	if err != nil {
		return "", err
	}
	alt := word.render(0)
	var cond string
	switch {
	case e == "": // never set
		cond = "false"
	case strings.HasPrefix(m[2], ":") && null:
		cond = fmt.Sprintf(`%s != null && %s != ""`, e, e)
	case strings.HasPrefix(m[2], ":"):
		cond = fmt.Sprintf(`%s != ""`, e)
	case null:
		cond = e + " != null"
	default:
		cond = "true"
	}
	minus := strings.HasSuffix(m[2], "-")
	switch {
	case cond == "false" && minus, cond == "true" && !minus:
		return "${" + alt + "}", nil
	case cond == "false":
		return "", nil
	case cond == "true":
		return "${" + e + "}", nil
	case minus:
		return fmt.Sprintf("${%s ? %s : %s}", cond, e, alt), nil
	}
	return fmt.Sprintf(`${%s ? %s : ""}`, cond, alt), nil
}

// global is the expression for a global argument, and whether it may be null; ""
// for a name that is never set.
func (im *importer) global(key string, before *metaArg) (string, bool, error) {
	var found *metaArg
	for _, m := range im.meta {
		if m == before {
			break
		}
		if m.key == key {
			found = m
		}
	}
	if found != nil && before != nil && im.metaOf(key) != found {
		return "", false, fmt.Errorf("%s is set again further down, and a variable has one default", key)
	}
	if found != nil && (found.value != nil || auto[key] == "") {
		found.used = true
		im.metaOf(key).used = true
		v := im.variable(key)
		if v.split && found.value != nil {
			return fmt.Sprintf(`(%s)`, im.use(v, im.metaTemplate(found)).render(0)), false, nil
		}
		return "var." + v.name, v.def == nil, nil
	}
	if given, ok := im.opt.Args[key]; ok && auto[key] != "" {
		return quote(given), false, nil
	}
	if e := auto[key]; e != "" {
		return e, false, nil
	}
	if key == "TARGETSTAGE" {
		return quote(im.targetStage()), false, nil
	}
	return "", false, nil
}

// stageArg is the value of an ARG instruction of a stage.
func (im *importer) stageArg(st *stage, s *step, a instructions.KeyValuePairOptional) (expr, bool) {
	null := raw("null")
	_, given := im.opt.Args[a.Key]
	if a.Value == nil {
		m := im.metaOf(a.Key)
		if m == nil || m.value == nil {
			if e, ok := auto[a.Key]; ok {
				switch {
				case given:
					return str(strings.ReplaceAll(im.opt.Args[a.Key], "$", `\$`)), true
				case e == "":
					return null, true
				}
				return raw(e), true
			}
			if predefined[a.Key] && !given {
				return null, true
			}
		} else if _, err := strconv.ParseInt(im.epochValue(), 10, 64); a.Key == argEpoch && err != nil {
			return null, true // the time that is found
		}
		if m != nil {
			m.used = true
		}
		v := im.variable(a.Key)
		if v.split && m != nil && m.value != nil {
			return im.use(v, im.metaTemplate(m)), true
		}
		return raw("var." + v.name), true
	}
	text, err := im.text(*a.Value)
	if err != nil {
		im.cannot(st, s.node, err)
		return nil, false
	}
	if predefined[a.Key] && !given {
		return str(text), true
	}
	return im.use(im.variable(a.Key), str(text)), true
}

// fixedBy notes that global arguments decide something, although not as variables.
func (im *importer) fixedBy(words ...string) {
	for k := range im.refs(words...) {
		for _, m := range im.meta {
			m.used = m.used || m.key == k
		}
	}
}

// unused warns of global arguments that nothing reads.
func (im *importer) unused() {
	for _, m := range im.meta {
		if last := im.metaOf(m.key); !m.used && !last.used && m.key != "SOURCE_DATE_EPOCH" && im.opt.Target == "" {
			im.warnf(CodeDropped, m.node, "ARG "+m.key+" has no effect", "No FROM uses it and no stage declares it, so there is no variable for it.")
		}
	}
	for k := range im.opt.Args {
		if im.metaOf(k) == nil && im.varOf[k] == nil && !predefined[k] {
			if _, ok := auto[k]; !ok && im.opt.Target == "" {
				im.warnf(CodeBuildArg, nil, "No argument is called "+k, "--build-arg %s has no effect: the Dockerfile does not declare it.", k)
			}
		}
	}
}
