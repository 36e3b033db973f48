package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// scenario is one thing that is done to a monorepo.
type scenario struct {
	name string
	kind string
	// again is how many times the tool builds the same directly before a run begins: its
	// daemon may still be at work with that. Else it has had its time to become idle.
	again int
	// before prepares a run; it is not measured.
	before func(ctx context.Context, t *tool, run int) error
	bare   bool // it is what a bare client does too
	// paired says that a run is compared with one that finds nothing changed, directly
	// before it: minutes later the machine may be faster, or slower.
	paired bool
}

// The names of scenarios.
const (
	nameCold      = "cold"
	nameUnchanged = "nothing changed"
	nameAgain     = "nothing changed, three times in a row"
	nameChanged   = "one file changed"
	nameImages    = "nothing changed, images exported"
	nameManyAgain = "nothing changed, images exported, three times in a row"
)

// scenarios are in the order in which they are done: each finds what the one before
// it has left.
var scenarios = []scenario{
	{name: nameCold, kind: kindSolve, before: func(ctx context.Context, t *tool, run int) error {
		if run == 0 {
			return nil // the daemon is new
		}
		// After a prune its databases would have room for all that was in them, of which
		// they keep account with each step.
		return t.daemon.Renew(ctx)
	}},
	{name: nameUnchanged, kind: kindSolve, bare: true},
	{name: nameAgain, kind: kindSolve, again: 2},
	{name: nameChanged, kind: kindSolve, paired: true, before: func(_ context.Context, t *tool, run int) error {
		services, err := os.ReadDir(filepath.Join(t.dir, "services"))
		if err != nil {
			return err
		}
		// One in the middle: neither the first that is built nor the last.
		return appendTo(filepath.Join(t.dir, "services", services[len(services)/2].Name(), "lib1.sh"), fmt.Sprintf("# change %d\n", run))
	}},
	{name: nameImages, kind: kindImages, bare: true, before: func(ctx context.Context, t *tool, _ int) error {
		// The first export makes the layers. Manifests and configurations, which nothing
		// in the daemon refers to, are collected a minute after (BuildKit's control, gc).
		_, err := t.build(ctx, t.dir, kindImages, t.what)
		t.daemon.idle(ctx)
		return err
	}},
	{name: nameManyAgain, kind: kindImages, again: 2},
}

func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// took is what one scenario took of a tool: the run in the middle, by its time, with the
// largest memory of all: in the fastest the machine was faster, too.
type took struct {
	usage
	runs          []*took       // in the order in which they were measured
	all           []*took       // the same, fastest first
	unchanged     *took         // of a scenario that is paired: the runs it is compared with
	Daemon, After time.Duration // processor time of the daemon, during and after
	Busy          bool          // it was not idle even then
	Bare          time.Duration // the same by a bare client
	Late          time.Duration // it did not end within this; 0: it did
	Broken        bool          // it ended with an error
}

// add is t with one more run. Of two the faster is the one in the middle.
func (t *took) add(run *took) *took {
	var runs []*took
	if t != nil {
		runs = t.runs
	}
	runs = append(slices.Clone(runs), run)
	all := slices.SortedStableFunc(slices.Values(runs), func(a, b *took) int { return cmp.Compare(a.Wall, b.Wall) })
	middle := *all[(len(all)-1)/2]
	middle.runs, middle.all = runs, all
	for _, r := range all {
		middle.Memory = max(middle.Memory, r.Memory)
	}
	middle.unchanged = nil
	if t != nil {
		middle.Bare, middle.unchanged = t.Bare, t.unchanged
	}
	if run.unchanged != nil {
		middle.unchanged = middle.unchanged.add(run.unchanged)
	}
	return &middle
}

// spread is the time of the fastest run and of the slowest.
func (t *took) spread() string {
	return seconds(t.all[0].Wall) + " to " + seconds(t.all[len(t.all)-1].Wall)
}

// pair is what a paired scenario is compared with.
func (t *took) pair() *took {
	if t == nil {
		return nil
	}
	return t.unchanged
}

// ended says whether there is anything to compare.
func (t *took) ended() bool { return t != nil && t.Late == 0 && !t.Broken && t.Wall > 0 }

// key is what is measured.
type key struct {
	size           int
	scenario, tool string
}

// monorepos are the measurements of all sizes.
type monorepos struct {
	sizes []int // those of which there is something
	tools []string
	bare  bool // beside a bare client, too
	took  map[key]*took
	notes []string // what failed
}

func (m *monorepos) get(size int, scenario, tool string) *took {
	return m.took[key{size, scenario, tool}]
}

// note says at once what will be in the report.
func (m *monorepos) note(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	m.notes = append(m.notes, s)
	progress("%s", s)
}

func newMonorepos() *monorepos { return &monorepos{took: map[key]*took{}} }

// targets measures hbuild beside Bake, on the disk.
func targets(ctx context.Context, o options, rep *report) error {
	rep.repos = newMonorepos()
	rep.repos.bare = true
	return rep.repos.measureAll(ctx, o, rep)
}

// together are the sizes that are measured side by side: those which are compared, so
// that a minute in which the machine is slow is in both.
func together(sizes []int) (groups [][]int) {
	for _, size := range sizes {
		if last := len(groups) - 1; size == goalLarge && last >= 0 && groups[last][0] == goalSize {
			groups[last] = append(groups[last], size)
		} else {
			groups = append(groups, []int{size})
		}
	}
	return groups
}

// measureAll measures monorepos of all sizes.
func (m *monorepos) measureAll(ctx context.Context, o options, rep *report) (err error) {
	var tools []*tool
	for _, sizes := range together(o.sizes) {
		m.sizes = append(m.sizes, sizes...)
		if tools, err = m.measure(ctx, o, tools, sizes); err != nil {
			return fmt.Errorf("%d services: %w", sizes, err)
		}
		if err := rep.save(); err != nil {
			return err
		}
	}
	for _, t := range tools {
		if t.failed != nil && t.name != nameBake {
			err = errors.Join(err, fmt.Errorf("%s: %w", t.name, t.failed))
		}
	}
	return err
}

// measure measures some sizes, with daemons of their own: what is cold finds nothing,
// nor what other sizes left in a daemon's databases. Tools go on where they gave up
// before. It returns those of the largest size.
func (m *monorepos) measure(ctx context.Context, o options, before []*tool, sizes []int) ([]*tool, error) {
	var all []*tool
	for _, size := range sizes {
		tools, end, err := startTools(ctx, o, false)
		if err != nil {
			return nil, err
		}
		defer end()
		m.tools = nil
		for i, t := range tools {
			t.size = size
			if before != nil {
				t.scenarios, t.failed = before[i].scenarios, before[i].failed
			}
			if t.dir, err = writeRepository(t.repository(size)); err != nil {
				return nil, err
			}
			defer os.RemoveAll(t.dir)
			m.tools = append(m.tools, t.name)
		}
		all = append(all, tools...)
	}
	return all[len(all)-len(m.tools):], m.measureTools(ctx, o, all)
}

// measureTools measures all scenarios with tools that are in the order of their sizes.
// Each has a copy of the sources in a git repository, as Bake's users have.
func (m *monorepos) measureTools(ctx context.Context, o options, tools []*tool) error {
	for i, sc := range scenarios {
		spent := map[string]time.Duration{}
		for run := range o.most() {
			longest := map[string]time.Duration{} // of a tool's sizes in this run
			for _, t := range m.inTurn(tools) {
				if i >= t.scenarios || !o.again(t.size, run, spent[t.name]) {
					continue
				}
				began := time.Now()
				if err := m.do(ctx, i, t, tools, run); err != nil {
					return err
				}
				longest[t.name] = max(longest[t.name], time.Since(began))
			}
			for name, took := range longest {
				spent[name] += took
			}
		}
		if sc.bare && m.bare {
			m.bareRuns(ctx, o, tools, sc)
		}
	}
	return ctx.Err()
}

// inTurn are the tools, all sizes of the first before all of the next.
func (m *monorepos) inTurn(tools []*tool) []*tool {
	at := func(t *tool) int { return slices.Index(m.tools, t.name) }
	return slices.SortedStableFunc(slices.Values(tools), func(a, b *tool) int { return cmp.Compare(at(a), at(b)) })
}

// do has a tool do a scenario once, and notes what it took, or that the tool gave up.
func (m *monorepos) do(ctx context.Context, number int, t *tool, tools []*tool, run int) error {
	sc := scenarios[number]
	k := key{t.size, sc.name, t.name}
	tk, err := once(ctx, sc, t, tools, run)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		m.took[k] = t.giveUp(m, number, err)
		for _, larger := range tools {
			if larger.name == t.name && larger.size > t.size {
				larger.scenarios, larger.failed = min(larger.scenarios, t.scenarios), cmp.Or(larger.failed, t.failed)
			}
		}
		return nil
	}
	m.took[k] = m.took[k].add(&tk.took)
	progress("%d services, %s: %s %s, %s until its daemon was idle", t.size, sc.name, t.name, seconds(tk.Wall), seconds(tk.rest))
	return nil
}

// again says whether something is measured once more: twice in any case, for one run
// alone says little on a machine whose speed differs from minute to minute; and what a
// goal is about more often, while it is brief.
func (o options) again(size, run int, spent time.Duration) bool {
	switch {
	case run < 2:
		return run < o.most()
	case run < o.runs, run < goalRuns && isGoal(size):
		return run < o.most() && spent < o.enough
	}
	return run < o.most() && spent < o.brief && isGoal(size)
}

// isGoal says whether goals are about a size.
func isGoal(size int) bool { return size == goalSize || size == goalLarge }

// most is how often something is measured at most.
func (o options) most() int {
	if o.runs == 1 {
		return 1
	}
	return 3 * o.runs
}

// giveUp notes that a scenario did not end, or failed. The tool is not asked for it
// again, nor for those that come after it: not in this size and not in larger ones.
func (t *tool) giveUp(m *monorepos, scenario int, err error) *took {
	t.scenarios = scenario
	name := scenarios[scenario].name
	if errors.Is(err, errLate) {
		m.note("%d services, %s: %s had not ended after %s.", t.size, name, t.name, seconds(t.limit))
		return &took{Late: t.limit}
	}
	t.failed = fmt.Errorf("%d services, %s: %w", t.size, name, err)
	m.note("%d services, %s: %s failed: %v", t.size, name, t.name, err)
	return &took{Broken: true}
}

// oneRun is one run, and how long its daemon then took to become idle.
type oneRun struct {
	took
	rest time.Duration
}

// once does a scenario once, while the daemons of the other tools are stopped.
func once(ctx context.Context, sc scenario, t *tool, tools []*tool, run int) (*oneRun, error) {
	goOn, err := alone(t, tools)
	if err != nil {
		return nil, err
	}
	defer goOn()
	var unchanged *took
	if sc.paired && t.name != nameBake {
		run, err := single(ctx, sc, t)
		if err != nil {
			return nil, err
		}
		unchanged = &run.took
	}
	if sc.before != nil {
		if err := sc.before(ctx, t, run); err != nil {
			return nil, err
		}
	}
	tk, err := single(ctx, sc, t)
	if err == nil {
		tk.unchanged = unchanged
	}
	return tk, err
}

// single builds once and measures it, after those that go directly before it.
func single(ctx context.Context, sc scenario, t *tool) (*oneRun, error) {
	quiet(ctx)
	for range sc.again {
		if _, err := t.build(ctx, t.dir, sc.kind, t.what); err != nil {
			t.daemon.idle(ctx)
			return nil, err
		}
	}
	before := t.daemon.cpu()
	u, err := t.build(ctx, t.dir, sc.kind, t.what)
	if err != nil {
		t.daemon.idle(ctx) // it still has to end what was given up
		return nil, err
	}
	tk := &oneRun{took: took{usage: u, Daemon: t.daemon.cpu() - before}}
	ended := time.Now()
	used, idle := t.daemon.idle(ctx)
	tk.After, tk.Busy, tk.rest = used, !idle, time.Since(ended)
	return tk, nil
}

// bareRuns has a bare client do what hbuild did.
func (m *monorepos) bareRuns(ctx context.Context, o options, tools []*tool, sc scenario) {
	for _, t := range tools {
		tk := m.get(t.size, sc.name, t.name)
		if t.name == nameBake || !tk.ended() {
			continue
		}
		var spent time.Duration
		var walls []time.Duration
		for run := range o.most() {
			if !o.again(t.size, run, spent) {
				break
			}
			started := time.Now()
			wall, err := bareRun(ctx, tools, t, sc.kind)
			if err != nil {
				m.note("%d services, %s: the bare client for %s failed: %v", t.size, sc.name, t.name, err)
				break
			}
			spent += time.Since(started)
			walls = append(walls, wall)
			tk.Bare = slices.Sorted(slices.Values(walls))[(len(walls)-1)/2]
			progress("%d services, %s: bare client for %s %s", t.size, sc.name, t.name, seconds(wall))
		}
	}
}

func bareRun(ctx context.Context, tools []*tool, t *tool, kind string) (time.Duration, error) {
	goOn, err := alone(t, tools)
	if err != nil {
		return 0, err
	}
	defer goOn()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	quiet(ctx)
	u, err := measure(ctx, t.limit, t.dir, nil, self, childBare, t.address, t.dir, kind, t.what)
	if err != nil {
		return 0, err
	}
	t.daemon.idle(ctx)
	var res bareResult
	err = json.Unmarshal(u.Out, &res)
	return res.Wall, err
}

// writeFiles writes files into a new directory.
func writeFiles(fsys fs.FS) (dir string, err error) {
	if dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, fsys); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}

// writeRepository writes files into a new directory and commits them.
func writeRepository(fsys fs.FS) (dir string, err error) {
	if dir, err = writeFiles(fsys); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"-c", "user.name=bench", "-c", "user.email=bench@example.com", "commit", "-q", "-m", "bench"}} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", errors.Join(fmt.Errorf("git %v: %w\n%s", args, err, out), os.RemoveAll(dir))
		}
	}
	return dir, nil
}
