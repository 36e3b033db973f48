package solve

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Metadata is the content of a metadata file: what each target made, by address.
type Metadata map[string]TargetMetadata

// TargetMetadata is what one target made.
type TargetMetadata struct {
	Digest       string               `json:"digest,omitempty"`
	ConfigDigest string               `json:"config_digest,omitempty"`
	Descriptor   *ocispecs.Descriptor `json:"descriptor,omitempty"`
	Platforms    []string             `json:"platforms,omitempty"`
	Tags         []string             `json:"tags,omitempty"`
	Pushed       []string             `json:"pushed,omitempty"`
	Files        []WrittenFile        `json:"files,omitempty"`
	StepsRun     int                  `json:"steps_run"`
	StepsCached  int                  `json:"steps_cached"`
	// DurationMS is from the target's start to the end of its last effect.
	DurationMS int64 `json:"duration_ms"`
}

// Metadata returns what the jobs that succeeded made.
func (r *Result) Metadata() Metadata {
	m := Metadata{}
	for _, j := range r.Jobs {
		if j.Err != nil {
			continue
		}
		m[j.Addr] = TargetMetadata{
			Digest: j.Digest, ConfigDigest: j.ConfigDigest, Descriptor: j.Descriptor,
			Platforms: j.Platforms, Tags: j.Tags, Pushed: j.Pushed, Files: j.Files,
			StepsRun: j.StepsRun, StepsCached: j.StepsCached, DurationMS: j.Duration.Milliseconds(),
		}
	}
	return m
}

// checkMetadataFile refuses, before anything is built, a file that cannot be
// written after it.
func checkMetadataFile(dest string) error {
	if dest == "" {
		return nil
	}
	if fi, err := os.Stat(filepath.Dir(dest)); err != nil || !fi.IsDir() {
		return fmt.Errorf("%w: metadata file %s: there is no directory %s", ErrRequest, dest, filepath.Dir(dest))
	}
	if fi, err := os.Stat(dest); err == nil && fi.IsDir() {
		return fmt.Errorf("%w: metadata file %s: it is a directory", ErrRequest, dest)
	}
	return nil
}

func (r *Result) writeMetadata(dest string) error {
	data, err := json.MarshalIndent(r.Metadata(), "", "  ")
	if err != nil {
		return err
	}
	if err := writeAtomically(dest, append(data, '\n')); err != nil {
		return fmt.Errorf("metadata file: %w", err)
	}
	return nil
}

// Summary prints what was made and where it is, a line or two a job, and the sum
// of several.
func (r *Result) Summary(w io.Writer) {
	done := 0
	for _, j := range r.Jobs {
		if j.Err == nil {
			j.summary(w)
			done++
		}
	}
	if done > 1 {
		fmt.Fprintf(w, "%d targets in %s: %s\n", done, r.Duration.Round(10*time.Millisecond), steps(r.StepsRun, r.StepsCached))
	}
}

// steps says how much work there was.
func steps(run, cached int) string {
	unit := "steps"
	if run == 1 {
		unit = "step"
	}
	return fmt.Sprintf("%d %s run, %d cached", run, unit, cached)
}

func (j *JobResult) summary(w io.Writer) {
	steps := steps(j.StepsRun, j.StepsCached)
	if j.Digest == "" && len(j.Files) == 0 {
		fmt.Fprintf(w, "%s: done (%s)\n", j.Addr, steps)
		return
	}
	if j.Digest != "" {
		fmt.Fprintf(w, "%s: %s (%s)\n", j.Addr, j.Digest, steps)
	}
	for _, tag := range j.Pushed {
		fmt.Fprintf(w, "  pushed %s\n", tag)
	}
	if j.Loaded != "" {
		fmt.Fprintf(w, "  loaded into %s\n", j.Loaded)
	}
	if j.InEngine {
		where := "is in the engine"
		if j.Stored && len(j.Tags) > 0 {
			where += " as " + strings.Join(j.Tags, ", ")
		}
		fmt.Fprintf(w, "  %s; get it out with --load, --push or -o type=oci,dest=FILE\n", where)
	}
	if len(j.Files) > 0 && j.Digest == "" {
		fmt.Fprintf(w, "%s: %s\n", j.Addr, steps)
	}
	shown := 0
	trees := map[string]int{}
	for _, f := range j.Files {
		if f.tree != "" {
			trees[f.tree]++
			continue
		}
		if shown++; shown <= longestList {
			fmt.Fprintf(w, "  wrote %s\n", f.Path)
		}
	}
	if shown > longestList {
		fmt.Fprintf(w, "  wrote %d more files\n", shown-longestList)
	}
	for _, dir := range slices.Sorted(maps.Keys(trees)) {
		fmt.Fprintf(w, "  wrote %s (%d files)\n", dir, trees[dir])
	}
}

// longestList is how many files of a job are named.
const longestList = 12
