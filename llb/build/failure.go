package build

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb/engine"
	"github.com/hbuild/hbuild/llb/solve"
)

// Failure describes an error of [Run] as diagnostics, each at the line of the
// build file that it belongs to. Jobs that were only skipped are left out.
func Failure(err error) hcl.Diagnostics {
	if d := IsDiagnostics(err); d != nil {
		return d
	}
	var out hcl.Diagnostics
	for _, e := range flatten(err) {
		if !errors.Is(e, solve.ErrSkipped) && !errors.Is(e, context.Canceled) {
			out = append(out, describe(e))
		}
	}
	return out
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && !isEngine(err) {
		var out []error
		for _, e := range j.Unwrap() {
			out = append(out, flatten(e)...)
		}
		return out
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func isEngine(err error) bool {
	var none *engine.NotFoundError
	return errors.As(err, &none)
}

func describe(err error) *hcl.Diagnostic {
	var (
		step  *solve.StepError
		image *solve.ImageError
		reg   *solve.RegistryError
		ent   *solve.EntitlementError
	)
	at := hcl.Range{}
	if src := solve.SourceOf(err); src != nil {
		at = src.Range
	}
	switch {
	case errors.As(err, &step):
		return stepFailed(step, at)
	case errors.As(err, &image):
		code, help := ImageNotFound, "Check the name and the tag, and that the engine can reach the registry."
		if errors.Is(err, solve.ErrRegistry) {
			code, help = RegistryRefused, "The registry could not be reached or refused. `docker login` gives credentials; an engine may have mirrors."
		}
		return diag.Error(code, at, upperFirst(image.Error()), help)
	case errors.As(err, &reg):
		return diag.Error(RegistryRefused, at, "A registry refused", upperFirst(reg.Error())+".")
	case errors.As(err, &ent):
		help := fmt.Sprintf("Allow it for this call with --allow %s.", ent.Entitlement)
		if ent.Daemon {
			help = fmt.Sprintf("The engine itself must be started with --allow-insecure-entitlement %s.", ent.Entitlement)
		}
		return diag.Error(NotAllowed, at, fmt.Sprintf("A step needs %s", ent.Entitlement), help)
	case errors.Is(err, solve.ErrEngine) || isEngine(err):
		return diag.Error(EngineError, at, "The engine cannot be reached", upperFirst(err.Error()))
	case errors.Is(err, solve.ErrRegistry):
		return diag.Error(RegistryRefused, at, "A registry refused", upperFirst(err.Error()))
	case errors.Is(err, solve.ErrRequest):
		return diag.Error(diag.BadFlag, at, "The call cannot be carried out", upperFirst(err.Error()))
	}
	return diag.Error(BuildFailed, at, "The build failed", upperFirst(err.Error()))
}

// stepFailed shows a step that failed: what ran where, how it ended, and the end
// of what it said.
func stepFailed(e *solve.StepError, at hcl.Range) *hcl.Diagnostic {
	summary := fmt.Sprintf("The step %q failed", e.Step)
	if e.ExitCode >= 0 {
		summary = fmt.Sprintf("The step %q failed with exit code %d", e.Step, e.ExitCode)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Target %s", e.Target)
	if e.Stage != "" {
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
			return err.Error()
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

// Unreachable reports whether an error means that the engine or a registry could
// not be reached, which has an exit code of its own.
func Unreachable(err error) bool {
	return errors.Is(err, solve.ErrEngine) || errors.Is(err, solve.ErrRegistry) || isEngine(err)
}

// Misconfigured reports whether an error is a mistake in the build file.
func Misconfigured(err error) bool {
	var d *DiagnosticsError
	return errors.As(err, &d) && d.Cause == nil
}

// SecretDiagnostics reports required secrets without a value.
func SecretDiagnostics(missing []*ir.Secret) (out hcl.Diagnostics) {
	for _, s := range missing {
		out = append(out, diag.Error(MissingSecret, s.Range, fmt.Sprintf("The secret %q has no value", s.ID),
			fmt.Sprintf("Give it one with --secret id=%s,src=FILE or --secret id=%s,env=NAME, or set env or file in its block; required = false makes it optional.", s.ID, s.ID)))
	}
	return out
}
