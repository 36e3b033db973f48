package main

import "testing"

func TestBars(t *testing.T) {
	if got := bars("P1"); got != ".|.|......||...|" {
		t.Errorf("got %s", got)
	}
}
