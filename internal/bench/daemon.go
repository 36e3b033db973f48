package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hbuild/hbuild/internal/testengine"
)

const (
	// idleShare is the share of a processor below which a daemon is idle.
	idleShare = 0.05
	// idleStep is over how long that is looked at, idleSteps how often in a row.
	idleStep  = 200 * time.Millisecond
	idleSteps = 2
	// idleWait is how long a daemon may go on working after a build.
	idleWait = 45 * time.Second
	// recordDelay is after how long a daemon begins to write what it has traced of a
	// build: three seconds (BuildKit's util/tracing/detect), and some.
	recordDelay = 3500 * time.Millisecond
	// quietShare is the share of the processors below which the machine is quiet, and
	// quietWait how long that is waited for.
	quietShare = 0.1
	quietWait  = 60 * time.Second
	// tick is the unit of process times in /proc: USER_HZ, 100 on Linux.
	tick = 10 * time.Millisecond
)

// daemon is a BuildKit daemon with a registry of base images.
type daemon struct {
	*testengine.Instance
	records bool // the builds on it are recorded in its history
}

// startDaemon starts one whose state is in the directory, or where that of tests is.
func startDaemon(ctx context.Context, state string) (d *daemon, err error) {
	d = &daemon{}
	if state == "" {
		d.Instance, err = testengine.Launch(ctx, os.Stderr)
	} else {
		d.Instance, err = testengine.LaunchIn(ctx, state, os.Stderr)
	}
	return d, err
}

// cpu is the processor time that the daemon has used, with that of the processes
// it waited for.
func (d *daemon) cpu() time.Duration {
	dt, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.PID))
	if err != nil {
		return 0
	}
	// The program's name, in parentheses, may hold anything.
	fields := strings.Fields(string(dt[strings.LastIndexByte(string(dt), ')')+1:]))
	var sum time.Duration
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.Atoi(f)
		sum += time.Duration(n) * tick
	}
	return sum
}

// idle waits until the daemon has nothing to do and returns what it used until
// then. It says whether the daemon became idle.
func (d *daemon) idle(ctx context.Context) (used time.Duration, ok bool) {
	started, first := time.Now(), d.cpu()
	quiet := 0 // steps; in a single one it may wait for a disk
	for last := first; time.Since(started) < idleWait; {
		select {
		case <-ctx.Done():
			return 0, false
		case <-time.After(idleStep):
		}
		now := d.cpu()
		begun := !d.records || time.Since(started) > recordDelay
		if begun && float64(now-last) < idleShare*float64(idleStep) {
			quiet++
		} else {
			quiet = 0
		}
		if quiet == idleSteps {
			return now - first, true
		}
		last = now
	}
	return d.cpu() - first, false
}

// quiet waits until the machine has nothing to do and nothing to write, but not for ever:
// steps of a build that was given up, and what it has to write to the disk, outlast its
// daemon's stop.
func quiet(ctx context.Context) {
	last, lastIdle := machineTime()
	for started := time.Now(); time.Since(started) < quietWait; {
		began := time.Now()
		syscall.Sync() // or the first that waits for the disk does it for everybody
		written := time.Since(began) < idleStep
		select {
		case <-ctx.Done():
			return
		case <-time.After(idleStep):
		}
		all, idle := machineTime()
		if written && float64(idle-lastIdle) > (1-quietShare)*float64(all-last) {
			return
		}
		last, lastIdle = all, idle
	}
}

// machineTime is the time of all processors since the machine started, and how much of
// it they had nothing to do, in ticks. Waiting for a disk is something to do.
func machineTime() (all, idle int) {
	dt, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 1
	}
	first, _, _ := strings.Cut(string(dt), "\n") // cpu user nice system idle iowait …
	for i, f := range strings.Fields(first)[1:] {
		n, _ := strconv.Atoi(f)
		all += n
		if i == 3 {
			idle = n
		}
	}
	return all, idle
}

// stop and goOn keep a daemon from disturbing what is measured on the other.
func (d *daemon) stop() error { return syscall.Kill(d.PID, syscall.SIGSTOP) }
func (d *daemon) goOn() error { return syscall.Kill(d.PID, syscall.SIGCONT) }
