package layering

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	module = "github.com/hbuild/hbuild"
	root   = "../.."
)

// source is one Go file that is part of a program, not of a test.
type source struct {
	dir  string // its folder, relative to the root
	name string
	file *ast.File
}

// sources parses every Go file of the module that is no test.
func sources(t *testing.T) (out []source) {
	t.Helper()
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			// engine is a module of its own; examples are programs to build.
			if rel == "bin" || rel == "engine" || rel == "examples" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && rel != "." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(fset, p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		out = append(out, source{dir: path.Dir(rel), name: rel, file: f})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("found %d files; is %s the module's root?", len(out), root)
	}
	return out
}

// imports returns what a file imports, and the name it uses for it.
func (s source) imports() map[string]string {
	out := map[string]string{}
	for _, im := range s.file.Imports {
		p, _ := strconv.Unquote(im.Path.Value)
		name := path.Base(p)
		if im.Name != nil {
			name = im.Name.Name
		}
		out[p] = name
	}
	return out
}

// selectors returns the names that a file uses of an import.
func (s source) selectors(of string) map[string]bool {
	out := map[string]bool{}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == of {
				out[sel.Sel.Name] = true
			}
		}
		return true
	})
	return out
}

func under(dir, room string) bool {
	return room == "" || dir == room || strings.HasPrefix(dir, room+"/")
}

// roomOf finds the longest room that dir lies under.
func roomOf(dir string) *Room {
	var found *Room
	for i := range Rooms {
		if r := &Rooms[i]; under(dir, r.Dir) && (found == nil || len(r.Dir) > len(found.Dir)) {
			found = r
		}
	}
	return found
}

// violation says what is wrong with an import of the module itself; "" when
// nothing is.
func violation(from, to string) string {
	room := roomOf(from)
	if room == nil {
		return fmt.Sprintf("%s is in no room; add it to the table in internal/layering", from)
	}
	if from == to || under(to, room.Dir) && room.Dir != "lang" && room.Dir != "compiler" && room.Dir != "llb" {
		return ""
	}
	for _, may := range room.May {
		if under(to, may) {
			return ""
		}
	}
	return fmt.Sprintf("%s may not import %s: %s", from, to, room.Reason)
}

func TestImportsGoDown(t *testing.T) {
	for _, s := range sources(t) {
		for p := range s.imports() {
			to, ours := strings.CutPrefix(p, module+"/")
			if !ours {
				continue
			}
			if v := violation(s.dir, to); v != "" {
				t.Errorf("%s: %s", s.name, v)
			}
		}
	}
}

func TestViolationsAreFound(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"lang", "compiler"}, {"lang", "lang/funcs"}, {"lang/diag", "lang"}, {"compiler", "llb"}, {"compiler/ir", "lang"},
		{"compiler/dockerfile", "compiler/eval"}, {"llb", "cmd/hbuild"}, {"llb", "lang"}, {"llb/solve", "compiler/ir"},
		{"cmd/hbuild", "internal/oracle"}, {"internal/oracle", "llb"}, {"nowhere", "lang"},
	} {
		if violation(c.from, c.to) == "" {
			t.Errorf("%s may import %s", c.from, c.to)
		}
	}
	for _, c := range []struct{ from, to string }{
		{"cmd/hbuild", "llb/solve"}, {"llb/build", "llb/solve"}, {"llb", "compiler/dockerfile"}, {"compiler", "compiler/eval"},
		{"compiler/view", "compiler/ir"}, {"internal/lsp", "compiler"}, {"spec/internal/gen", "lang/funcs"},
	} {
		if v := violation(c.from, c.to); v != "" {
			t.Error(v)
		}
	}
}

// TestPure looks for what reaches for the machine, and at the exceptions: which
// names of such a package are used.
func TestPure(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		pure := false
		for _, dir := range Pure {
			pure = pure || under(s.dir, dir)
		}
		if !pure {
			continue
		}
		for p, name := range s.imports() {
			reason, impure := Impure[p]
			if !impure {
				continue
			}
			ex := exception(s.dir, p)
			if ex == nil {
				t.Errorf("%s imports %s, which brings in %s", s.name, p, reason)
				continue
			}
			for sel := range s.selectors(name) {
				used[ex.Dir+" "+p+"."+sel] = true
				if !contains(ex.Names, sel) {
					t.Errorf("%s uses %s.%s; of %s it may use %s: %s", s.name, p, sel, p, strings.Join(ex.Names, ", "), ex.Reason)
				}
			}
		}
	}
	for _, ex := range Exceptions {
		for _, n := range ex.Names {
			if !used[ex.Dir+" "+ex.Import+"."+n] {
				t.Errorf("the exception for %s.%s in %s is not used; remove it", ex.Import, n, ex.Dir)
			}
		}
	}
}

func exception(dir, imp string) *Exception {
	for i, ex := range Exceptions {
		if ex.Dir == dir && ex.Import == imp {
			return &Exceptions[i]
		}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// TestUnreachable asks the go command for everything that the pure packages
// bring with them.
func TestUnreachable(t *testing.T) {
	args := []string{"list", "-deps"}
	for _, dir := range Pure {
		args = append(args, "./"+dir+"/...")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v", strings.Join(args, " "), err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("go list names %d packages", len(deps))
	}
	for _, p := range deps {
		for _, u := range Unreachable {
			rest, hit := strings.CutPrefix(p, u.Prefix)
			if hit && !contains(u.But, rest) {
				t.Errorf("%s is linked into lang and compiler: %s (go list -deps -f '{{.ImportPath}} {{.Imports}}' finds who imports it)", p, u.Reason)
			}
		}
	}
}
