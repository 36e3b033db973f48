package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Paths are the files of the private engine.
type Paths struct {
	Run    string `json:"run"`    // directory of the socket, pid, lock and generated config; mode 0700
	State  string `json:"state"`  // directory of buildkitd's state: images, cache, history
	Socket string `json:"socket"` // the socket that it listens on
	PID    string `json:"pid"`    // holds the process's id while it runs
	Lock   string `json:"lock"`   // held while an engine is started or stopped
	Config string `json:"config"` // the buildkitd.toml that is generated at each start
	Log    string `json:"log"`    // the daemon's output; the last one's is beside it with the suffix .1
	User   string `json:"user"`   // the user's own settings, merged into Config; need not exist
}

func (p Paths) address() string { return "unix://" + p.Socket }

// longestSocket is below the 108 bytes that Linux allows for a socket's path: buildkitd makes
// another beside it.
const longestSocket = 95

// PrivatePaths says where the private engine's files are. Nothing is created.
func PrivatePaths(o Options) (Paths, error) {
	run, state, user, err := privateDirs(o)
	if err != nil {
		return Paths{}, err
	}
	if len(filepath.Join(run, "buildkitd.sock")) > longestSocket {
		sum := sha256.Sum256([]byte(run))
		run = filepath.Join(tempDir(o), fmt.Sprintf("hbuild-%d-%s", os.Getuid(), hex.EncodeToString(sum[:6])))
	}
	return Paths{
		Run:    run,
		State:  state,
		Socket: filepath.Join(run, "buildkitd.sock"),
		PID:    filepath.Join(run, "buildkitd.pid"),
		Lock:   filepath.Join(run, "lock"),
		Config: filepath.Join(run, "buildkitd.toml"),
		Log:    filepath.Join(state, "buildkitd.log"),
		User:   user,
	}, nil
}

func privateDirs(o Options) (run, state, user string, err error) {
	if root := o.env("HBUILD_ENGINE_ROOT"); root != "" {
		root, err = filepath.Abs(root)
		return filepath.Join(root, "run"), filepath.Join(root, "state"), filepath.Join(root, "engine.toml"), err
	}
	data, config := o.env("XDG_DATA_HOME"), o.env("XDG_CONFIG_HOME")
	if home := o.home(); home != "" {
		data, config = orElse(data, filepath.Join(home, ".local", "share")), orElse(config, filepath.Join(home, ".config"))
	}
	if data == "" || config == "" {
		return "", "", "", fmt.Errorf("no directory for a private engine: HOME is not set (HBUILD_ENGINE_ROOT names one)")
	}
	return runDir(o), filepath.Join(data, "hbuild", "engine"), filepath.Join(config, "hbuild", "engine.toml"), nil
}

// runDir is where a user's sockets live; the temporary directory is the last resort, because it is
// shared (makePrivate checks whose the directory is).
func runDir(o Options) string {
	if d, _, _ := strings.Cut(o.env("XDG_RUNTIME_DIR"), ":"); d != "" {
		return filepath.Join(d, "hbuild")
	}
	uid := os.Getuid()
	if d := fmt.Sprintf("/run/user/%d", uid); isDir(d) {
		return filepath.Join(d, "hbuild")
	}
	if uid == 0 {
		return "/run/hbuild"
	}
	return filepath.Join(tempDir(o), fmt.Sprintf("hbuild-%d", uid))
}

func (o Options) home() string { return o.env("HOME") }

func tempDir(o Options) string { return orElse(o.env("TMPDIR"), "/tmp") }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}
