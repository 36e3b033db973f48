package parcel

import "testing"

func TestCheckDigit(t *testing.T) {
	for _, p := range All() {
		if !Valid(p.ID) {
			t.Errorf("%s is not valid", p.ID)
		}
	}
	for _, id := range []string{"P1001-0", "P1010-9", "1001-9", "P1001"} {
		if Valid(id) {
			t.Errorf("%s is valid", id)
		}
	}
}

func TestPrice(t *testing.T) {
	for grams, cents := range map[int]int{1: 500, 1000: 500, 1001: 610, 12000: 1710} {
		if got := Price(grams); got != cents {
			t.Errorf("%d g cost %d, want %d", grams, got, cents)
		}
	}
}
