package llb

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/system"
	mode "github.com/tonistiigi/dchapes-mode"

	"github.com/hbuild/hbuild/compiler/ir"
)

// copyWords is a copy with its words expanded.
type copyWords struct {
	src          []string
	dest         string
	chown, chmod string
	checksum     string
	mode         *bk.ChmodOpt
}

// copy is one file operation with one action per source, paths before texts.
func (w *lowering) copy(s *ir.Copy) {
	c, ok := w.copyWords(s)
	if !ok {
		return
	}
	var action *bk.FileAction
	add := func(st bk.State, src string, info *bk.CopyInfo) {
		opts := []bk.CopyOption{info}
		if c.chown != "" {
			opts = append(opts, bk.WithUser(c.chown))
		}
		if len(s.Exclude) > 0 {
			opts = append(opts, bk.WithExcludePatterns(s.Exclude))
		}
		if action == nil {
			action = bk.Copy(st, src, c.dest, opts...)
		} else {
			action = action.Copy(st, src, c.dest, opts...)
		}
	}
	name := w.name(copyText(s, c))
	if !w.copyPaths(s, c, name, add) {
		return
	}
	for _, t := range s.Texts {
		st, ok := w.text(t)
		if !ok {
			return
		}
		add(st, t.Name, &bk.CopyInfo{Mode: c.mode, CreateDestPath: true})
	}
	if action == nil {
		w.errorf(CodeEmpty, s.Range, "A copy of nothing", "The step has no sources.")
		return
	}
	w.apply(s, c, name, action)
	w.history(copyText(s, c)+" # buildkit", true)
}

func (w *lowering) copyWords(s *ir.Copy) (copyWords, bool) {
	var c copyWords
	var ok [5]bool
	c.src, ok[0] = w.words(s.Src)
	c.dest, ok[1] = w.expand(s.Dest)
	c.chown, ok[2] = w.expand(s.Chown)
	c.chmod, ok[3] = w.expand(s.Chmod)
	c.checksum, ok[4] = w.expand(s.Checksum)
	if ok != [5]bool{true, true, true, true, true} {
		return c, false
	}
	var err error
	if c.dest, err = w.inWorkdir(c.dest); err != nil {
		w.errorf(CodePath, s.Range, "Bad destination", "%s: %v.", c.dest, rootCause(err))
		return c, false
	}
	if c.chmod != "" {
		if c.mode, err = chmod(c.chmod); err != nil {
			w.errorf(CodeChmod, s.Range, "Not a file mode", "%q is neither an octal number up to 7777 nor a list of symbolic changes such as u+x.", c.chmod)
			return c, false
		}
	}
	return c, true
}

// copyPaths adds the paths and addresses of a copy.
func (w *lowering) copyPaths(s *ir.Copy, c copyWords, name string, add func(bk.State, string, *bk.CopyInfo)) bool {
	var local []string
	for _, src := range c.src {
		if !s.Add || !remote(src) {
			local = append(local, src)
		}
	}
	var st bk.State
	if len(local) > 0 {
		from, ok := s.From, false
		if from == nil {
			from = ir.ContextSource{Context: w.l.defaultContext(w.b)}
		}
		if st, ok = w.source(from, local); !ok {
			return false
		}
	}
	rem := remoteCopy{w: w, s: s, c: c, name: name, keepGit: s.KeepGitDir, checksum: c.checksum}
	if !rem.check() {
		return false
	}
	for _, src := range c.src {
		if s.Add && remote(src) {
			st, from, info, ok := rem.source(src)
			if !ok {
				return false
			}
			add(st, from, info)
			continue
		}
		info, from, ok := w.copyInfo(s, &c, src)
		if !ok {
			return false
		}
		add(st, from, info)
	}
	return true
}

// chmod reads an octal mode or symbolic changes.
func chmod(s string) (*bk.ChmodOpt, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err == nil {
		if n > 0o7777 {
			return nil, errors.New("too large")
		}
		return &bk.ChmodOpt{Mode: os.FileMode(n)}, nil
	}
	if _, err := mode.Parse(s); err != nil {
		return nil, err
	}
	return &bk.ChmodOpt{ModeStr: s}, nil
}

// inWorkdir makes a destination absolute and keeps what makes it a directory.
func (w *lowering) inWorkdir(p string) (string, error) {
	os := w.s.platform.OS
	p, err := system.CheckSystemDriveAndRemoveDriveLetter(p, os, true)
	if err != nil {
		return "", err
	}
	if system.IsAbs(p, os) {
		return system.NormalizePath("/", p, os, true)
	}
	if p == "." || p == "" {
		p = "./"
	}
	return system.NormalizePath(w.s.dir, p, os, true)
}

// copyInfo says how one path is copied, and from where within the source.
func (w *lowering) copyInfo(s *ir.Copy, c *copyWords, src string) (*bk.CopyInfo, string, bool) {
	if remote(src) {
		w.errorf(CodeRemoteSource, s.Range, "An address is not a path", "%s is no path of what is copied from. Fetch it with http() or git().", src)
		return nil, "", false
	}
	var include, required []string
	os := w.s.platform.OS
	norm := func(p string) (string, bool) {
		out, err := system.NormalizePath("/", p, os, false)
		if err != nil {
			w.errorf(CodePath, s.Range, "Bad path", "%s: %v.", p, rootCause(err))
			return "", false
		}
		return out, true
	}
	if s.Parents {
		parent, pattern, pivot := strings.Cut(src, "/./")
		if !pivot {
			parent, pattern = "/", src
		}
		pattern, ok := norm(pattern)
		if !ok {
			return nil, "", false
		}
		src = parent
		include = []string{strings.TrimPrefix(pattern, "/")}
		if !wildcards(src) && !wildcards(pattern) {
			need, ok := norm(path.Join(src, pattern))
			if !ok {
				return nil, "", false
			}
			required = []string{need}
		}
	}
	from, ok := norm(src)
	return &bk.CopyInfo{
		Mode: c.mode, FollowSymlinks: true, CopyDirContentsOnly: true,
		IncludePatterns: include, RequiredPaths: required,
		AttemptUnpack: s.Unpack != nil && *s.Unpack || s.Unpack == nil && s.Add, CreateDestPath: true,
		AllowWildcard: true, AllowEmptyWildcard: true,
	}, from, ok
}

// remote reports whether BuildKit would fetch src rather than copy it.
func remote(src string) bool {
	if strings.HasPrefix(src, "http://") || strings.HasPrefix(src, "https://") {
		return true
	}
	ref, isGit, err := dfgitutil.ParseGitRef(src)
	return isGit && err != nil || err == nil && ref != nil && !ref.IndistinguishableFromLocal
}

// wildcards reports whether a pattern has some that are not escaped.
func wildcards(s string) bool {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '*', '?', '[':
			return true
		case '\\':
			i++
		}
	}
	return false
}

// text is a file system that holds one text.
func (w *lowering) text(t ir.Text) (bk.State, bool) {
	data := t.Data
	if t.Expand {
		lex := shell.NewLex('\\')
		lex.SkipProcessQuotes = true
		out, err := lex.ProcessWordWithMatches(data, w.s.env)
		if err != nil {
			w.errorf(CodeExpand, w.at(), "The expansion failed", "The text %s: %v.", t.Name, rootCause(err))
			return bk.State{}, false
		}
		w.undefined(data, out.Unmatched)
		data = out.Result
	}
	return bk.Scratch().File(bk.Mkfile(t.Name, 0o644, []byte(data)),
		bk.WithCustomName("[internal] preparing inline document"), bk.Platform(w.s.platform)), true
}

// apply adds a copy to the stage, as a layer of its own with link.
func (w *lowering) apply(s *ir.Copy, c copyWords, name string, action *bk.FileAction) {
	opts := []bk.ConstraintsOpt{bk.WithCustomName(name), w.l.location(s.Range)}
	if w.noCache(&s.StepMeta) {
		opts = append(opts, bk.IgnoreCache)
	}
	merges := w.l.opt.Caps == nil || w.l.opt.Caps.Supports(pb.CapMergeOp) == nil
	if !s.Link || c.chmod != "" || !merges {
		w.s.state = w.s.state.File(action, opts...)
		return
	}
	group := name // the same in every run
	copied := append([]bk.ConstraintsOpt{bk.Platform(w.s.platform)}, opts...)
	copied = append(copied, bk.ProgressGroup(group, name, true))
	merged := append(slices.Clone(opts), bk.ProgressGroup(group, name, false), bk.WithCustomName("LINK "+name))
	w.s.state = w.s.state.WithOutput(bk.Merge([]bk.State{w.s.state, bk.Scratch().File(action, copied...)}, merged...).Output())
}

// copyText is a copy as a Dockerfile would say it, for names and history.
func copyText(s *ir.Copy, c copyWords) string {
	text := "COPY"
	if s.Add || s.Unpack != nil && *s.Unpack {
		text = "ADD"
	}
	if s.Parents {
		text += " --parents"
	}
	if c.chown != "" {
		text += " --chown=" + c.chown
	}
	if c.chmod != "" {
		text += " --chmod=" + c.chmod
	}
	for _, src := range c.src {
		text += " " + src
	}
	for _, t := range s.Texts {
		text += " <<" + t.Name
	}
	dest, ok := s.Dest.Const()
	if !ok {
		dest = c.dest
	}
	return text + " " + dest
}

// source is the file system that a copy or a mount reads, of which it reads
// paths.
func (w *lowering) source(src ir.Source, paths []string) (bk.State, bool) {
	switch s := src.(type) {
	case ir.ContextSource:
		abs := make([]string, len(paths))
		for i, p := range paths {
			abs[i] = path.Join("/", p)
		}
		return w.contextState(s.Context, abs, s.Platform), true
	case ir.StageSource:
		st := w.l.stage(w.b, s.Stage)
		if st == nil {
			return bk.State{}, false
		}
		w.s.use(st)
		if s.Output != "" {
			return st.output(s.Output), true
		}
		return st.state, true
	case ir.ImageSource:
		key, _, err := w.l.imageKey(w.b, s.Ref, sourcePlatform(s, w.s.ir))
		img := w.l.images[key]
		if err != nil || img == nil || img.failed {
			return bk.State{}, false
		}
		return w.l.imageState(img, w.b, "FROM "+img.ref, s.Range), true
	case ir.ScratchSource, nil:
		return bk.Scratch(), true
	case ir.TextSource:
		// A stage of its own in a Dockerfile, which copies the text.
		st, ok := w.text(s.Text)
		return bk.Scratch().File(bk.Copy(st, s.Text.Name, "/", &bk.CopyInfo{CreateDestPath: true})), ok
	}
	panic("llb: unknown source")
}
