package solve

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/identity"
)

func TestParseOutput(t *testing.T) {
	for in, want := range map[string]output{
		"out":                      {kind: "local", attrs: map[string]string{}, dest: "out", dir: true},
		"-":                        {kind: "tar", attrs: map[string]string{}, dest: "-"},
		"type=oci,dest=a.tar":      {kind: "oci", attrs: map[string]string{}, dest: "a.tar"},
		"type=oci":                 {kind: "oci", attrs: map[string]string{}, dest: "-"},
		"type=docker":              {kind: "docker", attrs: map[string]string{}, load: true},
		"type=oci,tar=0,dest=d":    {kind: "oci", attrs: map[string]string{"tar": "0"}, dest: "d", dir: true},
		"type=registry":            {kind: "image", attrs: map[string]string{"push": "true"}},
		`type=image,"name=a,b"`:    {kind: "image", attrs: map[string]string{"name": "a,b"}},
		"type=local,dest=d,MODE=x": {},
		"type=local":               {},
		"type=orc,dest=x":          {},
		"dest=x":                   {},
		"type=image,dest=x":        {},
		"type=oci,tar=maybe":       {},
		"type=oci,tar=false":       {},
		"type=oci,gzip":            {},
	} {
		got, err := parseOutput(in)
		if want.kind == "" {
			if err == nil {
				t.Errorf("%s: no error", in)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v %v, want %+v", in, got, err, want)
		}
	}
}

func TestPlanOutputs(t *testing.T) {
	plan := func(j Job, e engine) (*job, error) {
		p := &job{Job: j, hasImage: j.Addr == "image", hasFiles: j.Addr == "files"}
		return p, p.planOutputs(e, "/root")
	}
	for _, c := range []struct {
		name  string
		job   Job
		want  string // kinds, with "+push" and "+load"
		wrong string
	}{
		{name: "default", job: Job{Addr: "image"}, want: "image"},
		{name: "stage", job: Job{Addr: "image", SolveOnly: true}},
		{name: "cacheonly", job: Job{Addr: "image", Outputs: []string{"type=cacheonly"}}},
		{name: "push", job: Job{Addr: "image", Push: true, Tags: []string{"a"}}, want: "image+push"},
		{name: "push and archive", job: Job{Addr: "image", Push: true, Tags: []string{"a"}, Outputs: []string{"type=oci,dest=x"}}, want: "oci image+push"},
		{name: "push twice said", job: Job{Addr: "image", Push: true, Tags: []string{"a"}, Outputs: []string{"type=registry"}}, want: "image+push"},
		{name: "load", job: Job{Addr: "image", Load: true}, want: "docker+load"},
		{name: "push without a tag", job: Job{Addr: "image", Push: true}, wrong: "tag"},
		{name: "load of two", job: Job{Addr: "image", Load: true, Builds: make([]PlatformBuild, 2)}, wrong: "one platform"},
		{name: "files", job: Job{Addr: "files"}},
		{name: "files into an image", job: Job{Addr: "files", Outputs: []string{"type=oci,dest=x"}}, wrong: "for images"},
		{name: "annotation", job: Job{Addr: "image", Annotations: map[string]string{"indx:a": "b"}}, wrong: "unknown type"},
		{name: "two on stdout", job: Job{Addr: "image", Outputs: []string{"type=oci", "type=tar"}}, wrong: "standard output"},
	} {
		j, err := plan(c.job, engine{})
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v, want %q", c.name, err, c.wrong)
			}
			continue
		}
		var got []string
		for _, o := range j.outputs {
			k := o.kind
			if o.attrs["push"] == "true" {
				k += "+push"
			}
			if o.load {
				k += "+load"
			}
			got = append(got, k)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q %v, want %q", c.name, got, err, c.want)
		}
	}
	// Inside a Docker that keeps images its own way.
	j, err := plan(Job{Addr: "image", Load: true, Tags: []string{"a"}}, engine{docker: true})
	if err != nil || len(j.outputs) != 1 || j.outputs[0].kind != "moby" || j.outputs[0].attrs["name"] != "a" {
		t.Errorf("%+v %v", j.outputs, err)
	}
	if _, err := plan(Job{Addr: "image", Push: true, Tags: []string{"a"}}, engine{docker: true}); err == nil {
		t.Error("push from a Docker that cannot")
	}
}

func TestOutputsOfTheBuildFileStayInTheRoot(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for dest, ok := range map[string]bool{
		"out": true, "a/b/c": true, filepath.Join(root, "x"): true, ".": true,
		"../x": false, outside: false, "link": false, "link/x/y": false,
	} {
		if _, err := confine(root, dest); (err == nil) != ok {
			t.Errorf("%s: %v", dest, err)
		}
	}
	j := imageJob("target.a", state(llb.Scratch()))
	j.Outputs, j.OutputsInRoot = []string{"type=local,dest=link/x"}, true
	if _, err := run(t, Request{Root: root, Jobs: []Job{j}}); err == nil {
		t.Error("no error")
	}
	j.Outputs = []string{"type=oci,dest=x.tar"}
	mustRun(t, Request{Root: root, Jobs: []Job{j}})
	clean(t, root, "link", "x.tar")
	clean(t, outside)
}

func TestParseSecretAndSSH(t *testing.T) {
	t.Setenv("HB_IN_ENV", "1")
	for in, want := range map[string]Secret{
		"id=a,src=f":             {ID: "a", File: "f", Required: true},
		"id=a,env=E":             {ID: "a", Env: "E", Required: true},
		"type=env,id=a,source=E": {ID: "a", Env: "E", Required: true},
		"id=HB_IN_ENV":           {ID: "HB_IN_ENV", Env: "HB_IN_ENV", Required: true},
		"id=a":                   {ID: "a", File: "a", Required: true},
		"src=f":                  {},
		"id=a,src=f,env=E":       {},
		"id=a,file=f":            {},
		"a":                      {},
		"id=a,type=vault":        {},
	} {
		got, err := ParseSecret(in)
		if want.ID == "" {
			if err == nil {
				t.Errorf("%s: no error", in)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: %+v %v", in, got, err)
		}
	}
	got, err := ParseSSH("key=/a,/b")
	if err != nil || got.ID != "key" || len(got.Paths) != 2 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := ParseSSH("key=/a,/b,raw=true"); err == nil {
		t.Error("raw with two paths")
	}
}

func TestParseAttestAndCache(t *testing.T) {
	attrs, err := parseAttest([]string{"type=provenance,mode=max,builder-id=x", "type=sbom", "type=sbom,disabled=true"})
	if err != nil || len(attrs) != 1 || attrs["attest:provenance"] != "mode=max,builder-id=x" {
		t.Errorf("%v %v", attrs, err)
	}
	if _, err := parseAttest([]string{"type=sbon"}); err == nil {
		t.Error("no error")
	}
	from, to, err := parseCache("/mod", []string{"r.test/c:1", "type=local,src=c"}, []string{"type=local,dest=/c"})
	if err != nil || from[0].Attrs["ref"] != "r.test/c:1" || from[1].Attrs["src"] != "/mod/c" || to[0].Attrs["dest"] != "/c" {
		t.Errorf("%v %v %v", from, to, err)
	}
}

func TestMasker(t *testing.T) {
	m := newMasker([][]byte{[]byte("abcd\n"), []byte("line one of it\nshort\nline two of it\n"), []byte("abcdefgh"), []byte("x")})
	if got := m.text("abcdefgh abcd x line two of it short"); got != "*** *** x *** short" {
		t.Errorf("%q", got)
	}
	if n := m.beginning([]byte("see abcdefg")); n != 7 {
		t.Errorf("%d", n)
	}
	if n := m.beginning([]byte("nothing")); n != 0 {
		t.Errorf("%d", n)
	}
}

// TestPlainImageIsTheSame: an image has one digest, whether the daemon is given its
// definition and configuration at once or is asked for its parts through the gateway, as
// it is when an archive is wanted too.
func TestPlainImageIsTheSame(t *testing.T) {
	root := t.TempDir()
	lower := state(shell("echo " + identity.NewID() + " > /a"))
	digests := map[string]bool{}
	for _, outputs := range [][]string{
		{"type=image"},
		{"type=image", "type=oci,dest=" + filepath.Join(root, "image.tar")},
	} {
		j := imageJob("target.image", lower)
		j.Outputs, j.Tags = outputs, []string{"registry.example/plain:1"}
		res := mustRun(t, Request{Root: root, Jobs: []Job{j}})
		digests[res.Jobs[0].Digest+" "+res.Jobs[0].ConfigDigest] = true
	}
	if len(digests) != 1 || digests[" "] {
		t.Errorf("%v", digests)
	}
}
