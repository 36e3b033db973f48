package diag

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// files are the sources of the tests; 12 and 4 are lines of interest.
var files = map[string][]byte{"a b.hcl": []byte("stage \"build\" {\n\tfrom = stage.biuld # né 世界\n}\n\nstage \"x\" {\n  from = [\n    1,\n    2,\n    3,\n    4,\n  ]\n}\n")}

func at(file string, line, col, from, to int) hcl.Range {
	return hcl.Range{Filename: file, Start: hcl.Pos{Line: line, Column: col, Byte: from}, End: hcl.Pos{Line: line, Column: col + to - from, Byte: to}}
}

func sample(t *testing.T) hcl.Diagnostics {
	t.Helper()
	src := string(files["a b.hcl"])
	use := strings.Index(src, "stage.biuld")
	expr, diags := hclsyntax.ParseExpression([]byte("var.token + var.name + var.list + stage.a"), "x", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{
		"var": cty.ObjectVal(map[string]cty.Value{
			"token": cty.StringVal("hunter2").Mark("sensitive"),
			"name":  cty.StringVal("a\n\x1b[31mb"),
			"list":  cty.TupleVal([]cty.Value{cty.StringVal("hunter2").Mark("sensitive")}),
		}),
		"stage": cty.ObjectVal(map[string]cty.Value{"a": cty.UnknownVal(cty.String)}),
	}}
	return hcl.Diagnostics{
		Error("HB2004", at("a b.hcl", 2, 9, use, use+11), `Unknown stage "biuld"`, "No stage is called biuld,\nso: 100%.",
			WithRelated(at("a b.hcl", 1, 7, 6, 13), "stage.build is declared here"), WithFix(at("a b.hcl", 2, 9, use, use+11), "stage.build", "write stage.build"),
			WithHelp("Look twice."), WithEval(expr, ctx)),
		Warning("HB7002", hcl.Range{}, "No place", "It has none."),
	}
}

func printed(t *testing.T, format string, opt PrintOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := Print(&b, format, sample(t), files, opt); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestText(t *testing.T) {
	want := `error[HB2004]: Unknown stage "biuld"
  ╭─ a b.hcl:2:9, in stage "build"
2 │     from = stage.biuld # né 世界
  │            ^^^^^^^^^^^
  ├─ a b.hcl:1:7
1 │ stage "build" {
  │       ------- stage.build is declared here
  ╰─
No stage is called biuld,
so: 100%.
  var.token is sensitive, and not shown
  var.name is "a\n·[31mb"
  var.list is sensitive, and not shown
help: Look twice.
fix: write stage.build

warning[HB7002]: No place
It has none.
`
	if got := printed(t, "text", PrintOptions{}); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTextColorIsOnlyAskedFor(t *testing.T) {
	plain, colored := printed(t, "text", PrintOptions{}), printed(t, "text", PrintOptions{Color: true})
	if strings.Contains(plain, "\x1b") {
		t.Error("colour that nobody asked for")
	}
	if !strings.Contains(colored, "\x1b[1;31merror[HB2004]\x1b[0m") {
		t.Errorf("no colour:\n%q", colored)
	}
	var bare strings.Builder
	for rest := colored; rest != ""; {
		before, after, ok := strings.Cut(rest, "\x1b[")
		bare.WriteString(before)
		if !ok {
			break
		}
		_, rest, _ = strings.Cut(after, "m")
	}
	if bare.String() != plain {
		t.Errorf("colour changes the text:\n%s", bare.String())
	}
}

// TestTextWidth checks that no line of source or of prose is wider than the
// terminal, and that what is marked stays in sight.
func TestTextWidth(t *testing.T) {
	line := "  tags = [" + strings.Repeat(`"registry.example/app", `, 20) + `"BAD", ` + strings.Repeat(`"registry.example/app", `, 20) + "]\n"
	src := "target \"t\" {\n" + line + "}\n"
	from := strings.Index(src, `"BAD"`)
	d := Error("HB3013", at("t.hcl", 2, from-12, from, from+5), "No tag", strings.Repeat("many words ", 40))
	for _, w := range []int{40, 60, 80, 120} {
		var b bytes.Buffer
		if err := Print(&b, "text", hcl.Diagnostics{d}, map[string][]byte{"t.hcl": []byte(src)}, PrintOptions{Width: w}); err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(b.String(), "\n") {
			if width(l) > w {
				t.Errorf("width %d: a line of %d columns: %s", w, width(l), l)
			}
		}
		lines := strings.Split(b.String(), "\n")
		mark := strings.Index(lines[3], "^^^^^")
		if mark < 0 || !strings.HasPrefix(string([]rune(lines[2])[len([]rune(lines[3][:mark])):]), `"BAD"`) {
			t.Errorf("width %d: the mark is not below what it marks:\n%s", w, b.String())
		}
	}
}

// TestTextOfSeveralLines shows the first lines of a long place.
func TestTextOfSeveralLines(t *testing.T) {
	src := string(files["a b.hcl"])
	from, to := strings.Index(src, "[\n"), strings.Index(src, "]")+1
	r := hcl.Range{Filename: "a b.hcl", Start: hcl.Pos{Line: 6, Column: 10, Byte: from}, End: hcl.Pos{Line: 11, Column: 4, Byte: to}}
	var b bytes.Buffer
	if err := Print(&b, "text", hcl.Diagnostics{Error("HB3001", r, "No", "")}, files, PrintOptions{}); err != nil {
		t.Fatal(err)
	}
	want := `error[HB3001]: No
  ╭─ a b.hcl:6:10, in stage "x"
6 │   from = [
  │          ^
7 │     1,
  │     ^^
8 │     2,
  │     ^^
  │ …
  ╰─
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
}

func TestGitHub(t *testing.T) {
	want := "::error file=dir/a b.hcl,line=2,endLine=2,col=9,endColumn=20,title=HB2004%3A Unknown stage \"biuld\"::No stage is called biuld,%0Aso: 100%25.%0Avar.token is sensitive, and not shown%0Avar.name is \"a\\n·[31mb\"%0Avar.list is sensitive, and not shown%0Adir/a b.hcl:1:7: stage.build is declared here%0Ahelp: Look twice.%0Afix: write stage.build\n" +
		"::warning title=HB7002%3A No place::It has none.\n"
	if got := printed(t, "github", PrintOptions{Path: func(s string) string { return "dir/" + s }}); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestJSON(t *testing.T) {
	var got struct {
		FormatVersion string `json:"format_version"`
		Valid         bool
		ErrorCount    int `json:"error_count"`
		WarningCount  int `json:"warning_count"`
		Diagnostics   []struct {
			Severity, Code, Summary, Detail, Help string
			Range                                 *struct {
				Filename   string
				Start, End struct{ Line, Column, Byte int }
			}
			Snippet *struct {
				Context   string
				Code      string
				StartLine int `json:"start_line"`
				From      int `json:"highlight_start_offset"`
				To        int `json:"highlight_end_offset"`
				Values    []struct{ Traversal, Statement string }
			}
			Related []struct{ Message string }
			Fixes   []struct{ Title, Text string }
		}
	}
	text := printed(t, "json", PrintOptions{})
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&got); err == nil {
		t.Error("ranges of related places and fixes are missing") // they are left out of the struct above
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.FormatVersion != "1.0" || got.Valid || got.ErrorCount != 1 || got.WarningCount != 1 || len(got.Diagnostics) != 2 {
		t.Fatalf("%+v", got)
	}
	d := got.Diagnostics[0]
	if d.Severity != "error" || d.Code != "HB2004" || d.Range.Filename != "a b.hcl" || d.Range.Start.Line != 2 || d.Range.Start.Column != 9 {
		t.Errorf("%+v", d)
	}
	if s := d.Snippet; s.Code[s.From:s.To] != "stage.biuld" || s.StartLine != 2 || s.Context != `stage "build"` || len(s.Values) != 3 || s.Values[0].Statement != "is sensitive, and not shown" {
		t.Errorf("%+v", s)
	}
	if len(d.Related) != 1 || len(d.Fixes) != 1 || d.Fixes[0].Text != "stage.build" || d.Help != "Look twice." {
		t.Errorf("%+v", d)
	}
	if got.Diagnostics[1].Range != nil || got.Diagnostics[1].Snippet != nil {
		t.Error("a place where there is none")
	}
	if strings.Contains(text, "hunter2") {
		t.Error("a sensitive value is shown")
	}
	var none bytes.Buffer
	if err := Print(&none, "json", nil, nil, PrintOptions{}); err != nil || !strings.Contains(none.String(), `"valid": true`) || !strings.Contains(none.String(), `"diagnostics": []`) {
		t.Errorf("%v %s", err, none.String())
	}
}

func TestSARIF(t *testing.T) {
	var got sarifLog
	text := printed(t, "sarif", PrintOptions{})
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != "2.1.0" || len(got.Runs) != 1 {
		t.Fatalf("%+v", got)
	}
	run := got.Runs[0]
	if len(run.Results) != 2 || len(run.Tool.Driver.Rules) != 2 {
		t.Fatalf("%+v", run)
	}
	r := run.Results[0]
	if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || run.Tool.Driver.Rules[0].Help == nil || !strings.Contains(run.Tool.Driver.Rules[0].Help.Markdown, "```hcl") {
		t.Errorf("rules: %+v", run.Tool.Driver.Rules)
	}
	loc := r.Locations[0].PhysicalLocation
	if loc.ArtifactLocation.URI != "a%20b.hcl" || loc.Region != (sarifRegion{2, 9, 2, 20}) {
		t.Errorf("%+v", loc)
	}
	if len(r.RelatedLocations) != 1 || r.RelatedLocations[0].Message.Text != "stage.build is declared here" {
		t.Errorf("%+v", r.RelatedLocations)
	}
	if c := r.Fixes[0].ArtifactChanges[0].Replacements[0]; c.InsertedContent.Text != "stage.build" || c.DeletedRegion != (sarifRegion{2, 9, 2, 20}) {
		t.Errorf("%+v", c)
	}
	if run.Results[1].Level != "warning" || len(run.Results[1].Locations) != 0 {
		t.Errorf("%+v", run.Results[1])
	}
}

func TestUnknownFormat(t *testing.T) {
	if err := Print(&bytes.Buffer{}, "xml", nil, nil, PrintOptions{}); err == nil || !strings.Contains(err.Error(), "github") {
		t.Error(err)
	}
}

// TestPlacesOutsideOfTheSource prints ranges that do not fit their file, as after
// a file was changed: without a snippet, and without a panic.
func TestPlacesOutsideOfTheSource(t *testing.T) {
	for _, r := range []hcl.Range{at("a b.hcl", 99, 1, 9999, 10005), at("gone.hcl", 1, 1, 0, 1), at("<--set #1>", 1, 1, 0, 3), at("a b.hcl", 3, 1, 20, 10)} {
		for _, f := range Formats {
			d := Error("HB1001", r, "x", "y", WithRelated(r, "z"), WithFix(r, "a", "b"))
			if err := Print(&bytes.Buffer{}, f, hcl.Diagnostics{d}, files, PrintOptions{Width: 50}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestExplain(t *testing.T) {
	text, ok := Explain(" hb2004 ")
	if !ok || !strings.HasPrefix(text, "HB2004: An unknown stage\n\n") || !strings.Contains(text, "\nWrong:\n\n    stage \"build\" {") || !strings.Contains(text, "\nRight:\n\n") {
		t.Errorf("%v %s", ok, text)
	}
	if _, ok := Explain("HB0000"); ok {
		t.Error("HB0000 is explained")
	}
	for i, e := range Catalogue() {
		if i > 0 && Catalogue()[i-1].Code >= e.Code {
			t.Errorf("%s is out of order", e.Code)
		}
		if strings.HasSuffix(e.Title, ".") || e.Text == "" || !strings.HasSuffix(e.Text, ".") {
			t.Errorf("%s: the title has no full stop and the text is sentences: %q, %q", e.Code, e.Title, e.Text)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct{ name, candidates, want string }{
		{"biuld", "build builder", "build"},
		{"adm64", "amd64 arm64 arm", "amd64"},
		{"goversion", "go_version version", "go_version"},
		{"Build", "build", "build"},
		{"workdr", "workdir user", "workdir"},
		{"zzz", "build test", ""},
		{"x", "y z", ""},
		{"", "a", ""},
	} {
		if got := Nearest(c.name, strings.Fields(c.candidates)); got != c.want {
			t.Errorf("Nearest(%q, %s) is %q, not %q", c.name, c.candidates, got, c.want)
		}
	}
}

func TestSortDropsRepetitions(t *testing.T) {
	a, b := Error("HB1001", at("b", 1, 1, 0, 1), "x", "y"), Error("HB1001", at("a", 1, 1, 5, 6), "x", "y")
	again := Error("HB1001", at("b", 1, 1, 0, 1), "x", "y")
	got := Sort(hcl.Diagnostics{a, again, b})
	if len(got) != 2 || got[0] != b || got[1] != a {
		t.Errorf("%v", got)
	}
}
