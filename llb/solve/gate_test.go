package solve

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/moby/buildkit/identity"
)

// gated is a call with a test that passes and one that fails, and what waits for
// them: files by the main build, an image, files of its own after another target.
func gated(id string) Request {
	return Request{Jobs: []Job{
		{Addr: "test.good", Test: true, SolveOnly: true, Builds: []PlatformBuild{{Image: state(shell("echo tested-" + id))}}},
		{Addr: "test.bad", Test: true, SolveOnly: true, Builds: []PlatformBuild{{Image: state(shell("echo oh-no-" + id + "; exit 3"))}}},
		{Addr: "target.good", Gates: []string{"test.good"}, Builds: []PlatformBuild{{Files: state(file("good", id)), Outputs: []FileOutput{{Path: "good"}}}}},
		{Addr: "target.bad", Gates: []string{"test.good", "test.bad"}, Builds: []PlatformBuild{{Files: state(file("bad", id)), Outputs: []FileOutput{{Path: "bad"}}}}},
		{Addr: "target.image", Gates: []string{"test.bad"}, Builds: []PlatformBuild{{Image: state(file("image", id))}}},
		{Addr: "target.after", Requires: []string{"target.image"}, Builds: []PlatformBuild{{Files: state(file("after", id)), Outputs: []FileOutput{{Path: "after"}}}}},
		{Addr: "target.first", Gates: []string{"test.good"}, Builds: []PlatformBuild{{Files: state(file("first", id)), Outputs: []FileOutput{{Path: "first"}}}}},
		{Addr: "target.second", Requires: []string{"target.first"}, Builds: []PlatformBuild{{Files: state(file("second", id)), Outputs: []FileOutput{{Path: "second"}}}}},
	}}
}

// TestFailingTestStopsWhatItGates is the same with and without KeepGoing, and on
// one slot.
func TestFailingTestStopsWhatItGates(t *testing.T) {
	for _, parallel := range []int{0, 1} {
		req := gated(identity.NewID())
		req.Root, req.Parallel, req.KeepGoing = t.TempDir(), parallel, parallel == 1
		res, err := run(t, req)
		var step *StepError
		if !errors.As(err, &step) || step.Target != "test.bad" || step.ExitCode != 3 || len(flattened(err)) != 1 {
			t.Fatalf("%v (%T)", err, err)
		}
		clean(t, req.Root, "first", "good", "second")
		for _, j := range res.Jobs {
			var skipped *SkippedError
			switch j.Addr {
			case "target.bad", "target.image", "target.after":
				if !errors.As(j.Err, &skipped) || skipped.By != "test.bad" {
					t.Errorf("%s: %v", j.Addr, j.Err)
				}
				if j.Digest != "" || j.InEngine {
					t.Errorf("%s had effects: %+v", j.Addr, j)
				}
			case "test.bad":
			default:
				if j.Err != nil {
					t.Errorf("%s: %v", j.Addr, j.Err)
				}
			}
		}
		// What waited in vain was built all the same, beside the tests.
		for _, j := range res.Jobs {
			if (j.Addr == "target.bad" || j.Addr == "target.image") && j.StepsRun != 1 {
				t.Errorf("%s: %d steps run", j.Addr, j.StepsRun)
			}
		}
	}
}

func TestAtomicNeedsTests(t *testing.T) {
	req := gated(identity.NewID())
	req.Root, req.Atomic = t.TempDir(), true
	res, err := run(t, req)
	if err == nil {
		t.Fatal("no error")
	}
	clean(t, req.Root)
	for _, j := range res.Jobs {
		if j.Digest != "" || len(j.Files) > 0 || !j.Test && j.Err == nil {
			t.Errorf("%s had effects: %+v", j.Addr, j)
		}
	}
	req.Jobs[1].Builds[0].Image = req.Jobs[0].Builds[0].Image
	mustRun(t, req)
	clean(t, req.Root, "after", "bad", "first", "good", "second")
}

// TestTestsAreCached runs a test once, and a failed one again.
func TestTestsAreCached(t *testing.T) {
	req := gated(identity.NewID())
	req.Jobs = req.Jobs[:2]
	for i := range 2 {
		var out bytes.Buffer
		req.Progress = Progress{Mode: "plain", Out: &out}
		res, err := run(t, req)
		if err == nil || res.Jobs[0].Err != nil || res.Jobs[0].StepsRun != 1-i || !strings.Contains(out.String(), "oh-no-") {
			t.Errorf("%v %+v\n%s", err, res.Jobs[0], &out)
		}
	}
}

func flattened(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}
