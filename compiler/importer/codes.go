package importer

import "github.com/hbuild/hbuild/lang/diag"

// What can be wrong with a Dockerfile that is imported.
const (
	// CodeSyntax: BuildKit cannot read the file.
	CodeSyntax diag.Code = "HB8001"
	// CodeInvalid: BuildKit reads the file and refuses what it says.
	CodeInvalid diag.Code = "HB8002"
	// CodeNoTarget: the stage of --target is not there.
	CodeNoTarget diag.Code = "HB8003"
	// CodeFrontend: the file asks for another frontend than BuildKit's own.
	CodeFrontend diag.Code = "HB8004"
	// CodeUnsayable: hbuild has no words for it.
	CodeUnsayable diag.Code = "HB8005"
	// CodeDropped (a warning): something without effect was left out.
	CodeDropped diag.Code = "HB8006"
	// CodeFixed (a warning): something that a caller could decide was decided.
	CodeFixed diag.Code = "HB8007"
	// CodeRefused: the language refuses what was made of the file.
	CodeRefused diag.Code = "HB8008"
	// CodeBuildArg: --build-arg names no argument of the file.
	CodeBuildArg diag.Code = "HB8009"
	// CodeLeftOut (a warning): a stage that the default target does not need cannot
	// be imported.
	CodeLeftOut diag.Code = "HB8010"
)

// Titles are the codes of the importer with a line on each.
var Titles = map[diag.Code]string{
	CodeSyntax:    "BuildKit cannot read the Dockerfile",
	CodeInvalid:   "BuildKit refuses what the Dockerfile says",
	CodeNoTarget:  "the Dockerfile has no such stage",
	CodeFrontend:  "the Dockerfile is written for another frontend",
	CodeUnsayable: "hbuild has no words for what the Dockerfile says",
	CodeDropped:   "what has no effect was left out",
	CodeFixed:     "what a caller could decide was decided",
	CodeRefused:   "the language refuses what the Dockerfile says",
	CodeBuildArg:  "the Dockerfile has no such argument, stage, image, secret or agent",
	CodeLeftOut:   "a stage that nothing needs cannot be imported",
}
