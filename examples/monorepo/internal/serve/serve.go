// Package serve is the main function of the shop's HTTP services.
package serve

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
)

// Main serves handler at the address of the flag -addr. With -once it prints
// the handler's answer to GET / instead.
func Main(defaultAddr string, handler http.HandlerFunc) {
	addr := flag.String("addr", defaultAddr, "address to listen on")
	once := flag.Bool("once", false, "print the answer to one request and exit")
	flag.Parse()

	if !*once {
		log.Fatal(http.ListenAndServe(*addr, handler))
	}
	if err := printAnswer(handler); err != nil {
		log.Fatal(err)
	}
}

// printAnswer sends handler a request over a loopback connection.
func printAnswer(handler http.Handler) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, handler)

	response, err := http.Get("http://" + listener.Addr().String() + "/")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
