// Package reference writes spec/reference.md from what the program itself is made
// of: the struct tags of package lang, the tables of functions, the catalogue of
// error codes. What it says therefore cannot differ from what hbuild does.
package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hbuild/hbuild/compiler/dockerfile"
	"github.com/hbuild/hbuild/compiler/eval"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/lang/funcs"
	"github.com/hbuild/hbuild/llb"
)

// blockDoc is a block and what the schema does not say about it.
type blockDoc struct {
	head string // as it is written: stage "NAME"
	node any
	doc  string
}

var blocks = []blockDoc{
	{`variable "NAME"`, &lang.Variable{}, "A typed input of the module: `var.NAME`."},
	{`function "NAME"`, &lang.Function{}, "A function of the module: `NAME(…)`."},
	{`context "NAME"`, &lang.Context{}, "A directory that the caller sends: `context.NAME`. `context.default` is always there."},
	{`stage "NAME"`, &lang.Stage{}, "A file system and an image configuration made by steps: `stage.NAME`."},
	{`artifact "NAME"`, &lang.Artifact{}, "A file or a directory of a stage: `artifact.NAME`."},
	{`cache "NAME"`, &lang.Cache{}, "A directory that persists between builds: `cache.NAME`."},
	{`secret "NAME"`, &lang.Secret{}, "A value for single steps, kept nowhere: `secret.NAME`."},
	{`ssh "NAME"`, &lang.SSH{}, "An agent of the caller: `ssh.NAME`."},
	{`target "NAME"`, &lang.Target{}, "Something with effects: `target.NAME`."},
	{`test "NAME"`, &lang.Test{}, "Steps that have to succeed before what requires them has effects: `test.NAME`."},
	{`group "NAME"`, &lang.Group{}, "Targets and tests under one name: `group.NAME`."},
	{`module "NAME"`, &lang.ModuleCall{}, "A directory with hbuild files of its own: `module.NAME.OUTPUT`. All other attributes are values of its variables."},
	{`output "NAME"`, &lang.Output{}, "What a module shows to its callers."},
}

var steps = []blockDoc{
	{"run", &lang.Run{}, "Runs a process (RUN)."},
	{"copy", &lang.Copy{}, "Copies files into the stage (COPY, ADD)."},
	{"write", &lang.Write{}, "Writes a text to a file (COPY with a heredoc)."},
	{"mkdir", &lang.Mkdir{}, "Makes directories (no instruction)."},
	{"remove", &lang.Remove{}, "Removes files and directories (no instruction)."},
	{"symlink", &lang.Symlink{}, "Makes a symbolic link (no instruction)."},
	{"set", &lang.Set{}, "Changes where the following steps start (ARG, ENV, SHELL, WORKDIR, USER, LABEL)."},
}

var nested = []blockDoc{
	{"validation", &lang.Validation{}, "In a `variable`: a condition on its value."},
	{"precondition", &lang.Precondition{}, "In a `stage`, a `target` or a `test`: a condition that must hold."},
}

// Markdown returns the text of reference.md.
func Markdown() string {
	w := &writer{}
	w.line("# Reference")
	w.line("")
	w.line("Generated from the code by `make update`; do not edit. [language.md](language.md) says what all of it means.")
	w.line("")
	w.line("- [Blocks](#blocks) · [Steps](#steps) · [Nested blocks](#nested-blocks)")
	w.line("- [Functions that make build values](#functions-that-make-build-values) · [Functions](#functions)")
	w.line("- [Error codes](#error-codes) · [Exit codes](#exit-codes)")
	w.section("Blocks", blocks)
	w.line("### `locals`")
	w.line("")
	w.line("Named values: `local.NAME`. Every attribute is one; the names are free.")
	w.line("")
	w.section("Steps", steps)
	w.dynamic()
	w.section("Nested blocks", nested)
	w.buildFunctions()
	w.functions()
	w.codes()
	w.exitCodes()
	return w.b.String()
}

type writer struct{ b strings.Builder }

func (w *writer) line(format string, args ...any) {
	if len(args) == 0 {
		w.b.WriteString(format + "\n")
		return
	}
	fmt.Fprintf(&w.b, format+"\n", args...)
}

func (w *writer) section(title string, list []blockDoc) {
	w.line("")
	w.line("## " + title)
	w.line("")
	for _, b := range list {
		w.block(b)
	}
}

func (w *writer) block(b blockDoc) {
	s := lang.SchemaOf(b.node)
	w.line("### `%s`", b.head)
	w.line("")
	doc := b.doc
	if s.Steps {
		doc += " Steps stand in it as blocks."
	}
	if len(s.Blocks) > 0 {
		doc += " Nested blocks: `" + strings.Join(s.Blocks, "`, `") + "`."
	}
	w.line(doc)
	w.line("")
	w.line("| Attribute | Type | |")
	w.line("|---|---|---|")
	for _, f := range s.Fields {
		if once(b.node) && (f.Name == "for_each" || f.Name == "enabled") {
			continue
		}
		doc := cell(f.Doc)
		if f.Required {
			doc = "**Required.** " + doc
		}
		w.line("| `%s` | %s | %s |", f.Name, cell(f.Type), doc)
	}
	w.line("")
}

// once reports whether a block has no instances.
func once(node any) bool {
	switch node.(type) {
	case *lang.Variable, *lang.Function:
		return true
	}
	return false
}

func (w *writer) dynamic() {
	w.line("### `dynamic \"STEP\"`")
	w.line("")
	w.line("Repeats a step for each element, in place. `content` is a block: the step's body, in which `ITERATOR.key` and `ITERATOR.value` name the element.")
	w.line("")
	w.line("| Attribute | Type | |")
	w.line("|---|---|---|")
	w.line("| `for_each` | list, set, map or object | **Required.** What to repeat for. |")
	w.line("| `iterator` | name | The name of the element in `content`; the step's type by default. |")
	w.line("| `content` | block | **Required.** The body of the step. |")
	w.line("")
}

// cell keeps a text from ending a cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", "*", `\*`).Replace(s)
}

func (w *writer) buildFunctions() {
	w.line("## Functions that make build values")
	w.line("")
	w.line("| Function | |")
	w.line("|---|---|")
	for _, r := range eval.Rows() {
		w.line("| `%s` | %s |", r.Signature, cell(r.Doc))
	}
	w.line("")
}

func (w *writer) functions() {
	w.line("## Functions")
	w.line("")
	w.line("The pure functions of Terraform, by name and meaning. A name ending in `...` takes any number of arguments, one ending in `?` may be left out.")
	table := funcs.Table(funcs.Env{})
	groups := []string{funcs.GroupString, funcs.GroupNumber, funcs.GroupCollection, funcs.GroupType, funcs.GroupFile, funcs.GroupEncoding, funcs.GroupHash, funcs.GroupDate, funcs.GroupNetwork}
	for _, f := range table {
		if !slices.Contains(groups, f.Group) {
			groups = append(groups, f.Group)
		}
	}
	for _, g := range groups {
		w.line("")
		w.line("### %s functions", strings.ToUpper(g[:1])+g[1:])
		w.line("")
		w.line("| Function | | Example |")
		w.line("|---|---|---|")
		for _, f := range table {
			if f.Group == g {
				w.line("| `%s` | %s | %s |", f.Signature(), cell(f.Doc), example(f))
			}
		}
	}
	w.line("")
}

func example(f funcs.Func) string {
	if f.Example == "" {
		return ""
	}
	code := func(s string) string {
		return "`` " + strings.ReplaceAll(strings.ReplaceAll(s, "\n", " "), "|", `\|`) + " ``"
	}
	return code(f.Example) + " → " + code(f.Result)
}

// ranges say what the first digit of a code means.
var ranges = []struct{ prefix, title string }{
	{"HB1", "How files are written"},
	{"HB2", "Names and references"},
	{"HB3", "Values"},
	{"HB4", "Lowering to LLB"},
	{"HB5", "Emitting a Dockerfile"},
	{"HB6", "The command line and the build"},
	{"HB7", "Warnings"},
	{"HB8", "Importing a Dockerfile"},
}

// Titles returns the title of every documented code.
func Titles() map[diag.Code]string {
	out := map[diag.Code]string{}
	for c, t := range dockerfile.Titles {
		out[c] = t
	}
	for c, t := range llb.Titles {
		out[c] = t
	}
	for _, e := range diag.Catalogue() {
		out[e.Code] = e.Title
	}
	return out
}

func (w *writer) codes() {
	w.line("## Error codes")
	w.line("")
	w.line("`hbuild explain CODE` describes one, with an example of the mistake and of what to write instead.")
	titles := Titles()
	all := make([]diag.Code, 0, len(titles))
	for c := range titles {
		all = append(all, c)
	}
	slices.Sort(all)
	for _, r := range ranges {
		w.line("")
		w.line("### %s", r.title)
		w.line("")
		w.line("| Code | |")
		w.line("|---|---|")
		for _, c := range all {
			if strings.HasPrefix(string(c), r.prefix) {
				w.line("| `%s` | %s |", c, cell(upperFirst(titles[c])))
			}
		}
	}
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// ExitCodes are what a process of hbuild ends with; a test holds them against
// cmd/hbuild, which cannot be imported.
var ExitCodes = []struct {
	Code int
	Doc  string
}{
	{0, "Done."},
	{1, "The build failed."},
	{2, "The configuration or the command line is wrong."},
	{3, "Something is out of date: fmt --check, emit --check."},
	{4, "The engine or a registry could not be reached."},
	{130, "Interrupted."},
	{143, "Terminated."},
}

func (w *writer) exitCodes() {
	w.line("")
	w.line("## Exit codes")
	w.line("")
	w.line("| Code | |")
	w.line("|---|---|")
	for _, c := range ExitCodes {
		w.line("| %d | %s |", c.Code, c.Doc)
	}
}
