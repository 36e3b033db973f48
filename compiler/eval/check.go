package eval

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/go-units"
	"github.com/moby/sys/signal"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	mode "github.com/tonistiigi/dchapes-mode"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang/diag"
)

// The checks of this file look at one literal text each and say what is wrong
// with it and what would be right, without the place.

var (
	sharings   = []string{"shared", "private", "locked"}
	networks   = []string{"default", "none", "host"}
	securities = []string{"sandbox", "insecure"}
	// knownArchs are the architectures that containerd/platforms normalises; any
	// other word parses as a platform too, which is how typos get through.
	knownArchs = []string{"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"}
	knownOSes  = []string{"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "wasip1", "js"}
)

func parsePlatform(s string) (ocispecs.Platform, error) {
	p, err := platforms.Parse(s)
	if err != nil {
		return p, fmt.Errorf("a platform is os/architecture[/variant], such as linux/amd64 or linux/arm/v7")
	}
	if !strings.Contains(s, "/") {
		return p, fmt.Errorf("write the operating system and the architecture: %s", platforms.FormatAll(p))
	}
	if !slices.Contains(knownOSes, p.OS) {
		return p, fmt.Errorf("no operating system is called %q.%s", p.OS, diag.DidYouMean(p.OS, knownOSes))
	}
	if !slices.Contains(knownArchs, p.Architecture) {
		return p, fmt.Errorf("no architecture is called %q.%s", p.Architecture, diag.DidYouMean(p.Architecture, knownArchs))
	}
	return platforms.Normalize(p), nil
}

func checkTag(s string) error {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return fmt.Errorf("%v. A tag is [registry/]name[:tag] in lower case", err)
	}
	if _, ok := named.(reference.Digested); ok {
		return errors.New("a digest follows from the build and cannot be chosen; drop the @…")
	}
	return nil
}

var portForm = regexp.MustCompile(`^(\d+)(?:-(\d+))?(?:/([A-Za-z]+))?$`)

func checkPort(s string) error {
	m := portForm.FindStringSubmatch(s)
	if m == nil {
		return errors.New("a port is 8080, 8080/udp or 8000-8010/tcp")
	}
	lo, err := strconv.ParseUint(m[1], 10, 16)
	if err != nil {
		return errors.New("ports go from 0 to 65535")
	}
	if m[2] != "" {
		hi, err := strconv.ParseUint(m[2], 10, 16)
		if err != nil {
			return errors.New("ports go from 0 to 65535")
		}
		if hi < lo {
			return fmt.Errorf("the range runs backwards; write %d-%d", hi, lo)
		}
	}
	if proto := strings.ToLower(m[3]); proto != "" && proto != "tcp" && proto != "udp" && proto != "sctp" {
		return errors.New("the protocol is tcp, udp or sctp")
	}
	return nil
}

func checkSignal(s string) error {
	if _, err := signal.ParseSignal(s); err != nil {
		names := make([]string, 0, len(signal.SignalMap))
		for n := range signal.SignalMap {
			names = append(names, "SIG"+n)
		}
		return fmt.Errorf("a signal is a name such as SIGTERM or a number such as 15.%s", diag.DidYouMean(s, names))
	}
	return nil
}

// checkChmod checks an octal or symbolic mode as BuildKit's COPY does.
func checkChmod(s string) error {
	if n, err := strconv.ParseUint(s, 8, 32); err == nil {
		if n > 0o7777 {
			return errors.New("an octal mode goes from 0 to 7777")
		}
		return nil
	}
	if _, err := mode.Parse(s); err != nil {
		return errors.New("a mode is octal (\"0755\") or symbolic (\"u+x,go-w\")")
	}
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("a duration is a number with a unit: 30s, 1m30s, 500ms")
	}
	if d != 0 && d < time.Millisecond {
		return 0, errors.New("a duration is 0 or at least 1ms")
	}
	return d, nil
}

func parseSize(s string) (int64, error) {
	n, err := units.RAMInBytes(s)
	if err != nil || n < 0 {
		return 0, errors.New("a size is a number of bytes with an optional unit: 64m, 1g, 1048576")
	}
	return n, nil
}

func checkHostIP(s string) error {
	if s == "host-gateway" {
		return nil
	}
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err != nil {
		return errors.New("an address is IPv4 or IPv6, such as 10.0.0.7 or ::1")
	}
	return nil
}

var textName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// checkTextName checks a text's name, which is a file's name and the word of a
// heredoc.
func checkTextName(s string) error {
	if !textName.MatchString(s) {
		return errors.New("a name has letters, digits, _, - and . only")
	}
	return nil
}

// ulimitNames are those of docker's --ulimit.
var ulimitNames = []string{"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}

// enum reads one of a list of words; code is what another one is called.
func (ev *Evaluator) enum(it *item, code diag.Code, what string, words []string) string {
	s, ok := ev.str(it)
	if !ok {
		return ""
	}
	if !slices.Contains(words, s) {
		it.errorf(code, fmt.Sprintf("%q is no %s", s, what), "It is one of %s.%s", diag.List(words, 10), diag.DidYouMean(s, words))
		return ""
	}
	return s
}

// checked reads a literal text and checks it.
func (ev *Evaluator) checked(it *item, code diag.Code, what string, check func(string) error) (string, bool) {
	s, ok := ev.str(it)
	if !ok {
		return "", false
	}
	if err := check(s); err != nil {
		it.errorf(code, fmt.Sprintf("%q is no %s", s, what), "%s", sentence(upperFirst(err.Error())))
		return "", false
	}
	return s, true
}

// checkedWord reads a text that expands, and checks it when it is the same in
// every environment.
func (ev *Evaluator) checkedWord(it *item, code diag.Code, what string, check func(string) error) (ir.Word, bool) {
	w, ok := ev.word(it)
	if !ok {
		return "", false
	}
	if s, constant := w.Const(); constant {
		if err := check(s); err != nil {
			it.errorf(code, fmt.Sprintf("%q is no %s", s, what), "%s", sentence(upperFirst(err.Error())))
			return "", false
		}
	}
	return w, true
}

func upperFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func notEmpty(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	return nil
}
