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
	dir, err := writeRepository(benchgen.SharedContext(sharedFiles, sharedTargets))
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	goOn, err := alone(t, tools)
	if err != nil {
		return err
	}
	defer goOn()
	for _, name := range []string{"first", "nothing changed"} {
		u, err := t.build(ctx, dir, kindSolve, "default")
		if errors.Is(err, errLate) && t.name == nameBake {
			out.row(name, t.name, "> "+seconds(o.limit), "", "", "", "", "", "")
			return nil
		} else if err != nil {
			return err
		}
		row := []string{name, t.name, seconds(u.Wall), seconds(u.CPU), megabytes(u.Memory)}
		sent, walks, stats, reads := "", "", "", ""
		if name != "first" {
			if stats, reads, err = traced(ctx, dir, t.env, t.program, t.args(t, kindSolve, "default")...); err != nil {
				return err
			}
		}
		if t.name == nameHbuild {
			if sent, walks, err = counted(ctx, t, dir, name == "first"); err != nil {
				return err
			}
		}
		out.row(append(row, sent, walks, stats, reads)...)
		t.daemon.idle(ctx)
	}
	return nil
}

// counted builds once more and asks what was walked and sent; from the beginning,
// if the first build is meant.
func counted(ctx context.Context, t *tool, dir string, first bool) (sent, walks string, err error) {
	if first {
		if err := t.daemon.prune(ctx); err != nil {
			return "", "", err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return "", "", err
	}
	u, err := measure(ctx, t.limit, dir, nil, self, childContext, t.daemon.Engine, dir)
	if err != nil {
		return "", "", err
	}
	var res contextResult
	if err := json.Unmarshal(u.Out, &res); err != nil {
		return "", "", err
	}
	return fmt.Sprintf("%d bytes", res.Bytes), strconv.Itoa(res.Walks), nil
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
