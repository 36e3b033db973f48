package funcs

import (
	"errors"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// convertParam converts a value to the type of f's parameter i, as HCL does
// before a call.
func convertParam(f Func, i int, v cty.Value) (cty.Value, error) {
	params := f.Func.Params()
	if i < len(params) {
		return convert.Convert(v, params[i].Type)
	}
	return convert.Convert(v, f.Func.VarParam().Type)
}

// FuzzText: whatever the text, functions that parse it give a result or an
// error, and a template sees nothing but the module.
func FuzzText(f *testing.F) {
	for _, seed := range [][2]string{
		{"Hello, ${name}!", "you"}, {"%{ for c in [name] ~}${c}%{ endfor }", ""}, {"${", "}"}, {"$${x}", "%{"}, {"${file(name)}", "../../etc/passwd"},
		{`(?P<a>x)(y)?`, "xy"}, {`[[:alpha:]]+`, "abc"}, {"/(a|b)*/", "ab"}, {"(", ""}, {"{..,*}/**", "conf"}, {"a{b,[c", "\xff"}, {"%s%[2]d%", "1"},
		{"${templatestring(name, {name = name})}", "${name}"}, {"10.0.0.0/8", "1"}, {"2026-01-02T03:04:05Z", "YYYY"}, {"a,b\n1,2", "x"},
	} {
		f.Add(seed[0], seed[1])
	}
	funcs := Map(testEnv)
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 4096 {
			return // nesting as deep as the text is long is the HCL parser's limit, not ours
		}
		x, y := cty.StringVal(a), cty.StringVal(b)
		vars := cty.ObjectVal(map[string]cty.Value{"name": y})
		for name, args := range map[string][]cty.Value{
			"templatestring": {x, vars}, "templatefile": {x, vars}, "regex": {x, y}, "regexall": {x, y}, "replace": {y, x, y},
			"file": {x}, "fileset": {x, y}, "fileexists": {x}, "jsondecode": {x}, "yamldecode": {x}, "csvdecode": {x},
			"base64decode": {x}, "urldecode": {x}, "formatdate": {y, x}, "timeadd": {x, y}, "timecmp": {x, y}, "uuidv5": {x, y},
			"cidrhost": {x, cty.NumberIntVal(int64(len(b)))}, "cidrsubnets": {x, cty.NumberIntVal(int64(len(b)))}, "cidrnetmask": {x},
		} {
			_, err := funcs[name].Call(args)
			var bug function.PanicError
			if errors.As(err, &bug) {
				t.Errorf("%s(%#v) panics: %v\n%s", name, args, bug.Value, bug.Stack)
			}
		}
	})
}
