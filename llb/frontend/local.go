package frontend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	bk "github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// localTree is a directory of the caller's machine. What the compiler asks for,
// and no more, is sent: a directory is listed without its files' contents, and a
// file is sent alone.
//
// A module with `fileset` walks: a directory, then the ones in it. From the
// second level on everything below the first is listed at once, for a listing
// costs a round trip to the caller, whatever it holds.
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
		if err := t.load(top, true); err != nil {
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
	if !again {
		if err := t.load(dir, false); err != nil {
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

// load lists a directory, or with deep all directories below it as well.
func (t *localTree) load(dir string, deep bool) error {
	var include, exclude []string
	prefix := ""
	if dir != "." {
		prefix = escape(dir) + "/"
		include = []string{escape(dir)}
	}
	hint := "-list:" + dir
	if deep {
		hint += "/**"
	} else {
		exclude = []string{prefix + "*/*"}
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
	return t.add(dir, deep, data)
}

// metadataFile is where a transfer of metadata alone leaves it: for each path the
// length (32 bits, little endian) and the bytes of a message fsutil.types.Stat.
const metadataFile = ".fsutil-metadata"

func (t *localTree) add(dir string, deep bool, data []byte) error {
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
		if deep && isDir && (dir == "." || strings.HasPrefix(st.Path, dir+"/")) {
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
	ref, err := t.solve(bk.IncludePatterns([]string{escape(end)}), bk.SharedKeyHint(t.name+"-file:"+end),
		bk.Differ(bk.DiffNone, false), bk.WithCustomName("[internal] load "+end+" of the build context"))
	if err != nil {
		return nil, err
	}
	data, err := refTree{ctx: t.ctx, ref: ref}.read(end)
	if err == nil {
		t.files[name] = data
	}
	return data, err
}

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
