package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// versionInfo is what `hbuild version --format json` prints.
type versionInfo struct {
	Version  string `json:"version"`            // "v0.3.0", or "(devel)"
	Commit   string `json:"commit,omitempty"`   // of the checkout it was built from
	Time     string `json:"time,omitempty"`     // of that commit, RFC 3339
	Modified bool   `json:"modified,omitempty"` // the checkout had changes
	BuildKit string `json:"buildkit,omitempty"` // the version of BuildKit's client
	Go       string `json:"go"`
	Platform string `json:"platform"` // "linux/amd64"
}

// A release is linked with both (hbuild.hcl), because it is built without its
// checkout: -ldflags '-X main.version=v1.0.0 -X main.commit=…'.
var version, commit string

// buildVersion is what the linker was told, and else what the Go command wrote into
// the program.
func buildVersion() versionInfo {
	v := versionInfo{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	if version != "" {
		v.Version = version
	}
	if commit != "" {
		v.Commit = commit
	}
	for _, dep := range info.Deps {
		if dep.Path == "github.com/moby/buildkit" {
			v.BuildKit = dep.Version
		}
	}
	return v
}

func newVersionCmd(a *app) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of hbuild",
		Example: "  hbuild version\n  hbuild version --format json",
		Args:    argsError(0, 0, "no arguments"),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if format == formatJSON {
				return writeJSON(a.stdout, v)
			}
			_, err := fmt.Fprintf(a.stdout, "hbuild %s (%s, BuildKit client %s, %s)\n", v.Version, v.Platform, v.BuildKit, v.Go)
			return err
		},
	}
	choice(cmd, cmd.Flags(), &format, "format", "how it is printed", formatText, formatJSON)
	return cmd
}

// writeJSON writes v with a final newline, and without HTML's escapes.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
