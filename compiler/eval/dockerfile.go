package eval

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// Dockerfile is what dockerfile() makes: a stage of a Dockerfile, and what the
// flags of docker build say of it.
type Dockerfile struct {
	home *Evaluator // of the module that calls dockerfile(), where several are in play

	Path     string // in the module; "" when Text is the file
	Text     string
	Target   string // "" is the last stage
	Args     map[string]string
	Context  *Value // nil is context.default
	Contexts map[string]*Value
	Labels   []ir.KV            // by key
	Platform *ocispecs.Platform // nil is the target's
	Secrets  map[string]*Value  // by the Dockerfile's id
	SSH      map[string]*Value  // by the Dockerfile's id
	Network  ir.NetMode         // "" leaves it to the target
	Hosts    cty.Value          // cty.NilVal for none
	Ulimits  cty.Value          // cty.NilVal for none
	NoCache  []string           // stages; case does not count
	NoCaches bool               // all of them
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
	// Names are the names of the Dockerfile's stages, in its order, "" for none, and
	// Addrs what they are called in HCL, "" for one that the target does not need.
	Names, Addrs []string
	// TargetStage is what TARGETSTAGE is when the stage is built by itself.
	TargetStage string
}

// ImportFunc writes a Dockerfile as HCL. The compiler gives the importer's, which
// itself needs this package.
type ImportFunc func(src []byte, req DockerfileRequest) (*ImportedDockerfile, hcl.Diagnostics)

// dockerfileOptions are the options of dockerfile().
var dockerfileOptions = []string{"target", "args", "context", "contexts", "labels", "platform", "secrets", "ssh", "network", "hosts", "ulimits", "no_cache"}

var dockerfileFunc = buildFunc([]function.Parameter{{Name: "path", Type: cty.DynamicPseudoType}}, func(args []cty.Value) (*Value, error) {
	d := &Dockerfile{Args: map[string]string{}}
	if err := d.file(args[0]); err != nil {
		return nil, err
	}
	o, err := readOptions(args, 1, "dockerfile", dockerfileOptions...)
	if err != nil {
		return nil, err
	}
	for _, read := range []func(options) error{d.readStrings, d.readBuildArgs, d.readContexts, d.readSupplied, d.readNoCache} {
		if err := read(o); err != nil {
			return nil, err
		}
	}
	d.Hosts, d.Ulimits = o["hosts"], o["ulimits"]
	return &Value{Kind: KindDockerfile, Dockerfile: d}, nil
})

// readStrings reads target, platform and network.
func (d *Dockerfile) readStrings(o options) (err error) {
	if d.Target, err = o.str("target"); err != nil {
		return err
	}
	platform := &Image{}
	if err := readPlatform(o, platform); err != nil {
		return err
	}
	d.Platform = platform.Platform
	mode, err := o.str("network")
	if err != nil {
		return err
	}
	if mode != "" && !slices.Contains(networks, mode) {
		return &codedError{diag.BadNetwork, fmt.Sprintf("%q is no network", mode), "It is one of " + diag.List(networks, 3) + "." + diag.DidYouMean(mode, networks)}
	}
	d.Network = ir.NetMode(mode)
	return nil
}

// readBuildArgs reads args and labels.
func (d *Dockerfile) readBuildArgs(o options) error {
	args, err := o.strings("args")
	if err != nil {
		return err
	}
	for _, kv := range args {
		d.Args[kv.Key] = kv.Value
	}
	d.Labels, err = o.strings("labels")
	return err
}

// strings reads a map of strings, by key; what is null is not there.
func (o options) strings(name string) (out []ir.KV, err error) {
	v, ok := o[name]
	if !ok {
		return nil, nil
	}
	m, err := convert.Convert(v, cty.Map(cty.String))
	if err != nil || v.Type() == Type {
		return nil, &codedError{diag.WrongType, name + " takes a map of strings", "It is " + describe(v) + "."}
	}
	for e := m.ElementIterator(); e.Next(); {
		if k, val := e.Element(); !val.IsNull() {
			out = append(out, ir.KV{Key: k.AsString(), Value: val.AsString()})
		}
	}
	return out, nil
}

// replacements are the kinds that may stand for a stage or an image of a
// Dockerfile.
var replacements = []Kind{kStage, KindImage, KindScratch, kContext, KindGit, KindHTTP, KindMerge, KindDiff, KindDockerfile}

// readContexts reads context and contexts.
func (d *Dockerfile) readContexts(o options) (err error) {
	if v, ok := o["context"]; ok {
		if d.Context = FromCty(v); d.Context == nil || d.Context.Kind != kContext && !d.Context.isRepository() {
			return &codedError{diag.WrongKind, "context takes a context", "It is " + describe(v) + "; write context.NAME, or git() with an address that says all."}
		}
	}
	d.Contexts, err = o.values("contexts", func(v *Value) string { return "" }, replacements...)
	return err
}

// readSupplied reads secrets and ssh.
func (d *Dockerfile) readSupplied(o options) (err error) {
	id := func(v *Value) string { return v.Inst.Name() }
	if d.Secrets, err = o.values("secrets", id, kSecret); err != nil {
		return err
	}
	d.SSH, err = o.values("ssh", id, kSSH)
	return err
}

// values reads a map of build values. A list of them is one by the names that id
// gives; one whose name is "" cannot stand in a list.
func (o options) values(name string, id func(*Value) string, kinds ...Kind) (map[string]*Value, error) {
	v, ok := o[name]
	if !ok {
		return nil, nil
	}
	t := v.Type()
	keyed := t.IsObjectType() || t.IsMapType()
	if !keyed && !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
		return nil, &codedError{diag.WrongType, name + " takes a map of names to values", "It is " + describe(v) + "."}
	}
	out := map[string]*Value{}
	for e := v.ElementIterator(); e.Next(); {
		k, el := e.Element()
		if el.IsNull() {
			continue
		}
		val := FromCty(el)
		if val == nil || !slices.Contains(kinds, val.Kind) {
			return nil, &codedError{diag.WrongKind, fmt.Sprintf("%s takes %s", name, kindList(kinds)), fmt.Sprintf("One of them is %s.", describe(el))}
		}
		key := id(val)
		if keyed {
			key = k.AsString()
		}
		if key == "" {
			return nil, &codedError{diag.WrongType, name + " takes a map of names to values", "The names are those of the Dockerfile: " + name + " = { NAME = … }."}
		}
		out[key] = val
	}
	return out, nil
}

// readNoCache reads no_cache: true, or the names of stages.
func (d *Dockerfile) readNoCache(o options) error {
	v, ok := o["no_cache"]
	if !ok {
		return nil
	}
	if all, err := convert.Convert(v, cty.Bool); err == nil {
		d.NoCaches = all.True()
		return nil
	}
	list, err := convert.Convert(v, cty.Set(cty.String))
	if err != nil || v.Type() == Type {
		return &codedError{diag.WrongType, "no_cache takes true, or names of stages", "It is " + describe(v) + "."}
	}
	for e := list.ElementIterator(); e.Next(); {
		if _, el := e.Element(); !el.IsNull() {
			d.NoCache = append(d.NoCache, el.AsString())
		}
	}
	return nil
}

// identity is what makes two Dockerfiles in place the same.
func (d *Dockerfile) identity() string {
	of := func(values map[string]*Value) (out []string) {
		for _, k := range slices.Sorted(maps.Keys(values)) {
			out = append(out, k+"="+values[k].identity())
		}
		return out
	}
	from := ""
	if d.Context != nil {
		from = d.Context.identity()
	}
	dir := ""
	if d.home != nil {
		dir = d.home.mod.Dir
	}
	return fmt.Sprintf("dockerfile %q %q %q %q %q %s %q %q %v %q %q %s %#v %#v %q %v", dir, d.Path, d.Text, d.Target, d.Args, from,
		of(d.Contexts), d.Labels, platformKey(d.Platform), of(d.Secrets), of(d.SSH), d.Network, d.Hosts, d.Ulimits, d.NoCache, d.NoCaches)
}

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
