package funcs

import (
	"regexp"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"github.com/zclconf/go-cty/cty/gocty"
)

var stringRows = []row{
	{Func: Func{
		Name: "chomp", Func: stdlib.ChompFunc, Group: GroupString, Params: []string{"string"},
		Doc:     "Removes the newlines at the end of a string.",
		Example: `chomp("hello\n")`, Result: `"hello"`,
	}},
	{Func: Func{
		Name: "endswith", Func: stringTest("suffix", strings.HasSuffix), Group: GroupString, Params: []string{"string", "suffix"},
		Doc:     "Tells whether a string ends with a suffix.",
		Example: `endswith("main.go", ".go")`, Result: `true`,
	}},
	{rule: textual, Func: Func{
		Name: "format", Func: stdlib.FormatFunc, Group: GroupString, Params: []string{"format", "values..."},
		Doc:     "Puts values into a string at its % verbs, as printf does.",
		Example: `format("%s-%03d", "run", 7)`, Result: `"run-007"`,
	}},
	{rule: textual, Func: Func{
		Name: "formatlist", Func: stdlib.FormatListFunc, Group: GroupString, Params: []string{"format", "values..."},
		Doc:     "Formats once for each element of the lists among the values, which must be of one length.",
		Example: `formatlist("%s:%s", "registry.example/app", ["1.2", "latest"])`, Result: `["registry.example/app:1.2", "registry.example/app:latest"]`,
	}},
	{Func: Func{
		Name: "indent", Func: indentFunc, Group: GroupString, Params: []string{"spaces", "string"},
		Doc:     "Puts spaces before every line of a string but the first.",
		Example: `indent(2, "a:\nb\nc")`, Result: `"a:\n  b\n  c"`,
	}},
	{Func: Func{
		Name: "join", Func: stdlib.JoinFunc, Group: GroupString, Params: []string{"separator", "lists..."},
		Doc:     "Joins the strings of one or more lists with a separator.",
		Example: `join("-", ["a", "b"])`, Result: `"a-b"`,
	}},
	{Func: Func{
		Name: "lower", Func: stdlib.LowerFunc, Group: GroupString, Params: []string{"string"},
		Doc:     "Changes the letters of a string to lower case.",
		Example: `lower("HELLO")`, Result: `"hello"`,
	}},
	{Func: Func{
		Name: "regex", Func: stdlib.RegexFunc, Group: GroupString, Params: []string{"pattern", "string"},
		Doc:     "Gives the first match of a regular expression (RE2): the text, a list of its groups, or an object of its named groups; no match is an error.",
		Example: `regex("v(\\d+)\\.(\\d+)", "go-v1.26")`, Result: `["1", "26"]`,
	}},
	{Func: Func{
		Name: "regexall", Func: stdlib.RegexAllFunc, Group: GroupString, Params: []string{"pattern", "string"},
		Doc:     "Gives all matches of a regular expression as a list, each as regex gives it.",
		Example: `regexall("[a-z]+", "1abc2de3")`, Result: `["abc", "de"]`,
	}},
	{Func: Func{
		Name: "replace", Func: replaceFunc, Group: GroupString, Params: []string{"string", "search", "replacement"},
		Doc:     "Replaces every occurrence of a text, or of a regular expression written between slashes, whose groups the replacement may name as $1.",
		Example: `replace("1.26.8", "/\\.\\d+$/", ".x")`, Result: `"1.26.x"`,
	}},
	{Func: Func{
		Name: "split", Func: stdlib.SplitFunc, Group: GroupString, Params: []string{"separator", "string"},
		Doc:     "Splits a string at every separator.",
		Example: `split(",", "foo,bar,baz")`, Result: `["foo", "bar", "baz"]`,
	}},
	{Func: Func{
		Name: "startswith", Func: stringTest("prefix", strings.HasPrefix), Group: GroupString, Params: []string{"string", "prefix"},
		Doc:     "Tells whether a string starts with a prefix.",
		Example: `startswith("linux/amd64", "linux/")`, Result: `true`,
	}},
	{Func: Func{
		Name: "strcontains", Func: stringTest("substring", strings.Contains), Group: GroupString, Params: []string{"string", "substring"},
		Doc:     "Tells whether a string contains another.",
		Example: `strcontains("hello world", "lo w")`, Result: `true`,
	}},
	{Func: Func{
		Name: "strrev", Func: stdlib.ReverseFunc, Group: GroupString, Params: []string{"string"},
		Doc:     "Reverses the characters of a string.",
		Example: `strrev("hello")`, Result: `"olleh"`,
	}},
	{Func: Func{
		Name: "substr", Func: stdlib.SubstrFunc, Group: GroupString, Params: []string{"string", "offset", "length"},
		Doc:     "Cuts a string out of another; a negative offset counts from the end, the length -1 means the rest.",
		Example: `substr("hello world", 1, 4)`, Result: `"ello"`,
	}},
	{Func: Func{
		Name: "title", Func: stdlib.TitleFunc, Group: GroupString, Params: []string{"string"},
		Doc:     "Changes the first letter of each word to upper case.",
		Example: `title("hello world")`, Result: `"Hello World"`,
	}},
	{Func: Func{
		Name: "trim", Func: stdlib.TrimFunc, Group: GroupString, Params: []string{"string", "characters"},
		Doc:     "Removes any of the given characters from both ends of a string.",
		Example: `trim("?!hello?!", "!?")`, Result: `"hello"`,
	}},
	{Func: Func{
		Name: "trimprefix", Func: stdlib.TrimPrefixFunc, Group: GroupString, Params: []string{"string", "prefix"},
		Doc:     "Removes a prefix from a string that has it.",
		Example: `trimprefix("v1.26", "v")`, Result: `"1.26"`,
	}},
	{Func: Func{
		Name: "trimspace", Func: stdlib.TrimSpaceFunc, Group: GroupString, Params: []string{"string"},
		Doc:     "Removes white space from both ends of a string.",
		Example: `trimspace("  hello\n\n")`, Result: `"hello"`,
	}},
	{Func: Func{
		Name: "trimsuffix", Func: stdlib.TrimSuffixFunc, Group: GroupString, Params: []string{"string", "suffix"},
		Doc:     "Removes a suffix from a string that has it.",
		Example: `trimsuffix("main.go", ".go")`, Result: `"main"`,
	}},
	{Func: Func{
		Name: "upper", Func: stdlib.UpperFunc, Group: GroupString, Params: []string{"string"},
		Doc:     "Changes the letters of a string to upper case.",
		Example: `upper("hello")`, Result: `"HELLO"`,
	}},
}

// stringTest makes a function of a question about two strings.
func stringTest(second string, test func(s, t string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "string", Type: cty.String}, {Name: second, Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(test(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// maxIndent keeps a slip of the keyboard from asking for gigabytes of spaces.
const maxIndent = 1000

// indentFunc is stdlib.IndentFunc, which panics when the number is negative.
var indentFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "spaces", Type: cty.Number}, {Name: "string", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		var spaces int
		if err := gocty.FromCtyValue(args[0], &spaces); err != nil || spaces < 0 || spaces > maxIndent {
			return cty.NilVal, function.NewArgErrorf(0, "a whole number from 0 to %d is required", maxIndent)
		}
		pad := "\n" + strings.Repeat(" ", spaces)
		return cty.StringVal(strings.ReplaceAll(args[1].AsString(), "\n", pad)), nil
	},
})

var replaceFunc = function.New(&function.Spec{
	Params: []function.Parameter{
		{Name: "string", Type: cty.String},
		{Name: "search", Type: cty.String},
		{Name: "replacement", Type: cty.String},
	},
	Type: function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		s, search, replacement := args[0].AsString(), args[1].AsString(), args[2].AsString()
		if len(search) < 2 || search[0] != '/' || search[len(search)-1] != '/' {
			return cty.StringVal(strings.ReplaceAll(s, search, replacement)), nil
		}
		pattern, err := regexp.Compile(search[1 : len(search)-1])
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(1, "text between slashes is a regular expression, and this one is invalid: %s", err)
		}
		return cty.StringVal(pattern.ReplaceAllString(s, replacement)), nil
	},
})
