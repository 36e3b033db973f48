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

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/lang/funcs"
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
	// address of a git repository or of a file, - for standard input.
	Contexts map[string]string
	// Epoch is the SOURCE_DATE_EPOCH that the caller gives in place of the targets'
	// own: seconds, "context" for the main context's time, or the name of a context
	// or a stage; "" for none.
	Epoch string
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

// Evaluator evaluates one module.
type Evaluator struct {
	mod  *lang.Module
	fsys fs.FS
	opt  Options

	diags    hcl.Diagnostics
	reported map[mistake]*hcl.Diagnostic
	repeats  map[*hcl.Diagnostic][]string // what was not reported again, in words
	builtins map[string]function.Function
	funcs    map[string]map[string]function.Function
	// funcNames are the module's own functions; asking the module anew for every
	// expression would make a large module quadratic.
	funcNames  []string
	inputs     map[string]input
	lostInputs bool // a vars file could not be read whole
	vars       map[*lang.Variable]cty.Value
	locals     map[localKey]cty.Value
	expanded   map[lang.Node]*expansion
	names      map[string]string // stage names in use → the address that has them
	ignores    map[string][]string
	texts      int
	// implicits are contexts that no block declares, by what they stand for.
	implicits   map[string]*ir.Context
	combines    map[string]*ir.Stage // of merge() and diff()
	nested      map[string]*nested   // of dockerfile()
	inPlace     *inPlace             // who uses the Dockerfile that this is; nil when it is none
	givenImages map[string]bool      // names of --context that replaced an image
	git         cty.Value
	provenance  *ir.Provenance // nil when it is not asked for
}

type localKey struct {
	l        *lang.Local
	platform string
}

// New prepares to evaluate a resolved module.
func New(mod *lang.Module, fsys fs.FS, opt Options) *Evaluator {
	ev := &Evaluator{
		mod: mod, fsys: fsys, opt: opt, provenance: newProvenance(opt),
		funcs: map[string]map[string]function.Function{}, vars: map[*lang.Variable]cty.Value{}, locals: map[localKey]cty.Value{},
		reported: map[mistake]*hcl.Diagnostic{}, repeats: map[*hcl.Diagnostic][]string{},
		expanded: map[lang.Node]*expansion{}, names: map[string]string{}, ignores: map[string][]string{},
	}
	ev.implicits, ev.givenImages, ev.combines = map[string]*ir.Context{}, map[string]bool{}, map[string]*ir.Stage{}
	ev.nested = map[string]*nested{}
	if ev.opt.BuildPlatform.OS == "" {
		ev.opt.BuildPlatform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	}
	ev.builtins = Functions(funcs.Env{FS: fsys, Dir: mod.Dir})
	ev.funcNames = mod.Names(lang.KindFunction)
	ev.inputs = ev.readInputs()
	ev.reserveNames()
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

// add reports a diagnostic, unless the same place has the same mistake already.
func (ev *Evaluator) add(d *hcl.Diagnostic) {
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
	if l.TargetPlatform {
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
func (ev *Evaluator) reserveNames() {
	for _, n := range ev.mod.Decls {
		if d := n.Base(); d.Kind == lang.KindStage && d.ForEach == nil {
			ev.names[dockerName(d.Name)] = d.Addr()
		}
	}
}

// stageName returns the Dockerfile name of an instance: lower-case, with what a
// stage name cannot hold replaced, and unlike any other stage's.
func (ev *Evaluator) stageName(inst *Instance) string {
	name := dockerName(inst.Node.Base().Name)
	if _, ok := inst.Node.(*lang.Test); ok {
		// A test and a stage may have one name.
		return ev.uniqueName("test-"+dockerName(strings.ReplaceAll(inst.Name(), ".", "-")), inst.Addr)
	}
	if !inst.Keyed {
		return name
	}
	return ev.uniqueName(name+"-"+dockerName(inst.Key), inst.Addr)
}

func (ev *Evaluator) uniqueName(name, addr string) string {
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
