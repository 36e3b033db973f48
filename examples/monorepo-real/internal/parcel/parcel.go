// Package parcel is what the services of the parcel company know about parcels.
package parcel

import (
	"fmt"
	"strings"
)

// A Parcel is one thing that is carried.
type Parcel struct {
	ID     string `json:"id"`
	To     string `json:"to"`
	Grams  int    `json:"grams"`
	Events string `json:"-"` // one letter an event, in their order: see Status
}

// All lists the parcels on their way today.
func All() []Parcel {
	return []Parcel{
		{New(1001), "Hamburg", 480, "AC"},
		{New(1002), "Munich", 2300, "ACD"},
		{New(1003), "Leipzig", 12000, "A"},
	}
}

// New returns the ID of a number: P, the number and a check digit.
func New(number int) string {
	return fmt.Sprintf("P%d-%d", number, check(number))
}

// Valid says whether an ID has the check digit that belongs to its number.
func Valid(id string) bool {
	var number, digit int
	if n, err := fmt.Sscanf(id, "P%d-%d", &number, &digit); n != 2 || err != nil {
		return false
	}
	return id == New(number)
}

// check is the Luhn digit of a number.
func check(number int) int {
	sum := 0
	for double := true; number > 0; number, double = number/10, !double {
		d := number % 10
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return (10 - sum%10) % 10
}

// Find returns the parcel with an ID, in any case.
func Find(id string) (Parcel, bool) {
	for _, p := range All() {
		if strings.EqualFold(p.ID, id) {
			return p, true
		}
	}
	return Parcel{}, false
}

// Price is what carrying a parcel costs, in cents: a base and a part for each
// kilogram begun.
func Price(grams int) int {
	kilograms := (grams + 999) / 1000
	return 390 + 110*kilograms
}

// Status is where a parcel is, by its last event.
func (p Parcel) Status() string {
	switch p.Events[len(p.Events)-1] {
	case 'A':
		return "accepted"
	case 'C':
		return "carried"
	case 'D':
		return "delivered"
	}
	return "lost"
}
