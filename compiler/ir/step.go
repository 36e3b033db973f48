package ir

import (
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Step is one instruction of a stage. The kinds are exactly those below.
type Step interface {
	// Meta returns what all steps have; never nil.
	Meta() *StepMeta
	step()
}

// StepMeta is what all steps have.
type StepMeta struct {
	Range   hcl.Range // the attribute or the block that asked for the step
	Comment []string  // comment lines above it, without their markers
	Name    string    // the progress name that the user gave; "" for a made one
	NoCache bool      // run it even when it is cached
}

// Meta implements [Step].
func (m *StepMeta) Meta() *StepMeta { return m }

// WordKV is a key and a value, both of which expand.
type WordKV struct{ Key, Value Word }

// Arg is a build argument: in the environment of later steps, not of the image.
type Arg struct {
	StepMeta
	Key   string
	Value *Word // nil declares the name and sets nothing
	// Auto says that the value is what BuildKit's automatic argument of this name
	// has (TARGETARCH); the emitter then writes `ARG TARGETARCH`.
	Auto bool
}

// Env sets variables of the environment and the image. All pairs of one step see
// the environment before it.
type Env struct {
	StepMeta
	Pairs []WordKV
}

// Shell sets what runs shell-form commands from here on.
type Shell struct {
	StepMeta
	Args []string
}

// Workdir makes a directory and enters it.
type Workdir struct {
	StepMeta
	Path Word
}

// User sets who runs the steps and the image.
type User struct {
	StepMeta
	User Word // "name", "uid", "user:group"
}

// Label sets labels of the image.
type Label struct {
	StepMeta
	Pairs []WordKV
}

// Author sets the image's author (a Dockerfile's MAINTAINER).
type Author struct {
	StepMeta
	Author string
}

// Command is a shell line or an argument vector.
type Command struct {
	Shell bool     // Args[0] is a line for the shell
	Args  []string // never expanded
}

// Entrypoint sets the image's entrypoint; an empty one clears it and the
// inherited command.
type Entrypoint struct {
	StepMeta
	Command
}

// Cmd sets the image's default command.
type Cmd struct {
	StepMeta
	Command
}

// Expose declares ports: "8080", "8000-8010/udp", "$PORT".
type Expose struct {
	StepMeta
	Ports []Word
}

// Volume declares directories whose content is not the image's.
type Volume struct {
	StepMeta
	Paths []Word
}

// StopSignal sets the signal that stops the image's process.
type StopSignal struct {
	StepMeta
	Signal Word
}

// OnBuild stores one instruction, in a Dockerfile's syntax, that runs first in
// stages built on this one.
type OnBuild struct {
	StepMeta
	Trigger string
	// Reads are the stages that the trigger's `from` names. A stage that is built on
	// this one is made from them too; this one is not.
	Reads []*Stage
}

// Healthcheck says how to tell that a container works.
type Healthcheck struct {
	StepMeta
	Test          []string // "NONE" | "CMD", args… | "CMD-SHELL", line
	Interval      time.Duration
	Timeout       time.Duration
	StartPeriod   time.Duration
	StartInterval time.Duration
	Retries       int
}

// Clear empties an attribute that the base set, which no Dockerfile can say.
type Clear struct {
	StepMeta
	What string // "expose", "volumes", "labels", "env"
}

// Run runs a process. Exactly one of Command and Script is set.
type Run struct {
	StepMeta
	Command  *Command
	Script   *Text // a heredoc: its first line `#!` picks the interpreter, else the shell
	Mounts   []Mount
	Network  NetMode
	Security Security
	Devices  []Device
	// Env is set for this step alone; a Dockerfile says it with an export prefix
	// (lowered).
	Env       []KV
	ExitCodes []int  // that are no failure; nil is 0
	Hosts     []Host // this step alone; unsupported in a Dockerfile
	Ulimits   []Ulimit
	Limits    Limits
}

// MountKind is what a mount shows.
type MountKind string

// The kinds of mount; the values are a Dockerfile's.
const (
	MountBind   MountKind = "bind"
	MountCache  MountKind = "cache"
	MountTmpfs  MountKind = "tmpfs"
	MountSecret MountKind = "secret"
	MountSSH    MountKind = "ssh"
)

// Mount shows something to one step at a path. Which fields count depends on
// Kind, as in a Dockerfile's `RUN --mount`.
type Mount struct {
	Kind     MountKind
	Target   Word   // "" for a secret in the environment and an agent without a path
	From     Source // bind: what is shown
	Source   Word   // bind, cache: the path within From; "" for its root
	Writable bool   // bind: writes are allowed and dropped
	ReadOnly bool   // cache
	Cache    *Cache
	Size     int64 // tmpfs: bytes, 0 for no limit
	Secret   *Secret
	Env      string // secret: the environment variable that holds it
	SSH      *SSH
	// Output names what the step leaves in the mount, for a [StageSource]. Such a
	// bind mount is writable and shows what earlier steps left under the name.
	Output string
	Mode   Word // secret, ssh, cache: octal; "" for the default
	UID    Word
	GID    Word
	Range  hcl.Range
}

// Device is a CDI device: "vendor.com/class=name".
type Device struct {
	Name     string
	Required bool
}

// NetMode is a step's network; "" leaves it to the build.
type NetMode string

// The network modes.
const (
	NetDefault NetMode = "default"
	NetNone    NetMode = "none"
	NetHost    NetMode = "host"
)

// Security is a step's security mode; "" is sandbox.
type Security string

// The security modes.
const (
	SecuritySandbox  Security = "sandbox"
	SecurityInsecure Security = "insecure"
)

// Sharing says how steps that run at once use one cache; "" is shared.
type Sharing string

// The sharing modes.
const (
	SharingShared  Sharing = "shared"
	SharingPrivate Sharing = "private"
	SharingLocked  Sharing = "locked"
)

// Copy copies paths of one source, or texts, into the stage: one Dockerfile
// instruction.
type Copy struct {
	StepMeta
	From    Source // nil when only Texts are copied
	Src     []Word // wildcards are filepath.Match's; relative to From's root
	Texts   []Text
	Dest    Word // relative to the working directory; a trailing slash means a directory
	Chown   Word
	Chmod   Word // octal or symbolic
	Link    bool
	Parents bool
	Exclude []string
	// Unpack says whether archives are unpacked; nil is the instruction's own
	// rule (COPY: no; ADD: those of a context). Set, it makes the step an ADD.
	Unpack *bool
	// Add makes the step an ADD: a Src may be the address of a file (http, https)
	// or of a git repository.
	Add bool
	// Checksum is what the one address must have: a digest of a file, a commit of
	// a repository; "" for any.
	Checksum Word
	// KeepGitDir keeps the .git directory of repositories; nil leaves it to the
	// address.
	KeepGitDir *bool
}

// Merge lays file systems over the stage's own, as layers of their own: what one
// of them deleted is deleted. A Dockerfile cannot say it.
type Merge struct {
	StepMeta
	Of []Source
}

// Diff replaces the stage's files by what Upper has and Lower does not. A
// Dockerfile cannot say it.
type Diff struct {
	StepMeta
	Lower, Upper Source
}

// Mkdir makes directories and those above them. A Dockerfile's WORKDIR enters
// them, too.
type Mkdir struct {
	StepMeta
	Paths []Word
	Mode  int
	Chown Word
}

// Remove removes paths, directories with all in them. A Dockerfile needs a shell
// for it.
type Remove struct {
	StepMeta
	Paths    []Word // with wildcards
	Optional bool   // one that is not there is no error
}

// Symlink makes a symbolic link, and the directories above it. A Dockerfile needs
// a shell for it.
type Symlink struct {
	StepMeta
	Path, Target Word
}

func (*Merge) step()       {}
func (*Diff) step()        {}
func (*Mkdir) step()       {}
func (*Remove) step()      {}
func (*Symlink) step()     {}
func (*Arg) step()         {}
func (*Env) step()         {}
func (*Shell) step()       {}
func (*Workdir) step()     {}
func (*User) step()        {}
func (*Label) step()       {}
func (*Author) step()      {}
func (*Entrypoint) step()  {}
func (*Cmd) step()         {}
func (*Expose) step()      {}
func (*Volume) step()      {}
func (*StopSignal) step()  {}
func (*OnBuild) step()     {}
func (*Healthcheck) step() {}
func (*Clear) step()       {}
func (*Run) step()         {}
func (*Copy) step()        {}
