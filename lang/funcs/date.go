package funcs

import (
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// There is no function that reads the clock: git.commit's time, or a variable,
// is where a date comes from.
var dateRows = []row{
	{Func: Func{
		Name: "formatdate", Func: stdlib.FormatDateFunc, Group: GroupDate, Params: []string{"format", "timestamp"},
		Doc:     "Writes an RFC 3339 timestamp in another form (YYYY, MM, DD, hh, mm, ss, MMM, EEE, ZZZ; text in single quotes).",
		Example: `formatdate("YYYY-MM-DD", "2026-01-02T23:12:01Z")`, Result: `"2026-01-02"`,
	}},
	{Func: Func{
		Name: "timeadd", Func: stdlib.TimeAddFunc, Group: GroupDate, Params: []string{"timestamp", "duration"},
		Doc:     "Adds a duration such as 1h30m to an RFC 3339 timestamp.",
		Example: `timeadd("2026-01-02T23:12:01Z", "1h")`, Result: `"2026-01-03T00:12:01Z"`,
	}},
	{Func: Func{
		Name: "timecmp", Func: timeCmpFunc, Group: GroupDate, Params: []string{"timestamp_a", "timestamp_b"},
		Doc:     "Compares two RFC 3339 timestamps: -1 when the first is earlier, 0 when they are one moment, 1 when it is later.",
		Example: `timecmp("2026-01-02T00:00:00Z", "2026-01-02T01:00:00+01:00")`, Result: `0`,
	}},
}

var timeCmpFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "timestamp_a", Type: cty.String}, {Name: "timestamp_b", Type: cty.String}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		var at [2]time.Time
		for i, arg := range args {
			t, err := time.Parse(time.RFC3339, arg.AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(i, "%q is not an RFC 3339 timestamp such as 2026-01-02T23:12:01Z", arg.AsString())
			}
			at[i] = t
		}
		return cty.NumberIntVal(int64(at[0].Compare(at[1]))), nil
	},
})
