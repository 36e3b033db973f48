package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// childMeasure makes this program a small one that starts another, see [measure].
const childMeasure = "measure-child"

// usage is what one process took.
type usage struct {
	Wall, CPU time.Duration
	Memory    int64 // bytes, at most at a time
	Failed    string
	Out       []byte // what it printed
}

// errLate is a process that was ended because its time was over.
var errLate = errors.New("out of time")

// measure runs a program to its end. The kernel counts, as a process's peak memory,
// that of the process which started it; so it is started by a copy of this program
// that has done nothing yet.
func measure(ctx context.Context, limit time.Duration, dir string, env []string, program string, args ...string) (usage, error) {
	var u usage
	self, err := os.Executable()
	if err != nil {
		return u, err
	}
	if program, err = filepath.Abs(program); err != nil {
		return u, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLate)
	defer cancel()
	cmd := exec.CommandContext(ctx, self, append([]string{childMeasure, program}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	// A group of its own, so that the process ends with its starter.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if cause := context.Cause(ctx); cause != nil {
		return u, cause
	}
	if err != nil {
		return u, err
	}
	if err := json.Unmarshal(out, &u); err != nil {
		return u, err
	}
	if u.Failed != "" {
		return u, fmt.Errorf("%s %s: %s", filepath.Base(program), strings.Join(args, " "), u.Failed)
	}
	return u, nil
}

// measureChild starts the program and prints its usage.
func measureChild(args []string) int {
	cmd := exec.Command(args[0], args[1:]...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	started := time.Now()
	out, err := cmd.Output()
	u := usage{Wall: time.Since(started), Out: out}
	if err != nil {
		text := strings.TrimSpace(errs.String())
		u.Failed = fmt.Sprintf("%v\n%s", err, text[max(0, len(text)-2000):])
	}
	if cmd.ProcessState == nil { // it did not start
	} else if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		u.Memory = ru.Maxrss * 1024 // KiB on Linux
		u.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	if err := json.NewEncoder(os.Stdout).Encode(u); err != nil {
		return 1
	}
	return 0
}
