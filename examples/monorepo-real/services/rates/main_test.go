package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	var b strings.Builder
	table(&b, 1, 10)
	if want := "up to  1 kg   5.00\nup to 10 kg  14.90\n"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
}
