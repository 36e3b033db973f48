package examples_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hbuild/hbuild/internal/runimage"
)

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }

// checkImage unpacks an image, looks at it, and runs what is in it.
func (x *example) checkImage(t *testing.T, layout string, want *imageCase) {
	t.Helper()
	i, err := runimage.Open(t.Context(), layout, runimage.Options{Dir: scratchDir(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer i.Close()
	t.Logf("the image has %.1f MB", float64(i.Size)/1e6)
	if s := want.Size; s != nil {
		if mb := float64(i.Size) / 1e6; mb < s.MinMB || s.MaxMB > 0 && mb > s.MaxMB {
			t.Errorf("the image has %.1f MB, want %+v of them", mb, *s)
		}
	}
	config := imageConfig(t, i)
	for field, value := range want.Config {
		checkConfig(t, field, config[field], value)
	}
	for _, name := range want.EnvAbsent {
		for _, e := range i.Config.Config.Env {
			if strings.HasPrefix(e, name+"=") {
				t.Errorf("the image's environment has %s", e)
			}
		}
	}
	for _, f := range want.Files {
		got, err := i.Stat(f.Path)
		checkFile(t, f, got, err, func() ([]byte, error) { return i.ReadFile(f.Path) })
	}
	for _, r := range want.Run {
		res, err := i.Run(t.Context(), runimage.Command{Args: r.Args, Entrypoint: r.Entrypoint})
		if err != nil {
			t.Errorf("%v\n%s%s", err, res.Stdout, res.Stderr)
			continue
		}
		checkRun(t, fmt.Sprintf("%q%q", r.Entrypoint, r.Args), r, string(res.Stdout), string(res.Stderr), res.Exit)
	}
	if x.leaks != nil {
		if err := i.Blobs(func(name string, r io.Reader) error { return x.leaks.search(t, name, r) }); err != nil {
			t.Error(err)
		}
	}
}

// imageConfig is the configuration by the names of its fields, with the image's author.
func imageConfig(t *testing.T, i *runimage.Image) map[string]any {
	t.Helper()
	var all struct {
		Author string
		Config map[string]any
	}
	b, err := i.RawConfig()
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	if all.Config == nil {
		all.Config = map[string]any{}
	}
	all.Config["Author"] = all.Author
	return all.Config
}

// checkConfig compares a field as README.md says.
func checkConfig(t *testing.T, field string, got any, raw json.RawMessage) {
	t.Helper()
	var want any
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	switch field {
	case "ExposedPorts", "Volumes":
		if set, ok := got.(map[string]any); ok {
			got = list(slices.Sorted(mapKeys(set)))
		}
	case "Env":
		have, _ := got.([]any)
		for _, e := range want.([]any) {
			if !slices.Contains(have, e) {
				t.Errorf("Env lacks %q: %q", e, have)
			}
		}
		return
	case "Labels":
		have, _ := got.(map[string]any)
		for k, v := range want.(map[string]any) {
			if have[k] != v {
				t.Errorf("label %s is %q, want %q", k, have[k], v)
			}
		}
		return
	}
	if want == nil && empty(got) || reflect.DeepEqual(got, want) {
		return
	}
	t.Errorf("%s is %q, want %q", field, got, want)
}

func empty(v any) bool {
	return v == nil || reflect.ValueOf(v).IsZero() || reflect.ValueOf(v).Kind() == reflect.Slice && reflect.ValueOf(v).Len() == 0
}

func list(s []string) (out []any) {
	for _, e := range s {
		out = append(out, e)
	}
	return out
}

// checkFile compares a file with what is said of it; err is why it could not be found.
func checkFile(t *testing.T, want fileCase, got runimage.File, err error, read func() ([]byte, error)) {
	t.Helper()
	if want.Type == "absent" {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is there: %+v, %v", want.Path, got, err)
		}
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	if want.Type == "" {
		want.Type = runimage.Regular
	}
	if got.Type != want.Type {
		t.Errorf("%s is a %s, want a %s", want.Path, got.Type, want.Type)
		return
	}
	compare := func(what, got, expected string) {
		if expected != "" && got != expected {
			t.Errorf("%s has %s %s, want %s", want.Path, what, got, expected)
		}
	}
	compare("mode", fmt.Sprintf("%04o", got.Mode), want.Mode)
	compare("owner", fmt.Sprintf("%d:%d", got.UID, got.GID), want.Owner)
	compare("target", got.Link, want.Target)
	if want.Content == nil && want.Match.Regexp == nil {
		return
	}
	b, err := read()
	if err != nil {
		t.Error(err)
		return
	}
	if want.Content != nil && string(b) != lines(*want.Content) {
		t.Errorf("%s differs:\n%s", want.Path, difference(lines(*want.Content), string(b)))
	}
	if !want.Match.matches(string(b)) {
		t.Errorf("%s does not match %s:\n%s", want.Path, want.Match, b)
	}
}

// lines ends each line.
func lines(l []string) string {
	if len(l) == 0 {
		return ""
	}
	return strings.Join(l, "\n") + "\n"
}

func checkRun(t *testing.T, what string, want runCase, stdout, stderr string, exit int) {
	t.Helper()
	if want.Stdout != nil && stdout != lines(*want.Stdout) {
		t.Errorf("%s printed another thing:\n%s%s", what, difference(lines(*want.Stdout), stdout), stderr)
	}
	if !want.StdoutMatch.matches(stdout) {
		t.Errorf("%s printed what does not match %s:\n%s%s", what, want.StdoutMatch, stdout, stderr)
	}
	if exit != want.Exit {
		t.Errorf("%s: exit code %d, want %d\n%s%s", what, exit, want.Exit, stdout, stderr)
	}
}
