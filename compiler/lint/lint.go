// Package lint warns of what is allowed and most often not meant. A warning has
// a code like every diagnostic, and can be switched off or made an error where
// it stands (spec/language.md, "Warnings"):
//
//	# hbuild: allow HB7007 the base is pinned elsewhere
//	stage "build" { … }
//
// Above a block it holds for the block; in the first comment of a file, before
// an empty line, for the file. `deny` makes errors of warnings; `all` names every
// code.
package lint

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/moby/patternmatcher"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// The codes of warnings about what a build does; those about what is not used
// are in [diag].
const (
	UnusedDeclaration diag.Code = "HB7004" // a variable, local, cache, … that nothing uses
	HiddenByIgnore    diag.Code = "HB7005" // a copy of what the context leaves out
	SecretName        diag.Code = "HB7006" // an env or arg with the name of a secret
	UnpinnedImage     diag.Code = "HB7007" // an image without a tag, or latest
	InstallWithout    diag.Code = "HB7008" // apt-get install without update in the same step
	VolatileEarly     diag.Code = "HB7009" // git.commit before steps that would be cached
	ShellCommand      diag.Code = "HB7010" // cmd or entrypoint through the shell
	RelativeWorkdir   diag.Code = "HB7011" // a relative workdir before an absolute one
	FixedPlatform     diag.Code = "HB7012" // a stage pinned to one platform, or to the target's
	PortCase          diag.Code = "HB7013" // 80/TCP
	AuthorDeprecated  diag.Code = "HB7014" // author, for a label says it
	ReservedStage     diag.Code = "HB7015" // a stage called context
)

// codes are all of them.
var codes = []diag.Code{
	UnusedDeclaration, HiddenByIgnore, SecretName, UnpinnedImage, InstallWithout, VolatileEarly,
	ShellCommand, RelativeWorkdir, FixedPlatform, PortCase, AuthorDeprecated, ReservedStage, UndefinedVariable,
}

// Quiet drops all of this package's warnings: for fragments, which are about
// something else.
func Quiet() Levels {
	l := Levels{}
	for _, c := range codes {
		l[c] = "allow"
	}
	return l
}

// Check returns the warnings of modules whose stages were evaluated. A warning about a
// stage that others start from may be there twice.
func Check(modules []*lang.Module, stages []*ir.Stage) hcl.Diagnostics {
	diags := inParts(modules, (*checker).module)
	seen := make(map[string]bool, len(stages))
	once := make([]*ir.Stage, 0, len(stages))
	for _, st := range stages {
		if !seen[st.Addr] {
			seen[st.Addr] = true
			once = append(once, st)
		}
	}
	return append(diags, inParts(once, func(c *checker, st *ir.Stage) {
		c.stage(st)
		c.variables(st)
	})...)
}

// fewest is how many modules or stages are worth a goroutine.
const fewest = 100

// inParts looks at things on all processors; the warnings are in their order.
func inParts[T any](things []T, look func(*checker, T)) (diags hcl.Diagnostics) {
	size := max(fewest, len(things)/runtime.GOMAXPROCS(0)+1)
	var parts []*checker
	var wg sync.WaitGroup
	for part := range slices.Chunk(things, size) {
		c := &checker{known: map[*ir.Stage]variables{}, matchers: map[*ir.Context]*matcher{}, loose: map[string]string{}, secrets: map[string]bool{}}
		parts = append(parts, c)
		wg.Go(func() {
			for _, t := range part {
				look(c, t)
			}
		})
	}
	wg.Wait()
	for _, c := range parts {
		diags = append(diags, c.diags...)
	}
	return diags
}

type checker struct {
	diags    hcl.Diagnostics
	known    map[*ir.Stage]variables
	matchers map[*ir.Context]*matcher
	loose    map[string]string // images without a version, or not, by reference: the name, or ""
	secrets  map[string]bool   // names of variables that sound like a secret, or not
}

// matcher is what a context leaves out, by path; nil inside when the patterns are bad.
type matcher struct {
	*patternmatcher.PatternMatcher
	out map[string]bool
}

// module looks at a module as it was written.
func (c *checker) module(m *lang.Module) {
	c.declarations(m)
	for _, n := range m.Decls {
		switch n := n.(type) {
		case *lang.Stage:
			c.source(n)
		case *lang.Test:
			c.source(n.Stage())
		}
	}
}

func (c *checker) warn(code diag.Code, at hcl.Range, summary, format string, args ...any) {
	c.diags = append(c.diags, diag.Warning(code, at, summary, fmt.Sprintf(format, args...)))
}

// declarations warns of what nothing uses. The default context is the module's
// own, and a stage or an artifact has a warning of its own.
func (c *checker) declarations(m *lang.Module) {
	used := map[lang.Node]bool{}
	for _, n := range m.Decls {
		for _, u := range n.Base().Uses {
			used[u.Decl] = true
		}
	}
	for _, n := range m.Decls {
		d := n.Base()
		switch d.Kind {
		case lang.KindVariable, lang.KindLocal, lang.KindFunction, lang.KindCache, lang.KindSecret, lang.KindSSH:
		case lang.KindContext:
			if d.Name == "default" {
				continue
			}
		default:
			continue
		}
		if !used[n] && !d.Bad {
			c.warn(UnusedDeclaration, d.NameRange, fmt.Sprintf("%s is not used", d.Addr()), "Nothing in the module names it; remove it, or use it.")
		}
	}
}

// source looks at a stage as it was written.
func (c *checker) source(n *lang.Stage) {
	if n.Platform != nil {
		c.platform(n.Platform)
	}
	if n.Author != nil {
		c.warn(AuthorDeprecated, n.Author.NameRange, "The image's author is deprecated", "Docker deprecates MAINTAINER, which this becomes; write labels = { \"org.opencontainers.image.authors\" = … }.")
	}
	if strings.EqualFold(n.Name, "context") {
		c.warn(ReservedStage, n.NameRange, `A stage called "context"`, "A Dockerfile reserves the name for the build context; give the stage another one.")
	}
	runs := false
	for _, s := range n.Steps {
		if _, ok := s.(*lang.Run); ok {
			runs = true
		}
	}
	if !runs {
		return
	}
	for _, a := range []*lang.Attr{n.Args, n.Env} {
		if a != nil {
			c.volatile(a, n.Name)
		}
	}
}

// volatile warns of values that change with every commit in what all steps see.
func (c *checker) volatile(a *lang.Attr, stage string) {
	for _, t := range hclsyntax.Variables(a.Expr) {
		if t.RootName() == "git" {
			c.warn(VolatileEarly, t.SourceRange(), fmt.Sprintf("%s changes with every commit, before the steps of %q", traversal(t), stage),
				"All steps of the stage run again whenever it changes. Set it in a set block after the expensive steps, or as a label.")
			return
		}
	}
}

func traversal(t hcl.Traversal) string {
	if len(t) > 1 {
		if step, ok := t[1].(hcl.TraverseAttr); ok {
			return t.RootName() + "." + step.Name
		}
	}
	return t.RootName()
}

func (c *checker) platform(a *lang.Attr) {
	if p, ok := lang.ConstString(a.Expr); ok {
		c.warn(FixedPlatform, a.Expr.Range(), fmt.Sprintf("The stage always runs on %s", p), "On another machine its steps are emulated. platform.build.id is where the engine runs; without platform it is the target's.")
		return
	}
	if t, ok := a.Expr.(*hclsyntax.ScopeTraversalExpr); ok && t.Traversal.RootName() == "platform" && traversal(t.Traversal) == "platform.target" {
		c.warn(FixedPlatform, a.Expr.Range(), "The target's platform is the default", "A stage without platform has the platform of the target that uses it; remove the attribute.")
	}
}

// stage looks at a stage as it will be built.
func (c *checker) stage(st *ir.Stage) {
	if r, ok := st.Root.(ir.ImageRoot); ok {
		c.image(r.Ref, r.Range)
	}
	absolute, shell := inherited(st), false
	for _, s := range st.Steps {
		ir.Sources(s, func(src ir.Source) {
			if img, ok := src.(ir.ImageSource); ok {
				c.image(img.Ref, img.Range)
			}
		})
		at := s.Meta().Range
		switch s := s.(type) {
		case *ir.Arg:
			c.secretName(s.Key, at, "args")
		case *ir.Env:
			for _, kv := range s.Pairs {
				k, _ := kv.Key.Const()
				c.secretName(k, at, "env")
			}
		case *ir.Shell:
			shell = true
		case *ir.Workdir:
			w, constant := s.Path.Const()
			if constant && !absolutePath(w) && !absolute {
				c.warn(RelativeWorkdir, at, fmt.Sprintf("%q is relative to what the base image says", w), "Which directory that is, the base image decides and may change; begin with an absolute one.")
			}
			absolute = absolute || !constant || absolutePath(w)
		case *ir.Run:
			c.run(s)
		case *ir.Copy:
			c.hidden(s)
		case *ir.Entrypoint:
			c.shellForm(s.Command, at, "entrypoint", shell)
		case *ir.Cmd:
			c.shellForm(s.Command, at, "cmd", shell)
		case *ir.Expose:
			for _, p := range s.Ports {
				if text, ok := p.Const(); ok && text != strings.ToLower(text) {
					c.warn(PortCase, at, fmt.Sprintf("The protocol of %q is in capitals", text), "Write %q.", strings.ToLower(text))
				}
			}
		}
	}
}

// inherited reports whether a stage starts where the working directory is known
// not to be the base image's.
func inherited(st *ir.Stage) bool {
	for {
		r, ok := st.Root.(ir.StageRoot)
		if !ok {
			_, scratch := st.Root.(ir.ScratchRoot)
			return scratch
		}
		st = r.Stage
		for _, s := range st.Steps {
			if _, ok := s.(*ir.Workdir); ok {
				return true
			}
		}
	}
}

// drive matches how an absolute path of Windows begins.
var drive = regexp.MustCompile(`^[A-Za-z]:[/\\]`)

// absolutePath reports whether a directory does not depend on the one before it,
// on Linux or on Windows: which of them a stage has, its base image decides.
func absolutePath(w string) bool {
	return strings.HasPrefix(w, "/") || strings.HasPrefix(w, `\`) || drive.MatchString(w)
}

func (c *checker) image(ref string, at hcl.Range) {
	name, known := c.loose[ref]
	if !known {
		name = unpinned(ref)
		c.loose[ref] = name
	}
	if name != "" {
		c.warn(UnpinnedImage, at, fmt.Sprintf("%s is a different image every time it is published", ref), "Name a version: image(\"%s:1.2\"), or a digest.", name)
	}
}

// unpinned is the name in a reference that says no version; "" when it says one.
func unpinned(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	if _, pinned := named.(reference.Digested); pinned {
		return ""
	}
	if t, ok := named.(reference.Tagged); ok && t.Tag() != "latest" {
		return ""
	}
	return reference.FamiliarName(named)
}

// secretWord is what names of secrets have in them; notSecret is what looks like
// one and is public (BuildKit's rule SecretsUsedInArgOrEnv).
var (
	secretWord = regexp.MustCompile(`(?i)(^|_)(apikey|auth|credentials?|key|password|pword|passwd|secret|token)(_|$)`)
	notSecret  = regexp.MustCompile(`(?i)(^|_)(public|sha\d*|checksum|digest|hash|id|name|file|path|length)(_|$)`)
)

func (c *checker) secretName(name string, at hcl.Range, where string) {
	secret, known := c.secrets[name]
	if !known {
		secret = secretWord.MatchString(name) && !notSecret.MatchString(name)
		c.secrets[name] = secret
	}
	if secret {
		c.warn(SecretName, at, fmt.Sprintf("%q sounds like a secret", name), "What is in %s can be read by whoever has the image. Use a secret block, and mount it or put it into the env of a run step.", where)
	}
}

func (c *checker) shellForm(cmd ir.Command, at hcl.Range, what string, shell bool) {
	if cmd.Shell && !shell {
		c.warn(ShellCommand, at, fmt.Sprintf("%s runs through a shell", what), "The shell is process 1 then, and does not pass signals on. Write a list: %s = [\"program\", \"argument\"].", what)
	}
}

var (
	aptInstall = regexp.MustCompile(`\bapt(-get)?\b[^;&|\n]*\binstall\b`)
	aptUpdate  = regexp.MustCompile(`\bapt(-get)?\b[^;&|\n]*\bupdate\b`)
)

// run warns of an install that uses the package lists of an earlier, perhaps
// long cached, step.
func (c *checker) run(s *ir.Run) {
	text := ""
	switch {
	case s.Command != nil:
		text = strings.Join(s.Command.Args, " ")
	case s.Script != nil:
		text = s.Script.Data
	}
	if !strings.Contains(text, "apt") || !aptInstall.MatchString(text) || aptUpdate.MatchString(text) {
		return
	}
	for _, m := range s.Mounts {
		if t, ok := m.Target.Const(); ok && strings.HasPrefix(t, "/var/lib/apt") {
			return // the lists persist on purpose
		}
	}
	c.warn(InstallWithout, s.Range, "apt-get install without update in the same step", "The package lists come from an earlier step, which may be cached for months. Write apt-get update && apt-get install -y … in one step.")
}

// hidden warns of a copy of what the context leaves out.
func (c *checker) hidden(s *ir.Copy) {
	src, ok := s.From.(ir.ContextSource)
	if !ok || len(src.Context.Patterns) == 0 {
		return
	}
	for _, w := range s.Src {
		p, constant := w.Const()
		p = strings.Trim(strings.TrimPrefix(p, "./"), "/")
		if !constant || p == "" || p == "." || strings.ContainsAny(p, `*?[\`) || strings.Contains(p, "://") {
			continue
		}
		if !c.leavesOut(src.Context, p) || shows(src.Context.Patterns, p) {
			continue
		}
		c.warn(HiddenByIgnore, s.Range, fmt.Sprintf("%q is left out of the context", p), "The patterns of %s hide it, so the copy finds nothing. Change the context's include and exclude, or the ignore file.", src.Context.Address())
	}
}

// leavesOut reports whether the patterns of a context match a path. The answers are
// kept: many steps copy one file.
func (c *checker) leavesOut(from *ir.Context, p string) bool {
	m := c.matchers[from]
	if m == nil {
		m = &matcher{out: map[string]bool{}}
		m.PatternMatcher, _ = patternmatcher.New(from.Patterns) // bad ones were reported
		c.matchers[from] = m
	}
	out, ok := m.out[p]
	if !ok && m.PatternMatcher != nil {
		matched, err := m.MatchesOrParentMatches(p)
		out = matched && err == nil
		m.out[p] = out
	}
	return out
}

// shows reports whether a pattern brings back something below p.
func shows(patterns []string, p string) bool {
	for _, pat := range patterns {
		in, ok := strings.CutPrefix(pat, "!")
		if !ok {
			continue
		}
		in = strings.TrimPrefix(in, "/")
		if strings.HasPrefix(in, p+"/") || strings.HasPrefix(in, "**") || in == "*" {
			return true
		}
		first, _, _ := strings.Cut(in, "/")
		if strings.ContainsAny(first, "*?[") {
			return true
		}
		// A pattern with wildcards further down may lie below p.
		prefix := in
		if i := strings.IndexAny(in, "*?["); i >= 0 {
			prefix = in[:i]
			if strings.HasPrefix(p+"/", prefix) {
				return true
			}
		}
	}
	return false
}
