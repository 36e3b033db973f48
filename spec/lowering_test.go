package spec

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestLowering reads the tables of lowering.md: each row names a case, and the
// case is what the row's mark says.
func TestLowering(t *testing.T) {
	text, err := os.ReadFile("lowering.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| .* \| (\w+) \| \[(\w+)\]\((testdata/\w+\.txtar)\) \|$`)
	seen := map[string]string{}
	marks := map[string]int{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		mark, name, file := m[1], m[2], m[3]
		if old := seen[name]; old != "" && old != mark {
			t.Errorf("%s is %s in one row and %s in another", name, old, mark)
		}
		seen[name] = mark
		marks[mark]++
		if filepath.Base(file) != name+".txtar" {
			t.Errorf("the link %q points at %s", name, file)
		}
		c, err := readGolden(file)
		if err != nil {
			t.Error(err)
			continue
		}
		_, lowered := c.info["lowered"]
		emitted := c.want["Dockerfile"] != ""
		if c.want["llb"] == "" {
			t.Errorf("%s: the case is not built", name)
		}
		switch mark {
		case "exact":
			if lowered || !emitted {
				t.Errorf("%s is exact, and its case is not", name)
			}
		case "lowered":
			if !lowered || !emitted {
				t.Errorf("%s is lowered, and its case does not say why", name)
			}
		case "unsupported":
			if emitted {
				t.Errorf("%s is unsupported, and its case is emitted", name)
			}
		default:
			t.Errorf("%s: no mark is called %q", name, mark)
		}
	}
	if marks["exact"] < 30 || marks["lowered"] < 2 || marks["unsupported"] < 8 {
		t.Errorf("the tables have %v rows", marks)
	}
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		c, err := readGolden(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file[:len(file)-len(".txtar")])
		_, lowered := c.info["lowered"]
		special := lowered || c.want["llb"] != "" && c.want["Dockerfile"] == ""
		if special && !slices.Contains([]string{"lowered", "unsupported"}, seen[name]) {
			t.Errorf("%s is not exact, and lowering.md does not say so", name)
		}
	}
}
