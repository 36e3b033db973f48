package build

import "github.com/hbuild/hbuild/lang/diag"

// The codes of what goes wrong while building. Their titles are here and their
// documentation in the catalogue with all others.
const (
	StepFailed      diag.Code = "HB6002" // a step ended with an error
	ImageNotFound   diag.Code = "HB6003" // a base image does not exist
	NotAllowed      diag.Code = "HB6004" // a step needs an entitlement
	EngineError     diag.Code = "HB6005" // the engine could not be reached or went away
	RegistryRefused diag.Code = "HB6006" // a registry could not be reached or refused
	MissingSecret   diag.Code = "HB6007" // a required secret without a value
	BuildFailed     diag.Code = "HB6008" // anything else
	TwoSecrets      diag.Code = "HB6009" // one id, read from two places
)
