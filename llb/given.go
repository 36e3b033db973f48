package llb

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/compiler/ir"
)

// Given is what a caller gives in place of a context.
type Given struct {
	State bk.State
	// Image is the configuration of an image; nil for files alone.
	Image *dockerspec.DockerOCIImage
}

var errNoGiven = errors.New("it takes an engine to load it")

// Use says what a given context is used for.
type Use struct {
	Platform ocispecs.Platform
	// Paths are what is read of it, absolute; nil is everything.
	Paths []string
	Pull  bool
	// Epoch says that the build has a SOURCE_DATE_EPOCH: a main context that is a
	// git repository then has its commit's time.
	Epoch bool
	// KeepGitDir keeps the .git directory of a main context that is a repository.
	KeepGitDir bool
}

// LoadNamed finds what a call gives under a name, as BuildKit's frontend does for
// --build-context: an image, an OCI layout, a git repository, a file, a directory.
// It is nil when nothing is given. Images are resolved, and nothing is fetched.
func LoadNamed(ctx context.Context, ui *dockerui.Client, name string, use Use) (*Given, error) {
	mode := ui.ImageResolveMode
	if use.Pull {
		mode = bk.ResolveModeForcePull
	}
	nc, err := ui.NamedContext(name, dockerui.ContextOpt{
		Platform: &use.Platform, ResolveMode: mode.String(),
		AsyncLocalOpts: func() []bk.LocalOption {
			set := map[string]bool{}
			for _, p := range use.Paths {
				set[p] = true
			}
			if follow := followPaths(set); len(follow) > 0 {
				return []bk.LocalOption{bk.FollowPaths(follow), bk.SharedKeyHint(localHint(name, follow))}
			}
			return nil
		},
	})
	if err != nil || nc == nil {
		return nil, err
	}
	st, img, err := nc.Load(ctx)
	if err != nil {
		return nil, err
	}
	return &Given{State: *st, Image: img}, nil
}

type givenKey struct {
	context                 *ir.Context
	platform                string
	paths                   string
	pull, epoch, keepGitDir bool
}

// given is a context that is no directory here; nil after an error, which is
// reported once.
func (l *lowerer) given(b *build, c *ir.Context, use Use, at hcl.Range) *Given {
	use.Pull, use.Epoch, use.KeepGitDir = b.Pull, b.epochAsked, b.Options.Flag(argKeepGitDir)
	key := givenKey{c, platforms.FormatAll(use.Platform), fmt.Sprint(use.Paths), use.Pull, use.Epoch, use.KeepGitDir}
	if g, ok := l.givens[key]; ok {
		return g
	}
	l.givens[key] = nil
	var g *Given
	err := errNoGiven
	if l.opt.Given != nil {
		g, err = l.opt.Given(l.ctx, c, use)
	}
	if err == nil && g == nil {
		err = fmt.Errorf("nothing is given for %s", key.platform)
	}
	if err != nil {
		if !l.lost[c] { // for one platform is enough
			l.errorf(CodeGiven, at, "A context cannot be loaded", "%s: %v.", givenName(c), err)
		}
		l.lost[c] = true
		return nil
	}
	l.givens[key] = g
	return g
}

// givenName names a context by what is given for it.
func givenName(c *ir.Context) string {
	if c.Given != "" {
		return c.Given
	}
	return c.Address()
}

// isGiven reports whether a context comes from [Options.Given].
func (l *lowerer) isGiven(c *ir.Context) bool {
	return c.Given != "" || l.opt.IsGiven != nil && l.opt.IsGiven(c)
}

// contextRoot starts from what the caller gives in place of an image or a stage.
func (w *lowering) contextRoot(r ir.ContextRoot) ([]string, bool) {
	s := w.s
	s.platform = w.b.target
	if s.ir.Platform != nil {
		p, err := w.l.askedPlatform(w.b, s.ir.Platform)
		if err != nil {
			w.errorf(CodePlatform, r.Range, "Bad platform", "%v.", err)
			return nil, false
		}
		s.platform = p
	}
	s.image = emptyImage(s.platform)
	w.total++
	if !w.l.isGiven(r.Context) {
		s.state = w.contextState(r.Context, []string{"/"}, nil).Platform(s.platform)
		return nil, true
	}
	g := w.l.given(w.b, r.Context, Use{Platform: s.platform}, r.Range)
	if g == nil {
		return nil, false
	}
	s.state = g.State.Platform(s.platform)
	if g.Image == nil {
		return nil, true
	}
	base := cloneImage(*g.Image)
	s.base = &base
	s.image = cloneImage(*g.Image)
	s.image.Created = nil
	triggers := s.image.Config.OnBuild
	s.image.Config.OnBuild = nil
	return triggers, true
}
