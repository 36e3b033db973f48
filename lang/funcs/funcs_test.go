package funcs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// testEnv is the module of the examples: app is the module, the rest of its
// workspace lies around it.
var testEnv = Env{Dir: "app", FS: fstest.MapFS{
	"app/VERSION":                 {Data: []byte("1.2.3\n")},
	"app/hello.tmpl":              {Data: []byte("Hello, ${name}!\n")},
	"app/list.tmpl":               {Data: []byte("%{ for x in xs ~}\n- ${upper(x)}\n%{ endfor ~}\n")},
	"app/self.tmpl":               {Data: []byte(`${templatefile("self.tmpl", {})}`)},
	"app/logo.png":                {Data: []byte("\x89PNG\xff\xfe")},
	"app/conf/nginx.conf":         {Data: []byte("events {}\n")},
	"app/conf/sites/default.conf": {Data: []byte("server {}\n")},
	"app/conf/notes.txt":          {Data: []byte("x")},
	"shared/common.txt":           {Data: []byte("common")},
	"secret.txt":                  {Data: []byte("at the root")},
}}

func evalIn(t testing.TB, src string, vars map[string]cty.Value) (cty.Value, hcl.Diagnostics) {
	t.Helper()
	expr, diags := hclsyntax.ParseExpression([]byte(src), "t.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatalf("%s: %s", src, diags)
	}
	return expr.Value(&hcl.EvalContext{Variables: vars, Functions: Map(testEnv)})
}

func eval(t testing.TB, src string, vars map[string]cty.Value) cty.Value {
	t.Helper()
	v, diags := evalIn(t, src, vars)
	if diags.HasErrors() {
		t.Fatalf("%s: %s", src, diags)
	}
	return v
}

// text shows a value so that HCL's literal [] equals a list or a set, but 1
// does not equal "1".
func text(t testing.TB, v cty.Value) string {
	t.Helper()
	b, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return fmt.Sprintf("%#v", v)
	}
	return string(b)
}

func TestExamples(t *testing.T) {
	for _, f := range Table(testEnv) {
		got, want := eval(t, f.Example, nil), eval(t, f.Result, nil)
		if text(t, got) != text(t, want) {
			t.Errorf("%s\n\tis      %s\n\tthe table says %s", f.Example, text(t, got), text(t, want))
		}
	}
}

func TestTableIsComplete(t *testing.T) {
	table := Table(testEnv)
	names := make([]string, len(table))
	for i, f := range table {
		names[i] = f.Name
		if f.Group == "" || !strings.HasSuffix(f.Doc, ".") || strings.Contains(f.Doc, ". ") {
			t.Errorf("%s: group %q, doc %q: want a group and one sentence", f.Name, f.Group, f.Doc)
		}
		if !strings.Contains(f.Example, f.Name+"(") {
			t.Errorf("%s: the example %s does not call it", f.Name, f.Example)
		}
		params := len(f.Func.Params())
		if f.Func.VarParam() != nil {
			params++
		}
		if params != len(f.Params) {
			t.Errorf("%s: the table names %d parameters, it has %d", f.Name, len(f.Params), params)
		}
		for j, name := range f.Params {
			if strings.TrimRight(name, ".?") != name && j != len(f.Params)-1 {
				t.Errorf("%s: only the last parameter can be %s", f.Name, name)
			}
		}
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("not sorted or not distinct: %v", names)
	}
	for _, impure := range []string{"timestamp", "plantimestamp", "uuid", "bcrypt", "rsadecrypt", "abspath", "pathexpand"} {
		if slices.Contains(names, impure) {
			t.Errorf("%s depends on more than its arguments and the module", impure)
		}
	}
	m := Map(testEnv)
	for _, f := range table {
		if _, ok := m[f.Name]; !ok {
			t.Errorf("Map has no %s", f.Name)
		}
	}
	if len(m) != len(table) {
		t.Errorf("Map has %d functions, Table %d", len(m), len(table))
	}
	if sig := table[slices.Index(names, "lookup")].Signature(); sig != "lookup(map, key, default?)" {
		t.Errorf("Signature is %s", sig)
	}
}

// TestMapIsTheCallers: changing one map must not change the next.
func TestMapIsTheCallers(t *testing.T) {
	m := Map(Env{})
	delete(m, "join")
	if _, ok := Map(Env{})["join"]; !ok {
		t.Error("a deleted function is gone from other maps too")
	}
}

func TestResults(t *testing.T) {
	for src, want := range map[string]string{
		`abs(0)`:                                                  `0`,
		`alltrue([])`:                                             `true`,
		`alltrue([true, null])`:                                   `false`,
		`anytrue([])`:                                             `false`,
		`anytrue([null, "true"])`:                                 `true`,
		`base64decode(base64encode("grüße"))`:                     `"grüße"`,
		`basename("a/b/")`:                                        `"b"`,
		`can(1 + "x")`:                                            `false`,
		`can(["a"][0])`:                                           `true`,
		`cidrhost("10.0.0.0/8", -1)`:                              `"10.255.255.255"`,
		`cidrhost("fd00:fd12:3456:7890::/72", 34)`:                `"fd00:fd12:3456:7890::22"`,
		`cidrsubnet("fd00::/16", 64, 3)`:                          `"fd00::3:0:0:0/80"`,
		`cidrsubnets("0.0.0.0/0", 1, 8, 1)`:                       ``,
		`cidrsubnets("0.0.0.0/0", 2, 8, 1)`:                       `["0.0.0.0/2","64.0.0.0/8","128.0.0.0/1"]`,
		`cidrsubnets("10.0.0.0/8")`:                               `[]`,
		`cidrsubnets("fd00::/48", 16, 16, 32)`:                    `["fd00::/64","fd00:0:0:1::/64","fd00:0:0:2::/80"]`,
		`coalesce("", 0)`:                                         `"0"`,
		`compact([])`:                                             `[]`,
		`compact(toset(["b", "", "a"]))`:                          `["a","b"]`,
		`contains(toset(["a"]), "a")`:                             `true`,
		`contains([], null)`:                                      `false`,
		`dirname("a")`:                                            `"."`,
		`element(["a", "b"], -1)`:                                 `"b"`,
		`fileexists("conf/nginx.conf")`:                           `true`,
		`file("../shared/common.txt")`:                            `"common"`,
		`file("conf/../VERSION")`:                                 `"1.2.3\n"`,
		`fileset(".", "*")`:                                       `["VERSION","hello.tmpl","list.tmpl","logo.png","self.tmpl"]`,
		`fileset(".", "**/*.{conf,txt}")`:                         `["conf/nginx.conf","conf/notes.txt","conf/sites/default.conf"]`,
		`fileset("..", "shared/*")`:                               `["shared/common.txt"]`,
		`fileset(".", "./conf/*.conf")`:                           `["conf/nginx.conf"]`,
		`fileset(".", "*.zip")`:                                   `[]`,
		`format("%q is %t, %5.1f%%", "a", true, 1.25)`:            `"\"a\" is true,   1.2%"`,
		`index(["a", null], null)`:                                `1`,
		`indent(0, "a\nb")`:                                       `"a\nb"`,
		`jsondecode("[1, \"a\", null]")`:                          `[1,"a",null]`,
		`jsonencode(null)`:                                        `"null"`,
		`length("grüße")`:                                         `5`,
		`length({ a = 1 })`:                                       `1`,
		`length([])`:                                              `0`,
		`length(toset(["a", "a"]))`:                               `1`,
		`lookup({ a = 1 }, "a")`:                                  `1`,
		`lookup({ a = 1 }, "b", null)`:                            `null`,
		`lookup(tomap({ a = 1 }), "b", 2)`:                        `2`,
		`lookup(tomap({ a = "x" }), "b", null)`:                   `null`,
		`matchkeys(["a", "b"], [1, 2], ["2"])`:                    `["b"]`,
		`merge()`:                                                 `{}`,
		`merge({ a = 1 }, null)`:                                  `{"a":1}`,
		`one([])`:                                                 `null`,
		`one(toset(["x"]))`:                                       `"x"`,
		`range(3)`:                                                `[0,1,2]`,
		`regex("(?P<os>[a-z]+)/(?P<arch>.+)", "linux/amd64")`:     `{"arch":"amd64","os":"linux"}`,
		`regexall("(a)(b)?", "aab")`:                              `[["a",null],["a","b"]]`,
		`replace("a.b.c", ".", "-")`:                              `"a-b-c"`,
		`replace("1 + 2", "/(\\d)/", "<$1>")`:                     `"\u003c1\u003e + \u003c2\u003e"`,
		`replace("a/b", "/", "-")`:                                `"a-b"`,
		`signum(0)`:                                               `0`,
		`sum(toset([1, 2]))`:                                      `3`,
		`templatefile("list.tmpl", { xs = ["a", "b"] })`:          `"- A\n- B\n"`,
		`templatestring("$${n}", { n = 1 })`:                      `"1"`,
		`templatestring("$${file(\"VERSION\")}", {})`:             `"1.2.3\n"`,
		`timecmp("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")`: `-1`,
		`tobool(null)`:                                            `null`,
		`toset([1, "1"])`:                                         `["1"]`,
		`transpose({})`:                                           `{}`,
		`try(null, 1)`:                                            `null`,
		`try(tonumber("a"), try(tonumber("b"), "c"))`:             `"c"`,
		`urldecode(urlencode("ä&="))`:                             `"ä\u0026="`,
		`uuidv5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com")`: `"2ed6657d-e927-568b-95e1-2665a8aea6a2"`,
	} {
		if want == "" {
			if _, diags := evalIn(t, src, nil); !diags.HasErrors() {
				t.Errorf("%s is no error", src)
			}
			continue
		}
		if got := text(t, eval(t, src, nil)); got != want {
			t.Errorf("%s is %s, want %s", src, got, want)
		}
	}
}

// TestErrors expects an error that contains the text, underlining the argument.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ src, at, want string }{
		{`file("/etc/passwd")`, `"/etc/passwd"`, `"/etc/passwd" is an absolute path`},
		{`file("C:\\x")`, `"C:\\x"`, `absolute path`},
		{`file("~/x")`, `"~/x"`, `home directory`},
		{`file("../../x")`, `"../../x"`, `"../../x" leaves the directory that the module may read`},
		{`file("conf/../../../x")`, `"conf/../../../x"`, `leaves the directory`},
		{`file("..")`, `".."`, `".." is a directory`},
		{`fileexists("../..")`, `"../.."`, `leaves the directory`},
		{`fileset("../..", "*")`, `"../.."`, `leaves the directory`},
		{`fileset(".", "../*")`, `"../*"`, `leaves the directory`},
		{`fileset(".", "{..,conf}/../*")`, `"{..,conf}/../*"`, `leaves the directory`},
		{`fileset(".", "/etc/*")`, `"/etc/*"`, `leaves the directory`},
		{`fileset(".", "[")`, `"["`, `not a valid pattern`},
		{`fileset("cnf", "*")`, `"cnf"`, `the module has no directory "cnf" (did you mean "conf"?)`},
		{`fileset("VERSION", "*")`, `"VERSION"`, `is a file`},
		{`templatefile("/x", {})`, `"/x"`, `absolute path`},
		{`filesha256("../../x")`, `"../../x"`, `leaves the directory`},
		{`file("")`, `""`, `the path is empty`},
		{`file("conf/ngnix.conf")`, `"conf/ngnix.conf"`, `the module has no file "conf/ngnix.conf" (did you mean "conf/nginx.conf"?)`},
		{`file("cnf/sites/default.conf")`, `"cnf/sites/default.conf"`, `(did you mean "conf/sites/default.conf"?)`},
		{`file("../share/common.txt")`, `"../share/common.txt"`, `(did you mean "../shared/common.txt"?)`},
		{`file("entirely-different")`, `"entirely-different"`, `the module has no file "entirely-different".`},
		{`file("conf")`, `"conf"`, `is a directory; fileset lists`},
		{`fileexists("conf")`, `"conf"`, `is a directory`},
		{`file("logo.png")`, `"logo.png"`, `"logo.png" is not UTF-8 text; filebase64`},
		{`file(null)`, `null`, `must not be null`},
		{`templatefile("hello.tmpl", { nam = 1 })`, `{ nam = 1 }`, `the template uses "name", which is not set (hello.tmpl:1: did you mean "nam"?)`},
		{`templatestring("$${HOME}", {})`, `{}`, `if it is text, write $${HOME}`},
		{`templatestring("$${", {})`, `"$${"`, `the template cannot be read: template:1`},
		{`templatestring("$${x}", { x = [1] })`, `"$${x}"`, `renders to tuple instead of a string`},
		{`templatestring("$${x}", { x = null })`, `"$${x}"`, `renders to null`},
		{`templatestring("$${x.y}", { x = 1 })`, `"$${x.y}"`, `cannot be rendered`},
		{`templatestring("a", { "b c" = 1 })`, `{ "b c" = 1 }`, `"b c" cannot be the name of a variable`},
		{`templatestring("a", "b")`, `"b"`, `an object with the template's variables is required`},
		{`templatefile("self.tmpl", {})`, `"self.tmpl"`, `templatefile cannot be called inside a template`},
		{`templatestring("$${templatestring(t, { t = t })}", { t = "x" })`, `"$${templatestring(t, { t = t })}"`, `templatestring cannot be called inside a template`},
		{`lookup({ alpha = 1 }, "alpa")`, `"alpa"`, `there is no key "alpa" (did you mean "alpha"?)`},
		{`lookup({ alpha = 1 }, "x")`, `"x"`, `give a default`},
		{`lookup({}, "x", 1, 2)`, `2`, `at most one default`},
		{`lookup("a", "x", 1)`, `"a"`, `a map or object is required`},
		{`one([1, 2])`, `[1, 2]`, `has 2`},
		{`log(-1, 2)`, `log(`, `has no result`},
		{`log(8, 1)`, `log(`, `has no result`},
		{`pow(-8, 0.5)`, `pow(`, `has no result`},
		{`pow(10, 400)`, `pow(`, `has no result`},
		{`sum([])`, `[]`, `empty`},
		{`sum([1, null])`, `[1, null]`, `element 1 is null`},
		{`coalesce(null, "")`, `""`, `every value is null or an empty string`},
		{`coalesce()`, `coalesce()`, `every value is null`},
		{`coalesce(["a"], "b")`, `"b"`, `one type`},
		{`index(["a"], "b")`, `"b"`, `no element of the list`},
		{`contains("abc", "b")`, `"abc"`, `a list or set is required`},
		{`length(1)`, `1`, `only collections and strings`},
		{`indent(-1, "a")`, `-1`, `from 0 to`},
		{`replace("a", "/(/", "")`, `"/(/"`, `regular expression`},
		{`regex("(", "a")`, `"("`, `invalid regexp`},
		{`base64decode("?")`, `"?"`, `not base64`},
		{`base64decode("/////w==")`, `"/////w=="`, `not UTF-8`},
		{`timecmp("2026-01-01T00:00:00Z", "today")`, `"today"`, `not an RFC 3339 timestamp`},
		{`uuidv5("nope", "x")`, `"nope"`, `neither dns`},
		{`cidrhost("10.0.0.0/30", 4)`, `4`, `does not accommodate`},
		{`cidrhost("10.0.0.0", 4)`, `"10.0.0.0"`, `not a network in CIDR notation`},
		{`cidrhost("10.0.0.0/8", 1.5)`, `1.5`, `whole number`},
		{`cidrnetmask("fd00::/16")`, `"fd00::/16"`, `IPv6`},
		{`cidrsubnet("10.0.0.0/24", 2, 4)`, `4`, `from 0 to 3; 4`},
		{`cidrsubnet("10.0.0.0/24", 9, 0)`, `9`, `from 0 to 8`},
		{`cidrsubnets("10.0.0.0/24", 1, 1, 1)`, `1`, `no room left`},
		{`matchkeys(["a"], [], ["b"])`, `[]`, `1 values and 0 keys`},
		{`tobool("yes")`, `"yes"`, `only the strings "true" or "false"`},
		{`try()`, `try(`, `at least one expression`},
		{`try(tonumber("a"), tobool("b"))`, `try(`, `none of the expressions`},
	} {
		_, diags := evalIn(t, c.src, nil)
		if len(diags) != 1 {
			t.Errorf("%s: want one error, got %v", c.src, diags)
			continue
		}
		d := diags[0]
		if !strings.Contains(d.Detail, c.want) {
			t.Errorf("%s: %s\n\twant %s", c.src, d.Detail, c.want)
		}
		// HCL starts the range of a quoted string after its quote.
		if rest := c.src[d.Subject.Start.Byte:]; !strings.HasPrefix(rest, strings.Trim(c.at, `"`)) {
			t.Errorf("%s: reported at %s, want %s", c.src, rest, c.at)
		}
	}
}

func TestNoFiles(t *testing.T) {
	_, err := Map(Env{})["file"].Call([]cty.Value{cty.StringVal("x")})
	if err == nil || !strings.Contains(err.Error(), "no module directory") {
		t.Errorf("file without a module: %v", err)
	}
}

// stage stands for a build value of the language.
type stage struct{ Name string }

var stageType = cty.Capsule("stage", reflect.TypeFor[stage]())

func buildVars() map[string]cty.Value {
	build, test := cty.CapsuleVal(stageType, &stage{"build"}), cty.CapsuleVal(stageType, &stage{"test"})
	return map[string]cty.Value{
		"build": build, "test": test,
		"off": cty.NullVal(stageType),
		"svc": cty.ObjectVal(map[string]cty.Value{"api": build, "web": test}),
	}
}

// name shows a value by the names of its stages.
func name(v cty.Value) string {
	switch ty := v.Type(); {
	case !v.IsKnown():
		return "unknown"
	case v.IsNull():
		return "null"
	case ty.Equals(stageType):
		return v.EncapsulatedValue().(*stage).Name
	case ty.IsMapType(), ty.IsObjectType():
		var parts []string
		for it := v.ElementIterator(); it.Next(); {
			k, e := it.Element()
			parts = append(parts, k.AsString()+"="+name(e))
		}
		return "{" + strings.Join(parts, " ") + "}"
	case v.CanIterateElements():
		var parts []string
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			parts = append(parts, name(e))
		}
		if ty.IsSetType() {
			slices.Sort(parts)
		}
		return "[" + strings.Join(parts, " ") + "]"
	case ty == cty.Bool:
		return fmt.Sprint(v.True())
	case ty == cty.Number:
		return v.AsBigFloat().String()
	}
	return v.AsString()
}

func TestBuildValuesGoThroughCollections(t *testing.T) {
	for src, want := range map[string]string{
		`chunklist([build, test, build], 2)`:           `[[build test] [build]]`,
		`coalesce(off, test)`:                          `test`,
		`coalesce(null, off, build)`:                   `build`,
		`coalescelist([], [build])`:                    `[build]`,
		`compact([build, null, off, test])`:            `[build test]`,
		`compact(tolist([off, build]))`:                `[build]`,
		`compact(toset([off, build]))`:                 `[build]`,
		`compact([off])`:                               `[]`,
		`compact([build, "", "a"])`:                    `[build a]`,
		`concat([build], [off], tolist([test]))`:       `[build null test]`,
		`contains([build, off], test)`:                 `false`,
		`contains([build, off], build)`:                `true`,
		`contains([build, off], null)`:                 `true`,
		`contains(toset([build]), build)`:              `true`,
		`distinct([build, test, build])`:               `[build test]`,
		`distinct([off, build, off])`:                  `[null build]`,
		`distinct([null, build, null])`:                `[null build]`,
		`element([build, test], 3)`:                    `test`,
		`flatten([[build, [off]], values(svc)])`:       `[build null build test]`,
		`index([off, build], build)`:                   `1`,
		`keys(svc)`:                                    `[api web]`,
		`length([build, off])`:                         `2`,
		`length(svc)`:                                  `2`,
		`lookup(svc, "api")`:                           `build`,
		`lookup(svc, "nope", null)`:                    `null`,
		`lookup(tomap(svc), "nope", off)`:              `null`,
		`lookup(tomap(svc), "nope", null)`:             `null`,
		`lookup(tomap(svc), "web", build)`:             `test`,
		`lookup({ a = off }, "a", build)`:              `null`,
		`matchkeys([build, test], ["a", "b"], ["b"])`:  `[test]`,
		`matchkeys(["a", "b"], [build, test], [test])`: `[b]`,
		`merge(svc, { web = off }, null)`:              `{api=build web=null}`,
		`merge(tomap(svc), { x = test })`:              `{api=build web=test x=test}`,
		`one([build])`:                                 `build`,
		`one([off])`:                                   `null`,
		`one(toset([build]))`:                          `build`,
		`reverse([build, off, test])`:                  `[test null build]`,
		`setintersection([build, test], [test])`:       `[test]`,
		`setproduct([build, test], ["a"])`:             `[[build a] [test a]]`,
		`setproduct(toset([build]), ["a"])`:            `[[build a]]`,
		`setsubtract([build, test], [test])`:           `[build]`,
		`setunion([build, off], [test, build])`:        `[build null test]`,
		`slice([build, off, test], 1, 3)`:              `[null test]`,
		`tolist([build, off])`:                         `[build null]`,
		`tomap({ a = build, b = null })`:               `{a=build b=null}`,
		`toset([build, build, test])`:                  `[build test]`,
		`try(build.nope, test)`:                        `test`,
		`try(off, test)`:                               `null`,
		`can(build.nope)`:                              `false`,
		`values(svc)`:                                  `[build test]`,
		`zipmap(["a", "b"], [build, off])`:             `{a=build b=null}`,
		`zipmap(["a"], tolist([build]))`:               `{a=build}`,
		`issensitive(build)`:                           `false`,
		`nonsensitive(sensitive(build))`:               `build`,
		`alltrue([build == build, build != test])`:     `true`,
	} {
		if got := name(eval(t, src, buildVars())); got != want {
			t.Errorf("%s is %s, want %s", src, got, want)
		}
	}
}

func TestBuildValuesAreNoText(t *testing.T) {
	for _, src := range []string{
		`format("%s", build)`, `format("%v", build)`, `format("%#v", [build])`, `format("%v", off)`,
		`formatlist("%v", [build])`, `formatlist("%v", svc)`,
		`jsonencode(build)`, `jsonencode(svc)`, `jsonencode([{ a = [build] }])`, `jsonencode(off)`, `jsonencode(tolist([build]))`,
		`yamlencode(build)`, `yamlencode(svc)`,
		`tostring(build)`, `tonumber(build)`, `tobool(build)`, `tostring(off)`,
		`templatefile("hello.tmpl", { name = build })`, `templatestring("$${name}", { name = build })`, `templatestring("$${n.api}", { n = svc })`,
	} {
		_, diags := evalIn(t, src, buildVars())
		if len(diags) == 0 || !strings.Contains(diags[0].Detail, "stage is not text and cannot become part of a string") {
			t.Errorf("%s: %v", src, diags)
		}
	}
	// Parameters that are strings refuse everything that does not convert.
	for _, src := range []string{
		`join("-", [build])`, `upper(build)`, `split(",", build)`, `sort([build])`, `file(build)`, `sha256(build)`,
		`replace(build, "a", "b")`, `base64encode(build)`, `trimspace(build)`, `urlencode(build)`, `transpose({ a = [build] })`,
		`length(build)`, `"${build}x"`, `regex(".*", build)`, `sum([build])`, `cidrhost(build, 1)`, `parseint(build, 10)`,
	} {
		if _, diags := evalIn(t, src, buildVars()); !diags.HasErrors() {
			t.Errorf("%s is no error", src)
		}
	}
}

// exampleArgs gives the arguments of an example that is one call of f.
func exampleArgs(t *testing.T, f Func) ([]cty.Value, bool) {
	expr, _ := hclsyntax.ParseExpression([]byte(f.Example), "t.hcl", hcl.InitialPos)
	call, ok := expr.(*hclsyntax.FunctionCallExpr)
	if !ok || call.Name != f.Name || f.Name == "try" || f.Name == "can" {
		return nil, false
	}
	args := make([]cty.Value, len(call.Args))
	for i, a := range call.Args {
		args[i] = convertedTo(t, f, i, a)
	}
	return args, true
}

func convertedTo(t *testing.T, f Func, i int, a hclsyntax.Expression) cty.Value {
	v, diags := a.Value(&hcl.EvalContext{Functions: Map(testEnv)})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	v, err := convertParam(f, i, v)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestEveryFunctionWithEveryKindOfArgument replaces each argument of each
// example in turn.
func TestEveryFunctionWithEveryKindOfArgument(t *testing.T) {
	tried := 0
	for _, f := range Table(testEnv) {
		args, ok := exampleArgs(t, f)
		if !ok {
			continue
		}
		tried++
		call := func(i int, v cty.Value) (cty.Value, error) {
			v, err := convertParam(f, i, v)
			if err != nil {
				return cty.NilVal, err
			}
			changed := slices.Clone(args)
			changed[i] = v
			result, err := f.Func.Call(changed)
			var bug function.PanicError
			if errors.As(err, &bug) {
				t.Errorf("%s panics with %#v for argument %d: %v", f.Name, v, i, bug.Value)
			}
			if err != nil && strings.Contains(err.Error(), "0xc0") {
				t.Errorf("%s prints a pointer: %s", f.Name, err)
			}
			return result, err
		}
		for i, arg := range args {
			t.Run(fmt.Sprintf("%s/%d", f.Name, i), func(t *testing.T) {
				for _, unknown := range []cty.Value{cty.UnknownVal(arg.Type()), cty.DynamicVal} {
					v, err := call(i, unknown)
					if err != nil {
						t.Errorf("%#v gives an error: %s", unknown, err)
					} else if v.IsWhollyKnown() && !knownAnyway[f.Name] {
						t.Errorf("%#v gives the known %#v", unknown, v)
					}
					v, err = call(i, unknown.Mark(Sensitive))
					if err != nil || !containsMark(v) && !dropsMarks[f.Name] {
						t.Errorf("%#v, sensitive, gives %#v, %v", unknown, v, err)
					}
				}
				if v, err := call(i, arg.Mark(Sensitive)); err != nil || !v.HasMark(Sensitive) && !dropsMarks[f.Name] {
					t.Errorf("a sensitive argument gives %#v, %v", v, err)
				}
				if v, err := call(i, arg.Mark("other")); err != nil || !v.HasMark("other") && f.Name != "issensitive" && !dropsMarks[f.Name] {
					t.Errorf("another mark gives %#v, %v", v, err)
				}
				for _, odd := range oddValues() {
					v, err := call(i, odd)
					if err == nil && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
						if s, _ := v.Unmark(); strings.Contains(s.AsString(), "0xc0") || strings.Contains(s.AsString(), "Name") {
							t.Errorf("%#v is printed: %s", odd, s.AsString())
						}
					}
				}
			})
		}
	}
	if tried < 90 {
		t.Errorf("only %d functions were tried", tried)
	}
}

// knownAnyway: the number of attributes and which there are is in the type.
var knownAnyway = map[string]bool{"keys": true, "length": true, "sensitive": true}

var dropsMarks = map[string]bool{"issensitive": true, "nonsensitive": true}

func containsMark(v cty.Value) bool {
	_, marks := v.UnmarkDeep()
	_, ok := marks[Sensitive]
	return ok
}

// oddValues are what only a mistake would pass to most functions.
func oddValues() []cty.Value {
	unknown := cty.UnknownVal(cty.String)
	vals := []cty.Value{
		cty.NullVal(cty.DynamicPseudoType), cty.NullVal(cty.String), cty.NullVal(cty.List(cty.String)), cty.NullVal(cty.EmptyObject),
		cty.StringVal(""), cty.StringVal("%d %v %[9]s"), cty.StringVal("("), cty.StringVal("\x00/../.."), cty.True,
		cty.Zero, cty.NumberIntVal(-1), cty.NumberFloatVal(0.5), cty.MustParseNumberVal("1e30"), cty.PositiveInfinity, cty.NegativeInfinity,
		cty.EmptyTupleVal, cty.EmptyObjectVal, cty.ListValEmpty(cty.String), cty.MapValEmpty(cty.String), cty.SetValEmpty(cty.String),
		cty.ListValEmpty(cty.DynamicPseudoType), cty.MapValEmpty(cty.DynamicPseudoType),
		cty.ListVal([]cty.Value{cty.NullVal(cty.String), unknown}), cty.SetVal([]cty.Value{unknown, cty.StringVal("a")}),
		cty.TupleVal([]cty.Value{unknown, cty.True, cty.NullVal(cty.DynamicPseudoType), cty.DynamicVal}),
		cty.ListVal([]cty.Value{cty.StringVal("a").Mark(Sensitive), unknown}),
		cty.ObjectVal(map[string]cty.Value{"a": cty.DynamicVal, "b": cty.StringVal("x").Mark(Sensitive), "c": cty.NullVal(cty.String)}),
		cty.UnknownVal(cty.Map(cty.String)), cty.UnknownVal(cty.Set(cty.String)), cty.UnknownVal(cty.Tuple([]cty.Type{cty.String})),
	}
	build := buildVars()["build"]
	return append(vals,
		build, cty.NullVal(stageType), cty.UnknownVal(stageType), build.Mark(Sensitive),
		cty.TupleVal([]cty.Value{build, cty.NullVal(stageType)}), cty.ListVal([]cty.Value{build}), cty.SetVal([]cty.Value{build, cty.UnknownVal(stageType)}),
		cty.ObjectVal(map[string]cty.Value{"a": build}), cty.MapVal(map[string]cty.Value{"a": build}),
	)
}

func TestMarks(t *testing.T) {
	vars := map[string]cty.Value{
		"token":   cty.StringVal("hunter2").Mark(Sensitive),
		"list":    cty.ListVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")}).Mark(Sensitive),
		"mixed":   cty.ObjectVal(map[string]cty.Value{"user": cty.StringVal("me"), "token": cty.StringVal("hunter2").Mark(Sensitive)}),
		"unknown": cty.UnknownVal(cty.String).Mark(Sensitive),
		"path":    cty.StringVal("VERSION").Mark(Sensitive),
	}
	for src, want := range map[string]bool{
		`length(list)`:                           true,
		`length(mixed)`:                          false,
		`upper(token)`:                           true,
		`file("VERSION")`:                        false,
		`file(path)`:                             true,
		`lookup(mixed, "user")`:                  false,
		`lookup(mixed, "token")`:                 true,
		`merge(mixed, { a = 1 }).user`:           false,
		`merge(mixed, { a = 1 }).token`:          true,
		`element([token, "x"], 1)`:               false,
		`format("%s", token)`:                    true,
		`templatestring("$${t}", { t = token })`: true,
		`jsonencode(mixed)`:                      true,
		`sha256(token)`:                          true,
		`try(token, "x")`:                        true,
		`try(unknown, "x")`:                      true,
		`try(nope.nope, token)`:                  true,
		`nonsensitive(token)`:                    false,
		`nonsensitive("plain")`:                  false,
		`sensitive("plain")`:                     true,
		`sensitive(token)`:                       true,
		`issensitive(token)`:                     false,
	} {
		if got := eval(t, src, vars).HasMark(Sensitive); got != want {
			t.Errorf("%s is sensitive: %v, want %v", src, got, want)
		}
	}
	for src, want := range map[string]string{
		`issensitive(token)`: `true`, `issensitive(nonsensitive(token))`: `false`, `issensitive("a")`: `false`,
		`issensitive(unknown)`: `true`, `issensitive(null)`: `false`,
	} {
		if got := text(t, eval(t, src, vars)); got != want {
			t.Errorf("%s is %s, want %s", src, got, want)
		}
	}
	other := eval(t, "nonsensitive(x)", map[string]cty.Value{"x": cty.True.Mark("other").Mark(Sensitive)})
	if !other.HasMark("other") || other.HasMark(Sensitive) {
		t.Errorf("nonsensitive takes other marks away: %#v", other)
	}
	if v := eval(t, "issensitive(x)", map[string]cty.Value{"x": cty.UnknownVal(cty.String)}); v.IsKnown() {
		t.Error("whether an unknown value is sensitive cannot be known")
	}
}

// TestErrorsKeepSecrets: the reason for an error often quotes the argument.
func TestErrorsKeepSecrets(t *testing.T) {
	vars := map[string]cty.Value{"token": cty.StringVal("hunter2").Mark(Sensitive), "obj": cty.ObjectVal(map[string]cty.Value{"t": cty.StringVal("hunter2").Mark(Sensitive)})}
	for _, src := range []string{
		`tobool(token)`, `tonumber(token)`, `parseint(token, 10)`, `file(token)`, `jsondecode(token)`, `regex(token, "x")`, `regex("(", token)`,
		`timecmp(token, token)`, `formatdate("YYYY", token)`, `timeadd(token, "1h")`, `cidrhost(token, 1)`, `uuidv5(token, "x")`, `lookup({}, token)`,
		`fileset(".", "[${token}")`, `templatestring(token, "x")`, `templatestring("$${tonumber(t)}", { t = token })`, `format("%d", token)`,
		`one([token, token])`, `try(tobool(token), tonumber(token))`, `templatestring("$${tonumber(o.t)}", { o = obj })`, `yamldecode("a: [${token}")`,
		`csvdecode("${token},${token}")`, `templatestring("$${a.${token}}", { a = {} })`, `index(["a"], token)`,
	} {
		_, diags := evalIn(t, src, vars)
		if !diags.HasErrors() {
			t.Errorf("%s is no error", src)
		}
		if strings.Contains(diags.Error(), "hunter2") {
			t.Errorf("%s tells the secret: %s", src, diags)
		}
	}
	_, diags := evalIn(t, `timecmp("2026-01-01T00:00:00Z", token)`, vars)
	if !strings.Contains(diags.Error(), "not shown because an argument is sensitive") || diags[0].Subject.Start.Column != 33 {
		t.Errorf("the error is at %s: %s", diags[0].Subject, diags)
	}
}

func TestUnknowns(t *testing.T) {
	vars := map[string]cty.Value{
		"any": cty.DynamicVal, "s": cty.UnknownVal(cty.String), "b": cty.UnknownVal(cty.Bool),
		"set": cty.SetVal([]cty.Value{cty.UnknownVal(cty.String), cty.StringVal("a")}),
	}
	for src, want := range map[string]cty.Type{
		`upper(s)`: cty.String, `upper(any)`: cty.String, `file(s)`: cty.String, `fileset(".", s)`: cty.Set(cty.String),
		`alltrue([true, b])`: cty.Bool, `anytrue([false, b])`: cty.Bool, `contains(set, "b")`: cty.Bool, `length(set)`: cty.Number,
		`one(set)`: cty.String, `sum([1, any])`: cty.Number, `index([s, "a"], "a")`: cty.Number, `coalesce(s, "a")`: cty.String,
		`templatestring("$${x}", { x = s })`: cty.String, `templatestring(s, {})`: cty.String, `format("%s", s)`: cty.String,
		`can(tonumber(s))`: cty.Bool, `try(s, 1)`: cty.DynamicPseudoType, `lookup({ a = 1 }, s)`: cty.DynamicPseudoType,
		`jsondecode(s)`: cty.DynamicPseudoType, `compact(["a", s])`: cty.List(cty.String), `matchkeys(["a"], [s], ["x"])`: cty.List(cty.String),
	} {
		v := eval(t, src, vars)
		if v.IsKnown() || !v.Type().Equals(want) {
			t.Errorf("%s is %#v, want an unknown %s", src, v, want.FriendlyName())
		}
	}
	// What is certain already is known.
	for src, want := range map[string]string{
		`alltrue([false, b])`: `false`, `anytrue([true, b])`: `true`, `contains(set, "a")`: `true`, `contains([s, "a"], "a")`: `true`,
		`length([s, any])`: `2`, `coalesce("a", s)`: `"a"`, `lookup({ a = 1, b = s }, "a")`: `1`, `try(1, s)`: `1`,
		`keys({ a = s })`: `["a"]`, `index(["a", s], "a")`: `0`,
	} {
		if got := text(t, eval(t, src, vars)); got != want {
			t.Errorf("%s is %s, want %s", src, got, want)
		}
	}
}

// TestNestedTryIsLinear: 60 levels evaluated twice each would never end.
func TestNestedTryIsLinear(t *testing.T) {
	src := "1"
	for range 60 {
		src = "try(" + src + ", 2)"
	}
	if got := text(t, eval(t, src, nil)); got != "1" {
		t.Errorf("got %s", got)
	}
}

func BenchmarkMap(b *testing.B) {
	for b.Loop() {
		Map(testEnv)
	}
}

// TestHostDirectory reads real files, with links that lead out of the root.
func TestHostDirectory(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "secret.txt"), "outside")
	write(filepath.Join(dir, "a.txt"), "inside")
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "sub", "b.txt"), "below")
	for link, to := range map[string]string{"out": outside, "out.txt": filepath.Join(outside, "secret.txt"), "in.txt": "a.txt", "loop": ".", "dangling": "nowhere", "linked": "sub"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	funcs := Map(Env{FS: root.FS(), Dir: "."})
	call := func(name string, args ...string) (cty.Value, error) {
		vals := make([]cty.Value, len(args))
		for i, a := range args {
			vals[i] = cty.StringVal(a)
		}
		return funcs[name].Call(vals)
	}
	if v, err := call("file", "in.txt"); err != nil || v.AsString() != "inside" {
		t.Errorf("a link inside the root: %#v, %v", v, err)
	}
	for _, path := range []string{"out.txt", "out/secret.txt", "a.txt/b"} {
		for _, name := range []string{"file", "filebase64", "filesha256"} {
			v, err := call(name, path)
			if err == nil || strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), outside) {
				t.Errorf("%s(%q) gives %#v, %v; want an error without a host path", name, path, v, err)
			}
		}
	}
	for pattern, want := range map[string]string{
		"**": "[a.txt in.txt sub/b.txt]", "*": "[a.txt in.txt]", "*/*": "[sub/b.txt]", "linked/*": "[linked/b.txt]", "sub/b.txt": "[sub/b.txt]",
		"**/*.txt": "[a.txt in.txt sub/b.txt]", "{sub/b,a}.txt": "[a.txt sub/b.txt]", "nope/*": "[]", "sub": "[]", "*/secret.txt": "[]",
	} {
		v, err := call("fileset", ".", pattern)
		if err != nil || name(v) != want {
			t.Errorf("fileset(%q) is %#v, %v; want %s", pattern, v, err, want)
		}
	}
	for _, pattern := range []string{"out/*", "out/secret.txt"} {
		if v, err := call("fileset", ".", pattern); err == nil || strings.Contains(err.Error(), outside) {
			t.Errorf("fileset(%q) is %#v, %v", pattern, v, err)
		}
	}
	if v, err := call("fileset", "linked", "*"); err != nil || name(v) != "[b.txt]" {
		t.Errorf("fileset in a linked directory: %#v, %v", v, err)
	}
}
