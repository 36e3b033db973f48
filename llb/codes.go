package llb

import "github.com/hbuild/hbuild/lang/diag"

// Mistakes that only show when a build is lowered: what they depend on is an
// environment, a base image or a platform.
const (
	// CodeExpand: a `${…}` that fails, such as `${X:?message}`.
	CodeExpand diag.Code = "HB4001"
	// CodeImage: a base image that cannot be resolved.
	CodeImage diag.Code = "HB4002"
	// CodeImageConfig: a base image whose configuration cannot be read.
	CodeImageConfig diag.Code = "HB4003"
	// CodeChmod: a chmod that is no mode once it is expanded.
	CodeChmod diag.Code = "HB4004"
	// CodeEmpty: a value that is empty once it is expanded.
	CodeEmpty diag.Code = "HB4005"
	// CodePort: not a port once it is expanded.
	CodePort diag.Code = "HB4006"
	// CodeSignal: not a signal once it is expanded.
	CodeSignal diag.Code = "HB4007"
	// CodeTrigger: an onbuild instruction, of a base image or stage, that cannot run.
	CodeTrigger diag.Code = "HB4008"
	// CodeRemoteSource: a copy of a URL or git repository as if it were a path.
	CodeRemoteSource diag.Code = "HB4009"
	// CodeMountTarget: a mount over the root directory.
	CodeMountTarget diag.Code = "HB4010"
	// CodeMountOption: a mode, uid or gid of a mount that is no number.
	CodeMountOption diag.Code = "HB4011"
	// CodePath: a path that the platform does not have.
	CodePath diag.Code = "HB4012"
	// CodePlatform: a platform that cannot be used there.
	CodePlatform diag.Code = "HB4013"
	// CodeBuildOption: an option of the whole build that is wrong.
	CodeBuildOption diag.Code = "HB4014"
	// CodeCommand: a command without words.
	CodeCommand diag.Code = "HB4015"
	// CodeGiven: what a caller gives for a context, or an OCI layout, that cannot be
	// loaded.
	CodeGiven diag.Code = "HB4016"
	// CodeBasePlatform: a base image of another platform than the one asked for; a
	// warning.
	CodeBasePlatform diag.Code = "HB4017"
	// CodeUndefined: a variable that neither the files nor the base image set; a
	// warning.
	CodeUndefined diag.Code = "HB4018"
)

// Titles are the codes of lowering with a line on each.
var Titles = map[diag.Code]string{
	CodeExpand:       "a variable's expansion failed",
	CodeImage:        "a base image cannot be resolved",
	CodeImageConfig:  "a base image's configuration cannot be read",
	CodeChmod:        "not a file mode",
	CodeEmpty:        "a value is empty once it is expanded",
	CodePort:         "not a port",
	CodeSignal:       "not a signal",
	CodeTrigger:      "an onbuild instruction cannot run",
	CodeRemoteSource: "a URL is not a path of a copy",
	CodeMountTarget:  "a mount cannot cover the root directory",
	CodeMountOption:  "not a number in a mount",
	CodePath:         "a path that the platform does not have",
	CodePlatform:     "a platform that cannot be used here",
	CodeBuildOption:  "an option of the build is wrong",
	CodeCommand:      "a command without words",
	CodeGiven:        "a context that cannot be loaded",
	CodeBasePlatform: "a base image of another platform",
	CodeUndefined:    "a variable that nothing sets",
}
