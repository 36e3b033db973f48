package ir

import "github.com/hashicorp/hcl/v2"

// Provenance says where values of the module's variables stand unchanged in
// stages, so that an emitter may write the variable in place of the value. The
// stages themselves are complete without it.
type Provenance struct {
	// Bases are the references of base images that hold the value of a variable.
	Bases map[*Stage][]Part
	// Args are the arguments, and Env the pairs by index, whose value is exactly a
	// variable's; by its name.
	Args map[*Arg]string
	Env  map[*Env]map[int]string
}

// Part is a piece of a text: the value of a variable, or plain text.
type Part struct {
	Var  string // "" for plain text
	Text string // the variable's value, or the text
}

// Variable is a variable of type string, number or bool that a target's stages are
// made from.
type Variable struct {
	Name  string
	Value string
	// Fixed is the first place that makes the stages depend on the variable other
	// than [Provenance] says, in a condition or a command; no file name when there
	// is none.
	Fixed hcl.Range
}
