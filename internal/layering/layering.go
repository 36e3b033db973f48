// Package layering holds the rule that keeps the house in one piece: which
// package may import which, and why. Its test reads the sources, so a new import
// that breaks the rule fails with the reason beside it.
//
// Imports only go down:
//
//	cmd → internal/lsp, llb → compiler → lang
//
// What lies below the line of llb is pure: it reads an fs.FS, bytes and maps and
// gives values back, so that checking, listing and emitting need no daemon and no
// network, run the same on every machine, and can be tested with a table.
package layering

// Room is a folder of the module and what its packages may import of the module
// itself. The longest Dir that a package lies under is its room.
type Room struct {
	Dir    string   // relative to the module's root; "" is the root
	May    []string // folders; a package below one of them counts
	Reason string
}

// Rooms is the table.
var Rooms = []Room{
	{"lang/diag", nil, "every package reports mistakes through it, so it can know none of them"},
	{"lang/funcs", []string{"lang/diag"}, "functions see their arguments and the module's files; a function that knew a stage could not be listed, completed or tested without one"},
	{"lang", []string{"lang/diag"}, "what was written is read without knowing what it evaluates to: a misspelt name shows in code that is never reached"},
	{"compiler/ir", nil, "plain data that both backends, the importer and the views speak; whatever it imported, all of them would"},
	{"compiler/dockerfile", []string{"compiler/ir", "lang/diag"}, "it emits what the IR says and cannot ask the source a second time, or the two backends could read it differently"},
	{"compiler/eval", []string{"compiler/ir", "lang"}, "evaluation makes the IR and knows no backend"},
	{"compiler", []string{"compiler", "lang"}, "the compiler calls its passes and the language, never what builds"},
	{"llb/engine", []string{"lang/diag"}, "finding or starting a daemon has nothing to do with what is built"},
	{"llb/sbom", nil, "a scan is of definitions, wherever they come from"},
	{"llb/solve", []string{"llb/engine", "llb/sbom", "lang/diag"}, "a solve speaks of definitions and exports, not of stages: anything that has LLB can use it"},
	{"llb/frontend", []string{"llb", "compiler", "lang"}, "a whole hbuild that runs inside the engine: it reads files as cmd does, and links no client of the host"},
	{"llb", []string{"llb", "compiler", "lang/diag"}, "the backend reads the IR; what the language looks like is settled by then"},
	{"internal/lsp", []string{"compiler", "lang"}, "an editor needs answers without a daemon, in milliseconds"},
	{"internal/oracle", nil, "the reference implementation judges hbuild, so nothing of hbuild may be in it"},
	{"internal/testengine", []string{"internal/testimage", "internal/testengine", "llb/engine"}, "tests share one daemon and its base images"},
	{"internal/testimage", []string{"internal/testimage"}, "base images are made by anybody's tools, before hbuild is there"},
	{"internal/bench", []string{"compiler", "llb", "internal/benchgen", "internal/testengine"}, "it measures the program from outside, and beside it what its parts could reach"},
	{"internal/benchgen", nil, "it writes source text"},
	{"internal/deps", nil, "it only names modules"},
	{"internal", []string{"internal", "llb", "compiler", "lang"}, "helpers of tests stand beside what they help to test"},
	{"cmd", []string{"cmd", "internal/lsp", "llb", "compiler", "lang"}, "flags in, one call, exit code out; what only tests use stays out of the program"},
	{"spec", []string{"spec", "compiler", "llb", "lang", "internal/oracle"}, "the specification is generated from and run against everything"},
	{"examples", nil, "an example stands on its own, as its reader's project would"},
}

// Pure are the folders that may not reach for the machine.
var Pure = []string{"lang", "compiler"}

// Impure are the packages of the standard library that no pure package imports,
// with what they would bring in.
var Impure = map[string]string{
	"os":           "the machine's files, environment and processes; take an fs.FS, a map or a writer",
	"os/exec":      "other programs",
	"net":          "the network",
	"net/http":     "the network",
	"net/netip":    "the network's names",
	"time":         "the clock",
	"math/rand":    "chance",
	"math/rand/v2": "chance",
	"crypto/rand":  "chance",
	"context":      "cancellation: nothing here takes long enough to be cancelled",
	"syscall":      "the machine",
	"log":          "a stream of its own; return a diagnostic",
	"log/slog":     "a stream of its own; return a diagnostic",
}

// Exception lets a pure folder use named parts of an impure package: those that
// compute and do not reach out.
type Exception struct {
	Dir, Import string
	Names       []string
	Reason      string
}

// Exceptions are all there are; an unused one fails the test.
var Exceptions = []Exception{
	{"compiler/ir", "time", []string{"Duration"}, "a health check's intervals are durations"},
	{"compiler/eval", "time", []string{"Duration", "Millisecond", "ParseDuration"}, "durations are written as text and checked at compile time"},
	{"compiler/eval", "net/netip", []string{"ParseAddr"}, "an entry of /etc/hosts is checked to be an address; nothing is looked up"},
	{"compiler/dockerfile", "time", []string{"Duration", "Millisecond"}, "durations are printed, and read back from instructions"},
	{"compiler/dockerfile", "net", []string{"ParseIP"}, "an IPv6 address in --add-host is written in brackets; nothing is looked up"},
	{"lang/funcs", "time", []string{"Parse", "RFC3339", "Time"}, "formatting and comparing dates computes with the times they are given; no function asks for the time"},
	{"lang/funcs", "net", []string{"IP", "IPNet", "IPv4len", "ParseCIDR"}, "the cidr functions compute with addresses"},
}

// Unreachable are modules that a pure package may not even import through
// another package, except for the packages named: what hbuild check links decides
// how fast it starts.
var Unreachable = []struct {
	Prefix string
	But    []string
	Reason string
}{
	{"github.com/moby/buildkit/", []string{
		"frontend/dockerfile/command", "frontend/dockerfile/instructions", "frontend/dockerfile/linter", "frontend/dockerfile/parser",
		"frontend/dockerfile/shell", "util/stack", "util/suggest",
		"frontend/dockerfile/dfgitutil", "util/gitutil", "util/sshutil", // what tells a git address from a path
	}, "the parser and the word lexer of Dockerfiles are BuildKit's, so that both sides read a word alike; the client, the solver's types and gRPC are not needed to compile"},
	{"google.golang.org/grpc", nil, "compiling talks to nobody"},
	{"net/http", nil, "compiling talks to nobody"},
}
