// Package ir is what to build: stages and their steps in plain data, after all
// names are resolved and all expressions evaluated, and before a backend is
// chosen.
//
// The Dockerfile emitter, the LLB lowering, the importer and the views all speak
// it. Nothing in it is a closure, a flag of a phase or a string that somebody
// still has to look up: a stage that is meant is a pointer to it.
package ir

import (
	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Graph is what one call builds or emits.
type Graph struct {
	// Files holds the sources by the file names that ranges use; LLB source
	// maps carry them to the daemon.
	Files map[string][]byte
	// Targets are the requested targets in the order of the call, those that
	// they require first.
	Targets []*Target
	// Stages are all that Targets reach, each after what it depends on, and in
	// source order where that leaves a choice.
	Stages []*Stage
	// Contexts are all that Stages read, "default" first, then by name.
	Contexts []*Context
	// Secrets and SSH are all that Stages mount, by ID.
	Secrets []*Secret
	SSH     []*SSH
}

// Stage is a file system made from a root by steps, and the image configuration
// that comes with it.
type Stage struct {
	// Addr is how messages name it: `stage.svc["api"]`, or `target.bin (files)`
	// for the stage that is made to hold a target's files.
	Addr string
	// Name is its name in a Dockerfile: lower-case, unique among the stages of
	// one emission unless they are variants of each other.
	Name string
	// For is the target platform that this variant was evaluated for; nil when
	// nothing in the stage depends on the target platform.
	For *ocispecs.Platform
	// Root is what the first step sees.
	Root Root
	// Platform is the platform that the root is pulled for and the steps run on;
	// nil means the target's. Never set over a StageRoot, which has its base's.
	Platform *Platform
	// Steps in order: attributes that set where steps start, the steps, then the
	// attributes of the image (spec/language.md, "Stages").
	Steps []Step
	// NoCache runs its runs and copies again, as a caller's --no-cache=STAGE asks.
	NoCache bool
	// InPlace is what is said of the Dockerfile that the stage comes from; nil for
	// a stage of hbuild's own.
	InPlace *InPlace
	// Comment holds the comment lines above the block, without their markers.
	Comment []string
	// Description is the first sentence that `hbuild list` shows; may be empty.
	Description string
	Range       hcl.Range // the block's header
}

// Platform is a platform and the automatic argument that names it in a
// Dockerfile, so that an emitted FROM need not pin what the caller decides.
type Platform struct {
	ocispecs.Platform
	Auto string // "BUILDPLATFORM", "TARGETPLATFORM" or "" for a constant
}

// Root is where a stage starts: [ScratchRoot], [ImageRoot], [ContextRoot] or
// [StageRoot].
type Root interface{ root() }

// ScratchRoot is the empty file system.
type ScratchRoot struct{}

// ImageRoot is an image of a registry.
type ImageRoot struct {
	Ref   string // as written, a valid reference: "golang:1.26"
	Range hcl.Range
}

// ContextRoot is what a caller gives in place of an image or a stage, or the image
// of an OCI layout: a context without a block, with an image's configuration if it
// is an image.
type ContextRoot struct {
	Context *Context
	Range   hcl.Range
}

// StageRoot is another stage, with its files, environment and image
// configuration.
type StageRoot struct{ Stage *Stage }

func (ScratchRoot) root() {}
func (ImageRoot) root()   {}
func (ContextRoot) root() {}
func (StageRoot) root()   {}

// Source is what a copy or a mount reads: [ContextSource], [StageSource],
// [ImageSource], [TextSource] or [ScratchSource].
type Source interface{ source() }

// ContextSource reads a directory of the caller.
type ContextSource struct {
	Context *Context
	// Platform is of an image that is given for the context; nil is the platform of
	// the stage that reads.
	Platform *Platform
}

// StageSource reads a stage's files.
type StageSource struct {
	Stage *Stage
	// Output is the [Mount.Output] that is read in place of the stage's own files.
	Output string
}

// ImageSource reads the files of an image that is no stage.
type ImageSource struct {
	Ref      string
	Platform *Platform // nil: the platform of the stage that reads
	Range    hcl.Range
}

// TextSource is a file given in the build file itself: a Dockerfile's heredoc.
type TextSource struct{ Text Text }

// ScratchSource is the empty file system.
type ScratchSource struct{}

func (ContextSource) source() {}
func (StageSource) source()   {}
func (ImageSource) source()   {}
func (TextSource) source()    {}
func (ScratchSource) source() {}

// Text is the content of a file.
type Text struct {
	Name   string // the file's name in the digest and the heredoc's word; default "EOF"
	Data   string
	Expand bool // whether BuildKit's lexer expands variables in Data
}

// Context is a directory that the caller sends.
type Context struct {
	Name string // as a named context of a Dockerfile; "default" is the root module's main context
	// Addr is its block's address, as messages name it: "context.proto",
	// `svc["api"]/context.default`. It is empty for what no block declares.
	Addr string
	// Main says that it is a module's context.default: the main context of the
	// Dockerfiles of that module's targets ([Target.Main]).
	Main bool
	// Path is slash-separated and relative to the root of the file system that
	// was compiled from; a caller's replacement (--context) may be absolute.
	Path string
	// Given is what the context is in place of a directory, in the words of docker
	// build's --build-context: docker-image://REF, oci-layout://DIR[:TAG][@DIGEST]
	// with DIR like Path, the address of a git repository or a file; "-" is a tar
	// archive on standard input. Path is then empty, and patterns do not apply.
	Given string
	// Patterns are the exclude patterns in .dockerignore's syntax, normalised as
	// moby/patternmatcher/ignorefile does: includes, ignore file, excludes.
	Patterns []string
	// IgnoreFile says where Patterns came from when an ignore file alone made
	// them (its path relative to Path, ".dockerignore"): then an emitted
	// Dockerfile needs no ignore file of its own.
	IgnoreFile string
	// Within is the main context that this one's directory is a part of, where steps
	// read its files: this one is sent only where a whole file system is asked for. It
	// is nil for what is no part of another context.
	Within *Context
	Range  hcl.Range
}

// Alias is the name of a context that is not the Dockerfile's main one: the root's own
// is "root" in the Dockerfiles of other modules.
func (c *Context) Alias() string {
	if c.Name == "default" {
		return "root"
	}
	return c.Name
}

// Address is the context's as messages name it.
func (c *Context) Address() string {
	if c.Addr == "" {
		return "context." + c.Name
	}
	return c.Addr
}

// Cache is a directory that persists between builds.
type Cache struct {
	ID      string // without BuildKit's namespace prefix "<ns>/"
	Sharing Sharing
	Mode    string // octal, "" for 0755
	UID     *int
	GID     *int
	From    Source // initial content; nil for none
	Path    Word   // the path within From; "" for its root
	Range   hcl.Range
}

// Secret is a value that the caller gives to the steps that mount it.
type Secret struct {
	ID       string
	Required bool
	Env      string // environment variable to read, unless the caller says otherwise
	File     string // file to read, relative to the compiled file system's root
	Range    hcl.Range
}

// SSH is an agent of the caller.
type SSH struct {
	ID       string // "default" is the bare `type=ssh`
	Required bool
	Range    hcl.Range
}

// Target is something with effects, an image to tag and push, files to write; or a
// test, which has none.
type Target struct {
	Addr string // "target.prod"
	Name string // "prod", `svc["api"]` is "svc.api"
	// Test says that it is a test: its one build has a stage that must succeed and
	// that nothing is made of.
	Test        bool
	Description string
	// Builds holds one entry a platform, in the order of `platforms`. A target
	// without platforms has one whose Platform is nil: the engine's own.
	Builds      []*Build
	Tags        []string
	Labels      []KV // literal keys and values
	Annotations []KV
	Push        bool
	// Requires are targets whose effects come first, and tests that must pass before
	// this one has effects.
	Requires  []*Target
	CacheFrom []string // in the CSV form of `--cache-from`
	CacheTo   []string
	Attest    []string // in the CSV form of `--attest`
	Outputs   []string // in the CSV form of `--output`
	Pull      bool
	NoCache   bool
	Options   BuildOptions
	// Main is the main context, that of the target's module, whether Builds read it
	// or not: the build triggers of a base may. nil is the directory as it is.
	Main *Context
	// Variables are those that Builds are made from, by name, and Provenance says
	// where their values stand; nil unless the evaluator was asked for them.
	Variables  []Variable
	Provenance *Provenance
	// Comment holds the comment lines above the block.
	Comment []string
	Range   hcl.Range
}

// IsMain reports whether a context is the main one of the target's Dockerfile.
func (t *Target) IsMain(c *Context) bool {
	if t.Main == nil {
		return c.Name == "default"
	}
	return c.Name == t.Main.Name
}

// Build is what a target makes for one platform.
type Build struct {
	Platform *ocispecs.Platform
	Image    *Stage // nil when the target has no image
	// Files is a stage made from scratch with one copy per entry of the target's
	// `files`; nil when it has none. Outputs has the host paths.
	Files *Stage
	// Outputs are the host paths that Files holds, relative to the compiled file
	// system's root; Dir says that the path receives a directory's contents.
	Outputs []Output
}

// Output is a host path that a target writes.
type Output struct {
	Path  string // clean, slash-separated, relative; also its path within Build.Files
	Dir   bool
	Range hcl.Range
}

// BuildOptions hold for every step of a target's build; a Dockerfile leaves them
// to the flags of `docker build`.
type BuildOptions struct {
	BuildArgs    []KV // BuildKit's predefined arguments only
	Hosts        []Host
	Ulimits      []Ulimit
	ShmSize      int64 // bytes; 0 is the engine's default
	Hostname     string
	CgroupParent string
	Network      NetMode
	Limits       Limits
	Epoch        *int64 // SOURCE_DATE_EPOCH in seconds
	// EpochFrom is what has that time, where only the engine can tell it: a
	// ContextSource, or a StageSource of a stage that [EpochSource] takes. Something
	// without a time, such as a directory, leaves SOURCE_DATE_EPOCH unset.
	EpochFrom Source
}

// KV is a key and a value.
type KV struct{ Key, Value string }

// Host is an entry for /etc/hosts.
type Host struct{ Name, IP string }

// Ulimit is a resource limit of the processes of a step.
type Ulimit struct {
	Name       string
	Soft, Hard int64
}

// Limits are Linux cgroup limits of a step; zero fields are unset. They are not
// part of a digest.
type Limits struct {
	Memory     int64 // bytes
	MemorySwap int64 // bytes, -1 for unlimited
	CPUShares  int64
	CPUPeriod  int64 // microseconds
	CPUQuota   int64 // microseconds
	CPUSetCPUs string
	CPUSetMems string
}
