package funcs

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"net/url"
	"unicode/utf8"

	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

var encodingRows = []row{
	{Func: Func{
		Name: "base64decode", Func: base64DecodeFunc, Group: GroupEncoding, Params: []string{"string"},
		Doc:     "Decodes base64 to the text it stands for, which must be UTF-8.",
		Example: `base64decode("aGVsbG8=")`, Result: `"hello"`,
	}},
	{Func: Func{
		Name: "base64encode", Func: stringMap(base64Text), Group: GroupEncoding, Params: []string{"string"},
		Doc:     "Encodes the UTF-8 bytes of a string as base64.",
		Example: `base64encode("hello")`, Result: `"aGVsbG8="`,
	}},
	{Func: Func{
		Name: "base64gzip", Func: stringMap(base64Gzip), Group: GroupEncoding, Params: []string{"string"},
		Doc:     "Compresses a string with gzip, without a time, and encodes the result as base64.",
		Example: `startswith(base64gzip("hello"), "H4sI")`, Result: `true`,
	}},
	{Func: Func{
		Name: "csvdecode", Func: stdlib.CSVDecodeFunc, Group: GroupEncoding, Params: []string{"string"},
		Doc:     "Reads comma-separated values as a list of objects, whose attributes the first line names.",
		Example: `csvdecode("os,arch\nlinux,amd64\nlinux,arm64")`, Result: `[{ os = "linux", arch = "amd64" }, { os = "linux", arch = "arm64" }]`,
	}},
	{Func: Func{
		Name: "jsondecode", Func: stdlib.JSONDecodeFunc, Group: GroupEncoding, Params: []string{"string"},
		Doc:     "Reads a JSON document.",
		Example: `jsondecode("{\"ports\": [80, 443]}").ports`, Result: `[80, 443]`,
	}},
	{rule: textual, Func: Func{
		Name: "jsonencode", Func: stdlib.JSONEncodeFunc, Group: GroupEncoding, Params: []string{"value"},
		Doc:     "Writes a value as JSON.",
		Example: `jsonencode({ ports = [80, 443] })`, Result: `"{\"ports\":[80,443]}"`,
	}},
	{Func: Func{
		Name: "urldecode", Func: urlDecodeFunc, Group: GroupEncoding, Params: []string{"string"},
		Doc:     "Decodes text that was encoded for the query of a URL.",
		Example: `urldecode("a+b%2Fc")`, Result: `"a b/c"`,
	}},
	{Func: Func{
		Name: "urlencode", Func: stringMap(url.QueryEscape), Group: GroupEncoding, Params: []string{"string"},
		Doc:     "Encodes text for the query of a URL.",
		Example: `urlencode("a b/c")`, Result: `"a+b%2Fc"`,
	}},
	{Func: Func{
		Name: "yamldecode", Func: ctyyaml.YAMLDecodeFunc, Group: GroupEncoding, Params: []string{"string"},
		Doc:     "Reads a YAML document.",
		Example: `yamldecode("name: app\nports: [80, 443]")`, Result: `{ name = "app", ports = [80, 443] }`,
	}},
	{rule: textual, Func: Func{
		Name: "yamlencode", Func: ctyyaml.YAMLEncodeFunc, Group: GroupEncoding, Params: []string{"value"},
		Doc:     "Writes a value as YAML.",
		Example: `yamlencode({ ports = [80, 443] })`, Result: `"\"ports\":\n- 80\n- 443\n"`,
	}},
}

// stringMap makes a function of one that turns any string into another.
func stringMap(f func(string) string) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "string", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(f(args[0].AsString())), nil
		},
	})
}

func base64Text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func base64Gzip(s string) string {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	// A bytes.Buffer takes everything, so neither call can fail.
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(buf.Bytes())
}

var base64DecodeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "string", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		b, err := base64.StdEncoding.DecodeString(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(0, "this is not base64: %s", err)
		}
		if !utf8.Valid(b) {
			return cty.NilVal, function.NewArgErrorf(0, "the decoded bytes are not UTF-8 text, and a string can hold nothing else")
		}
		return cty.StringVal(string(b)), nil
	},
})

var urlDecodeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "string", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		s, err := url.QueryUnescape(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		if !utf8.ValidString(s) {
			return cty.NilVal, function.NewArgErrorf(0, "the decoded bytes are not UTF-8 text, and a string can hold nothing else")
		}
		return cty.StringVal(s), nil
	},
})
