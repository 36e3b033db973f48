package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
)

// Report is what `hbuild engine status` shows.
type Report struct {
	// Engine is what a build would use now; nil if none runs.
	Engine *Engine `json:"-"`
	// Description is Engine's, or empty.
	Description string `json:"engine,omitempty"`
	// Version is the engine's BuildKit version, as far as it says.
	Version string `json:"version,omitempty"`
	// Workers are what runs its builds.
	Workers []Worker `json:"workers,omitempty"`
	// Cache is the size in bytes of what the engine keeps, and Records how many parts that has.
	Cache   int64 `json:"cacheBytes"`
	Records int   `json:"cacheRecords"`
	// PID is the private engine's process, 0 if it does not run; Private are its files.
	PID     int   `json:"privatePID,omitempty"`
	Private Paths `json:"private"`
	// Attempts are the engines that were tried before, with the reason why they are not used.
	Attempts []Attempt `json:"-"`
}

// Worker is one worker of an engine.
type Worker struct {
	ID        string   `json:"id"`
	Platforms []string `json:"platforms"`
	// Labels are BuildKit's: the executor, snapshotter, network and host of the worker.
	Labels map[string]string `json:"labels"`
}

// Status looks for an engine without starting one. That none runs is no error: the report says so.
func Status(ctx context.Context, o Options) (*Report, error) {
	o.NoStart = true
	r := &Report{}
	var err error
	if r.Private, err = PrivatePaths(o); err == nil {
		r.PID = runningPID(r.Private)
	}
	r.Engine, err = Find(ctx, o)
	var none *NotFoundError
	if errors.As(err, &none) {
		r.Attempts = none.Attempts
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Engine.Close()
	r.Description = r.Engine.Describe()
	return r, r.ask(ctx)
}

// ask fills in what the engine itself says.
func (r *Report) ask(ctx context.Context) error {
	c, err := r.Engine.Client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if info, err := c.Info(ctx); err == nil { // BuildKit before 0.11 does not say
		r.Version = info.BuildkitVersion.Version
	}
	workers, err := c.ListWorkers(ctx)
	if err != nil {
		return err
	}
	for _, w := range workers {
		out := Worker{ID: w.ID, Labels: w.Labels}
		for _, p := range w.Platforms {
			out.Platforms = append(out.Platforms, platforms.Format(p))
		}
		r.Workers = append(r.Workers, out)
	}
	usage, err := c.DiskUsage(ctx)
	if err != nil {
		return err
	}
	for _, u := range usage {
		r.Cache += u.Size
		r.Records++
	}
	return nil
}

// WriteText prints the report for a person.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	if r.Engine == nil {
		b.WriteString("engine:   none runs; a build would start one if it can\n")
		for _, a := range r.Attempts {
			fmt.Fprintf(&b, "          not %s: %v\n", a.What, a.Why)
		}
	} else {
		fmt.Fprintf(&b, "engine:   %s\n", r.Description)
		fmt.Fprintf(&b, "version:  BuildKit %s\n", orElse(r.Version, "(unknown)"))
		for _, w := range r.Workers {
			fmt.Fprintf(&b, "worker:   %s\n          platforms %s\n", w.ID, strings.Join(w.Platforms, " "))
			for _, k := range sortedKeys(w.Labels) {
				fmt.Fprintf(&b, "          %s = %s\n", k, w.Labels[k])
			}
		}
		fmt.Fprintf(&b, "cache:    %s in %d records\n", size(r.Cache), r.Records)
	}
	if r.PID != 0 {
		fmt.Fprintf(&b, "private:  process %d, state in %s, log %s\n", r.PID, r.Private.State, r.Private.Log)
	} else {
		b.WriteString("private:  not running\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Logs copies the private engine's log to w; with follow it goes on until the context ends, which
// is then no error.
func Logs(ctx context.Context, o Options, w io.Writer, follow bool) error {
	p, err := PrivatePaths(o)
	if err != nil {
		return err
	}
	f, err := os.Open(p.Log)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no log: hbuild has not started an engine of its own yet (%s)", p.Log)
	}
	if err != nil {
		return err
	}
	defer func() { f.Close() }()
	for {
		if _, err := io.Copy(w, f); err != nil {
			return err
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		// A start sets a long log aside; go on with the new one.
		if next, err := os.Open(p.Log); err == nil {
			if same(f, next) {
				next.Close()
			} else {
				f.Close()
				f = next
			}
		}
	}
}

func same(a, b *os.File) bool {
	x, err1 := a.Stat()
	y, err2 := b.Stat()
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// PruneOptions say what [Prune] removes beyond what no build has used. The zero value is BuildKit's default.
type PruneOptions struct {
	// All also removes what BuildKit would keep: internal and frontend images, and shared parts.
	All bool
	// Older keeps what was used within this time.
	Older time.Duration
	// Keep is the size in bytes that may stay; 0 keeps nothing that can go.
	Keep int64
}

// Prune removes cached results from the engine that a build would use (one that is not running is
// not started), and prints a line for each and the sum.
func Prune(ctx context.Context, o Options, po PruneOptions, w io.Writer) error {
	o.NoStart = true
	e, err := Find(ctx, o)
	if err != nil {
		return err
	}
	defer e.Close()
	c, err := e.Client(ctx)
	if err != nil {
		return err
	}
	defer c.Close()

	opts := []client.PruneOption{client.WithKeepOpt(po.Older, 0, po.Keep, 0)}
	if po.All {
		opts = append(opts, client.PruneAll)
	}
	removed := make(chan client.UsageInfo)
	done := make(chan error, 1)
	go func() {
		done <- c.Prune(ctx, removed, opts...)
		close(removed)
	}()
	var sum int64
	var werr error
	for u := range removed { // to the end, also when w fails: the sender does not look at the context
		sum += u.Size
		_, err := fmt.Fprintf(w, "%s  %8s  %s\n", u.ID, size(u.Size), u.Description)
		werr = errors.Join(werr, err)
	}
	_, err = fmt.Fprintf(w, "removed %s\n", size(sum))
	return errors.Join(<-done, werr, err)
}

// size writes bytes as a person reads them, in powers of ten as Docker and buildctl do.
func size(n int64) string {
	const units = "kMGTP"
	if n < 1000 {
		return fmt.Sprintf("%dB", n)
	}
	f, i := float64(n)/1000, 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	return fmt.Sprintf("%.1f%cB", f, units[i])
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
