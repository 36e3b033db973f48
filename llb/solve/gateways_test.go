package solve

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/identity"
)

// TestManyJobs solves more jobs than one gateway build should: what they share runs once,
// and a failure in one of the further builds is its job's alone.
func TestManyJobs(t *testing.T) {
	id := identity.NewID()
	shared := shell("echo " + id)
	const failing = GatewayJobs + GatewayJobs/2
	req := Request{KeepGoing: true, Root: t.TempDir()}
	for i := range 2*GatewayJobs + 10 {
		st := shared.File(llb.Mkfile("/n", 0o644, fmt.Append(nil, id, i)))
		if i == failing {
			st = shared.Run(llb.Args([]string{"/bin/sh", "-c", "echo the end; exit 7"})).Root()
		}
		j := imageJob(fmt.Sprintf("target.t%d", i), state(st))
		j.SolveOnly = true
		req.Jobs = append(req.Jobs, j)
	}
	// The files of a job leave through the main build, whatever the others are solved in.
	req.Jobs = append(req.Jobs, filesJob("target.files", state(file("out.txt", id)), FileOutput{Path: "out.txt"}))

	res, err := run(t, req)
	var failed *StepError
	if !errors.As(err, &failed) || failed.ExitCode != 7 || !slices.Equal(failed.Log, []string{"the end"}) {
		t.Fatalf("%v (%+v)", err, failed)
	}
	for i, j := range res.Jobs {
		if (j.Err != nil) != (i == failing) {
			t.Errorf("%s: %v", j.Addr, j.Err)
		}
	}
	if want := len(req.Jobs) + 1; res.StepsRun != want { // each its own, one of all
		t.Errorf("%d steps ran, want %d", res.StepsRun, want)
	}
	if res.Sessions != 1 {
		t.Errorf("%d sessions", res.Sessions)
	}
	if got := read(t, req.Root+"/out.txt"); got != id {
		t.Errorf("%q was written", got)
	}

	// The first failure ends all builds.
	req.KeepGoing = false
	if _, err := run(t, req); !errors.As(err, &failed) {
		t.Errorf("%v", err)
	}
}
