package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// report collects what was measured: it prints each piece when it is there, and
// writes all of them at the end.
type report struct{ text bytes.Buffer }

func newReport(o options) (*report, error) {
	r := &report{}
	r.heading("Measurements")
	lines, err := machine(o)
	if err != nil {
		return nil, err
	}
	r.paragraph("`make bench` made this file. Times are the best of several runs; trust the ratios of one machine rather than the figures of two.")
	t := newTable("machine", "")
	t.left = true
	for _, l := range lines {
		t.row(l[0], l[1])
	}
	r.table(t)
	return r, nil
}

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

func (r *report) heading(s string) {
	level := "## "
	if r.text.Len() == 0 {
		level = "# "
	} else {
		r.text.WriteString("\n")
	}
	r.text.WriteString(level + s + "\n")
	fmt.Printf("\n%s\n", s)
}

func (r *report) paragraph(s string) {
	fmt.Fprintf(&r.text, "\n%s\n", s)
	fmt.Printf("\n%s\n", s)
}

func (r *report) table(t *table) {
	r.text.WriteString("\n" + t.markdown())
	fmt.Print("\n" + t.plain())
}

// write leaves the file alone when there is no name for it.
func (r *report) write(name string) error {
	if name == "" {
		return nil
	}
	return os.WriteFile(name, r.text.Bytes(), 0o644)
}

// table is rows of cells; all columns but the first are numbers, unless left.
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
	case s >= 100:
		return fmt.Sprintf("%.0f s", s)
	case s >= 10:
		return fmt.Sprintf("%.1f s", s)
	case s < 1:
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

// ratio is how many times b is a; "" when there is no telling.
func ratio[T time.Duration | int64](b, a T) string {
	if a == 0 || b == 0 {
		return ""
	}
	r := float64(b) / float64(a)
	if r >= 10 {
		return fmt.Sprintf("%.0f×", r)
	}
	return fmt.Sprintf("%.2g×", r)
}
