package build

import (
	"testing"

	"github.com/hbuild/hbuild/compiler/ir"
)

func TestNameOf(t *testing.T) {
	for _, c := range []struct {
		target ir.Target
		want   string
	}{
		{ir.Target{Addr: "target.prod", Name: "prod"}, "prod"},
		{ir.Target{Addr: "test.unit", Name: "unit", Test: true}, "test.unit"},
		{ir.Target{Addr: `test.unit["a/b"]`, Name: "unit.a/b", Test: true}, "test.unit.a/b"},
		{ir.Target{Addr: `api/test.unit`, Name: "api/unit", Test: true}, "api/test.unit"},
		{ir.Target{Addr: `svc["x/y"]/test.unit["a/b/c"]`, Name: "svc.x/y/unit.a/b/c", Test: true}, "svc.x/y/test.unit.a/b/c"},
	} {
		if got := nameOf(&c.target); got != c.want {
			t.Errorf("%s is %q, not %q", c.target.Addr, got, c.want)
		}
	}
}
