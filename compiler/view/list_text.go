package view

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText prints the list as tables, those of empty kinds left out.
func (l *List) WriteText(w io.Writer) error {
	t := &tables{w: w}
	var rows [][]string
	for _, g := range l.Groups {
		rows = append(rows, []string{g.Address, g.Description, some(g.Targets)})
	}
	t.table("Groups", rows)
	rows = nil
	for _, x := range l.Targets {
		rows = append(rows, []string{x.Address, x.Description, x.summary()})
	}
	t.table("Targets", rows)
	rows = nil
	for _, x := range l.Tests {
		rows = append(rows, []string{x.Address, x.Description, prefixed("of ", x.From)})
	}
	t.table("Tests", rows)
	rows = nil
	for _, m := range l.Modules {
		rows = append(rows, []string{m.Address, m.Description, m.Directory, some(m.Targets)})
	}
	t.table("Modules", rows)
	rows = nil
	for _, s := range l.Stages {
		rows = append(rows, []string{s.Address, s.Description, prefixed("from ", s.From)})
	}
	t.table("Stages", rows)
	rows = nil
	for _, a := range l.Artifacts {
		rows = append(rows, []string{a.Address, a.Description, strings.TrimSpace(a.Path + prefixed(" of ", a.From))})
	}
	t.table("Artifacts", rows)
	rows = nil
	for _, v := range l.Variables {
		rows = append(rows, []string{v.Address, v.Description, oneLine(v.Type), v.value()})
	}
	t.table("Variables", rows)
	t.table("Contexts", contextRows(l.Contexts))
	t.table("Caches", inputRows(l.Caches))
	t.table("Secrets", inputRows(l.Secrets))
	t.table("SSH agents", inputRows(l.SSH))
	rows = nil
	for _, o := range l.Outputs {
		rows = append(rows, []string{o.Address, o.Description, oneLine(o.Value)})
	}
	t.table("Outputs", rows)
	rows = nil
	for _, f := range l.Functions {
		rows = append(rows, []string{f.Signature, f.Group, oneLine(f.Doc)})
	}
	t.table("Functions", rows)
	return t.err
}

func contextRows(contexts []Context) (rows [][]string) {
	for _, c := range contexts {
		if c.Position.File != "" || c.Path != "." {
			rows = append(rows, []string{c.Address, c.Path})
		}
	}
	return rows
}

func inputRows(inputs []Input) (rows [][]string) {
	for _, i := range inputs {
		where := prefixed("from $", i.Env)
		if i.File != "" {
			where = "from " + i.File
		}
		rows = append(rows, []string{i.Address, "id " + i.ID, where})
	}
	return rows
}

// summary says in a few words what a target makes.
func (t *Target) summary() string {
	var parts []string
	if t.Image != "" {
		s := "image " + t.Image
		if len(t.Tags) > 0 {
			s += " as " + some(t.Tags)
		}
		if t.Push {
			s += " (pushed)"
		}
		parts = append(parts, s)
	}
	if len(t.Files) > 0 {
		parts = append(parts, "files "+some(t.Files))
	}
	if len(t.Platforms) > 0 {
		parts = append(parts, "for "+strings.Join(t.Platforms, ", "))
	}
	if len(t.Requires) > 0 {
		parts = append(parts, "after "+some(t.Requires))
	}
	return strings.Join(parts, "; ")
}

func (v *Variable) value() string {
	switch {
	case v.Required:
		return "required"
	case v.Sensitive:
		return "(sensitive)"
	}
	return "= " + oneLine(v.DefaultText)
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// some names the first of many.
func some(names []string) string {
	const most = 8
	if len(names) > most+1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxCell {
		return string(r[:maxCell-1]) + "…"
	}
	return s
}

// tables writes titled tables with an empty line between them.
type tables struct {
	w    io.Writer
	some bool
	err  error
}

// table writes rows of equal length; columns without any text are left out.
func (t *tables) table(title string, rows [][]string) {
	if len(rows) == 0 || t.err != nil {
		return
	}
	used := make([]bool, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			used[i] = used[i] || c != ""
		}
	}
	if t.some {
		title = "\n" + title
	}
	t.some = true
	if _, t.err = fmt.Fprintln(t.w, title+":"); t.err != nil {
		return
	}
	var b strings.Builder
	tw := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, r := range rows {
		var cells []string
		for i, c := range r {
			if used[i] {
				cells = append(cells, c)
			}
		}
		fmt.Fprintln(tw, "  "+strings.Join(cells, "\t"))
	}
	_ = tw.Flush() // a strings.Builder does not fail
	for line := range strings.Lines(b.String()) {
		if _, t.err = fmt.Fprintln(t.w, strings.TrimRight(line, " \n")); t.err != nil {
			return
		}
	}
}
