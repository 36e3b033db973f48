package importer

import (
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// BuildKit's checks of a whole file are not part of the packages that parse
// instructions, so those that need nothing else stand here once more. They only
// count for a file that makes them errors.

// sameRule are the warnings of hbuild that stand for a check of BuildKit.
var sameRule = map[string]string{
	"JSONArgsRecommended": "HB7010", "SecretsUsedInArgOrEnv": "HB7006", "WorkdirRelativePath": "HB7011", "CopyIgnoredFile": "HB7005",
	"FromPlatformFlagConstDisallowed": "HB7012", "RedundantTargetPlatform": "HB7012", "ExposeProtoCasing": "HB7013",
	"MaintainerDeprecated": "HB7014", "ReservedStageName": "HB7015",
}

// allowances are the comments that switch off in hbuild what `# check=skip=…`
// switches off in BuildKit.
func allowances(cfg *linter.Config) []string {
	if cfg.SkipAll {
		return []string{"# hbuild: allow all"}
	}
	var out []string
	seen := map[string]bool{}
	for _, rule := range cfg.SkipRules {
		if code := sameRule[rule]; code != "" && !seen[code] {
			seen[code] = true
			out = append(out, "# hbuild: allow "+code)
		}
	}
	return out
}

// lintNames checks the names of stages.
func lintNames(stages []instructions.Stage, lint *linter.Linter) {
	reserved := map[string]bool{"context": true, "scratch": true}
	seen := map[string]bool{}
	for _, st := range stages {
		if st.Name == "" {
			continue
		}
		if reserved[st.Name] {
			lint.Run(&linter.RuleReservedStageName, st.Location, linter.RuleReservedStageName.Format(st.Name))
		}
		if seen[st.Name] {
			lint.Run(&linter.RuleDuplicateStageName, st.Location, linter.RuleDuplicateStageName.Format(st.Name))
		}
		seen[st.Name] = true
	}
}

// lintFrom checks that what a FROM reads is declared above.
func lintFrom(stages []instructions.Stage, meta []instructions.ArgCommand, esc byte, lint *linter.Linter) {
	declared := map[string]bool{}
	for k := range auto {
		declared[k] = true
	}
	for _, c := range meta {
		for _, a := range c.Args {
			declared[a.Key] = true
		}
	}
	for _, st := range stages {
		for _, word := range []string{st.BaseName, st.Platform} {
			res, err := shell.NewLex(rune(esc)).ProcessWordWithMatches(word, mapEnv{})
			if err != nil {
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(res.Unmatched)) {
				if !declared[name] {
					lint.Run(&linter.RuleUndefinedArgInFrom, st.Location, linter.RuleUndefinedArgInFrom.Format(name, ""))
				}
			}
		}
	}
}

// lintCasing checks that all instructions are written in upper case, or all in
// lower case, as most of them are.
func lintCasing(stages []instructions.Stage, lint *linter.Linter) {
	lower, upper := 0, 0
	count := func(word string) {
		switch word {
		case strings.ToLower(word):
			lower++
		case strings.ToUpper(word):
			upper++
		}
	}
	for _, st := range stages {
		count(st.OrigCmd)
		for _, c := range st.Commands {
			count(c.Name())
		}
	}
	word, want := "uppercase", strings.ToUpper
	if lower > upper {
		word, want = "lowercase", strings.ToLower
	}
	for _, st := range stages {
		if st.OrigCmd != want(st.OrigCmd) {
			lint.Run(&linter.RuleConsistentInstructionCasing, st.Location, linter.RuleConsistentInstructionCasing.Format(st.OrigCmd, word))
		}
		for _, c := range st.Commands {
			if c.Name() != want(c.Name()) {
				lint.Run(&linter.RuleConsistentInstructionCasing, c.Location(), linter.RuleConsistentInstructionCasing.Format(c.Name(), word))
			}
		}
	}
}
