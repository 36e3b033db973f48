// Command rates prints what parcels cost.
package main

import (
	"fmt"
	"io"
	"os"

	"example.com/parcels/internal/parcel"
)

func table(w io.Writer, kilograms ...int) {
	for _, kg := range kilograms {
		cents := parcel.Price(kg * 1000)
		fmt.Fprintf(w, "up to %2d kg %3d.%02d\n", kg, cents/100, cents%100)
	}
}

func main() {
	table(os.Stdout, 1, 2, 5, 10, 31)
}
