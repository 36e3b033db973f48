package view

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/funcs"
)

// ListVersion is the version of the JSON forms of [List] and [Graph]. Fields are
// added without a new version; none is removed or changes its meaning.
const ListVersion = "1.0"

// List is what a module has, in source order; its JSON form is what
// `hbuild list --format json` prints. Lists are never null. A block with for_each
// or matrix has an entry for each instance.
type List struct {
	FormatVersion string     `json:"format_version"`
	Groups        []Group    `json:"groups"`
	Targets       []Target   `json:"targets"`
	Tests         []Test     `json:"tests"`
	Stages        []Stage    `json:"stages"`
	Artifacts     []Artifact `json:"artifacts"`
	Variables     []Variable `json:"variables"`
	Contexts      []Context  `json:"contexts"`
	Caches        []Input    `json:"caches"`
	Secrets       []Input    `json:"secrets"`
	SSH           []Input    `json:"ssh"`
	Functions     []Function `json:"functions"` // those of the module, or all
	Modules       []Module   `json:"modules"`   // that are called, and those that they call
	Outputs       []Output   `json:"outputs"`
}

// Module is a module that is called, once for each instance.
type Module struct {
	Head
	Directory string   `json:"directory"` // from the root, slash-separated
	Targets   []string `json:"targets"`   // addresses of groups, targets and tests
	Outputs   []string `json:"outputs"`
}

// Output is what the module shows to its callers.
type Output struct {
	Head
	Value string `json:"value"` // as HCL; "(sensitive)" and "(unknown)" for such
}

// Head is what all entries have.
type Head struct {
	// Address is what a command line takes, "prod" or "stage.build"; for what
	// cannot be built, how the file refers to it: "var.version", "cache.go".
	Address     string   `json:"address"`
	Description string   `json:"description,omitempty"`
	Position    Position `json:"position"`
}

// Position is the place of a declaration. The file is relative to the module;
// lines count from 1. It is empty for what no file declares.
type Position struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Group is a name for several targets and tests.
type Group struct {
	Head
	Targets []string `json:"targets"` // addresses, groups resolved
}

// Target is something with effects.
type Target struct {
	Head
	Image     string   `json:"image,omitempty"` // the stage or the image, as the language writes it
	Files     []string `json:"files"`           // host paths, relative to the module; a directory ends in /
	Tags      []string `json:"tags"`
	Platforms []string `json:"platforms"` // empty: the engine's own
	Push      bool     `json:"push"`
	Requires  []string `json:"requires"` // addresses of targets, "target.base", and of tests, "test.unit"
}

// Test is a stage that is run for its success.
type Test struct {
	Head
	From string `json:"from,omitempty"` // as the language writes it
}

// Stage is a file system.
type Stage struct {
	Head
	From string `json:"from,omitempty"` // as the language writes it: stage.base, image("alpine:3.22"), scratch
}

// Artifact is a path of a stage.
type Artifact struct {
	Head
	From string `json:"from,omitempty"`
	Path string `json:"path,omitempty"`
}

// Variable is an input of the module.
type Variable struct {
	Head
	Name     string `json:"name"`
	Type     string `json:"type"`     // as written; "any" without one
	Required bool   `json:"required"` // it has no default
	// Default is the default's value as JSON; absent when there is none, or when
	// it is sensitive, not known, or something to build with.
	Default json.RawMessage `json:"default,omitempty"`
	// DefaultText is the default's expression as written; absent when there is
	// none or it is sensitive.
	DefaultText string `json:"default_text,omitempty"`
	Sensitive   bool   `json:"sensitive"`
	Env         string `json:"env,omitempty"` // an environment variable that gives the value
}

// Context is a directory of the caller.
type Context struct {
	Head
	Path string `json:"path"` // relative to the module
}

// Input is a cache, a secret or an agent.
type Input struct {
	Head
	ID   string `json:"id"`
	Env  string `json:"env,omitempty"`  // secrets: where the value is
	File string `json:"file,omitempty"` // secrets: where the value is
}

// Function is a function of the module or a built-in one.
type Function struct {
	Name      string `json:"name"`
	Signature string `json:"signature"`
	Group     string `json:"group"` // "module", "build", "string" …
	Doc       string `json:"doc,omitempty"`
	Example   string `json:"example,omitempty"`
	Result    string `json:"result,omitempty"` // of the example
}

// NewList lists a module. Entries of blocks with mistakes are as complete as they
// can be; the program's diagnostics say what is wrong.
func NewList(p *compiler.Program, builtins bool) *List {
	l := &List{FormatVersion: ListVersion, Groups: []Group{}, Targets: []Target{}, Tests: []Test{}, Stages: []Stage{}, Artifacts: []Artifact{}, Variables: []Variable{},
		Contexts: []Context{}, Caches: []Input{}, Secrets: []Input{}, SSH: []Input{}, Functions: []Function{}, Modules: []Module{}, Outputs: []Output{}}
	b := &lister{ev: p.Here()[0], l: l}
	for _, n := range b.ev.Module().Decls {
		b.node(n)
	}
	b.ev.LoadAll()
	for _, m := range b.ev.Below()[1:] {
		b.l.Modules = append(b.l.Modules, b.module(m))
	}
	if builtins {
		b.builtins()
	}
	return l
}

type lister struct {
	ev *eval.Evaluator // of the module that is listed
	l  *List
}

func (b *lister) node(n lang.Node) {
	switch n := n.(type) {
	case *lang.Variable:
		b.variable(n)
	case *lang.Output:
		v := b.ev.Output(n)
		b.l.Outputs = append(b.l.Outputs, Output{Head: b.head("output."+n.Name, n), Value: eval.Render(v)})
	case *lang.Function:
		b.l.Functions = append(b.l.Functions, Function{Name: n.Name, Signature: signature(n), Group: "module", Doc: strings.Join(b.comment(n), " ")})
	default:
		for _, i := range b.ev.Instances(n) {
			b.instance(i)
		}
	}
}

func (b *lister) module(m *eval.Evaluator) Module {
	call := m.CalledAs().Node
	r := call.Base().NameRange
	out := Module{
		Head:      Head{Address: m.Path(), Description: strings.Join(b.comment(call), " "), Position: Position{File: r.Filename, Line: r.Start.Line}},
		Directory: m.Module().Dir, Targets: []string{}, Outputs: append([]string{}, m.Module().Names(lang.KindOutput)...),
	}
	for _, kind := range []lang.Kind{lang.KindGroup, lang.KindTarget, lang.KindTest} {
		for _, n := range m.Module().Decls {
			if n.Base().Kind != kind {
				continue
			}
			for _, i := range m.Instances(n) {
				out.Targets = append(out.Targets, i.Path())
			}
		}
	}
	return out
}

func (b *lister) comment(n lang.Node) []string {
	return b.ev.Module().CommentAbove(n.Base().Range)
}

func (b *lister) head(addr string, n lang.Node) Head {
	r := n.Base().NameRange
	return Head{Address: addr, Description: text(b.ev, lang.AttrOf(n, "description")), Position: Position{File: r.Filename, Line: r.Start.Line}}
}

func (b *lister) instance(i *eval.Instance) {
	ev := b.ev
	h := b.head(i.Name(), i.Node)
	if k := i.Node.Base().Kind; k != lang.KindTarget && k != lang.KindGroup && k != lang.KindTest {
		h.Address = string(k) + "." + i.Name()
	}
	switch n := i.Node.(type) {
	case *lang.Group:
		g := Group{Head: h, Targets: []string{}}
		for _, t := range ev.Group(i) {
			g.Targets = append(g.Targets, ev.Target(t, nil).Name)
		}
		b.l.Groups = append(b.l.Groups, g)
	case *lang.Target:
		t := ev.Target(i, nil)
		h.Description = t.Description
		b.l.Targets = append(b.l.Targets, target(h, t))
	case *lang.Test:
		t := Test{Head: h}
		if st := only(ev.Target(i, nil)); st != nil {
			t.Description, t.From = st.Description, root(st.Root)
		}
		b.l.Tests = append(b.l.Tests, t)
	case *lang.Stage:
		s := Stage{Head: h}
		if st := only(ev.StageTarget(i, nil)); st != nil {
			s.Description, s.From = st.Description, root(st.Root)
		}
		b.l.Stages = append(b.l.Stages, s)
	case *lang.Artifact:
		b.l.Artifacts = append(b.l.Artifacts, b.artifact(h, i))
	case *lang.Context:
		b.l.Contexts = append(b.l.Contexts, Context{Head: h, Path: path.Clean(or(i, n.Path, "."))})
	case *lang.Cache:
		b.l.Caches = append(b.l.Caches, Input{Head: h, ID: or(i, n.ID, path.Join(b.ev.Module().Dir, i.Name()))})
	case *lang.Secret:
		b.l.Secrets = append(b.l.Secrets, Input{Head: h, ID: or(i, n.ID, i.Name()), Env: or(i, n.Env, ""), File: or(i, n.File, "")})
	case *lang.SSH:
		b.l.SSH = append(b.l.SSH, Input{Head: h, ID: or(i, n.ID, i.Name())})
	}
}

// or is the text of an attribute of an instance's block, or what holds without it.
func or(i *eval.Instance, a *lang.Attr, otherwise string) string {
	if a != nil {
		if s := textOf(i.Attr(a)); s != "" {
			return s
		}
	}
	return otherwise
}

// only is the one image of a target that stands for a stage, an artifact or a test; nil
// when the block has mistakes.
func only(t *ir.Target) *ir.Stage {
	if len(t.Builds) == 0 {
		return nil
	}
	return t.Builds[0].Image
}

func (b *lister) artifact(h Head, i *eval.Instance) Artifact {
	a := Artifact{Head: h}
	st := only(b.ev.ArtifactTarget(i, nil))
	if st == nil {
		return a
	}
	for _, s := range st.Steps {
		if c, ok := s.(*ir.Copy); ok && len(c.Src) == 1 {
			a.From, a.Path = source(c.From), c.Src[0].Text()
		}
	}
	return a
}

func target(h Head, t *ir.Target) Target {
	out := Target{Head: h, Files: []string{}, Tags: append([]string{}, t.Tags...), Platforms: []string{}, Push: t.Push, Requires: []string{}}
	for _, r := range t.Requires {
		out.Requires = append(out.Requires, r.Addr)
	}
	seen := map[string]bool{}
	for _, build := range t.Builds {
		if build.Platform != nil {
			out.Platforms = append(out.Platforms, platforms.FormatAll(*build.Platform))
		}
		if build.Image != nil {
			out.Image = stageName(build.Image)
		}
		for _, o := range build.Outputs {
			name := o.Path
			if o.Dir {
				name += "/"
			}
			if !seen[name] {
				seen[name] = true
				out.Files = append(out.Files, name)
			}
		}
	}
	return out
}

// stageName is how the language writes a stage: its address, or the image that a
// target uses in place of one.
func stageName(st *ir.Stage) string {
	if !strings.HasPrefix(st.Addr, "stage.") && len(st.Steps) == 0 {
		return root(st.Root)
	}
	return st.Addr
}

func root(r ir.Root) string {
	switch r := r.(type) {
	case ir.StageRoot:
		return r.Stage.Addr
	case ir.ImageRoot:
		return fmt.Sprintf("image(%q)", r.Ref)
	case ir.ContextRoot:
		return source(ir.ContextSource{Context: r.Context})
	case ir.ScratchRoot:
		return "scratch"
	}
	return ""
}

func source(s ir.Source) string {
	switch s := s.(type) {
	case ir.StageSource:
		return s.Stage.Addr
	case ir.ImageSource:
		return fmt.Sprintf("image(%q)", s.Ref)
	case ir.ContextSource:
		if s.Context.Given != "" {
			return s.Context.Given
		}
		return s.Context.Address()
	case ir.ScratchSource:
		return "scratch"
	}
	return ""
}

func (b *lister) variable(n *lang.Variable) {
	v := Variable{Head: b.head(n.Addr(), n), Name: n.Name, Type: "any", Required: n.Default == nil, Env: text(b.ev, n.Env)}
	if n.Type != nil {
		v.Type = b.written(n.Type)
	}
	if n.Sensitive != nil {
		s, _ := b.ev.Expression(n.Sensitive.Expr)
		v.Sensitive = !s.RawEquals(cty.False)
	}
	if n.Default != nil && !v.Sensitive {
		v.DefaultText = b.written(n.Default)
		d, diags := b.ev.Expression(n.Default.Expr)
		if !diags.HasErrors() {
			v.Default = plainJSON(d)
		}
	}
	b.l.Variables = append(b.l.Variables, v)
}

// written is an attribute's expression as the file has it.
func (b *lister) written(a *lang.Attr) string {
	r := a.Expr.Range()
	src := b.ev.Module().Files[r.Filename]
	if r.End.Byte > len(src) {
		return ""
	}
	return string(r.SliceBytes(src))
}

// plainJSON is a value as JSON; nil when it is sensitive, not known or holds
// something to build with.
func plainJSON(v cty.Value) json.RawMessage {
	if v.ContainsMarked() || !v.IsWhollyKnown() {
		return nil
	}
	builds := false
	_ = cty.Walk(v, func(_ cty.Path, el cty.Value) (bool, error) {
		builds = builds || el.Type() == eval.Type
		return !builds, nil
	})
	if builds {
		return nil
	}
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return nil
	}
	return data
}

// signature is how a function of the module is called.
func signature(n *lang.Function) string {
	var params []string
	if n.Params != nil {
		list, _ := hcl.ExprList(n.Params.Expr)
		for _, e := range list {
			params = append(params, hcl.ExprAsKeyword(e))
		}
	}
	if n.Variadic != nil {
		params = append(params, hcl.ExprAsKeyword(n.Variadic.Expr)+"...")
	}
	return n.Name + "(" + strings.Join(params, ", ") + ")"
}

func (b *lister) builtins() {
	for _, r := range eval.Rows() {
		b.l.Functions = append(b.l.Functions, Function{Name: r.Name, Signature: r.Signature, Group: "build", Doc: r.Doc})
	}
	for _, f := range funcs.Table(funcs.Env{}) {
		b.l.Functions = append(b.l.Functions, Function{Name: f.Name, Signature: f.Signature(), Group: f.Group, Doc: f.Doc, Example: f.Example, Result: f.Result})
	}
}

// maxCell is how much of a text a table shows.
const maxCell = 60
