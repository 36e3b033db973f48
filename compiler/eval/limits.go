package eval

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/zclconf/go-cty/cty"

	"github.com/hbuild/hbuild/compiler/ir"
	"github.com/hbuild/hbuild/lang"
	"github.com/hbuild/hbuild/lang/diag"
)

func (ev *Evaluator) duration(it *item) time.Duration {
	s, ok := ev.str(it)
	if !ok {
		return 0
	}
	d, err := parseDuration(s)
	if err != nil {
		it.errorf(diag.BadDuration, fmt.Sprintf("%q is no duration", s), "%s.", upperFirst(err.Error()))
	}
	return d
}

func (ev *Evaluator) size(it *item) int64 {
	s, ok := ev.str(it)
	if !ok {
		return 0
	}
	n, err := parseSize(s)
	if err != nil {
		it.errorf(diag.BadSize, fmt.Sprintf("%q is no size", s), "%s.", upperFirst(err.Error()))
	}
	return n
}

func (ev *Evaluator) hosts(a *lang.Attr, sc *scope) []ir.Host {
	if a == nil {
		return nil
	}
	return ev.hostsOf(ev.item(a, sc))
}

func (ev *Evaluator) hostsOf(it *item) (out []ir.Host) {
	entries, _ := ev.entries(it, "a map of names to addresses")
	for _, e := range entries {
		if e.item.null() {
			continue
		}
		if ip, ok := ev.checked(e.item, diag.BadHost, "address", checkHostIP); ok {
			out = append(out, ir.Host{Name: e.key, IP: strings.Trim(ip, "[]")})
		}
	}
	return out
}

func (ev *Evaluator) ulimits(a *lang.Attr, sc *scope) []ir.Ulimit {
	if a == nil {
		return nil
	}
	return ev.ulimitsOf(ev.item(a, sc))
}

func (ev *Evaluator) ulimitsOf(it *item) (out []ir.Ulimit) {
	entries, _ := ev.entries(it, "a map of limits")
	for _, e := range entries {
		if e.item.null() || e.item.unknown() {
			continue
		}
		if !slices.Contains(ulimitNames, e.key) {
			ev.errorf(diag.BadUlimit, e.keyRange, fmt.Sprintf("No limit is called %q", e.key), "It is one of %s.%s", diag.List(ulimitNames, 20), diag.DidYouMean(e.key, ulimitNames))
			continue
		}
		out = append(out, ev.ulimit(e))
	}
	return out
}

// ulimit reads `1024`, `"1024:2048"` or { soft, hard }.
func (ev *Evaluator) ulimit(e entry) ir.Ulimit {
	u := ir.Ulimit{Name: e.key}
	v := e.item.value()
	switch {
	case v.Type() == cty.Number:
		u.Soft, _ = ev.integer(e.item)
		u.Hard = u.Soft
	case v.Type() == cty.String:
		s, _ := ev.str(e.item)
		p, err := units.ParseUlimit(e.key + "=" + s)
		if err != nil {
			e.item.errorf(diag.BadUlimit, fmt.Sprintf("%q is no limit", s), `Write a number, "soft:hard" or { soft = …, hard = … }.`)
			return u
		}
		u.Soft, u.Hard = p.Soft, p.Hard
	default:
		hard := false
		ev.options(e.item, "a limit", map[string]func(*item){
			"soft": func(it *item) { u.Soft, _ = ev.integer(it) },
			"hard": func(it *item) { u.Hard, hard = ev.integer(it) },
		})
		if !hard {
			u.Hard = u.Soft
		}
	}
	if u.Hard != -1 && u.Soft > u.Hard {
		e.item.errorf(diag.BadUlimit, "The soft limit is above the hard one", "%s has soft %d and hard %d.", u.Name, u.Soft, u.Hard)
	}
	return u
}

func (ev *Evaluator) limits(a *lang.Attr, sc *scope) ir.Limits {
	if a == nil {
		return ir.Limits{}
	}
	return ev.limitsOf(ev.item(a, sc))
}

func (ev *Evaluator) limitsOf(it *item) (l ir.Limits) {
	num := func(to *int64) func(*item) { return func(it *item) { *to, _ = ev.integer(it) } }
	text := func(to *string) func(*item) { return func(it *item) { *to, _ = ev.str(it) } }
	ev.options(it, "limits", map[string]func(*item){
		"memory": func(it *item) { l.Memory = ev.size(it) },
		"memory_swap": func(it *item) {
			if s, ok := ev.str(it); ok && s == "-1" {
				l.MemorySwap = -1
				return
			}
			l.MemorySwap = ev.size(it)
		},
		"cpu_shares": num(&l.CPUShares), "cpu_period": num(&l.CPUPeriod), "cpu_quota": num(&l.CPUQuota),
		"cpuset_cpus": text(&l.CPUSetCPUs), "cpuset_mems": text(&l.CPUSetMems),
	})
	return l
}
