package main

import (
	"net/http/httptest"
	"testing"

	"example.com/parcels/internal/parcel"
)

func TestTrack(t *testing.T) {
	for path, code := range map[string]int{"/" + parcel.New(1003): 200, "/P1003": 404, "/": 404} {
		w := httptest.NewRecorder()
		track(w, httptest.NewRequest("GET", path, nil))
		if w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
	}
}
