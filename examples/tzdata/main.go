// Command clock tells the time in the machine's time zone.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"time"
)

const format = "2006-01-02 15:04:05 MST"

func main() {
	addr := flag.String("addr", ":8080", "address to listen on")
	at := flag.String("at", "", "print this moment (RFC 3339) as local time and exit")
	flag.Parse()

	if *at != "" {
		moment, err := time.Parse(time.RFC3339, *at)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(moment.Local().Format(format))
		return
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, time.Now().Format(format))
	})
	log.Fatal(http.ListenAndServe(*addr, nil))
}
