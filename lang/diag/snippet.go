package diag

import (
	"bytes"
	"regexp"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// lineBounds returns the bytes of the line that holds an offset, without its end.
func lineBounds(src []byte, at int) (start, end int) {
	at = min(max(at, 0), len(src))
	start = bytes.LastIndexByte(src[:at], '\n') + 1
	end = len(src)
	if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
		end = at + i
	}
	if end > start && src[end-1] == '\r' {
		end--
	}
	return start, max(start, end)
}

// source returns a range's file when the range lies in it.
func (p *printer) source(r hcl.Range) ([]byte, bool) {
	src, ok := p.files[r.Filename]
	return src, ok && r.Start.Byte >= 0 && r.Start.Byte <= r.End.Byte && r.End.Byte <= len(src)
}

// blockHeader matches the first line of a block in the first column.
var blockHeader = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_-]*(?:[ \t]+(?:"[^"]*"|[A-Za-z0-9_-]+))*)[ \t]*\{`)

// context names the block around a place, such as `stage "build"`; "" outside of
// one. It goes by the text, because the file may not parse.
func (p *printer) context(r hcl.Range) string {
	src, ok := p.source(r)
	for at := r.Start.Byte; ok && at >= 0; at-- {
		start, end := lineBounds(src, at)
		line := src[start:end]
		if m := blockHeader.FindSubmatch(line); m != nil {
			return string(m[1])
		}
		if start < r.Start.Byte && bytes.HasPrefix(line, []byte("}")) && end < r.Start.Byte {
			return ""
		}
		at = start
	}
	return ""
}

// wide reports a rune that takes two columns of a terminal: East Asian wide and
// full-width forms, and emoji.
func wide(r rune) bool {
	return r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf && r != 0x303f || r >= 0xac00 && r <= 0xd7a3 ||
		r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 || r >= 0xffe0 && r <= 0xffe6 ||
		r >= 0x1f300 && r <= 0x1faff || r >= 0x20000 && r <= 0x3fffd)
}

// cells turns source into what a terminal shows in known columns: a tab is four
// blanks, and a control character, which could move the cursor or hide text,
// becomes a middle dot. offsets maps each byte, and the end, to its column.
func cells(line []byte) (text []rune, offsets []int) {
	offsets = make([]int, len(line)+1)
	col := 0
	put := func(r rune, w int) {
		text = append(text, r)
		col += w
	}
	for i, r := range string(line) {
		for j := i; j < len(line) && (j == i || line[j]&0xc0 == 0x80); j++ {
			offsets[j] = col
		}
		switch {
		case r == '\t':
			for range 4 {
				put(' ', 1)
			}
		case unicode.Is(unicode.Mn, r) || r == 0x200d || r == 0xfe0f:
			text = append(text, r)
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar:
			put('·', 1)
		case wide(r):
			put(r, 2)
		default:
			put(r, 1)
		}
	}
	offsets[len(line)] = col
	return text, offsets
}

// plain is cells for words of a message.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return '·'
		}
		return r
	}, strings.ReplaceAll(s, "\t", "    "))
}

func runeWidth(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r) || r == 0x200d || r == 0xfe0f:
		return 0
	case wide(r):
		return 2
	}
	return 1
}

func width(s string) (n int) {
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// Value is a name in a mistaken expression and what it stands for.
type Value struct {
	Name string // "var.version"
	Is   string // `"1.26"`, "a list of 3"
}

// Values returns the values of the names in a diagnostic's expression, each name
// once. A sensitive value is never shown, and a build value is by its address.
func Values(d *hcl.Diagnostic) (out []Value) {
	if d.Expression == nil || d.EvalContext == nil {
		return nil
	}
	seen := map[string]bool{}
	for _, t := range d.Expression.Variables() {
		for len(t) > 1 {
			if _, ok := t[len(t)-1].(hcl.TraverseSplat); !ok {
				break
			}
			t = t[:len(t)-1]
		}
		v, diags := t.TraverseAbs(d.EvalContext)
		name := traversalText(t)
		if diags.HasErrors() || seen[name] {
			continue
		}
		seen[name] = true
		if is := valueText(v); is != "" && is != name {
			out = append(out, Value{name, is})
		}
	}
	return out
}

func traversalText(t hcl.Traversal) string {
	var b strings.Builder
	for _, s := range t {
		switch s := s.(type) {
		case hcl.TraverseRoot:
			b.WriteString(s.Name)
		case hcl.TraverseAttr:
			b.WriteString("." + s.Name)
		case hcl.TraverseIndex:
			b.WriteString("[" + valueText(s.Key) + "]")
		}
	}
	return b.String()
}

// valueText shows a value in a few words; "" for one that says nothing.
func valueText(v cty.Value) string {
	if v == cty.NilVal || !v.IsKnown() {
		return ""
	}
	if v.ContainsMarked() {
		return "sensitive, and not shown"
	}
	t := v.Type()
	switch {
	case v.IsNull():
		return "null"
	case t == cty.String:
		return quoted(v.AsString())
	case t == cty.Number:
		return v.AsBigFloat().Text('f', -1)
	case t == cty.Bool && v.True():
		return "true"
	case t == cty.Bool:
		return "false"
	case t.IsCapsuleType():
		if b, ok := v.EncapsulatedValue().(interface{ Describe() string }); ok {
			return b.Describe()
		}
		return t.FriendlyName()
	}
	return collectionText(v)
}

// collectionText writes a short collection out, and describes a long one.
func collectionText(v cty.Value) string {
	t := v.Type()
	object := t.IsObjectType() || t.IsMapType()
	var parts []string
	total := 0
	for it := v.ElementIterator(); it.Next(); {
		k, el := it.Element()
		s := "…"
		if el.IsKnown() {
			s = valueText(el)
		}
		if object {
			s = k.AsString() + " = " + s
		}
		parts = append(parts, s)
		if total += len(s); total > 70 {
			n := v.LengthInt()
			switch {
			case object && n == 1:
				return "an object with the key " + k.AsString()
			case object:
				return "an object with " + itoa(n) + " keys"
			}
			return "a list of " + itoa(n)
		}
	}
	switch {
	case object && len(parts) == 0:
		return "{}"
	case object:
		return "{ " + strings.Join(parts, ", ") + " }"
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

// quoted writes a string as HCL does, cut when it is long.
func quoted(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + `"`
}
