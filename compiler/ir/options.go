package ir

import (
	"slices"
	"strconv"
	"strings"
)

// Override puts what a caller's flags say over what the build file says. What f
// leaves zero stays. A host, a ulimit or a build argument of f takes the place of
// those of its name; a name that f gives several addresses has all of them.
func (o *BuildOptions) Override(f BuildOptions) {
	for _, kv := range f.BuildArgs {
		o.BuildArgs = append(slices.DeleteFunc(slices.Clone(o.BuildArgs), func(old KV) bool { return old.Key == kv.Key }), kv)
	}
	o.Hosts = append(slices.DeleteFunc(slices.Clone(o.Hosts), func(old Host) bool {
		return slices.ContainsFunc(f.Hosts, func(h Host) bool { return strings.EqualFold(h.Name, old.Name) })
	}), f.Hosts...)
	for _, u := range f.Ulimits {
		o.Ulimits = append(slices.DeleteFunc(slices.Clone(o.Ulimits), func(old Ulimit) bool { return old.Name == u.Name }), u)
	}
	override(&o.ShmSize, f.ShmSize)
	override(&o.Hostname, f.Hostname)
	override(&o.CgroupParent, f.CgroupParent)
	override(&o.Network, f.Network)
	override(&o.Limits.Memory, f.Limits.Memory)
	override(&o.Limits.MemorySwap, f.Limits.MemorySwap)
	override(&o.Limits.CPUShares, f.Limits.CPUShares)
	override(&o.Limits.CPUPeriod, f.Limits.CPUPeriod)
	override(&o.Limits.CPUQuota, f.Limits.CPUQuota)
	override(&o.Limits.CPUSetCPUs, f.Limits.CPUSetCPUs)
	override(&o.Limits.CPUSetMems, f.Limits.CPUSetMems)
	if f.Epoch != nil || f.EpochFrom != nil {
		o.Epoch, o.EpochFrom = f.Epoch, f.EpochFrom
	}
}

func override[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

// SkipCaches marks the stages that a caller wants to be run again: by their names
// in a Dockerfile, in which case does not count, or by their addresses, with or
// without "stage.".
func (g *Graph) SkipCaches(names []string) {
	for _, s := range g.Stages {
		if slices.ContainsFunc(names, func(name string) bool {
			return strings.EqualFold(name, s.Name) || name == s.Addr || "stage."+name == s.Addr
		}) {
			s.NoCache = true
		}
	}
}

// Flag reports whether one of BuildKit's boolean build arguments is on.
func (o *BuildOptions) Flag(name string) bool {
	on := false
	for _, kv := range o.BuildArgs {
		if v, err := strconv.ParseBool(kv.Value); kv.Key == name && err == nil {
			on = v
		}
	}
	return on
}
