package importer

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

var notName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// unique makes a name that HCL takes and nothing of the kind has.
func (im *importer) unique(kind, name, fallback string) string {
	name = strings.Trim(notName.ReplaceAllString(name, "_"), "_-")
	if name == "" {
		name = fallback
	}
	if c := name[0]; c >= '0' && c <= '9' {
		name = fallback + "_" + name
	}
	if im.taken[kind] == nil {
		im.taken[kind] = map[string]bool{}
	}
	try := name
	for i := 2; im.taken[kind][strings.ToLower(try)]; i++ {
		try = fmt.Sprintf("%s_%d", name, i)
	}
	im.taken[kind][strings.ToLower(try)] = true
	return try
}

// nameStages gives every stage a name: its own, or one from what it does.
func (im *importer) nameStages() {
	im.taken["stage"] = map[string]bool{"default": true, "scratch": true, "context": true}
	for _, named := range []bool{true, false} {
		for _, st := range im.stages {
			if !st.wanted || (st.cmd.Name != "") != named {
				continue
			}
			name := st.cmd.Name
			if !named {
				name = im.roleOf(st)
			}
			if im.taken["stage"][name] {
				name += "_stage"
			}
			st.name = im.unique("stage", name, "stage")
		}
	}
	for _, st := range im.stages {
		if st.wanted && st.base != nil {
			if len(st.bases) > 1 {
				st.from = im.stageChoice(st)
			} else {
				st.from = raw("stage." + st.base.name)
			}
		}
	}
}

// roleOf names a stage from what it does.
func (im *importer) roleOf(st *stage) string {
	last := st.index == len(im.stages)-1
	runs, copies := 0, 0
	for _, s := range st.steps {
		switch c := s.cmd.(type) {
		case *instructions.RunCommand:
			runs++
		case *instructions.CopyCommand:
			if c.From == "" {
				copies++
			}
		case *instructions.AddCommand:
			copies++
		}
	}
	base := im.imageBase(st)
	switch {
	case last && len(im.stages) > 1:
		return "runtime"
	case last:
		return "app"
	case runs == 0 && copies == 0 && base != "":
		return base
	case runs > 0 && copies > 0:
		return "build"
	case runs > 0:
		return "tools"
	}
	return "files"
}

// imageBase is the last part of the base image's name; "" for none.
func (im *importer) imageBase(st *stage) string {
	if st.base != nil || st.cmd.BaseName == "scratch" {
		return ""
	}
	env, _ := im.globals()
	name, _, err := shell.NewLex(rune(im.esc)).ProcessWord(st.cmd.BaseName, env)
	if err != nil {
		return ""
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	return path.Base(reference.Path(ref))
}
