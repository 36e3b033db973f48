package eval

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
)

// All evaluates every declaration, so that every mistake shows, whether or not
// a target reaches it.
func (ev *Evaluator) All() {
	ev.Prefetch(ev.mod.Order...)
	for _, n := range ev.mod.Order {
		switch n := n.(type) {
		case *lang.Variable:
			ev.variable(n)
		case *lang.Local:
			ev.local(n, nil)
		case *lang.Output:
			ev.Output(n)
		case *lang.Target, *lang.Test:
			for _, i := range ev.instances(n).list {
				ev.Target(i, nil)
			}
		}
	}
	var calls []*Instance
	for _, n := range ev.mod.Order {
		if n.Base().Kind == lang.KindModule {
			calls = append(calls, ev.instances(n).list...)
			continue
		}
		for _, i := range ev.instancesOf(n) {
			ev.instance(i)
		}
	}
	ev.allCalled(calls)
}

// instancesOf returns the instances of what has instances.
func (ev *Evaluator) instancesOf(n lang.Node) []*Instance {
	switch n.(type) {
	case *lang.Variable, *lang.Local, *lang.Function, *lang.Output:
		return nil
	}
	return ev.instances(n).list
}

// instance evaluates one instance for the default platform, unless a target has
// asked for it already.
func (ev *Evaluator) instance(i *Instance) {
	switch n := i.Node.(type) {
	case *lang.Stage:
		if len(i.stages) == 0 {
			ev.stage(i, nil)
		}
	case *lang.Artifact:
		ev.artifact(i, nil)
	case *lang.Context:
		ev.localContext(i)
	case *lang.Cache:
		ev.cache(i, &scope{})
	case *lang.Secret:
		ev.secret(i)
	case *lang.SSH:
		ev.ssh(i)
	case *lang.Group:
		ev.Group(i)
	case *lang.Target, *lang.Test:
		ev.Target(i, nil)
	default:
		_ = n
	}
}

// Instances returns what a declaration stands for, disabled ones left out.
func (ev *Evaluator) Instances(n lang.Node) []*Instance { return ev.instancesOf(n) }

// StageTarget is a target that builds a stage and does nothing with it.
func (ev *Evaluator) StageTarget(i *Instance, plats []ocispecs.Platform) *ir.Target {
	if i.owner != ev {
		return i.owner.StageTarget(i, plats)
	}
	t := ev.newTarget(i, ev.At("stage."+i.Name()))
	t.Comment = nil
	for _, p := range orDefault(plats) {
		t.Builds = append(t.Builds, &ir.Build{Platform: p, Image: ev.stage(i, p)})
	}
	return t
}

// ArtifactTarget is a target that builds an artifact alone, in an empty image.
func (ev *Evaluator) ArtifactTarget(i *Instance, plats []ocispecs.Platform) *ir.Target {
	if i.owner != ev {
		return i.owner.ArtifactTarget(i, plats)
	}
	t := ev.newTarget(i, ev.At("artifact."+i.Name()))
	t.Comment = nil
	for _, p := range orDefault(plats) {
		a := ev.artifact(i, p)
		if a == nil {
			continue
		}
		dest := "/"
		if !a.dir {
			dest = "/" + path.Base(a.path)
		}
		src, _ := ir.Quote(a.path)
		st := &ir.Stage{Addr: i.Addr, Root: ir.ScratchRoot{}, Range: t.Range,
			Steps: []ir.Step{&ir.Copy{StepMeta: ir.StepMeta{Range: t.Range}, From: a.from, Src: []ir.Word{src}, Dest: ir.Literal(dest)}}}
		ev.inOrder(func() { st.Name = ev.uniqueName(dockerName(i.Name())+"-artifact", i.Addr) })
		t.Builds = append(t.Builds, &ir.Build{Platform: p, Image: st})
	}
	return t
}

func orDefault(plats []ocispecs.Platform) []*ocispecs.Platform {
	if len(plats) == 0 {
		return []*ocispecs.Platform{nil}
	}
	out := make([]*ocispecs.Platform, len(plats))
	for i := range plats {
		out[i] = &plats[i]
	}
	return out
}

// Expression evaluates an expression of the command line in the module's scope
// and renders it as HCL; build values are shown by their addresses.
func (ev *Evaluator) Expression(e hclsyntax.Expression) (cty.Value, hcl.Diagnostics) {
	before := len(ev.diags)
	v := ev.value(e, &scope{})
	return v, ev.diags[before:]
}

// Render writes a value as HCL text.
func Render(v cty.Value) string {
	var b strings.Builder
	render(&b, v, "")
	return b.String()
}

func render(b *strings.Builder, v cty.Value, indent string) {
	if v.IsMarked() {
		b.WriteString("(sensitive)")
		return
	}
	if bv := FromCty(v); bv != nil {
		b.WriteString(bv.Describe())
		return
	}
	switch t := v.Type(); {
	case !v.IsKnown():
		b.WriteString("(unknown)")
	case v.IsNull():
		b.WriteString("null")
	case t == cty.String:
		fmt.Fprintf(b, "%q", v.AsString())
	case t == cty.Number:
		b.WriteString(v.AsBigFloat().Text('f', -1))
	case t == cty.Bool:
		fmt.Fprint(b, v.True())
	case t.IsObjectType() || t.IsMapType():
		if v.LengthInt() == 0 {
			b.WriteString("{}")
			return
		}
		b.WriteString("{\n")
		for it := v.ElementIterator(); it.Next(); {
			k, el := it.Element()
			key := k.AsString()
			if !hclsyntax.ValidIdentifier(key) {
				key = fmt.Sprintf("%q", key)
			}
			b.WriteString(indent + "  " + key + " = ")
			render(b, el, indent+"  ")
			b.WriteString("\n")
		}
		b.WriteString(indent + "}")
	default:
		if v.LengthInt() == 0 {
			b.WriteString("[]")
			return
		}
		b.WriteString("[\n")
		for it := v.ElementIterator(); it.Next(); {
			_, el := it.Element()
			b.WriteString(indent + "  ")
			render(b, el, indent+"  ")
			b.WriteString(",\n")
		}
		b.WriteString(indent + "]")
	}
}

// Stages returns every stage that was evaluated, all variants of each, and those
// of tests, in source order, callers first.
func (ev *Evaluator) Stages() []*ir.Stage {
	var out []*ir.Stage
	for _, m := range ev.Everyone() {
		for _, n := range m.mod.Decls {
			switch n.(type) {
			case *lang.Stage, *lang.Test:
			default:
				continue
			}
			for _, i := range m.instances(n).list {
				for _, key := range slices.Sorted(maps.Keys(i.stages)) {
					out = append(out, i.stages[key])
				}
			}
		}
	}
	return out
}
