package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

// stepFlags are the flags about all steps of a build. They have the names, values
// and meanings that docker build gives them, and come before what targets say.
type stepFlags struct {
	options ir.BuildOptions
	noCache noCacheValue
	pull    bool
}

// register adds the flags to a command.
func (f *stepFlags) register(cmd *cobra.Command) {
	fs, o := cmd.Flags(), &f.options
	fs.Var(&f.noCache, "no-cache", "run every step again, or with `=STAGE,...` those of some stages")
	fs.Lookup("no-cache").NoOptDefVal = "true"
	fs.BoolVar(&f.pull, "pull", false, "ask registries for newer base images")
	fs.Var(parsed{"NAME:IP", func(s string) error { return addHost(o, s) }}, "add-host", "add a line to /etc/hosts of steps: `NAME:IP`; repeatable")
	fs.Var(parsed{"TYPE=SOFT[:HARD]", func(s string) error { return addUlimit(o, s) }}, "ulimit", "limit the processes of steps: `TYPE=SOFT[:HARD]`; repeatable")
	fs.Var(bytesValue{&o.ShmSize, false}, "shm-size", "size of /dev/shm in steps: `BYTES`, 64m")
	fs.Var(bytesValue{&o.Limits.Memory, false}, "memory", "memory that a step may use: `BYTES`, 2g")
	fs.Var(bytesValue{&o.Limits.MemorySwap, true}, "memory-swap", "memory and swap that a step may use: `BYTES`, -1 for no limit")
	fs.Int64Var(&o.Limits.CPUShares, "cpu-shares", 0, "weight of steps against other processes: `N`, 1024 is usual")
	fs.Int64Var(&o.Limits.CPUPeriod, "cpu-period", 0, "period of the CPU quota: `MICROSECONDS`")
	fs.Int64Var(&o.Limits.CPUQuota, "cpu-quota", 0, "CPU time that a step has in a period: `MICROSECONDS`")
	fs.StringVar(&o.Limits.CPUSetCPUs, "cpuset-cpus", "", "processors that steps may use: `LIST`, 0-3,5")
	fs.StringVar(&o.Limits.CPUSetMems, "cpuset-mems", "", "memory nodes that steps may use: `LIST`, 0,1")
	fs.StringVar(&o.CgroupParent, "cgroup-parent", "", "`CGROUP` that the steps' are below")
	fs.StringVar(&o.Hostname, "hostname", "", "`NAME` of the host in steps")
	networks := []string{string(ir.NetDefault), string(ir.NetNone), string(ir.NetHost)}
	fs.Var(parsed{"MODE", func(s string) error {
		if !slices.Contains(networks, s) {
			return fmt.Errorf("%q is none of %s", s, strings.Join(networks, ", "))
		}
		o.Network = ir.NetMode(s)
		return nil
	}}, "network", "network of steps that say nothing of it: `MODE` is default, none or host")
	must(cmd.RegisterFlagCompletionFunc("network", fixedCompletion(networks...)))
	for _, name := range []string{"no-cache", "add-host", "ulimit", "shm-size", "memory", "memory-swap", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems", "hostname"} {
		must(cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions))
	}
}

// apply puts the flags over what the targets of a graph say.
func (f *stepFlags) apply(p *program, g *ir.Graph) error {
	for _, name := range f.noCache.stages {
		if err := p.checkStage(name); err != nil {
			return err
		}
	}
	g.SkipCaches(f.noCache.stages)
	for _, t := range g.Targets {
		t.Options.Override(f.options)
		t.NoCache = t.NoCache || f.noCache.all
		t.Pull = t.Pull || f.pull
	}
	return nil
}

// checkStage refuses a name that is no stage of the module: its cache would be
// used, and nobody would know.
func (p *program) checkStage(name string) error {
	base, _, _ := strings.Cut(strings.TrimPrefix(name, "stage."), ".")
	base, _, _ = strings.Cut(base, "[")
	names := p.Module.Names(lang.KindStage)
	if slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, base) || dockerStage(n, name) }) {
		return nil
	}
	for _, st := range p.Evaluator().Stages() { // of called modules
		if strings.EqualFold(st.Name, name) || st.Addr == name {
			return nil
		}
	}
	return usagef("--no-cache=%s: no stage is called that.%s There are: %s.", name, diag.DidYouMean(base, names), diag.List(names, 20))
}

// dockerStage reports whether name may be that of an instance of a stage in a
// Dockerfile: svc-api for svc["api"].
func dockerStage(stage, name string) bool {
	rest, ok := strings.CutPrefix(strings.ToLower(name), strings.ToLower(stage))
	return ok && strings.HasPrefix(rest, "-")
}

// noCacheValue is --no-cache, alone for all stages, or --no-cache=STAGE,...
type noCacheValue struct {
	all    bool
	stages []string
}

func (v *noCacheValue) String() string {
	if v.all {
		return "true"
	}
	return strings.Join(v.stages, ",")
}

func (v *noCacheValue) Type() string { return "string" }

func (v *noCacheValue) Set(s string) error {
	if all, err := strconv.ParseBool(s); err == nil && len(s) > 1 {
		v.all = all
		return nil
	}
	for _, name := range strings.Split(s, ",") {
		if name = strings.TrimSpace(name); name == "" {
			return errors.New("a stage's name is empty")
		}
		v.stages = append(v.stages, name)
	}
	return nil
}

// parsed is a flag whose values a function takes.
type parsed struct {
	kind string
	set  func(string) error
}

func (p parsed) String() string     { return "" }
func (p parsed) Type() string       { return p.kind }
func (p parsed) Set(s string) error { return p.set(s) }

// bytesValue is a size as docker build reads it: 64m, 1.5g, bytes without a unit.
type bytesValue struct {
	n         *int64
	unlimited bool // -1 is a value
}

func (v bytesValue) String() string {
	if v.n == nil || *v.n == 0 {
		return ""
	}
	return strconv.FormatInt(*v.n, 10)
}

func (v bytesValue) Type() string { return "bytes" }

func (v bytesValue) Set(s string) error {
	if v.unlimited && s == "-1" {
		*v.n = -1
		return nil
	}
	n, err := units.RAMInBytes(s)
	if err == nil && n <= 0 {
		err = errors.New("a size is above zero")
	}
	if err != nil {
		return err
	}
	*v.n = n
	return nil
}

// addHost reads NAME:IP or NAME=IP, the address in brackets or not. docker's own
// parser brings its engine's whole client along, so its rules are here.
func addHost(o *ir.BuildOptions, s string) error {
	name, ip, ok := strings.Cut(s, "=")
	if !ok {
		name, ip, ok = strings.Cut(s, ":") // an IPv6 address has more of them
	}
	if !ok || name == "" || strings.Contains(name, ":") {
		return errors.New("it is not NAME:IP")
	}
	if len(ip) > 2 && ip[0] == '[' && ip[len(ip)-1] == ']' {
		ip = ip[1 : len(ip)-1]
	}
	if ip == "host-gateway" {
		return errors.New("host-gateway is the Docker engine's own word; BuildKit takes an address")
	}
	if net.ParseIP(ip) == nil {
		return fmt.Errorf("%q is not an IP address", ip)
	}
	o.Hosts = append(o.Hosts, ir.Host{Name: name, IP: ip})
	return nil
}

func addUlimit(o *ir.BuildOptions, s string) error {
	u, err := units.ParseUlimit(s)
	if err != nil {
		return err
	}
	o.Ulimits = append(o.Ulimits, ir.Ulimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	return nil
}
