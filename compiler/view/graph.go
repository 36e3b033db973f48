package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/hbuild/hbuild/compiler/ir"
)

// The kinds of nodes in a [Graph].
const (
	NodeTarget  = "target"
	NodeTest    = "test"
	NodeStage   = "stage"
	NodeImage   = "image"
	NodeContext = "context"
	NodeCache   = "cache"
	NodeSecret  = "secret"
	NodeSSH     = "ssh"
)

// Graph is what targets are made from; its JSON form is what
// `hbuild graph --format json` prints.
type Graph struct {
	FormatVersion string `json:"format_version"`
	Nodes         []Node `json:"nodes"` // in the order of the first use, from the targets
	Edges         []Edge `json:"edges"`
}

// Node is a part of a build. A stage that is built for several platforms is one.
type Node struct {
	ID   string `json:"id"`   // as the language writes it: stage.svc["api"], image("alpine:3.22")
	Kind string `json:"kind"` // one of the Node constants
}

// Edge says that From is made with To.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Kind is how: "image", "files" or "requires" of a target; "from", "copy" or
	// "mount" of a stage.
	Kind string `json:"kind"`
}

// NewGraph draws what was evaluated.
func NewGraph(g *ir.Graph) *Graph {
	d := &drawing{g: &Graph{FormatVersion: ListVersion, Nodes: []Node{}, Edges: []Edge{}}, seen: map[string]bool{}, edges: map[Edge]bool{}}
	for _, t := range g.Targets {
		d.target(t)
	}
	return d.g
}

type drawing struct {
	g     *Graph
	seen  map[string]bool
	edges map[Edge]bool
}

// node adds a node and reports whether it is new.
func (d *drawing) node(id, kind string) bool {
	if d.seen[id] {
		return false
	}
	d.seen[id] = true
	d.g.Nodes = append(d.g.Nodes, Node{ID: id, Kind: kind})
	return true
}

func (d *drawing) edge(from, to, kind string) {
	e := Edge{From: from, To: to, Kind: kind}
	if !d.edges[e] {
		d.edges[e] = true
		d.g.Edges = append(d.g.Edges, e)
	}
}

func (d *drawing) target(t *ir.Target) {
	d.node(t.Addr, kindOf(t.Addr))
	for _, r := range t.Requires {
		d.edge(t.Addr, r.Addr, "requires")
	}
	for _, b := range t.Builds {
		if b.Image != nil {
			d.image(t.Addr, b.Image)
		}
		if b.Files != nil {
			d.files(t.Addr, b.Files)
		}
	}
}

// kindOf is the kind of a node for an address: a stage that is asked for by its
// own address is no target.
func kindOf(addr string) string {
	kind, _, _ := strings.Cut(addr, ".")
	return kind
}

// image draws what a target's image is made from.
func (d *drawing) image(target string, st *ir.Stage) {
	switch name := stageName(st); {
	case name != st.Addr: // an image, not a stage
		d.node(name, NodeImage)
		d.edge(target, name, "image")
	case st.Addr == target: // a stage or an artifact, asked for by its address
		d.body(target, st)
	default:
		d.edge(target, st.Addr, "image")
		d.stage(st)
	}
}

// files draws what the stage that holds a target's files is made from; the stage
// itself is nothing that the file names.
func (d *drawing) files(target string, st *ir.Stage) {
	for _, step := range st.Steps {
		ir.Sources(step, func(s ir.Source) { d.source(target, s, "files") })
	}
}

func (d *drawing) stage(st *ir.Stage) {
	d.node(st.Addr, NodeStage)
	d.body(st.Addr, st)
}

// body draws what a stage is made from. Variants of a stage for several platforms
// come here one after the other, and most of their edges are the same.
func (d *drawing) body(id string, st *ir.Stage) {
	if d.seen[fmt.Sprintf("%p", st)] {
		return
	}
	d.seen[fmt.Sprintf("%p", st)] = true
	switch r := st.Root.(type) {
	case ir.StageRoot:
		d.source(id, ir.StageSource{Stage: r.Stage}, "from")
	case ir.ContextRoot:
		d.source(id, ir.ContextSource{Context: r.Context}, "from")
	case ir.ImageRoot:
		d.source(id, ir.ImageSource{Ref: r.Ref}, "from")
	}
	for _, step := range st.Steps {
		kind := "copy"
		if run, ok := step.(*ir.Run); ok {
			kind = "mount"
			d.mounts(id, run)
		}
		ir.Sources(step, func(s ir.Source) { d.source(id, s, kind) })
	}
}

// mounts draws the caches, secrets and agents of a step.
func (d *drawing) mounts(id string, run *ir.Run) {
	add := func(name, kind string) {
		d.node(name, kind)
		d.edge(id, name, "mount")
	}
	for _, m := range run.Mounts {
		switch {
		case m.Cache != nil:
			add("cache "+m.Cache.ID, NodeCache)
		case m.Secret != nil:
			add("secret "+m.Secret.ID, NodeSecret)
		case m.SSH != nil:
			add("ssh "+m.SSH.ID, NodeSSH)
		}
	}
}

func (d *drawing) source(id string, s ir.Source, kind string) {
	name := source(s)
	switch s := s.(type) {
	case ir.StageSource:
		d.edge(id, name, kind)
		d.stage(s.Stage)
	case ir.ImageSource:
		d.node(name, NodeImage)
		d.edge(id, name, kind)
	case ir.ContextSource:
		d.node(name, NodeContext)
		d.edge(id, name, kind)
	}
}

// WriteDOT prints the graph for Graphviz.
func (g *Graph) WriteDOT(w io.Writer) error {
	var b strings.Builder
	b.WriteString("digraph hbuild {\n  rankdir = LR\n  node [shape = box, fontname = \"sans-serif\"]\n  edge [fontname = \"sans-serif\", fontsize = 10]\n")
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "  %s [%s]\n", quoted(n.ID), dotStyle[n.Kind])
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "  %s -> %s [label = %s]\n", quoted(e.From), quoted(e.To), e.Kind)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

var dotStyle = map[string]string{
	NodeTarget: "style = bold", NodeStage: "style = solid", NodeImage: "shape = cylinder", NodeContext: "shape = folder",
	NodeCache: "style = dashed", NodeSecret: "style = dotted", NodeSSH: "style = dotted", NodeTest: "style = rounded", "artifact": "shape = note",
}

// quoted is a string of the DOT language.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// WriteMermaid prints the graph as a Mermaid flowchart.
func (g *Graph) WriteMermaid(w io.Writer) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	ids := map[string]string{}
	for i, n := range g.Nodes {
		ids[n.ID] = fmt.Sprintf("n%d", i)
		open, end := "[", "]"
		switch n.Kind {
		case NodeTarget:
			open, end = "[[", "]]"
		case NodeImage:
			open, end = "[(", ")]"
		case NodeTest:
			open, end = "([", "])"
		case NodeCache, NodeSecret, NodeSSH:
			open, end = "(", ")"
		}
		fmt.Fprintf(&b, "  %s%s\"%s\"%s\n", ids[n.ID], open, mermaidText.Replace(n.ID), end)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "  %s -->|%s| %s\n", ids[e.From], e.Kind, ids[e.To])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

var mermaidText = strings.NewReplacer("&", "#amp;", `"`, "#quot;", "<", "#lt;", ">", "#gt;")

// WriteTree prints the graph as trees that begin at what nothing uses. What is
// printed in full once is only named afterwards, with (*).
func (g *Graph) WriteTree(w io.Writer) error {
	t := &tree{from: map[string][]Edge{}, done: map[string]bool{}}
	used := map[string]bool{}
	for _, e := range g.Edges {
		t.from[e.From] = append(t.from[e.From], e)
		used[e.To] = true
	}
	for _, n := range g.Nodes {
		if !used[n.ID] {
			t.b.WriteString(n.ID + "\n")
			t.children(n.ID, "")
		}
	}
	_, err := io.WriteString(w, t.b.String())
	return err
}

type tree struct {
	b    strings.Builder
	from map[string][]Edge
	done map[string]bool
}

func (t *tree) children(id, indent string) {
	t.done[id] = true
	edges := t.from[id]
	for i, e := range edges {
		branch, below := "├─ ", "│  "
		if i == len(edges)-1 {
			branch, below = "└─ ", "   "
		}
		t.b.WriteString(indent + branch + e.Kind + " " + e.To)
		if t.done[e.To] && len(t.from[e.To]) > 0 {
			t.b.WriteString(" (*)\n")
			continue
		}
		t.b.WriteString("\n")
		t.children(e.To, indent+below)
	}
}
