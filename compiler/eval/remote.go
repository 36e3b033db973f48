package eval

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	digest "github.com/opencontainers/go-digest"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

var urlParam = []function.Parameter{{Name: "url", Type: cty.String}}

var gitFunc = buildFunc(urlParam, func(args []cty.Value) (*Value, error) {
	o, err := readOptions(args, 1, "git", "ref", "commit", "subdir", "keep_git_dir", "submodules", "fetch_by_commit")
	if err != nil {
		return nil, err
	}
	r := &Remote{URL: args[0].AsString()}
	var errs [6]error
	var ref, subdir string
	var submodules, byCommit *bool
	ref, errs[0] = o.str("ref")
	r.Checksum, errs[1] = o.str("commit")
	subdir, errs[2] = o.str("subdir")
	r.KeepGitDir, errs[3] = o.boolean("keep_git_dir")
	submodules, errs[4] = o.boolean("submodules")
	byCommit, errs[5] = o.boolean("fetch_by_commit")
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	if r.Checksum != "" && !commitForm.MatchString(r.Checksum) && !strings.Contains(r.Checksum, "$") {
		return nil, &codedError{diag.BadAddress, fmt.Sprintf("%q is no commit", r.Checksum), "A commit is its hexadecimal name, 7 to 64 characters long."}
	}
	if r.URL, err = gitAddress(r.URL, ref, subdir, submodules, byCommit); err != nil {
		return nil, err
	}
	return &Value{Kind: KindGit, Remote: r}, nil
})

var commitForm = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// gitAddress writes the options of git() into the address, in the form in which
// a Dockerfile's ADD has them: `#ref:subdir` where that says all, else a query.
func gitAddress(addr, ref, subdir string, submodules, byCommit *bool) (string, error) {
	if strings.ContainsAny(addr, "#?") && (ref != "" || subdir != "" || submodules != nil || byCommit != nil) && !strings.Contains(addr, "${") {
		return "", &codedError{diag.BadAddress, "The address has options of its own", fmt.Sprintf("%q says what comes after its # or ?; say it there or in the options, not in both.", addr)}
	}
	q := url.Values{}
	if submodules != nil {
		q.Set("submodules", fmt.Sprint(*submodules))
	}
	if byCommit != nil {
		q.Set("fetch-by-commit", fmt.Sprint(*byCommit))
	}
	switch {
	case len(q) > 0:
		if ref != "" {
			q.Set("ref", ref)
		}
		if subdir != "" {
			q.Set("subdir", subdir)
		}
		addr += "?" + q.Encode()
	case subdir != "":
		addr += "#" + ref + ":" + subdir
	case ref != "":
		addr += "#" + ref
	}
	if strings.Contains(addr, "$") {
		return addr, nil
	}
	got, isGit, err := dfgitutil.ParseGitRef(addr)
	if err != nil || !isGit && got == nil || got != nil && got.IndistinguishableFromLocal {
		detail := "An address is https://HOST/PATH.git, git://…, ssh://… or user@host:path."
		if err != nil && isGit {
			detail = upperFirst(err.Error()) + ". " + detail
		}
		return "", &codedError{diag.BadAddress, fmt.Sprintf("%q is no address of a git repository", addr), detail}
	}
	return addr, nil
}

var httpFunc = buildFunc(urlParam, func(args []cty.Value) (*Value, error) {
	o, err := readOptions(args, 1, "http", "checksum", "filename")
	if err != nil {
		return nil, err
	}
	r := &Remote{URL: args[0].AsString()}
	if r.Checksum, err = o.str("checksum"); err != nil {
		return nil, err
	}
	if r.Filename, err = o.str("filename"); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(r.URL, "http://") && !strings.HasPrefix(r.URL, "https://") && !strings.HasPrefix(r.URL, "$") {
		return nil, &codedError{diag.BadAddress, fmt.Sprintf("%q is no address of a file", r.URL), "An address begins with http:// or https://."}
	}
	if _, isGit, _ := dfgitutil.ParseGitRef(r.URL); isGit {
		return nil, &codedError{diag.BadAddress, fmt.Sprintf("%q is the address of a git repository", r.URL), "BuildKit reads an address that ends in .git as a repository; write git(…)."}
	}
	if r.Checksum != "" && !strings.Contains(r.Checksum, "$") {
		if _, err := digest.Parse(r.Checksum); err != nil {
			return nil, &codedError{diag.BadAddress, fmt.Sprintf("%q is no digest", r.Checksum), "A checksum is algorithm:hexadecimal, such as sha256:…"}
		}
	}
	if strings.Contains(r.Filename, "/") {
		return nil, &codedError{diag.BadPath, fmt.Sprintf("%q is no file name", r.Filename), "filename is a name without a directory."}
	}
	return &Value{Kind: KindHTTP, Remote: r}, nil
})

// remote makes a copy an ADD of an address. Only one address may have a checksum
// or keep its .git directory, for those belong to the instruction.
func (ev *Evaluator) remote(c *ir.Copy, v *Value, it *item, others bool) bool {
	r := v.Remote
	if others && (r.Checksum != "" || r.KeepGitDir != nil || r.Filename != "") {
		ev.errorf(diag.ConflictingAttrs, it.rng, "An address with options among other sources", "A checksum, keep_git_dir and filename belong to one source; give it an entry of its own.")
		return false
	}
	w, ok := ev.quote(r.URL, it)
	if !ok {
		return false
	}
	c.Add, c.KeepGitDir = true, r.KeepGitDir
	c.Src = append(c.Src, w)
	if r.Checksum != "" {
		c.Checksum, ok = ev.quote(r.Checksum, it)
	}
	return ok
}

// remoteStage makes the stage that holds what is at an address, for places that
// take a file system.
func (ev *Evaluator) remoteStage(v *Value, it *item) ir.Source {
	st := ev.helperStage(string(v.Kind), it.rng)
	c := &ir.Copy{StepMeta: ir.StepMeta{Range: it.rng}, Dest: ir.Literal("/")}
	if v.Remote.Filename != "" {
		c.Dest = ir.Literal("/" + v.Remote.Filename)
	}
	if !ev.remote(c, v, it, false) {
		return nil
	}
	st.Steps = []ir.Step{c}
	return ir.StageSource{Stage: st}
}

// helperStage makes a stage that no block declares, once for each place.
func (ev *Evaluator) helperStage(what string, at hcl.Range) *ir.Stage {
	st := &ir.Stage{Addr: what + "()", Root: ir.ScratchRoot{}, Range: at}
	ev.inOrder(func() {
		ev.texts++
		st.Name = ev.uniqueName(fmt.Sprintf("%s-%d", what, ev.texts), fmt.Sprintf("%s at %s", what, at))
	})
	return st
}
