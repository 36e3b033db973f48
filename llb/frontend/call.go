package frontend

import (
	"maps"
	"slices"
	"strings"

	bk "github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"

	"github.com/hbuild/hbuild/compiler/ir"
)

// caps are what a client may ask a frontend for; the image's label has them too.
var caps = []string{
	"moby.buildkit.frontend.inputs",
	"moby.buildkit.frontend.subrequests",
	"moby.buildkit.frontend.contexts",
	"moby.buildkit.frontend.gitquerystring",
	"moby.buildkit.frontend.contexts.zstd",
}

// checkCaps refuses a call that needs what this frontend cannot do. A name may
// have "+forward" behind it, which is for frontends that hand calls on.
func checkCaps(want string) error {
	for name := range strings.SplitSeq(want, ",") {
		name, _, _ = strings.Cut(name, "+")
		if name != "" && !slices.Contains(caps, name) {
			return grpcerrors.WrapCode(errdefs.NewUnsupportedFrontendCapError(name), codes.Unimplemented)
		}
	}
	return nil
}

// The build arguments that mean something to BuildKit wherever they are given.
var (
	proxyArgs = []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}
	autoArgs  = []string{
		"BUILDPLATFORM", "BUILDOS", "BUILDOSVERSION", "BUILDARCH", "BUILDVARIANT",
		"TARGETPLATFORM", "TARGETOS", "TARGETOSVERSION", "TARGETARCH", "TARGETVARIANT", "TARGETSTAGE",
	}
)

const argEpoch = "SOURCE_DATE_EPOCH"

// predefined reports whether a build argument is BuildKit's own, so that it need
// not be a variable of the module.
func predefined(name string) bool {
	return strings.HasPrefix(name, "BUILDKIT_") || name == argEpoch || slices.Contains(autoArgs, name) ||
		slices.Contains(proxyArgs, strings.ToUpper(name)) && (name == strings.ToUpper(name) || name == strings.ToLower(name))
}

// call is what the caller's flags say.
type call struct {
	address    string
	filename   string
	args       map[string]string // --build-arg
	epoch      string            // --build-arg SOURCE_DATE_EPOCH
	contexts   []string          // names of --build-context, sorted; one may have "::" and a platform behind it
	noCacheAll bool
	noCache    []string // stages
	options    ir.BuildOptions
	labels     []ir.KV
	revision   string // of the caller's checkout, "" for unknown
}

// readCall reads the options that the Dockerfile frontend has. What ui has read
// already is taken from there.
func readCall(ui *dockerui.Client, opts map[string]string) (*call, error) {
	c := &call{address: "default", filename: dockerui.DefaultDockerfileName, args: map[string]string{}, revision: opts["vcs:revision"]}
	if ui.Target != "" {
		c.address = ui.Target
	}
	if f := opts["filename"]; f != "" {
		c.filename = f
	}
	maps.Copy(c.args, ui.BuildArgs)
	c.epoch = c.args[argEpoch]
	if v, ok := opts["no-cache"]; ok {
		c.noCacheAll = v == ""
		if v != "" {
			c.noCache = strings.Split(v, ",")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(ui.Labels)) {
		c.labels = append(c.labels, ir.KV{Key: k, Value: ui.Labels[k]})
	}
	for k := range opts {
		if name, ok := strings.CutPrefix(k, "context:"); ok {
			c.contexts = append(c.contexts, name)
		}
	}
	slices.Sort(c.contexts)
	c.buildOptions(ui)
	return c, nil
}

func (c *call) buildOptions(ui *dockerui.Client) {
	o := &c.options
	for _, k := range slices.Sorted(maps.Keys(c.args)) {
		if predefined(k) && k != argEpoch {
			o.BuildArgs = append(o.BuildArgs, ir.KV{Key: k, Value: c.args[k]})
		}
	}
	for _, h := range ui.ExtraHosts {
		o.Hosts = append(o.Hosts, ir.Host{Name: h.Host, IP: h.IP.String()})
	}
	for _, u := range ui.Ulimits {
		o.Ulimits = append(o.Ulimits, ir.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	o.ShmSize, o.Hostname, o.CgroupParent = ui.ShmSize, ui.Hostname, ui.CgroupParent
	switch ui.NetworkMode {
	case bk.NetModeHost:
		o.Network = ir.NetHost
	case bk.NetModeNone:
		o.Network = ir.NetNone
	}
	if r := ui.LinuxResources; r != nil {
		o.Limits = limits(r)
	}
}

func limits(r *pb.LinuxResources) ir.Limits {
	return ir.Limits{
		Memory: r.Memory, MemorySwap: r.MemorySwap, CPUShares: int64(r.CpuShares), CPUPeriod: int64(r.CpuPeriod),
		CPUQuota: r.CpuQuota, CPUSetCPUs: r.CpusetCpus, CPUSetMems: r.CpusetMems,
	}
}

// apply puts the flags over what the file says of a target.
func (c *call) apply(t *ir.Target) {
	t.Options.Override(c.options)
	for _, kv := range c.labels {
		t.Labels = setKV(t.Labels, kv)
	}
}

func setKV(list []ir.KV, kv ir.KV) []ir.KV {
	for i := range list {
		if list[i].Key == kv.Key {
			list[i] = kv
			return list
		}
	}
	return append(list, kv)
}
