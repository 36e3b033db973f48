// Package serve is the main function of the HTTP services.
package serve

import (
	"flag"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
)

// Main serves handler at the address of the flag -addr. With -once PATH it prints
// the handler's answer to GET PATH instead.
func Main(defaultAddr string, handler http.Handler) {
	addr := flag.String("addr", defaultAddr, "address to listen on")
	once := flag.String("once", "", "print the answer to one request for `PATH` and exit")
	flag.Parse()
	if *once == "" {
		log.Fatal(http.ListenAndServe(*addr, handler))
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, *once, nil))
	os.Stdout.Write(answer.Body.Bytes())
	if answer.Code >= 400 {
		os.Exit(1)
	}
}
