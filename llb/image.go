package llb

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/util/system"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/hbuild/hbuild/compiler/ir"
)

// imageKey is a base image as it is asked for.
type imageKey struct {
	ref      string // with registry and tag
	platform string
	pull     bool
}

// image is a base image as it was found.
type image struct {
	ref      string // pinned
	config   dockerspec.DockerOCIImage
	platform ocispecs.Platform
	empty    bool // no layers: scratch
	failed   bool
}

// wanted is an image and where the files ask for it.
type wanted struct {
	key      imageKey
	platform ocispecs.Platform
	at       hcl.Range
	multi    bool
}

// imageKey makes the key of a reference. asked is the platform that the files
// name; nil is the target's.
func (l *lowerer) imageKey(b *build, ref string, asked *ir.Platform) (imageKey, ocispecs.Platform, error) {
	p := b.target
	if asked != nil {
		var err error
		if p, err = l.askedPlatform(b, asked); err != nil {
			return imageKey{}, p, err
		}
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return imageKey{}, p, err
	}
	return imageKey{reference.TagNameOnly(named).String(), platforms.FormatAll(p), b.Pull}, p, nil
}

// askedPlatform is a platform that the files name, or that they leave to an
// automatic argument.
func (l *lowerer) askedPlatform(b *build, p *ir.Platform) (ocispecs.Platform, error) {
	if p.Auto == "" {
		return p.Platform, nil
	}
	return platforms.Parse(b.auto[p.Auto])
}

// resolveImages asks for all images of all builds at once.
func (l *lowerer) resolveImages(builds []*build) {
	var todo []wanted
	seen := map[stageKey]bool{}
	want := func(b *build, ref string, p *ir.Platform, at hcl.Range) {
		key, platform, err := l.imageKey(b, ref, p)
		if err != nil {
			l.errorf(CodeImage, at, "Bad image", "%s: %v.", ref, err)
			return
		}
		if l.images[key] == nil {
			l.images[key] = &image{failed: true}
			todo = append(todo, wanted{key, platform, at, b.Multi})
		}
	}
	for _, b := range builds {
		for _, s := range ir.Reach(b.Stage) {
			k := stageKey{s, b.key}
			if seen[k] {
				continue
			}
			seen[k] = true
			if r, ok := s.Root.(ir.ImageRoot); ok {
				want(b, r.Ref, s.Platform, r.Range)
			}
			for _, step := range s.Steps {
				ir.Sources(step, func(src ir.Source) {
					if i, ok := src.(ir.ImageSource); ok {
						want(b, i.Ref, sourcePlatform(i, s), i.Range)
					}
				})
			}
		}
	}
	l.resolve(todo)
}

// sourcePlatform is the platform that the files ask for when a stage reads an
// image.
func sourcePlatform(i ir.ImageSource, s *ir.Stage) *ir.Platform {
	if i.Platform != nil {
		return i.Platform
	}
	return s.RootPlatform()
}

// resolve fills l.images.
func (l *lowerer) resolve(todo []wanted) {
	var mu sync.Mutex
	var eg errgroup.Group
	eg.SetLimit(16)
	for _, w := range todo {
		eg.Go(func() error {
			img, err := l.resolveOne(w)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				l.imageError(w, err)
				return nil
			}
			l.images[w.key] = img
			l.checkPlatform(w, img)
			return nil
		})
	}
	_ = eg.Wait() // mistakes are diagnostics
}

func (l *lowerer) resolveOne(w wanted) (*image, error) {
	prefix := "[internal]"
	if w.multi {
		prefix = "[" + w.key.platform + " internal]"
	}
	mode := bk.ResolveModeDefault
	if w.key.pull {
		mode = bk.ResolveModeForcePull
	}
	if l.opt.Resolver == nil {
		return nil, errNoResolver
	}
	p := w.platform
	ref, dgst, dt, err := l.opt.Resolver.ResolveImageConfig(l.ctx, w.key.ref, sourceresolver.Opt{
		LogName:  prefix + " load metadata for " + w.key.ref,
		ImageOpt: &sourceresolver.ResolveImageOpt{Platform: &p, ResolveMode: mode.String()},
	})
	if err != nil {
		return nil, err
	}
	img := &image{ref: ref, platform: p}
	if err := json.Unmarshal(dt, &img.config); err != nil {
		return nil, &configError{err}
	}
	if dgst != "" {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil, err
		}
		pinned, err := reference.WithDigest(named, dgst)
		if err != nil {
			return nil, err
		}
		img.ref = pinned.String()
	}
	img.empty = noLayers(img.config)
	return img, nil
}

// noLayers reports whether an image is scratch by another name. The images of an
// old schema have no list of layers, but a history of them.
func noLayers(img dockerspec.DockerOCIImage) bool {
	if len(img.RootFS.DiffIDs) > 0 {
		return false
	}
	return !slices.ContainsFunc(img.History, func(h ocispecs.History) bool { return !h.EmptyLayer })
}

// imageState is an image's files.
func (l *lowerer) imageState(img *image, b *build, name string, at hcl.Range) bk.State {
	if img.empty {
		return bk.Scratch()
	}
	mode := bk.ResolveModeDefault
	if b.Pull {
		mode = bk.ResolveModeForcePull
	}
	return bk.Image(img.ref, bk.Platform(img.platform), mode, bk.WithCustomName(name), l.location(at))
}

// emptyImage is the configuration of scratch.
func emptyImage(p ocispecs.Platform) dockerspec.DockerOCIImage {
	var img dockerspec.DockerOCIImage
	img.Architecture, img.OS, img.OSVersion, img.Variant = p.Architecture, p.OS, p.OSVersion, p.Variant
	img.OSFeatures = slices.Clone(p.OSFeatures)
	img.RootFS.Type = "layers"
	img.Config.WorkingDir = "/"
	if p.OS != "windows" {
		img.Config.Env = []string{"PATH=" + system.DefaultPathEnv(p.OS)}
	}
	return img
}

// cloneImage copies a configuration so that changing one leaves the other alone.
func cloneImage(src dockerspec.DockerOCIImage) dockerspec.DockerOCIImage {
	img := src
	c := &img.Config
	c.Env, c.Cmd, c.Entrypoint = slices.Clone(c.Env), slices.Clone(c.Cmd), slices.Clone(c.Entrypoint)
	c.OnBuild, c.Shell = slices.Clone(c.OnBuild), slices.Clone(c.Shell)
	c.ExposedPorts, c.Volumes, c.Labels = maps.Clone(c.ExposedPorts), maps.Clone(c.Volumes), maps.Clone(c.Labels)
	if h := c.Healthcheck; h != nil {
		copied := *h
		copied.Test = slices.Clone(h.Test)
		c.Healthcheck = &copied
	}
	img.History = slices.Clone(src.History)
	return img
}

// setEnv sets a variable of an image, in its old place if it has one.
func setEnv(env []string, k, v string) []string {
	for i, kv := range env {
		if key, _, _ := strings.Cut(kv, "="); key == k {
			env[i] = k + "=" + v
			return env
		}
	}
	return append(env, k+"="+v)
}
