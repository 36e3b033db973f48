package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/lang/diag"
)

// roots maps the first name of a reference to the kind that it names.
var roots = map[string]Kind{
	"var": KindVariable, "local": KindLocal, "stage": KindStage, "artifact": KindArtifact, "context": KindContext,
	"cache": KindCache, "secret": KindSecret, "ssh": KindSSH, "target": KindTarget, "group": KindGroup, "test": KindTest,
	"module": KindModule,
}

// objects are the built-in objects and their attributes.
var objects = map[string][]string{
	"platform": {"build", "target"},
	"path":     {"module", "root"},
	"git":      {"branch", "commit", "dirty", "short", "tag", "time"},
	"each":     {"key", "value"},
}

var platformAttrs = []string{"arch", "id", "os", "variant"}

var unknownCodes = map[Kind]diag.Code{
	KindVariable: diag.UnknownVariable, KindLocal: diag.UnknownLocal, KindStage: diag.UnknownStage, KindArtifact: diag.UnknownArtifact,
	KindContext: diag.UnknownContext, KindCache: diag.UnknownCache, KindSecret: diag.UnknownSecret, KindSSH: diag.UnknownSSH,
	KindTarget: diag.UnknownTarget, KindGroup: diag.UnknownGroup, KindTest: diag.UnknownTest, KindModule: diag.UnknownModule,
}

// traversal resolves one reference.
func (r *resolver) traversal(t hcl.Traversal, inTemplate bool) {
	root := t.RootName()
	switch {
	case r.scope.names[root], root == "scratch":
		return
	case root == "matrix":
		r.matrixRef(t)
	case objects[root] != nil:
		r.objectRef(t, root)
	case roots[root] != "":
		r.declRef(t, root, roots[root])
	default:
		r.unknownRoot(t, root, inTemplate)
	}
}

func (r *resolver) matrixRef(t hcl.Traversal) {
	at := t.SourceRange()
	if r.scope.matrix == nil {
		r.errorAt(at, diag.Error(diag.ScopeReference, at, "No matrix here", "matrix.NAME has a value in a target or a test that has a matrix attribute, and nowhere else."))
		return
	}
	name, ok := attrName(t, 1)
	if !ok {
		return
	}
	for _, axis := range r.scope.matrix {
		if axis == name || axis == "*" {
			return
		}
	}
	r.errorAt(at, diag.Error(diag.ScopeReference, at, fmt.Sprintf("The matrix has no axis %q", name),
		"Its axes are "+diag.List(r.scope.matrix, 20)+"."+diag.DidYouMean(name, r.scope.matrix)))
}

func attrName(t hcl.Traversal, i int) (string, bool) {
	if i >= len(t) {
		return "", false
	}
	switch s := t[i].(type) {
	case hcl.TraverseAttr:
		return s.Name, true
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String {
			return s.Key.AsString(), true
		}
	}
	return "", false
}

func (r *resolver) objectRef(t hcl.Traversal, root string) {
	at := t.SourceRange()
	if root == "each" && !r.scope.each {
		r.errorAt(at, diag.Error(diag.ScopeReference, at, "No each here", "each.key and each.value have a value in a block that has for_each, and nowhere else (nor in its own for_each)."))
		return
	}
	name, ok := attrName(t, 1)
	if !ok {
		if root == "platform" {
			r.direct, r.at = true, at
		}
		return
	}
	if !slices.Contains(objects[root], name) {
		r.unknownBuiltin(t, 1, root, objects[root])
		return
	}
	if root == "platform" {
		if name == "target" && !r.direct {
			r.direct, r.at = true, at
		}
		if sub, ok := attrName(t, 2); ok && !slices.Contains(platformAttrs, sub) {
			r.unknownBuiltin(t, 2, root+"."+name, platformAttrs)
		}
	}
}

func (r *resolver) unknownBuiltin(t hcl.Traversal, i int, of string, attrs []string) {
	at := t[i].SourceRange()
	name, _ := attrName(t, i)
	r.errorAt(at, diag.Error(diag.UnknownBuiltinAttr, at, fmt.Sprintf("%s has no attribute %q", of, name),
		"It has "+diag.List(attrs, 20)+"."+diag.DidYouMean(name, attrs)))
}

// declRef resolves kind.NAME and what follows it.
func (r *resolver) declRef(t hcl.Traversal, root string, kind Kind) {
	at := t.SourceRange()
	step, ok := at2(t, 1).(hcl.TraverseAttr)
	if !ok {
		example := root + ".NAME"
		if names := r.m.Names(kind); len(names) > 0 {
			example = root + "." + names[0]
		}
		r.errorAt(at, diag.Error(diag.WholeObject, at, fmt.Sprintf("%q alone is no value", root),
			fmt.Sprintf("Name one: %s. An expression in brackets may choose among the instances of a block with for_each only.", example)))
		return
	}
	if r.scope.fn && kind != KindVariable && kind != KindLocal {
		r.errorAt(at, diag.Error(diag.ScopeReference, at, fmt.Sprintf("A function cannot see %s.%s", root, step.Name),
			"The result of a function sees its parameters, var, local, path, git, platform and other functions; pass the value as an argument."))
		return
	}
	n := r.m.Lookup(kind, step.Name)
	if n == nil {
		r.unknownName(t, kind, step)
		return
	}
	r.use(n, at)
	if kind != KindVariable && kind != KindLocal {
		r.instanceRef(t, n)
	}
}

func at2(t hcl.Traversal, i int) hcl.Traverser {
	if i < len(t) {
		return t[i]
	}
	return nil
}

func (r *resolver) unknownName(t hcl.Traversal, kind Kind, step hcl.TraverseAttr) {
	names := r.m.Names(kind)
	at := t[:2].SourceRange()
	root := t.RootName()
	detail := fmt.Sprintf("No %s is called %q.", kind, step.Name)
	var opts []diag.Option
	if near := diag.Nearest(step.Name, names); near != "" {
		detail += fmt.Sprintf(" Did you mean %s.%s?", root, near)
		opts = append(opts, diag.WithFix(at, root+"."+near, "write %s.%s", root, near), diag.WithRelated(r.m.Lookup(kind, near).Base().NameRange, "%s.%s is declared here", root, near))
	} else if other := r.elsewhere(step.Name, kind); other != nil {
		o := other.Base()
		detail += fmt.Sprintf(" There is %s, which is another kind of value.", o.Addr())
		opts = append(opts, diag.WithRelated(o.NameRange, "%s is declared here", o.Addr()))
	} else if len(names) == 0 {
		detail += fmt.Sprintf(" The module declares none; write %s.", example(kind, step.Name))
	} else {
		detail += " There are: " + diag.List(names, 12) + "."
	}
	r.unknown(kind, at, diag.Error(unknownCodes[kind], at, fmt.Sprintf("Unknown %s %q", kind, step.Name), detail, opts...))
}

// example is how a declaration is written.
func example(kind Kind, name string) string {
	if kind == KindLocal {
		return fmt.Sprintf("locals { %s = … }", name)
	}
	return fmt.Sprintf("%s %q { … }", kind, name)
}

// elsewhere finds a declaration of another kind with the name, in the files.
func (r *resolver) elsewhere(name string, not Kind) Node {
	for _, k := range []Kind{KindStage, KindArtifact, KindContext, KindVariable, KindLocal, KindTarget, KindGroup, KindTest, KindCache, KindSecret, KindSSH, KindModule} {
		if n := r.m.Lookup(k, name); n != nil && k != not && n.Base().NameRange.Filename != "" {
			return n
		}
	}
	return nil
}

// Repeated reports whether a declaration has instances with keys.
func Repeated(n Node) bool {
	return n.Base().ForEach != nil || MatrixOf(n) != nil
}

// instanceRef checks what follows stage.NAME: a key when the block has for_each,
// and nothing else ever.
func (r *resolver) instanceRef(t hcl.Traversal, n Node) {
	d := n.Base()
	at := t.SourceRange()
	rest := t[2:]
	if d.Partial {
		return // whether it has instances is not known
	}
	if !Repeated(n) {
		if len(rest) == 0 {
			return
		}
		if _, ok := rest[0].(hcl.TraverseIndex); ok {
			r.errorAt(at, diag.Error(diag.MissingKey, at, fmt.Sprintf("%s has no instances", d.Addr()), fmt.Sprintf("The block has no for_each; write %s.", d.Addr()), diag.WithRelated(d.NameRange, "declared here")))
			return
		}
		r.attributeOfBuild(t, d, 2)
		return
	}
	if len(rest) == 0 {
		return
	}
	if key, ok := attrName(t, 2); ok {
		if keys, known := staticKeys(n); known && !slices.Contains(keys, key) {
			r.errorAt(at, diag.Error(diag.UnknownKey, at, fmt.Sprintf("%s has no instance %q", d.Addr(), key),
				NoInstance(d, t[2:], keys), diag.WithRelated(d.NameRange, "declared here")))
			return
		}
	}
	if len(rest) > 1 {
		r.attributeOfBuild(t, d, 3)
	}
}

// NoInstance says which keys a repeated block has in place of the one that t begins
// with. What follows a dot behind a module is often meant as an output of it.
func NoInstance(d *Decl, t hcl.Traversal, keys []string) string {
	if len(keys) == 0 {
		return "It has none."
	}
	key, _ := attrName(t, 0)
	out := "Its keys are " + diag.List(keys, 20) + "." + diag.DidYouMean(key, keys)
	if _, dotted := t[0].(hcl.TraverseAttr); dotted && d.Kind == KindModule && diag.Nearest(key, keys) == "" {
		out += fmt.Sprintf(" An output of one is %s[%q].%s, that of all [for m in %s : m.%s].", d.Addr(), keys[0], key, d.Addr(), key)
	}
	return out
}

func (r *resolver) attributeOfBuild(t hcl.Traversal, d *Decl, i int) {
	if d.Kind == KindModule {
		return // an output, which the called module's files say
	}
	at := t.SourceRange()
	name, _ := attrName(t, i)
	r.errorAt(at, diag.Error(diag.AttributeOfBuild, at, fmt.Sprintf("%s has no attributes to read", d.Addr()),
		fmt.Sprintf("A %s is a value to build with; what its block says cannot be read back. Put the value that %q stands for into a local and use it in both places.", d.Kind, name),
		diag.WithRelated(d.NameRange, "declared here")))
}

// staticKeys returns the keys of a for_each that is written out.
func staticKeys(n Node) ([]string, bool) {
	a := n.Base().ForEach
	if a == nil {
		return nil, false
	}
	e := hcl.Expression(a.Expr)
	if call, ok := e.(*hclsyntax.FunctionCallExpr); ok && call.Name == "toset" && len(call.Args) == 1 {
		e = call.Args[0]
	}
	var keys []string
	switch e := e.(type) {
	case *hclsyntax.ObjectConsExpr:
		for _, it := range e.Items {
			k, ok := ConstString(it.KeyExpr)
			if !ok {
				return nil, false
			}
			keys = append(keys, k)
		}
	case *hclsyntax.TupleConsExpr:
		for _, el := range e.Exprs {
			k, ok := ConstString(el)
			if !ok {
				return nil, false
			}
			keys = append(keys, k)
		}
	default:
		return nil, false
	}
	return keys, true
}

// unknownRoot reports a first name that is no kind of value. In a template it is
// most often a shell variable that lost its second dollar.
func (r *resolver) unknownRoot(t hcl.Traversal, root string, inTemplate bool) {
	at := t.SourceRange()
	if whole := expand(r.m, at); inTemplate && len(t) == 1 && whole != at && r.elsewhere(root, "") == nil {
		r.errorAt(at, diag.Error(diag.ShellVariable, whole, fmt.Sprintf("Unknown name %q", root),
			fmt.Sprintf("${…} is hbuild's own interpolation. For the shell's or the build's variable write $%s or $${%s}; for a variable of this file write ${var.%s} and declare it.", root, root, root),
			diag.WithFix(whole, "$${"+root+"}", "write $${%s}", root)))
		return
	}
	var opts []diag.Option
	detail := ""
	names := []string{"platform", "path", "git", "each", "matrix", "scratch"}
	for k := range roots {
		names = append(names, k)
	}
	if n := r.elsewhere(root, ""); n != nil && len(t) == 1 {
		addr := n.Base().Addr()
		detail = fmt.Sprintf("Did you mean %s?", addr)
		opts = append(opts, diag.WithFix(at, addr, "write %s", addr), diag.WithRelated(n.Base().NameRange, "%s is declared here", addr))
	} else if near := diag.Nearest(root, names); near != "" {
		detail = fmt.Sprintf("Did you mean %q?", near)
		opts = append(opts, diag.WithFix(t[0].SourceRange(), near, "write %s", near))
	} else {
		detail = "A reference begins with " + strings.ReplaceAll(diag.List(names, 30), " and ", " or ") + "; text stands in quotes."
		if len(t) == 1 && !inTemplate {
			opts = append(opts, diag.WithFix(at, `"`+root+`"`, "write %q", root))
		}
	}
	r.errorAt(at, diag.Error(diag.UnknownRoot, at, fmt.Sprintf("Unknown name %q", root), detail, opts...))
}

// expand widens the range of a name in a template to its ${ and }, when it is
// written without spaces.
func expand(m *Module, at hcl.Range) hcl.Range {
	src := m.Files[at.Filename]
	s, e := at.Start.Byte-2, at.End.Byte+1
	if s >= 0 && e <= len(src) && string(src[s:s+2]) == "${" && src[e-1] == '}' {
		at.Start.Byte, at.Start.Column = s, at.Start.Column-2
		at.End.Byte, at.End.Column = e, at.End.Column+1
	}
	return at
}
