package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A private engine is a buildkitd that hbuild starts in the background. Whoever starts or stops it
// holds the lock file, so two builds that begin at once start one daemon. The pid file says which
// process it is; a pid counts only if that process's command line names our config file, because a
// pid can be another program's by now. The socket alone proves nothing: only an answer does.

const (
	// startTimeout bounds the wait for a started daemon's first answer (a first start makes its databases).
	startTimeout = 60 * time.Second
	// awaitTimeout bounds the wait for a daemon that somebody else is starting or stopping.
	awaitTimeout = 20 * time.Second
	// stopTimeout is how long a daemon may take to end before it is killed. BuildKit waits for its
	// builds and cancels none; its databases survive being killed.
	stopTimeout = 3 * time.Second
	// logLimit is the size at which a log is set aside when an engine starts.
	logLimit = 10 << 20
)

// daemonPath is where a daemon's own programs are looked for after PATH: Debian keeps runc in a
// directory that an ordinary user's PATH leaves out.
const daemonPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

func tryPrivate(ctx context.Context, o Options) (*Engine, []Attempt) {
	const what = "a private buildkitd of hbuild's own"
	p, err := PrivatePaths(o)
	if err != nil {
		return nil, []Attempt{{what, err}}
	}
	e := privateEngine(p)
	if e.probe(ctx, localTimeout) == nil {
		o.warnIfConfigured(p)
		return e, nil
	}
	if o.NoStart {
		return nil, []Attempt{{what, errors.New("it is not running")}}
	}
	if _, err := startPrivate(ctx, o, p); err != nil {
		return nil, []Attempt{{what, err}}
	}
	return e, nil
}

func privateEngine(p Paths) *Engine {
	return &Engine{Kind: Private, Address: p.address(), Source: "hbuild"}
}

// warnIfConfigured says so when the running engine has other settings than this call would give
// it. It is left as it is: another build may be using it.
func (o Options) warnIfConfigured(p Paths) {
	prog, err := findPrograms(o)
	if err != nil {
		return
	}
	want, err := buildConfig(o, p, prog.runtime, prog.rootlesskit != "")
	if err != nil {
		return
	}
	if have, err := os.ReadFile(p.Config); err == nil && !bytes.Equal(have, want) {
		o.logf("the private engine runs with other settings than %s and HBUILD_ENGINE_MIRRORS now say; \"hbuild engine stop\" lets the next build start it with these", p.User)
	}
}

// Start starts the private engine, or returns the one that runs; started says which.
func Start(ctx context.Context, o Options) (e *Engine, started bool, err error) {
	p, err := PrivatePaths(o)
	if err != nil {
		return nil, false, &NotFoundError{Attempts: []Attempt{{"a private buildkitd of hbuild's own", err}}}
	}
	started, err = startPrivate(ctx, o, p)
	if err != nil {
		if ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		return nil, false, &NotFoundError{Attempts: []Attempt{{"a private buildkitd of hbuild's own", err}}}
	}
	return privateEngine(p), started, nil
}

func startPrivate(ctx context.Context, o Options, p Paths) (started bool, err error) {
	prog, err := findPrograms(o)
	if err != nil {
		return false, err
	}
	unlock, err := lockPaths(ctx, p)
	if err != nil {
		return false, err
	}
	defer unlock()

	e := privateEngine(p)
	if e.answers(ctx) {
		return false, nil // somebody started it while we waited for the lock
	}
	if pid := runningPID(p); pid != 0 {
		// It is about to answer, or to end; a second daemon could not take its state directory anyway.
		return false, awaitExisting(ctx, p, pid)
	}
	if err := removeStale(p); err != nil {
		return false, err
	}
	o.logf("starting a private BuildKit (%s)", p.address())
	return true, launch(ctx, o, p, prog)
}

// lockPaths makes the engine's directories and takes its lock.
func lockPaths(ctx context.Context, p Paths) (unlock func(), err error) {
	if err := makePrivate(p.Run); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(p.Lock, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", p.Lock, err)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			f.Close()
			return nil, err
		}
	}
}

// makePrivate makes a directory for the user alone, and refuses one that somebody else made: it
// may lie in a directory where everybody can write.
func makePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); !fi.IsDir() || ok && int(st.Uid) != os.Getuid() {
		return fmt.Errorf("%s is not a directory of this user", dir)
	}
	return nil
}

// runningPID is the process of the pid file, or 0 if there is none or it is not our daemon.
func runningPID(p Paths) int {
	b, err := os.ReadFile(p.PID)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 0 {
		return 0
	}
	cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
	if err != nil || !bytes.Contains(cmdline, []byte(p.Config)) {
		return 0 // gone, a zombie, or another program
	}
	return pid
}

// ended says whether a process is gone, or only waits for its parent to notice. Its
// command line goes earlier: while the kernel still ends the processes of its
// namespace, which use the state directory.
func ended(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " ")
	return strings.HasPrefix(state, "Z") || strings.HasPrefix(state, "X")
}

// awaitExisting waits for a daemon that somebody else started to answer.
func awaitExisting(ctx context.Context, p Paths, pid int) error {
	e := privateEngine(p)
	deadline := time.Now().Add(awaitTimeout)
	for time.Now().Before(deadline) {
		if e.answers(ctx) {
			return nil
		}
		if runningPID(p) == 0 {
			return fmt.Errorf("the engine (process %d) has just ended; try again", pid)
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("process %d runs and does not answer at %s; \"hbuild engine stop\" ends it, its log is %s", pid, p.address(), p.Log)
}

// removeStale removes what a daemon that was killed left behind.
func removeStale(p Paths) error {
	for _, f := range []string{p.Socket, p.PID} {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// programs are what a private engine is run with.
type programs struct {
	buildkitd   string
	runtime     string // runc or crun
	rootlesskit string // empty for root
}

// findPrograms looks for the programs, and reports all that are missing at once.
func findPrograms(o Options) (programs, error) {
	var prog programs
	var missing []error
	var err error
	if prog.buildkitd, err = findBuildkitd(o); err != nil {
		missing = append(missing, err)
	}
	for _, name := range []string{"buildkit-runc", "runc", "crun"} {
		if prog.runtime, err = lookPath(o, name); err == nil {
			break
		}
	}
	if err != nil {
		missing = append(missing, errors.New("runc is not installed (no buildkit-runc, runc or crun in PATH)"))
	}
	if os.Geteuid() != 0 {
		if prog.rootlesskit, err = lookPath(o, "rootlesskit"); err != nil {
			missing = append(missing, errors.New("rootlesskit is not installed, which users other than root need"))
		}
	}
	return prog, joinLine(missing)
}

// joinLine joins errors on one line, because each attempt is a line of the message.
func joinLine(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	var s []string
	for _, e := range errs {
		s = append(s, e.Error())
	}
	return errors.New(strings.Join(s, "; "))
}

func findBuildkitd(o Options) (string, error) {
	if p := o.env("HBUILD_BUILDKITD"); p != "" {
		if err := executable(p); err != nil {
			return "", fmt.Errorf("HBUILD_BUILDKITD: %w", err)
		}
		return filepath.Abs(p)
	}
	if self, err := os.Executable(); err == nil {
		if self, err = filepath.EvalSymlinks(self); err == nil {
			if p := filepath.Join(filepath.Dir(self), "buildkitd"); executable(p) == nil {
				return p, nil
			}
		}
	}
	p, err := lookPath(o, "buildkitd")
	if err != nil {
		return "", errors.New("there is no buildkitd beside hbuild's program or in PATH")
	}
	return p, nil
}

// lookPath looks for a program in the given environment's PATH, then in [daemonPath].
func lookPath(o Options, name string) (string, error) {
	for _, dir := range filepath.SplitList(o.env("PATH") + ":" + daemonPath) {
		if p := filepath.Join(dir, name); filepath.IsAbs(dir) && executable(p) == nil {
			return p, nil
		}
	}
	return "", &exec.Error{Name: name, Err: exec.ErrNotFound}
}

func executable(path string) error {
	fi, err := os.Stat(path)
	if err == nil && (fi.IsDir() || fi.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is not a program", path)
	}
	return err
}

// launch starts the daemon in a session of its own and waits for its first answer. The caller holds the lock.
func launch(ctx context.Context, o Options, p Paths, prog programs) error {
	conf, err := buildConfig(o, p, prog.runtime, prog.rootlesskit != "")
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.Config, conf, 0o600); err != nil {
		return err
	}
	log, err := openLog(p)
	if err != nil {
		return err
	}
	defer log.Close()
	from, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}

	cmd := daemon(o, p, prog)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s (in process and mount namespaces of its own): %w", prog.buildkitd, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if err := os.WriteFile(p.PID, []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
		cmd.Process.Kill()
		return err
	}
	if err := awaitStart(ctx, p, ended, from); err != nil {
		// Not from the daemon's own end: give it the chance to end in order.
		cmd.Process.Signal(syscall.SIGTERM)
		return err
	}
	return nil
}

// inNewProc makes /proc fit the daemon's process namespace before the daemon takes the shell's place.
const inNewProc = `mount -t proc proc /proc && exec "$@"`

// daemon is the command that runs buildkitd. It gets process and mount namespaces of its own, because
// a buildkitd that ends in the middle of a step leaves the step's processes and mounts behind: with
// the namespaces the kernel ends them, however the daemon ended.
func daemon(o Options, p Paths, prog programs) *exec.Cmd {
	// A session of its own, so that Ctrl-C on a build is not for the daemon.
	attr := &syscall.SysProcAttr{Setsid: true}
	env := append(os.Environ(), "PATH="+o.env("PATH")+":"+daemonPath)
	args := []string{prog.buildkitd, "--config", p.Config}
	if prog.rootlesskit != "" {
		args = append([]string{prog.rootlesskit, "--pidns", "--state-dir=" + filepath.Join(p.Run, "rootlesskit")}, args...)
		// runc keeps the state of containers there, and in /run where it is not set, which is root's.
		env = append(env, "XDG_RUNTIME_DIR="+p.Run)
	} else {
		args = append([]string{"/bin/sh", "-c", inNewProc, "sh"}, args...)
		attr.Cloneflags = syscall.CLONE_NEWPID
		attr.Unshareflags = syscall.CLONE_NEWNS // Go makes its mounts private, too
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/"
	cmd.Env = env
	cmd.SysProcAttr = attr
	return cmd
}

func awaitStart(ctx context.Context, p Paths, ended <-chan error, from int64) error {
	e := privateEngine(p)
	deadline := time.After(startTimeout)
	for {
		if _, err := os.Stat(p.Socket); err == nil && e.answers(ctx) {
			return nil
		}
		select {
		case err := <-ended:
			return fmt.Errorf("buildkitd ended at once (%v): %s", err, logEnd(p, from))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline:
			return fmt.Errorf("buildkitd did not answer within %v: %s", startTimeout, logEnd(p, from))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func openLog(p Paths) (*os.File, error) {
	if fi, err := os.Stat(p.Log); err == nil && fi.Size() > logLimit {
		if err := os.Rename(p.Log, p.Log+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// logEnd is the line of the daemon's output since offset from that says most: buildkitd's last
// words are "buildkitd: …", after which a stack may follow.
func logEnd(p Paths, from int64) string {
	b, err := os.ReadFile(p.Log)
	if err != nil || int64(len(b)) <= from {
		return "it wrote nothing to " + p.Log
	}
	lines := strings.Split(strings.TrimSpace(string(b[from:])), "\n")
	last := lines[len(lines)-1]
	for _, l := range lines {
		if strings.HasPrefix(l, "buildkitd: ") {
			last = l
		}
	}
	return last + " (the log is " + p.Log + ")"
}

// Stop ends the private engine and waits for its end; stopped is false if none ran. Builds that run
// on it fail, after a few seconds in which they may end by themselves.
func Stop(ctx context.Context, o Options) (stopped bool, err error) {
	p, err := PrivatePaths(o)
	if err != nil || !isDir(p.Run) {
		return false, err
	}
	unlock, err := lockPaths(ctx, p)
	if err != nil {
		return false, err
	}
	defer unlock()
	pid := runningPID(p)
	if pid == 0 {
		return false, removeStale(p)
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		return false, fmt.Errorf("end process %d: %w", pid, err)
	}
	deadline := time.Now().Add(stopTimeout)
	for killed := false; !ended(pid); {
		if time.Now().After(deadline) && !killed {
			killed = true
			o.logf("the engine (process %d) waits for a build, and is killed", pid)
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return false, err
		}
	}
	return true, removeStale(p)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
