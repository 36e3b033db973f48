package eval

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// A caller's --context gives something under a name. As with docker build's
// --build-context, the name is one of three things, and the first that fits is
// replaced: a context, a stage, every image() of the name. Contexts and stages
// share a namespace, so no name is two of them.

// put writes what the caller gives into a context: a directory, or an address of
// another kind.
func put(c *ir.Context, value string) {
	if strings.Contains(value, "://") || value == "-" || strings.HasPrefix(value, "git@") {
		c.Path, c.Given = "", value
		return
	}
	c.Path = value
}

// givenStage is the context that replaces a stage; nil when none does.
func (ev *Evaluator) givenStage(st *ir.Stage) *ir.Context {
	for name, value := range ev.opt.Contexts {
		if strings.EqualFold(name, st.Name) && ev.contextNamed(name) == nil {
			return ev.implicit(st.Name, value, st.Addr)
		}
	}
	return nil
}

// givenImage is the context that replaces an image; nil when none does.
func (ev *Evaluator) givenImage(img *Image) *ir.Context {
	if img.Layout != "" {
		return ev.implicit("layout-"+layoutName.ReplaceAllString(strings.ToLower(path.Base(img.Ref)), "-"), img.Layout, img.Layout)
	}
	if len(ev.opt.Contexts) == 0 {
		return nil
	}
	for name, value := range ev.opt.Contexts {
		if ev.contextNamed(name) == nil && familiar(name) == familiar(img.Ref) {
			ev.usedGiven[name] = true
			return ev.implicit(familiar(name), value, "image "+familiar(name))
		}
	}
	return nil
}

var layoutName = regexp.MustCompile(`[^a-z0-9]+`)

// contextNamed is the context block that a name of --context names.
func (ev *Evaluator) contextNamed(name string) lang.Node {
	base, _, _ := strings.Cut(name, ".")
	return ev.mod.Lookup(lang.KindContext, base)
}

// implicit makes a context that no block declares, once for each key.
func (ev *tree) implicit(name, value, key string) *ir.Context {
	if c := ev.implicits[key]; c != nil {
		return c
	}
	c := &ir.Context{Name: name}
	for n := 2; ev.implicitName(c.Name); n++ {
		c.Name = fmt.Sprintf("%s-%d", name, n)
	}
	put(c, value)
	ev.implicits[key] = c
	return c
}

func (ev *tree) implicitName(name string) bool {
	for _, c := range ev.implicits {
		if c.Name == name {
			return true
		}
	}
	return false
}

// UnusedContexts are the names that the caller gives something for, and that
// nothing that was evaluated so far has.
func (ev *Evaluator) UnusedContexts() (out []string) {
	for _, name := range slices.Sorted(maps.Keys(ev.opt.Contexts)) {
		stage := false
		for _, n := range ev.mod.Decls {
			if n.Base().Kind == lang.KindStage {
				for _, inst := range ev.instances(n).list {
					stage = stage || strings.EqualFold(ev.stageName(inst), name)
				}
			}
		}
		if ev.contextNamed(name) == nil && !stage && !ev.usedGiven[name] {
			out = append(out, name)
		}
	}
	return out
}

// familiar is the form in which BuildKit compares the names of images.
func familiar(ref string) string {
	n, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	return strings.TrimSuffix(reference.FamiliarString(n), ":latest")
}

var layoutFunc = buildFunc([]function.Parameter{{Name: "path", Type: cty.String}}, func(args []cty.Value) (*Value, error) {
	o, err := readOptions(args, 1, "oci_layout", "tag", "digest", "platform")
	if err != nil {
		return nil, err
	}
	dir := path.Clean(args[0].AsString())
	if args[0].AsString() == "" || path.IsAbs(dir) || dir == ".." || strings.HasPrefix(dir, "../") || strings.ContainsAny(dir, ":@") {
		return nil, &codedError{diag.BadPath, fmt.Sprintf("%q is no path of an OCI layout", args[0].AsString()), "It is a directory of the module, without : and @ in its name. A caller may use one from elsewhere in place of an image: --context NAME=oci-layout://DIR."}
	}
	tag, err := o.str("tag")
	if err != nil {
		return nil, err
	}
	if tag != "" && reference.TagRegexp.FindString(tag) != tag {
		return nil, &codedError{diag.BadTag, fmt.Sprintf("%q is no tag", tag), "A tag has letters, digits, _, . and -, and at most 128 of them."}
	}
	dgst, err := o.str("digest")
	if err != nil {
		return nil, err
	}
	img := &Image{Ref: dir, Layout: "oci-layout://" + dir}
	if tag != "" {
		img.Layout += ":" + tag
	}
	if dgst != "" {
		if _, err := digest.Parse(dgst); err != nil {
			return nil, &codedError{diag.BadAddress, fmt.Sprintf("%q is no digest", dgst), "A digest is algorithm:hexadecimal, such as sha256:…"}
		}
		img.Layout += "@" + dgst
	}
	return &Value{Kind: KindImage, Image: img}, readPlatform(o, img)
})

// readPlatform reads the option of the functions that make images.
func readPlatform(o options, img *Image) error {
	p, err := o.str("platform")
	if err != nil || p == "" {
		return err
	}
	spec, err := parsePlatform(p)
	if err != nil {
		return &codedError{code: diag.BadPlatform, summary: fmt.Sprintf("%q is no platform", p), detail: err.Error()}
	}
	img.Platform = &spec
	return nil
}
