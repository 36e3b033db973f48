package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/status"

	// Each registers the scheme of its name with BuildKit's client.
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer"
	_ "github.com/moby/buildkit/client/connhelper/kubepod"
	_ "github.com/moby/buildkit/client/connhelper/nerdctlcontainer"
	_ "github.com/moby/buildkit/client/connhelper/npipe"
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer"
	_ "github.com/moby/buildkit/client/connhelper/ssh"
)

var schemes = []string{"unix", "tcp", "ssh", "docker-container", "podman-container", "nerdctl-container", "kube-pod", "npipe"}

// checkAddress refuses what is no BuildKit address. Without it a bare path or a misspelt scheme would
// become a host name to look up.
func checkAddress(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	for _, s := range schemes {
		if u.Scheme == s {
			return nil
		}
	}
	if strings.HasPrefix(address, "/") {
		return fmt.Errorf("not an address; a socket is written unix://%s", address)
	}
	return fmt.Errorf("not an address: it begins with one of %s://, or is docker or private", strings.Join(schemes, "://, "))
}

// probe asks the engine for its workers: the cheapest question that only a BuildKit which can build answers.
// The connection is kept for the first who wants one.
func (e *Engine) probe(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v", timeout))
	defer cancel()
	c, err := e.connect(ctx)
	if err != nil {
		return reason(ctx, err)
	}
	workers, err := c.ListWorkers(ctx)
	switch {
	case err != nil:
		err = reason(ctx, err)
	case len(workers) == 0:
		err = errors.New("it has no worker that could run a build")
	default:
		e.answered = c
		return nil
	}
	c.Close()
	return err
}

// answers probes an engine on this machine that nobody will talk to yet.
func (e *Engine) answers(ctx context.Context) bool {
	err := e.probe(ctx, localTimeout)
	e.Close()
	return err == nil
}

// reason strips the layers that gRPC wraps around a cause: what a person needs is at the end of
// `rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: …"`.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	msg := err.Error()
	if s, ok := status.FromError(err); ok {
		msg = s.Message()
	}
	for _, cut := range []string{"Error while dialing: ", `desc = "transport: `, "connection error: desc = "} {
		if _, rest, ok := strings.Cut(msg, cut); ok {
			msg = strings.TrimSuffix(rest, `"`)
		}
	}
	return errors.New(strings.ReplaceAll(msg, `\"`, `"`))
}
