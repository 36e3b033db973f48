package ir

import (
	"fmt"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// ParseCommand reads an instruction other than FROM. BuildKit's function of that
// name dereferences a linter that it does not have when a comment above the
// instruction is `# check=…`, so this gives it one, which reports nothing.
func ParseCommand(node *parser.Node) (instructions.Command, error) {
	s, err := instructions.ParseInstructionWithLinter(node, linter.New(&linter.Config{}))
	if err != nil {
		return nil, err
	}
	cmd, ok := s.(instructions.Command)
	if !ok {
		return nil, parser.WithLocation(fmt.Errorf("%s is not a command", node.Value), node.Location())
	}
	return cmd, nil
}
