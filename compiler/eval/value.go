package eval

import (
	"fmt"
	"reflect"
	"strings"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
)

// Kind is a kind of build value: a declaration's, or one that a function makes.
type Kind string

// The kinds that are no declarations.
const (
	KindImage   Kind = "image"
	KindScratch Kind = "scratch"
	KindText    Kind = "text"
	KindTmpfs   Kind = "tmpfs"
	KindMount   Kind = "mount"
	KindGit     Kind = "git"
	KindHTTP    Kind = "http"
	KindMerge   Kind = "merge"
	KindDiff    Kind = "diff"
	KindOutput  Kind = "output"

	KindDockerfile Kind = "dockerfile"
)

// Value is a build value: something to build with, which no string can be. All
// kinds have one HCL type, so that conditionals, lists and maps may mix them; the
// place where a value ends says which kinds it takes.
type Value struct {
	Kind   Kind
	Inst   *Instance // of a declaration
	Image  *Image
	Text   *ir.Text
	Size   int64 // tmpfs: bytes
	Mount  *MountOptions
	Remote *Remote
	Parts  []*Value // merge, diff
	Output string

	Dockerfile *Dockerfile
}

// Remote is what git() and http() make.
type Remote struct {
	URL        string // as ADD takes it; expands
	Checksum   string
	KeepGitDir *bool
	Filename   string // http: the file's name; "" for the address's own
}

// Image is what image() makes.
type Image struct {
	Ref      string
	Layout   string // oci_layout(): where it is, oci-layout://DIR[:TAG][@DIGEST]; Ref is DIR
	Platform *ocispecs.Platform
	Auto     string // see ir.Platform
}

// MountOptions is what mount() makes: a value and how to mount it.
type MountOptions struct {
	Of       *Value
	Source   string
	Writable *bool
	Mode     string
	UID, GID string
	Sharing  string
	Size     int64
	Required *bool
}

// Type is the HCL type of build values. Two are equal when they are described
// alike, so that sets of them have one order on every run.
var Type = cty.CapsuleWithOps("build value", reflect.TypeOf(Value{}), &cty.CapsuleOps{
	HashKey:   func(v any) string { return v.(*Value).identity() },
	RawEquals: func(a, b any) bool { return a.(*Value).identity() == b.(*Value).identity() },
	Equals:    func(a, b any) cty.Value { return cty.BoolVal(a.(*Value).identity() == b.(*Value).identity()) },
})

// identity is what makes two values the same.
func (v *Value) identity() string {
	switch {
	case v.Inst != nil:
		return v.Inst.Addr
	case v.Image != nil:
		return fmt.Sprintf("image %s %s %v", v.Image.Ref, v.Image.Layout, v.Image.Platform)
	case v.Text != nil:
		return fmt.Sprintf("text %+v", *v.Text)
	case v.Remote != nil:
		return fmt.Sprintf("%s %+v", v.Kind, *v.Remote)
	case v.Dockerfile != nil:
		return v.Dockerfile.identity()
	case v.Mount != nil:
		return fmt.Sprintf("mount %s %+v", v.Mount.Of.identity(), *v.Mount)
	}
	id := fmt.Sprint(v.Kind, v.Size, v.Output)
	for _, p := range v.Parts {
		id += " (" + p.identity() + ")"
	}
	return id
}

// Null is no build value.
var Null = cty.NullVal(Type)

// Of wraps v.
func Of(v *Value) cty.Value { return cty.CapsuleVal(Type, v) }

// FromCty unwraps a build value; nil when v is none.
func FromCty(v cty.Value) *Value {
	if v.Type() != Type || v.IsNull() || !v.IsKnown() {
		return nil
	}
	return v.EncapsulatedValue().(*Value)
}

// Describe names v in a message: "stage.build", "an image".
func (v *Value) Describe() string {
	switch {
	case v.Inst != nil:
		return v.Inst.Addr
	case v.Kind == KindImage && v.Image.Layout != "":
		return fmt.Sprintf("oci_layout(%q)", v.Image.Ref)
	case v.Kind == KindImage:
		return fmt.Sprintf("image(%q)", v.Image.Ref)
	case v.Remote != nil:
		return fmt.Sprintf("%s(%q)", v.Kind, v.Remote.URL)
	case v.Kind == KindDockerfile && v.Dockerfile.Path != "":
		return fmt.Sprintf("dockerfile(%q)", v.Dockerfile.Path)
	case v.Kind == KindMount:
		return "mount(" + v.Mount.Of.Describe() + ")"
	case v.Kind == KindScratch:
		return "scratch"
	}
	return string(v.Kind) + "()"
}

// Instance is one of what a declaration stands for: the only one, or one of its
// for_each or matrix.
type Instance struct {
	Node   lang.Node
	Key    string // "" for the only one
	Keyed  bool
	Addr   string // `stage.svc["api"]`
	each   cty.Value
	key    cty.Value
	matrix cty.Value

	value  cty.Value  // the capsule of the instance
	owner  *Evaluator // of the module that declares it
	stages map[string]*ir.Stage
	memo   any // what the instance evaluates to, where that is the same for all platforms
	ahead  any // what the instance is for other modules, if that was evaluated before they are

	// Of a module block: where its module is, and the evaluator of that, once asked.
	dir    string
	called *Evaluator
	loaded bool
}

// Evaluator evaluates the instance: that of the module which declares it.
func (i *Instance) Evaluator() *Evaluator { return i.owner }

// Attr is the value of an attribute of the instance's block, for views.
func (i *Instance) Attr(a *lang.Attr) cty.Value { return i.owner.value(a.Expr, i.scope(nil)) }

// Path is [Instance.Name] as the command line says it from the root: "prod",
// "svc.api/prod".
func (i *Instance) Path() string { return i.owner.At(i.Name()) }

// Name is the address without its kind and its module: "build", "svc.api",
// `svc["a/b"]`.
func (i *Instance) Name() string {
	if i.Keyed && strings.ContainsAny(i.Key, `/[]"`) {
		return fmt.Sprintf("%s[%q]", i.Node.Base().Name, i.Key)
	}
	if i.Keyed {
		return i.Node.Base().Name + "." + i.Key
	}
	return i.Node.Base().Name
}
