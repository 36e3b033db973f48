// Command worker adds up the price of the catalog, one goroutine a product.
package main

import (
	"fmt"
	"log"
	"sync/atomic"

	"example.com/shop/internal/catalog"
	"golang.org/x/sync/errgroup"
)

func main() {
	var total atomic.Int64
	var group errgroup.Group
	for _, product := range catalog.Products() {
		group.Go(func() error {
			if product.Cents <= 0 {
				return fmt.Errorf("%s has no price", product.Name)
			}
			total.Add(int64(product.Cents))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("one of everything: %d.%02d\n", total.Load()/100, total.Load()%100)
}
