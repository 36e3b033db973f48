package dockerfile

import (
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
)

// BuildArg is a variable of the module that an emitted Dockerfile leaves to its
// caller: `--build-arg Name=x` makes of it what `--var Variable=x` makes of the
// module.
type BuildArg struct {
	Name     string
	Variable string
}

// Inlined is a variable that a Dockerfile could not leave to its caller.
type Inlined struct {
	Variable string
	At       hcl.Range // what made it so; may have no file name
	Why      string    // a sentence without its full stop
}

// kept is a variable that stays an ARG.
type kept struct {
	BuildArg
	value string
	base  bool // it stands in a FROM, and so has an ARG above all stages
}

// keepArgs decides which variables stay ARGs. One does when its value stands
// nowhere but where a Dockerfile can hold an ARG without changing a digest: in the
// reference of a base image, or as the whole value of an argument or of an
// environment variable of the ARG's own name. All of it or nothing: a build
// argument that changed a part of what the variable does would build something
// that the module never says.
func (e *emitter) keepArgs() {
	p := e.target.Provenance
	if p == nil {
		return
	}
	e.kept = map[string]*kept{}
	names := map[string]string{} // of ARGs, by variable
	for _, v := range e.target.Variables {
		u := e.uses(p, v.Name)
		if !u.any() {
			continue
		}
		why := u.problem(v)
		if why == "" && names[u.name(v)] != "" {
			why = "the variable " + names[u.name(v)] + " has an ARG of this name"
		}
		if why != "" {
			e.inlined = append(e.inlined, Inlined{Variable: v.Name, At: v.Fixed, Why: why})
			continue
		}
		names[u.name(v)] = v.Name
		e.kept[v.Name] = &kept{BuildArg: BuildArg{u.name(v), v.Name}, value: v.Value, base: u.base}
	}
}

// argUses are where a variable stands in the stages that are emitted.
type argUses struct {
	base    bool
	renamed bool            // a base image's name is not written as it is
	keys    map[string]bool // of arguments and environment variables
	env     []*ir.Env
	others  map[string]bool // keys of arguments that have another value
	trigger []string
}

func (e *emitter) uses(p *ir.Provenance, name string) *argUses {
	u := &argUses{keys: map[string]bool{}, others: map[string]bool{}}
	for _, g := range e.groups {
		for _, st := range g.stages {
			for _, part := range p.Bases[st] {
				if part.Var == name {
					u.base = true
					ref := st.Root.(ir.ImageRoot).Ref
					u.renamed = u.renamed || e.imageName(ref) != ref
				}
			}
			for _, step := range st.Steps {
				u.step(p, name, step)
			}
		}
	}
	return u
}

func (u *argUses) step(p *ir.Provenance, name string, step ir.Step) {
	switch s := step.(type) {
	case *ir.Arg:
		if p.Args[s] == name {
			u.keys[s.Key] = true
		} else {
			u.others[s.Key] = true
		}
	case *ir.Env:
		for i, v := range p.Env[s] {
			if v == name {
				u.keys[string(s.Pairs[i].Key)] = true
				u.env = append(u.env, s)
			}
		}
	case *ir.OnBuild:
		u.trigger = append(u.trigger, s.Trigger)
	}
}

func (u *argUses) any() bool { return u.base || len(u.keys) > 0 }

// name is the ARG's: that of the arguments that have the value, else the
// variable's.
func (u *argUses) name(v ir.Variable) string {
	for k := range u.keys {
		return k
	}
	return v.Name
}

// problem says why a variable cannot stay an ARG; "" when it can.
func (u *argUses) problem(v ir.Variable) string {
	name := u.name(v)
	switch {
	case v.Fixed.Filename != "":
		return "the build depends on it in a way that an ARG cannot say with an equal digest"
	case len(u.keys) > 1:
		return "arguments of several names have its value"
	case !argName.MatchString(name):
		return "a Dockerfile cannot expand an ARG named " + name
	case reservedArg(name):
		return "BuildKit itself gives " + name + " a value"
	case u.others[name]:
		return "a stage has an argument " + name + " with another value, which the build argument would replace too"
	case u.renamed:
		return "a base image has the name of a stage"
	}
	for _, t := range u.trigger {
		if strings.Contains(t, name) {
			return "an onbuild instruction names " + name
		}
	}
	for _, env := range u.env {
		for _, p := range env.Pairs {
			if p.Key.Refs(map[string]bool{name: true}) || p.Value.Refs(map[string]bool{name: true}) {
				return "the environment beside it reads " + name + " from before"
			}
		}
	}
	return ""
}

var argName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// reservedArg reports a name that BuildKit gives a meaning of its own.
func reservedArg(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH",
		"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "TARGETOSVERSION", "TARGETSTAGE",
		"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT", "BUILDOSVERSION":
		return true
	}
	return strings.HasPrefix(name, "BUILDKIT_")
}

// globalArgs are the ARGs above all stages, which a FROM may expand.
func (e *emitter) globalArgs() string {
	var b strings.Builder
	for _, kv := range e.target.Options.BuildArgs {
		if kv.Key == "BUILDKIT_SBOM_SCAN_CONTEXT" || kv.Key == "BUILDKIT_SBOM_SCAN_STAGE" {
			// These two count only where the file declares them.
			b.WriteString("ARG " + kv.Key + "=" + canonical(ir.Literal(kv.Value)) + "\n")
		}
	}
	for _, v := range e.target.Variables {
		if k := e.kept[v.Name]; k != nil && k.base {
			b.WriteString("ARG " + k.Name + "=" + canonical(ir.Literal(k.value)) + "\n")
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// buildArgs lists what the caller may set.
func (e *emitter) buildArgs() (out []BuildArg) {
	for _, v := range e.target.Variables {
		if k := e.kept[v.Name]; k != nil {
			out = append(out, k.BuildArg)
		}
	}
	return out
}

// base is a base image's reference with ARGs for the variables in it.
func (w *writer) base(ref string) string {
	p := w.e.target.Provenance
	name := w.e.imageName(ref)
	if len(w.e.kept) == 0 || name != ref {
		return name
	}
	text, kept := "", false
	for _, part := range p.Bases[w.v.stage] {
		if k := w.e.kept[part.Var]; k != nil {
			text, kept = text+"${"+k.Name+"}", true
		} else {
			text += part.Text
		}
	}
	if !kept {
		return name
	}
	return text
}

// keptArg writes an argument that is a variable's; false when it is none.
func (w *writer) keptArg(s *ir.Arg) bool {
	if len(w.e.kept) == 0 {
		return false
	}
	k := w.e.kept[w.e.target.Provenance.Args[s]]
	if k == nil {
		return false
	}
	w.declare(k)
	return true
}

// declare writes the ARG of a variable in a stage. One that stands above all
// stages has its default there.
func (w *writer) declare(k *kept) {
	if k.base {
		w.line("ARG", k.Name)
		return
	}
	w.line("ARG", k.Name+"="+canonical(ir.Literal(k.value)))
}

// keptEnv declares the ARGs that an environment has the values of, and gives back
// its pairs with them. The variable itself takes the place of the ARG at once, so
// that later steps see one value under one name, as without it.
func (w *writer) keptEnv(s *ir.Env) []ir.WordKV {
	if len(w.e.kept) == 0 {
		return s.Pairs
	}
	pairs := append([]ir.WordKV(nil), s.Pairs...)
	for i := range pairs {
		if k := w.e.kept[w.e.target.Provenance.Env[s][i]]; k != nil {
			w.declare(k)
			pairs[i].Value = ir.Word("${" + k.Name + "}")
		}
	}
	return pairs
}
