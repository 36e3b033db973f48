package llb

import (
	"context"
	"slices"
	"strconv"
	"strings"

	bk "github.com/moby/buildkit/client/llb"

	"github.com/hbuild/hbuild/compiler/ir"
)

// contextScan is the name that a scanner has of the build context.
const contextScan = "context"

// extras are what an SBOM covers besides the image: stages that it was made from
// where BUILDKIT_SBOM_SCAN_STAGE is set for them, and the main context where
// BUILDKIT_SBOM_SCAN_CONTEXT is for the stage itself. fresh says that one of them,
// or the stage, does without its cache.
func (l *lowerer) extras(b *build, s *stage) (out map[string]bk.State, fresh bool) {
	out, fresh = map[string]bk.State{}, b.NoCache || b.Stage.NoCache
	if s.scans(b, argScanContext) {
		w := &lowering{l: l, b: b, s: s}
		out[contextScan] = w.contextState(l.defaultContext(b), nil, nil)
	}
	for _, st := range ir.Reach(b.Stage) {
		made := b.scope.stages[stageKey{st, b.key}]
		if st != b.Stage && made != nil && made.scans(b, argScanStage) {
			out[st.Name] = made.state
			fresh = fresh || st.NoCache
		}
	}
	return out, fresh
}

// scans reports what one of the two arguments says of a stage: what the caller set
// for all, and what the stage, or one that it is built on, declares.
func (s *stage) scans(b *build, name string) bool {
	on := false
	if v, ok := b.args[name]; ok {
		on = enabledFor(s.ir, v)
	}
	for _, a := range s.args {
		if a.key == name && a.set {
			on = enabledFor(s.ir, a.value)
		}
	}
	return on
}

// enabledFor reads a value: a boolean for all stages, or a list of their names.
func enabledFor(s *ir.Stage, v string) bool {
	if on, err := strconv.ParseBool(v); err == nil {
		return on
	}
	names := strings.Split(v, ",")
	return slices.Contains(names, s.Name) || slices.Contains(names, s.Addr)
}

// ExtraDefinitions marshals the file systems of [Result.Extras].
func (r *Result) ExtraDefinitions(ctx context.Context) (map[string]*bk.Definition, error) {
	out := map[string]*bk.Definition{}
	for name, st := range r.Extras {
		def, err := st.Marshal(ctx, bk.LocalUniqueID("hbuild"))
		if err != nil {
			return nil, err
		}
		out[name] = def
	}
	return out, nil
}
