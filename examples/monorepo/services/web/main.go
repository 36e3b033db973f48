// Command web shows the catalog as a page.
package main

import (
	_ "embed"
	"html/template"
	"log"
	"net/http"

	"example.com/shop/internal/catalog"
	"example.com/shop/internal/serve"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

func main() {
	serve.Main(":8081", func(w http.ResponseWriter, r *http.Request) {
		if err := page.Execute(w, catalog.Products()); err != nil {
			log.Print(err)
		}
	})
}
