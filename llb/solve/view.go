package solve

import (
	"bytes"
	"cmp"
	"regexp"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

const (
	// foldFrom is the number of jobs from which on what is cached, and what takes no
	// time, is not shown: it would bury what runs.
	foldFrom = 10
	// worthShowing is how long what is no step has to be at work before it is shown
	// then: an export, the lookup of an image.
	worthShowing = 5 * time.Second
	// customName is where a definition has the name of an operation.
	customName = "llb.customname"
)

// view is how much of what happens is shown, and under which names.
type view struct {
	prefix bool // names of jobs stand before those of steps
	fold   bool // what is cached is left out
	group  bool // the steps of a job are one line
}

// newView chooses by where progress goes and how much there is. A raw stream is for
// programs and stays as it is.
func newView(mode string, terminal bool, jobs int) view {
	switch mode {
	case "rawjson", "quiet":
		return view{}
	case "plain":
		terminal = false
	}
	return view{prefix: jobs > 1, fold: jobs >= foldFrom, group: terminal && jobs >= foldFrom}
}

// stagePart is what a step's name begins with: "[build 2/4] ".
var stagePart = regexp.MustCompile(`^\[([^\]]+)\] `)

// prefixed puts the name of a job before that of a step; that of a stage that says
// the same goes.
func prefixed(label, name string) string {
	m := stagePart.FindStringSubmatch(name)
	if m == nil {
		return "[" + label + "] " + name
	}
	platform, rest := "", name[1:]
	if first, after, _ := strings.Cut(rest, " "); strings.Contains(first, "/") {
		platform, rest = first+" ", after
	}
	rest = strings.TrimPrefix(rest, stageOf(label)+" ")
	return "[" + label + " " + platform + strings.TrimPrefix(rest, stageOf(label)+"-")
}

// stageOf is what the stage is called that is made for a job alone, or begins with:
// test-unit for test.unit, bin-files for bin.
func stageOf(label string) string {
	return strings.ToLower(strings.NewReplacer(".", "-", "/", "-").Replace(label))
}

// show adds a vertex to what is displayed, if it is worth it. prefix is that of its
// stream.
func (t *tracker) show(out *client.SolveStatus, in *client.Vertex, prefix string) {
	v := t.vertexes[in.Digest]
	if v.shown = v.shown || !t.view.fold || t.matters(in); !v.shown {
		return
	}
	label := t.owned[in.Digest]
	shown := *in
	if label != "" && t.view.prefix {
		shown.Name = prefixed(label, in.Name)
	}
	if label == "" {
		label = prefix
	}
	if t.view.group && label != "" {
		shown.ProgressGroup = &pb.ProgressGroup{Id: "job " + label, Name: "[" + label + "]"}
	}
	out.Vertexes = append(out.Vertexes, &shown)
}

// showAgain shows a vertex that was not worth it before and goes on.
func (t *tracker) showAgain(out *client.SolveStatus, d digest.Digest, prefix string) {
	if v := t.vertexes[d]; !v.shown && v.last != nil {
		t.show(out, v.last, prefix)
	}
}

// matters says whether a vertex is shown among very many: a step that runs,
// whatever takes its time, and every failure.
func (t *tracker) matters(v *client.Vertex) bool {
	switch {
	case v.Error != "":
		return true
	case v.Started == nil || v.Cached:
		return false
	}
	if s, ok := t.steps[v.Digest]; ok && !s.rootless {
		return true
	}
	took := time.Since(*v.Started)
	if v.Completed != nil {
		took = v.Completed.Sub(*v.Started)
	}
	return took >= worthShowing
}

// hideUnshown leaves out what belongs to vertexes that are not shown.
func (t *tracker) hideUnshown(out *client.SolveStatus) {
	shown := func(d digest.Digest) bool { return t.vertexes[d] != nil && t.vertexes[d].shown }
	statuses, logs, warnings := out.Statuses[:0], out.Logs[:0], out.Warnings[:0]
	for _, s := range out.Statuses {
		if shown(s.Vertex) {
			statuses = append(statuses, s)
		}
	}
	for _, l := range out.Logs {
		if shown(l.Vertex) {
			logs = append(logs, l)
		}
	}
	for _, w := range out.Warnings {
		// Files of several targets are one result of references that BuildKit takes
		// for platforms, and finds too many.
		if shown(w.Vertex) && !bytes.HasPrefix(w.Short, []byte("Requested platforms ")) {
			warnings = append(warnings, w)
		}
	}
	out.Statuses, out.Logs, out.Warnings = statuses, logs, warnings
}

// label is what progress calls a job.
func (j *job) label() string { return cmp.Or(j.Name, j.Addr) }
