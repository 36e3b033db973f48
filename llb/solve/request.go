package solve

import (
	"context"
	"io"
	"time"

	"github.com/docker/cli/cli/config/configfile"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// DefaultParallel is how many targets are solved at once unless a request says
// otherwise. The daemon bounds its steps itself; more requests only wait there.
const DefaultParallel = 16

// Request is one call: targets, and what they may use of this machine.
type Request struct {
	// Jobs are the targets; their addresses must differ.
	Jobs []Job
	// Root is the directory that host files are written under. It is needed by
	// jobs with files and no outputs of their own.
	Root string
	// Contexts are the directories that definitions name with llb.Local.
	Contexts map[string]Context
	// OCILayouts are directories of images by the store's name in llb.OCILayout.
	OCILayouts map[string]string
	// Uploads are files that definitions fetch from [UploadAddress], by their names
	// there. Each is opened as often as the daemon asks for it.
	Uploads map[string]func() (io.ReadCloser, error)
	// Secrets and SSH are offered to the steps that mount them.
	Secrets []Secret
	SSH     []SSH
	// Allow are the entitlements granted: "network.host", "security.insecure",
	// "device" and "device=NAME".
	Allow []string
	// NoCache and Pull hold for all jobs.
	NoCache bool
	Pull    bool
	// Parallel bounds the targets solved or exported at once; 0 is
	// [DefaultParallel].
	Parallel int
	// KeepGoing builds what does not depend on a failed target; all failures are
	// returned. Otherwise the first failure of a job that is no test cancels the rest.
	KeepGoing bool
	// Dialer is what sessions run over; nil is the client's connection. A Docker daemon
	// takes them at an address of its own.
	Dialer session.Dialer
	// Atomic exports, pushes and writes nothing before all targets are solved.
	Atomic bool
	// Progress is where and how progress is shown.
	Progress Progress
	// MetadataFile is written when the build ends, well or not, as [Metadata] in JSON;
	// "" writes none, and a call that is interrupted neither.
	MetadataFile string
	// SharedKey names the sender of Contexts, so that the daemon finds what it
	// received in an earlier build; "" is made from this host's name and Root.
	SharedKey string
	// Docker holds registry credentials; nil is the user's own configuration.
	Docker *configfile.ConfigFile
	// Stdout receives archives sent to dest=-; nil makes that an error.
	Stdout io.Writer
	// Loader takes the images of jobs with Load; nil is [FindLoader].
	Loader Loader
}

// Context is a directory on this machine that the daemon may read.
type Context struct {
	Dir string
	// Exclude are patterns in .dockerignore's syntax of what is never sent,
	// whatever a definition asks for.
	Exclude []string
	// Paths are all that is sent, whatever a definition asks for; they are asked for
	// when something is. A nil function, or result, is everything.
	Paths func() []string
}

// Job is one target.
type Job struct {
	// Addr names it in messages and metadata: "target.prod".
	Addr string
	// Name is what progress and the table call it: "prod", "svc.api", "test.unit"; ""
	// is Addr.
	Name string
	// Range is where it is written; empty when that is not known.
	Range hcl.Range
	// Builds has one entry a platform.
	Builds []PlatformBuild
	// Index makes an index of the image even when it has one platform.
	Index bool
	// Requires are addresses of jobs whose effects must be done first.
	Requires []string
	// Gates are addresses of tests that must pass before this job has effects. Its
	// own steps run beside theirs.
	Gates []string
	// Test says that it is a test: its failure stops what it gates, and nothing else.
	Test bool
	// Tags are image references: stored in the engine, pushed, or written into
	// archives.
	Tags []string
	// Annotations of the image; a key may begin with `TYPE[PLATFORM]:` as in
	// docker build (manifest, index, manifest-descriptor, index-descriptor).
	Annotations map[string]string
	// Push sends the image to the registries of its tags.
	Push bool
	// Load gives the image to a Docker or Podman on this machine.
	Load bool
	// Outputs in the CSV form of `--output`. They replace the default: an image
	// that stays in the engine, files that are written under Root.
	Outputs []string
	// OutputsInRoot says that Outputs are from the build file, not the command
	// line: their destinations are relative to [Request.Root] and may not lead out
	// of it. Otherwise they are relative to the working directory.
	OutputsInRoot bool
	// CacheFrom, CacheTo and Attest in the CSV forms of docker build; directories
	// of caches are relative to [Request.Root].
	CacheFrom, CacheTo []string
	Attest             []string
	// NoCache runs every step; Pull looks for newer base images.
	NoCache bool
	Pull    bool
	// SolveOnly builds and exports nothing: a stage given on the command line, a
	// test.
	SolveOnly bool
}

// PlatformBuild is what a job makes for one platform.
type PlatformBuild struct {
	// Platform is nil for the engine's own.
	Platform *ocispecs.Platform
	// Image makes the image; nil when there is none.
	Image Lower
	// Files makes the file system that Outputs are paths in; nil for none.
	Files   Lower
	Outputs []FileOutput
}

// Lower makes a definition. The client resolves base images; its BuildOpts have
// the session that local sources must name, and the workers' platforms. Its
// answers are shared by all jobs of a call. An error that carries a place
// (errdefs.WithSource, or a method Range() hcl.Range) is shown there; one with a
// method Diagnostics() hcl.Diagnostics is returned as it is.
type Lower func(ctx context.Context, c gateway.Client, platform *ocispecs.Platform) (*Lowered, error)

// Lowered is the result of a [Lower].
type Lowered struct {
	// Definition is nil or empty for the empty file system.
	Definition *llb.Definition
	// Config is the OCI image configuration in JSON; only images have one.
	Config []byte
	// Own are the operations that no other job of the call has: progress shows them
	// with the job's name.
	Own map[digest.Digest]bool
	// Extras are what an SBOM covers besides, by the names that a scanner has of
	// them; ExtrasFresh says that they are scanned anew.
	Extras      map[string]*llb.Definition
	ExtrasFresh bool
	// Epoch is SOURCE_DATE_EPOCH for what is exported; nil for none.
	Epoch *time.Time
}

// FileOutput is a host path that a job writes.
type FileOutput struct {
	// Path is slash-separated, relative to [Request.Root], and the path within
	// the file system of [PlatformBuild.Files].
	Path string
	// Dir says that Path is a directory to merge: its entries replace those of
	// the same name, nothing else is touched.
	Dir bool
}

// Progress says how progress is shown.
type Progress struct {
	// Mode is "auto", "tty", "plain", "quiet", "rawjson" or "none"; "" is "auto".
	Mode string
	// Out is usually standard error; nil shows nothing.
	Out io.Writer
}

// Result is what a call did.
type Result struct {
	Jobs []JobResult
	// StepsRun and StepsCached count the exec and file steps of all jobs, each
	// once however many jobs share it.
	StepsRun, StepsCached int
	// BytesSent counts the bytes of the files that were sent to the daemon from
	// contexts.
	BytesSent int64
	// Walks counts how often a context's directory was walked, to find out what of
	// it has to be sent.
	Walks int
	// Sessions is how many sessions with the daemon the call opened.
	Sessions int
	Duration time.Duration
}

// JobResult is what became of one job, in the order of the request.
type JobResult struct {
	Addr, Name string
	// Test says that it is a test.
	Test bool
	// Err is nil for a job that succeeded; [ErrSkipped] for one that was not
	// finished because of others, as a [SkippedError] where one job is to blame.
	Err error
	// Digest and Descriptor are of the image (the index, when it has several
	// platforms or attestations); empty without one.
	Digest     string
	Descriptor *ocispecs.Descriptor
	// ConfigDigest is of a single platform's image configuration.
	ConfigDigest string
	Platforms    []string
	Tags         []string
	// Pushed are the tags that were pushed; Loaded names what took the image.
	Pushed []string
	Loaded string
	// InEngine says that the image is only in the daemon; Stored that the daemon
	// keeps it under its tags.
	InEngine, Stored bool
	// Files are what was written on this machine: files, archives, directories.
	Files []WrittenFile
	// Steps are this job's exec and file steps, each after what it is made from,
	// including those that other jobs share. StepsRun counts those that ran or
	// failed, StepsCached the cached ones.
	Steps                 []StepResult
	StepsRun, StepsCached int
	Duration              time.Duration
	// Requires and Gates are the job's; Source is where it is written.
	Requires, Gates []string
	Source          *Position
}

// The states of a step.
const (
	StepRun     = "run"
	StepCached  = "cached"
	StepFailed  = "failed"
	StepSkipped = "skipped" // not reached, or stopped
)

// StepResult is what became of one exec or file step.
type StepResult struct {
	Name   string        `json:"name"` // as progress shows it: "[build 2/4] go test"
	State  string        `json:"state"`
	Digest digest.Digest `json:"digest"` // of the LLB operation
	// DurationMS is how long it was at work.
	DurationMS int64     `json:"duration_ms"`
	Source     *Position `json:"source,omitempty"`
}

// Position is a place in a build file. Lines and columns count from 1; the end is
// behind the last character.
type Position struct {
	File      string `json:"file"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
}

// WrittenFile is a file on this machine that a job wrote.
type WrittenFile struct {
	// Path is relative to [Request.Root] for host files and for outputs of the
	// build file, else as given in an output.
	Path string `json:"path"`
	// Digest is of a regular file's content; empty for others.
	Digest string `json:"digest,omitempty"`
	Size   int64  `json:"size"`
	// Link is a symbolic link's target.
	Link string `json:"link,omitempty"`

	// root is what Path is relative to, where that is not the working directory;
	// tree the output directory that holds it with all else of an image.
	root, tree string
}
