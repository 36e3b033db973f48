package frontend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	bk "github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	digest "github.com/opencontainers/go-digest"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/hbuild/hbuild/lang"
)

// localTree is a directory of the caller's machine. A directory is listed without
// its files' contents, and a file is sent when the compiler asks for it.
//
// Each costs a round trip to the caller, whatever it holds, so what will be asked for
// next goes along. A module with `fileset` walks: a directory, then the ones in it;
// from the second level on everything below the first is listed at once. One with
// modules looks into a directory and those beside it: from the second on all beside
// it are listed. A module's files are sent with those of all listed modules, another
// small file with those that have its name in listed directories beside its own: the
// compiler reads services/api/service.json, then services/web/service.json.
//
// It is safe for concurrent use: modules are read side by side.
type localTree struct {
	ctx     context.Context
	client  gateway.Client
	marshal []bk.ConstraintsOpt
	name    string // the local source
	session string

	mu     sync.Mutex
	dirs   map[string]map[string]*fstypes.Stat // listed directories: entries by base name
	walked map[string]bool                     // those that were asked for by list
	links  map[string]string                   // directories that turned out to be links
	files  map[string][]byte
	sent   map[string]gateway.Reference // files that were sent with another
}

func (t *localTree) stat(name string) (*fstypes.Stat, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	st, _, err := t.resolve(name)
	return st, err
}

// resolve follows the links of a name, and says where it ended.
func (t *localTree) resolve(name string) (*fstypes.Stat, string, error) {
	for range 40 {
		if name == "." {
			return rootStat(), name, nil
		}
		entries, err := t.entries(path.Dir(name), false)
		if err != nil {
			return nil, "", err
		}
		st := entries[path.Base(name)]
		if st == nil {
			return nil, "", fs.ErrNotExist
		}
		if to := t.links[path.Dir(name)]; to != "" {
			name = path.Join(to, path.Base(name))
		}
		if !isLink(st) {
			return st, name, nil
		}
		if name = follow(name, st.Linkname); name == "" {
			return nil, "", fs.ErrNotExist
		}
	}
	return nil, "", fmt.Errorf("%s: too many symbolic links", name)
}

func (t *localTree) list(dir string) ([]*fstypes.Stat, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	top := ""
	for d := dir; d != "."; {
		d = path.Dir(d)
		if t.walked[d] {
			top = d
		}
	}
	t.walked[dir] = true
	if t.dirs[dir] == nil && top != "" {
		if err := t.load(top, all); err != nil {
			return nil, err
		}
	}
	entries, err := t.entries(dir, false)
	if err != nil {
		return nil, err
	}
	out := make([]*fstypes.Stat, 0, len(entries))
	for _, st := range entries {
		out = append(out, st)
	}
	return out, nil
}

// entries are a directory's, which is listed if it was not.
func (t *localTree) entries(dir string, again bool) (map[string]*fstypes.Stat, error) {
	if to := t.links[dir]; to != "" {
		dir = to
	}
	if got := t.dirs[dir]; got != nil {
		return got, nil
	}
	if !again && !t.knownElsewhere(dir) {
		if err := t.loadFor(dir); err != nil {
			return nil, err
		}
		return t.entries(dir, true)
	}
	// Not there as a directory: it, or one above it, may be a link.
	st, end, err := t.resolve(dir)
	switch {
	case err != nil:
		return nil, err
	case !fs.FileMode(st.Mode).IsDir() || end == dir:
		return nil, fs.ErrNotExist
	}
	t.links[dir] = end
	return t.entries(end, false)
}

// knownElsewhere reports whether the directory above is listed and has no directory
// of the name.
func (t *localTree) knownElsewhere(dir string) bool {
	above := t.dirs[path.Dir(dir)]
	if dir == "." || above == nil {
		return false
	}
	st := above[path.Base(dir)]
	return st == nil || !fs.FileMode(st.Mode).IsDir()
}

// loadFor lists a directory, and those beside it when one of them was listed.
func (t *localTree) loadFor(dir string) error {
	above := path.Dir(dir)
	for d := range t.dirs {
		if d != "." && dir != "." && path.Dir(d) == above {
			return t.load(above, 2)
		}
	}
	return t.load(dir, 1)
}

// all is a number of levels that no directory has.
const all = 1 << 20

// load lists a directory, with more than one level the directories in it as well.
func (t *localTree) load(dir string, levels int) error {
	var include, exclude []string
	prefix := ""
	if dir != "." {
		prefix = escape(dir) + "/"
		include = []string{escape(dir)}
	}
	hint := "-list:" + dir
	if levels == all {
		hint += "/**"
	} else {
		below := strings.Repeat("/*", levels)
		hint += below[2:]
		exclude = []string{prefix + "*" + below}
	}
	ref, err := t.solve(
		bk.MetadataOnlyTransfer(nil), bk.IncludePatterns(include), bk.ExcludePatterns(exclude),
		bk.SharedKeyHint(t.name+hint), bk.WithCustomName("[internal] list "+dir+" of the build context"),
	)
	if err != nil {
		return err
	}
	data, err := refTree{ctx: t.ctx, ref: ref}.read(metadataFile)
	if err != nil {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	return t.add(dir, levels, data)
}

// metadataFile is where a transfer of metadata alone leaves it: for each path the
// length (32 bits, little endian) and the bytes of a message fsutil.types.Stat.
const metadataFile = ".fsutil-metadata"

func (t *localTree) add(dir string, levels int, data []byte) error {
	found := dir == "."
	listed := map[string]bool{}
	for len(data) >= 4 {
		n := int(binary.LittleEndian.Uint32(data))
		if n > len(data)-4 {
			return errors.New("the listing of the build context ends early")
		}
		st := new(fstypes.Stat)
		if err := st.UnmarshalVT(data[4 : 4+n]); err != nil {
			return fmt.Errorf("the listing of the build context: %w", err)
		}
		data = data[4+n:]
		isDir := fs.FileMode(st.Mode).IsDir()
		if st.Path == dir && isDir {
			found = true
		}
		if isDir && depth(dir, st.Path) < levels {
			listed[st.Path] = true
		}
		parent := path.Dir(st.Path)
		if parent == dir || listed[parent] {
			t.dir(parent)[path.Base(st.Path)] = st
		}
	}
	if found {
		t.dir(dir)
	}
	for d := range listed {
		t.dir(d)
	}
	return nil
}

// depth is how many levels a path lies below a directory; of others it is [all].
func depth(dir, p string) int {
	if dir != "." {
		rest, ok := strings.CutPrefix(p, dir+"/")
		if !ok {
			return all
		}
		p = rest
	}
	return strings.Count(p, "/") + 1
}

func (t *localTree) dir(name string) map[string]*fstypes.Stat {
	if t.dirs[name] == nil {
		t.dirs[name] = map[string]*fstypes.Stat{}
	}
	return t.dirs[name]
}

func (t *localTree) read(name string) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if data, ok := t.files[name]; ok {
		return data, nil
	}
	_, end, err := t.resolve(name)
	if err != nil {
		return nil, err
	}
	if t.sent[end] == nil {
		if err := t.send(t.together(end)); err != nil {
			return nil, err
		}
	}
	data, err := refTree{ctx: t.ctx, ref: t.sent[end]}.read(end)
	if err == nil {
		t.files[name] = data
	}
	return data, err
}

// send asks for files, the first of which is wanted now.
func (t *localTree) send(names []string) error {
	patterns := make([]string, len(names))
	for i, name := range names {
		patterns[i] = escape(name)
	}
	hint, title := names[0], names[0]
	if len(names) > 1 {
		hint = digest.FromString(strings.Join(patterns, "\x00")).String()
		title += fmt.Sprintf(" and %d more", len(names)-1)
	}
	ref, err := t.solve(bk.IncludePatterns(patterns), bk.SharedKeyHint(t.name+"-file:"+hint),
		bk.Differ(bk.DiffNone, false), bk.WithCustomName("[internal] load "+title+" of the build context"))
	if err != nil {
		return err
	}
	for _, name := range names {
		t.sent[name] = ref
	}
	return nil
}

// What is sent with a file: files of at most this size, and at most this many.
const (
	smallFile = 256 << 10
	manyFiles = 500
)

// together are a file and those that are likely to be asked for after it, of the
// directories that were listed.
func (t *localTree) together(name string) []string {
	base, above := path.Base(name), path.Dir(path.Dir(name))
	like := func(dir, other string) bool { return other == base && path.Dir(dir) == above && dir != "." }
	if ofModule(base) {
		like = func(dir, other string) bool { return ofModule(other) && dir != "." } // the root's are there
	}
	var out []string
	for dir, entries := range t.dirs {
		for other, st := range entries {
			p := path.Join(dir, other)
			if like(dir, other) && fs.FileMode(st.Mode).IsRegular() && st.Size <= smallFile && p != name && t.sent[p] == nil {
				out = append(out, p)
			}
		}
	}
	slices.Sort(out)
	return append([]string{name}, out[:min(len(out), manyFiles)]...)
}

// ofModule reports whether a file belongs to a module that is called.
func ofModule(name string) bool { return isModuleFile(name) || name == lang.OverrideFile }

func (t *localTree) solve(opts ...bk.LocalOption) (gateway.Reference, error) {
	st := bk.Local(t.name, append([]bk.LocalOption{bk.SessionID(t.session)}, opts...)...)
	def, err := st.Marshal(t.ctx, t.marshal...)
	if err != nil {
		return nil, err
	}
	res, err := t.client.Solve(t.ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	return res.SingleRef()
}

// escape makes a pattern that matches a path and nothing else.
func escape(p string) string {
	var out strings.Builder
	for i, r := range p {
		if strings.ContainsRune(`*?[\`, r) || i == 0 && r == '!' {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}
