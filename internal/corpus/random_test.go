package corpus_test

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/hbuild/hbuild/internal/corpus"
)

// TestRandom imports Dockerfiles that nobody would write: names that one ENV sets
// twice and reads, values that change below where they describe the image, several
// mounts at one path, addresses beside paths. What BuildKit converts must come out
// equal.
func TestRandom(t *testing.T) {
	files := make([]corpus.File, 120)
	for i := range files {
		files[i] = corpus.File{Name: fmt.Sprint(i), Data: []byte(randomDockerfile(rand.New(rand.NewSource(int64(i)))))}
	}
	for _, base := range []corpus.Base{corpus.Plain, corpus.Rich, corpus.Given} {
		s := corpus.Run(context.Background(), files, base)
		if s.Converted() < 150 {
			t.Errorf("BuildKit converts %d pairs of %d: too few to say much", s.Converted(), len(s.Pairs))
		}
		for _, p := range s.Pairs {
			// What BuildKit refuses of a setting that another one replaces, the import drops.
			if !p.Outcome.Good() && p.Outcome != corpus.Late && p.Outcome != corpus.Accepted {
				t.Errorf("base %d, stage %q: %v: %s\n%s\n%s\n%s", base, p.Stage, p.Outcome, p.Cause, p.File.Data, p.HCL, p.Detail)
			}
		}
	}
}

// randomDockerfile is a file of one to three stages.
func randomDockerfile(r *rand.Rand) string {
	pick := func(l ...string) string { return l[r.Intn(len(l))] }
	name := func() string { return pick("A", "B", "C", "D", "PATH") }
	word := func() string {
		return pick("1", "x", "$A", "$B", "${C:-d}", "a$D", "$PATH:/b", "${A}b", `'q $A'`, `"w $B"`, `\$A`, "${E:-$A}", "$ZZ")
	}
	pairs := func(n int) (s string) {
		for range n {
			s += " " + name() + "=" + word()
		}
		return s
	}
	instruction := []func() string{
		func() string { return "ENV" + pairs(1+r.Intn(5)) },
		func() string { return "ENV" + pairs(2+r.Intn(4)) },
		func() string { return "ARG " + pick("A", "B", "C") + pick("", "="+word()) },
		func() string { return "ARG TARGETSTAGE" },
		func() string {
			return "RUN " + pick("", "--mount=type=cache,target=/m ", "--mount=type=tmpfs,target=/m --mount=target=/m,rw ",
				"--mount=type=secret,id=a,target=/m --mount=type=cache,target=/m/n --mount=type=tmpfs,target=/m ") + "echo $A $B"
		},
		func() string { return "EXPOSE " + pick("80", "8${N:-0}/udp", "$PORT") },
		func() string { return "VOLUME /v" + word() },
		func() string { return "STOPSIGNAL " + pick("TERM", "${S:-9}") },
		func() string { return "WORKDIR " + pick("/w", "w$A", "/x$B") },
		func() string { return "USER " + pick("u", "u$A", "0") },
		func() string { return "LABEL" + pairs(2) },
		func() string {
			return "ADD " + pick("https://example.com/a b /d/", "--unpack=true https://example.com/a b /d/", "--unpack=false b https://example.com/c.git /d$A/", "x$A y /z/")
		},
		func() string { return pick("ENV PORT=1 S=1 N=1", "ARG PORT=2", "ENV N=2") },
	}
	b := strings.Builder{}
	b.WriteString(pick("", "ARG A=g\n") + "FROM alpine AS s0\nARG PORT=80\n")
	for s := range 1 + r.Intn(3) {
		if s > 0 {
			b.WriteString("FROM " + pick("alpine", "scratch", fmt.Sprintf("s%d", r.Intn(s))) + pick("", fmt.Sprintf(" AS s%d", s)) + "\nARG PORT\n")
		}
		for range 2 + r.Intn(8) {
			b.WriteString(instruction[r.Intn(len(instruction))]() + "\n")
		}
	}
	return b.String()
}
