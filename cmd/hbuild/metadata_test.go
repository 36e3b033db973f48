package main

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/hbuild/hbuild/llb/solve"
)

const (
	metadataDoc    = "../../spec/metadata.md"
	metadataSchema = "../../spec/metadata.schema.json"
)

// exampleBlock is the module and the file of spec/metadata.md.
var exampleBlock = regexp.MustCompile("(?s)```(hcl|json)\n(.*?)```")

// TestMetadataExample builds what the documentation builds, and gets the file that
// it shows; -update writes it anew. Digests, sizes and times differ.
func TestMetadataExample(t *testing.T) {
	data, err := os.ReadFile(metadataDoc)
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, m := range exampleBlock.FindAllStringSubmatch(string(data), -1) {
		blocks[m[1]] = m[2]
	}
	m := newModule(t, "-- hbuild.hcl --\n"+blocks["hcl"])
	id := unique()
	m.build("image", "--var", "greeting=hello-"+id, "--metadata-file", "metadata.json").exits(1)
	text := strings.ReplaceAll(m.read("metadata.json"), "hello-"+id, "hello")
	text = strings.ReplaceAll(text, "linux/"+runtime.GOARCH, "linux/amd64")
	if *update {
		size := len("hello\n")
		text = strings.ReplaceAll(text, fmt.Sprintf(`"size": %d`, size+len("-"+id)), fmt.Sprintf(`"size": %d`, size))
		doc := strings.Replace(string(data), blocks["json"], text, 1)
		if err := os.WriteFile(metadataDoc, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, got := timeless(blocks["json"]), timeless(text)
	if want != got {
		diff, _ := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: difflib.SplitLines(want), B: difflib.SplitLines(got), FromFile: "spec/metadata.md", ToFile: "metadata.json", Context: 3})
		t.Errorf("another file than the documentation shows; go test ./cmd/hbuild -run MetadataExample -update writes it anew\n%s", diff)
	}
	checkSchema(t, []byte(blocks["json"]))
}

var (
	numbers = regexp.MustCompile(`("(?:duration_ms|size)": )\d+`)
	digests = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
)

func timeless(text string) string {
	return digests.ReplaceAllString(numbers.ReplaceAllString(text, "${1}0"), "sha256:…")
}

// checkSchema validates a metadata file.
func checkSchema(t *testing.T, data []byte) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile(metadataSchema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Errorf("%v\n%s", err, data)
	}
}

// TestMetadataSchema validates what different calls write, and that the schema
// refuses what is wrong.
func TestMetadataSchema(t *testing.T) {
	m := newModule(t, gated)
	id := "id=" + unique()
	for _, c := range []struct {
		args []string
		exit int
	}{
		{[]string{"build", "all"}, 1},
		{[]string{"build", "all", "--var", "code=0", "--platform", "linux/amd64,linux/arm64", "-o", "type=oci,dest=out.tar", "image"}, 0},
		{[]string{"build", "image", "--var", "code=0", "--platform", "linux/amd64,linux/arm64", "-o", "type=oci,dest=out.tar"}, 0},
		{[]string{"build", "stage.base", "artifact.base", "unit"}, 0},
		{[]string{"test"}, 1},
		{[]string{"build", "free", "-o", "type=nonsense"}, 2},
		{[]string{"build", "free", "--push"}, 2},
	} {
		os.Remove(m.path("md.json"))
		out := m.run(append(c.args, "--var", id, "--metadata-file", "md.json", "--progress", "plain")...)
		if out.code != c.exit {
			t.Errorf("%v: exit code %d\n%s", c.args, out.code, out.stderr)
		}
		if data, err := os.ReadFile(m.path("md.json")); err == nil {
			checkSchema(t, data)
		} else if c.exit != 2 {
			t.Errorf("%v: no file", c.args)
		}
	}
	schema, err := jsonschema.NewCompiler().Compile(metadataSchema)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{}`, `{"version":2}`, `{"version":1,"result":"done","steps_run":0,"steps_cached":0,"bytes_sent":0,"duration_ms":0,"tests":{},"targets":{"target.a":{"result":"failed"}}}`} {
		var doc any
		if err := json.Unmarshal([]byte(bad), &doc); err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

// TestMetadataIsDocumented holds the fields of the types against the tables of the
// documentation and against the schema.
func TestMetadataIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(metadataDoc)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := os.ReadFile(metadataSchema)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(ty reflect.Type) {
		switch ty.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(ty.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[ty] || !strings.HasSuffix(ty.PkgPath(), "llb/solve") {
			return // an OCI descriptor is documented elsewhere
		}
		seen[ty] = true
		for i := range ty.NumField() {
			f := ty.Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
				if !strings.Contains(string(doc), "| `"+name+"` |") || !strings.Contains(string(schema), `"`+name+`":`) {
					t.Errorf("%s.%s (%q) is not documented, or not in the schema", ty.Name(), f.Name, name)
				}
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[solve.Metadata]())
	if len(seen) < 6 {
		t.Errorf("%d types", len(seen))
	}
}
