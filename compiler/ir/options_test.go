package ir

import (
	"reflect"
	"testing"
)

func TestOverride(t *testing.T) {
	file := BuildOptions{
		BuildArgs: []KV{{"HTTP_PROXY", "a"}, {"NO_PROXY", "b"}},
		Hosts:     []Host{{"DB", "10.0.0.1"}, {"web", "10.0.0.2"}}, Ulimits: []Ulimit{{"nofile", 1, 2}, {"nproc", 3, 4}},
		ShmSize: 5, Hostname: "h", Network: NetHost, Limits: Limits{Memory: 6, CPUShares: 7},
	}
	got := file
	got.Override(BuildOptions{
		BuildArgs: []KV{{"HTTP_PROXY", "z"}}, Hosts: []Host{{"db", "10.9.9.9"}, {"db", "10.9.9.8"}}, Ulimits: []Ulimit{{"nofile", 8, 9}},
		Network: NetDefault, Limits: Limits{Memory: 10, CPUSetCPUs: "0-1"},
	})
	want := BuildOptions{
		BuildArgs: []KV{{"NO_PROXY", "b"}, {"HTTP_PROXY", "z"}},
		Hosts:     []Host{{"web", "10.0.0.2"}, {"db", "10.9.9.9"}, {"db", "10.9.9.8"}}, Ulimits: []Ulimit{{"nproc", 3, 4}, {"nofile", 8, 9}},
		ShmSize: 5, Hostname: "h", Network: NetDefault, Limits: Limits{Memory: 10, CPUShares: 7, CPUSetCPUs: "0-1"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if file.Hosts[0].Name != "DB" || file.BuildArgs[0].Value != "a" || file.Ulimits[0].Name != "nofile" {
		t.Errorf("the file's own options changed: %+v", file)
	}
}

func TestSkipCaches(t *testing.T) {
	for name, want := range map[string]bool{"build": true, "BUILD": true, "stage.Build": true, "Build": true, "buil": false, `svc["a"]`: false} {
		s := &Stage{Addr: "stage.Build", Name: "build"}
		(&Graph{Stages: []*Stage{s}}).SkipCaches([]string{"other", name})
		if s.NoCache != want {
			t.Errorf("%s: %v", name, s.NoCache)
		}
	}
}
