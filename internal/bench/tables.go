package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const reposText = "A service has files of its own, a step that runs on a toolchain which all share, and an image over scratch. " +
	"*hbuild* has a module a service, found by its file; *one file* has a for_each over the services' directories in one file. " +
	"Bake builds a matrix of targets, each a Dockerfile in the service's directory with the toolchain as a linked target, in a git repository, and makes no attestations (hbuild makes none unless asked). " +
	"Nothing is exported, except images where it says so: those go into the daemon's own store (`type=image`), for both, and were exported within the minute before, for which the daemon keeps what it has made of them. " +
	"Daemons keep their state on the disk. Before a run a tool's daemon was left alone until it was idle, which takes Bake's half a minute after 200 targets, for it writes down what it has traced; *three times in a row* is the third of three builds that directly follow each other, as when one works, or a CI does. " +
	"What a changed file costs is compared with a build just before the change, for the machine's speed differs from minute to minute. " +
	"Each cold build is a new daemon's first. Each size has daemons of its own; runs of 200 and of 1,000 services take turns, and what their times grow by is the median of the pairs. *runs* says of how many runs a time is the median (of two, the faster), in the order of the tools."

// describe adds the tables of all sizes.
func (m *monorepos) describe(d *document) {
	d.heading("Monorepos")
	d.paragraph(reposText)
	d.table(m.timeTable())
	if len(m.notes) > 0 {
		d.paragraph("What did not end, or failed, was not tried again, and neither was what comes below it:\n\n- " + strings.Join(m.notes, "\n- "))
	}
	d.explained("The fastest and the slowest of the same runs:", m.spreadTable())
	d.explained("*bare* is the limit: the same solves, or exports, of the same definitions by a client that does nothing else: one session, no files read but contexts, nothing shown. Compiling is not in it.", m.bareTable())
	d.explained("The client's memory, at most at a time. *cpu* is processor time of the client and its daemon until the client ends, *after* what Bake's daemon then goes on using.", m.costTable())
	d.explained("What a change costs, and what the time, and the processor time, grow by:", m.growthTable())
}

// describeMemory adds what there is of daemons that keep their state in memory.
func (m *monorepos) describeMemory(d *document) {
	d.heading("Growth without a disk")
	d.paragraph("The same builds by hbuild alone, with daemons that keep their state in memory (a tmpfs). BuildKit writes its databases after each step and waits until they are on the disk; how long that takes depends on what else the disk has to write, and on a rented machine on how much was written before. Without it the times grow as the work does. Runs of both sizes take turns, and what grows is the median of the pairs.")
	d.table(m.timeTable())
	d.explained("The fastest and the slowest of the same runs:", m.spreadTable())
	d.explained("", m.growthTable())
	if len(m.notes) > 0 {
		d.paragraph("What did not end, or failed:\n\n- " + strings.Join(m.notes, "\n- "))
	}
}

// forAll calls f with all sizes and scenarios of which something is known, and the
// beginning of a row.
func (m *monorepos) forAll(f func(size int, sc scenario, name string)) {
	for _, size := range m.sizes {
		for _, sc := range scenarios {
			known := func(tool string) bool { return m.get(size, sc.name, tool) != nil }
			if slices.ContainsFunc(m.tools, known) {
				f(size, sc, fmt.Sprintf("%d, %s", size, sc.name))
			}
		}
	}
}

// hasBake says whether Bake is part of it.
func (m *monorepos) hasBake() bool { return slices.Contains(m.tools, nameBake) }

func (m *monorepos) timeTable() *table {
	t := newTable(append([]string{"services, scenario"}, m.tools...)...)
	if m.hasBake() {
		t.rows[0] = append(t.rows[0], "Bake : hbuild", "Bake : one file")
	}
	t.rows[0] = append(t.rows[0], "runs")
	m.forAll(func(size int, sc scenario, name string) {
		row, runs := []string{name}, []string(nil)
		for _, tool := range m.tools {
			tk := m.get(size, sc.name, tool)
			row = append(row, tk.time())
			if tk.ended() {
				runs = append(runs, fmt.Sprint(len(tk.all)))
			} else {
				runs = append(runs, "–")
			}
		}
		if b := m.get(size, sc.name, nameBake); m.hasBake() {
			row = append(row, faster(b, m.get(size, sc.name, nameHbuild)), faster(b, m.get(size, sc.name, nameOneFile)))
		}
		t.row(append(row, strings.Join(runs, ", "))...)
	})
	return t
}

// time is what a table says of the time.
func (t *took) time() string {
	switch {
	case t == nil:
		return "not tried"
	case t.Late > 0:
		return "> " + seconds(t.Late)
	case t.Broken:
		return "failed"
	}
	return seconds(t.Wall)
}

// faster is how many times b takes a's time: "> N", rounded down, when b did not end.
func faster(b, a *took) string {
	switch {
	case !a.ended() || b == nil:
		return ""
	case b.ended():
		return ratio(b.Wall, a.Wall)
	case b.Late > 0:
		return fmt.Sprintf("> %d×", b.Late/a.Wall)
	}
	return ""
}

// spreadTable is how much the runs differed.
func (m *monorepos) spreadTable() *table {
	t := newTable(append([]string{"services, scenario"}, m.tools...)...)
	m.forAll(func(size int, sc scenario, name string) {
		row := []string{name}
		for _, tool := range m.tools {
			cell := ""
			if tk := m.get(size, sc.name, tool); tk.ended() {
				cell = tk.spread()
			}
			row = append(row, cell)
		}
		t.row(row...)
	})
	return t
}

func (m *monorepos) bareTable() *table {
	t := newTable("services, scenario", "hbuild", "bare", "hbuild : bare", "one file", "bare", "one file : bare")
	m.forAll(func(size int, sc scenario, name string) {
		if !sc.bare {
			return
		}
		row := []string{name}
		for _, tool := range []string{nameHbuild, nameOneFile} {
			cells := []string{"", "", ""}
			if tk := m.get(size, sc.name, tool); tk.ended() {
				cells = []string{tk.time(), seconds(tk.Bare), ratio(tk.Wall, tk.Bare)}
			}
			row = append(row, cells...)
		}
		t.row(row...)
	})
	return t
}

func (m *monorepos) costTable() *table {
	t := newTable("services, scenario", "hbuild", "one file", "Bake", "hbuild : Bake", "one file : Bake", "hbuild’s cpu", "one file’s", "Bake’s", "after")
	if !m.hasBake() {
		t = newTable("services, scenario", "hbuild", "one file", "hbuild’s cpu", "one file’s")
	}
	m.forAll(func(size int, sc scenario, name string) {
		var memory, cpu []string
		for _, tool := range m.tools {
			used, processor := "", ""
			if tk := m.get(size, sc.name, tool); tk.ended() {
				used, processor = megabytes(tk.Memory), seconds(tk.CPU+tk.Daemon)
			}
			memory, cpu = append(memory, used), append(cpu, processor)
		}
		if b := m.get(size, sc.name, nameBake); m.hasBake() {
			after := ""
			if b.ended() {
				after = seconds(b.After)
				if b.Busy {
					after = "> " + after
				}
			}
			memory = append(memory, memoryRatio(m.get(size, sc.name, nameHbuild), b), memoryRatio(m.get(size, sc.name, nameOneFile), b))
			cpu = append(cpu, after)
		}
		t.row(slices.Concat([]string{name}, memory, cpu)...)
	})
	return t
}

// memoryRatio is how much of b's memory a needs.
func memoryRatio(a, b *took) string {
	if !a.ended() || !b.ended() {
		return ""
	}
	return ratio(a.Memory, b.Memory)
}

// growthTable compares hbuild with itself.
func (m *monorepos) growthTable() *table {
	t := newTable("", "hbuild", "its cpu", "one file", "its cpu")
	add := func(name string, inTurn bool, compared func(tool string) (a, b *took)) {
		row := []string{name}
		for _, tool := range []string{nameHbuild, nameOneFile} {
			a, b := compared(tool)
			switch {
			case !a.ended() || !b.ended():
				row = append(row, "", "")
			case inTurn:
				row = append(row, pairRatio(a, b, wall), pairRatio(a, b, cpu))
			default:
				row = append(row, ratio(wall(a), wall(b)), ratio(cpu(a), cpu(b)))
			}
		}
		if strings.Join(row[1:], "") != "" {
			t.row(row...)
		}
	}
	for _, size := range m.sizes {
		add(fmt.Sprintf("%s : %s, %d services", nameChanged, nameUnchanged, size), true, func(tool string) (a, b *took) {
			a = m.get(size, nameChanged, tool)
			return a, a.pair()
		})
	}
	for i, size := range m.sizes {
		for _, sc := range scenarios {
			if i > 0 {
				before := m.sizes[i-1]
				inTurn := len(together([]int{before, size})) == 1
				add(fmt.Sprintf("%s, %d : %d services (%.3g times as many)", sc.name, size, before, float64(size)/float64(before)), inTurn, func(tool string) (a, b *took) {
					return m.get(size, sc.name, tool), m.get(before, sc.name, tool)
				})
			}
		}
	}
	return t
}

// peak is a tool's largest memory in any scenario of a size that ended.
func (m *monorepos) peak(size int, tool string) (most int64) {
	for _, sc := range scenarios {
		if tk := m.get(size, sc.name, tool); tk.ended() {
			most = max(most, tk.Memory)
		}
	}
	return most
}

// slowest is a tool's longest time of a size, for the report that all of it built.
func (m *monorepos) slowest(size int, tool string) (most time.Duration, all bool) {
	for _, sc := range scenarios {
		tk := m.get(size, sc.name, tool)
		if !tk.ended() {
			return 0, false
		}
		most = max(most, tk.Wall)
	}
	return most, true
}
