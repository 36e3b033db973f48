package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing/fstest"
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

// sharedResult is what was measured of the large context.
type sharedResult struct {
	rows []*sharedRow
	// dirs is how many directories the context has. To read one takes two calls: the
	// second finds no more.
	dirs  int
	notes []string
}

// sharedRow is one build of one tool.
type sharedRow struct {
	again bool // nothing had changed since the one before
	tool  string
	took
	wire int64 // bytes that the client sent in all, over the socket
	// counts is what hbuild itself counted; nil for other tools.
	counts *contextResult
	calls  *calls // of one more build; nil when they were not counted
}

// contexts measures one large context that many targets share.
func contexts(ctx context.Context, o options, rep *report) error {
	tools, end, err := startTools(ctx, o, true)
	if err != nil {
		return err
	}
	defer end()
	files := benchgen.SharedContext(sharedFiles, sharedTargets)
	res := &sharedResult{dirs: directories(files)}
	dir, err := writeFiles(files)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rep.shared = res
	for _, t := range tools {
		if failed := res.measure(ctx, t, tools, dir); failed != nil {
			res.notes = append(res.notes, fmt.Sprintf("%s failed: %v", t.name, failed))
			if t.name != nameBake {
				err = errors.Join(err, failed)
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// directories counts those of files by path, with the one that they are all in.
func directories(files fstest.MapFS) int {
	dirs := map[string]bool{}
	for name := range files {
		for d := path.Dir(name); !dirs[d]; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	return len(dirs)
}

// measure builds for the first time and once more, and then for what is counted. A
// build that is late is the last of its tool.
func (r *sharedResult) measure(ctx context.Context, t *tool, tools []*tool, dir string) error {
	goOn, err := alone(t, tools)
	if err != nil {
		return err
	}
	defer goOn()
	for _, again := range []bool{false, true} {
		row, err := sharedBuild(ctx, t, dir, again)
		if errors.Is(err, errLate) {
			row.Late, err = t.limit, nil
		}
		if err != nil {
			return err
		}
		r.rows = append(r.rows, row)
		if row.Late > 0 {
			return nil
		}
		progress("%d files, %d targets: %s %s", sharedFiles, sharedTargets, t.name, seconds(row.Wall))
	}
	return r.rows[len(r.rows)-1].count(ctx, t, dir)
}

// sharedBuild builds once. For the first time hbuild does so in a copy of this program,
// which then says what was walked and sent.
func sharedBuild(ctx context.Context, t *tool, dir string, again bool) (row *sharedRow, err error) {
	row = &sharedRow{again: again, tool: t.name}
	sent, cpu := t.wire.sent.Load(), t.daemon.cpu()
	if t.name == nameHbuild && !again {
		row.usage, row.counts, err = counted(ctx, t, dir)
	} else {
		row.usage, err = t.build(ctx, dir, kindSolve, "default")
	}
	row.wire, row.Daemon = t.wire.sent.Load()-sent, t.daemon.cpu()-cpu
	if !again {
		t.daemon.idle(ctx) // nothing that is timed comes after the second build
	}
	return row, err
}

// count counts what a further build does.
func (r *sharedRow) count(ctx context.Context, t *tool, dir string) (err error) {
	if t.name == nameHbuild {
		if _, r.counts, err = counted(ctx, t, dir); err != nil {
			return err
		}
	}
	r.calls, err = traced(ctx, t.limit, dir, t.env, t.program, t.args(t, kindSolve, "default")...)
	if errors.Is(err, errLate) {
		err = nil // that, too, says something; the columns stay empty
	}
	return err
}

// counted builds as hbuild does and says what was walked and sent.
func counted(ctx context.Context, t *tool, dir string) (u usage, res *contextResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return u, nil, err
	}
	if u, err = measure(ctx, t.limit, dir, nil, self, childContext, t.address, dir); err != nil {
		return u, nil, err
	}
	err = json.Unmarshal(u.Out, &res)
	return u, res, err
}

// describe adds the table.
func (r *sharedResult) describe(d *document) {
	d.heading("One context, many targets")
	d.paragraph(fmt.Sprintf("A directory of %d files in %d directories is the context of %d targets, each of which copies a part of it. *sent* is all that the client sent to its daemon, *of files* what hbuild counts of that as the content of files, and *walks* how often it walked the directory. "+
		"*files looked at* and *directories read* are the system calls `newfstatat` (or `lstat`, `statx`) and `getdents64` of a further build that changes nothing, counted by strace where it is installed; to read each directory once takes %d of the latter.",
		sharedFiles, r.dirs, sharedTargets, 2*r.dirs))
	t := newTable("build, tool", "time", "cpu", "memory", "sent", "of files", "walks", "files looked at", "directories read")
	for _, row := range r.rows {
		name := "first, "
		if row.again {
			name = nameUnchanged + ", "
		}
		cells := []string{name + row.tool, row.time(), seconds(row.CPU + row.Daemon), megabytes(row.Memory), fmt.Sprintf("%.1f MB", float64(row.wire)/1e6)}
		if row.counts != nil {
			cells = append(cells, fmt.Sprintf("%d bytes", row.counts.Bytes), strconv.Itoa(row.counts.Walks))
		} else {
			cells = append(cells, "", "")
		}
		if row.calls != nil {
			cells = append(cells, strconv.Itoa(row.calls.stats), strconv.Itoa(row.calls.reads))
		} else {
			cells = append(cells, "", "")
		}
		t.row(cells...)
	}
	d.table(t)
	if len(r.notes) > 0 {
		d.paragraph(strings.Join(r.notes, "\n"))
	}
}

// goal is what there is to say of the goal for contexts.
func (r *sharedResult) goal() string {
	var said []string
	for _, row := range r.rows {
		if row.counts == nil {
			continue
		}
		when := "the first time"
		if row.again {
			when = "then"
		}
		said = append(said, fmt.Sprintf("%s %d walks and %d bytes of files", when, row.counts.Walks, row.counts.Bytes))
	}
	return strings.ReplaceAll(strings.Join(said, ", "), " 1 walks", " 1 walk")
}

// calls are numbers of system calls.
type calls struct{ stats, reads int }

// traced counts the system calls of a command; it gives nothing where there is no
// strace.
func traced(ctx context.Context, limit time.Duration, dir string, env []string, program string, args ...string) (*calls, error) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil, nil
	}
	file, err := os.CreateTemp("", "bench-strace-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if program, err = filepath.Abs(program); err != nil {
		return nil, err
	}
	// With --seccomp-bpf only the calls that are counted stop the program.
	args = append([]string{"--seccomp-bpf", "-f", "-c", "-e", "trace=getdents64,newfstatat,lstat,statx", "-o", file.Name(), "--", program}, args...)
	if _, err := measure(ctx, limit, dir, env, strace, args...); err != nil {
		return nil, err
	}
	dt, err := os.ReadFile(file.Name())
	if err != nil {
		return nil, err
	}
	return parseStrace(dt), nil
}

// parseStrace reads the summary that `strace -c` writes.
func parseStrace(dt []byte) *calls {
	c := &calls{}
	for _, m := range straceRow.FindAllSubmatch(dt, -1) {
		n, _ := strconv.Atoi(string(m[1])) // digits
		if string(m[2]) == "getdents64" {
			c.reads += n
		} else {
			c.stats += n
		}
	}
	return c
}

// straceRow is a row of strace's summary: share, seconds, microseconds a call, calls,
// perhaps errors, and the call's name.
var straceRow = regexp.MustCompile(`(?m)^\s*[0-9.]+\s+[0-9.]+\s+[0-9]+\s+([0-9]+)\s+(?:[0-9]+\s+)?(getdents64|newfstatat|lstat|statx)$`)
