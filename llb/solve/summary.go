package solve

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const (
	// longestList is how many files of a job are named, and shortList of each of more
	// than a few jobs.
	longestList = 12
	shortList   = 3
	fewJobs     = 5
	// longestTable is how many jobs are all in the table; of more only those where
	// something happened.
	longestTable = 50
	// shortDigest is how much of a digest a table shows, in hexadecimal digits; the
	// metadata file has all of it.
	shortDigest = 12
)

// Summary prints what was made and where it is: some lines for one job, a table for
// several.
func (r *Result) Summary(w io.Writer) {
	switch {
	case len(r.Jobs) == 1 && r.Jobs[0].Err == nil:
		r.Jobs[0].summary(w)
	case len(r.Jobs) > 1:
		r.effects(w)
		r.table(w, r.rows())
		fmt.Fprintf(w, "%s in %s: %s\n", r.counts(), round(r.Duration), steps(r.StepsRun, r.StepsCached))
	}
}

// TestSummary prints a table of tests, and how many passed.
func (r *Result) TestSummary(w io.Writer) {
	all := make([]*JobResult, len(r.Jobs))
	for i := range r.Jobs {
		all[i] = &r.Jobs[i]
	}
	r.table(w, all)
	fmt.Fprintf(w, "%s in %s: %s\n", r.counts(), round(r.Duration), steps(r.StepsRun, r.StepsCached))
}

// rows are the jobs of the table. Of very many, those are left out that had nothing
// to do, and those that a failure stopped: the failure names them.
func (r *Result) rows() (out []*JobResult) {
	for i := range r.Jobs {
		j := &r.Jobs[i]
		eventful := j.StepsRun > 0 || j.Err != nil
		if len(r.Jobs) <= longestTable || eventful && j.outcome() != ResultSkipped {
			out = append(out, j)
		}
	}
	return out
}

// table prints jobs, a line each; columns that would be empty are left out.
func (r *Result) table(w io.Writer, rows []*JobResult) {
	if len(rows) == 0 {
		return
	}
	digests := slices.ContainsFunc(rows, func(j *JobResult) bool { return j.Digest != "" })
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	line := func(cells ...string) {
		if !digests {
			cells = cells[:len(cells)-1]
		}
		fmt.Fprintln(tw, strings.Join(cells, "\t"))
	}
	what := "TARGET"
	if !slices.ContainsFunc(rows, func(j *JobResult) bool { return !j.Test }) {
		what = "TEST"
	}
	line(what, "RESULT", "RUN", "CACHED", "TIME", "DIGEST")
	for _, j := range rows {
		run, cached, took := fmt.Sprint(j.StepsRun), fmt.Sprint(j.StepsCached), round(j.Duration).String()
		if len(j.Steps) == 0 && j.Err != nil {
			run, cached, took = "-", "-", "-"
		}
		line(j.label(), r.result(j), run, cached, took, short(j.Digest))
	}
	_ = tw.Flush() // a strings.Builder does not fail
	for l := range strings.Lines(b.String()) {
		fmt.Fprintln(w, strings.TrimRight(l, " \n"))
	}
}

// result is what became of a job, in the words of the table.
func (r *Result) result(j *JobResult) string {
	switch outcome := j.outcome(); {
	case outcome == ResultDone && j.StepsRun == 0:
		return "cached"
	case outcome == ResultSkipped && j.skippedBy() != "":
		return "skipped: " + r.label(j.skippedBy()) + " failed"
	default:
		return outcome
	}
}

// label is what tables call a job.
func (j *JobResult) label() string { return cmp.Or(j.Name, j.Addr) }

// label is what tables call the job at an address.
func (r *Result) label(addr string) string {
	for i := range r.Jobs {
		if r.Jobs[i].Addr == addr {
			return r.Jobs[i].label()
		}
	}
	return addr
}

// counts says how many targets and tests there were, and what became of them.
func (r *Result) counts() string {
	var parts []string
	for _, tests := range []bool{false, true} {
		all, by := 0, map[string]int{}
		for i := range r.Jobs {
			if j := &r.Jobs[i]; j.Test == tests {
				all++
				by[j.outcome()]++
			}
		}
		if all == 0 {
			continue
		}
		what := "target"
		if tests {
			what = "test"
		}
		s := plural(all, what)
		if good := by[ResultDone] + by[ResultPassed]; good < all {
			var of []string
			for _, k := range []string{ResultDone, ResultPassed, ResultFailed, ResultSkipped} {
				if by[k] > 0 {
					of = append(of, fmt.Sprintf("%d %s", by[k], k))
				}
			}
			s += " (" + strings.Join(of, ", ") + ")"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

// short is the beginning of a digest.
func short(digest string) string {
	if algorithm, hex, ok := strings.Cut(digest, ":"); ok && len(hex) > shortDigest {
		return algorithm + ":" + hex[:shortDigest]
	}
	return digest
}

func round(d time.Duration) time.Duration {
	if d < time.Second {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Millisecond)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// steps says how much work there was.
func steps(run, cached int) string {
	return fmt.Sprintf("%s run, %d cached", plural(run, "step"), cached)
}

// effects says of several jobs where what they made is, those of a large call that
// had nothing to do left out.
func (r *Result) effects(w io.Writer) {
	rows, most := r.rows(), longestList
	if len(rows) > fewJobs {
		most = shortList
	}
	if len(rows) > longestTable {
		r.totals(w)
		rows = nil
	}
	for _, j := range rows {
		if lines := j.places(most); j.Err == nil && len(lines) > 0 {
			fmt.Fprintf(w, "%s:\n  %s\n", j.label(), strings.Join(lines, "\n  "))
		}
	}
	stay := 0
	for i := range r.Jobs {
		if r.Jobs[i].InEngine {
			stay++
		}
	}
	if stay > 0 {
		fmt.Fprintf(w, "%s %s in the engine; get %s out with --load, --push or -o type=oci,dest=FILE\n",
			plural(stay, "image"), map[bool]string{true: "is", false: "are"}[stay == 1], map[bool]string{true: "it", false: "them"}[stay == 1])
	}
}

// totals says how much went where, for more jobs than anyone reads of.
func (r *Result) totals(w io.Writer) {
	tags, files, loaded := 0, 0, 0
	for i := range r.Jobs {
		j := &r.Jobs[i]
		tags += len(j.Pushed)
		files += len(j.Files)
		if j.Loaded != "" {
			loaded++
		}
	}
	for _, t := range []struct {
		n          int
		verb, what string
	}{{tags, "pushed", "tag"}, {loaded, "loaded", "image"}, {files, "wrote", "file"}} {
		if t.n > 0 {
			fmt.Fprintf(w, "%s %s\n", t.verb, plural(t.n, t.what))
		}
	}
}

// places are where a job's results went, but the engine; so many of its files are
// named at most.
func (j *JobResult) places(most int) (lines []string) {
	for _, tag := range j.Pushed {
		if j.Digest != "" {
			tag += "@" + j.Digest
		}
		lines = append(lines, "pushed "+tag)
	}
	if j.Loaded != "" {
		lines = append(lines, "loaded into "+j.Loaded)
	}
	shown := 0
	trees := map[string]int{}
	for _, f := range j.Files {
		if f.tree != "" {
			trees[fromHere(f.root, f.tree)]++
			continue
		}
		if shown++; shown <= most {
			lines = append(lines, "wrote "+fromHere(f.root, f.Path))
		}
	}
	if shown > most {
		lines = append(lines, "wrote "+plural(shown-most, "more file"))
	}
	for _, dir := range slices.Sorted(maps.Keys(trees)) {
		lines = append(lines, fmt.Sprintf("wrote %s (%d files)", dir, trees[dir]))
	}
	return lines
}

// fromHere names a file from the working directory, or by its whole path where that
// is shorter.
func fromHere(root, name string) string {
	if root == "" {
		return name
	}
	abs, err := filepath.Abs(filepath.Join(root, name))
	if err != nil {
		return name
	}
	wd, err := os.Getwd()
	if err != nil {
		return abs
	}
	if rel, err := filepath.Rel(wd, abs); err == nil && len(rel) <= len(abs) {
		return rel
	}
	return abs
}

// summary says all of one job.
func (j *JobResult) summary(w io.Writer) {
	steps := steps(j.StepsRun, j.StepsCached)
	switch {
	case j.Digest != "":
		fmt.Fprintf(w, "%s: %s (%s)\n", j.Addr, j.Digest, steps)
	case len(j.Files) > 0:
		fmt.Fprintf(w, "%s: %s\n", j.Addr, steps)
	default:
		fmt.Fprintf(w, "%s: %s (%s)\n", j.Addr, j.outcome(), steps)
	}
	for _, line := range j.places(longestList) {
		fmt.Fprintf(w, "  %s\n", line)
	}
	if j.InEngine {
		where := "is in the engine"
		if j.Stored && len(j.Tags) > 0 {
			where += " as " + strings.Join(j.Tags, ", ")
		}
		fmt.Fprintf(w, "  %s; get it out with --load, --push or -o type=oci,dest=FILE\n", where)
	}
}
