// Command tracker shows where one parcel is: GET /PARCEL.
package main

import (
	"fmt"
	"net/http"

	"example.com/parcels/internal/parcel"
	"example.com/parcels/internal/serve"
)

func track(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Path[1:]
	p, ok := parcel.Find(id)
	if !ok {
		http.Error(w, "no parcel "+id, http.StatusNotFound)
		return
	}
	fmt.Fprintf(w, "%s to %s: %s\n", p.ID, p.To, p.Status())
}

func main() {
	serve.Main(":8081", http.HandlerFunc(track))
}
