package eval

import (
	"fmt"
	"slices"
	"sync"

	"github.com/distribution/reference"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/lang/funcs"
)

// Row is a function that makes build values, as the reference documents it.
type Row struct {
	Name, Signature, Doc string
	fn                   function.Function
}

// Rows are the functions that make build values.
func Rows() []Row {
	return []Row{
		{"diff", `diff(lower, upper)`, "What upper has and lower does not: the layers that were added. No Dockerfile can say it.", diffFunc},
		{"dockerfile", `dockerfile(path, { target, args, context, contexts, labels, platform, secrets, ssh, network, hosts, ulimits, no_cache }?)`, "A stage of a Dockerfile, the last one by default; dockerfile({ text = … }) has its text. The options are docker build's.", dockerfileFunc},
		{"git", `git(url, { ref, commit, subdir, keep_git_dir, submodules, fetch_by_commit }?)`, "A checkout of a git repository, at an address as ADD takes it.", gitFunc},
		{"http", `http(url, { checksum, filename }?)`, "A file at an http or https address; checksum is its digest.", httpFunc},
		{"image", `image(ref, { platform }?)`, "An image of a registry.", imageFunc},
		{"mount", `mount(value, { source, writable, mode, uid, gid, sharing, size, required })`, "A value to mount, with options.", mountFunc},
		{"oci_layout", `oci_layout(path, { tag, digest, platform }?)`, "An image of an OCI layout, a directory of the module; without a tag and a digest it is the only one there, or latest.", layoutFunc},
		{"output", `output(name)`, "A mount to write to; what a step leaves in it is an artifact with the same output. No Dockerfile can say it.", outputFunc},
		{"text", `text(content, { name, expand }?)`, "A file with a content; name is its name in the digest (EOF), expand replaces $NAME at build time.", textFunc},
		{"tmpfs", `tmpfs({ size }?)`, "A temporary file system in memory.", tmpfsFunc},
	}
}

// Builtins is what names a resolver may take for granted.
func Builtins() lang.Builtins {
	b := lang.Builtins{Functions: map[string]bool{}, PerPlatform: map[string]bool{"dockerfile": true}}
	for name := range Functions(funcs.Env{}) {
		b.Functions[name] = true
	}
	return b
}

// Functions is the whole table of built-in functions.
func Functions(env funcs.Env) map[string]function.Function {
	m := funcs.Map(env)
	for _, r := range buildRows() {
		m[r.Name] = r.fn
	}
	m["merge"] = mergeWith(m["merge"])
	return m
}

var buildRows = sync.OnceValue(Rows)

// options reads the optional last argument of a function: a closed object.
type options map[string]cty.Value

func readOptions(args []cty.Value, i int, fn string, known ...string) (options, error) {
	if len(args) <= i {
		return nil, nil
	}
	v := args[i]
	if len(args) > i+1 {
		return nil, function.NewArgErrorf(i+1, "%s() takes one object of options", fn)
	}
	if v.IsNull() {
		return nil, nil
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		return nil, function.NewArgErrorf(i, "the options of %s() are an object such as { %s = … }", fn, known[0])
	}
	out := options{}
	for e := v.ElementIterator(); e.Next(); {
		k, val := e.Element()
		if !slices.Contains(known, k.AsString()) {
			return nil, &codedError{code: diag.UnknownOption, summary: fmt.Sprintf("%s() has no option %q", fn, k.AsString()), detail: "It takes " + diag.List(known, 20) + "." + diag.DidYouMean(k.AsString(), known)}
		}
		if !val.IsNull() {
			out[k.AsString()] = val
		}
	}
	return out, nil
}

func (o options) str(name string) (string, error) {
	v, ok := o[name]
	if !ok {
		return "", nil
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil || v.Type() == Type {
		return "", &codedError{code: diag.WrongType, summary: fmt.Sprintf("%s takes a string", name), detail: "It is " + describe(v) + "."}
	}
	return s.AsString(), nil
}

func (o options) boolean(name string) (*bool, error) {
	v, ok := o[name]
	if !ok {
		return nil, nil
	}
	b, err := convert.Convert(v, cty.Bool)
	if err != nil {
		return nil, &codedError{code: diag.WrongType, summary: fmt.Sprintf("%s takes true or false", name), detail: "It is " + describe(v) + "."}
	}
	t := b.True()
	return &t, nil
}

// mode reads a string that looks like an octal number; a number is refused,
// because 0755 and 755 are the same number.
func (o options) mode(name string) (string, error) {
	v, ok := o[name]
	if ok && v.Type() == cty.Number {
		return "", &codedError{code: diag.BadChmod, summary: fmt.Sprintf("%s takes a string", name), detail: fmt.Sprintf("Write %s = %q, in quotes.", name, "0"+v.AsBigFloat().Text('f', -1))}
	}
	s, err := o.str(name)
	if err == nil && s != "" && checkChmod(s) != nil {
		return "", &codedError{code: diag.BadChmod, summary: fmt.Sprintf("%q is no mode", s), detail: checkChmod(s).Error()}
	}
	return s, err
}

func (o options) size(name string) (int64, error) {
	s, err := o.str(name)
	if err != nil || s == "" {
		return 0, err
	}
	n, err := parseSize(s)
	if err != nil {
		return 0, &codedError{code: diag.BadSize, summary: fmt.Sprintf("%q is no size", s), detail: err.Error()}
	}
	return n, nil
}

var optionsParam = &function.Parameter{Name: "options", Type: cty.DynamicPseudoType, AllowNull: true}

// buildFunc makes a function that gives a build value.
func buildFunc(params []function.Parameter, make func(args []cty.Value) (*Value, error)) function.Function {
	return function.New(&function.Spec{
		Params: params, VarParam: optionsParam,
		Type: function.StaticReturnType(Type),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			for _, a := range args {
				if !a.IsWhollyKnown() {
					return cty.UnknownVal(Type), nil
				}
			}
			v, err := make(args)
			if err != nil {
				return cty.NilVal, err
			}
			return Of(v), nil
		},
	})
}

var imageFunc = buildFunc([]function.Parameter{{Name: "ref", Type: cty.DynamicPseudoType}}, func(args []cty.Value) (*Value, error) {
	if args[0].Type() != cty.String {
		return nil, &codedError{code: diag.BadImageRef, summary: "image() takes a reference", detail: "It is a string such as \"golang:1.26\", not " + describe(args[0]) + "."}
	}
	ref := args[0].AsString()
	if ref == "scratch" {
		return &Value{Kind: KindScratch}, nil
	}
	if err := checkImageRef(ref); err != nil {
		return nil, &codedError{code: diag.BadImageRef, summary: fmt.Sprintf("%q is no image reference", ref), detail: err.Error()}
	}
	o, err := readOptions(args, 1, "image", "platform")
	if err != nil {
		return nil, err
	}
	img := &Image{Ref: ref}
	return &Value{Kind: KindImage, Image: img}, readPlatform(o, img)
})

func checkImageRef(ref string) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("%v. A reference is [registry/]name[:tag][@digest] in lower case", err)
	}
	_ = named
	return nil
}

var textFunc = buildFunc([]function.Parameter{{Name: "content", Type: cty.String}}, func(args []cty.Value) (*Value, error) {
	o, err := readOptions(args, 1, "text", "name", "expand")
	if err != nil {
		return nil, err
	}
	t := &ir.Text{Name: "EOF", Data: args[0].AsString()}
	if n, err := o.str("name"); err != nil {
		return nil, err
	} else if n != "" {
		t.Name = n
	}
	if err := checkTextName(t.Name); err != nil {
		return nil, &codedError{code: diag.BadPath, summary: fmt.Sprintf("%q is no name for a text", t.Name), detail: err.Error()}
	}
	b, err := o.boolean("expand")
	if err != nil {
		return nil, err
	}
	t.Expand = b != nil && *b
	return &Value{Kind: KindText, Text: t}, nil
})

var tmpfsFunc = buildFunc(nil, func(args []cty.Value) (*Value, error) {
	o, err := readOptions(args, 0, "tmpfs", "size")
	if err != nil {
		return nil, err
	}
	n, err := o.size("size")
	if err != nil {
		return nil, err
	}
	return &Value{Kind: KindTmpfs, Size: n}, nil
})

var mountFunc = buildFunc([]function.Parameter{{Name: "value", Type: Type}}, func(args []cty.Value) (*Value, error) {
	of := FromCty(args[0])
	o, err := readOptions(args, 1, "mount", "source", "writable", "mode", "uid", "gid", "sharing", "size", "required")
	if err != nil {
		return nil, err
	}
	if of.Kind == KindMount {
		return nil, function.NewArgErrorf(0, "the value is a mount() already")
	}
	m := &MountOptions{Of: of}
	var errs [8]error
	m.Source, errs[0] = o.str("source")
	m.Writable, errs[1] = o.boolean("writable")
	m.Mode, errs[2] = o.mode("mode")
	m.UID, errs[3] = o.str("uid")
	m.GID, errs[4] = o.str("gid")
	m.Sharing, errs[5] = o.str("sharing")
	m.Size, errs[6] = o.size("size")
	m.Required, errs[7] = o.boolean("required")
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if m.Sharing != "" && !slices.Contains(sharings, m.Sharing) {
		return nil, &codedError{code: diag.BadSharing, summary: fmt.Sprintf("%q is no sharing mode", m.Sharing), detail: "It is one of " + diag.List(sharings, 3) + "." + diag.DidYouMean(m.Sharing, sharings)}
	}
	return &Value{Kind: KindMount, Mount: m}, nil
})
