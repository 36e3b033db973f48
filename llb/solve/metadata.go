package solve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/hcl/v2"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// MetadataVersion is the version of [Metadata]. Fields are added without a new one;
// none is removed or changes its meaning.
const MetadataVersion = 1

// The results of a call, of a target and of a test.
const (
	ResultDone    = "done"    // of a call or a target
	ResultPassed  = "passed"  // of a test
	ResultFailed  = "failed"  // of all three
	ResultSkipped = "skipped" // of a target or a test: stopped, or not begun, because of a failure
)

// Metadata is the content of a metadata file: what a call did (spec/metadata.md).
type Metadata struct {
	Version int    `json:"version"`
	Result  string `json:"result"`
	// StepsRun and StepsCached count each step once, however many targets share it.
	StepsRun    int   `json:"steps_run"`
	StepsCached int   `json:"steps_cached"`
	BytesSent   int64 `json:"bytes_sent"` // of files of contexts
	DurationMS  int64 `json:"duration_ms"`
	// Targets are by address; a stage or an artifact that was asked for is one.
	Targets map[string]TargetMetadata `json:"targets"`
	Tests   map[string]TestMetadata   `json:"tests"`
}

// WorkMetadata is what targets and tests have in common.
type WorkMetadata struct {
	Result string `json:"result"`
	// SkippedBy is the address of the target or the test whose failure stopped this
	// one; empty when the call as a whole ended early.
	SkippedBy string         `json:"skipped_by,omitempty"`
	Error     *ErrorMetadata `json:"error,omitempty"`
	Source    *Position      `json:"source,omitempty"` // of the block
	Steps     []StepResult   `json:"steps"`
	// StepsRun counts those of Steps that ran or failed, StepsCached the cached ones.
	StepsRun    int `json:"steps_run"`
	StepsCached int `json:"steps_cached"`
	// DurationMS is from the start to the end of the last effect.
	DurationMS int64 `json:"duration_ms"`
}

// TargetMetadata is what became of one target. Lists are never null.
type TargetMetadata struct {
	WorkMetadata
	Digest       string               `json:"digest,omitempty"`
	ConfigDigest string               `json:"config_digest,omitempty"`
	Descriptor   *ocispecs.Descriptor `json:"descriptor,omitempty"`
	Platforms    []string             `json:"platforms"`
	Tags         []string             `json:"tags"`
	Pushed       []string             `json:"pushed"`
	Loaded       string               `json:"loaded,omitempty"` // what the image was loaded into: "docker"
	Files        []WrittenFile        `json:"files"`
	Requires     []string             `json:"requires"` // addresses of targets
	// Tests are those that gate the target, with their results.
	Tests map[string]string `json:"tests"`
}

// TestMetadata is what became of one test.
type TestMetadata struct {
	WorkMetadata
}

// ErrorMetadata is why a target or a test failed.
type ErrorMetadata struct {
	Message  string    `json:"message"`
	Source   *Position `json:"source,omitempty"`
	Step     string    `json:"step,omitempty"`
	ExitCode *int      `json:"exit_code,omitempty"` // of a step that exited
	Log      []string  `json:"log,omitempty"`       // the last lines of its output
}

// Metadata returns what the call did; err is what it returned.
func (r *Result) Metadata(err error) Metadata {
	m := Metadata{
		Version: MetadataVersion, Result: ResultDone, StepsRun: r.StepsRun, StepsCached: r.StepsCached, BytesSent: r.BytesSent,
		DurationMS: r.Duration.Milliseconds(), Targets: map[string]TargetMetadata{}, Tests: map[string]TestMetadata{},
	}
	if err != nil {
		m.Result = ResultFailed
	}
	results := map[string]string{}
	for i := range r.Jobs {
		j := &r.Jobs[i]
		results[j.Addr] = j.outcome()
	}
	for i := range r.Jobs {
		j := &r.Jobs[i]
		w := j.work()
		if j.Test {
			m.Tests[j.Addr] = TestMetadata{w}
			continue
		}
		t := TargetMetadata{
			WorkMetadata: w, Digest: j.Digest, ConfigDigest: j.ConfigDigest, Descriptor: j.Descriptor,
			Platforms: list(j.Platforms), Tags: list(j.Tags), Pushed: list(j.Pushed), Loaded: j.Loaded, Files: list(j.Files),
			Requires: list(j.Requires), Tests: map[string]string{},
		}
		for _, addr := range j.Gates {
			t.Tests[addr] = results[addr]
		}
		m.Targets[j.Addr] = t
	}
	return m
}

// list is an empty list for none: the difference to null has no meaning.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// outcome is the job's result in one word.
func (j *JobResult) outcome() string {
	switch {
	case j.Err == nil && j.Test:
		return ResultPassed
	case j.Err == nil:
		return ResultDone
	case errors.Is(j.Err, ErrSkipped):
		return ResultSkipped
	}
	return ResultFailed
}

func (j *JobResult) work() WorkMetadata {
	w := WorkMetadata{
		Result: j.outcome(), SkippedBy: j.skippedBy(), Source: j.Source, Steps: list(j.Steps),
		StepsRun: j.StepsRun, StepsCached: j.StepsCached, DurationMS: j.Duration.Milliseconds(),
	}
	if w.Result != ResultFailed {
		return w
	}
	w.Error = &ErrorMetadata{Message: j.Err.Error()}
	if s := SourceOf(j.Err); s != nil {
		w.Error.Source = positionOf(s.Range)
	}
	var diagnosed interface{ Diagnostics() hcl.Diagnostics }
	if errors.As(j.Err, &diagnosed) {
		for _, d := range diagnosed.Diagnostics() {
			if d.Severity == hcl.DiagError {
				w.Error.Message = d.Summary + ": " + d.Detail
				if d.Subject != nil {
					w.Error.Source = positionOf(*d.Subject)
				}
				break
			}
		}
	}
	var step *StepError
	if errors.As(j.Err, &step) {
		w.Error.Step, w.Error.Log = step.Step, step.Log
		if step.ExitCode >= 0 {
			w.Error.ExitCode = &step.ExitCode
		}
	}
	return w
}

// skippedBy is the job that is to blame for a skipped one.
func (j *JobResult) skippedBy() string {
	var s *SkippedError
	if errors.As(j.Err, &s) {
		return s.By
	}
	return ""
}

// nothing is the result of a call that ended before it began or that nobody knows
// the end of.
func (r *Request) nothing(took time.Duration) *Result {
	res := &Result{Duration: took}
	for _, j := range r.Jobs {
		res.Jobs = append(res.Jobs, JobResult{Addr: j.Addr, Test: j.Test, Err: ErrSkipped, Requires: j.Requires, Gates: j.Gates, Source: positionOf(j.Range)})
	}
	return res
}

// errMetadataFile marks a metadata file that cannot be written.
var errMetadataFile = fmt.Errorf("%w: metadata file", ErrRequest)

// exported counts the jobs that are done with all their effects.
func (r *Result) exported() (n int) {
	if r == nil {
		return 0
	}
	for _, j := range r.Jobs {
		if j.Err == nil && !j.Test {
			n++
		}
	}
	return n
}

// checkMetadataFile refuses, before anything is built, a file that cannot be
// written after it.
func checkMetadataFile(dest string) error {
	if dest == "" {
		return nil
	}
	if fi, err := os.Stat(filepath.Dir(dest)); err != nil || !fi.IsDir() {
		return fmt.Errorf("%w %s: there is no directory %s", errMetadataFile, dest, filepath.Dir(dest))
	}
	if fi, err := os.Stat(dest); err == nil && fi.IsDir() {
		return fmt.Errorf("%w %s: it is a directory", errMetadataFile, dest)
	}
	return nil
}

// writeMetadata replaces the metadata file as a whole.
func (r *Result) writeMetadata(dest string, err error) error {
	var data bytes.Buffer
	enc := json.NewEncoder(&data)
	enc.SetEscapeHTML(false) // commands are full of what it would escape
	enc.SetIndent("", "  ")
	if err := enc.Encode(r.Metadata(err)); err != nil {
		return err
	}
	if err := writeAtomically(dest, data.Bytes()); err != nil {
		return fmt.Errorf("metadata file: %w", err)
	}
	return nil
}
