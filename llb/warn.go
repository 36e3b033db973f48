package llb

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/lang/diag"
)

// warned is a warning that was given. Several platforms and targets share what it
// is about, and hear of it once.
type warned struct {
	code diag.Code
	at   hcl.Range
	what string
}

func (l *lowerer) warn(code diag.Code, at hcl.Range, what, summary, detail string) {
	key := warned{code, at, what}
	if l.warned[key] {
		return
	}
	if l.warned == nil {
		l.warned = map[warned]bool{}
	}
	l.warned[key] = true
	l.diags = append(l.diags, diag.Warning(code, at, summary, detail))
}

// checkPlatform warns of an image that is made for another platform than the one
// it is used for: a registry gives it out all the same when the tag has no list of
// platforms. It is BuildKit's InvalidBaseImagePlatform.
func (l *lowerer) checkPlatform(w wanted, img *image) {
	got := img.config.Platform
	if img.empty || got.OS == w.platform.OS && got.Architecture == w.platform.Architecture {
		return
	}
	want, have := platforms.FormatAll(platforms.Normalize(w.platform)), formatPlatform(got)
	l.warn(CodeBasePlatform, w.at, w.key.ref+want, "The base image is for another platform",
		fmt.Sprintf("%s was asked for as %s, and its configuration says %s. What runs in it needs an emulator, or does not run at all. Choose a tag that has %s, or say which platform is meant: image(…, { platform = %q }).",
			w.key.ref, want, have, want, have))
}

// withoutEchoes drops the warnings about variables of places that have an error:
// what expands to nothing is what that is about.
func withoutEchoes(diags hcl.Diagnostics) hcl.Diagnostics {
	var wrong []hcl.Range
	for _, d := range diags {
		if d.Severity == hcl.DiagError && d.Subject != nil {
			wrong = append(wrong, *d.Subject)
		}
	}
	return slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool {
		return d.Severity == hcl.DiagWarning && diag.InfoOf(d).Code == CodeUndefined && d.Subject != nil &&
			slices.ContainsFunc(wrong, d.Subject.Overlaps)
	})
}

// formatPlatform is a platform that an image claims, which may be anything.
func formatPlatform(p ocispecs.Platform) string {
	if p.OS == "" && p.Architecture == "" {
		return "none"
	}
	return platforms.FormatAll(platforms.Normalize(p))
}

// guarded finds expansions that say what an unset variable means.
var guarded = regexp.MustCompile(`\$\{\w+:?[-+?]`)

// plainUse finds those that do not: $NAME, ${NAME}, ${NAME#x}.
var plainUse = regexp.MustCompile(`\$(?:(\w+)|\{(\w+)[^\w:+?-])`)

// undefined warns of the variables of a text that nothing sets: not the files, and
// not the base image, whose environment only lowering knows. It is BuildKit's
// UndefinedVar, but for forms such as ${NAME:-default}, which are an answer to it.
func (w *lowering) undefined(text string, unmatched map[string]struct{}) {
	if len(unmatched) == 0 {
		return
	}
	for _, a := range w.s.args { // declared, and left without a value on purpose
		delete(unmatched, a.key)
	}
	if guarded.MatchString(text) {
		plain := map[string]bool{}
		for _, m := range plainUse.FindAllStringSubmatch(text, -1) {
			plain[m[1]+m[2]] = true
		}
		maps.DeleteFunc(unmatched, func(name string, _ struct{}) bool { return !plain[name] })
	}
	for _, name := range slices.Sorted(maps.Keys(unmatched)) {
		if notEnv[name] {
			continue
		}
		w.l.warn(CodeUndefined, w.at(), name, fmt.Sprintf("Nothing sets $%s", name),
			fmt.Sprintf("It expands to nothing: neither the files nor the base image have it.%s Where nothing is meant, $${%s:-} says so.", diag.DidYouMean(name, w.s.env.Keys()), name))
	}
}
