// Package funcs is the table of the language's built-in functions: the pure
// functions of Terraform, by name and meaning, one row each.
//
// A row holds what every reader of the table needs: the function for an
// [hcl.EvalContext], and the sentence, parameters and example that the
// generated reference, completion and hover show. The examples are run by the
// package's test, so what the reference says is what happens.
//
// # What a function may depend on
//
// Its arguments, and the files of the module through [Env]; nothing else. That
// is why uuid, bcrypt, timestamp, plantimestamp, abspath, pathexpand and
// rsadecrypt are missing: each gives another result, or reads another file, on
// another machine or another day.
//
// # What holds for every function
//
//   - Unknown in, unknown out.
//   - A mark on an argument, such as [Sensitive], is on the result. The
//     exceptions are can and issensitive, whose results say something about an
//     expression rather than hold its value, and nonsensitive.
//   - When an argument is sensitive, an error does not quote it: the reason is
//     left out.
//   - A build value (a stage, an artifact: any capsule) goes through the
//     functions on collections, and is refused by those that make text of
//     their arguments.
//   - A wrong argument is a [function.ArgError] at that argument.
//
// # Where Terraform's meaning is left
//
// compact also takes lists of build values and drops their nulls; fileset
// reports a directory that does not exist instead of matching nothing; templates
// always render to a string and cannot render other templates; a path that starts
// with "~/" is refused instead of expanded.
package funcs

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty/function"
)

// The groups of the table.
const (
	GroupNumber     = "number"
	GroupString     = "string"
	GroupCollection = "collection"
	GroupEncoding   = "encoding"
	GroupFile       = "file"
	GroupDate       = "date"
	GroupHash       = "hash"
	GroupNetwork    = "network"
	GroupType       = "type"
)

// Func is one row of the table.
type Func struct {
	Name  string
	Func  function.Function
	Group string // one of the Group constants
	Doc   string // one sentence

	// Params names the parameters in order. A name that ends in "..." takes
	// any number of arguments, one that ends in "?" may be left out.
	Params []string

	Example string // a call, as HCL: join("-", ["a", "b"])
	Result  string // what the call gives, as HCL: "a-b"
}

// Signature is the call as a person writes it down: lookup(map, key, default?).
func (f Func) Signature() string {
	return f.Name + "(" + strings.Join(f.Params, ", ") + ")"
}

// Env is what functions may read: the module's files, confined to FS.
type Env struct {
	// FS holds the module and everything its functions may reach (".." works
	// inside it). Functions open only valid paths of it; whether a symbolic
	// link may leave it is the file system's matter, which is why a host
	// directory should come from [os.Root.FS]. A nil FS has no files.
	FS fs.FS
	// Dir is the module's directory inside FS, "." for its root. Paths in
	// calls are relative to it.
	Dir string
}

// Table lists the functions, sorted by name. Those that read no files are the
// same values in every table.
func Table(env Env) []Func {
	table := append(slices.Clone(static().table), envTable(env)...)
	slices.SortFunc(table, func(a, b Func) int { return strings.Compare(a.Name, b.Name) })
	return table
}

// Map is the table as an [hcl.EvalContext] wants it. The map is the caller's
// to change.
func Map(env Env) map[string]function.Function {
	m := maps.Clone(static().byName)
	for _, f := range envTable(env) {
		m[f.Name] = f.Func
	}
	return m
}

// staticFuncs are the functions that depend on their arguments alone.
type staticFuncs struct {
	table  []Func
	byName map[string]function.Function
}

// static is built on first use: a command that evaluates nothing pays nothing.
var static = sync.OnceValue(func() staticFuncs {
	table := finish(slices.Concat(
		numberRows, stringRows, collectionRows, encodingRows, dateRows, hashRows, networkRows, typeRows, pathRows,
	))
	byName := make(map[string]function.Function, len(table)+16)
	for _, f := range table {
		byName[f.Name] = f.Func
	}
	return staticFuncs{table, byName}
})

// envTable holds the functions that read files, or that evaluate text which may.
func envTable(env Env) []Func {
	files := moduleFiles{env}
	// Only a template needs the functions that a template may call.
	inner := sync.OnceValue(func() map[string]function.Function {
		m := Map(env)
		for _, name := range []string{"templatefile", "templatestring"} {
			m[name] = notInTemplate(name)
		}
		return m
	})
	return finish(slices.Concat(fileRows(files), templateRows(files, inner)))
}

// row is a Func before the rules for all functions are put on it.
type row struct {
	Func
	rule rule
}

// rule says how a row's function treats its arguments.
type rule int

const (
	// The zero rule is for functions that keep their arguments' text out of errors when it is
	// sensitive.
	_ rule = iota
	// textual functions also refuse build values.
	textual
	// bare functions are exposed as they are: they look at marks themselves,
	// or take expressions.
	bare
)

func finish(rows []row) []Func {
	table := make([]Func, len(rows))
	for i, r := range rows {
		table[i] = r.Func
		if r.rule != bare {
			table[i].Func = guard(r.Func, r.rule == textual)
		}
	}
	return table
}
