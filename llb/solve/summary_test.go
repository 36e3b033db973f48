package solve

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// call is a result of so many targets; each has a digest, a tag and some files.
func call(jobs, files int) *Result {
	r := &Result{Duration: 1234 * time.Millisecond, StepsRun: 1, StepsCached: 2}
	for i := range jobs {
		j := JobResult{Addr: fmt.Sprintf("target.t%03d", i), Name: fmt.Sprintf("t%03d", i), Digest: "sha256:" + strings.Repeat("ab", 32), Duration: time.Second,
			Steps: []StepResult{{}}, StepsCached: 2, Pushed: []string{"registry.example/t:1"}}
		for f := range files {
			j.Files = append(j.Files, WrittenFile{Path: fmt.Sprintf("out/f%d", f)})
		}
		r.Jobs = append(r.Jobs, j)
	}
	return r
}

func TestSummary(t *testing.T) {
	one := call(1, 1)
	few := call(3, 20)
	few.Jobs[0].StepsRun = 3
	few.Jobs[1].Err = errors.New("no")
	few.Jobs[2].Err = &SkippedError{By: "target.t001"}
	few.Jobs[2].Steps = nil
	some := call(20, 5)
	many := call(200, 2)
	many.Jobs[7].StepsRun = 1
	many.Jobs[8].Err = &SkippedError{By: "target.t009"}
	many.Jobs[9].Err = errors.New("no")
	all := call(200, 2)
	for i := range all.Jobs {
		all.Jobs[i].StepsRun = 1
	}
	tests := call(2, 0)
	for i := range tests.Jobs {
		tests.Jobs[i].Test, tests.Jobs[i].Digest, tests.Jobs[i].Pushed = true, "", nil
	}
	for _, c := range []struct {
		name  string
		r     *Result
		lines int
		says  string
		not   string
	}{
		{"one", one, 3, "target.t000: sha256:" + strings.Repeat("ab", 32) + " (0 steps run, 2 cached)", "TARGET"},
		{"few", few, 20, "TARGET RESULT RUN CACHED TIME DIGEST t000 done 3 2 1s sha256:abababababab t001 failed 0 2 1s sha256:abababababab t002 skipped: t001 failed - - - sha256:abababababab 3 targets (1 done, 1 failed, 1 skipped) in 1.23s: 1 step run, 2 cached", "t001: pushed"},
		{"some", some, 142, "wrote out/f2 wrote 2 more files t001:", "out/f3"},
		{"many", many, 8, "t007: pushed registry.example/t:1@sha256:", "t008"},
		{"all", all, 204, "pushed 200 tags wrote 400 files TARGET", "t001: pushed"},
		{"tests", tests, 4, "TEST RESULT RUN CACHED TIME t000 passed 0 2 1s t001 passed 0 2 1s 2 tests in", "DIGEST"},
	} {
		var b strings.Builder
		c.r.Summary(&b)
		text := strings.Join(strings.Fields(b.String()), " ")
		if !strings.Contains(text, c.says) || strings.Contains(text, c.not) || strings.Count(b.String(), "\n") != c.lines {
			t.Errorf("%s: %d lines\n%s", c.name, strings.Count(b.String(), "\n"), b.String())
		}
	}
}
