package eval

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
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

// givenName takes the platform off a name of --context: NAME::linux/arm64 is for
// what is built for that platform, before what NAME alone gives.
func givenName(s string) (name, platform string) {
	if i := strings.LastIndex(s, "::"); i > 0 {
		if p, err := platforms.Parse(s[i+2:]); err == nil && strings.Contains(s[i+2:], "/") {
			return s[:i], platforms.FormatAll(platforms.Normalize(p))
		}
	}
	return s, ""
}

// callerGives finds what the caller gives for a platform under the first name that
// fits. The key tells it from what other platforms get.
func (ev *Evaluator) callerGives(fits func(name string) bool, p *ocispecs.Platform) (key, value string, ok bool) {
	for _, flag := range slices.Sorted(maps.Keys(ev.opt.Contexts)) {
		name, platform := givenName(flag)
		if !fits(name) {
			continue
		}
		if platform != "" && platform == platforms.FormatAll(platforms.Normalize(ev.target(p))) {
			return "::" + platform, ev.opt.Contexts[flag], true
		}
		if platform == "" {
			value, ok = ev.opt.Contexts[flag], true
		}
	}
	return "", value, ok
}

// givenByPlatform reports whether the caller gives something for one platform:
// then every stage is evaluated for each.
func (ev *tree) givenByPlatform() bool {
	for flag := range ev.opt.Contexts {
		if _, p := givenName(flag); p != "" {
			return true
		}
	}
	return false
}

// givenStage is the context that replaces a stage; nil when none does.
func (ev *Evaluator) givenStage(inst *Instance, st *ir.Stage, p *ocispecs.Platform) *ir.Context {
	key, value, ok := ev.callerGives(func(name string) bool {
		if ev.call != nil && name == inst.Path() {
			ev.usedGiven[name] = true
			return true
		}
		return strings.EqualFold(name, st.Name) && ev.contextNamed(name) == nil
	}, p)
	if !ok {
		return nil
	}
	return ev.implicit(st.Name, value, st.Addr+key)
}

// givenImage is the context that replaces an image for a platform; nil when none
// does.
func (ev *Evaluator) givenImage(img *Image, p *ocispecs.Platform) *ir.Context {
	if img.Platform != nil {
		p = img.Platform
	}
	own := familiar(img.Ref)
	if img.Layout != "" {
		own = LayoutContext(img.Ref)
	} else if len(ev.opt.Contexts) == 0 {
		return nil
	}
	key, value, ok := ev.callerGives(func(name string) bool {
		fits := (familiar(name) == own || img.Layout != "" && name == img.Ref) && ev.contextNamed(name) == nil
		if fits {
			ev.usedGiven[name] = true
		}
		return fits
	}, p)
	switch {
	case ok:
		return ev.implicit(own, value, "image "+img.Ref+key)
	case img.Layout != "":
		return ev.implicit(own, img.Layout, img.Layout)
	}
	return nil
}

// LayoutContext is the name of the context that oci_layout() of a directory is: in
// a Dockerfile, and for a caller who gives it.
func LayoutContext(dir string) string {
	return "layout-" + layoutName.ReplaceAllString(strings.ToLower(path.Base(dir)), "-")
}

// contextFor is a context as what is built for a platform reads it.
func (ev *Evaluator) contextFor(inst *Instance, p *ocispecs.Platform) *ir.Context {
	key, value, ok := ev.callerGives(func(name string) bool { return name == inst.Path() }, p)
	if !ok || key == "" {
		return ev.localContext(inst)
	}
	ev.usedGiven[inst.Path()] = true
	c := ev.implicit(ev.contextName(inst)+dockerName(strings.ReplaceAll(key, "/", "-")), value, inst.Addr+key)
	c.Range = inst.Node.Base().Range
	return c
}

var layoutName = regexp.MustCompile(`[^a-z0-9]+`)

// contextNamed is the context block that a name of --context names.
func (ev *Evaluator) contextNamed(name string) lang.Node {
	base, _, _ := strings.Cut(name, ".")
	return ev.mod.Lookup(lang.KindContext, base)
}

// implicit makes a context that no block declares, once for each key.
func (ev *Evaluator) implicit(name, value, key string) *ir.Context {
	made := &ir.Context{}
	put(made, value)
	c, _ := ev.implicitOnce(key, made)
	ev.inOrder(func() {
		if c.Name != "" {
			return
		}
		try := name
		for n := 2; ev.implicitName(try); n++ {
			try = fmt.Sprintf("%s-%d", name, n)
		}
		c.Name = try
	})
	return c
}

// implicitOnce returns the context that a key stands for: made, if it is the first.
func (ev *tree) implicitOnce(key string, made *ir.Context) (c *ir.Context, first bool) {
	ev.mu.Lock()
	defer ev.mu.Unlock()
	if c := ev.implicits[key]; c != nil {
		return c, false
	}
	ev.implicits[key] = made
	return made, true
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
	for _, flag := range slices.Sorted(maps.Keys(ev.opt.Contexts)) {
		name, _ := givenName(flag)
		stage := false
		for _, n := range ev.mod.Decls {
			if n.Base().Kind == lang.KindStage {
				for _, inst := range ev.instances(n).list {
					stage = stage || strings.EqualFold(ev.stageName(inst), name)
				}
			}
		}
		if ev.contextNamed(name) == nil && !stage && !ev.usedGiven[name] {
			out = append(out, flag)
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
