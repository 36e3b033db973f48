package eval

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// Dockerfile is what dockerfile() makes: a stage of a Dockerfile.
type Dockerfile struct {
	Path    string // in the module; "" when Text is the file
	Text    string
	Target  string // "" is the last stage
	Args    map[string]string
	Context *Value // nil is context.default
}

// DockerfileRequest says what to import of a Dockerfile.
type DockerfileRequest struct {
	Name     string // the file's name in ranges
	Target   string // "" is the last stage
	Args     map[string]string
	Platform ocispecs.Platform // where builds run by default
}

// ImportedDockerfile is a Dockerfile as an hbuild file.
type ImportedDockerfile struct {
	HCL   []byte
	Stage string            // the name of the stage that was asked for
	Lines map[int]hcl.Range // lines of HCL to what they were in the Dockerfile
}

// ImportFunc writes a Dockerfile as HCL. The compiler gives the importer's, which
// itself needs this package.
type ImportFunc func(src []byte, req DockerfileRequest) (*ImportedDockerfile, hcl.Diagnostics)

// The options of dockerfile(): those that it takes, and those of the design that
// it does not take yet.
var (
	dockerfileOptions = []string{"target", "args", "context"}
	dockerfileLater   = []string{"contexts", "labels", "platform", "secrets", "ssh", "network", "hosts", "ulimits", "no_cache"}
)

var dockerfileFunc = buildFunc([]function.Parameter{{Name: "path", Type: cty.DynamicPseudoType}}, func(args []cty.Value) (*Value, error) {
	d := &Dockerfile{Args: map[string]string{}}
	if err := d.file(args[0]); err != nil {
		return nil, err
	}
	o, err := readOptions(args, 1, "dockerfile", append(dockerfileOptions, dockerfileLater...)...)
	if err != nil {
		return nil, err
	}
	for _, name := range dockerfileLater {
		if _, ok := o[name]; ok {
			return nil, &codedError{diag.NotYet, fmt.Sprintf("The option %s of dockerfile() is not supported yet", name), "This version takes " + diag.List(dockerfileOptions, 5) + "."}
		}
	}
	if d.Target, err = o.str("target"); err != nil {
		return nil, err
	}
	if v, ok := o["context"]; ok {
		if d.Context = FromCty(v); d.Context == nil || d.Context.Kind != kContext {
			return nil, &codedError{diag.WrongKind, "context takes a context", "It is " + describe(v) + "; write context.NAME."}
		}
	}
	if v, ok := o["args"]; ok {
		m, err := convert.Convert(v, cty.Map(cty.String))
		if err != nil {
			return nil, &codedError{diag.WrongType, "args takes a map of strings", "It is " + describe(v) + "."}
		}
		for e := m.ElementIterator(); e.Next(); {
			if k, val := e.Element(); !val.IsNull() {
				d.Args[k.AsString()] = val.AsString()
			}
		}
	}
	return &Value{Kind: KindDockerfile, Dockerfile: d}, nil
})

// file reads the first argument: a path, or an object with a text.
func (d *Dockerfile) file(v cty.Value) error {
	wrong := &codedError{diag.WrongType, "dockerfile() takes a path or a text", "Write dockerfile(\"./Dockerfile\") or dockerfile({ text = … }), not " + describe(v) + "."}
	if v.IsNull() {
		return wrong
	}
	if v.Type() == cty.String {
		d.Path = v.AsString()
		if d.Path == "" {
			return wrong
		}
		return nil
	}
	if !v.Type().IsObjectType() || len(v.Type().AttributeTypes()) != 1 || !v.Type().HasAttribute("text") {
		return wrong
	}
	text := v.GetAttr("text")
	if text.IsNull() || text.Type() != cty.String {
		return wrong
	}
	d.Text = text.AsString()
	return nil
}

// nested is a Dockerfile that was imported: a module of its own.
type nested struct {
	ev    *Evaluator
	stage *Instance
	lines map[int]hcl.Range
	call  hcl.Range
	owner string             // tells its stages' names from those of others
	moved map[*ir.Stage]bool // stages that have their own names and places
}

// dockerfileStage is the stage that a dockerfile() stands for; nil when there are
// errors.
func (ev *Evaluator) dockerfileStage(it *item, v *Value, p *ocispecs.Platform) *ir.Stage {
	key := v.identity()
	n, ok := ev.nested[key]
	if !ok {
		n = ev.importDockerfile(it, v)
		ev.nested[key] = n
	}
	if n == nil {
		return nil
	}
	st := n.ev.stage(n.stage, p)
	for _, s := range ir.Reach(st) {
		if !n.moved[s] {
			n.moved[s] = true
			s.Name = ev.uniqueName(s.Name, n.owner+" "+s.Addr)
			s.Addr = v.Describe() + " " + s.Addr
			n.place(reflect.ValueOf(s))
		}
	}
	for _, d := range n.ev.Diagnostics() {
		moved := *d
		moved.Expression, moved.EvalContext = nil, nil // of a text that nobody has
		n.place(reflect.ValueOf(&moved))
		ev.add(&moved)
	}
	return st
}

// importDockerfile reads a Dockerfile and prepares to evaluate it.
func (ev *Evaluator) importDockerfile(it *item, v *Value) *nested {
	d := v.Dockerfile
	ctx := ev.DefaultContext()
	if d.Context != nil {
		ctx = ev.localContext(d.Context.Inst)
	}
	name, src, ok := ev.readDockerfile(it, d)
	if !ok || ctx == nil {
		return nil
	}
	if ev.opt.Import == nil {
		it.errorf(diag.NotYet, "dockerfile() cannot be used here", "Nothing imports Dockerfiles.")
		return nil
	}
	ev.mod.Files[name] = src
	res, diags := ev.opt.Import(src, DockerfileRequest{Name: name, Target: d.Target, Args: d.Args, Platform: ev.opt.BuildPlatform})
	for _, d := range diags {
		if d.Subject == nil || d.Subject.Filename == "" {
			d.Subject = it.rng.Ptr()
		}
		ev.add(d)
	}
	if res == nil || diags.HasErrors() {
		return nil
	}
	// The imported file alone is the module: no vars file of the caller's is its.
	files := fstest.MapFS{lang.MainFile: {Data: res.HCL}}
	mod, diags := lang.Load(files, ".", lang.LoadOptions{})
	diags = append(diags, lang.Resolve(mod, Builtins())...)
	if diags.HasErrors() {
		it.errorf(diag.FunctionError, "The Dockerfile cannot be used", "%s: %s", diags[0].Summary, diags[0].Detail)
		return nil
	}
	sub := New(mod, files, Options{BuildPlatform: ev.opt.BuildPlatform, Contexts: ev.opt.Contexts, Check: ev.opt.Check})
	sub.fsys = ev.fsys
	for _, inst := range sub.instances(mod.Lookup(lang.KindContext, "default")).list {
		inst.memo = ctx
	}
	stage := sub.instances(mod.Lookup(lang.KindStage, res.Stage)).list[0]
	return &nested{ev: sub, stage: stage, lines: res.Lines, call: it.rng, owner: v.identity(), moved: map[*ir.Stage]bool{}}
}

// readDockerfile reads the file of a dockerfile() and names it for messages.
func (ev *Evaluator) readDockerfile(it *item, d *Dockerfile) (string, []byte, bool) {
	if d.Path == "" {
		return fmt.Sprintf("Dockerfile at %s:%d", it.rng.Filename, it.rng.Start.Line), []byte(d.Text), true
	}
	full, ok := ev.abs(d.Path)
	if !ok || strings.HasPrefix(d.Path, "/") {
		it.errorf(diag.BadPath, "The Dockerfile is not in the module", "%q is not below the module's directory.", d.Path)
		return "", nil, false
	}
	src, err := fs.ReadFile(ev.fsys, full)
	if err != nil {
		detail := fmt.Sprintf("No file is at %q.%s", d.Path, nearestFile(ev.fsys, full))
		if !errors.Is(err, fs.ErrNotExist) {
			detail = sentence(err.Error())
		}
		it.errorf(diag.MissingFile, "The Dockerfile cannot be read", "%s", detail)
		return "", nil, false
	}
	if _, err := fs.Stat(ev.fsys, full+".dockerignore"); err == nil && d.Context == nil {
		it.errorf(diag.NotYet, "The Dockerfile has an ignore file of its own", "Declare a context with ignore_file = %q and give it: dockerfile(%q, { context = context.NAME }).", d.Path+".dockerignore", d.Path)
		return "", nil, false
	}
	return full, src, true
}

var (
	rangeType   = reflect.TypeFor[hcl.Range]()
	contextType = reflect.TypeFor[*ir.Context]()
	stageType   = reflect.TypeFor[*ir.Stage]()
)

// place moves the ranges in a stage or diagnostic from the imported text, which
// nobody has, to the Dockerfile, or to the call where a line came from nothing.
// It stops at contexts, which are the caller's, and at other stages.
func (n *nested) place(v reflect.Value) { n.placeIn(v, true) }

func (n *nested) placeIn(v reflect.Value, first bool) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() || v.Elem().Kind() != reflect.Struct {
			n.placeIn(v.Elem(), false)
			return
		}
		if v.CanSet() { // what an interface holds by value changes as a whole
			c := reflect.New(v.Elem().Type()).Elem()
			c.Set(v.Elem())
			n.placeIn(c, false)
			v.Set(c)
		}
	case reflect.Pointer:
		if !v.IsNil() && v.Type() != contextType && (first || v.Type() != stageType) {
			n.placeIn(v.Elem(), false)
		}
	case reflect.Slice:
		for i := range v.Len() {
			n.placeIn(v.Index(i), false)
		}
	case reflect.Struct:
		if v.Type() != rangeType {
			for i := range v.NumField() {
				n.placeIn(v.Field(i), false)
			}
			return
		}
		if !v.CanSet() {
			return
		}
		if r := v.Addr().Interface().(*hcl.Range); r.Filename == lang.MainFile {
			to, ok := n.lines[r.Start.Line]
			if !ok {
				to = n.call
			}
			*r = to
		}
	}
}
