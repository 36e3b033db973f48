package funcs

import (
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/hbuild/hbuild/lang/diag"
)

func fileRows(files moduleFiles) []row {
	return []row{
		{Func: Func{
			Name: "file", Func: files.function(cty.String, files.text), Group: GroupFile, Params: []string{"path"},
			Doc:     "Reads a file of the module as text, which must be UTF-8 (and is normalized to NFC, as every string is).",
			Example: `file("VERSION")`, Result: `"1.2.3\n"`,
		}},
		{Func: Func{
			Name: "filebase64", Func: files.function(cty.String, files.base64), Group: GroupFile, Params: []string{"path"},
			Doc:     "Reads the bytes of a file of the module as base64.",
			Example: `filebase64("VERSION")`, Result: `"MS4yLjMK"`,
		}},
		{Func: Func{
			Name: "filebase64sha256", Func: files.digest(sha256Base64), Group: GroupHash, Params: []string{"path"},
			Doc:     "Gives the SHA-256 digest of a file of the module in base64.",
			Example: `filebase64sha256("VERSION")`, Result: `"2C80rpqkG8Sgy1KaGsCJj+0J1rR5+xzETLZsNPFe6E0="`,
		}},
		{Func: Func{
			Name: "filebase64sha512", Func: files.digest(sha512Base64), Group: GroupHash, Params: []string{"path"},
			Doc:     "Gives the SHA-512 digest of a file of the module in base64.",
			Example: `substr(filebase64sha512("VERSION"), 0, 16)`, Result: `"h2p5Ce3Avf4qcS/w"`,
		}},
		{Func: Func{
			Name: "fileexists", Func: files.function(cty.Bool, files.exists), Group: GroupFile, Params: []string{"path"},
			Doc:     "Tells whether the module has a file; a directory is an error.",
			Example: `fileexists("go.sum")`, Result: `false`,
		}},
		{Func: Func{
			Name: "filemd5", Func: files.digest(md5Hex), Group: GroupHash, Params: []string{"path"},
			Doc:     "Gives the MD5 digest of a file of the module in hexadecimal.",
			Example: `filemd5("VERSION")`, Result: `"e316640a77b2a412ac0fe91cb85078c4"`,
		}},
		{Func: Func{
			Name: "fileset", Func: files.fileset(), Group: GroupFile, Params: []string{"path", "pattern"},
			Doc:     "Gives the files under a directory of the module whose paths from there match a pattern (*, ?, [a-z], {a,b}; ** for any directories), as a set.",
			Example: `fileset("conf", "**/*.conf")`, Result: `["nginx.conf", "sites/default.conf"]`,
		}},
		{Func: Func{
			Name: "filesha1", Func: files.digest(sha1Hex), Group: GroupHash, Params: []string{"path"},
			Doc:     "Gives the SHA-1 digest of a file of the module in hexadecimal.",
			Example: `filesha1("VERSION")`, Result: `"7504b4202587c6a675b7b43132954cbdfa403a90"`,
		}},
		{Func: Func{
			Name: "filesha256", Func: files.digest(sha256Hex), Group: GroupHash, Params: []string{"path"},
			Doc:     "Gives the SHA-256 digest of a file of the module in hexadecimal.",
			Example: `filesha256("VERSION")`, Result: `"d82f34ae9aa41bc4a0cb529a1ac0898fed09d6b479fb1cc44cb66c34f15ee84d"`,
		}},
		{Func: Func{
			Name: "filesha512", Func: files.digest(sha512Hex), Group: GroupHash, Params: []string{"path"},
			Doc:     "Gives the SHA-512 digest of a file of the module in hexadecimal.",
			Example: `substr(filesha512("VERSION"), 0, 16)`, Result: `"876a7909edc0bdfe"`,
		}},
	}
}

// moduleFiles reads what a module's functions may read.
type moduleFiles struct{ env Env }

// location is a path as a call gives it and as the file system has it.
type location struct {
	written string // cleaned
	full    string // in Env.FS
}

var driveLetter = regexp.MustCompile(`^[A-Za-z]:([/\\]|$)`)

// locate confines a path to Env.FS. The argument number is where an error is
// reported.
func (m moduleFiles) locate(arg int, p string) (location, error) {
	switch {
	case m.env.FS == nil:
		return location{}, function.NewArgErrorf(arg, "no files can be read here, because there is no module directory")
	case p == "":
		return location{}, function.NewArgErrorf(arg, `the path is empty; "." is the module's directory`)
	case path.IsAbs(p) || driveLetter.MatchString(p) || strings.HasPrefix(p, `\\`):
		return location{}, function.NewArgErrorf(arg, "%q is an absolute path, and only files of the module can be read; write a path relative to the module's directory", p)
	case p == "~" || strings.HasPrefix(p, "~/"):
		return location{}, function.NewArgErrorf(arg, "%q is in a home directory, and only files of the module can be read; write a path relative to the module's directory", p)
	}
	full := path.Join(m.env.Dir, p)
	if full == ".." || strings.HasPrefix(full, "../") {
		return location{}, function.NewArgErrorf(arg, "%q leaves the directory that the module may read; move the file into it, or use a context, which may be any directory", p)
	}
	return location{path.Clean(p), full}, nil
}

// failure explains an error of the file system about loc. What the error
// itself says about paths of the host is left out.
func (m moduleFiles) failure(arg int, what string, loc location, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return function.NewArgErrorf(arg, "the module has no %s %q%s", what, loc.written, m.didYouMean(loc))
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	return function.NewArgErrorf(arg, "%q cannot be read: %s", loc.written, err)
}

// didYouMean looks for the first part of a path that does not exist and names
// its neighbour that is most like it.
func (m moduleFiles) didYouMean(loc location) string {
	parts := strings.Split(loc.written, "/")
	for i, part := range parts {
		dir := path.Join(m.env.Dir, path.Join(parts[:i]...))
		if _, err := fs.Stat(m.env.FS, path.Join(dir, part)); err == nil {
			continue
		}
		entries, err := fs.ReadDir(m.env.FS, dir)
		if err != nil {
			return ""
		}
		names := make([]string, len(entries))
		for j, e := range entries {
			names[j] = e.Name()
		}
		near := diag.Nearest(part, names)
		if near == "" {
			return ""
		}
		meant := slices.Clone(parts)
		meant[i] = near
		return ` (did you mean "` + strings.Join(meant, "/") + `"?)`
	}
	return ""
}

// open opens a regular file for reading.
func (m moduleFiles) open(p string) (fs.File, location, error) {
	loc, err := m.locate(0, p)
	if err != nil {
		return nil, loc, err
	}
	f, err := m.env.FS.Open(loc.full)
	if err != nil {
		return nil, loc, m.failure(0, "file", loc, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = m.failure(0, "file", loc, err)
	case info.IsDir():
		err = function.NewArgErrorf(0, "%q is a directory; fileset lists the files in one", loc.written)
	case !info.Mode().IsRegular():
		// Reading a pipe or a device would wait, or never end.
		err = function.NewArgErrorf(0, "%q is not a regular file", loc.written)
	}
	if err != nil {
		_ = f.Close()
		return nil, loc, err
	}
	return f, loc, nil
}

func (m moduleFiles) read(p string) ([]byte, location, error) {
	f, loc, err := m.open(p)
	if err != nil {
		return nil, loc, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return nil, loc, m.failure(0, "file", loc, err)
	}
	return b, loc, nil
}

func (m moduleFiles) readText(p string) (string, location, error) {
	b, loc, err := m.read(p)
	if err != nil {
		return "", loc, err
	}
	if !utf8.Valid(b) {
		return "", loc, function.NewArgErrorf(0, "%q is not UTF-8 text; filebase64 reads any file", loc.written)
	}
	return string(b), loc, nil
}

func (m moduleFiles) text(p string) (cty.Value, error) {
	s, _, err := m.readText(p)
	return cty.StringVal(s), err
}

func (m moduleFiles) base64(p string) (cty.Value, error) {
	b, _, err := m.read(p)
	return cty.StringVal(base64.StdEncoding.EncodeToString(b)), err
}

func (m moduleFiles) exists(p string) (cty.Value, error) {
	loc, err := m.locate(0, p)
	if err != nil {
		return cty.NilVal, err
	}
	info, err := fs.Stat(m.env.FS, loc.full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return cty.False, nil
	case err != nil:
		return cty.NilVal, m.failure(0, "file", loc, err)
	case info.IsDir():
		return cty.NilVal, function.NewArgErrorf(0, "%q is a directory, and fileexists asks about files", loc.written)
	}
	return cty.True, nil
}

func (m moduleFiles) digest(d digest) function.Function {
	return m.function(cty.String, func(p string) (cty.Value, error) {
		f, loc, err := m.open(p)
		if err != nil {
			return cty.NilVal, err
		}
		defer f.Close()
		h := d.new()
		if _, err := io.Copy(h, f); err != nil {
			return cty.NilVal, m.failure(0, "file", loc, err)
		}
		return cty.StringVal(d.text(h.Sum(nil))), nil
	})
}

// function makes a function of one path.
func (moduleFiles) function(ty cty.Type, f func(p string) (cty.Value, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(ty),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			v, err := f(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			return v, nil
		},
	})
}

func (m moduleFiles) fileset() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "pattern", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			names, err := m.glob(args[0].AsString(), args[1].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			if len(names) == 0 {
				return cty.SetValEmpty(cty.String), nil
			}
			vals := make([]cty.Value, len(names))
			for i, name := range names {
				vals[i] = cty.StringVal(name)
			}
			return cty.SetVal(vals), nil
		},
	})
}

// glob lists the files under the directory p that match pattern. A directory
// that does not exist is an error: an empty answer to a misspelt name would
// silently build nothing.
func (m moduleFiles) glob(p, pattern string) ([]string, error) {
	loc, err := m.locate(0, p)
	if err != nil {
		return nil, err
	}
	info, err := fs.Stat(m.env.FS, loc.full)
	if err != nil {
		return nil, m.failure(0, "directory", loc, err)
	}
	if !info.IsDir() {
		return nil, function.NewArgErrorf(0, "%q is a file; fileset wants the directory to look in", loc.written)
	}
	switch {
	case pattern == "" || !doublestar.ValidatePattern(pattern):
		return nil, function.NewArgErrorf(1, "%q is not a valid pattern; an example is **/*.go", pattern)
	case path.IsAbs(pattern) || slices.Contains(strings.Split(pattern, "/"), ".."):
		return nil, function.NewArgErrorf(1, "%q leaves the directory %q; name the directory to look in as the first argument", pattern, loc.written)
	}
	return m.walk(loc, strings.Split(path.Clean(pattern), "/"))
}

// walk lists the files under loc that match the parts of a pattern. It enters
// the directories that the pattern spells out, and only those when it names no
// others; a directory that the pattern's beginning does not match is not read. A link to a file is a file; a link to a directory is not entered by a
// wildcard (it may be a circle), and one that leads nowhere, or out of the root,
// is not a file of the module.
func (m moduleFiles) walk(loc location, parts []string) ([]string, error) {
	pattern := strings.Join(parts, "/")
	start := slices.IndexFunc(parts, func(part string) bool { return strings.ContainsAny(part, `*?[{\`) })
	if start == -1 {
		start = len(parts) - 1
	}
	deepest := len(parts)
	if strings.Contains(pattern, "**") || strings.Contains(pattern, "{") {
		deepest = math.MaxInt // alternatives may have slashes in them
	}
	from := path.Join(loc.full, path.Join(parts[:start]...))

	var names []string
	err := fs.WalkDir(m.env.FS, from, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(p, loc.full+"/")
		if loc.full == "." {
			name = p
		}
		if e.IsDir() {
			depth := strings.Count(name, "/") + 1
			if p == from || deepest == math.MaxInt || depth < deepest && doublestar.MatchUnvalidated(path.Join(parts[:depth]...), name) {
				return nil
			}
			return fs.SkipDir
		}
		if doublestar.MatchUnvalidated(pattern, name) && m.isFile(p, e) {
			names = append(names, name)
		}
		return nil
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil // the part without wildcards
	case err != nil:
		return nil, m.failure(0, "directory", loc, err)
	}
	return names, nil
}

// isFile tells whether a directory entry is a regular file, or a link to one.
func (m moduleFiles) isFile(p string, e fs.DirEntry) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.Type().IsRegular()
	}
	info, err := fs.Stat(m.env.FS, p)
	return err == nil && info.Mode().IsRegular()
}
