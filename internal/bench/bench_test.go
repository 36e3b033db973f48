package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// ended is a run that took so long and so much.
func ended(wall time.Duration, memory int64) *took {
	var t *took
	return t.add(&took{usage: usage{Wall: wall, CPU: wall, Memory: memory}})
}

// measured is a report of two sizes, in which Bake did not come to the end.
func measured() *report {
	m := &monorepos{sizes: []int{200, 1000}, tools: []string{nameHbuild, nameOneFile, nameBake}, took: map[key]*took{}}
	for i, sc := range scenarios {
		d := time.Duration(i+1) * time.Second
		m.took[key{200, sc.name, nameHbuild}] = ended(2*d, 50e6)
		m.took[key{200, sc.name, nameOneFile}] = ended(d, 40e6)
		m.took[key{200, sc.name, nameBake}] = ended(20*d, 100e6)
		m.took[key{1000, sc.name, nameHbuild}] = ended(9*d, 90e6)
		m.took[key{1000, sc.name, nameOneFile}] = ended(6*d, 80e6)
	}
	for _, tool := range m.tools[:2] {
		tk := m.took[key{200, nameChanged, tool}]
		tk.unchanged = ended(tk.Wall/4, 1)
	}
	m.took[key{200, nameImages, nameBake}] = &took{Late: 3 * time.Minute}
	m.took[key{1000, nameCold, nameBake}] = &took{Late: 3 * time.Minute}
	return &report{repos: m, machine: newTable("machine", "")}
}

// row is the cells of the row with this beginning.
func row(t *testing.T, tab *table, name string) []string {
	t.Helper()
	i := slices.IndexFunc(tab.rows, func(r []string) bool { return strings.HasPrefix(r[0], name) })
	if i < 0 {
		t.Fatalf("no row %q in\n%s", name, tab.plain())
	}
	return tab.rows[i][1:]
}

func TestTables(t *testing.T) {
	m := measured().repos
	m.get(200, nameUnchanged, nameHbuild).Bare = time.Second
	for _, c := range []struct {
		table *table
		row   string
		want  []string
	}{
		{m.timeTable(), "200, cold", []string{"2.00 s", "1.00 s", "20.0 s", "10.0×", "20.0×", "1, 1, 1"}},
		{m.timeTable(), "200, " + nameImages, []string{"10.0 s", "5.00 s", "> 180 s", "> 18×", "> 36×", "1, 1, –"}},
		{m.timeTable(), "1000, cold", []string{"9.00 s", "6.00 s", "> 180 s", "> 20×", "> 30×", "1, 1, –"}},
		{m.timeTable(), "1000, " + nameUnchanged, []string{"18.0 s", "12.0 s", "not tried", "", "", "1, 1, –"}},
		{m.spreadTable(), "200, cold", []string{"2.00 s to 2.00 s", "1.00 s to 1.00 s", "20.0 s to 20.0 s"}},
		{m.spreadTable(), "200, " + nameImages, []string{"10.0 s to 10.0 s", "5.00 s to 5.00 s", ""}},
		{m.bareTable(), "200, " + nameUnchanged, []string{"4.00 s", "1.00 s", "4.00×", "2.00 s", "", ""}},
		{m.costTable(), "200, cold", []string{"50 MB", "40 MB", "100 MB", "0.50×", "0.40×", "2.00 s", "1.00 s", "20.0 s", ""}},
		{m.growthTable(), "one file changed : nothing changed, 200", []string{"4.00×", "4.00×", "4.00×", "4.00×"}},
		{m.growthTable(), "cold, 1000 : 200", []string{"4.50×", "4.50×", "6.00×", "6.00×"}},
	} {
		if got := row(t, c.table, c.row); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.row, got, c.want)
		}
		for _, r := range c.table.rows {
			if len(r) != len(c.table.rows[0]) {
				t.Errorf("%q has not as many cells as %q", r, c.table.rows[0])
			}
		}
	}
}

func TestGoals(t *testing.T) {
	r := measured()
	r.shared = &sharedResult{rows: []*sharedRow{
		{tool: nameHbuild, took: *ended(time.Second, 1), counts: &contextResult{Walks: 1, Bytes: 588890}},
		{again: true, tool: nameHbuild, took: *ended(time.Second, 1), counts: &contextResult{Walks: 1}},
		{tool: nameBake, took: *ended(time.Second, 1)},
	}}
	r.memory = &monorepos{sizes: []int{200, 1000}, tools: []string{nameHbuild, nameOneFile}, took: map[key]*took{
		{200, nameCold, nameHbuild}: ended(1, 1), {200, nameCold, nameOneFile}: ended(1, 1),
		{1000, nameCold, nameHbuild}: ended(2, 1), {1000, nameCold, nameOneFile}: ended(3, 1),
	}}
	many := &compiled{parse: 2 * time.Second, parseAll: time.Second, check: usage{Wall: 5 * time.Second}, bare: usage{Wall: 4 * time.Second}}
	many.name = manyModules
	r.compile = &compileResult{sources: []*compiled{many}}
	for name, want := range map[string][]string{
		"200 services, nothing changed, three times in a row: at":                        {"10.0×", "20.0×"},
		"200 services, nothing changed: the same, beside a Bake whose daemon":            {"10.0×", "20.0×"},
		"200 services, nothing changed, images exported, three times in a row: at least": {"10.0×", "20.0×"},
		"200 services, nothing changed, images exported: the same, beside":               {"> 18×", "> 36×"},
		"200 services, cold: at least twice":                                             {"10.0×", "20.0×"},
		"200 services, one file changed: at most 1.5":                                    {"4.00×", "4.00×"},
		"200 services: the client's memory":                                              {"0.50×", "0.40×"},
		"1000 services can be built":                                                     {"yes, all scenarios, the longest 54.0 s; Bake, cold: > 180 s", "yes, all scenarios, the longest 36.0 s; Bake, cold: > 180 s"},
		"from 200 to 1000 services at most 5.5 times the time: cold":                     {"4.50×", "6.00×"},
		"from 200 to 1000 services at most 5.5 times the time, without a disk: cold":     {"2.00×", "3.00×"},
		"100000 files":   {"", "the first time 1 walk and 588890 bytes of files, then 1 walk and 0 bytes of files"},
		"`hbuild check`": {"1.25× (2.50× of a parse on one processor that keeps nothing, 5.00× of one on all)", ""},
	} {
		if got := row(t, goals(r), name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, not %q", name, got, want)
		}
	}
	// What was not measured is no row.
	r.memory = nil
	r.repos.sizes, r.repos.took = []int{10}, map[key]*took{{10, nameCold, nameHbuild}: ended(1, 1)}
	if rows := goals(r).rows; len(rows) != 3 {
		t.Errorf("goals of sizes that were not measured: %q", rows)
	}
}

// TestPairs: runs are compared with those that were measured beside them.
func TestPairs(t *testing.T) {
	runs := func(seconds ...time.Duration) (t *took) {
		for _, s := range seconds {
			t = t.add(&took{usage: usage{Wall: s * time.Second, CPU: s * time.Second}})
		}
		return t
	}
	for _, c := range []struct {
		a, b *took
		want string
	}{
		{runs(10, 20, 30), runs(5, 2, 10), "3.00×"}, // the medians are 20 and 5
		{runs(10, 20), runs(5, 2), "10.0×"},
		{runs(9), runs(3), "3.00×"},
		{runs(9), nil, ""},
		{runs(9), &took{Late: time.Minute}, ""},
	} {
		if got := pairRatio(c.a, c.b, wall); got != c.want {
			t.Errorf("%v beside %v: %s, not %s", c.a, c.b, got, c.want)
		}
	}
}

// TestGiveUp: what took too long is not tried again, nor what comes after it, in
// larger sizes as well; what comes before it is.
func TestGiveUp(t *testing.T) {
	m := &monorepos{took: map[key]*took{}}
	bake := &tool{name: nameBake, size: 200, limit: time.Minute, scenarios: len(scenarios)}
	if tk := bake.giveUp(m, 2, errLate); tk.Late != time.Minute || bake.scenarios != 2 || bake.failed != nil || len(m.notes) != 1 {
		t.Errorf("late: %+v, %+v, %q", tk, bake, m.notes)
	}
	if tk := bake.giveUp(m, 0, errors.New("no")); !tk.Broken || tk.ended() || bake.scenarios != 0 || bake.failed == nil {
		t.Errorf("failed: %+v, %+v", tk, bake)
	}
}

// TestTogether: sizes that are compared are measured in turn, tool by tool.
func TestTogether(t *testing.T) {
	for _, c := range []struct {
		sizes []int
		want  string
	}{
		{[]int{1, 10, 200, 1000}, "[[1] [10] [200 1000]]"},
		{[]int{1, 1000}, "[[1] [1000]]"}, {[]int{200, 500, 1000}, "[[200] [500] [1000]]"}, {[]int{1000}, "[[1000]]"},
	} {
		if got := fmt.Sprint(together(c.sizes)); got != c.want {
			t.Errorf("%d: %s, not %s", c.sizes, got, c.want)
		}
	}
	m := &monorepos{tools: []string{nameHbuild, nameBake}}
	var got []string
	for _, tool := range m.inTurn([]*tool{{name: nameHbuild, size: 200}, {name: nameBake, size: 200}, {name: nameHbuild, size: 1000}, {name: nameBake, size: 1000}}) {
		got = append(got, fmt.Sprint(tool.name, " ", tool.size))
	}
	if want := []string{"hbuild 200", "hbuild 1000", "Bake 200", "Bake 1000"}; !slices.Equal(got, want) {
		t.Errorf("in turn %q", got)
	}
}

func TestRuns(t *testing.T) {
	o := options{runs: 3, enough: 30 * time.Second, brief: 5 * time.Second}
	for _, c := range []struct {
		run   int
		spent time.Duration
		want  bool
	}{{0, time.Hour, true}, {1, time.Hour, true}, {2, 29 * time.Second, true}, {2, 30 * time.Second, false}, {goalRuns - 1, 29 * time.Second, true}, {goalRuns - 1, 30 * time.Second, false}, {goalRuns, 4 * time.Second, true}, {goalRuns, 5 * time.Second, false}, {9, 0, false}} {
		if o.again(goalLarge, c.run, c.spent) != c.want {
			t.Errorf("run %d after %s", c.run, c.spent)
		}
		if c.run >= o.runs && o.again(10, c.run, c.spent) {
			t.Errorf("run %d of a size that no goal is about", c.run)
		}
	}
	if one := (options{runs: 1, brief: time.Hour}); one.most() != 1 || one.again(goalSize, 1, 0) {
		t.Error("what was asked for once is measured twice")
	}
	var middle *took
	for i, want := range []time.Duration{3, 1, 2, 2} {
		if middle = middle.add(ended([]time.Duration{3, 1, 2, 4}[i]*time.Second, int64(30-i))); middle.Wall != want*time.Second {
			t.Errorf("after %d runs: %s", i+1, middle.Wall)
		}
	}
	paired := ended(5, 1)
	paired.unchanged = ended(3, 1)
	if both := middle.add(paired).add(paired); both.pair().Wall != 3 || len(both.pair().all) != 2 || middle.pair() != nil {
		t.Errorf("paired with %+v", both.pair())
	}
	if middle.Memory != 30 || middle.spread() != "1.00 s to 4.00 s" {
		t.Errorf("%d, %s", middle.Memory, middle.spread())
	}
}

func TestFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "", 1234 * time.Microsecond: "1.23 ms", 9960 * time.Microsecond: "10 ms", 999700 * time.Microsecond: "1.00 s", 9994 * time.Millisecond: "9.99 s",
		9996 * time.Millisecond: "10.0 s", 99960 * time.Millisecond: "100 s", 3 * time.Minute: "180 s",
	} {
		if got := seconds(d); got != want {
			t.Errorf("%s is %q, not %q", d, got, want)
		}
	}
	for r, want := range map[float64]string{0.4949: "0.49×", 1.499: "1.50×", 9.996: "10.0×", 25.04: "25.0×", 123.4: "123×"} {
		if got := times(r); got != want {
			t.Errorf("%v is %q, not %q", r, got, want)
		}
	}
	if ratio[int64](3, 0) != "" || ratio[int64](0, 3) != "" {
		t.Error("a ratio of nothing")
	}
}

// TestReport: a file is there at any time, and whole; it says what is missing.
func TestReport(t *testing.T) {
	r := measured()
	r.out = filepath.Join(t.TempDir(), "sub", "results.md")
	read := func() string {
		if err := r.save(); err != nil {
			t.Fatal(err)
		}
		dt, err := os.ReadFile(r.out)
		if err != nil {
			t.Fatal(err)
		}
		return string(dt)
	}
	if text := read(); !strings.Contains(text, "not at its end") || !strings.Contains(text, "\n## Goals\n\n") || !strings.Contains(text, "\n| 200, cold | 2.00 s |") {
		t.Errorf("half a report:\n%s", text)
	}
	r.ended(errors.New("one\ntwo"))
	if text := read(); !strings.Contains(text, "Not all could be measured:** one two") {
		t.Errorf("a report that failed:\n%s", text)
	}
	if left, _ := filepath.Glob(r.out + ".*"); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

func TestStrace(t *testing.T) {
	c := parseStrace([]byte(`% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.400000           4    105121         3 newfstatat
 39.00    0.200000          20     10106           getdents64
  1.00    0.000010           1         5         5 statx
------ ----------- ----------- --------- --------- ----------------
100.00    0.600010                115232         8 total
`))
	if c.stats != 105126 || c.reads != 10106 {
		t.Errorf("%+v", c)
	}
}

// TestWire: what clients send is counted, and both directions arrive.
func TestWire(t *testing.T) {
	backend, err := net.Listen("unix", filepath.Join(t.TempDir(), "sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer backend.Close()
	go func() {
		c, err := backend.Accept()
		if err == nil {
			io.CopyN(c, c, 5) // an echo
			c.Close()
		}
	}()
	w, err := listen("unix://" + backend.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("unix", strings.TrimPrefix(w.address, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "hello")
	if got, err := io.ReadAll(c); string(got) != "hello" || err != nil || w.sent.Load() != 5 {
		t.Errorf("%q came back (%v), %d bytes were counted", got, err, w.sent.Load())
	}
	if err := w.close(); err != nil {
		t.Error(err)
	}
}

// TestMeasure: a program's time is bounded, with what it started, and its failure has
// its words.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	if _, err := measure(context.Background(), 200*time.Millisecond, dir, nil, "/bin/sh", "-c", "sleep 60 & wait"); !errors.Is(err, errLate) {
		t.Errorf("a program that takes too long: %v", err)
	}
	if _, err := measure(context.Background(), time.Minute, dir, nil, "/bin/sh", "-c", "echo why >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("a program that fails: %v", err)
	}
	u, err := measure(context.Background(), time.Minute, dir, []string{"X=1"}, "/bin/sh", "-c", "echo $X; pwd")
	if err != nil || string(u.Out) != "1\n"+dir+"\n" || u.Wall <= 0 || u.Memory <= 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

// TestMain is this program when a test measures something: it starts itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == childMeasure {
		os.Exit(measureChild(os.Args[2:]))
	}
	os.Exit(m.Run())
}
