package frontend_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestParts builds more targets than read one source of the context: each part is sent
// with the files that are read of it, and no other.
func TestParts(t *testing.T) {
	fe := frontendImage(t)
	files := map[string]string{"hbuild.hcl": `
stage "svc" {
  for_each = { for f in fileset(".", "services/*/data") : basename(dirname(f)) => f }
  from     = scratch
  copy { files = { "/data" = each.value } }
}

target "svc" {
  for_each = stage.svc
  image    = each.value
}

stage "some" {
  from = scratch
  copy { files = { "/1" = "services/s1/data" } }
  copy { files = { "/2" = "services/s2/data" } }
  copy { files = { "/3" = "services/s3/data" } }
  copy { files = { "/4" = "services/s4/data" } }
}

target "default" {
  image    = stage.some
  requires = values(target.svc)
}
`}
	for i := range 110 {
		files[fmt.Sprintf("services/s%d/data", i)] = fmt.Sprintf("of %d", i)
		files[fmt.Sprintf("services/s%d/large", i)] = strings.Repeat("x", 1<<20)
	}
	dir := module(t, fe.ref, files)
	r := ok(t, buildx(t, dir, "build", "-f", "hbuild.hcl", "-o", "out", "."))
	for i := 1; i <= 4; i++ {
		if got, want := content(t, filepath.Join(dir, "out", fmt.Sprint(i))), fmt.Sprintf("of %d", i); got != want {
			t.Errorf("/%d is %q, want %q", i, got, want)
		}
	}
	loads := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(#\d+) \[internal\] load build context$`).FindAllStringSubmatch(r.stderr, -1) {
		loads[m[1]] = true
	}
	if len(loads) != 2 {
		t.Errorf("%d sources of the context, not 2\n%s", len(loads), r.stderr)
	}
	for _, m := range regexp.MustCompile(`transferring \S+ (\S+)`).FindAllStringSubmatch(r.stderr, -1) {
		if strings.Contains(m[1], "MB") {
			t.Errorf("too much was sent: %s\n%s", m[0], r.stderr)
		}
	}
}
