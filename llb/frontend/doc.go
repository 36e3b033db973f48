// Package frontend builds hbuild files inside BuildKit: it is what the frontend
// image does, for `docker build`, `buildx`, `buildctl` and everything else that
// solves a file with a `# syntax=` line. spec/frontend.md says what a caller sees.
//
// A frontend has no machine of its own. All it knows comes through the gateway:
// the options of the call, and the caller's files, which it asks for as local
// sources and reads from the result. So the module is an [io/fs.FS] whose
// directories are listed and whose files are sent when the compiler first asks
// for them:
//
//	options ──▶ call (call.go)
//	hbuild files ──▶ module (module.go) ── compiler ──▶ graph (target.go)
//	build context ──▶ tree (tree.go, local.go) ──▶ contexts (context.go)
//	graph ── llb.LowerAll ──▶ result (frontend.go)
//
// What a Dockerfile frontend's options mean, and how a main context is found, is
// BuildKit's own package dockerui, so that a flag does here what it does there.
package frontend
