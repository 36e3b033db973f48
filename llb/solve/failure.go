package solve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/apparentlymart/go-textseg/v15/textseg"
	cerrdefs "github.com/containerd/errdefs"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/grpc/codes"
)

var (
	// ErrRequest marks what the caller asked wrongly: an output of an unknown
	// type, a push without a tag, a secret that is not there.
	ErrRequest = errors.New("bad request")
	// ErrEngine marks an engine that could not be reached or went away.
	ErrEngine = errors.New("the engine could not be reached")
	// ErrLost marks an engine that went away in the middle of a build; it is an
	// [ErrEngine] too.
	ErrLost = fmt.Errorf("%w any more", ErrEngine)
	// ErrRegistry marks a registry that could not be reached or refused.
	ErrRegistry = errors.New("registry")
	// ErrSkipped is the error of a job that was not finished because another
	// failed.
	ErrSkipped = errors.New("not built, because of an earlier failure")
	// ErrNoLoader says that there is nothing on this machine to load images into.
	ErrNoLoader = errors.New("no Docker or Podman found to load the image into")
)

// SkippedError is the [ErrSkipped] of a job that waited for another one in vain.
type SkippedError struct {
	By string // the address of the job that failed
}

func (e *SkippedError) Error() string        { return "not done, because " + e.By + " failed" }
func (e *SkippedError) Is(target error) bool { return target == ErrSkipped }

// lastLines is how many lines of its output a failing step is shown with.
const lastLines = 20

// StepError is a step that failed.
type StepError struct {
	Target string // the job's address
	// Platform, Stage and Step are from the step's name: "[linux/arm64 build 2/4]
	// go test" is step "go test" of stage "build" for linux/arm64. The platform is
	// empty for a build of one; Step is the whole name when it has no brackets.
	Platform, Stage, Step string
	Digest                digest.Digest // of the LLB operation
	// Source is where the step was written; nil when the definition has no source
	// map.
	Source *Source
	// Command is the process as the engine ran it; nil when the step was no
	// command.
	Command []string
	// ExitCode is -1 when the process was not started or did not exit.
	ExitCode int
	// Log holds the last lines of its output, secrets hidden.
	Log []string
	Err error
}

func (e *StepError) Error() string {
	what := e.Step
	if e.Stage != "" {
		what = "[" + e.Stage + "] " + what
	}
	if e.ExitCode >= 0 {
		return fmt.Sprintf("%s: %s: exit code %d", e.Target, what, e.ExitCode)
	}
	return fmt.Sprintf("%s: %s: %s", e.Target, what, plain(e.Err))
}

func (e *StepError) Unwrap() error { return e.Err }

// Source is a place in the build's sources.
type Source struct {
	hcl.Range
	Data []byte // the whole file; nil when not known
}

// ImageError is an image that could not be used: it does not exist, has no such
// platform, or its registry did not give it. In the last case it is an
// [ErrRegistry].
type ImageError struct {
	Target   string
	Ref      string
	Platform string // "" for the engine's own
	NotFound bool
	Source   *Source // nil when not known
	Err      error
}

func (e *ImageError) Error() string {
	ref := e.Ref
	if e.Platform != "" {
		ref += " (" + e.Platform + ")"
	}
	if e.NotFound {
		return fmt.Sprintf("image %s not found", ref)
	}
	return fmt.Sprintf("image %s: %s", ref, plain(e.Err))
}

func (e *ImageError) Unwrap() error { return e.Err }

// Is makes an image that its registry did not give an [ErrRegistry].
func (e *ImageError) Is(target error) bool {
	return target == ErrRegistry && !e.NotFound && registryFault(e.Err)
}

// RegistryError is a registry that could not be reached or refused a push or an
// export of cache.
type RegistryError struct {
	Target string
	Ref    string // the image, "" when not known
	Err    error
}

func (e *RegistryError) Error() string {
	if e.Ref != "" {
		return fmt.Sprintf("%s: push %s: %s", e.Target, e.Ref, Reason(e.Err))
	}
	return fmt.Sprintf("%s: %s", e.Target, plain(e.Err))
}

func (e *RegistryError) Unwrap() error        { return e.Err }
func (e *RegistryError) Is(target error) bool { return target == ErrRegistry }

// LostError is an engine that went away in the middle of a call; it is an [ErrLost].
type LostError struct {
	// Exported is how many jobs had been done by then, with all their effects.
	Exported int
	Err      error
}

func (e *LostError) Error() string        { return fmt.Sprintf("%s: %s", ErrLost, plain(e.Err)) }
func (e *LostError) Unwrap() error        { return e.Err }
func (e *LostError) Is(target error) bool { return target == ErrLost || target == ErrEngine }

// CallError is a job that cannot be built as the call asks; it is an [ErrRequest].
type CallError struct {
	Target string
	Err    error
}

func (e *CallError) Error() string        { return e.Target + ": " + e.Err.Error() }
func (e *CallError) Unwrap() error        { return e.Err }
func (e *CallError) Is(target error) bool { return target == ErrRequest }

// EntitlementError is a step that needs what was not allowed.
type EntitlementError struct {
	Target      string
	Entitlement string // "network.host", "security.insecure", "device"
	// Daemon says that the engine's own configuration forbids it; otherwise the
	// call must allow it.
	Daemon bool
	Source *Source // of the first step that needs it; nil when not known
	Err    error
}

func (e *EntitlementError) Error() string {
	if e.Daemon {
		return fmt.Sprintf("the engine does not grant %s: it must be started with --allow-insecure-entitlement %s", e.Entitlement, e.Entitlement)
	}
	return fmt.Sprintf("%s: a step needs %s: allow it with --allow %s", e.Target, e.Entitlement, e.Entitlement)
}

func (e *EntitlementError) Unwrap() error { return e.Err }

// jobError is any other failure of a job.
type jobError struct {
	target string
	source *Source
	err    error
}

func (e *jobError) Error() string { return e.target + ": " + plain(e.err) }
func (e *jobError) Unwrap() error { return e.err }

// TargetOf returns the address of the job that failed; "" when it is not known.
func TargetOf(err error) string {
	var (
		step  *StepError
		image *ImageError
		reg   *RegistryError
		call  *CallError
		ent   *EntitlementError
		job   *jobError
	)
	switch {
	case errors.As(err, &step):
		return step.Target
	case errors.As(err, &image):
		return image.Target
	case errors.As(err, &reg):
		return reg.Target
	case errors.As(err, &call):
		return call.Target
	case errors.As(err, &ent):
		return ent.Target
	case errors.As(err, &job):
		return job.target
	}
	return ""
}

// SourceOf returns where the failure was written, or nil.
func SourceOf(err error) *Source {
	var step *StepError
	var image *ImageError
	var entitlement *EntitlementError
	var job *jobError
	switch {
	case errors.As(err, &step):
		return step.Source
	case errors.As(err, &image):
		return image.Source
	case errors.As(err, &entitlement):
		return entitlement.Source
	case errors.As(err, &job):
		return job.source
	}
	return sourceOf(err)
}

var (
	entitlementText = regexp.MustCompile(`(network\.host|security\.insecure|device [^ ]+|device) is not allowed( by build daemon configuration)?`)
	pushText        = regexp.MustCompile(`failed to push ([^ :]+(?::[0-9]+)?[^ :]*(?::[\w.-]+)?(?:@sha256:[0-9a-f]+)?)`)
	stepName        = regexp.MustCompile(`^\[(?:([^\] ]+/[^\] ]+) )?([^\]]+)\] (.*)$`)
	stepCount       = regexp.MustCompile(` +\d+/\d+$`)
	wrappers        = regexp.MustCompile(`^(?:rpc error: code = \w+ desc = |failed to solve: |failed to run Build function: |failed to receive status: |failed to compute cache key: |failed to calculate checksum of ref \S+: )+`)
	lostText        = regexp.MustCompile(`error reading from server|transport is closing|connection error: desc =|no active session for`)
	deniedText      = regexp.MustCompile(`(?i)authorization failed|failed to authorize|insufficient_scope|unauthorized|forbidden|denied`)
	noAnswerText    = regexp.MustCompile(`(?i)dial tcp|connection refused|connection reset|no such host|i/o timeout|server misbehaving`)
	faultText       = regexp.MustCompile(`(?i)unexpected status|authorization failed|failed to authorize|insufficient_scope|unauthorized|forbidden|denied|dial tcp|connection refused|connection reset|no such host|i/o timeout|x509|tls:|http: server gave HTTP response|too many requests|server misbehaving|unexpected EOF|: EOF|bad gateway|service unavailable|internal server error`)
)

// plain is an error's text without the layers that carried it here.
func plain(err error) string {
	if err == nil {
		return ""
	}
	return wrappers.ReplaceAllString(err.Error(), "")
}

// Reason is an error's text without what its type says already: the layers that
// carried it here, and which kind of failure it is.
func Reason(err error) string {
	text := plain(err)
	if rest, ok := strings.CutPrefix(text, ErrRequest.Error()+": "); ok {
		return rest
	}
	if at := pushText.FindStringIndex(text); at != nil {
		return strings.TrimPrefix(text[at[1]:], ": ")
	}
	return text
}

func registryFault(err error) bool { return err != nil && faultText.MatchString(err.Error()) }

// Unauthorized reports whether a registry wants other credentials, or any.
func Unauthorized(err error) bool { return err != nil && deniedText.MatchString(err.Error()) }

// NoAnswer reports whether a registry did not answer, as opposed to one that
// refused.
func NoAnswer(err error) bool { return err != nil && noAnswerText.MatchString(err.Error()) }

// explain turns what the daemon said about a job into a typed error.
func (r *runner) explain(j *job, err error) error {
	addr := j.Addr
	var step *StepError
	var image *ImageError
	var diagnosed interface{ Diagnostics() hcl.Diagnostics }
	switch {
	case err == nil:
		return nil
	case errors.As(err, &step), errors.As(err, &diagnosed):
		return err
	case errors.As(err, &image):
		// Shared with other jobs: each has its own target and place.
		own := *image
		own.Target = addr
		if s := sourceOf(err); s != nil {
			own.Source = s
		}
		return &own
	case errors.Is(err, ErrRequest), errors.Is(err, ErrEngine), errors.Is(err, ErrNoLoader), errors.Is(err, ErrSkipped):
		return err
	}
	if m := entitlementText.FindStringSubmatch(err.Error()); m != nil {
		name, _, _ := strings.Cut(m[1], " ")
		return &EntitlementError{Target: addr, Entitlement: name, Daemon: m[2] != "", Source: j.needs(name), Err: err}
	}
	if m := pushText.FindStringSubmatch(err.Error()); m != nil {
		return &RegistryError{Target: addr, Ref: m[1], Err: err}
	}
	var vtx *errdefs.VertexError
	if !errors.As(err, &vtx) {
		if strings.Contains(err.Error(), "cache") && registryFault(err) {
			return &RegistryError{Target: addr, Err: err}
		}
		return &jobError{target: addr, source: sourceOf(err), err: err}
	}
	return r.stepError(j, digest.Digest(vtx.Vertex.Digest), err)
}

func (r *runner) stepError(j *job, d digest.Digest, err error) error {
	addr := j.Addr
	name, log := r.tracker.lines(d, lastLines)
	if ref, ok := strings.CutPrefix(r.tracker.source(d), "docker-image://"); ok {
		return &ImageError{Target: addr, Ref: ref, NotFound: notFound(err), Source: sourceOf(err), Err: err}
	}
	e := &StepError{Target: addr, Step: name, Digest: d, Source: sourceOf(err), ExitCode: -1, Log: log, Err: err}
	if m := stepName.FindStringSubmatch(name); m != nil {
		e.Platform, e.Stage, e.Step = m[1], stepCount.ReplaceAllString(m[2], ""), m[3]
	}
	op := j.operation(d)
	var failed *errdefs.SolveError
	if op == nil && errors.As(err, &failed) {
		op = failed.Op // of a scan, say
	}
	if exec := op.GetExec(); exec != nil {
		e.Command = exec.GetMeta().GetArgs()
	}
	var exit *gwpb.ExitError
	if errors.As(err, &exit) && exit.ExitCode < gwpb.UnknownExitStatus {
		e.ExitCode = int(exit.ExitCode)
	}
	return e
}

// operation returns an operation of the job's definitions, or nil. What the gateway says
// of a failure has it as well; what a plain solve says has not.
func (j *job) operation(d digest.Digest) *pb.Op {
	for _, l := range j.lowered {
		if l == nil || l.Definition == nil {
			continue
		}
		for _, dt := range l.Definition.Def {
			var op pb.Op
			if digest.FromBytes(dt) == d && op.UnmarshalVT(dt) == nil {
				return &op
			}
		}
	}
	return nil
}

// imageError is what a [Lower] gets when an image cannot be resolved.
func imageError(err error, id, platform string) error {
	if err == nil || canceled(err) {
		return err
	}
	ref, isImage := strings.CutPrefix(id, "docker-image://")
	if !isImage && strings.Contains(id, "://") {
		return err
	}
	return &ImageError{Ref: ref, Platform: platform, NotFound: notFound(err), Err: err}
}

func notFound(err error) bool {
	if cerrdefs.IsNotFound(err) || grpcerrors.Code(err) == codes.NotFound {
		return true
	}
	text := err.Error()
	return strings.HasSuffix(text, "not found") || strings.Contains(text, "no match for platform in manifest")
}

func canceled(err error) bool {
	return errors.Is(err, context.Canceled) || grpcerrors.Code(err) == codes.Canceled || strings.Contains(err.Error(), "context canceled")
}

// sourceOf finds the place that an error carries. A file in HCL is preferred to
// any other: a nested frontend adds places of its own.
func sourceOf(err error) *Source {
	var best *Source
	for _, s := range errdefs.Sources(err) {
		if p := sourceFromPB(s.GetInfo(), s.GetRanges()); p != nil {
			best = p
			if strings.EqualFold(s.GetInfo().GetLanguage(), "HCL") {
				break
			}
		}
	}
	if best != nil {
		return best
	}
	var ranged interface{ Range() hcl.Range }
	if errors.As(err, &ranged) {
		return &Source{Range: ranged.Range()}
	}
	return nil
}

// sourceFromPB reads a place of an LLB source map: lines count from 1,
// characters from 0.
func sourceFromPB(info *pb.SourceInfo, ranges []*pb.Range) *Source {
	if info == nil || len(ranges) == 0 {
		return nil
	}
	first := ranges[0]
	return &Source{
		Data: info.GetData(),
		Range: hcl.Range{
			Filename: info.GetFilename(),
			Start:    position(info.GetData(), first.GetStart()),
			End:      position(info.GetData(), first.GetEnd()),
		},
	}
}

func position(data []byte, p *pb.Position) hcl.Pos {
	pos := hcl.Pos{Line: int(p.GetLine()), Column: int(p.GetCharacter()) + 1}
	rest := data
	for line := 1; line < pos.Line; line++ {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		rest = rest[i+1:]
	}
	for column := 1; column < pos.Column && len(rest) > 0; column++ {
		// HCL counts columns in what a reader takes for one character.
		n, _, _ := textseg.ScanGraphemeClusters(rest, true)
		rest = rest[n:]
	}
	pos.Byte = len(data) - len(rest)
	return pos
}

// needs returns where the first step is written that needs an entitlement: the
// daemon refuses a definition as a whole and does not say where.
func (j *job) needs(entitlement string) *Source {
	for _, l := range j.lowered {
		if l == nil || l.Definition == nil || l.Definition.Source == nil {
			continue
		}
		for _, dt := range l.Definition.Def {
			var op pb.Op
			if op.UnmarshalVT(dt) != nil || !needsEntitlement(op.GetExec(), entitlement) {
				continue
			}
			locations := l.Definition.Source.Locations[digest.FromBytes(dt).String()].GetLocations()
			if len(locations) > 0 {
				infos := l.Definition.Source.Infos
				if i := int(locations[0].SourceIndex); i < len(infos) {
					return sourceFromPB(infos[i], locations[0].Ranges)
				}
			}
		}
	}
	return nil
}

func needsEntitlement(exec *pb.ExecOp, entitlement string) bool {
	switch {
	case exec == nil:
		return false
	case entitlement == "network.host":
		return exec.Network == pb.NetMode_HOST
	case entitlement == "security.insecure":
		return exec.Security == pb.SecurityMode_INSECURE
	}
	return len(exec.CdiDevices) > 0
}

// engineGone says whether the engine went away. It is asked rather than guessed
// from an error's text: a registry that is gone reads alike. Only an engine that
// is back already is known by what became of the connection.
func engineGone(c *client.Client, err error) *LostError {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	if _, gone := c.Info(ctx); gone != nil && grpcerrors.Code(gone) != codes.Unimplemented {
		return &LostError{Err: gone}
	}
	if lostText.MatchString(err.Error()) {
		return &LostError{Err: errors.New("the connection was lost")}
	}
	return nil
}
