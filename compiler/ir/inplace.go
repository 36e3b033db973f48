package ir

import "slices"

// InPlace is what the flags of docker build say of a Dockerfile whose stages are
// used in place. It holds for the steps of such a stage, and for those that the
// triggers of its base image add.
type InPlace struct {
	Network NetMode // of steps that name none
	Hosts   []Host
	Ulimits []Ulimit
	// Main is the context that triggers read; nil is the graph's.
	Main *Context
}

// Run is a run step of a stage with what the flags say of it. The step itself
// stays as it is.
func (p *InPlace) Run(r *Run) *Run {
	if p == nil || p.Network == "" && len(p.Hosts)+len(p.Ulimits) == 0 {
		return r
	}
	out := *r
	if out.Network == "" || out.Network == NetDefault {
		out.Network = p.Network
	}
	out.Hosts = slices.Concat(p.Hosts, r.Hosts)
	out.Ulimits = slices.Concat(p.Ulimits, r.Ulimits)
	return &out
}

// text is what differs from a stage without flags, for [Print].
func (p *InPlace) text() string {
	if p == nil {
		return ""
	}
	return opt(" network", string(p.Network)) + hostsText(p.Hosts) + ulimitsText(p.Ulimits)
}
