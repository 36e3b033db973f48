package llb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hbuild/hbuild/lang/diag"
)

var errNoResolver = errors.New("base images cannot be looked up: there is neither an engine nor a file of image configurations")

// configError is an image configuration that is no JSON of that kind.
type configError struct{ err error }

func (e *configError) Error() string { return e.err.Error() }

// Images are base images by their full references and platforms, so that lowering
// needs no registry. It is a bk.ImageMetaResolver.
type Images struct {
	byRef map[string]map[string]imageEntry
}

var _ bk.ImageMetaResolver = (*Images)(nil)

type imageEntry struct {
	Digest digest.Digest   `json:"digest"`
	Config json.RawMessage `json:"config"`
}

// ReadImages reads the file that `--image-config` names:
//
//	{"docker.io/library/golang:1.26": {"linux/amd64": {"digest": "sha256:…", "config": {…}}}}
//
// References may be short; config is an OCI image configuration.
func ReadImages(r io.Reader) (*Images, error) {
	var raw map[string]map[string]imageEntry
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&raw); err != nil {
		return nil, fmt.Errorf("not a file of image configurations: %w", err)
	}
	out := &Images{byRef: map[string]map[string]imageEntry{}}
	for ref, byPlatform := range raw {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil, fmt.Errorf("%q is not an image reference: %w", ref, err)
		}
		full := reference.TagNameOnly(named).String()
		if out.byRef[full] == nil {
			out.byRef[full] = map[string]imageEntry{}
		}
		for p, entry := range byPlatform {
			parsed, err := platforms.Parse(p)
			if err != nil {
				return nil, fmt.Errorf("%s: %q is not a platform: %w", ref, p, err)
			}
			if err := entry.Digest.Validate(); err != nil {
				return nil, fmt.Errorf("%s (%s): digest %q: %w", ref, p, entry.Digest, err)
			}
			out.byRef[full][platforms.FormatAll(platforms.Normalize(parsed))] = entry
		}
	}
	return out, nil
}

// MissingImageError says which image a file of image configurations does not
// have, and what it has.
type MissingImageError struct {
	Ref, Platform string
	Have          []string // references, or platforms when the reference is there
	OtherPlatform bool     // the reference is there, for the platforms in Have
}

func (e *MissingImageError) Error() string {
	if e.OtherPlatform {
		return fmt.Sprintf("the file of image configurations has %s for %s, not for %s", e.Ref, diag.List(e.Have, 8), e.Platform)
	}
	return fmt.Sprintf("the file of image configurations does not have %s; it has %s", e.Ref, diag.List(e.Have, 8))
}

// ResolveImageConfig implements bk.ImageMetaResolver.
func (m *Images) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	p := platforms.DefaultSpec()
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		p = *opt.ImageOpt.Platform
	}
	key := platforms.FormatAll(platforms.Normalize(p))
	have, ok := m.byRef[ref]
	if !ok {
		return "", "", nil, &MissingImageError{Ref: ref, Platform: key, Have: slices.Sorted(maps.Keys(m.byRef))}
	}
	if e, ok := have[key]; ok {
		return ref, e.Digest, e.Config, nil
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if other, err := platforms.Parse(name); err == nil && matches(p, other) {
			return ref, have[name].Digest, have[name].Config, nil
		}
	}
	return "", "", nil, &MissingImageError{Ref: ref, Platform: key, Have: slices.Sorted(maps.Keys(have)), OtherPlatform: true}
}

// matches reports whether a machine of platform want runs an image for have.
func matches(want, have ocispecs.Platform) bool { return platforms.Only(want).Match(have) }

// imageError makes a diagnostic of what the resolver said.
func (l *lowerer) imageError(w wanted, err error) {
	var missing *MissingImageError
	var config *configError
	switch {
	case errors.As(err, &missing):
		opts := []diag.Option{}
		if n := diag.Nearest(missing.Ref, missing.Have); n != "" && !missing.OtherPlatform {
			opts = append(opts, diag.WithHelp("Did you mean %s?", n))
		}
		l.diags = append(l.diags, diag.Error(CodeImage, w.at, "Image not in the file of image configurations", upper(missing.Error())+".", opts...))
	case errors.As(err, &config):
		l.errorf(CodeImageConfig, w.at, "Bad image configuration", "%s for %s: %v.", w.key.ref, w.key.platform, config)
	default:
		l.errorf(CodeImage, w.at, "The image cannot be resolved", "%s for %s: %v.", w.key.ref, w.key.platform, err)
	}
}

func upper(s string) string { return string(s[0]-'a'+'A') + s[1:] }
