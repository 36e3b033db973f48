package solve

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	digest "github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
)

const (
	// cancelGrace is how long a cancelled call waits for the daemon to confirm.
	cancelGrace = 2 * time.Second
	// collectFrom is the number of file systems from which on they are copied into
	// one before they leave. The daemon mounts, and opens a stream for, each that
	// leaves by itself, which costs it about ten milliseconds; the collection of
	// what did not change is cached like any step.
	collectFrom = 16
)

// runner is one call.
type runner struct {
	req      *Request
	outer    context.Context // the caller's
	client   *client.Client
	engine   engine
	jobs     []*job
	byAddr   map[string]*job
	tracker  *tracker
	session  *session.Session
	attach   []session.Attachable // for sessions of single exports
	mounts   map[string]fsutil.FS // the contexts, which the session shows
	resolver resolver
	gateways *gateways
	sessions atomic.Int64
	slots    *slots
	cancel   context.CancelCauseFunc
	solved   barrier  // of an atomic call
	uploaded barrier  // likewise
	staging  *staging // for the files that leave through the main build; nil for none
	mu       sync.Mutex
	// installed are the files in place, by job; they are rolled back together.
	installed []*installation
	culprit   string // the address of the job whose failure ended the call
}

// job is a [Job] on its way.
type job struct {
	Job
	hasImage, hasFiles, solveOnly bool
	outputs                       []output
	filesRoot                     string // directory that files go to, from an output; "" is the request's
	ownFiles                      bool   // files leave by a build of the job's own
	imports, exports              []client.CacheOptionsEntry
	attest                        map[string]string
	required                      bool  // another job waits for its effects
	tested                        bool  // its tests had passed when its turn came
	turn                          *turn // to be solved; nil before it has asked, and after

	lowered []*Lowered // all platforms' images, then files
	steps   []digest.Digest
	files   []fileRef // files that leave through the main build
	done    chan struct{}
	result  JobResult
}

// fileRef is a platform's files, solved.
type fileRef struct {
	id      string // of the reference in the main build's result
	ref     gateway.Reference
	outputs []FileOutput
	epoch   *time.Time // of the files; nil leaves them theirs
}

// Run builds the jobs of a request on an engine. The result is returned even
// with an error, and then says which jobs succeeded. Errors of several jobs are
// joined, in the order of the jobs. Whoever started the client closes it.
func Run(ctx context.Context, c *client.Client, req Request) (*Result, error) {
	started := time.Now()
	r := &runner{req: &req, outer: ctx, client: c}
	res, err := r.run(ctx)
	if res != nil {
		res.Duration = time.Since(started)
	}
	err = r.reason(ctx, res, err)
	if req.MetadataFile == "" || errors.Is(err, errMetadataFile) || err != nil && ctx.Err() != nil {
		return res, err
	}
	done := res
	if done == nil || len(done.Jobs) == 0 {
		done = req.nothing(time.Since(started))
	}
	if writeErr := done.writeMetadata(req.MetadataFile, err); writeErr != nil {
		err = errors.Join(err, writeErr)
	}
	return res, err
}

// reason is what a call that ended with err returns.
func (r *runner) reason(ctx context.Context, res *Result, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if !errors.Is(err, ErrEngine) && !errors.Is(err, ErrRequest) {
		if gone := engineGone(r.client, err); gone != nil {
			gone.Exported = res.exported()
			return gone
		}
	}
	return err
}

func (r *runner) run(ctx context.Context) (*Result, error) {
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	opt, sent, err := r.mainOpt()
	if err != nil {
		r.tracker.close(ctx)
		return nil, err
	}
	r.mounts = opt.LocalMounts
	if r.staging != nil {
		defer r.staging.close()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.cancel = cancel

	var stagings []*staging
	if r.staging != nil {
		stagings = append(stagings, r.staging)
	}
	endSession, err := r.receiveDirs(ctx, &opt, stagings...)
	if err != nil {
		r.tracker.close(ctx)
		return nil, err
	}
	finished := make(chan error, 1)
	stream := r.tracker.stream("")
	go func() {
		_, err := r.client.Build(ctx, opt, "", r.build, stream)
		finished <- err
	}()
	ended, err := r.wait(ctx, finished)
	endSession()
	showCtx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	r.tracker.close(showCtx)
	if !ended {
		return &Result{Sessions: int(r.sessions.Load())}, err
	}
	err = r.finish(err)
	res := r.result()
	res.BytesSent, res.Walks = sent.bytes.Load(), int(sent.walks.Load())
	return res, err
}

// wait waits for the main build; when the call is cancelled, not for long. It
// says whether the build ended: else its jobs may still be at work.
func (r *runner) wait(ctx context.Context, finished <-chan error) (ended bool, err error) {
	select {
	case err := <-finished:
		return true, err
	case <-ctx.Done():
	}
	// A failing job cancels the call itself and has all the time it needs to
	// bring its output; an interrupted one has not.
	outer := r.outer.Done()
	var late <-chan time.Time
	for {
		select {
		case err := <-finished:
			return true, err
		case <-outer:
			outer, late = nil, time.After(cancelGrace)
		case <-late:
			r.session.Close() // ends what is still being received
			return false, context.Cause(ctx)
		}
	}
}

// build is the main gateway build: it lowers, solves and exports all jobs, and
// returns the files that leave together.
func (r *runner) build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	r.solved.start(len(r.jobs))
	r.uploaded.start(len(r.jobs))
	r.gateways = r.openGateways(ctx, c)
	defer r.gateways.close()
	var all sync.WaitGroup
	start := func(tests bool) {
		for _, j := range r.jobs {
			if j.Test == tests {
				if len(j.Requires) == 0 || r.req.Atomic { // else its turn is when those are done
					j.turn = r.slots.ask()
				}
				all.Go(func() {
					defer close(j.done)
					r.runJob(ctx, j)
				})
			}
		}
	}
	start(true) // first in the queue, for others wait for them
	start(false)
	all.Wait()
	if err := r.failed(); err != nil && (r.stopped() || ctx.Err() != nil) {
		return nil, err
	}
	return r.filesResult(ctx, c)
}

// failed returns what made the call fail, without the jobs that it stopped. A step
// that several jobs share is reported for the first of them, and so is a full disk.
func (r *runner) failed() error {
	var errs []error
	steps := map[digest.Digest]bool{}
	full := false
	for _, j := range r.jobs {
		err := j.result.Err
		if err == nil || errors.Is(err, ErrSkipped) {
			continue
		}
		var step *StepError
		if errors.As(err, &step) {
			if steps[step.Digest] {
				continue
			}
			steps[step.Digest] = true
		}
		if errors.Is(err, syscall.ENOSPC) {
			if full {
				continue
			}
			full = true
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stopped says whether a failure ends the call without the files of the others.
func (r *runner) stopped() bool {
	return slices.ContainsFunc(r.jobs, func(j *job) bool {
		return j.result.Err != nil && !errors.Is(j.result.Err, ErrSkipped) && !r.goesOn(j)
	})
}

// finish installs what was received and decides what the call returns. err is
// the main build's.
func (r *runner) finish(err error) error {
	// Only now have all streams brought what the failing steps printed.
	for _, j := range r.jobs {
		j.result.Err = r.explain(j, j.result.Err)
	}
	if r.stopped() {
		r.skipFiles()
		r.blame()
		return r.failed()
	}
	if err != nil {
		r.skipFiles()
		if failed := r.failed(); failed != nil {
			return failed
		}
		if r.staging != nil {
			err = r.staging.explain(err)
		}
		return errors.New(plain(err))
	}
	if r.staging != nil {
		defer r.staging.lock()()
	}
	for _, j := range r.jobs {
		if j.result.Err != nil || len(j.files) == 0 {
			continue
		}
		if err := r.installFiles(j); err != nil {
			j.result.Err = fmt.Errorf("%s: %w", j.Addr, err)
			if !r.req.KeepGoing {
				return errors.Join(j.result.Err, r.rollback())
			}
		}
	}
	return r.failed()
}

// skipFiles notes that the files that leave together did not.
func (r *runner) skipFiles() {
	for _, j := range r.jobs {
		if len(j.files) > 0 && j.result.Err == nil {
			j.result.Err = ErrSkipped
		}
	}
}

// blame says which failure stopped the jobs that waited for no other one.
func (r *runner) blame() {
	for _, j := range r.jobs {
		if r.culprit != "" && j.result.Err == ErrSkipped {
			j.result.Err = &SkippedError{By: r.culprit}
		}
	}
}

func (r *runner) installFiles(j *job) error {
	for _, f := range j.files {
		in, err := r.staging.install(strings.ReplaceAll(f.id, "/", "_"), f.outputs)
		if err != nil {
			return err
		}
		r.keep(j, in, "")
	}
	return nil
}

func (r *runner) keep(j *job, in *installation, dir string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.installed = append(r.installed, in)
	dir, root := r.written(j, dir)
	for _, w := range in.written {
		if dir != "" {
			w.Path = filepath.Join(dir, w.Path)
		}
		if in.whole {
			w.tree = dir
		}
		w.root = root
		j.result.Files = append(j.result.Files, w)
	}
}

// written is how the result names what was written to dest, and what that is
// relative to: the root for host files, of which dest is empty, and for outputs of
// the build file; nothing for what the caller named.
func (r *runner) written(j *job, dest string) (name, root string) {
	if dest == "" {
		return "", r.req.Root
	}
	rel, err := filepath.Rel(r.req.Root, dest)
	if !j.OutputsInRoot || err != nil {
		return dest, ""
	}
	return rel, r.req.Root
}

// rollback takes back the files installed at the end of the call.
func (r *runner) rollback() error {
	var errs []error
	for _, in := range slices.Backward(r.installed) {
		if in.s == r.staging {
			errs = append(errs, in.rollback())
		}
	}
	for _, j := range r.jobs {
		if len(j.files) > 0 {
			j.result.Files = nil
		}
	}
	return errors.Join(errs...)
}

func (r *runner) result() *Result {
	res := &Result{Sessions: int(r.sessions.Load())}
	for _, j := range r.jobs {
		j.result.Steps = r.tracker.results(j.steps, j.result.Err == nil)
		j.result.StepsRun, j.result.StepsCached = countSteps(j.result.Steps)
		res.Jobs = append(res.Jobs, j.result)
	}
	res.StepsRun, res.StepsCached = res.countAll()
	return res
}
