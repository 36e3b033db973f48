// Package catalog is what the shop sells.
package catalog

// A Product has a name and a price in cents.
type Product struct {
	Name  string `json:"name"`
	Cents int    `json:"cents"`
}

// Products lists everything on sale.
func Products() []Product {
	return []Product{{"anvil", 9900}, {"rope", 1250}, {"tunnel paint", 1599}}
}
