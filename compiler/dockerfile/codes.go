package dockerfile

import "github.com/hbuild/hbuild/lang/diag"

// What a Dockerfile cannot say.
const (
	// CodeLineBreak: a value with a line break where an instruction has one line.
	CodeLineBreak diag.Code = "HB5001"
	// CodeText: a text or script that no heredoc holds.
	CodeText diag.Code = "HB5002"
	// CodeWord: a word or key that the instruction's syntax cannot hold.
	CodeWord diag.Code = "HB5003"
	// CodeFlag: a flag's value with characters that BuildKit's flag parser breaks.
	CodeFlag diag.Code = "HB5004"
	// CodeStepOption: an option of a step that no instruction has.
	CodeStepOption diag.Code = "HB5005"
	// CodeClear: emptying something that the base sets.
	CodeClear diag.Code = "HB5006"
	// CodeUnpack: unpacking an archive from anything but the main context.
	CodeUnpack diag.Code = "HB5007"
	// CodeEnvExec: an environment variable for a step without a shell.
	CodeEnvExec diag.Code = "HB5008"
	// CodeTooLong: a line longer than BuildKit's parser reads.
	CodeTooLong diag.Code = "HB5009"
	// CodeVariants: a stage that differs by platform in a way FROM cannot choose.
	CodeVariants diag.Code = "HB5010"
	// CodeIgnore: patterns of a context that no ignore file can give it.
	CodeIgnore diag.Code = "HB5011"
	// CodeTrigger: an onbuild instruction that is not one.
	CodeTrigger diag.Code = "HB5012"
	// CodeNoCache (a warning): no_cache of a step is left to the caller.
	CodeNoCache diag.Code = "HB5013"
	// CodeLLBOnly: something that BuildKit does and no Dockerfile can ask for.
	CodeLLBOnly diag.Code = "HB5016"
	// CodeMainContext: something for the main context that docker build cannot take.
	CodeMainContext diag.Code = "HB5014"
	// CodeName: a stage name that BuildKit does not accept.
	CodeName diag.Code = "HB5015"
)

// Titles are the codes of emission with a line on each.
var Titles = map[diag.Code]string{
	CodeLineBreak:   "a Dockerfile cannot hold a line break here",
	CodeText:        "a text that no heredoc can hold",
	CodeWord:        "a value that the instruction's syntax cannot hold",
	CodeFlag:        "a flag of a Dockerfile's instruction cannot hold this value",
	CodeStepOption:  "an option that no Dockerfile instruction has",
	CodeClear:       "a Dockerfile cannot clear what the base set",
	CodeUnpack:      "a Dockerfile unpacks archives of the main context only",
	CodeEnvExec:     "env of a step without a shell",
	CodeTooLong:     "a line longer than BuildKit's parser reads",
	CodeVariants:    "a stage that differs by platform in a way FROM cannot choose",
	CodeIgnore:      "patterns that no ignore file can give to the context",
	CodeTrigger:     "not an onbuild instruction",
	CodeNoCache:     "no_cache is not kept in a Dockerfile",
	CodeLLBOnly:     "a construct that no Dockerfile has",
	CodeMainContext: "a main context that docker build cannot have",
	CodeName:        "a stage name that BuildKit does not accept",
}
