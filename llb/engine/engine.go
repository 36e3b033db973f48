// Package engine finds the BuildKit that a build runs on, and starts one where there is none.
//
// [Find] tries, in this order, and takes the first that answers:
//
//  1. an address that was given: [Options.Address] (--engine), then HBUILD_ENGINE, then BUILDKIT_HOST.
//     It is the only one tried. Every scheme of BuildKit is one: unix:// tcp:// ssh:// docker-container://
//     podman-container:// nerdctl-container:// kube-pod:// npipe://; besides them the word "docker" (the
//     BuildKit in the Docker daemon) and the word "private" (hbuild's own);
//  2. the BuildKit in the Docker daemon that the docker command would use (DOCKER_HOST, DOCKER_CONTEXT,
//     the current context, else /var/run/docker.sock), if the daemon answers within two seconds;
//  3. buildkitd's own sockets: $XDG_RUNTIME_DIR/buildkit/buildkitd.sock, /run/buildkit/buildkitd.sock;
//  4. hbuild's private buildkitd, which is started if it does not run, and left running for the next
//     build (Linux only; see private_linux.go for how).
//
// If none can be had the error is a [*NotFoundError], which lists every attempt with its reason and
// says what to do.
//
// # Environment
//
//	HBUILD_ENGINE          an address, "docker" or "private"
//	BUILDKIT_HOST          an address, as buildctl reads it
//	HBUILD_ENGINE_TLS_DIR  ca.pem, cert.pem and key.pem for a tcp:// address (buildctl's --tlsdir)
//	HBUILD_ENGINE_ROOT     one directory for everything of the private engine (socket, state, log,
//	                       engine.toml), in place of the user's directories
//	HBUILD_ENGINE_MIRRORS  registry mirrors of the private engine: "docker.io=127.0.0.1:5000",
//	                       separated by commas or spaces; a registry may be given several times
//	HBUILD_BUILDKITD       the buildkitd to start; else the one beside hbuild's program, else PATH's
//
// # Files of the private engine
//
// Without HBUILD_ENGINE_ROOT: the socket, pid, lock and generated buildkitd.toml are in
// $XDG_RUNTIME_DIR/hbuild (else /run/user/UID/hbuild, /run/hbuild for root, hbuild-UID in the temporary
// directory); the state and the log in $XDG_DATA_HOME/hbuild/engine (else ~/.local/share); and the
// user's settings are read from $XDG_CONFIG_HOME/hbuild/engine.toml (else ~/.config), which is in
// buildkitd.toml's format: registries and their mirrors, garbage collection, DNS, proxies.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // the codec that buildctl and the daemon speak: without reflection
)

// Options say where to look. The zero value looks everywhere, with the process's environment.
type Options struct {
	// Address is what --engine was given: an address, "docker" or "private". Empty is not given.
	Address string
	// Env reads an environment variable; nil means os.Getenv.
	Env func(string) string
	// NoStart leaves a private engine that does not run as it is, as a failed attempt.
	NoStart bool
	// Log receives a line when something takes time or deserves notice, such as the start of a
	// private engine; nil discards.
	Log io.Writer
}

func (o Options) env(name string) string {
	if o.Env == nil {
		return os.Getenv(name)
	}
	return o.Env(name)
}

func (o Options) logf(format string, args ...any) {
	if o.Log != nil {
		fmt.Fprintf(o.Log, format+"\n", args...)
	}
}

// Kind says which of the ways an engine was found by.
type Kind string

// The kinds of engines.
const (
	Given   Kind = "given"   // by an address
	Docker  Kind = "docker"  // inside a Docker daemon
	System  Kind = "system"  // a buildkitd that runs on this machine
	Private Kind = "private" // hbuild's own
)

// Engine is a BuildKit that answered.
type Engine struct {
	Kind Kind
	// Address is where it is: a BuildKit address, or for [Docker] the Docker daemon's.
	Address string
	// Source says who named it: "--engine", "HBUILD_ENGINE", "BUILDKIT_HOST", "docker context NAME" and the like.
	Source string

	opts   []client.ClientOpt
	docker *dockerEndpoint
	// answered is the connection over which it did; nil when a caller has it.
	answered *client.Client
}

// Describe names the engine in a few words, for a progress line or `hbuild engine status`.
func (e *Engine) Describe() string {
	switch e.Kind {
	case Docker:
		return fmt.Sprintf("the BuildKit of the Docker daemon at %s (%s)", e.Address, e.Source)
	case System:
		return "buildkitd at " + e.Address
	case Private:
		return "hbuild's own buildkitd at " + e.Address
	default:
		return fmt.Sprintf("BuildKit at %s (from %s)", e.Address, e.Source)
	}
}

// Client is a connection: the first time, without options, the one over which the engine
// answered. The caller closes it.
func (e *Engine) Client(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error) {
	if c := e.answered; c != nil && len(opts) == 0 {
		e.answered = nil
		return c, nil
	}
	return e.connect(ctx, opts...)
}

// Close closes the connection over which the engine answered, unless a caller has taken it.
func (e *Engine) Close() error {
	if c := e.answered; c != nil {
		e.answered = nil
		return c.Close()
	}
	return nil
}

func (e *Engine) connect(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error) {
	address := e.Address
	if e.docker != nil {
		address = "" // the dialer knows; BuildKit's client cannot read a Docker address
	}
	all := append(append([]client.ClientOpt{}, e.opts...), opts...)
	c, err := client.New(ctx, address, all...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", e.Describe(), err)
	}
	return c, nil
}

// Dialer is what a session of this engine runs over. A Docker daemon takes sessions at an address of
// its own; every other engine takes them over the client's connection.
func (e *Engine) Dialer(c *client.Client) session.Dialer {
	if e.docker != nil {
		return e.docker.session
	}
	return c.Dialer()
}

// Attempt is one engine that [Find] tried in vain.
type Attempt struct {
	What string // what was tried, such as "the Docker daemon at unix:///var/run/docker.sock"
	Why  error  // why it cannot be used
}

// NotFoundError says that no engine can be had. The command line's exit code for it is 4.
type NotFoundError struct {
	Attempts []Attempt
	// Given is set when an address was given, so that nothing else was tried (nor could be started).
	Given bool
}

// Error is the whole message: what was tried, why it failed, what to do.
func (e *NotFoundError) Error() string {
	var b strings.Builder
	if e.Given && len(e.Attempts) == 1 {
		fmt.Fprintf(&b, "cannot reach %s: %v\n\n", e.Attempts[0].What, e.Attempts[0].Why)
		b.WriteString("Check that it runs and that the address is right, or give no address: hbuild then looks for an engine by itself.")
		return b.String()
	}
	b.WriteString("no BuildKit to build with. Tried:\n")
	for _, a := range e.Attempts {
		fmt.Fprintf(&b, "  - %s: %v\n", a.What, a.Why)
	}
	b.WriteString(`
One of these helps:
  - start Docker, or set DOCKER_HOST to a daemon that runs
  - give an address of a BuildKit: --engine ADDRESS, or HBUILD_ENGINE
  - let hbuild start its own: install runc, and buildkitd beside hbuild or in PATH (HBUILD_BUILDKITD names another);
    a user other than root also needs rootlesskit and uidmap
  - see "hbuild engine status" and "hbuild engine logs"`)
	return b.String()
}

// Unwrap gives the attempts' errors to errors.Is and errors.As.
func (e *NotFoundError) Unwrap() []error {
	var errs []error
	for _, a := range e.Attempts {
		errs = append(errs, a.Why)
	}
	return errs
}

// probeTimeout bounds a probe of an address that was given: ssh and kubectl take their time.
const probeTimeout = 20 * time.Second

// localTimeout bounds a probe of a socket on this machine, and of a Docker daemon nobody named.
const localTimeout = 2 * time.Second

// Find returns the engine to build on. See the package's documentation for the order. The caller
// closes it.
func Find(ctx context.Context, o Options) (*Engine, error) {
	if address, source := o.given(); address != "" {
		return findGiven(ctx, o, address, source)
	}
	none := &NotFoundError{}
	for _, try := range []func(context.Context, Options) (*Engine, []Attempt){tryDocker, trySystem, tryPrivate} {
		e, failed := try(ctx, o)
		if e != nil {
			return e, nil
		}
		none.Attempts = append(none.Attempts, failed...)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return nil, none
}

// given returns the address that was given, and by whom.
func (o Options) given() (address, source string) {
	if o.Address != "" {
		return o.Address, "--engine"
	}
	for _, name := range []string{"HBUILD_ENGINE", "BUILDKIT_HOST"} {
		if a := o.env(name); a != "" {
			return a, name
		}
	}
	return "", ""
}

func findGiven(ctx context.Context, o Options, address, source string) (*Engine, error) {
	var e *Engine
	var failed []Attempt
	word := true
	switch address {
	case "docker":
		e, failed = tryDocker(ctx, o)
	case "private":
		e, failed = tryPrivate(ctx, o)
	default:
		word = false
		e, failed = tryAddress(ctx, o, address, source)
	}
	if e != nil {
		return e, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return nil, &NotFoundError{Attempts: failed, Given: !word}
}

func tryAddress(ctx context.Context, o Options, address, source string) (*Engine, []Attempt) {
	what := fmt.Sprintf("BuildKit at %s (from %s)", address, source)
	if err := checkAddress(address); err != nil {
		return nil, []Attempt{{what, err}}
	}
	opts, err := o.tls(address)
	if err != nil {
		return nil, []Attempt{{what, err}}
	}
	e := &Engine{Kind: Given, Address: address, Source: source, opts: opts}
	if err := e.probe(ctx, probeTimeout); err != nil {
		return nil, []Attempt{{what, err}}
	}
	return e, nil
}

// tls reads the certificates for a tcp:// address, in the layout of buildctl's --tlsdir.
func (o Options) tls(address string) ([]client.ClientOpt, error) {
	dir := o.env("HBUILD_ENGINE_TLS_DIR")
	if dir == "" || !strings.HasPrefix(address, "tcp://") {
		return nil, nil
	}
	host := strings.TrimPrefix(address, "tcp://")
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	ca := filepath.Join(dir, "ca.pem")
	if _, err := os.Stat(ca); err != nil {
		return nil, fmt.Errorf("HBUILD_ENGINE_TLS_DIR: %w", err)
	}
	opts := []client.ClientOpt{client.WithServerConfig(strings.Trim(host, "[]"), ca)}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := os.Stat(cert); !errors.Is(err, os.ErrNotExist) {
		opts = append(opts, client.WithCredentials(cert, key))
	}
	return opts, nil
}

// trySystem looks for a buildkitd that somebody else runs, where buildctl would look.
func trySystem(ctx context.Context, o Options) (*Engine, []Attempt) {
	var failed []Attempt
	for _, sock := range systemSockets(o) {
		e := &Engine{Kind: System, Address: "unix://" + sock, Source: "its default socket"}
		what := "buildkitd at " + e.Address
		if _, err := os.Stat(sock); errors.Is(err, os.ErrNotExist) {
			failed = append(failed, Attempt{what, errors.New("no such socket")})
			continue
		}
		if err := e.probe(ctx, localTimeout); err != nil {
			failed = append(failed, Attempt{what, err})
			continue
		}
		return e, nil
	}
	return nil, failed
}

// systemSocket is where a machine's own buildkitd listens. A variable for the tests alone, which must
// not find the one of the machine they run on.
var systemSocket = "/run/buildkit/buildkitd.sock"

func systemSockets(o Options) []string {
	var socks []string
	if d, _, _ := strings.Cut(o.env("XDG_RUNTIME_DIR"), ":"); d != "" {
		socks = append(socks, filepath.Join(d, "buildkit", "buildkitd.sock"))
	}
	return append(socks, systemSocket)
}
