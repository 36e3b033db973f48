// Package solve builds: it takes what is to be built as plain data ([Request]),
// drives a BuildKit daemon, and brings the results to where they belong.
//
// # One call
//
// All targets of a call share one session (files, secrets, agents, credentials)
// and one gateway build, in which every target is lowered and solved; very many are
// solved in several ([GatewayJobs]), which are open until all is done. BuildKit
// puts all files of a result into one index or directory, so what has an index of
// its own, an image, is exported by a build of its own, over the same session and
// while the gateway build still holds what was solved. These exports are
// internal: they leave no record in the daemon's history and no trace, which
// would cost far more than the export itself. Host files leave the gateway build
// together; many are copied into one file system first.
//
// The daemon names exporters of a session by their position in one request. So a
// build that sends something to this side, an archive or a directory, has a small
// session of its own; there are never more of them than [Request.Parallel].
//
// # Tests
//
// A test is a job that is only solved. What it gates is solved beside it and
// exported when it has passed; a job whose tests have passed before its turn comes
// is exported at once, which solves it once less. A failing test cancels nothing:
// it stops what it gates, whatever [Request.KeepGoing] says.
//
// # All or nothing
//
// Everything received is written beside its destination first and moved into
// place when it is complete; a failure or an interruption leaves nothing behind.
//
// # Failures
//
// [StepError], [ImageError], [EntitlementError] and [RegistryError] say what
// failed and at which line; [ErrEngine] and [ErrRegistry] mark what was not the
// build's fault. A cancelled context cancels the solves in the daemon and is
// returned as the context's own error.
package solve
