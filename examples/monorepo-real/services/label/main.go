// Command label prints the label of a parcel, given its number.
package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"

	"example.com/parcels/internal/parcel"
)

// bars makes a bar code of a text: eight bars a character.
func bars(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		for bit := 7; bit >= 0; bit-- {
			if c>>bit&1 == 1 {
				b.WriteByte('|')
			} else {
				b.WriteByte('.')
			}
		}
	}
	return b.String()
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: label NUMBER")
	}
	number, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	id := parcel.New(number)
	fmt.Printf("%s\n%s\n", id, bars(id))
}
