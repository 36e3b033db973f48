package examples_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// expectation is an expect.json; README.md describes it.
type expectation struct {
	Env      map[string]string `json:"env"`
	SSHAgent []string          `json:"ssh_agent"`
	Never    []string          `json:"never"`
	Builds   []buildCase       `json:"builds"`
}

type buildCase struct {
	Address string            `json:"address"`
	Vars    map[string]string `json:"vars"`
	Fails   *failure          `json:"fails"`
	Image   *imageCase        `json:"image"`
	Files   []hostFileCase    `json:"files"`
}

type failure struct {
	Exit        int   `json:"exit"`
	StderrMatch regex `json:"stderr_match"`
}

type imageCase struct {
	Config    map[string]json.RawMessage `json:"config"`
	EnvAbsent []string                   `json:"env_absent"`
	Size      *sizeCase                  `json:"size"`
	Files     []fileCase                 `json:"files"`
	Run       []runCase                  `json:"run"`
}

type sizeCase struct {
	MinMB float64 `json:"min_mb"`
	MaxMB float64 `json:"max_mb"`
}

type fileCase struct {
	Path    string    `json:"path"`
	Type    string    `json:"type"`
	Content *[]string `json:"content"`
	Match   regex     `json:"match"`
	Mode    string    `json:"mode"`
	Owner   string    `json:"owner"`
	Target  string    `json:"target"`
}

type hostFileCase struct {
	fileCase
	Run []runCase `json:"run"`
}

type runCase struct {
	Args        []string  `json:"args"`
	Entrypoint  []string  `json:"entrypoint"`
	Stdout      *[]string `json:"stdout"`
	StdoutMatch regex     `json:"stdout_match"`
	Exit        int       `json:"exit"`
}

// regex is a regular expression; nil when it is not given.
type regex struct{ *regexp.Regexp }

func (r *regex) UnmarshalText(b []byte) (err error) {
	r.Regexp, err = regexp.Compile(string(b))
	return err
}

// matches says whether there is no expression, or it matches.
func (r regex) matches(s string) bool { return r.Regexp == nil || r.MatchString(s) }

// parseExpectation reads an expect.json, in which nothing may be misspelt.
func parseExpectation(data []byte) (*expectation, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var e expectation
	if err := d.Decode(&e); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errTrailing
	}
	return &e, e.check()
}

var errTrailing = errors.New("more than one JSON value")

// check finds what would make a build case look at nothing.
func (e *expectation) check() error {
	if len(e.Builds) == 0 {
		return errors.New("nothing is built")
	}
	for _, b := range e.Builds {
		switch {
		case b.Address == "":
			return errors.New("a build without an address")
		case b.Fails != nil && (b.Image != nil || b.Files != nil):
			return fmt.Errorf("%s fails and has results", b.Address)
		case b.Fails != nil && b.Fails.Exit == 0:
			return fmt.Errorf("%s fails without an exit code", b.Address)
		}
	}
	return nil
}

func readExpectation(t *testing.T, dir string) *expectation {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "expect.json"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := parseExpectation(data)
	if err != nil {
		t.Fatalf("expect.json: %v", err)
	}
	return e
}

func TestExpectationIsStrict(t *testing.T) {
	for name, text := range map[string]string{
		"unknown key":        `{"builds": [{"address": "a", "fils": []}]}`,
		"unknown nested key": `{"builds": [{"address": "a", "files": [{"path": "x", "modus": "0644"}]}]}`,
		"bad expression":     `{"builds": [{"address": "a", "image": {"run": [{"stdout_match": "("}]}}]}`,
		"no address":         `{"builds": [{}]}`,
		"nothing built":      `{}`,
		"fails with results": `{"builds": [{"address": "a", "fails": {"exit": 1}, "files": []}]}`,
		"fails successfully": `{"builds": [{"address": "a", "fails": {"stderr_match": "x"}}]}`,
		"text after the end": `{"builds": [{"address": "a"}]} {}`,
	} {
		if e, err := parseExpectation([]byte(text)); err == nil {
			t.Errorf("%s: read as %+v", name, e)
		}
	}
}
