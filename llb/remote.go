package llb

import (
	"net/url"
	"path"
	"strconv"
	"strings"

	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	digest "github.com/opencontainers/go-digest"

	"github.com/hbuild/hbuild/compiler/ir"
)

// remoteCopy is an ADD of addresses. What one address says about checksum and
// .git directory holds for those behind it too, as in BuildKit.
type remoteCopy struct {
	w        *lowering
	s        *ir.Copy
	c        copyWords
	name     string
	keepGit  *bool
	checksum string
}

// check reports mistakes of the whole step, and notes what BuildKit takes for
// paths of the main context.
func (r *remoteCopy) check() bool {
	for _, src := range r.c.src {
		if r.s.Add && !strings.HasPrefix(src, "http://") && !strings.HasPrefix(src, "https://") {
			r.w.s.stray(path.Join("/", src))
		}
	}
	if r.checksum == "" {
		return true
	}
	if len(r.c.src) != 1 || !remote(r.c.src[0]) {
		r.w.errorf(CodeRemoteSource, r.s.Range, "A checksum is of one address", "A checksum belongs to a single address of a file or a git repository.")
		return false
	}
	return true
}

// source is what is at an address, and the path to copy from it.
func (r *remoteCopy) source(src string) (bk.State, string, *bk.CopyInfo, bool) {
	info := &bk.CopyInfo{Mode: r.c.mode, CreateDestPath: true}
	ref, isGit, err := dfgitutil.ParseGitRef(src)
	switch {
	case isGit && err != nil:
		r.w.errorf(CodeRemoteSource, r.s.Range, "Bad git address", "%s: %v.", src, rootCause(err))
		return bk.State{}, "", nil, false
	case err == nil && !ref.IndistinguishableFromLocal:
		st, ok := r.git(src, ref)
		return st, "/", info, ok
	}
	st, name, ok := r.http(src)
	info.AttemptUnpack = r.s.Unpack != nil && *r.s.Unpack
	return st, name, info, ok
}

func (r *remoteCopy) git(src string, ref *dfgitutil.GitRef) (bk.State, bool) {
	if r.s.KeepGitDir != nil && ref.KeepGitDir != nil && *r.s.KeepGitDir != *ref.KeepGitDir {
		r.w.errorf(CodeRemoteSource, r.s.Range, "The address and keep_git_dir disagree", "%s says keep-git-dir=%v itself.", src, *ref.KeepGitDir)
		return bk.State{}, false
	}
	if r.checksum != "" && ref.Checksum != "" && r.checksum != ref.Checksum {
		r.w.errorf(CodeRemoteSource, r.s.Range, "The address and the commit disagree", "%s says checksum=%s itself, not %s.", src, ref.Checksum, r.checksum)
		return bk.State{}, false
	}
	if ref.KeepGitDir != nil {
		r.keepGit = ref.KeepGitDir
	}
	if ref.Checksum != "" {
		r.checksum = ref.Checksum
	}
	opts := []bk.GitOption{bk.WithCustomName(r.name), bk.GitRef(ref.Ref)}
	if advice, _ := strconv.ParseBool(r.w.b.args[argGitAdvice]); advice {
		opts = append(opts, bk.GitAdvice(true))
	}
	if r.keepGit != nil && *r.keepGit {
		opts = append(opts, bk.KeepGitDir())
	}
	if r.checksum != "" {
		opts = append(opts, bk.GitChecksum(r.checksum))
	}
	if ref.SubDir != "" {
		opts = append(opts, bk.GitSubDir(ref.SubDir))
	}
	if ref.Submodules != nil && !*ref.Submodules {
		opts = append(opts, bk.GitSkipSubmodules())
	}
	if ref.FetchByCommit {
		opts = append(opts, bk.GitFetchByCommit())
	}
	return bk.Git(ref.Remote, "", opts...), true
}

func (r *remoteCopy) http(src string) (bk.State, string, bool) {
	name := "__unnamed__" // BuildKit's word for a URL without a last element
	if u, err := url.Parse(src); err == nil {
		if base := path.Base(u.Path); base != "." && base != "/" {
			name = base
		}
	}
	opts := []bk.HTTPOption{bk.Filename(name), bk.WithCustomName(r.name)}
	if r.checksum != "" {
		d, err := digest.Parse(r.checksum)
		if err != nil {
			r.w.errorf(CodeRemoteSource, r.s.Range, "Not a digest", "The checksum %q is not a digest such as sha256:….", r.checksum)
			return bk.State{}, "", false
		}
		opts = append(opts, bk.Checksum(d))
	}
	return bk.HTTP(src, opts...), name, true
}
