package runimage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// DefaultTimeout ends a command that does not end by itself.
const DefaultTimeout = time.Minute

// defaultPath is what `docker run` gives a command whose image has no PATH.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Command is what to run.
type Command struct {
	// Args replace the image's Cmd; nil keeps it.
	Args []string
	// Entrypoint replaces the image's Entrypoint, and clears its Cmd; nil keeps both.
	Entrypoint []string
	// Timeout is [DefaultTimeout] when it is 0.
	Timeout time.Duration
}

// Result is how a command ended.
type Result struct {
	Stdout, Stderr []byte
	// Exit is the command's exit code; 128 and more for a signal.
	Exit int
}

// ErrTimeout is the error of a command that was ended because it took too long.
var ErrTimeout = errors.New("the command took too long")

// Run runs a command with the image's environment, user and working directory, without input and without
// a network but loopback. An exit code is no error; that the command cannot be started is one. With
// [ErrTimeout] the result holds what was printed so far.
func (i *Image) Run(ctx context.Context, c Command) (Result, error) {
	dir, err := os.MkdirTemp(i.dir, "run-")
	if err != nil {
		return Result{}, err
	}
	res, err := i.run(ctx, dir, c)
	if err != nil {
		err = fmt.Errorf("run %s: %w", strings.Join(i.args(c), " "), err)
	}
	return res, errors.Join(err, os.RemoveAll(dir))
}

// args are the arguments of the process: as `docker run [--entrypoint E] IMAGE ARGS` makes them.
func (i *Image) args(c Command) []string {
	entrypoint, cmd := i.Config.Config.Entrypoint, i.Config.Config.Cmd
	if c.Entrypoint != nil {
		entrypoint, cmd = c.Entrypoint, nil
	}
	if c.Args != nil {
		cmd = c.Args
	}
	return append(slices.Clone(entrypoint), cmd...)
}

// mountAndRun is started in a mount namespace of its own: $1 to $4 are the directories of the overlay,
// the rest is runc's command line.
const mountAndRun = `mount -t overlay overlay -o "lowerdir=$1,upperdir=$2,workdir=$3" "$4" && shift 4 && exec "$@"`

func (i *Image) run(ctx context.Context, dir string, c Command) (Result, error) {
	if err := i.bundle(dir, c); err != nil {
		return Result{}, err
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, ErrTimeout)
	defer cancel()

	at := func(name string) string { return filepath.Join(dir, name) }
	id := "hbuild-" + filepath.Base(i.dir) + "-" + filepath.Base(dir)
	runc := []string{"runc", "--root", at("state"), "--log", at("log"), "--log-format", "json"}
	args := append([]string{"-c", mountAndRun, "runimage", i.root(), at("upper"), at("work"), at("rootfs")}, runc...)
	cmd := exec.CommandContext(ctx, "sh", append(args, "run", "--no-new-keyring", "--bundle", dir, id)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	// Killing runc would leave the container; deleting the container ends runc.
	remove := func() error { return exec.Command(runc[0], append(runc[1:], "delete", "--force", id)...).Run() }
	cmd.Cancel = remove
	cmd.WaitDelay = 5 * time.Second
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	if e := remove(); e != nil {
		err = errors.Join(err, fmt.Errorf("remove the container: %w", e))
	}

	res := Result{Stdout: out.Bytes(), Stderr: errOut.Bytes(), Exit: cmd.ProcessState.ExitCode()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return res, context.Cause(ctx)
	case err != nil && !errors.As(err, &exit):
		return res, err
	}
	return res, started(at("log"), res)
}

// started returns runc's own complaint, if it did not get as far as the command, or the shell's, if it
// did not get as far as runc.
func started(log string, res Result) error {
	f, err := os.Open(log)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("mount the image: %s", bytes.TrimSpace(res.Stderr))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for d := json.NewDecoder(f); ; {
		var entry struct{ Level, Msg string }
		if err := d.Decode(&entry); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if entry.Level == "error" || entry.Level == "fatal" {
			return errors.New(entry.Msg)
		}
	}
}

// bundle writes what runc needs: directories of the overlay, /etc/hosts, and the container's
// configuration.
func (i *Image) bundle(dir string, c Command) error {
	for _, d := range []string{"upper", "work", "rootfs", "state"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(dir, "upper"), 0o755); err != nil { // it is the command's "/"
		return err
	}
	hosts := filepath.Join(dir, "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.1\tlocalhost\n::1\tlocalhost\n"), 0o644); err != nil {
		return err
	}
	process, err := i.process(c)
	if err != nil {
		return err
	}
	config, err := json.Marshal(&specs.Spec{
		Version:  "1.0.2",
		Process:  process,
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "container",
		Mounts:   append(mounts(), specs.Mount{Destination: "/etc/hosts", Type: "bind", Source: hosts, Options: []string{"bind", "ro"}}),
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
			},
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644)
}

func (i *Image) process(c Command) (*specs.Process, error) {
	args := i.args(c)
	if len(args) == 0 {
		return nil, errors.New("the image has no command and none is given")
	}
	env := slices.Clone(i.Config.Config.Env)
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		env = append(env, defaultPath)
	}
	cwd := i.Config.Config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	u, err := i.user(i.Config.Config.User)
	if err != nil {
		return nil, err
	}
	// A process that is not root has none of them, but a program with setuid may get them.
	set := capabilities()
	caps := &specs.LinuxCapabilities{Bounding: set}
	if u.UID == 0 {
		caps.Effective, caps.Permitted = set, set
	}
	return &specs.Process{Args: args, Env: env, Cwd: cwd, User: u, Capabilities: caps}, nil
}

// user finds the numbers of a user and group given by name or number, in the image's own files.
func (i *Image) user(name string) (specs.User, error) {
	open := func(p string) io.Reader {
		b, err := i.ReadFile(p)
		if err != nil {
			return strings.NewReader("") // a number needs no file
		}
		return bytes.NewReader(b)
	}
	u, err := user.GetExecUser(name, &user.ExecUser{Home: "/"}, open("/etc/passwd"), open("/etc/group"))
	if err != nil {
		return specs.User{}, fmt.Errorf("user %q: %w", name, err)
	}
	out := specs.User{UID: uint32(u.Uid), GID: uint32(u.Gid)}
	for _, g := range u.Sgids {
		out.AdditionalGids = append(out.AdditionalGids, uint32(g))
	}
	return out, nil
}

// mounts are the file systems that every container has.
func mounts() []specs.Mount {
	m := func(dest, kind string, options ...string) specs.Mount {
		return specs.Mount{Destination: dest, Type: kind, Source: kind, Options: options}
	}
	return []specs.Mount{
		m("/proc", "proc", "nosuid", "noexec", "nodev"),
		m("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
		m("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
		m("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
		m("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
		m("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
	}
}

// capabilities is Docker's default set.
func capabilities() []string {
	return []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
}
