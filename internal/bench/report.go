package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what was measured so far.
type report struct {
	out     string // the file; "" for none
	machine *table
	started time.Time
	took    time.Duration // all of it; 0 while it goes on
	failed  string        // why it is not all

	compile *compileResult
	repos   *monorepos
	memory  *monorepos // of daemons that keep their state in memory
	shared  *sharedResult
}

func newReport(o options) (*report, error) {
	lines, err := machine(o)
	if err != nil {
		return nil, err
	}
	t := newTable("machine", "")
	t.left = true
	for _, l := range lines {
		t.row(l[0], l[1])
	}
	return &report{out: o.out, machine: t, started: time.Now()}, nil
}

// ended notes how the measuring ended.
func (r *report) ended(err error) {
	r.took = time.Since(r.started)
	if err != nil {
		r.failed = err.Error()
	}
}

// document is the report as far as it goes.
func (r *report) document() *document {
	d := &document{}
	d.heading("Measurements")
	text := "`make bench` made this file. Times are medians of some runs, of fewer where they take long; trust the ratios of one machine rather than the figures of two."
	switch {
	case r.failed != "":
		text += " **Not all could be measured:** " + strings.ReplaceAll(r.failed, "\n", " ")
	case r.took == 0:
		text += " **It was not at its end yet.**"
	default:
		text += fmt.Sprintf(" All of it took %s.", r.took.Round(time.Second))
	}
	d.paragraph(text)
	d.table(r.machine)
	if t := goals(r); len(t.rows) > 1 {
		d.heading("Goals")
		d.explained("What was aimed at, and what this run measured. *hbuild* has a module for each service, *one file* has all services in one.", t)
	}
	if r.repos != nil {
		r.repos.describe(d)
	}
	if r.memory != nil {
		r.memory.describeMemory(d)
	}
	if r.shared != nil {
		r.shared.describe(d)
	}
	if r.compile != nil {
		r.compile.describe(d)
	}
	return d
}

// save writes the file anew, if there is one: beside it first, so that it is never
// half written.
func (r *report) save() error {
	if r.out == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.out), 0o755); err != nil {
		return err
	}
	beside := r.out + ".new"
	if err := os.WriteFile(beside, []byte(r.document().markdown()), 0o644); err != nil {
		return err
	}
	return os.Rename(beside, r.out)
}

func (r *report) plain() string { return r.document().plain() }

// machine is what the figures depend on.
func machine(o options) (lines [][2]string, err error) {
	field := func(file, expr string) string {
		dt, _ := os.ReadFile(file)
		if m := regexp.MustCompile(expr).FindSubmatch(dt); m != nil {
			return strings.TrimSpace(string(m[1]))
		}
		return "unknown"
	}
	lines = [][2]string{
		{"processor", field("/proc/cpuinfo", `(?m)^model name\s*:\s*(.*)$`)},
		{"processors", fmt.Sprint(runtime.NumCPU())},
		{"memory", field("/proc/meminfo", `(?m)^MemTotal:\s*(.*)$`)},
		{"kernel", field("/proc/sys/kernel/osrelease", `(.*)`)},
	}
	for _, p := range [][]string{{o.hbuild, "version"}, {"bin/buildkitd", "--version"}, {o.buildx, "version"}} {
		if p[0] == "" {
			continue
		}
		out, err := exec.Command(p[0], p[1:]...).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", strings.Join(p, " "), err)
		}
		lines = append(lines, [2]string{strings.TrimPrefix(p[0], "bin/"), strings.TrimSpace(string(out))})
	}
	return append(lines, [2]string{"day", time.Now().UTC().Format(time.DateOnly)}), nil
}

// document is text and tables, for a file and for a terminal.
type document struct{ blocks []block }

// block is one of three.
type block struct {
	title, text string
	table       *table
}

func (d *document) heading(s string)   { d.blocks = append(d.blocks, block{title: s}) }
func (d *document) paragraph(s string) { d.blocks = append(d.blocks, block{text: s}) }
func (d *document) table(t *table)     { d.blocks = append(d.blocks, block{table: t}) }

// explained adds a table with what it says, unless it has no rows.
func (d *document) explained(text string, t *table) {
	if len(t.rows) > 1 {
		if text != "" {
			d.paragraph(text)
		}
		d.table(t)
	}
}

func (d *document) markdown() string {
	var all []string
	for i, b := range d.blocks {
		switch {
		case b.table != nil:
			all = append(all, b.table.markdown())
		case b.text != "":
			all = append(all, b.text+"\n")
		case i == 0:
			all = append(all, "# "+b.title+"\n")
		default:
			all = append(all, "## "+b.title+"\n")
		}
	}
	return strings.Join(all, "\n")
}

func (d *document) plain() string {
	var all []string
	for _, b := range d.blocks {
		if b.table != nil {
			all = append(all, b.table.plain())
		} else {
			all = append(all, b.title+b.text+"\n")
		}
	}
	return strings.Join(all, "\n")
}

// table has a head, a first column that is text, and others that are numbers, unless
// left.
type table struct {
	rows [][]string
	left bool
}

func newTable(heads ...string) *table { return &table{rows: [][]string{heads}} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) markdown() string {
	var b strings.Builder
	for i, row := range t.rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i > 0 {
			continue
		}
		b.WriteString("|---|")
		rest := "---:|"
		if t.left {
			rest = "---|"
		}
		b.WriteString(strings.Repeat(rest, len(row)-1) + "\n")
	}
	return b.String()
}

func (t *table) plain() string {
	var b strings.Builder
	flags := uint(tabwriter.AlignRight)
	if t.left {
		flags = 0
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', flags)
	for _, row := range t.rows {
		fmt.Fprintln(w, strings.Join(row, "\t")+"\t")
	}
	w.Flush() // into memory
	return b.String()
}

// seconds keeps three digits.
func seconds(d time.Duration) string {
	s := d.Seconds()
	switch {
	case d == 0:
		return ""
	case s >= 99.95:
		return fmt.Sprintf("%.0f s", s)
	case s >= 9.995:
		return fmt.Sprintf("%.1f s", s)
	case s < 0.00995:
		return fmt.Sprintf("%.2f ms", s*1000)
	case s < 0.9995:
		return fmt.Sprintf("%.0f ms", s*1000)
	}
	return fmt.Sprintf("%.2f s", s)
}

func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f MB", float64(n)/1e6)
}

// ratio is how many times a is b, in three digits; "" when there is no telling.
func ratio[T time.Duration | int64](b, a T) string {
	if a == 0 || b == 0 {
		return ""
	}
	return times(float64(b) / float64(a))
}

// times writes a ratio in three digits.
func times(r float64) string {
	switch {
	case r >= 99.95:
		return fmt.Sprintf("%.0f×", r)
	case r >= 9.995:
		return fmt.Sprintf("%.1f×", r)
	}
	return fmt.Sprintf("%.2f×", r)
}
