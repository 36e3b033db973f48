package main

import (
	"encoding/json"
	"net/http/httptest"
	"testing"
)

func TestList(t *testing.T) {
	w := httptest.NewRecorder()
	list(w, httptest.NewRequest("GET", "/", nil))
	var all []map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 || all[0]["cents"] != 500.0 || all[1]["status"] != "delivered" {
		t.Errorf("got %v", all)
	}
}
