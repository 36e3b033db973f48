// Package eval gives every declaration of a module its value: variables and
// locals, the instances of for_each and matrix, and the stages and targets as
// ir. Names were resolved and sorted before, so nothing here can meet an unknown
// name or run in a circle.
//
// What depends on the target platform is evaluated once per platform, and all
// else once.
package eval

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/patternmatcher"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// Options are what the caller knows and the files do not.
type Options struct {
	// Vars are --var and --var-file in the order of the command line; the last
	// one of a name wins.
	Vars []VarSource
	// LookupEnv reads the environment that variables may name; nil has none.
	LookupEnv func(string) (string, bool)
	// Git describes the checkout; nil or a nil result when there is none. It is
	// asked at most once and only when an expression uses git.
	Git func() *Git
	// BuildPlatform is where steps run by default; also the target platform of
	// targets that name none.
	BuildPlatform ocispecs.Platform
	// Contexts are what the caller gives in place of contexts, stages and images, by
	// name: a directory, or docker-image://REF, oci-layout://DIR[:TAG][@DIGEST], the
	// address of a git repository or of a file, - for standard input. A name may have
	// "::" and a platform behind it, and then counts for that platform alone.
	Contexts map[string]string
	// Epoch is the SOURCE_DATE_EPOCH that the caller gives in place of the targets'
	// own: seconds, "context" for the main context's time, or the name of a context
	// or a stage; "" for none.
	Epoch string
	// ModuleSets are the --set flags for what is in called modules.
	ModuleSets []ModuleSet
	// Import reads the Dockerfiles of dockerfile(); nil refuses them.
	Import ImportFunc
	// Check lets a required variable without a value be unknown.
	Check bool
	// Provenance fills [ir.Target.Variables] and [ir.Target.Provenance].
	Provenance bool
}

// VarSource is one --var (Name set) or one vars file.
type VarSource struct {
	Name   string // the variable; "" for a file of assignments
	Source lang.Source
	Origin string // how messages name it: "--var", "--var-file prod.hcl"
}

// Git describes a checkout; empty strings are null.
type Git struct {
	Commit, Short, Branch, Tag, Time string
	Dirty                            bool
}

func (g *Git) object() cty.Value {
	s := func(v string) cty.Value {
		if v == "" {
			return cty.NullVal(cty.String)
		}
		return cty.StringVal(v)
	}
	return cty.ObjectVal(map[string]cty.Value{"commit": s(g.Commit), "short": s(g.Short), "branch": s(g.Branch), "tag": s(g.Tag), "time": s(g.Time), "dirty": cty.BoolVal(g.Dirty)})
}

var noGit = cty.ObjectVal(map[string]cty.Value{
	"commit": cty.NullVal(cty.String), "short": cty.NullVal(cty.String), "branch": cty.NullVal(cty.String),
	"tag": cty.NullVal(cty.String), "time": cty.NullVal(cty.String), "dirty": cty.NullVal(cty.Bool),
})

// Evaluator evaluates one module: the root, or what a module block calls.
type Evaluator struct {
	*tree
	mod *lang.Module

	// apart is what the addresses of a module that nobody calls begin with, "./tools/".
	apart string
	// What the addresses and the names in Dockerfiles begin with.
	inAddr, inDocker string
	// Of a called module; nil and empty for the root.
	caller *Evaluator
	call   *Instance             // of the module block
	inputs map[string]*lang.Attr // what the block gives to variables

	builtins func() map[string]function.Function
	funcs    map[string]map[string]function.Function
	// funcNames are the module's own functions; asking the module anew for every
	// expression would make a large module quadratic.
	funcNames  []string
	values     map[string]input // what the command line and the vars file give to variables
	lostInputs bool             // a vars file could not be read whole
	vars       map[*lang.Variable]cty.Value
	locals     map[localKey]cty.Value
	expanded   []*expansion         // by Decl.Index
	varying    map[lang.Node]bool   // what depends on the target platform, where modules decide it
	combines   map[string]*ir.Stage // of merge() and diff()
	nested     map[string]*nested   // of dockerfile()
	inPlace    *inPlace             // who uses the Dockerfile that this is; nil when it is none
	later      *later               // nil unless the module is evaluated beside others
	provenance *ir.Provenance       // nil when it is not asked for
}

type localKey struct {
	l        *lang.Local
	platform string
}

// tree is what the evaluators of a root and of all modules below it share: what does
// not change, what is behind mu, and what changes in order (see [Evaluator.inOrder]).
type tree struct {
	rootModule *Evaluator
	fsys       fs.FS
	opt        Options
	loader     *lang.Loader // nil: no module can be called

	mu      sync.Mutex
	ignores map[string]*ignores
	// implicits are contexts that no block declares, by what they stand for.
	implicits map[string]*ir.Context
	// directories are the contexts of called modules that are one directory, sent
	// once, by what makes them so.
	directories map[string]*ir.Context
	git         cty.Value
	ignored     *patternmatcher.PatternMatcher // of the root's main context; nil before the first use
	looked      map[string]bool                // paths and patterns, whether something is there

	diags      hcl.Diagnostics
	reported   map[mistake]*hcl.Diagnostic
	repeats    map[*hcl.Diagnostic][]string // what was not reported again, in words
	names      map[string]string            // stage names in use → the address that has them
	texts      int
	claimed    map[*ir.Context]bool // contexts that have their names
	contextIDs map[string]bool      // names of contexts in use
	// contextsEach begin the names of the root's repeated contexts.
	contextsEach []string
	usedGiven    map[string]bool // names of --context that replaced something
	modules      []*lang.Module  // all but the root, in the order of the first use
	aparts       []*Evaluator    // of modules that nobody calls
	called       map[*lang.Module]bool
}

// New prepares to evaluate a resolved module. The loader reads the modules that it
// calls; nil refuses them.
func New(mod *lang.Module, fsys fs.FS, loader *lang.Loader, opt Options) *Evaluator {
	if opt.BuildPlatform.OS == "" {
		opt.BuildPlatform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	}
	t := &tree{
		fsys: fsys, opt: opt, loader: loader,
		reported: map[mistake]*hcl.Diagnostic{}, repeats: map[*hcl.Diagnostic][]string{},
		names: map[string]string{}, ignores: map[string]*ignores{}, looked: map[string]bool{}, implicits: map[string]*ir.Context{},
		directories: map[string]*ir.Context{}, contextIDs: map[string]bool{}, claimed: map[*ir.Context]bool{}, usedGiven: map[string]bool{}, called: map[*lang.Module]bool{},
	}
	ev := t.evaluator(mod)
	t.rootModule = ev
	ev.provenance = newProvenance(opt)
	ev.values = ev.readInputs()
	ev.reserveNames()
	return ev
}

func (t *tree) evaluator(mod *lang.Module) *Evaluator {
	ev := &Evaluator{
		tree: t, mod: mod,
		funcNames: mod.Names(lang.KindFunction),
		funcs:     map[string]map[string]function.Function{}, vars: map[*lang.Variable]cty.Value{}, locals: map[localKey]cty.Value{},
		expanded: make([]*expansion, len(mod.Decls)), combines: map[string]*ir.Stage{}, nested: map[string]*nested{}, varying: map[lang.Node]bool{},
	}
	ev.builtins = sync.OnceValue(ev.makeBuiltins)
	return ev
}

// Diagnostics returns all that was found so far. What an expression does wrong
// for several platforms or instances is one mistake, which says so.
func (ev *Evaluator) Diagnostics() hcl.Diagnostics {
	out := make(hcl.Diagnostics, len(ev.diags))
	for i, d := range ev.diags {
		out[i] = d
		if again := ev.repeats[d]; len(again) > 0 {
			more := *d
			const most = 3
			more.Detail += "\nThe same goes for: " + strings.Join(again[:min(most, len(again))], "; ")
			if n := len(again) - most; n > 0 {
				more.Detail += fmt.Sprintf("; and %d more", n)
			}
			more.Detail += "."
			out[i] = &more
		}
	}
	return out
}

// quotedText matches what differs between the messages of two instances.
var quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\d+`)

// mistake is what makes two diagnostics the same mistake.
type mistake struct {
	at      hcl.Range
	code    diag.Code
	summary string
}

// add reports a diagnostic, unless the same place has the same mistake already. In
// a called module it also says who called it, and with what.
func (ev *Evaluator) add(d *hcl.Diagnostic) {
	ev.later.note(d)
	ev.inOrder(func() { ev.tree.add(ev.traced(d)) })
}

func (ev *tree) add(d *hcl.Diagnostic) {
	if d.Subject == nil {
		ev.diags = append(ev.diags, d)
		return
	}
	key := mistake{*d.Subject, diag.InfoOf(d).Code, quotedText.ReplaceAllString(d.Summary, "")}
	first := ev.reported[key]
	if first == nil {
		ev.reported[key] = d
		ev.diags = append(ev.diags, d)
		return
	}
	text := d.Summary
	if text == first.Summary {
		text = strings.TrimSuffix(d.Detail, ".")
	}
	if d.Summary+d.Detail != first.Summary+first.Detail && !slices.Contains(ev.repeats[first], text) {
		ev.repeats[first] = append(ev.repeats[first], text)
	}
}

func (ev *Evaluator) errorf(code diag.Code, at hcl.Range, summary, format string, args ...any) {
	ev.add(diag.Error(code, at, summary, fmt.Sprintf(format, args...)))
}

// platformKey names a platform in maps; "" is the default.
func platformKey(p *ocispecs.Platform) string {
	if p == nil {
		return ""
	}
	return platforms.FormatAll(*p)
}

// local evaluates a local, once for each platform that it depends on.
func (ev *Evaluator) local(l *lang.Local, p *ocispecs.Platform) cty.Value {
	key := localKey{l: l}
	if ev.varies(l) {
		key.platform = platformKey(p)
	} else {
		p = nil
	}
	if v, ok := ev.locals[key]; ok {
		return v
	}
	v := cty.DynamicVal
	if !l.Bad {
		v = ev.value(l.Value.Expr, &scope{platform: p})
	}
	ev.locals[key] = v
	return v
}

// reserveNames gives every stage without instances its own name in Dockerfiles.
func (ev *Evaluator) reserveNames() { ev.inOrder(ev.takeNames) }

func (ev *Evaluator) takeNames() {
	for _, n := range ev.mod.Decls {
		d := n.Base()
		if d.Kind == lang.KindContext && ev.dockerPrefix() == "" {
			ev.contextIDs[dockerName(d.Name)] = true
			if d.ForEach != nil {
				ev.contextsEach = append(ev.contextsEach, dockerName(d.Name)+"-")
			}
		}
		if name := ev.dockerPrefix() + dockerName(d.Name); d.Kind == lang.KindStage && d.ForEach == nil && ev.names[name] == "" {
			ev.names[name] = ev.addr(d)
		}
	}
}

// stageName returns the Dockerfile name of an instance: lower-case, with what a
// stage name cannot hold replaced, and unlike any other stage's.
func (ev *Evaluator) stageName(inst *Instance) string {
	name := ev.dockerPrefix() + dockerName(inst.Node.Base().Name)
	if _, ok := inst.Node.(*lang.Test); ok {
		// A test and a stage may have one name.
		return ev.uniqueName(ev.dockerPrefix()+"test-"+dockerName(strings.ReplaceAll(inst.Name(), ".", "-")), inst.Addr)
	}
	if !inst.Keyed {
		return ev.uniqueName(name, inst.Addr)
	}
	return ev.uniqueName(name+"-"+dockerName(inst.Key), inst.Addr)
}

func (ev *tree) uniqueName(name, addr string) string {
	for n, try := 2, name; ; n++ {
		if owner, taken := ev.names[try]; !taken || owner == addr {
			ev.names[try] = addr
			return try
		}
		try = fmt.Sprintf("%s-%d", name, n)
	}
}

func dockerName(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case c >= 'A' && c <= 'Z':
			b[i] = c + 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			b[i] = '-'
		}
	}
	return string(b)
}

// abs places a path of the module in the compiled file system; ok is false when
// it leaves that.
func (ev *Evaluator) abs(p string) (string, bool) {
	full := path.Join(ev.mod.Dir, p)
	return full, fs.ValidPath(full)
}

// rootPath leads from the module to the root of the compiled file system; paths
// in a module are relative to it, and so path.module is ".".
func (ev *Evaluator) rootPath() string {
	if ev.mod.Dir == "." || ev.mod.Dir == "" {
		return "."
	}
	return strings.Repeat("../", strings.Count(ev.mod.Dir, "/")) + ".."
}

// meta makes what all steps have from the place that asked for them.
func (ev *Evaluator) meta(at hcl.Range) ir.StepMeta {
	return ir.StepMeta{Range: at, Comment: ev.mod.CommentAbove(at)}
}
