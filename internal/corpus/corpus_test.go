package corpus_test

import (
	"context"
	"os"
	"testing"

	"github.com/hbuild/hbuild/internal/corpus"
)

// TestBuildKit holds the importer to its bar over the Dockerfiles of BuildKit's
// own tests, with base images of both kinds.
func TestBuildKit(t *testing.T) {
	files, err := corpus.BuildKit()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 400 {
		t.Fatalf("%d Dockerfiles found, and there were 500", len(files))
	}
	bar(t, files)
}

// TestDir does the same over the directory that CORPUS names.
func TestDir(t *testing.T) {
	dir := os.Getenv("CORPUS")
	if dir == "" {
		t.Skip("CORPUS=DIR names a directory of dockerfiles/*/Dockerfile")
	}
	files, err := corpus.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	bar(t, files)
}

func bar(t *testing.T, files []corpus.File) {
	for _, base := range []corpus.Base{corpus.Plain, corpus.Rich, corpus.Arm, corpus.Given} {
		s := corpus.Run(context.Background(), files, base)
		if base == corpus.Given {
			delete(s.Count, corpus.Accepted) // what such a value breaks is no part of the file
		}
		if corpus.Bar(s) {
			continue
		}
		t.Errorf("%d of %d pairs are equal", s.Count[corpus.Equal], s.Converted())
		for _, p := range s.Pairs {
			if !p.Outcome.Good() {
				t.Errorf("%s %s: %s: %s\n%s", p.File.Name, p.Stage, p.Outcome, p.Cause, p.Detail)
			}
		}
	}
}

// TestJudge makes sure that the comparison can fail: what is imported from one
// Dockerfile is not what BuildKit makes of another.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		src  string
		want corpus.Outcome
	}{
		{"FROM alpine\nRUN a", corpus.Equal},
		{"FROM alpine\nRUNN a", corpus.BothRefuse},
		{"FROM alpine\nARG TARGETSTAGE\nRUN a\nARG TARGETSTAGE=x\nRUN b", corpus.Differs}, // the last stage has no name
		{"# syntax=example/mine\nFROM alpine", corpus.NoImport},
		{"FROM alpine\nCOPY a$X b", corpus.Equal},
		{"# check=error=true\nFROM alpine\nCOPY a$X b", corpus.BaseDecides},
	} {
		s := corpus.Run(context.Background(), []corpus.File{{Name: "x", Data: []byte(c.src)}}, corpus.Plain)
		if len(s.Pairs) != 1 || s.Pairs[0].Outcome != c.want {
			t.Errorf("%q: %v (%s), want %v", c.src, s.Pairs[0].Outcome, s.Pairs[0].Cause, c.want)
		}
	}
}
