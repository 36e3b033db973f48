package solve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/progress/progressui"
	digest "github.com/opencontainers/go-digest"
)

const (
	// logTail is how much of a step's output is kept for the message of its
	// failure, in bytes.
	logTail = 16 << 10
	// shortestSecret is the length in bytes from which a secret's value is hidden
	// in output; a shorter one would make every other word disappear.
	shortestSecret = 4
	// shortestLine is the same for one line of a longer secret.
	shortestLine = 8
)

// tracker merges the status streams of all builds of a call into one display,
// and remembers what results and failures need to know.
//
// A vertex that several builds share is reported by each of their streams. The
// first stream that reports it keeps it until it ends: then nothing is printed
// twice, and a step that ran is not turned into a cached one by the next build
// that finds its result.
type tracker struct {
	mu       sync.Mutex
	vertexes map[digest.Digest]*vertex
	kept     map[int][]*vertex        // by the stream that keeps them
	defined  map[digest.Digest]bool   // operations of all definitions
	steps    map[digest.Digest]step   // those that are steps
	owned    map[digest.Digest]string // labels of jobs, by the operations that no other job has
	view     view
	sources  map[digest.Digest]string // identifiers of those that are sources
	mask     masker
	out      chan *client.SolveStatus // nil when closed
	shown    chan error
	streams  sync.WaitGroup
	next     int
}

// vertex is what is known of one vertex.
type vertex struct {
	owner     int
	name      string
	intervals map[time.Time]interval // by their start
	running   bool
	cached    bool
	errored   bool
	canceled  bool
	shown     bool
	last      *client.Vertex // as it was last reported
	logs      map[int]*logStream
	tail      []byte
}

// interval is a time in which a vertex was at work, and is over.
type interval struct {
	took   time.Duration
	worked bool // it completed without a cache hit
	found  bool // it completed with one
	failed bool
}

// logStream is one stream of a step's output; held is the end of what has come,
// when that might be the beginning of a secret.
type logStream struct{ held []byte }

// step is an exec or file operation of a definition.
type step struct {
	name   string
	source *Position
	// rootless says that it has no inputs. The solver then reports the
	// computation of its cache key as if the step had run.
	rootless bool
}

// newTracker shows the progress of so many jobs.
func newTracker(p Progress, secrets [][]byte, jobs int) (*tracker, error) {
	t := &tracker{
		vertexes: map[digest.Digest]*vertex{},
		kept:     map[int][]*vertex{},
		defined:  map[digest.Digest]bool{},
		steps:    map[digest.Digest]step{},
		owned:    map[digest.Digest]string{},
		sources:  map[digest.Digest]string{},
		mask:     newMasker(secrets),
		out:      make(chan *client.SolveStatus, 64),
		shown:    make(chan error, 1),
	}
	mode := p.Mode
	if v := os.Getenv("BUILDKIT_PROGRESS"); v != "" && (mode == "" || mode == "auto") {
		mode = v
	}
	out := p.Out
	if out == nil || mode == "none" {
		out, mode = io.Discard, "quiet"
	}
	f, isFile := out.(*os.File)
	terminal := isFile && isatty.IsTerminal(f.Fd())
	if mode == "tty" && !terminal {
		return nil, fmt.Errorf("%w: --progress tty needs a terminal", ErrRequest)
	}
	display, err := progressui.NewDisplay(out, progressui.DisplayMode(mode))
	if err != nil {
		return nil, fmt.Errorf("%w: progress: %w", ErrRequest, err)
	}
	t.view = newView(mode, terminal, jobs)
	ch := t.out
	go func() {
		// The display ends when its channel does, so that it can still show how
		// an interrupted build ended.
		_, err := display.UpdateFrom(context.Background(), ch)
		for range ch { // a display that failed must not block the build
		}
		t.shown <- err
	}()
	return t, nil
}

// stream returns a channel for one build; the build closes it. prefix names the
// job in the vertexes that belong to no definition ("exporting to image"): the
// daemon gives them the same digest in all builds of a session.
func (t *tracker) stream(prefix string) chan *client.SolveStatus {
	ch := make(chan *client.SolveStatus)
	t.mu.Lock()
	t.next++
	id := t.next
	t.mu.Unlock()
	t.streams.Add(1)
	go func() {
		defer t.streams.Done()
		for st := range ch {
			t.receive(id, prefix, st)
		}
		t.release(id)
	}()
	return ch
}

// close waits for the streams to end and for what came to be shown, but not
// longer than ctx allows.
func (t *tracker) close(ctx context.Context) {
	ended := make(chan struct{})
	go func() {
		t.streams.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	t.mu.Lock()
	close(t.out)
	t.out = nil
	t.mu.Unlock()
	<-t.shown
}

func (t *tracker) receive(id int, prefix string, in *client.SolveStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := &client.SolveStatus{}
	t.separate(prefix, in)
	for _, v := range in.Vertexes {
		if t.update(id, v) {
			t.show(out, v, prefix)
			if v.Completed != nil {
				out.Logs = append(out.Logs, t.flush(v.Digest)...)
			}
		}
	}
	for _, s := range in.Statuses {
		if t.owns(id, s.Vertex) {
			t.showAgain(out, s.Vertex, prefix)
			out.Statuses = append(out.Statuses, s)
		}
	}
	for _, l := range in.Logs {
		if t.owns(id, l.Vertex) {
			if l := t.log(l); l != nil {
				out.Logs = append(out.Logs, l)
			}
		}
	}
	for _, w := range in.Warnings {
		if t.owns(id, w.Vertex) {
			out.Warnings = append(out.Warnings, w)
		}
	}
	t.hideUnshown(out)
	if t.out != nil {
		t.out <- out
	}
}

// separate gives the vertexes of one build alone a digest and a name of their own.
func (t *tracker) separate(prefix string, in *client.SolveStatus) {
	if prefix == "" {
		return
	}
	own := func(d *digest.Digest) bool {
		if t.defined[*d] {
			return false
		}
		*d = digest.FromString(prefix + string(*d))
		return true
	}
	for _, v := range in.Vertexes {
		if own(&v.Digest) {
			v.Name = "[" + prefix + "] " + v.Name
		}
	}
	for _, s := range in.Statuses {
		own(&s.Vertex)
	}
	for _, l := range in.Logs {
		own(&l.Vertex)
	}
	for _, w := range in.Warnings {
		own(&w.Vertex)
	}
}

func (t *tracker) owns(id int, d digest.Digest) bool {
	v := t.vertexes[d]
	return v != nil && v.owner == id
}

// update notes a vertex's state and says whether the stream may show it.
func (t *tracker) update(id int, in *client.Vertex) bool {
	v := t.vertexes[in.Digest]
	if v == nil {
		v = &vertex{intervals: map[time.Time]interval{}, logs: map[int]*logStream{}}
		t.vertexes[in.Digest] = v
	}
	if v.owner == 0 {
		v.owner = id
		t.kept[id] = append(t.kept[id], v)
	}
	if v.owner != id {
		return false
	}
	in.Error = t.mask.text(in.Error)
	v.name, v.last = in.Name, in
	v.running = in.Started != nil && in.Completed == nil
	v.cached = v.cached || in.Cached
	v.errored, v.canceled = in.Error != "", strings.HasSuffix(in.Error, context.Canceled.Error())
	if in.Started != nil && in.Completed != nil {
		v.intervals[*in.Started] = interval{
			took:   in.Completed.Sub(*in.Started),
			worked: !in.Cached && in.Error == "",
			found:  in.Cached && in.Error == "",
			failed: in.Error != "" && !v.canceled,
		}
	}
	return true
}

// release lets other streams report the vertexes that the ended stream left
// unfinished.
func (t *tracker) release(id int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range t.kept[id] {
		if v.running || len(v.intervals) == 0 || v.errored {
			v.owner = 0
		}
	}
	delete(t.kept, id)
}

// log hides secrets in a piece of output and keeps its end; nil when everything
// is held back until more comes.
func (t *tracker) log(l *client.VertexLog) *client.VertexLog {
	v := t.vertexes[l.Vertex]
	s := v.logs[l.Stream]
	if s == nil {
		s = &logStream{}
		v.logs[l.Stream] = s
	}
	data := t.mask.bytes(append(s.held, l.Data...))
	hold := t.mask.beginning(data)
	s.held = bytes.Clone(data[len(data)-hold:])
	data = data[:len(data)-hold]
	if len(data) == 0 {
		return nil
	}
	v.keep(data)
	masked := *l
	masked.Data = data
	return &masked
}

func (t *tracker) flush(d digest.Digest) (logs []*client.VertexLog) {
	v := t.vertexes[d]
	for stream, s := range v.logs {
		if len(s.held) > 0 {
			v.keep(s.held)
			logs = append(logs, &client.VertexLog{Vertex: d, Stream: stream, Data: s.held, Timestamp: time.Now()})
			s.held = nil
		}
	}
	return logs
}

func (v *vertex) keep(data []byte) {
	v.tail = append(v.tail, data...)
	if over := len(v.tail) - logTail; over > logTail {
		v.tail = append([]byte(nil), v.tail[over:]...)
	}
}

// define notes the operations of a job's definition and returns its steps' digests.
func (t *tracker) define(label string, l *Lowered) ([]digest.Digest, error) {
	if l.Definition == nil {
		return nil, nil
	}
	var digests []digest.Digest
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, dt := range l.Definition.Def {
		d := digest.FromBytes(dt)
		if l.Own[d] {
			t.owned[d] = label
		}
		if !t.defined[d] { // most operations of a definition are in others too
			if err := t.note(d, dt, l); err != nil {
				return nil, err
			}
		}
		if _, ok := t.steps[d]; ok {
			digests = append(digests, d)
		}
	}
	return digests, nil
}

// note remembers what an operation is.
func (t *tracker) note(d digest.Digest, dt []byte, l *Lowered) error {
	var op pb.Op
	if err := op.UnmarshalVT(dt); err != nil {
		return fmt.Errorf("definition: %w", err)
	}
	t.defined[d] = true
	if src := op.GetSource(); src != nil {
		t.sources[d] = src.GetIdentifier()
	}
	if op.GetExec() != nil || op.GetFile() != nil {
		t.steps[d] = step{name: l.Definition.Metadata[d].Description[customName], source: l.position(d), rootless: len(op.Inputs) == 0}
	}
	return nil
}

// source returns the identifier of a source operation: "docker-image://…".
func (t *tracker) source(d digest.Digest) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sources[d]
}

// lines returns a vertex's name and the last n lines of its output.
func (t *tracker) lines(d digest.Digest, n int) (name string, lines []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.vertexes[d]
	if v == nil {
		return "", nil
	}
	tail := bytes.Clone(v.tail)
	for _, s := range v.logs {
		tail = append(tail, s.held...)
	}
	text := strings.TrimRight(strings.ReplaceAll(string(tail), "\r\n", "\n"), "\n")
	if text == "" {
		return v.name, nil
	}
	lines = strings.Split(text, "\n")
	return v.name, lines[max(0, len(lines)-n):]
}

// masker hides secrets' values.
type masker struct{ values [][]byte }

const hidden = "***"

func newMasker(secrets [][]byte) masker {
	var m masker
	for _, s := range secrets {
		whole := bytes.TrimSpace(s)
		if len(whole) >= shortestSecret {
			m.values = append(m.values, whole)
		}
		lines := bytes.Split(whole, []byte("\n"))
		if len(lines) == 1 {
			continue
		}
		for _, line := range lines {
			if line = bytes.TrimSpace(line); len(line) >= shortestLine {
				m.values = append(m.values, line)
			}
		}
	}
	// The longest first: a value may contain another.
	slices.SortFunc(m.values, func(a, b []byte) int { return len(b) - len(a) })
	m.values = slices.CompactFunc(m.values, bytes.Equal)
	return m
}

func (m masker) bytes(data []byte) []byte {
	for _, v := range m.values {
		data = bytes.ReplaceAll(data, v, []byte(hidden))
	}
	return data
}

func (m masker) text(s string) string {
	if len(m.values) == 0 {
		return s
	}
	return string(m.bytes([]byte(s)))
}

// beginning returns the length of the longest end of data that a secret begins
// with.
func (m masker) beginning(data []byte) int {
	longest := 0
	for _, v := range m.values {
		for n := min(len(v)-1, len(data)); n > longest; n-- {
			if bytes.HasSuffix(data, v[:n]) {
				longest = n
				break
			}
		}
	}
	return longest
}
