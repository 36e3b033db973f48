package engine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/connhelper"
	"github.com/moby/buildkit/client"
)

// dockerEndpoint is a Docker daemon's engine API. BuildKit lies behind two of its paths, each of
// which turns the HTTP connection into a stream: POST /grpc into BuildKit's API, POST /session into
// the other direction of a build's session.
type dockerEndpoint struct {
	address string // unix:///var/run/docker.sock, tcp://host:2376, ssh://user@host
	source  string // who named it
	tls     *tls.Config
}

// tryDocker looks for the daemon that the docker command would use.
func tryDocker(ctx context.Context, o Options) (*Engine, []Attempt) {
	d, err := findDocker(o)
	if err != nil {
		return nil, []Attempt{{"the Docker daemon", err}}
	}
	what := fmt.Sprintf("the Docker daemon at %s (%s)", d.address, d.source)
	e := &Engine{Kind: Docker, Address: d.address, Source: d.source, docker: d, opts: []client.ClientOpt{
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return d.hijack(ctx, "/grpc", "h2c", nil)
		}),
		client.WithSessionDialer(d.session),
	}}
	if err := e.probe(ctx, localTimeout); err != nil {
		return nil, []Attempt{{what, err}}
	}
	return e, nil
}

// findDocker reads Docker's own settings: DOCKER_HOST, then DOCKER_CONTEXT, then the current context
// of config.json, then the default socket.
func findDocker(o Options) (*dockerEndpoint, error) {
	if h := o.env("DOCKER_HOST"); h != "" {
		d := &dockerEndpoint{address: h, source: "DOCKER_HOST"}
		if o.env("DOCKER_TLS_VERIFY") == "" {
			return d, nil
		}
		dir := o.env("DOCKER_CERT_PATH")
		if dir == "" {
			dir = dockerConfigDir(o)
		}
		var err error
		d.tls, err = readTLS(dir, false)
		return d, err
	}
	if name := dockerContext(o); name != "" && name != "default" {
		return readDockerContext(dockerConfigDir(o), name)
	}
	return &dockerEndpoint{address: "unix:///var/run/docker.sock", source: "its default socket"}, nil
}

func dockerConfigDir(o Options) string {
	if d := o.env("DOCKER_CONFIG"); d != "" {
		return d
	}
	return filepath.Join(o.home(), ".docker")
}

func dockerContext(o Options) string {
	if c := o.env("DOCKER_CONTEXT"); c != "" {
		return c
	}
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	if b, err := os.ReadFile(filepath.Join(dockerConfigDir(o), "config.json")); err == nil {
		// A config that cannot be read is docker's to complain about; it names no context here.
		_ = json.Unmarshal(b, &config)
	}
	return config.CurrentContext
}

// readDockerContext reads a context from Docker's store, where its folder is the SHA-256 of its name.
func readDockerContext(config, name string) (*dockerEndpoint, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	b, err := os.ReadFile(filepath.Join(config, "contexts", "meta", id, "meta.json"))
	if err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	var meta struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return nil, fmt.Errorf("docker context %q: %w", name, err)
	}
	end, ok := meta.Endpoints["docker"]
	if !ok || end.Host == "" {
		return nil, fmt.Errorf("docker context %q has no Docker endpoint", name)
	}
	d := &dockerEndpoint{address: end.Host, source: "docker context " + name}
	certs := filepath.Join(config, "contexts", "tls", id, "docker")
	if _, err := os.Stat(certs); err == nil {
		if d.tls, err = readTLS(certs, end.SkipTLSVerify); err != nil {
			return nil, fmt.Errorf("docker context %q: %w", name, err)
		}
	}
	return d, nil
}

// readTLS reads ca.pem, cert.pem and key.pem; each may be absent.
func readTLS(dir string, skipVerify bool) (*tls.Config, error) {
	c := &tls.Config{InsecureSkipVerify: skipVerify}
	if ca, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err == nil {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s holds no certificate", filepath.Join(dir, "ca.pem"))
		}
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err == nil {
		c.Certificates = []tls.Certificate{cert}
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return c, nil
}

// dial opens a connection to the engine API.
func (d *dockerEndpoint) dial(ctx context.Context) (net.Conn, error) {
	u, err := url.Parse(d.address)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	switch u.Scheme {
	case "unix":
		return dialer.DialContext(ctx, "unix", u.Path)
	case "tcp", "http", "https":
		if d.tls == nil {
			return dialer.DialContext(ctx, "tcp", u.Host)
		}
		return (&tls.Dialer{NetDialer: &dialer, Config: d.tls}).DialContext(ctx, "tcp", u.Host)
	case "ssh":
		h, err := connhelper.GetConnectionHelper(d.address)
		if err != nil {
			return nil, err
		}
		// The connection is a process that lives as long as the connection, not as the dialling.
		return h.Dialer(context.WithoutCancel(ctx), "tcp", "")
	}
	return nil, fmt.Errorf("a Docker address of the kind %s:// is not supported", u.Scheme)
}

// session dials the path that carries build sessions; it has the type of BuildKit's session.Dialer.
func (d *dockerEndpoint) session(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
	return d.hijack(ctx, "/session", proto, meta)
}

// hijack asks the engine API to turn a connection into a stream of the given protocol.
func (d *dockerEndpoint) hijack(ctx context.Context, path, proto string, meta map[string][]string) (net.Conn, error) {
	conn, err := d.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	r, err := upgrade(conn, path, proto, meta)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &bufferedConn{Conn: conn, r: r}, nil
}

// upgrade does the HTTP exchange of a hijack, and returns a reader that holds what the daemon has
// already sent after it.
func upgrade(conn net.Conn, path, proto string, meta map[string][]string) (*bufio.Reader, error) {
	req, err := http.NewRequest(http.MethodPost, "http://docker"+path, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range meta {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", proto)
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		msg, _ := io.ReadAll(io.LimitReader(res.Body, 512))
		return nil, fmt.Errorf("the daemon has no BuildKit at %s: %s %s", path, res.Status, strings.TrimSpace(string(msg)))
	}
	return r, nil
}

// bufferedConn reads what the HTTP exchange has buffered before it reads the connection.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// CloseWrite ends the sending direction where the connection can: a stream's end must reach the daemon.
func (c *bufferedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}
