package eval

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// epoch reads the source_date_epoch of a target: seconds, or a context or stage
// that has the time.
func (ev *Evaluator) epoch(it *item) (*int64, ir.Source) {
	if it.value().Type() != Type {
		if n, ok := ev.integer(it); ok {
			return &n, nil
		}
		return nil, nil
	}
	v := ev.build(it, kContext, kStage)
	if v == nil {
		return nil, nil
	}
	if v.Kind == kContext {
		if c := ev.localContext(v.Inst); c != nil {
			return nil, ir.ContextSource{Context: c}
		}
		return nil, nil
	}
	from, err := ev.epochStage(v.Inst)
	if err != nil {
		it.fail(diag.WrongKind, fmt.Sprintf("%s has no time", v.Describe()), epochStageDetail(err), declared(v)...)
	}
	return nil, from
}

func epochStageDetail(err error) string {
	return fmt.Sprintf("A stage that source_date_epoch names starts from scratch and copies one git() or http(), whose time it has; %v.", err)
}

// epochStage is a stage as what has the time. No platform is asked for: what is at
// an address is the same for all.
func (ev *Evaluator) epochStage(inst *Instance) (ir.Source, error) {
	st := ev.stage(inst, nil)
	if ev.failed() {
		return nil, nil // of the stage, perhaps; a second mistake about it helps nobody
	}
	if _, _, err := ir.EpochSource(st); err != nil {
		return nil, err
	}
	return ir.StageSource{Stage: st}, nil
}

// OverrideEpoch gives targets the time that the caller asks for (Options.Epoch).
func (ev *Evaluator) OverrideEpoch(targets []*ir.Target) {
	if ev.opt.Epoch == "" || len(targets) == 0 {
		return
	}
	var o ir.BuildOptions
	if sec, err := strconv.ParseInt(ev.opt.Epoch, 10, 64); err == nil {
		o.Epoch = &sec
	} else if o.EpochFrom = ev.epochNamed(ev.opt.Epoch); o.EpochFrom == nil {
		return
	}
	for _, t := range targets {
		t.Options.Override(o)
	}
}

// epochNamed finds what a caller's SOURCE_DATE_EPOCH names, in the order of
// BuildKit: the main context as "context", what the caller gives under the name,
// a context of the module, a stage by its name in a Dockerfile. Addresses work too.
func (ev *Evaluator) epochNamed(name string) ir.Source {
	context := func(c *ir.Context) ir.Source {
		if c == nil {
			return nil // reported
		}
		return ir.ContextSource{Context: c}
	}
	if name == "context" || name == "context.default" {
		return context(ev.DefaultContext())
	}
	short := strings.TrimPrefix(strings.TrimPrefix(name, "context."), "stage.")
	var names []string
	for _, n := range ev.mod.Decls {
		kind := n.Base().Kind
		if kind != lang.KindContext && kind != lang.KindStage {
			continue
		}
		for _, inst := range ev.Instances(n) {
			names = append(names, inst.Name())
			switch {
			case name != inst.Addr && short != inst.Name() && (kind != lang.KindStage || !strings.EqualFold(name, ev.stageName(inst))):
			case kind == lang.KindContext:
				return context(ev.localContext(inst))
			default:
				from, err := ev.epochStage(inst)
				if err != nil {
					ev.add(diag.Error(diag.WrongKind, n.Base().Range, fmt.Sprintf("%s has no time", inst.Addr), epochStageDetail(err)))
				}
				return from
			}
		}
	}
	if value, ok := ev.opt.Contexts[name]; ok {
		ev.usedGiven[name] = true
		return context(ev.implicit(name, value, "SOURCE_DATE_EPOCH"))
	}
	slices.Sort(names)
	ev.add(diag.Error(diag.BadFlag, hcl.Range{}, fmt.Sprintf("SOURCE_DATE_EPOCH is %q", name),
		fmt.Sprintf(`It is a number of seconds, "context" for the time of the build context, or the name of a context or a stage.%s There are: %s.`, diag.DidYouMean(name, names), diag.List(names, 20))))
	return nil
}
