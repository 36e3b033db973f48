package llb

import (
	"net"
	"sort"
	"strings"

	"github.com/containerd/platforms"
	bk "github.com/moby/buildkit/client/llb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Build arguments that BuildKit knows.
const (
	argEpoch      = "SOURCE_DATE_EPOCH"
	argHostname   = "BUILDKIT_SANDBOX_HOSTNAME"
	argCacheNS    = "BUILDKIT_CACHE_MOUNT_NS"
	argGitAdvice  = "BUILDKIT_GIT_ADVICE"
	argKeepGitDir = "BUILDKIT_CONTEXT_KEEP_GIT_DIR"

	// MultiPlatformArg makes an index of an image of one platform.
	MultiPlatformArg = "BUILDKIT_MULTI_PLATFORM"

	argScanContext = "BUILDKIT_SBOM_SCAN_CONTEXT"
	argScanStage   = "BUILDKIT_SBOM_SCAN_STAGE"
)

// notEnv are the build arguments that are no environment variables when they are
// declared.
var notEnv = map[string]bool{argScanContext: true, argScanStage: true}

// autoArgs are the arguments that every stage may declare without a value.
func autoArgs(build, target ocispecs.Platform, stage string, set map[string]string) map[string]string {
	args := map[string]string{
		"BUILDPLATFORM":   platforms.Format(build),
		"BUILDOS":         build.OS,
		"BUILDOSVERSION":  build.OSVersion,
		"BUILDARCH":       build.Architecture,
		"BUILDVARIANT":    build.Variant,
		"TARGETPLATFORM":  platforms.FormatAll(target),
		"TARGETOS":        target.OS,
		"TARGETOSVERSION": target.OSVersion,
		"TARGETARCH":      target.Architecture,
		"TARGETVARIANT":   target.Variant,
		"TARGETSTAGE":     stage,
	}
	for k := range args {
		if v, ok := set[k]; ok {
			args[k] = v
		}
	}
	return args
}

// proxyEnv is what the predefined proxy arguments ask for; nil when none is set.
func proxyEnv(args map[string]string) *bk.ProxyEnv {
	var p bk.ProxyEnv
	found := false
	keys := make([]string, 0, len(args))
	for k := range args {
		keys = append(keys, k)
	}
	sort.Strings(keys) // both cases of a name may be set: the last wins
	for _, k := range keys {
		into := map[string]*string{
			"http_proxy": &p.HTTPProxy, "https_proxy": &p.HTTPSProxy, "ftp_proxy": &p.FTPProxy,
			"no_proxy": &p.NoProxy, "all_proxy": &p.AllProxy,
		}[strings.ToLower(k)]
		if into != nil {
			*into, found = args[k], true
		}
	}
	if !found {
		return nil
	}
	return &p
}

func (l *lowerer) buildHosts(b *build) {
	for _, h := range b.Options.Hosts {
		ip := net.ParseIP(h.IP)
		if ip == nil {
			l.errorf(CodeBuildOption, b.Stage.Range, "Bad host", "%q is not an IP address.", h.IP)
			continue
		}
		b.hosts = append(b.hosts, bk.HostIP{Host: strings.ToLower(h.Name), IP: ip})
	}
}
