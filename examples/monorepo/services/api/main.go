// Command api answers with the catalog as JSON.
package main

import (
	"encoding/json"
	"net/http"

	"example.com/shop/internal/catalog"
	"example.com/shop/internal/serve"
)

func main() {
	serve.Main(":8080", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(catalog.Products())
	})
}
