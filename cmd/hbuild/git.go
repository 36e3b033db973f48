package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hbuild/hbuild/compiler/eval"
)

// git describes the checkout that dir lies in, by asking the git command; nil
// when there is none. What keeps git from describing a checkout that is there is
// said, because the build then sees no commit.
func (a *app) git(dir string) *eval.Git {
	if !inCheckout(dir) {
		return nil
	}
	// The commit's time, not the clock's: the same checkout gives the same build.
	out, err := gitOutput(dir, "log", "-1", "--no-show-signature", "--format=%H %h %ct")
	fields := strings.Fields(out)
	if err != nil || len(fields) != 3 {
		if _, headless := gitOutput(dir, "rev-parse", "--verify", "--quiet", "HEAD"); err != nil && headless != nil && !emptyRepository(dir) {
			fmt.Fprintf(a.stderr, "hbuild: warning: git cannot describe the checkout, so git.* is null: %v\n", err)
		}
		return nil
	}
	g := &eval.Git{Commit: fields[0], Short: fields[1]}
	if sec, err := strconv.ParseInt(fields[2], 10, 64); err == nil {
		g.Time = time.Unix(sec, 0).UTC().Format(time.RFC3339)
	}
	g.Branch, _ = gitOutput(dir, "symbolic-ref", "--quiet", "--short", "HEAD")
	g.Tag, _ = gitOutput(dir, "describe", "--tags", "--exact-match", "HEAD")
	status, err := gitOutput(dir, "status", "--porcelain")
	g.Dirty = err != nil || status != ""
	return g
}

// inCheckout reports whether dir lies in a working tree.
func inCheckout(dir string) bool {
	for {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return true
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return false
		}
		dir = parent
	}
}

// emptyRepository reports whether a repository has no commit yet.
func emptyRepository(dir string) bool {
	_, err := gitOutput(dir, "symbolic-ref", "--quiet", "HEAD")
	return err == nil
}

func gitOutput(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	out, err := cmd.Output()
	if exit, ok := err.(*exec.ExitError); ok && len(exit.Stderr) > 0 {
		err = fmt.Errorf("%s", strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimSpace(string(out)), err
}
