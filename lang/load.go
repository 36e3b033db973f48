package lang

import (
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"sort"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/hbuild/hbuild/lang/diag"
)

// The names of a module's files.
const (
	MainFile     = "hbuild.hcl"
	FileSuffix   = ".hbuild.hcl"
	OverrideFile = "hbuild.override.hcl"
	VarsFile     = "hbuild.vars.hcl"
)

// Source is a file and its bytes.
type Source struct {
	Name string // how ranges and messages name it
	Data []byte
}

// LoadOptions say what else than the module's own files counts.
type LoadOptions struct {
	// Sources replace the module's files (-f FILE, or standard input), the override
	// file and the vars file among them, which belong to the files beside them.
	Sources []Source
	// Overrides are applied after hbuild.override.hcl, in order.
	Overrides []Source
	// Sets are ADDR.ATTR=VALUE and ADDR.ATTR+=VALUE, applied last.
	Sets []string
}

// IsModule reports whether a directory has hbuild files.
func IsModule(fsys fs.FS, dir string) bool {
	if _, err := fs.Stat(fsys, path.Join(dir, MainFile)); err == nil {
		return true
	}
	names, _, _ := moduleFiles(fsys, dir)
	return len(names) > 0
}

// moduleFiles lists hbuild.hcl and the *.hbuild.hcl beside it, in that order, and says
// whether there is an override file.
func moduleFiles(fsys fs.FS, dir string) (names []string, overridden bool, err error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, false, err
	}
	main := false
	for _, e := range entries {
		switch name := e.Name(); {
		case name == MainFile:
			if main = e.Type().IsRegular(); !main {
				_, err := fs.Stat(fsys, path.Join(dir, MainFile))
				main = err == nil
			}
		case name == OverrideFile:
			overridden = true
		case !e.IsDir() && strings.HasSuffix(name, FileSuffix) && name != FileSuffix:
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if main {
		names = slices.Insert(names, 0, MainFile)
	}
	return names, overridden, nil
}

// Load reads the module in a directory of fsys: its files are parsed (in
// parallel), overridden and decoded. The module is returned even when there are
// errors, with all that could be read.
func Load(fsys fs.FS, dir string, opt LoadOptions) (*Module, hcl.Diagnostics) {
	m := &Module{Dir: dir, Given: len(opt.Sources) > 0, Files: map[string][]byte{}}
	sources, overrides, diags := readSources(fsys, dir, opt)
	if len(diags) > 0 {
		m.lose() // files are missing
	}
	files, ds := m.parseAll(append(sources, overrides...))
	diags = append(diags, ds...)
	bodies := make([]*hclsyntax.Body, len(files))
	for i, f := range files {
		bodies[i] = f.body
		if f.lost {
			m.lose()
		}
		for b := range f.broken {
			if m.broken == nil {
				m.broken = map[*hclsyntax.Block]bool{}
			}
			m.broken[b] = true
			if b.Type == "locals" {
				m.lose(KindLocal)
			}
		}
	}

	own := bodies[:len(sources)]
	for _, body := range bodies[len(sources):] {
		if body != nil {
			body.Blocks = slices.DeleteFunc(body.Blocks, func(b *hclsyntax.Block) bool { return m.broken[b] })
			diags = append(diags, override(own, body)...)
		}
	}
	diags = append(diags, m.applySets(own, opt.Sets)...)
	blocks := 1
	for _, body := range own {
		if body != nil {
			blocks += len(body.Blocks)
		}
	}
	m.Decls, m.byKey = make([]Node, 0, blocks), make(map[declKey]Node, 2*blocks)
	for _, body := range own {
		if body != nil {
			diags = append(diags, m.decodeFile(body)...)
		}
	}
	m.addDefaultContext()
	return m, diags
}

// readSources reads a module's files, and those that override them.
func readSources(fsys fs.FS, dir string, opt LoadOptions) (own, overrides []Source, diags hcl.Diagnostics) {
	if len(opt.Sources) > 0 {
		return opt.Sources, opt.Overrides, nil
	}
	names, overridden, err := moduleFiles(fsys, dir)
	if err != nil || len(names) == 0 {
		at := hcl.Range{}
		diags = append(diags, diag.Error(diag.NoModule, at, "No hbuild files here",
			fmt.Sprintf("The directory %q has no %s and no *%s. Write one, or name a module's directory with -C DIR or a file with -f FILE.", dir, MainFile, FileSuffix)))
	}
	read := func(name string) (out []Source) {
		p := path.Join(dir, name)
		data, err := fs.ReadFile(fsys, p)
		if err != nil {
			diags = append(diags, unreadable(p, err))
			return nil
		}
		return []Source{{Name: p, Data: data}}
	}
	for _, name := range names {
		own = append(own, read(name)...)
	}
	if overridden {
		overrides = read(OverrideFile)
	}
	return own, append(overrides, opt.Overrides...), diags
}

func unreadable(name string, err error) *hcl.Diagnostic {
	return diag.Error(diag.UnreadableFile, hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos},
		"The file cannot be read", fmt.Sprintf("%s: %v.", name, err))
}

// parseAll parses sources on all processors; the result keeps their order.
func (m *Module) parseAll(sources []Source) ([]parsed, hcl.Diagnostics) {
	files := make([]parsed, len(sources))
	found := make([]hcl.Diagnostics, len(sources))
	var wg sync.WaitGroup
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, src := range sources {
		m.Files[src.Name] = src.Data
		wg.Add(1)
		go func() {
			defer wg.Done()
			limit <- struct{}{}
			files[i], found[i] = parseUTF8(src)
			<-limit
		}()
	}
	wg.Wait()
	var diags hcl.Diagnostics
	for _, ds := range found {
		diags = append(diags, ds...)
	}
	return files, diags
}

// Parse parses one file; the body holds what could be read, and is nil when that
// is nothing. Its errors are at the cause of what HCL cannot read.
func Parse(src Source) (*hclsyntax.Body, hcl.Diagnostics) {
	f, diags := parseUTF8(src)
	return f.body, diags
}

func parseUTF8(src Source) (parsed, hcl.Diagnostics) {
	if !utf8.Valid(src.Data) {
		return parsed{lost: true}, hcl.Diagnostics{notUTF8(src)}
	}
	return parse(src)
}

func notUTF8(src Source) *hcl.Diagnostic {
	pos := hcl.InitialPos
	data := src.Data
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			break
		}
		pos.Byte += n
		pos.Column++
		if r == '\n' {
			pos.Line, pos.Column = pos.Line+1, 1
		}
		data = data[n:]
	}
	end := pos
	end.Byte++
	end.Column++
	return diag.Error(diag.NotUTF8, hcl.Range{Filename: src.Name, Start: pos, End: end},
		"The file is not UTF-8", fmt.Sprintf("Byte %d of the file (0x%02x) is not part of a UTF-8 character. Save the file as UTF-8.", pos.Byte, src.Data[pos.Byte]))
}

// addDefaultContext declares context.default where no block does.
func (m *Module) addDefaultContext() {
	if m.byKey[declKey{KindContext, "default"}] != nil {
		return
	}
	c := &Context{Decl: Decl{Kind: KindContext, Name: "default", Body: &hclsyntax.Body{}}}
	c.Index = len(m.Decls)
	m.Decls = append(m.Decls, c)
	m.byKey[declKey{KindContext, "default"}] = c
}

// Directive begins a comment line that speaks to hbuild: `# hbuild: allow HB7001`.
const Directive = "hbuild:"

// CommentAbove returns the comment lines that stand directly above a range,
// without their markers and without directives; nil when there are none.
func (m *Module) CommentAbove(r hcl.Range) []string {
	lines := m.LinesAbove(r)
	kept := lines[:0]
	for _, l := range lines {
		if !strings.HasPrefix(l, Directive) {
			kept = append(kept, l)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// LinesAbove is [Module.CommentAbove] with directives.
func (m *Module) LinesAbove(r hcl.Range) []string {
	data := m.Files[r.Filename]
	if r.Start.Byte > len(data) {
		return nil
	}
	var out []string
	end := lineStart(data, r.Start.Byte)
	for end > 0 {
		start := lineStart(data, end-1)
		line := strings.TrimSpace(string(data[start : end-1]))
		text, ok := strings.CutPrefix(line, "#")
		if !ok {
			if text, ok = strings.CutPrefix(line, "//"); !ok {
				break
			}
		}
		out = append(out, strings.TrimPrefix(text, " "))
		end = start
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

func lineStart(data []byte, i int) int {
	for i > 0 && data[i-1] != '\n' {
		i--
	}
	return i
}
