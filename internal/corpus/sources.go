package corpus

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

var fromLine = regexp.MustCompile(`(?im)^[ \t]*FROM[ \t]+\S`)

// BuildKit are the Dockerfiles of BuildKit's own tests: the string literals of the
// frontend's test files, and the parser's test files, read from the module that
// this one requires.
func BuildKit() ([]File, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/moby/buildkit").Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m github.com/moby/buildkit: %w", err)
	}
	frontend := filepath.Join(strings.TrimSpace(string(out)), "frontend", "dockerfile")
	tests, err := filepath.Glob(filepath.Join(frontend, "*_test.go"))
	if err != nil {
		return nil, err
	}
	var files []File
	seen := map[string]bool{}
	add := func(name string, data string) {
		if fromLine.MatchString(data) && !seen[data] {
			seen[data] = true
			files = append(files, File{Name: name, Data: []byte(data)})
		}
	}
	for _, t := range tests {
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, t, nil, 0)
		if err != nil {
			return nil, err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			if s, ok := constant(e); ok {
				add(fmt.Sprintf("%s:%d", filepath.Base(t), fset.Position(e.Pos()).Line), s)
				return false
			}
			return true
		})
	}
	for _, dir := range []string{"testfiles", "testfiles-negative"} {
		more, err := filepath.Glob(filepath.Join(frontend, "parser", dir, "*", "Dockerfile"))
		if err != nil {
			return nil, err
		}
		for _, m := range more {
			dt, err := os.ReadFile(m)
			if err != nil {
				return nil, err
			}
			add(filepath.Base(filepath.Dir(dir))+dir+"/"+filepath.Base(filepath.Dir(m)), string(dt))
		}
	}
	return files, nil
}

// constant is the value of a string literal, or of several joined by +.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.ParenExpr:
		return constant(e.X)
	case *ast.BinaryExpr:
		a, ok := constant(e.X)
		b, ok2 := constant(e.Y)
		return a + b, e.Op == token.ADD && ok && ok2
	}
	return "", false
}

// Dir are the Dockerfiles under dir/dockerfiles/*/Dockerfile; a file SOURCE beside
// one says where it comes from.
func Dir(dir string) ([]File, error) {
	names, err := filepath.Glob(filepath.Join(dir, "dockerfiles", "*", "Dockerfile"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no dockerfiles/*/Dockerfile under %s", dir)
	}
	sort.Strings(names)
	var files []File
	for _, n := range names {
		dt, err := os.ReadFile(n)
		if err != nil {
			return nil, err
		}
		rel := filepath.Base(filepath.Dir(n))
		files = append(files, File{Name: rel + " " + origin(filepath.Join(filepath.Dir(n), "SOURCE")), Data: dt})
	}
	return files, nil
}

// origin is "repository path" of a SOURCE file.
func origin(name string) string {
	dt, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	var repo, path string
	for _, l := range strings.Split(string(dt), "\n") {
		if v, ok := strings.CutPrefix(l, "repo: "); ok {
			repo = strings.TrimSuffix(filepath.Base(strings.TrimSuffix(v, "/repo")), ".git")
		}
		if v, ok := strings.CutPrefix(l, "path: "); ok {
			path = v
		}
	}
	return repo + ":" + path
}
