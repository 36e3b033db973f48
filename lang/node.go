// Package lang reads hbuild files: it parses them, decodes every block into a
// struct, merges overrides, resolves names to declarations and sorts those by
// what they depend on. It evaluates nothing.
//
// The structs of this file are the schema: their tags drive decoding, the
// unknown-attribute errors and the generated reference (spec/reference.md).
//
//	hb:"name[,required]"   an attribute, held as the expression that was written
//	type:"…"               what it takes, in words of the design's section 4
//	doc:"…"                one sentence for the reference
package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Attr is an attribute as written: its name, its expression and their ranges.
type Attr = hclsyntax.Attribute

// Kind is a kind of declaration; its value is the block's type and the root name
// of references to it ("stage"), except for variables, locals and functions.
type Kind string

// The kinds of declarations.
const (
	KindVariable Kind = "variable"
	KindLocal    Kind = "local"
	KindFunction Kind = "function"
	KindContext  Kind = "context"
	KindStage    Kind = "stage"
	KindArtifact Kind = "artifact"
	KindCache    Kind = "cache"
	KindSecret   Kind = "secret"
	KindSSH      Kind = "ssh"
	KindTarget   Kind = "target"
	KindGroup    Kind = "group"
	KindTest     Kind = "test"
	KindModule   Kind = "module"
	KindOutput   Kind = "output"
)

var allKinds = []Kind{KindVariable, KindLocal, KindFunction, KindContext, KindStage, KindArtifact, KindCache, KindSecret, KindSSH, KindTarget, KindGroup, KindTest, KindModule, KindOutput}

// Decl is what all declarations have.
type Decl struct {
	Kind      Kind
	Name      string
	NameRange hcl.Range
	Range     hcl.Range // the header of the block, or the whole attribute of a local
	Body      *hclsyntax.Body
	Comment   []string // comment lines above, without markers

	ForEach *Attr `hb:"for_each" type:"map, object, set or list of distinct strings" doc:"One instance per element; each.key and each.value name it."`
	Enabled *Attr `hb:"enabled" type:"bool" doc:"When false, the block is as if it were not there and references to it are null."`

	// Index is the place in Module.Decls; the order of the source.
	Index int
	// Uses are the declarations that the expressions name, each once, in the
	// order of first use. Filled by Resolve.
	Uses []Use
	// TargetPlatform says that what the block evaluates to depends on
	// platform.target, itself or through what it uses. Filled by Resolve.
	TargetPlatform bool
	// Bad says that the block has errors that were reported, so that evaluating
	// it would only repeat them.
	Bad bool
	// Partial says that the block could not be parsed whole: nothing but its kind
	// and its name is known.
	Partial bool
}

// Use is a reference from one declaration to another.
type Use struct {
	Decl  Node
	Range hcl.Range // of the first mention
}

// Node is a declaration of any kind.
type Node interface {
	// Base returns what all declarations have.
	Base() *Decl
}

// Base implements [Node].
func (d *Decl) Base() *Decl { return d }

// Addr is how messages and references name the declaration: "stage.build",
// "var.go_version".
func (d *Decl) Addr() string {
	switch d.Kind {
	case KindVariable:
		return "var." + d.Name
	case KindFunction:
		return d.Name + "()"
	}
	return string(d.Kind) + "." + d.Name
}

// Variable is a typed input of the module.
type Variable struct {
	Decl
	Type        *Attr         `hb:"type" type:"type" doc:"What values it takes: string, number, bool, list(…), set(…), map(…), object({…}), any, or a kind of build value such as stage."`
	Default     *Attr         `hb:"default" type:"any" doc:"The value when the caller gives none; may use other variables, locals and functions."`
	Description *Attr         `hb:"description" type:"string" doc:"What hbuild list shows."`
	Nullable    *Attr         `hb:"nullable" type:"bool" doc:"Whether null is a value; true by default."`
	Sensitive   *Attr         `hb:"sensitive" type:"bool" doc:"The value may not reach env, args, labels, tags, commands or paths."`
	Env         *Attr         `hb:"env" type:"string" doc:"The environment variable that gives the value when no flag, vars file or HBUILD_VAR_ does."`
	Validations []*Validation `hb:"validation,block"`
}

// Validation is a condition on a variable's value.
type Validation struct {
	Condition    *Attr `hb:"condition,required" type:"bool" doc:"What must hold."`
	ErrorMessage *Attr `hb:"error_message,required" type:"string" doc:"What to say when it does not."`
	Range        hcl.Range
}

// Precondition is a condition that must hold for a stage or a target.
type Precondition struct {
	Condition    *Attr `hb:"condition,required" type:"bool" doc:"What must hold."`
	ErrorMessage *Attr `hb:"error_message,required" type:"string" doc:"What to say when it does not."`
	Range        hcl.Range
}

// Local is one named value of a locals block.
type Local struct {
	Decl
	Value *Attr
}

// Function is a function of the module.
type Function struct {
	Decl
	Params   *Attr `hb:"params" type:"list of names" doc:"The parameters, as bare names: [name, version]."`
	Variadic *Attr `hb:"variadic_param" type:"name" doc:"The parameter that takes all further arguments as a list."`
	Result   *Attr `hb:"result,required" type:"any" doc:"What a call gives; sees the parameters, var, local, path, git, platform and other functions."`
}

// Context is a directory that the caller sends.
type Context struct {
	Decl
	Path       *Attr `hb:"path" type:"string" doc:"The directory, relative to the module; \".\" by default."`
	Include    *Attr `hb:"include" type:"list of strings" doc:"Patterns of what is sent; all when it is not set."`
	Exclude    *Attr `hb:"exclude" type:"list of strings" doc:"Patterns of what is not sent; they beat the includes and the ignore file."`
	IgnoreFile *Attr `hb:"ignore_file" type:"string" doc:"The ignore file, relative to the context; .dockerignore by default, \"\" for none."`
}

// Start is where the steps of a stage or of a test start.
type Start struct {
	From     *Attr `hb:"from,required" type:"stage or image" doc:"The file system that the first step sees."`
	Platform *Attr `hb:"platform" type:"string" doc:"The platform of the base image and of the steps; the target's by default, the engine's own in a test."`
	Args     *Attr `hb:"args" type:"map of strings" doc:"Build arguments: in the environment of the steps, not of the image."`
	Env      *Attr `hb:"env" type:"map of strings, or a list of such maps" doc:"Environment of the steps and of the image. In a list, the values of one map do not see each other."`
	Shell    *Attr `hb:"shell" type:"list of strings" doc:"What runs commands that are strings."`
	Workdir  *Attr `hb:"workdir" type:"string" doc:"The working directory; made when it is missing."`
	User     *Attr `hb:"user" type:"string" doc:"Who runs the steps and the image: user[:group]."`
}

// Stage is a file system and an image configuration made by steps.
type Stage struct {
	Decl
	Start

	Labels      *Attr `hb:"labels" type:"map of strings" doc:"Labels of the image."`
	Author      *Attr `hb:"author" type:"string" doc:"The image's author."`
	Entrypoint  *Attr `hb:"entrypoint" type:"string or list of strings" doc:"What the image runs; [] clears it and the inherited cmd."`
	Cmd         *Attr `hb:"cmd" type:"string or list of strings" doc:"The default command, or the entrypoint's default arguments."`
	Expose      *Attr `hb:"expose" type:"list of ports" doc:"Ports the image listens on: 8080, \"8080/udp\", \"8000-8010\"."`
	Volumes     *Attr `hb:"volumes" type:"list of strings" doc:"Directories whose content is not the image's."`
	StopSignal  *Attr `hb:"stop_signal" type:"string" doc:"The signal that stops the image's process."`
	OnBuild     *Attr `hb:"onbuild" type:"list of strings" doc:"Dockerfile instructions that run first in stages built on this one."`
	Healthcheck *Attr `hb:"healthcheck" type:"object or \"none\"" doc:"{ command, interval, timeout, start_period, start_interval, retries }."`

	Description   *Attr           `hb:"description" type:"string" doc:"What hbuild list shows."`
	Preconditions []*Precondition `hb:"precondition,block"`
	Steps         []Step          `hb:",steps"`
}

// Step is a block of a stage: [Run], [Copy], [Write], [Set] or [Dynamic].
type Step interface {
	// Head returns what all steps have.
	Head() *StepHead
}

// StepHead is what all steps have.
type StepHead struct {
	Type    string // "run"
	Range   hcl.Range
	Body    *hclsyntax.Body
	Comment []string

	ForEach *Attr `hb:"for_each" type:"map, object, set or list" doc:"Repeats the step; each.key and each.value name the element."`
	Enabled *Attr `hb:"enabled" type:"bool" doc:"When false, the step is left out."`
	NoCache *Attr `hb:"no_cache" type:"bool" doc:"Runs the step even when it is cached."`
	Name    *Attr `hb:"name" type:"string" doc:"What the progress display calls the step."`
}

// Head implements [Step].
func (h *StepHead) Head() *StepHead { return h }

// Run runs a process.
type Run struct {
	StepHead
	Command    *Attr `hb:"command" type:"string or list of strings" doc:"A line for the shell, or the arguments of a program."`
	Script     *Attr `hb:"script" type:"string" doc:"A script, passed byte for byte; its first line #! picks the interpreter, else the shell runs it."`
	ScriptName *Attr `hb:"script_name" type:"string" doc:"The script's file name, which is part of the digest; EOF by default."`
	Mounts     *Attr `hb:"mounts" type:"map of paths to build values, or a list of such maps" doc:"What the step sees at a path: cache, secret, stage, image, context, artifact, text, ssh, tmpfs()."`
	SSH        *Attr `hb:"ssh" type:"list of ssh" doc:"Agents without a path of their own."`
	ExitCodes  *Attr `hb:"exit_codes" type:"list of numbers" doc:"Exit codes that are no failure; [0] by default."`
	Network    *Attr `hb:"network" type:"string" doc:"default, none or host."`
	Security   *Attr `hb:"security" type:"string" doc:"sandbox or insecure."`
	Devices    *Attr `hb:"devices" type:"list of strings or objects" doc:"CDI devices: \"vendor/class=name\" or { name, required }."`
	Env        *Attr `hb:"env" type:"map of strings and secrets, or a list of such maps" doc:"Environment of this step alone."`
	Hosts      *Attr `hb:"hosts" type:"map of strings" doc:"Entries of /etc/hosts: name to address."`
	Ulimits    *Attr `hb:"ulimits" type:"map" doc:"Limits such as nofile: a number, or { soft, hard }."`
	Limits     *Attr `hb:"limits" type:"object" doc:"{ memory, memory_swap, cpu_shares, cpu_period, cpu_quota, cpuset_cpus, cpuset_mems }."`
}

// Copy copies files into the stage.
type Copy struct {
	StepHead
	From    *Attr `hb:"from" type:"context, stage, image or artifact" doc:"What is copied from; context.default by default."`
	Src     *Attr `hb:"src" type:"string or list of strings" doc:"Paths in from; * ? [] are wildcards."`
	Dest    *Attr `hb:"dest" type:"string" doc:"Where to; a trailing slash means a directory."`
	Files   *Attr `hb:"files" type:"map of destinations" doc:"{ dest = path, list of paths, or a build value }: one instruction per entry."`
	Chown   *Attr `hb:"chown" type:"string" doc:"The owner: user[:group]."`
	Chmod   *Attr `hb:"chmod" type:"string" doc:"The mode: \"0755\" or \"u+x\"."`
	Link    *Attr `hb:"link" type:"bool" doc:"Copies into a layer of its own that does not depend on what is below."`
	Parents *Attr `hb:"parents" type:"bool" doc:"Keeps the directories of src."`
	Exclude *Attr `hb:"exclude" type:"list of strings" doc:"Patterns of what is left out."`
	Unpack  *Attr `hb:"unpack" type:"bool" doc:"Unpacks local archives."`

	Optional *Attr `hb:"optional" type:"bool" doc:"Whether paths may be missing; false by default."`
}

// Write writes a text to a file.
type Write struct {
	StepHead
	Path     *Attr `hb:"path,required" type:"string" doc:"The file."`
	Content  *Attr `hb:"content,required" type:"string" doc:"What is written."`
	TextName *Attr `hb:"name" type:"string" doc:"The text's name, which is part of the digest; EOF by default."`
	Expand   *Attr `hb:"expand" type:"bool" doc:"Whether $NAME in the content expands at build time; false by default."`
	Chown    *Attr `hb:"chown" type:"string" doc:"The owner: user[:group]."`
	Chmod    *Attr `hb:"chmod" type:"string" doc:"The mode; \"0644\" by default."`
}

// Mkdir makes directories.
type Mkdir struct {
	StepHead
	Path  *Attr `hb:"path,required" type:"string or list of strings" doc:"The directories; those above are made too, and one that is there is no error."`
	Mode  *Attr `hb:"mode" type:"string" doc:"The mode, octal; \"0755\" by default."`
	Chown *Attr `hb:"chown" type:"string" doc:"The owner: user[:group]."`
}

// Remove removes files and directories.
type Remove struct {
	StepHead
	Path     *Attr `hb:"path,required" type:"string or list of strings" doc:"What is removed, directories with all in them; * ? [] are wildcards."`
	Optional *Attr `hb:"optional" type:"bool" doc:"Whether paths may be missing; false by default."`
}

// Symlink makes a symbolic link.
type Symlink struct {
	StepHead
	Path   *Attr `hb:"path,required" type:"string" doc:"The link; directories above it are made."`
	Target *Attr `hb:"target,required" type:"string" doc:"What it points to, as it is written."`
}

// Set changes the environment of the following steps.
type Set struct {
	StepHead
	Args       *Attr `hb:"args" type:"map of strings" doc:"Build arguments."`
	Env        *Attr `hb:"env" type:"map of strings, or a list of such maps" doc:"Environment variables. In a list, the values of one map do not see each other."`
	Shell      *Attr `hb:"shell" type:"list of strings" doc:"What runs commands that are strings."`
	Workdir    *Attr `hb:"workdir" type:"string" doc:"The working directory."`
	User       *Attr `hb:"user" type:"string" doc:"Who runs the following steps."`
	Labels     *Attr `hb:"labels" type:"map of strings" doc:"Labels of the image."`
	Expose     *Attr `hb:"expose" type:"list of ports" doc:"Ports the image listens on, expanded here."`
	Volumes    *Attr `hb:"volumes" type:"list of strings" doc:"Directories whose content is not the image's, expanded here."`
	StopSignal *Attr `hb:"stop_signal" type:"string" doc:"The signal that stops the image's process, expanded here."`
}

// Dynamic repeats a block for each element of a collection.
type Dynamic struct {
	StepHead
	Of       string // the block type it makes
	Iterator string
	Content  Step
}

// Artifact is a file or a directory of a stage.
type Artifact struct {
	Decl
	From        *Attr `hb:"from,required" type:"stage or image" doc:"The stage that has it."`
	Path        *Attr `hb:"path,required" type:"string" doc:"The path; a trailing slash means a directory."`
	Output      *Attr `hb:"output" type:"string" doc:"The output() of the stage that path is in; the stage's own files by default."`
	Description *Attr `hb:"description" type:"string" doc:"What hbuild list shows."`
}

// Cache is a directory that persists between builds.
type Cache struct {
	Decl
	ID      *Attr `hb:"id" type:"string" doc:"What shares the cache; the module's path and the name by default."`
	Sharing *Attr `hb:"sharing" type:"string" doc:"shared, private or locked."`
	From    *Attr `hb:"from" type:"stage, image or context" doc:"The content it starts with."`
	Path    *Attr `hb:"path" type:"string" doc:"The directory of from."`
	Mode    *Attr `hb:"mode" type:"string" doc:"The mode of the directory: \"0755\"."`
	UID     *Attr `hb:"uid" type:"number" doc:"The owner of the directory."`
	GID     *Attr `hb:"gid" type:"number" doc:"The group of the directory."`
}

// Secret is a value that steps may mount and that is kept nowhere.
type Secret struct {
	Decl
	ID       *Attr `hb:"id" type:"string" doc:"What --secret names; the block's name by default."`
	Env      *Attr `hb:"env" type:"string" doc:"The environment variable that holds it."`
	File     *Attr `hb:"file" type:"string" doc:"The file that holds it, relative to the module."`
	Required *Attr `hb:"required" type:"bool" doc:"Whether a step fails without it; true by default."`
}

// SSH is an agent of the caller.
type SSH struct {
	Decl
	ID       *Attr `hb:"id" type:"string" doc:"What --ssh names; the block's name by default."`
	Required *Attr `hb:"required" type:"bool" doc:"Whether a step fails without it; false by default, as with a Dockerfile's type=ssh."`
}

// Repeat makes instances of a target or of a test.
type Repeat struct {
	Matrix        *Attr `hb:"matrix" type:"object of lists" doc:"One instance per combination; matrix.NAME is the value."`
	MatrixExclude *Attr `hb:"matrix_exclude" type:"list of objects" doc:"Combinations that are left out."`
	MatrixKey     *Attr `hb:"matrix_key" type:"string" doc:"The key of an instance; the values joined by - by default."`
}

// BuildSettings hold for all steps of a target or of a test.
type BuildSettings struct {
	NoCache         *Attr `hb:"no_cache" type:"bool" doc:"Runs all steps; of a test its own, and not those of the stage that it starts from."`
	Pull            *Attr `hb:"pull" type:"bool" doc:"Asks the registry for base images even when the engine has them."`
	SourceDateEpoch *Attr `hb:"source_date_epoch" type:"number, context or stage" doc:"The time, in seconds, that the image and its files get, or what has it: a context, or a stage that copies one git() or http()."`
	BuildArgs       *Attr `hb:"build_args" type:"map of strings" doc:"BuildKit's predefined arguments, such as HTTP_PROXY and BUILDKIT_MULTI_PLATFORM."`
	Hosts           *Attr `hb:"hosts" type:"map of strings" doc:"Entries of /etc/hosts for all steps."`
	Ulimits         *Attr `hb:"ulimits" type:"map" doc:"Limits for all steps: a number, or { soft, hard }."`
	ShmSize         *Attr `hb:"shm_size" type:"string" doc:"The size of /dev/shm: \"64m\"."`
	Hostname        *Attr `hb:"hostname" type:"string" doc:"The host name that steps see."`
	CgroupParent    *Attr `hb:"cgroup_parent" type:"string" doc:"The cgroup that steps run under."`
	Network         *Attr `hb:"network" type:"string" doc:"The network of all steps: default, none or host."`
	Limits          *Attr `hb:"limits" type:"object" doc:"{ memory, memory_swap, cpu_shares, cpu_period, cpu_quota, cpuset_cpus, cpuset_mems } for all steps."`
}

// Target is something with effects.
type Target struct {
	Decl
	Repeat

	Image       *Attr `hb:"image" type:"stage or image" doc:"What is exported as an image."`
	Files       *Attr `hb:"files" type:"map of host paths" doc:"{ host path = artifact, stage or image }; a directory is merged into what is there."`
	Tags        *Attr `hb:"tags" type:"list of strings" doc:"Names of the image."`
	Platforms   *Attr `hb:"platforms" type:"list of strings" doc:"The platforms to build for; the engine's own by default."`
	Labels      *Attr `hb:"labels" type:"map of strings" doc:"Labels added to the image."`
	Annotations *Attr `hb:"annotations" type:"map of strings" doc:"Annotations of the manifest."`
	Push        *Attr `hb:"push" type:"bool" doc:"Whether the image is pushed; --push and --no-push win."`
	Requires    *Attr `hb:"requires" type:"list of targets and tests" doc:"What must be done, and which tests must pass, before the target has effects."`
	CacheFrom   *Attr `hb:"cache_from" type:"list of strings" doc:"Where build cache is imported from: type=registry,ref=…"`
	CacheTo     *Attr `hb:"cache_to" type:"list of strings" doc:"Where build cache is exported to."`
	Attest      *Attr `hb:"attest" type:"list of strings" doc:"Attestations: type=provenance,mode=max"`
	Outputs     *Attr `hb:"outputs" type:"list of strings" doc:"Further exporters: type=oci,dest=…"`
	Description *Attr `hb:"description" type:"string" doc:"What hbuild list shows."`
	BuildSettings
	Defaults *Attr `hb:"defaults" type:"object" doc:"Values for attributes that the block does not set."`

	Preconditions []*Precondition `hb:"precondition,block"`
}

// Test is a stage that is run for its success alone: no image is made of it and
// nothing can start from it.
type Test struct {
	Decl
	Repeat
	Start
	BuildSettings

	Description *Attr `hb:"description" type:"string" doc:"What hbuild list shows."`

	Preconditions []*Precondition `hb:"precondition,block"`
	Steps         []Step          `hb:",steps"`
}

// Stage is the test as the stage that it runs as. It shares the declaration.
func (t *Test) Stage() *Stage {
	return &Stage{Decl: t.Decl, Start: t.Start, Description: t.Description, Preconditions: t.Preconditions, Steps: t.Steps}
}

// MatrixOf returns how a target or a test is repeated by a matrix, nil when it is not.
func MatrixOf(n Node) *Repeat {
	var r *Repeat
	switch n := n.(type) {
	case *Target:
		r = &n.Repeat
	case *Test:
		r = &n.Repeat
	}
	if r == nil || r.Matrix == nil {
		return nil
	}
	return r
}

// Group is a list of targets under one name.
type Group struct {
	Decl
	Targets     *Attr `hb:"targets,required" type:"targets, groups and tests" doc:"What it stands for; lists and maps flatten."`
	Description *Attr `hb:"description" type:"string" doc:"What hbuild list shows."`
}

// ModuleCall is a module block: a directory with hbuild files of its own, and what
// its variables are given.
type ModuleCall struct {
	Decl
	Source *Attr `hb:"source,required" type:"string" doc:"The directory, relative to the module that calls: \"./services/api\"."`
	// Inputs are all other attributes, in source order: values of the called
	// module's variables.
	Inputs []*Attr `hb:",rest"`
}

// Output is a value that a module shows to its caller: module.NAME.OUTPUT.
type Output struct {
	Decl
	Value       *Attr `hb:"value,required" type:"any" doc:"The value, which may be a build value."`
	Description *Attr `hb:"description" type:"string" doc:"What hbuild list shows."`
}

// Module is a directory of hbuild files: what was written, with names resolved.
type Module struct {
	Dir   string            // slash-separated, relative to the root of the file system
	Files map[string][]byte // by the names that ranges use
	Given bool              // the caller named the files; the directory's own do not count
	// Workspace is where a workspace block stands; the zero range is nowhere.
	Workspace hcl.Range

	// Decls are all declarations in the order of the source.
	Decls []Node
	// Order holds Decls so that each comes after what it uses. Filled by Resolve.
	Order []Node

	byKey  map[declKey]Node
	bad    []hcl.Range               // names that Resolve refused
	broken map[*hclsyntax.Block]bool // blocks that could be read in part only
	calls  bool                      // a module block is declared
	lost   map[Kind]bool             // kinds of which there may be declarations that could not be read
}

type declKey struct {
	kind Kind
	name string
}

// Lookup returns a declaration by kind and name, or nil.
func (m *Module) Lookup(kind Kind, name string) Node {
	if n, ok := m.byKey[declKey{kind, name}]; ok {
		return n
	}
	return nil
}

// lose says that declarations of some kinds, or of all, could not be read, so that
// an unknown name may be the fault of something that was reported already.
func (m *Module) lose(kinds ...Kind) {
	if m.lost == nil {
		m.lost = map[Kind]bool{}
	}
	if len(kinds) == 0 {
		kinds = allKinds
	}
	for _, k := range kinds {
		m.lost[k] = true
	}
}

// Lost reports whether there may be declarations of a kind that could not be read.
func (m *Module) Lost(kind Kind) bool { return m.lost[kind] }

// Calls reports whether the module calls others.
func (m *Module) Calls() bool { return m.calls }

// Names returns the names of all declarations of a kind, in source order.
func (m *Module) Names(kind Kind) []string {
	var out []string
	for _, n := range m.Decls {
		if b := n.Base(); b.Kind == kind {
			out = append(out, b.Name)
		}
	}
	return out
}
