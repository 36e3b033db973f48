// Command greet greets everybody named in a file, one name a line.
package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"strings"
)

const namesFile = "/var/lib/greet/names.txt"

func main() {
	log.SetFlags(0)
	text, err := os.ReadFile(namesFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Fatal(err)
	}
	names := strings.Fields(string(text))
	if os.Getenv("GREET_DEBUG") != "" {
		fmt.Printf("debug: %d names in %s\n", len(names), namesFile)
	}
	fmt.Println(greeting(names))
}

// greeting addresses everybody in names, or the world.
func greeting(names []string) string {
	if len(names) == 0 {
		return "Hello, world!"
	}
	return "Hello, " + strings.Join(names, " and ") + "!"
}
