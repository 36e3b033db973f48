package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
	"github.com/hbuild/hbuild/llb/engine"
	"github.com/hbuild/hbuild/llb/solve"
)

// Failure describes an error of [Run] on a graph as diagnostics, each at the line
// of the build file that it belongs to. Jobs that were only skipped have no
// diagnostic of their own, and what several jobs report alike is said once.
func Failure(err error, g *ir.Graph) hcl.Diagnostics { return FailureOf(nil, err, g) }

// FailureOf is [Failure] that also says what was not done because of each failure,
// by the result that came with the error.
func FailureOf(res *solve.Result, err error, g *ir.Graph) hcl.Diagnostics {
	var out hcl.Diagnostics
	for _, e := range alike(flatten(err)) {
		var lowering *DiagnosticsError
		switch {
		case errors.Is(e, solve.ErrSkipped), errors.Is(e, context.Canceled):
		case errors.As(e, &lowering):
			out = append(out, lowering.described()...)
		default:
			d := describe(e, g)
			if names := stoppedBy(e, res); len(names) > 0 {
				d.Detail += "\n\nNot done because of it: " + diag.List(names, 12) + "."
			}
			out = append(out, d)
		}
	}
	return diag.Sort(out)
}

// stoppedBy are the names of the jobs that a failure stopped.
func stoppedBy(err error, res *solve.Result) (names []string) {
	if res == nil {
		return nil
	}
	addr := solve.TargetOf(err)
	for _, j := range res.Jobs {
		var s *solve.SkippedError
		if errors.As(j.Err, &s) && s.By == addr {
			names = append(names, cmp.Or(j.Name, j.Addr))
		}
	}
	return names
}

// flatten takes joined errors apart, but not an error that wraps two: its text is
// more than theirs.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	j, ok := err.(interface{ Unwrap() []error })
	if !ok || errors.Join(j.Unwrap()...).Error() != err.Error() {
		return []error{err}
	}
	var out []error
	for _, e := range j.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}

// sameRegistry is the first of several pushes that failed for the same reason.
type sameRegistry struct {
	*solve.RegistryError
	others []string // their addresses
}

func (e *sameRegistry) Unwrap() error { return e.RegistryError }

// alike keeps the first of the pushes that one registry did not take for one
// reason, and adds to it which others there are.
func alike(errs []error) (out []error) {
	first := map[string]*sameRegistry{}
	for _, e := range errs {
		var reg *solve.RegistryError
		if !errors.As(e, &reg) || reg.Ref == "" {
			out = append(out, e)
			continue
		}
		// Requests differ by the repository in their addresses.
		key := registryOf(reg.Ref) + " " + inAddress.ReplaceAllString(solve.Reason(reg.Err), "$1")
		if same := first[key]; same != nil {
			same.others = append(same.others, reg.Target)
			continue
		}
		first[key] = &sameRegistry{RegistryError: reg}
		out = append(out, first[key])
	}
	return out
}

// inAddress is what follows the host in an address.
var inAddress = regexp.MustCompile(`(https?://[^/ ]+)/\S*`)

func isEngine(err error) bool {
	var none *engine.NotFoundError
	return errors.As(err, &none)
}

// described adds to the diagnostics of images what can be done.
func (e *DiagnosticsError) described() hcl.Diagnostics {
	var image *solve.ImageError
	if e.Cause == nil || !errors.As(e.Cause, &image) {
		return e.Diags
	}
	for _, d := range e.Diags {
		if info, ok := d.Extra.(*diag.Info); ok && info.Code == llb.CodeImage && info.Help == "" {
			info.Help = imageHelp(e.Cause, image.Ref)
		}
	}
	return e.Diags
}

func describe(err error, g *ir.Graph) *hcl.Diagnostic {
	var (
		step  *solve.StepError
		image *solve.ImageError
		reg   *solve.RegistryError
		same  *sameRegistry
		ent   *solve.EntitlementError
		call  *solve.CallError
		lost  *solve.LostError
	)
	at := hcl.Range{}
	if src := solve.SourceOf(err); src != nil {
		at = src.Range
	}
	switch {
	case errors.As(err, &step):
		return stepFailed(step, at)
	case errors.As(err, &image):
		code := ImageNotFound
		if errors.Is(err, solve.ErrRegistry) {
			code = RegistryRefused
		}
		return diag.Error(code, at, "The image cannot be used", sentence(image.Error()), diag.WithHelp("%s", imageHelp(err, image.Ref)))
	case errors.As(err, &same):
		return pushFailed(same.RegistryError, rangeOf(g, same.Target), same.others)
	case errors.As(err, &reg):
		return pushFailed(reg, rangeOf(g, reg.Target), nil)
	case errors.As(err, &ent):
		help := fmt.Sprintf("Allow it for this call with --allow %s.", ent.Entitlement)
		if ent.Daemon {
			help = fmt.Sprintf("The engine itself must be started with --allow-insecure-entitlement %s.", ent.Entitlement)
		}
		return diag.Error(NotAllowed, at, fmt.Sprintf("A step needs %s", ent.Entitlement), help)
	case errors.As(err, &lost):
		return diag.Error(EngineError, at, "The engine went away", sentence(solve.Reason(err))+" "+written(lost.Exported)+" \"hbuild engine status\" shows whether it is back.")
	case errors.Is(err, solve.ErrEngine) || isEngine(err):
		return diag.Error(EngineError, at, "The engine cannot be reached", sentence(solve.Reason(err)))
	case errors.As(err, &call):
		return diag.Error(diag.BadFlag, rangeOf(g, call.Target), "The call cannot be carried out", sentence(solve.Reason(call)))
	case errors.Is(err, solve.ErrRequest):
		return diag.Error(diag.BadFlag, at, "The call cannot be carried out", sentence(solve.Reason(err)))
	case errors.Is(err, solve.ErrNoLoader):
		return diag.Error(diag.BadFlag, at, "Nothing to load the image into", sentence(solve.Reason(err)))
	}
	return diag.Error(BuildFailed, at, "The build failed", sentence(solve.Reason(err)))
}

// written says what there is of a build that ended before its end.
func written(exported int) string {
	switch exported {
	case 0:
		return "Nothing of this build was written."
	case 1:
		return "One target was done by then; nothing else of this build was written."
	}
	return fmt.Sprintf("%d targets were done by then; nothing else of this build was written.", exported)
}

// rangeOf is where a target is written; nowhere for the call as a whole.
func rangeOf(g *ir.Graph, addr string) hcl.Range {
	for _, t := range g.Targets {
		if t.Addr == addr {
			return t.Range
		}
	}
	return hcl.Range{}
}

// pushFailed says which registry did not take an image, and what can be done.
// Others are the targets that it refused likewise.
func pushFailed(e *solve.RegistryError, at hcl.Range, others []string) *hcl.Diagnostic {
	what := "what was built"
	if e.Ref != "" {
		what = e.Ref
	}
	summary := fmt.Sprintf("The registry did not take %s", what)
	if solve.NoAnswer(e.Err) {
		summary = fmt.Sprintf("The registry of %s cannot be reached", what)
	}
	return diag.Error(RegistryRefused, at, summary, sentence(solve.Reason(e.Err))+likewise(others), diag.WithHelp("%s", registryHelp(e.Err, e.Ref)))
}

// likewise names targets that failed as another did, the first few of them.
func likewise(addrs []string) string {
	const few = 3
	switch n := len(addrs); {
	case n == 0:
		return ""
	case n <= few:
		return " The same happened to " + strings.Join(addrs, ", ") + "."
	default:
		return fmt.Sprintf(" The same happened to %d more targets: %s and so on.", n, strings.Join(addrs[:few], ", "))
	}
}

func imageHelp(err error, ref string) string {
	if errors.Is(err, solve.ErrRegistry) {
		return registryHelp(err, ref)
	}
	return "Check the name, the tag and the platform."
}

// registryHelp is what helps where a registry did not do what it was asked to.
func registryHelp(err error, ref string) string {
	host := registryOf(ref)
	switch {
	case solve.Unauthorized(err):
		return fmt.Sprintf("If the name is right, `docker login %s` gives hbuild credentials.", host)
	case solve.NoAnswer(err):
		return fmt.Sprintf("The engine, not this machine, must reach %s; a private engine's mirrors are in HBUILD_ENGINE_MIRRORS.", host)
	}
	return fmt.Sprintf("That is what %s answered; trying again later may help.", host)
}

func registryOf(ref string) string {
	if named, err := reference.ParseNormalizedNamed(ref); err == nil {
		return reference.Domain(named)
	}
	return "its registry"
}

// stepFailed shows a step that failed: what ran where, how it ended, and the end
// of what it said.
func stepFailed(e *solve.StepError, at hcl.Range) *hcl.Diagnostic {
	summary := fmt.Sprintf("The step %q failed", e.Step)
	if e.ExitCode >= 0 {
		summary = fmt.Sprintf("The step %q failed with exit code %d", e.Step, e.ExitCode)
	}
	var b strings.Builder
	what, own := "Target "+e.Target, false
	if last := lastPart(e.Target); strings.HasPrefix(last, "test.") {
		what = "Test " + strings.TrimSuffix(e.Target, last) + strings.TrimPrefix(last, "test.")
		own = strings.Contains(e.Stage, "test-") // the stage has the test's name
	}
	b.WriteString(what)
	if e.Stage != "" && !own {
		fmt.Fprintf(&b, ", stage %s", e.Stage)
	}
	b.WriteString(".")
	if e.ExitCode < 0 && e.Err != nil {
		fmt.Fprintf(&b, " %s.", strings.TrimSuffix(upperFirst(lastCause(e.Err)), "."))
	}
	if len(e.Log) > 0 {
		b.WriteString(" The last lines of its output:\n")
		for _, l := range e.Log {
			b.WriteString("\n    " + l)
		}
	}
	return diag.Error(StepFailed, at, summary, b.String())
}

// lastCause is the innermost message of an error, which says what happened
// without how it was reached.
func lastCause(err error) string {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return solve.Reason(err)
		}
		err = next
	}
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// sentence makes an error's text one; a name at its beginning stays as it is.
func sentence(s string) string {
	if first, _, _ := strings.Cut(s, " "); !strings.ContainsAny(first, "./:@") {
		s = upperFirst(s)
	}
	if s != "" && !strings.ContainsAny(s[len(s)-1:], ".?!\n") {
		s += "."
	}
	return s
}

// Unreachable reports whether an error means that the engine or a registry could
// not be reached, which has an exit code of its own. An engine that went away in
// the middle had been reached: that build failed.
func Unreachable(err error) bool {
	if errors.Is(err, solve.ErrLost) {
		return false
	}
	return errors.Is(err, solve.ErrEngine) || errors.Is(err, solve.ErrRegistry) || isEngine(err)
}

// Misconfigured reports whether an error is a mistake in the build file.
func Misconfigured(err error) bool {
	var d *DiagnosticsError
	return errors.As(err, &d) && d.Cause == nil
}
