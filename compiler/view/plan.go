package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/containerd/platforms"

	"github.com/hbuild/hbuild/compiler/ir"
)

// WritePlan prints what a build of the graph would do, a target a paragraph:
// what it makes for which platforms, where that goes, and the stages on the way.
func WritePlan(w io.Writer, g *ir.Graph) error {
	for i, t := range g.Targets {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if _, err := fmt.Fprintln(w, t.Addr); err != nil {
			return err
		}
		planTarget(w, t)
	}
	tests := 0
	for _, t := range g.Targets {
		if t.Test {
			tests++
		}
	}
	var sum []string
	if n := len(g.Targets) - tests; n > 0 {
		sum = append(sum, count(n, "target"))
	}
	if tests > 0 {
		sum = append(sum, count(tests, "test"))
	}
	_, err := fmt.Fprintf(w, "\n%s, %s, %s.\n", strings.Join(sum, ", "), count(len(g.Stages), "stage"), count(steps(g.Stages), "step"))
	return err
}

func planTarget(w io.Writer, t *ir.Target) {
	var plats []string
	for _, b := range t.Builds {
		if b.Platform != nil {
			plats = append(plats, platforms.FormatAll(*b.Platform))
		}
	}
	if len(plats) > 0 {
		fmt.Fprintf(w, "  platforms: %s\n", strings.Join(plats, ", "))
	}
	if t.Builds != nil && t.Builds[0].Image != nil && !t.Test {
		fmt.Fprintf(w, "  image: %s\n", t.Builds[0].Image.Addr)
	}
	for _, tag := range t.Tags {
		verb := "tag"
		if t.Push {
			verb = "push"
		}
		fmt.Fprintf(w, "  %s: %s\n", verb, tag)
	}
	for _, b := range t.Builds {
		for _, o := range b.Outputs {
			path := o.Path
			if o.Dir {
				path += "/"
			}
			fmt.Fprintf(w, "  write: %s\n", path)
		}
	}
	for _, r := range t.Requires {
		verb := "after"
		if r.Test {
			verb = "if passed"
		}
		fmt.Fprintf(w, "  %s: %s\n", verb, r.Addr)
	}
	var names []string
	for _, st := range reached(t) {
		names = append(names, fmt.Sprintf("%s (%s)", st.Addr, count(steps([]*ir.Stage{st}), "step")))
	}
	fmt.Fprintf(w, "  stages: %s\n", strings.Join(names, ", "))
}

// reached lists the stages of a target, each after what it depends on; stages of
// several platforms once for each.
func reached(t *ir.Target) []*ir.Stage {
	var roots []*ir.Stage
	for _, b := range t.Builds {
		for _, s := range []*ir.Stage{b.Image, b.Files} {
			if s != nil {
				roots = append(roots, s)
			}
		}
	}
	return ir.Reach(roots...)
}

// steps counts what does something when it is built: runs and copies.
func steps(stages []*ir.Stage) (n int) {
	for _, st := range stages {
		for _, s := range st.Steps {
			switch s.(type) {
			case *ir.Run, *ir.Copy:
				n++
			}
		}
	}
	return n
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
