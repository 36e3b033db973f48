// Command href-counter counts the links of pages: those that stay on the
// page's own site and those that leave it.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"

	"golang.org/x/net/html"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: href-counter FILE|URL...")
	}
	for _, name := range os.Args[1:] {
		internal, external, err := countPage(name)
		if err != nil {
			log.Fatalf("%s: %v", name, err)
		}
		fmt.Printf("%s: %d internal, %d external\n", name, internal, external)
	}
}

// countPage counts the links of a page given as a file name or an http(s) URL.
func countPage(name string) (internal, external int, err error) {
	if !strings.HasPrefix(name, "http://") && !strings.HasPrefix(name, "https://") {
		file, err := os.Open(name)
		if err != nil {
			return 0, 0, err
		}
		defer file.Close()
		return count(file, "")
	}

	response, err := http.Get(name)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, 0, errors.New(response.Status)
	}
	return count(response.Body, response.Request.URL.Host)
}

// count reads the page of the site host ("" for a file) from r.
func count(r io.Reader, host string) (internal, external int, err error) {
	tokens := html.NewTokenizer(r)
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			if err := tokens.Err(); err != io.EOF {
				return 0, 0, err
			}
			return internal, external, nil
		case html.StartTagToken, html.SelfClosingTagToken:
			link, ok := href(tokens.Token())
			if !ok {
				continue
			}
			if link.Host == "" || link.Host == host {
				internal++
			} else {
				external++
			}
		}
	}
}

// href is the address of an <a> element that has one.
func href(token html.Token) (*url.URL, bool) {
	if token.Data != "a" {
		return nil, false
	}
	for _, attribute := range token.Attr {
		if attribute.Key == "href" {
			link, err := url.Parse(attribute.Val)
			return link, err == nil
		}
	}
	return nil, false
}
