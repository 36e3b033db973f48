package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The sizes that goals are about.
const (
	goalSize  = 200
	goalLarge = 1000
)

// goalRuns is how often those are measured at least, unless it takes too long.
const goalRuns = 5

// goals says what was aimed at and what the figures of a report are. It has a row for
// what was measured only.
func goals(r *report) *table {
	t := newTable("goal", "hbuild", "one file")
	t.left = true
	add := func(goal, module, oneFile string) {
		if module != "" || oneFile != "" {
			t.row(goal, module, oneFile)
		}
	}
	if r.repos != nil {
		r.repos.goals(add)
		r.repos.growthGoals(add, "")
	}
	if r.memory != nil {
		r.memory.growthGoals(add, ", without a disk")
	}
	if r.shared != nil {
		add(fmt.Sprintf("%d files, %d targets: walked once", sharedFiles, sharedTargets), "", r.shared.goal())
	}
	if r.compile != nil {
		add("`hbuild check` of 10,000 targets in 1,000 modules: at most twice the bare parse of the same files, as processes on all processors", r.compile.goal(), "")
	}
	return t
}

// goals adds those that are about building monorepos.
func (m *monorepos) goals(add func(goal, module, oneFile string)) {
	both := func(goal string, f func(tool string) string) { add(goal, f(nameHbuild), f(nameOneFile)) }
	for _, g := range []struct{ scenario, goal string }{
		{nameAgain, "at least 25 times as fast as Bake"},
		{nameUnchanged, "the same, beside a Bake whose daemon was left alone until it was idle"},
		{nameManyAgain, "at least 12 times as fast as Bake"},
		{nameImages, "the same, beside a Bake whose daemon was left alone until it was idle"},
		{nameCold, "at least twice as fast as Bake"},
	} {
		both(fmt.Sprintf("%d services, %s: %s", goalSize, g.scenario, g.goal), func(tool string) string {
			return faster(m.get(goalSize, g.scenario, nameBake), m.get(goalSize, g.scenario, tool))
		})
	}
	both(fmt.Sprintf("%d services, %s: at most 1.5 times the time of nothing changed", goalSize, nameChanged), func(tool string) string {
		tk := m.get(goalSize, nameChanged, tool)
		return pairRatio(tk, tk.pair(), wall)
	})
	both(fmt.Sprintf("%d services: the client's memory under half of Bake's", goalSize), func(tool string) string {
		return ratio(m.peak(goalSize, tool), m.peak(goalSize, nameBake))
	})
	both(fmt.Sprintf("%d services can be built", goalLarge), m.works)
}

// growthGoals adds those about the growth; where is of what daemons.
func (m *monorepos) growthGoals(add func(goal, module, oneFile string), where string) {
	for _, sc := range scenarios {
		goal := fmt.Sprintf("from %d to %d services at most 5.5 times the time%s: %s", goalSize, goalLarge, where, sc.name)
		times := func(tool string) string {
			return pairRatio(m.get(goalLarge, sc.name, tool), m.get(goalSize, sc.name, tool), wall)
		}
		add(goal, times(nameHbuild), times(nameOneFile))
	}
}

// pairRatio is what of a's runs as a multiple of that of b's, of which each was measured
// directly before or after one of a: the median of all pairs, and of the two in the middle
// the larger. Minutes later the machine may be faster, or slower, so that the ratio of two
// medians may be of runs that have nothing to do with each other. "" when one is missing.
func pairRatio(a, b *took, what func(*took) time.Duration) string {
	if !a.ended() || !b.ended() {
		return ""
	}
	var all []float64
	for i := range min(len(a.runs), len(b.runs)) {
		all = append(all, float64(what(a.runs[i]))/float64(what(b.runs[i])))
	}
	slices.Sort(all)
	return times(all[len(all)/2])
}

// wall and cpu are what runs are compared by: their time, and the processor time of
// client and daemon.
func wall(t *took) time.Duration { return t.Wall }
func cpu(t *took) time.Duration  { return t.CPU + t.Daemon }

// works says whether a tool built the large size in all ways, and what Bake did.
func (m *monorepos) works(tool string) string {
	if m.get(goalLarge, nameCold, tool) == nil {
		return ""
	}
	said := "no"
	if longest, ok := m.slowest(goalLarge, tool); ok {
		said = "yes, all scenarios, the longest " + seconds(longest)
	}
	if bake := m.get(goalLarge, nameCold, nameBake); bake != nil {
		said += strings.TrimRight("; Bake, "+nameCold+": "+bake.time(), " ")
	}
	return said
}
