package lang

import (
	"bytes"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Loader loads and resolves the modules of one file system, each once however
// often it is called. What was asked for by [Loader.Start] is read on all
// processors while the caller goes on. It is safe for concurrent use.
type Loader struct {
	fsys     fs.FS
	builtins Builtins
	slots    chan struct{}

	mu      sync.Mutex
	loading map[string]*loading
}

// loading is a module that is being read; the fields are set once done is closed.
type loading struct {
	done   chan struct{}
	module *Module
	diags  hcl.Diagnostics
}

// NewLoader prepares to load modules of fsys, in which the given names are
// built in.
func NewLoader(fsys fs.FS, b Builtins) *Loader {
	return &Loader{fsys: fsys, builtins: b, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), loading: map[string]*loading{}}
}

// Start begins to load the module in a directory; sets are --set flags for it
// alone.
func (l *Loader) Start(dir string, sets []string) { l.start(dir, sets) }

func (l *Loader) start(dir string, sets []string) *loading {
	key := strings.Join(append([]string{dir}, sets...), "\x00")
	l.mu.Lock()
	defer l.mu.Unlock()
	if m := l.loading[key]; m != nil {
		return m
	}
	m := &loading{done: make(chan struct{})}
	l.loading[key] = m
	go func() {
		l.slots <- struct{}{}
		defer func() { <-l.slots; close(m.done) }()
		m.module, m.diags = Load(l.fsys, dir, LoadOptions{Sets: sets})
		m.diags = append(m.diags, Resolve(m.module, l.builtins)...)
	}()
	return m
}

// Load returns the resolved module in a directory, and what is wrong with it. All
// callers get one module, which they must not change.
func (l *Loader) Load(dir string, sets []string) (*Module, hcl.Diagnostics) {
	m := l.start(dir, sets)
	<-m.done
	return m.module, m.diags
}

// IsWorkspace reports whether the files of a directory hold a workspace block,
// which makes it the root of the modules below.
func IsWorkspace(fsys fs.FS, dir string) bool {
	names, _, _ := moduleFiles(fsys, dir)
	for _, name := range names {
		data, err := fs.ReadFile(fsys, path.Join(dir, name))
		if err != nil || !bytes.Contains(data, []byte(workspaceBlock)) {
			continue
		}
		file, _ := hclsyntax.ParseConfig(data, name, hcl.InitialPos)
		if body, ok := file.Body.(*hclsyntax.Body); ok {
			for _, b := range body.Blocks {
				if b.Type == workspaceBlock {
					return true
				}
			}
		}
	}
	return false
}
