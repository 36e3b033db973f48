// Package importer writes a Dockerfile as HCL that builds the same thing from the
// same cache.
//
// BuildKit's own parser reads the file. Then everything gets a name (stages,
// variables, artifacts, caches, secrets), and each stage is laid out: what leads
// becomes the stage's attributes, what only describes the image goes behind the
// steps, and the rest stays in order, as steps and `set` blocks. An instruction is
// moved only where that changes neither the digest nor the image; see spec/import.md.
//
// What comes out is compiled before it is given back, so that an imported file
// never fails `check`.
package importer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/lang/diag"
)

// Options say how a Dockerfile is imported.
type Options struct {
	// Name is the file's name in diagnostics.
	Name string
	// Target is the stage that the target `default` builds; "" is the last one.
	// With it, only what that stage is made from is imported.
	Target string
	// Args are --build-arg: they become the defaults of the variables.
	Args map[string]string
	// Platform is where builds run by default; FROM lines that choose a stage by
	// platform are tried with it. The zero value is linux/amd64.
	Platform ocispecs.Platform
	// IgnoreFile is the ignore file beside the Dockerfile that belongs to it alone
	// ("Dockerfile.dockerignore"), relative to the context; "" for none.
	IgnoreFile string
}

// Result is an imported Dockerfile.
type Result struct {
	// HCL is the text of an hbuild file, formatted.
	HCL []byte
	// Stages are the addresses ("stage.build") of the Dockerfile's stages, in its
	// order; "" for one that was left out.
	Stages []string
	// Names are what the Dockerfile calls its stages, in its order; "" for none.
	Names []string
	// TargetStage is what TARGETSTAGE is when the default stage is built.
	TargetStage string
	// Default is the address of the stage that the target default builds.
	Default string
	// Lines are the instructions that the lines of HCL, from 1, came from, for
	// those that came from one.
	Lines map[int]hcl.Range
	// Vars are the names of the variables by the arguments that they stand for.
	Vars map[string]string
}

// Import writes a Dockerfile as HCL. What BuildKit refuses is an error, with
// BuildKit's message; the Result is nil then.
func Import(src []byte, opt Options) (*Result, hcl.Diagnostics) {
	im := newImporter(src, opt)
	res := im.translate()
	// What the default target is not made from may fail: it is left out then. Each
	// try knows more than the one before, so that they end.
	for im.again != "" || len(im.failed) > 0 {
		next := newImporter(src, opt)
		next.avoid, next.out = im.avoid, im.out
		if im.again != "" {
			next.avoid[im.again] = true
		}
		for i, why := range im.failed {
			next.out[i] = why
		}
		im = next
		res = im.translate()
	}
	return res, diag.Sort(im.diags)
}

// importer is the state of one import.
type importer struct {
	src []byte
	opt Options
	esc byte

	lines    []string
	comments map[*parser.Node][]string
	rest     []string // comments behind the last instruction
	syntax   string
	check    string
	allow    []string // directives of hbuild that stand for BuildKit's

	diags  hcl.Diagnostics
	nodes  []*parser.Node
	meta   []*metaArg
	stages []*stage
	header []string

	vars      []*variable
	varOf     map[string]*variable // by argument
	artifacts []*resource
	caches    []*resource
	secrets   []*resource
	agents    []*resource
	taken     map[string]map[string]bool // kind to names

	core   map[*stage]bool // what the default target is made from
	failed map[int]string  // stages outside of core that cannot be imported, and why
	out    map[int]string  // those of the tries before
	avoid  map[string]bool // artifacts ("stage path") that the language refuses
	again  string          // what to avoid in another try
}

func newImporter(src []byte, opt Options) *importer {
	if opt.Platform.OS == "" {
		opt.Platform = ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	}
	if opt.Name == "" {
		opt.Name = "Dockerfile"
	}
	return &importer{src: src, opt: opt, varOf: map[string]*variable{}, taken: map[string]map[string]bool{}, avoid: map[string]bool{}, out: map[int]string{}, failed: map[int]string{}}
}

// translate reads the Dockerfile and writes what it makes.
func (im *importer) translate() *Result {
	if !im.read() {
		return nil
	}
	if !im.resolve() {
		return nil
	}
	im.nameStages()
	for _, st := range im.stages {
		if st.wanted {
			im.layout(st)
		}
	}
	im.unused()
	if im.diags.HasErrors() || len(im.failed) > 0 {
		return nil
	}
	return im.finish()
}

// read parses the file and sorts its instructions into stages.
func (im *importer) read() bool {
	if len(im.src) == 0 {
		im.diags = append(im.diags, diag.Error(CodeSyntax, hcl.Range{}, "the Dockerfile cannot be empty", "The file has no bytes."))
		return false
	}
	res, err := parser.Parse(strings.NewReader(string(im.src)))
	if err != nil {
		im.failAt(CodeSyntax, err, nil)
		return false
	}
	im.esc = byte(res.EscapeToken)
	im.nodes = res.AST.Children
	im.scan(im.nodes)
	if !im.frontend() {
		return false
	}
	if !im.lint(res) {
		return false
	}
	for _, n := range im.nodes {
		cmd, err := instructions.ParseInstructionWithLinter(n, linter.New(&linter.Config{}))
		if err != nil {
			im.failAt(CodeSyntax, err, n)
			return false
		}
		switch c := cmd.(type) {
		case *instructions.Stage:
			im.stages = append(im.stages, &stage{index: len(im.stages), cmd: c, node: n, env: map[string]known{}})
		case *instructions.ArgCommand:
			if len(im.stages) == 0 {
				im.metaArgs(n, c)
				continue
			}
			im.add(n, c)
		case instructions.Command:
			im.add(n, c)
		}
	}
	if len(im.stages) == 0 {
		im.errorf(CodeInvalid, nil, "dockerfile contains no stages to build", "A Dockerfile has a FROM instruction.")
		return false
	}
	return true
}

func (im *importer) add(n *parser.Node, c instructions.Command) {
	st := im.stages[len(im.stages)-1]
	st.steps = append(st.steps, &step{node: n, cmd: c, comment: im.comments[n]})
}

// frontend refuses files that another frontend than BuildKit's own would read.
func (im *importer) frontend() bool {
	if im.syntax == "" {
		return true
	}
	ref := strings.TrimPrefix(strings.Fields(im.syntax)[0], "docker.io/")
	name, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	switch name {
	case "docker/dockerfile", "docker/dockerfile-upstream", "dockerfile.v0":
		return true
	}
	im.errorf(CodeFrontend, im.nodes[0], "The Dockerfile is written for another frontend",
		"Its first lines ask for %s to read it, and only that knows what it means. If it is a Dockerfile like any other, remove the line `# syntax=…`.", im.syntax)
	return false
}

// lint runs the part of BuildKit's own checks that works on instructions alone,
// because `# check=error=true` makes their warnings errors.
func (im *importer) lint(res *parser.Result) bool {
	cfg := &linter.Config{}
	if im.check != "" {
		parsed, err := linter.ParseLintOptions(im.check)
		if err != nil {
			im.errorf(CodeInvalid, im.nodes[0], sentence(err.Error()), "The directive `# check=` cannot be read.")
			return false
		}
		cfg = parsed
		im.allow = allowances(cfg)
	}
	cfg.Warn = func(string, string, string, string, []parser.Range) {}
	lint := linter.New(cfg)
	stages, meta, err := instructions.Parse(res.AST, lint)
	if err != nil {
		im.failAt(CodeSyntax, err, nil)
		return false
	}
	lintNames(stages, lint)
	lintCasing(stages, lint)
	lintFrom(stages, meta, im.esc, lint)
	if err := lint.Error(); err != nil {
		im.errorf(CodeInvalid, im.nodes[0], sentence(cause(err).Error()), "The file asks for this with `# check=error=true`. Mend what `docker build --check` finds, or drop the directive.")
		return false
	}
	return true
}

// where is the place of an instruction: its lines.
func (im *importer) where(n *parser.Node) hcl.Range {
	if n == nil {
		return hcl.Range{}
	}
	return im.lineRange(n.StartLine, n.EndLine)
}

func (im *importer) lineRange(first, last int) hcl.Range {
	pos := func(line int, end bool) hcl.Pos {
		p := hcl.Pos{Line: line, Column: 1}
		rest := im.src
		for i := 1; i < line; i++ {
			j := strings.IndexByte(string(rest), '\n')
			if j < 0 {
				break
			}
			p.Byte += j + 1
			rest = rest[j+1:]
		}
		if end {
			l, _, _ := strings.Cut(string(rest), "\n")
			l = strings.TrimRight(l, "\r")
			p.Byte += len(l)
			p.Column += len([]rune(l))
		}
		return p
	}
	first = max(first, 1)
	last = max(last, first)
	return hcl.Range{Filename: im.opt.Name, Start: pos(first, false), End: pos(last, true)}
}

// failAt reports an error of BuildKit at the place that it names.
func (im *importer) failAt(code diag.Code, err error, n *parser.Node) {
	at := im.where(n)
	var le *parser.LocationError
	if errors.As(err, &le) && len(le.Locations) > 0 && len(le.Locations[0]) > 0 {
		l := le.Locations[0]
		at = im.lineRange(l[0].Start.Line, l[len(l)-1].Start.Line)
	}
	im.fail(n, diag.Error(code, at, sentence(cause(err).Error()), "BuildKit refuses this, so it cannot be imported."))
}

// fail reports an error, or notes that the stage of the instruction has one when
// that can be left out.
func (im *importer) fail(n *parser.Node, d *hcl.Diagnostic) {
	if st := im.stageOf(n); st != nil && im.core != nil && !im.core[st] {
		im.failed[st.index] = d.Summary
		return
	}
	im.diags = append(im.diags, d)
}

// stageOf is the stage that an instruction belongs to.
func (im *importer) stageOf(n *parser.Node) *stage {
	if n == nil {
		return nil
	}
	for i := len(im.stages) - 1; i >= 0; i-- {
		if im.stages[i].node.StartLine <= n.StartLine {
			return im.stages[i]
		}
	}
	return nil
}

func (im *importer) errorf(code diag.Code, n *parser.Node, summary, format string, args ...any) {
	im.fail(n, diag.Error(code, im.where(n), summary, fmt.Sprintf(format, args...)))
}

func (im *importer) warnf(code diag.Code, n *parser.Node, summary, format string, args ...any) {
	im.diags = append(im.diags, diag.Warning(code, im.where(n), summary, fmt.Sprintf(format, args...)))
}

// unsayable reports what hbuild has no words for.
func (im *importer) unsayable(n *parser.Node, summary, format string, args ...any) {
	im.errorf(CodeUnsayable, n, summary, format, args...)
}

func sentence(s string) string { return strings.TrimSuffix(s, ".") }
