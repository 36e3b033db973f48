package importer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/hbuild/hbuild/compiler/importer"
	"github.com/hbuild/hbuild/lang/diag"
)

// importExample imports the Dockerfile of an example, as its flags say.
func importExample(t *testing.T, files map[string]string) (*importer.Result, hcl.Diagnostics) {
	t.Helper()
	src, ok := files["Dockerfile"]
	if !ok {
		t.Fatal("no Dockerfile")
	}
	opt := importer.Options{Args: map[string]string{}}
	words := strings.Fields(files[diag.FlagsFile])
	for i := 0; i+1 < len(words); i += 2 {
		switch value := words[i+1]; words[i] {
		case "--target":
			opt.Target = value
		case "--build-arg":
			k, v, _ := strings.Cut(value, "=")
			opt.Args[k] = v
		default:
			t.Fatalf("unknown flag %s", words[i])
		}
	}
	return importer.Import([]byte(src), opt)
}

// TestCatalogue imports the examples of the importer's codes: the wrong one has
// that mistake and no other, the right one has none and passes the language's
// checks.
func TestCatalogue(t *testing.T) {
	for code := range importer.Titles {
		t.Run(string(code), func(t *testing.T) {
			e, ok := diag.Lookup(code)
			if !ok || e.Title == "" || e.Text == "" {
				t.Fatal("not documented")
			}
			_, diags := importExample(t, e.Wrong)
			if len(diags) == 0 || slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return diag.InfoOf(d).Code != code }) {
				t.Errorf("the wrong example gives\n%s", messages(diags))
			}
			res, diags := importExample(t, e.Right)
			if len(diags) > 0 {
				t.Fatalf("the right example gives\n%s", messages(diags))
			}
			checks(t, res.HCL)
		})
	}
}
