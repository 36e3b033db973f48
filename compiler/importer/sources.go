package importer

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/tonistiigi/go-csvvalue"
)

// sourcesOf resolves what a step reads.
func (im *importer) sourcesOf(st *stage, s *step) bool {
	switch c := s.cmd.(type) {
	case *instructions.CopyCommand:
		return c.From == "" || im.copySource(st, s, c.From)
	case *instructions.OnbuildCommand:
		im.triggerReads(s, c.Expression)
	case *instructions.RunCommand:
		for _, f := range s.node.Flags {
			v, ok := strings.CutPrefix(f, "--mount=")
			if !ok {
				continue
			}
			m := &mount{fields: mountFields(v)}
			if name := m.fields["from"]; name != "" {
				m.from = im.named(name)
				if m.from.stage == nil && !im.imageName(s, name) {
					return false
				}
			}
			s.mounts = append(s.mounts, m)
		}
	}
	return true
}

// triggerReads notes the stages that an ONBUILD instruction names.
func (im *importer) triggerReads(s *step, text string) {
	res, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return // an error where it runs, in a stage built on this one
	}
	for _, n := range res.AST.Children {
		cmd, err := instructions.ParseInstructionWithLinter(n, linter.New(&linter.Config{}))
		if err != nil {
			return
		}
		var names []string
		switch c := cmd.(type) {
		case *instructions.CopyCommand:
			names = append(names, c.From)
		case *instructions.RunCommand:
			for _, m := range instructions.GetMounts(c) {
				names = append(names, m.From)
			}
		}
		for _, name := range names {
			if st := im.stageNamed(name); st != nil && name != "" {
				s.reads = append(s.reads, st)
			}
		}
	}
}

func (im *importer) copySource(st *stage, s *step, from string) bool {
	if word, _, err := shell.NewLex(rune(im.esc)).ProcessWord(from, mapEnv{}); err != nil || word != from {
		if err != nil {
			im.failAt(CodeInvalid, err, s.node)
		} else {
			im.errorf(CodeInvalid, s.node, "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround", "BuildKit refuses this, so it cannot be imported.")
		}
		return false
	}
	if i, err := strconv.Atoi(from); err == nil {
		if i < 0 || i >= len(im.stages) {
			im.errorf(CodeInvalid, s.node, fmt.Sprintf("invalid stage index %d", i), "The Dockerfile has %d stages; the first is 0.", len(im.stages))
			return false
		}
		s.from = &source{stage: im.stages[i]}
		return true
	}
	s.from = im.named(from)
	return s.from.stage != nil || im.imageName(s, from)
}

// named is the stage or the image of a name.
func (im *importer) named(name string) *source {
	if st := im.stageNamed(name); st != nil {
		return &source{stage: st}
	}
	return &source{image: name}
}

func (im *importer) imageName(s *step, name string) bool {
	if name == "scratch" {
		return true
	}
	if _, err := reference.ParseNormalizedNamed(name); err != nil {
		im.errorf(CodeInvalid, s.node, fmt.Sprintf("failed to parse stage name %q: %v", name, err), "It is neither a stage nor an image.")
		return false
	}
	return true
}

var mountAliases = map[string]string{"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}

// mountFields are the options of a --mount by their first names.
func mountFields(value string) map[string]string {
	fields, _ := csvvalue.Fields(value, nil) // parsed before
	out := map[string]string{}
	for _, f := range fields {
		k, v, ok := strings.Cut(f, "=")
		k = strings.ToLower(k)
		if full := mountAliases[k]; full != "" {
			k = full
		}
		if !ok {
			v = "true"
		}
		if k == "readwrite" { // the two are one option, and the last counts
			delete(out, "readonly")
		} else if k == "readonly" {
			delete(out, "readwrite")
		}
		out[k] = v
	}
	return out
}
