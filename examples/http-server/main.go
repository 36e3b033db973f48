// Command server serves one page over HTTP.
package main

import (
	_ "embed"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

// version is set by the linker: go build -ldflags "-X main.version=1.2.0".
var version = "dev"

//go:embed page.html
var page string

func main() {
	addr := flag.String("addr", ":8080", "address to listen on")
	selfTest := flag.Bool("self-test", false, "fetch the page over a loopback connection, print it and exit")
	flag.Parse()

	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.ReplaceAll(page, "VERSION", version))
	})

	if *selfTest {
		if err := fetchOwnPage(os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	log.Printf("listening on %s", *addr)
	log.Fatal(http.ListenAndServe(*addr, nil))
}

// fetchOwnPage serves on a free loopback port and copies the page it gets to w.
func fetchOwnPage(w io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, nil)

	response, err := http.Get("http://" + listener.Addr().String() + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(w, response.Body)
	return err
}
