// Command api answers with the parcels, their prices and where they are, as JSON.
package main

import (
	"encoding/json"
	"net/http"

	"example.com/parcels/internal/parcel"
	"example.com/parcels/internal/serve"
)

type answer struct {
	parcel.Parcel
	Cents  int    `json:"cents"`
	Status string `json:"status"`
}

func list(w http.ResponseWriter, _ *http.Request) {
	var all []answer
	for _, p := range parcel.All() {
		all = append(all, answer{p, parcel.Price(p.Grams), p.Status()})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(all)
}

func main() {
	serve.Main(":8080", http.HandlerFunc(list))
}
