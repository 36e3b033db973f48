package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/distribution/reference"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
	"github.com/hbuild/hbuild/llb"
	"github.com/hbuild/hbuild/llb/solve"
)

// Givens are the contexts of a call that are no directories: images, OCI layouts,
// repositories, files, standard input. BuildKit's own frontend library reads
// them, so that they mean what they mean to docker build.
type Givens struct {
	opts  map[string]string      // for that library: "context:NAME"
	names map[*ir.Context]string // what it knows each as; the main context is "context"
	// Layouts and Uploads are what a request needs of them.
	Layouts map[string]string
	Uploads map[string]func() (io.ReadCloser, error)
	spooled string // standard input

	mu  sync.Mutex
	uis map[mainOptions]*dockerui.Client
}

// mainOptions are what the main context depends on besides its address.
type mainOptions struct{ epoch, keepGitDir bool }

const mainContext = "context"

// NewGivens looks at the contexts of a graph: it finds images in OCI layouts and
// keeps standard input. The caller closes it.
func NewGivens(g *ir.Graph, opt Options) (*Givens, error) {
	s := &Givens{
		opts: map[string]string{}, names: map[*ir.Context]string{}, Layouts: map[string]string{},
		Uploads: map[string]func() (io.ReadCloser, error){}, uis: map[mainOptions]*dockerui.Client{},
	}
	for i, c := range g.Contexts {
		if c.Given == "" {
			continue
		}
		if err := s.add(c, i, opt); err != nil {
			s.Close()
			return nil, fmt.Errorf("%w: %s: %w", solve.ErrRequest, c.Given, err)
		}
	}
	return s, nil
}

func (s *Givens) add(c *ir.Context, i int, opt Options) error {
	value := c.Given
	switch {
	case value == "-":
		if err := s.spool(opt.Stdin); err != nil {
			return err
		}
		value = solve.UploadAddress("stdin.tar")
	case strings.HasPrefix(value, layoutScheme):
		l, err := parseLayout(value)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(l.dir) {
			l.dir = filepath.Join(opt.Root, l.dir)
		}
		if err := l.resolve(); err != nil {
			return err
		}
		store := fmt.Sprintf("hbuild-layout-%d", i)
		s.Layouts[store] = l.dir
		value = layoutScheme + store + "@" + l.digest
	}
	remote := !strings.HasPrefix(value, "docker-image://") && !strings.HasPrefix(value, layoutScheme)
	if c.Name == "default" && remote {
		s.names[c], s.opts[mainContext] = mainContext, value
		return nil
	}
	name := fmt.Sprintf("given-%d", i)
	if n, err := reference.ParseNormalizedNamed(c.Name); err == nil && c.Name != mainContext {
		name = strings.TrimSuffix(reference.FamiliarString(n), ":latest")
	}
	s.names[c], s.opts["context:"+name] = name, value
	return nil
}

// spool keeps standard input in a file, for the daemon may ask for it again.
func (s *Givens) spool(stdin io.Reader) error {
	if stdin == nil {
		return errors.New("there is no standard input")
	}
	f, err := os.CreateTemp("", "hbuild-context-*.tar")
	if err != nil {
		return err
	}
	defer f.Close()
	s.spooled = f.Name()
	n, err := io.Copy(f, stdin)
	if err == nil && n == 0 {
		err = errors.New("standard input is empty; it has to be a tar archive")
	}
	s.Uploads["stdin.tar"] = func() (io.ReadCloser, error) { return os.Open(s.spooled) }
	return err
}

// Close removes what was kept.
func (s *Givens) Close() {
	if s.spooled != "" {
		os.Remove(s.spooled) // in a directory for temporary files: it is cleaned anyway
	}
}

// Load is [llb.Options.Given] over an engine. Errors are noted too, for a
// diagnostic has no error for the exit code.
func (s *Givens) Load(c gateway.Client, note func(error)) func(context.Context, *ir.Context, llb.Use) (*llb.Given, error) {
	return func(ctx context.Context, x *ir.Context, use llb.Use) (*llb.Given, error) {
		g, err := s.loadOne(ctx, c, x, use)
		if err != nil {
			note(err)
		}
		return g, err
	}
}

func (s *Givens) loadOne(ctx context.Context, c gateway.Client, x *ir.Context, use llb.Use) (*llb.Given, error) {
	ui, err := s.ui(c, mainOptions{use.Epoch, use.KeepGitDir})
	if err != nil {
		return nil, err
	}
	name := s.names[x]
	if name != mainContext {
		return llb.LoadNamed(ctx, ui, name, use)
	}
	st, err := ui.MainContext(ctx)
	if err != nil {
		return nil, err
	}
	if _, git, _ := dockerui.DetectGitContext(s.opts[mainContext], nil); !git && !unpacked(ctx, st) {
		return nil, errors.New("it is no tar archive")
	}
	return &llb.Given{State: *st}, nil
}

// unpacked reports whether the library took a download for an archive. One that
// is none it takes for a Dockerfile, and leaves as it is.
func unpacked(ctx context.Context, st *bk.State) bool {
	def, err := st.Marshal(ctx)
	return err == nil && len(def.Def) > 2 // the source, the unpacking, the result
}

func (s *Givens) ui(c gateway.Client, o mainOptions) (*dockerui.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uis[o] == nil {
		opts := map[string]string{}
		for k, v := range s.opts {
			opts[k] = v
		}
		if o.epoch {
			opts["build-arg:SOURCE_DATE_EPOCH"] = "0" // which one does not matter here
		}
		if o.keepGitDir {
			opts["build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR"] = "1"
		}
		ui, err := dockerui.NewClient(optsClient{c, opts})
		if err != nil {
			return nil, err
		}
		s.uis[o] = ui
	}
	return s.uis[o], nil
}

// optsClient is a client whose call has other options.
type optsClient struct {
	gateway.Client
	opts map[string]string
}

// BuildOpts implements gateway.Client.
func (c optsClient) BuildOpts() gateway.BuildOpts {
	b := c.Client.BuildOpts()
	b.Opts = c.opts
	return b
}

const layoutScheme = "oci-layout://"

// layout is an image in an OCI layout: a directory of this machine.
type layout struct{ dir, tag, digest string }

// parseLayout reads oci-layout://DIR[:TAG][@DIGEST].
func parseLayout(s string) (layout, error) {
	var l layout
	rest := strings.TrimPrefix(s, layoutScheme)
	rest, l.digest, _ = strings.Cut(rest, "@")
	l.dir = rest
	if i := strings.LastIndexByte(rest, ':'); i > 0 && reference.TagRegexp.FindString(rest[i+1:]) == rest[i+1:] && rest[i+1:] != "" {
		l.dir, l.tag = rest[:i], rest[i+1:]
	}
	if l.dir == "" {
		return l, errors.New("it has no directory")
	}
	l.dir = filepath.FromSlash(l.dir)
	return l, nil
}

// resolve finds the digest: of the tag, else of the only image there, else of
// "latest".
func (l *layout) resolve() error {
	if _, err := os.Stat(filepath.Join(l.dir, ocispecs.ImageIndexFile)); err != nil {
		return fmt.Errorf("%s is no OCI layout: %w", l.dir, err)
	}
	if l.digest != "" {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(l.dir, ocispecs.ImageIndexFile))
	if err != nil {
		return err
	}
	var index ocispecs.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("%s: %w", ocispecs.ImageIndexFile, err)
	}
	tag := l.tag
	if tag == "" && len(index.Manifests) == 1 {
		l.digest = index.Manifests[0].Digest.String()
		return nil
	}
	if tag == "" {
		tag = "latest"
	}
	var tags []string
	for _, m := range index.Manifests {
		name := m.Annotations[ocispecs.AnnotationRefName]
		if name == tag || strings.HasSuffix(name, ":"+tag) {
			l.digest = m.Digest.String()
			return nil
		}
		if name != "" {
			tags = append(tags, name)
		}
	}
	return fmt.Errorf("it has no image %s; there are: %s", tag, diag.List(tags, 10))
}
