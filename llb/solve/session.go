package solve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	dockerconfig "github.com/docker/cli/cli/config"
	"github.com/moby/buildkit/cmd/buildctl/build"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"github.com/tonistiigi/go-csvvalue"
)

// MaxSecret is the largest secret in bytes (BuildKit's own limit, 500 KiB).
const MaxSecret = secretsprovider.MaxSecretSize

// Secret is a value offered to steps. Exactly one of File and Env is set.
type Secret struct {
	ID   string
	File string // path on this machine
	Env  string // environment variable
	// Required makes a missing file or variable an error before anything is
	// built; otherwise the secret is not offered.
	Required bool
}

// ParseSecret reads docker build's form: `id=ID[,src=PATH|,env=NAME][,type=file|env]`.
// Without src and env it is the environment variable named ID when there is one,
// else the file ID.
func ParseSecret(s string) (Secret, error) {
	secret := Secret{Required: true}
	fields, err := csvvalue.Fields(s, nil)
	if err != nil {
		return secret, fmt.Errorf("secret %q: %w", s, err)
	}
	kind := ""
	for _, field := range fields {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			return secret, fmt.Errorf("secret %q: %q is not key=value", s, field)
		}
		switch strings.ToLower(key) {
		case "id":
			secret.ID = value
		case "src", "source":
			secret.File = value
		case "env":
			secret.Env = value
		case "type":
			kind = value
		default:
			return secret, fmt.Errorf("secret %q: unknown key %q (known: id, src, env, type)", s, key)
		}
	}
	switch kind {
	case "", "file":
	case "env":
		if secret.Env == "" {
			secret.Env, secret.File = secret.File, ""
		}
	default:
		return secret, fmt.Errorf("secret %q: unknown type %q (known: file, env)", s, kind)
	}
	switch {
	case secret.ID == "":
		return secret, fmt.Errorf("secret %q: id is missing", s)
	case secret.File != "" && secret.Env != "":
		return secret, fmt.Errorf("secret %q: src and env exclude each other", s)
	case secret.File == "" && secret.Env == "":
		if _, ok := os.LookupEnv(secret.ID); ok || kind == "env" {
			secret.Env = secret.ID
		} else {
			secret.File = secret.ID
		}
	}
	return secret, nil
}

// read returns the value, or nil when the secret is optional and not there.
func (s Secret) read() ([]byte, error) {
	if s.Env != "" {
		value, ok := os.LookupEnv(s.Env)
		if !ok && s.Required {
			return nil, fmt.Errorf("%w: secret %q: environment variable %s is not set (or give --secret id=%s,src=FILE)", ErrRequest, s.ID, s.Env, s.ID)
		}
		if !ok {
			return nil, nil
		}
		return s.limit([]byte(value))
	}
	f, err := os.Open(s.File)
	if errors.Is(err, fs.ErrNotExist) && !s.Required {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: secret %q: %w (or give --secret id=%s,src=FILE|env=NAME)", ErrRequest, s.ID, err, s.ID)
	}
	defer f.Close()
	// One byte more than is allowed tells too much from just enough.
	value, err := io.ReadAll(io.LimitReader(f, MaxSecret+1))
	if err != nil {
		return nil, fmt.Errorf("%w: secret %q: %w", ErrRequest, s.ID, err)
	}
	return s.limit(value)
}

func (s Secret) limit(value []byte) ([]byte, error) {
	if len(value) > MaxSecret {
		return nil, fmt.Errorf("%w: secret %q is larger than %d KiB, the most that BuildKit takes", ErrRequest, s.ID, MaxSecret/1024)
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}

// SSH is an agent, or keys, offered to steps.
type SSH struct {
	ID string // "" is "default"
	// Paths are key files or one agent's socket; empty is the agent of
	// SSH_AUTH_SOCK.
	Paths []string
	Raw   bool // forward the socket as it is, without speaking the agent protocol
	// Required makes a missing agent an error before anything is built.
	Required bool
}

// ParseSSH reads docker build's form: `ID[=SOCKET|KEY[,KEY…][,raw=true]]`.
func ParseSSH(s string) (SSH, error) {
	configs, err := build.ParseSSH([]string{s})
	if err != nil {
		return SSH{}, fmt.Errorf("ssh %q: %w", s, err)
	}
	if configs[0].ID == "" {
		return SSH{}, fmt.Errorf("ssh %q: id is missing", s)
	}
	return SSH{ID: configs[0].ID, Paths: configs[0].Paths, Raw: configs[0].Raw, Required: true}, nil
}

// attachables are the parts of a session that answer the daemon's questions, and
// the secrets' values, which must not be shown.
func (r *Request) attachables() (all []session.Attachable, values [][]byte, err error) {
	docker := r.Docker
	if docker == nil {
		docker = dockerconfig.LoadDefaultConfigFile(io.Discard)
	}
	all = append(all, authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: authprovider.LoadAuthConfig(docker),
	}))
	secrets := map[string][]byte{}
	for _, s := range r.Secrets {
		value, err := s.read()
		if err != nil {
			return nil, nil, err
		}
		if value != nil {
			secrets[s.ID] = value
			values = append(values, value)
		}
	}
	if len(secrets) > 0 {
		all = append(all, secretsprovider.FromMap(secrets))
	}
	if len(r.Uploads) > 0 {
		all = append(all, uploads(r.Uploads))
	}
	agents, err := r.agents()
	if err != nil {
		return nil, nil, err
	}
	if agents != nil {
		all = append(all, agents)
	}
	return all, values, nil
}

func (r *Request) agents() (session.Attachable, error) {
	var configs []sshprovider.AgentConfig
	for _, a := range r.SSH {
		if len(a.Paths) == 0 && os.Getenv("SSH_AUTH_SOCK") == "" {
			if !a.Required {
				continue
			}
			return nil, fmt.Errorf("%w: ssh %q: no agent is running (SSH_AUTH_SOCK is not set); give --ssh %s=KEYFILE", ErrRequest, a.ID, a.ID)
		}
		for _, path := range a.Paths {
			if _, err := os.Stat(path); err != nil {
				return nil, fmt.Errorf("%w: --ssh %s: %w", ErrRequest, a.ID, err)
			}
		}
		configs = append(configs, sshprovider.AgentConfig{ID: a.ID, Paths: a.Paths, Raw: a.Raw})
	}
	if len(configs) == 0 {
		return nil, nil
	}
	agents, err := sshprovider.NewSSHAgentProvider(configs)
	if err != nil {
		return nil, fmt.Errorf("%w: ssh: %w", ErrRequest, err)
	}
	return agents, nil
}

// Sender names the sender of the contexts to the daemon, as a session's shared key:
// the same directory on the same host finds its earlier transfer again.
func (r *Request) Sender() string {
	if r.SharedKey != "" {
		return r.SharedKey
	}
	host, _ := os.Hostname() // an unnamed host only shares less
	root, err := filepath.Abs(r.Root)
	if err != nil {
		root = r.Root
	}
	sum := sha256.Sum256([]byte(host + "\x00" + root))
	return "hbuild:" + hex.EncodeToString(sum[:16])
}

// tempPrefix begins the names of the directories in which results are received.
// Contexts leave them out: another build of the same module must not see them.
const tempPrefix = ".hbuild-tmp-"

// ownedPrefix begins those of them that are claimed by the process that uses them: what
// has no claim on it any more is removed, see [sweep].
const ownedPrefix = tempPrefix + "build-"

// transfer counts what contexts send.
type transfer struct {
	bytes atomic.Int64 // of the files that were read
	walks atomic.Int64 // of directories, however much of them was sent
}

// mounts opens the contexts. sent counts what is read from them.
func (r *Request) mounts(sent *transfer) (map[string]fsutil.FS, error) {
	mounts := map[string]fsutil.FS{}
	for name, c := range r.Contexts {
		if fi, err := os.Stat(c.Dir); err != nil {
			return nil, fmt.Errorf("%w: context %q: %w", ErrRequest, name, err)
		} else if !fi.IsDir() {
			return nil, fmt.Errorf("%w: context %q: %s is not a directory", ErrRequest, name, c.Dir)
		}
		dir, err := c.open(sent)
		if err != nil {
			return nil, fmt.Errorf("%w: context %q: %w", ErrRequest, name, err)
		}
		mounts[name] = dir
	}
	return mounts, nil
}

// Open opens the directory as the daemon may see it.
func (c Context) Open() (fsutil.FS, error) { return c.open(&transfer{}) }

func (c Context) open(sent *transfer) (fsutil.FS, error) {
	dir, err := fsutil.NewFS(c.Dir)
	if err != nil {
		return nil, err
	}
	shown, err := c.filter(dir)
	if err != nil {
		return nil, err
	}
	return contextFS{FS: countingFS{FS: shown, sent: sent}, dir: dir, of: c, sent: sent}, nil
}

// filter hides what is never sent.
func (c Context) filter(dir fsutil.FS) (fsutil.FS, error) {
	return fsutil.NewFilterFS(dir, &fsutil.FilterOpt{ExcludePatterns: c.Exclude, Map: dropTemp})
}

func dropTemp(p string, st *fstypes.Stat) fsutil.MapResult {
	switch {
	case !strings.HasPrefix(filepath.Base(p), tempPrefix):
		return fsutil.MapResultKeep
	case os.FileMode(st.Mode).IsDir():
		return fsutil.MapResultSkipDir
	}
	return fsutil.MapResultExclude
}

// countingFS counts what is read from a context.
type countingFS struct {
	fsutil.FS
	sent *transfer
}

func (c countingFS) Walk(ctx context.Context, p string, fn fs.WalkDirFunc) error {
	// To look at one file, fsutil walks that.
	if path.Join("/", filepath.ToSlash(p)) == "/" {
		c.sent.walks.Add(1)
	}
	return c.FS.Walk(ctx, p, fn)
}

func (c countingFS) Open(p string) (io.ReadCloser, error) {
	f, err := c.FS.Open(p)
	if err != nil {
		return nil, err
	}
	return countingFile{f, c.sent}, nil
}

// contextFS is a context as the daemon sees it: of its paths, when it has some, as of a
// source that follows them.
type contextFS struct {
	fsutil.FS           // all of it
	dir       fsutil.FS // and what is never sent
	of        Context
	sent      *transfer
}

func (c contextFS) Walk(ctx context.Context, p string, fn fs.WalkDirFunc) error {
	shown, err := c.narrow()
	if err != nil {
		return err
	}
	return shown.Walk(ctx, p, fn)
}

// narrow shows what the paths name now, links followed. Links are looked up in all of the
// context, as fsutil's own filter does.
func (c contextFS) narrow() (fsutil.FS, error) {
	if c.of.Paths == nil {
		return c.FS, nil
	}
	paths := c.of.Paths()
	if paths == nil {
		return c.FS, nil
	}
	patterns, err := fsutil.FollowLinks(c.FS, paths)
	if err != nil {
		return nil, err
	}
	shown, err := c.of.filter(prunedFS{c.dir, newBranches(patterns)})
	if err != nil {
		return nil, err
	}
	return fsutil.NewFilterFS(countingFS{FS: shown, sent: c.sent}, &fsutil.FilterOpt{IncludePatterns: patterns})
}

type countingFile struct {
	io.ReadCloser
	sent *transfer
}

func (c countingFile) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.sent.bytes.Add(int64(n))
	return n, err
}

func (r *Request) layouts() (map[string]content.Store, error) {
	stores := map[string]content.Store{}
	for name, dir := range r.OCILayouts {
		if _, err := os.Stat(filepath.Join(dir, "index.json")); err != nil {
			return nil, fmt.Errorf("%w: OCI layout %q: %w", ErrRequest, name, err)
		}
		store, err := contentlocal.NewStore(dir)
		if err != nil {
			return nil, fmt.Errorf("%w: OCI layout %q: %w", ErrRequest, name, err)
		}
		stores[name] = store
	}
	return stores, nil
}
