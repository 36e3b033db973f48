package solve

import (
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	digest "github.com/opencontainers/go-digest"
)

// TestView says what of a stream of events is displayed, and how it is called.
func TestView(t *testing.T) {
	const (
		own    = digest.Digest("sha256:own")
		shared = digest.Digest("sha256:shared")
		export = digest.Digest("sha256:export")
	)
	now := time.Now()
	at := func(ago time.Duration) *time.Time { t := now.Add(-ago); return &t }
	events := []struct {
		name   string
		in     client.Vertex
		prefix string
		few    string // with some jobs
		many   string // with very many; "" is not shown
		group  string // the line of a terminal
	}{
		{"a step that runs", client.Vertex{Digest: own, Name: "[build 2/4] go test", Started: at(0)}, "", "[api build 2/4] go test", "[api build 2/4] go test", "[api]"},
		{"a shared step", client.Vertex{Digest: shared, Name: "[base 2/4] apk add", Started: at(0)}, "", "[base 2/4] apk add", "[base 2/4] apk add", ""},
		{"a cached step", client.Vertex{Digest: own, Name: "[build 2/4] go test", Started: at(0), Completed: at(0), Cached: true}, "", "[api build 2/4] go test", "", ""},
		{"a step in the queue", client.Vertex{Digest: own, Name: "[build 2/4] go test"}, "", "[api build 2/4] go test", "", ""},
		{"a failure", client.Vertex{Digest: export, Name: "exporting", Started: at(0), Completed: at(0), Error: "no"}, "web", "[web] exporting", "[web] exporting", "[web]"},
		{"a short export", client.Vertex{Digest: export, Name: "exporting", Started: at(time.Second), Completed: at(0)}, "web", "[web] exporting", "", ""},
		{"a long export", client.Vertex{Digest: export, Name: "exporting", Started: at(time.Minute)}, "web", "[web] exporting", "[web] exporting", "[web]"},
		{"the stage of the job itself", client.Vertex{Digest: own, Name: "[api-files 1/2] COPY", Started: at(0)}, "", "[api files 1/2] COPY", "[api files 1/2] COPY", "[api]"},
		{"of one platform", client.Vertex{Digest: own, Name: "[linux/arm64 api-files 1/2] COPY", Started: at(0)}, "", "[api linux/arm64 files 1/2] COPY", "[api linux/arm64 files 1/2] COPY", "[api]"},
	}
	for _, e := range events {
		for _, v := range []view{{prefix: true}, {prefix: true, fold: true}, {prefix: true, fold: true, group: true}} {
			tr := &tracker{vertexes: map[digest.Digest]*vertex{}, kept: map[int][]*vertex{}, defined: map[digest.Digest]bool{own: true, shared: true}, owned: map[digest.Digest]string{own: "api"},
				steps: map[digest.Digest]step{own: {}, shared: {}}, view: v, out: make(chan *client.SolveStatus, 1)}
			in := e.in
			tr.receive(1, e.prefix, &client.SolveStatus{Vertexes: []*client.Vertex{&in}})
			got, group := "", ""
			for _, v := range (<-tr.out).Vertexes {
				got = v.Name
				if v.ProgressGroup != nil {
					group = v.ProgressGroup.Name
				}
			}
			want, wantGroup := e.few, ""
			if v.fold {
				want = e.many
			}
			if v.group {
				wantGroup = e.group
			}
			if got != want || group != wantGroup {
				t.Errorf("%s: %+v shows %q in %q, want %q in %q", e.name, v, got, group, want, wantGroup)
			}
			if e.prefix == "" && tr.vertexes[e.in.Digest].name != e.in.Name {
				t.Error("the name that failures are told by has changed")
			}
		}
	}
}

// TestViewShowsLate shows what was not worth it when its time comes, with the
// progress that it makes then and no earlier.
func TestViewShowsLate(t *testing.T) {
	d := digest.Digest("sha256:push")
	tr := &tracker{vertexes: map[digest.Digest]*vertex{}, kept: map[int][]*vertex{}, view: view{fold: true}, out: make(chan *client.SolveStatus, 2)}
	started := time.Now()
	tr.receive(1, "", &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: d, Name: "pushing", Started: &started}}, Statuses: []*client.VertexStatus{{ID: "layer", Vertex: d}}})
	if st := <-tr.out; len(st.Vertexes)+len(st.Statuses) > 0 {
		t.Errorf("shown at once: %+v", st)
	}
	long := started.Add(-time.Minute)
	tr.vertexes[d].last.Started = &long
	tr.receive(1, "", &client.SolveStatus{Statuses: []*client.VertexStatus{{ID: "layer", Vertex: d}}})
	if st := <-tr.out; len(st.Vertexes) != 1 || len(st.Statuses) != 1 {
		t.Errorf("not shown later: %+v", st)
	}
}

// TestStepsOfFailedJobs counts what was heard of: in a job that failed, a step that
// nobody reported was not reached, not cached.
func TestStepsOfFailedJobs(t *testing.T) {
	now := time.Now()
	def, err := file("a", "a").Marshal(t.Context(), llb.LinuxAmd64)
	if err != nil {
		t.Fatal(err)
	}
	tr := &tracker{vertexes: map[digest.Digest]*vertex{}, kept: map[int][]*vertex{}, defined: map[digest.Digest]bool{}, owned: map[digest.Digest]string{}, steps: map[digest.Digest]step{}, sources: map[digest.Digest]string{}}
	ds, err := tr.define("a", &Lowered{Definition: def})
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	for _, c := range []struct {
		complete bool
		vertex   *client.Vertex
		want     string
	}{
		{true, nil, StepCached},
		{false, nil, StepSkipped},
		{false, &client.Vertex{Started: &now, Completed: &now, Cached: true}, StepCached},
		{false, &client.Vertex{Started: &now, Completed: &now, Error: "exit code: 1"}, StepFailed},
		{false, &client.Vertex{Started: &now, Completed: &now, Error: "context canceled"}, StepSkipped},
	} {
		clear(tr.vertexes)
		if c.vertex != nil {
			c.vertex.Digest = ds[0]
			tr.update(1, c.vertex)
		}
		if got := tr.results(ds, c.complete); got[0].State != c.want {
			t.Errorf("%v %+v: %s, want %s", c.complete, c.vertex, got[0].State, c.want)
		}
	}
}

// TestWorked: what a step does once its result was found is a download, and the
// first that is heard of one without inputs is its cache key.
func TestWorked(t *testing.T) {
	const work, found, broken = "work", "found", "broken"
	for _, c := range []struct {
		heard    []string // one after the other
		rootless bool
		want     bool
	}{
		{heard: nil, want: false},
		{heard: []string{work}, want: true},
		{heard: []string{found}, want: false},
		{heard: []string{found, work}, want: false},
		{heard: []string{broken, work}, want: true},
		{heard: []string{work}, rootless: true, want: false},
		{heard: []string{work, work}, rootless: true, want: true},
		{heard: []string{work, found, work}, rootless: true, want: false},
	} {
		tr := &tracker{vertexes: map[digest.Digest]*vertex{}, kept: map[int][]*vertex{}}
		start := time.Now()
		for _, h := range c.heard {
			begin, end := start, start.Add(time.Millisecond)
			v := &client.Vertex{Digest: "d", Started: &begin, Completed: &end, Cached: h != work}
			if h == broken {
				v.Error = "blob not found"
			}
			tr.update(1, v)
			start = end
		}
		v := tr.vertexes["d"]
		if v == nil {
			v = &vertex{}
		}
		if got := v.worked(c.rootless); got != c.want {
			t.Errorf("%q, without inputs %v: %v", c.heard, c.rootless, got)
		}
	}
}

// TestNewView: when names are shown, and when what is cached is not.
func TestNewView(t *testing.T) {
	for _, c := range []struct {
		mode     string
		terminal bool
		jobs     int
		want     view
	}{
		{"auto", true, 1, view{}},
		{"auto", true, 2, view{prefix: true}},
		{"", true, foldFrom - 1, view{prefix: true}},
		{"", true, foldFrom, view{prefix: true, fold: true, group: true}},
		{"auto", false, foldFrom, view{prefix: true, fold: true}},
		{"plain", true, foldFrom, view{prefix: true, fold: true}},
		{"rawjson", false, 200, view{}},
		{"quiet", true, 200, view{}},
	} {
		if got := newView(c.mode, c.terminal, c.jobs); got != c.want {
			t.Errorf("%q, terminal %v, %d jobs: %+v, want %+v", c.mode, c.terminal, c.jobs, got, c.want)
		}
	}
}
