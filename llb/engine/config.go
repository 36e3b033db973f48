package engine

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// buildConfig makes the private engine's buildkitd.toml: the user's engine.toml, with hbuild's
// defaults where it is silent, the mirrors of the environment, and last what is not the user's to
// set, because hbuild must find it again (where the engine listens and keeps its state).
func buildConfig(o Options, p Paths, runtime string, rootless bool) ([]byte, error) {
	c := table{}
	b, err := os.ReadFile(p.User)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := toml.Unmarshal(b, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", p.User, err)
	}
	if err := c.defaults(runtime, rootless); err != nil {
		return nil, fmt.Errorf("%s: %w", p.User, err)
	}
	if err := c.mirrors(o.env("HBUILD_ENGINE_MIRRORS")); err != nil {
		return nil, err
	}
	c["root"] = p.State
	grpc, err1 := c.table("grpc")
	otel, err2 := c.table("otel")
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%s: %w", p.User, err)
	}
	grpc["address"] = []string{p.address()}
	// The default is one path for all of a machine's daemons.
	otel["socketPath"] = p.Run + "/otel-grpc.sock"
	out, err := toml.Marshal(map[string]any(c))
	return append([]byte("# Generated at each start; settings of yours belong into "+p.User+"\n"), out...), err
}

// table is a TOML table as maps.
type table map[string]any

// table returns the table of that name, making it where there is none.
func (t table) table(name string) (table, error) {
	switch v := t[name].(type) {
	case nil:
		n := table{}
		t[name] = n
		return n, nil
	case table:
		return v, nil
	case map[string]any:
		return table(v), nil
	}
	return nil, fmt.Errorf("%q is not a table", name)
}

func (t table) setDefault(name string, v any) {
	if _, ok := t[name]; !ok {
		t[name] = v
	}
}

// defaults are what a build on one's own machine needs. Entitlements are allowed here because each
// build asks for them again with --allow. A RUN gets the machine's network: a network of its own
// needs CNI plugins, which are seldom installed.
func (t table) defaults(runtime string, rootless bool) error {
	t.setDefault("insecure-entitlements", []string{"network.host", "security.insecure", "device"})
	worker, err := t.table("worker")
	if err != nil {
		return err
	}
	oci, err := worker.table("oci")
	if err != nil {
		return err
	}
	containerd, err := worker.table("containerd")
	if err != nil {
		return err
	}
	oci.setDefault("enabled", true)
	oci.setDefault("networkMode", "host")
	oci.setDefault("binary", runtime)
	if rootless {
		oci.setDefault("rootless", true)
	}
	containerd.setDefault("enabled", false)
	return nil
}

// mirrors adds the mirrors of HBUILD_ENGINE_MIRRORS before those of the file. A mirror on the
// loopback interface is spoken to without TLS.
func (t table) mirrors(list string) error {
	added := map[string][]any{}
	for _, m := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		registry, mirror, ok := strings.Cut(m, "=")
		if !ok || registry == "" || mirror == "" {
			return fmt.Errorf("HBUILD_ENGINE_MIRRORS: %q is not REGISTRY=MIRROR", m)
		}
		added[registry] = append(added[registry], mirror)
		if isLoopback(mirror) {
			m, err := t.registry(mirror)
			if err != nil {
				return err
			}
			m.setDefault("http", true)
		}
	}
	for registry, mirrors := range added {
		r, err := t.registry(registry)
		if err != nil {
			return err
		}
		had, _ := r["mirrors"].([]any)
		r["mirrors"] = append(mirrors, had...)
	}
	return nil
}

func (t table) registry(name string) (table, error) {
	all, err := t.table("registry")
	if err != nil {
		return nil, err
	}
	return all.table(name)
}

func isLoopback(mirror string) bool {
	host, _, _ := strings.Cut(mirror, "/")
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "[::1]"
}
