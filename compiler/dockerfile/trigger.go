package dockerfile

import (
	"errors"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/hbuild/hbuild/compiler/ir"
)

// Trigger checks an onbuild instruction and returns it as BuildKit stores it in
// an image: without the line breaks and comments that the parser drops.
func Trigger(text string) (string, error) {
	res, err := parser.Parse(strings.NewReader("ONBUILD " + strings.TrimSpace(text) + "\n"))
	if err != nil {
		return "", rootCause(err)
	}
	if len(res.AST.Children) != 1 {
		return "", errors.New("it must be a single instruction")
	}
	node := res.AST.Children[0]
	cmd, err := ir.ParseCommand(node)
	if err != nil {
		return "", rootCause(err)
	}
	on, ok := cmd.(*instructions.OnbuildCommand)
	if !ok {
		return "", errors.New("it must be a single instruction")
	}
	inner, err := parseTrigger(on.Expression)
	if err != nil {
		return "", err
	}
	if _, err := ir.ParseCommand(inner); err != nil {
		return "", rootCause(err)
	}
	return on.Expression, nil
}

func parseTrigger(text string) (*parser.Node, error) {
	res, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, rootCause(err)
	}
	if len(res.AST.Children) != 1 {
		return nil, errors.New("it must be a single instruction")
	}
	return res.AST.Children[0], nil
}

// rootCause is an error without the wrapping that names lines of a file that
// nobody has.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}
