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
	"regexp"
	"strconv"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/hbuild/hbuild/compiler"
	"github.com/hbuild/hbuild/internal/benchgen"
	"github.com/hbuild/hbuild/llb/build"
)

// childContext makes this program one that builds as hbuild does, and says what it
// read and sent.
const childContext = "context-child"

// The context that many targets share.
const (
	sharedFiles   = 100_000
	sharedTargets = 50
)

// contextResult is what a build read and sent of its contexts.
type contextResult struct {
	Walks int
	Bytes int64
}

// contextChild builds the module in dir.
func contextChild(ctx context.Context, address, dir string) error {
	g, diags := compiler.Load(os.DirFS(dir), ".", compiler.Options{}).Graph([]string{"default"}, nil)
	if diags.HasErrors() {
		return diags
	}
	c, err := client.New(ctx, address)
	if err != nil {
		return err
	}
	defer c.Close()
	res, _, err := build.Run(ctx, c, g, build.Options{Root: dir, Outputs: []string{"type=" + kindSolve}})
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(contextResult{Walks: res.Walks, Bytes: res.BytesSent})
}

// contexts measures one large context that many targets share.
func contexts(ctx context.Context, o options, rep *report) error {
	fmt.Fprintf(os.Stderr, "bench: a context of %d files\n", sharedFiles)
	tools, end, err := startTools(ctx, o)
	if err != nil {
		return err
	}
	defer end()
	t := newTable("build", "tool", "time", "client's cpu", "memory", "sent", "walks", "files looked at", "directories read")
	for _, tool := range tools {
		if tool.name == nameOneFile {
			continue // there is one file here anyway
		}
		if err := sharedContext(ctx, o, tools, tool, t); err != nil {
			return fmt.Errorf("%s: %w", tool.name, err)
		}
	}
	rep.heading("One context, many targets")
	rep.paragraph(fmt.Sprintf("A directory of %d files is the context of %d targets, each of which copies a part of it. *sent* are the bytes of files, *walks* how often the directory was walked, as hbuild itself counts them; "+
		"the last two are the system calls `newfstatat` (or `lstat`) and `getdents64` of a further build that changes nothing, counted by strace where it is installed.", sharedFiles, sharedTargets))
	rep.table(t)
	return nil
}

func sharedContext(ctx context.Context, o options, tools []*tool, t *tool, out *table) error {
	dir, err := writeFiles(benchgen.SharedContext(sharedFiles, sharedTargets))
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	goOn, err := alone(t, tools)
	if err != nil {
		return err
	}
	defer goOn()
	row, err := sharedFirst(ctx, t, dir)
	if err == nil {
		out.row(append([]string{"first", t.name}, row...)...)
		t.daemon.idle(ctx)
		row, err = sharedAgain(ctx, t, dir)
	}
	if errors.Is(err, errLate) && t.name == nameBake {
		row, err = []string{"> " + seconds(o.limit), "", "", "", "", "", ""}, nil
	}
	if err != nil {
		return err
	}
	out.row(append([]string{"nothing changed", t.name}, row...)...)
	return nil
}

// sharedFirst builds for the first time. hbuild does so in a copy of this program,
// which then says what was walked and sent.
func sharedFirst(ctx context.Context, t *tool, dir string) ([]string, error) {
	if t.name == nameHbuild {
		u, sent, walks, err := counted(ctx, t, dir)
		return []string{seconds(u.Wall), seconds(u.CPU), megabytes(u.Memory), sent, walks, "", ""}, err
	}
	u, err := t.build(ctx, dir, kindSolve, "default")
	return []string{seconds(u.Wall), seconds(u.CPU), megabytes(u.Memory), "", "", "", ""}, err
}

// sharedAgain builds when nothing has changed: once for the time, and once for each
// way of counting.
func sharedAgain(ctx context.Context, t *tool, dir string) ([]string, error) {
	u, err := t.build(ctx, dir, kindSolve, "default")
	if err != nil {
		return nil, err
	}
	stats, reads, err := traced(ctx, dir, t.env, t.program, t.args(t, kindSolve, "default")...)
	if err != nil {
		return nil, err
	}
	sent, walks := "", ""
	if t.name == nameHbuild {
		if _, sent, walks, err = counted(ctx, t, dir); err != nil {
			return nil, err
		}
	}
	return []string{seconds(u.Wall), seconds(u.CPU), megabytes(u.Memory), sent, walks, stats, reads}, nil
}

// counted builds as hbuild does and says what was walked and sent.
func counted(ctx context.Context, t *tool, dir string) (u usage, sent, walks string, err error) {
	self, err := os.Executable()
	if err != nil {
		return u, "", "", err
	}
	if u, err = measure(ctx, t.limit, dir, nil, self, childContext, t.daemon.Engine, dir); err != nil {
		return u, "", "", err
	}
	var res contextResult
	if err := json.Unmarshal(u.Out, &res); err != nil {
		return u, "", "", err
	}
	return u, fmt.Sprintf("%d bytes", res.Bytes), strconv.Itoa(res.Walks), nil
}

// traced counts the system calls of a command; it gives nothing where there is no
// strace.
func traced(ctx context.Context, dir string, env []string, program string, args ...string) (stats, reads string, err error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return "", "", nil
	}
	file, err := os.CreateTemp("", "bench-strace-")
	if err != nil {
		return "", "", err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	if program, err = filepath.Abs(program); err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, strace, append([]string{"-f", "-c", "-e", "trace=getdents64,newfstatat,lstat,statx", "-o", file.Name(), "--", program}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("strace: %w\n%s", err, bytes.TrimSpace(out))
	}
	dt, err := os.ReadFile(file.Name())
	if err != nil {
		return "", "", err
	}
	var nstats, nreads int
	for _, m := range straceRow.FindAllSubmatch(dt, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		if string(m[2]) == "getdents64" {
			nreads += n
		} else {
			nstats += n
		}
	}
	return strconv.Itoa(nstats), strconv.Itoa(nreads), nil
}

// straceRow is a row of strace's summary: share, seconds, microseconds a call, calls,
// perhaps errors, and the call's name.
var straceRow = regexp.MustCompile(`(?m)^\s*[0-9.]+\s+[0-9.]+\s+[0-9]+\s+([0-9]+)\s+(?:[0-9]+\s+)?(getdents64|newfstatat|lstat|statx)$`)
