package testimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// recipeVersion is part of every key: raise it when a recipe's code changes what it makes.
const recipeVersion = "1"

// Where this machine keeps what the stand-ins are made of. Debian's packages put it there.
const (
	hostBusybox  = "/bin/busybox"
	hostCerts    = "/etc/ssl/certs/ca-certificates.crt"
	hostZoneinfo = "/usr/share/zoneinfo"
)

// defaultPath is the PATH that Docker's official images set.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

//go:embed rootfs
var rootfs embed.FS

// specs lists all images. A canonical name has a registry, a repository and a tag.
func specs() []spec {
	alpine := []recipe{alpineLayer()}
	debian := []recipe{debianLayer()}
	return []spec{
		{names: hub("alpine:3.22", "alpine:latest"), layers: alpine, config: func() v1.Config {
			return v1.Config{Env: []string{defaultPath}, Cmd: []string{"/bin/sh"}, WorkingDir: "/"}
		}},
		{names: hub("busybox:1.37", "busybox:latest"), layers: []recipe{busyboxLayer()}, config: func() v1.Config {
			return v1.Config{Env: []string{defaultPath}, Cmd: []string{"sh"}}
		}},
		{names: hub("debian:bookworm", "debian:bookworm-slim", "debian:latest"), layers: debian, config: func() v1.Config {
			return v1.Config{Env: []string{defaultPath}, Cmd: []string{"bash"}}
		}},
		{names: hub("golang:1.26", "golang:latest"), layers: append(debian, goLayer()), config: goConfig},
		{names: hub("golang:1.26-alpine", "golang:alpine"), layers: append(alpine, goLayer()), config: goConfig},
		{names: hub("nginx:1.27", "nginx:latest"), layers: append(alpine, nginxLayer()), config: nginxConfig},
		{names: []string{"docker.io/example/onbuild:latest"}, layers: alpine, config: onbuildConfig},
		{names: []string{"docker.io/example/rich:latest"}, layers: alpine, config: richConfig},
	}
}

func hub(names ...string) []string {
	for i, n := range names {
		names[i] = "docker.io/library/" + n
	}
	return names
}

func goConfig() v1.Config {
	env := []string{
		"PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"GOLANG_VERSION=" + strings.TrimPrefix(runtime.Version(), "go"),
		"GOTOOLCHAIN=local",
		"GOPATH=/go",
	}
	return v1.Config{Env: append(env, goNetworkEnv()...), Cmd: []string{"bash"}, WorkingDir: "/go"}
}

func nginxConfig() v1.Config {
	return v1.Config{
		Env:          []string{defaultPath, "NGINX_VERSION=1.27.0"},
		Cmd:          []string{"nginx", "-g", "daemon off;"},
		ExposedPorts: map[string]struct{}{"80/tcp": {}},
		StopSignal:   "SIGQUIT",
	}
}

// onbuildConfig has a trigger of each kind that a child stage treats differently: one that changes
// the config, one that runs, and one that copies from the context.
func onbuildConfig() v1.Config {
	return v1.Config{
		Env:        []string{defaultPath},
		Cmd:        []string{"/bin/sh"},
		WorkingDir: "/app",
		OnBuild:    []string{"ENV TRIGGERED=yes", "RUN echo triggered > /triggered", "COPY . /app"},
	}
}

// richConfig sets every field of a config that a stage inherits.
func richConfig() v1.Config {
	return v1.Config{
		Env:          []string{defaultPath, "GREETING=hello from the base", "EMPTY="},
		Shell:        []string{"/bin/ash", "-e", "-c"},
		Entrypoint:   []string{"/bin/ash", "-c"},
		Cmd:          []string{"echo \"$GREETING\""},
		User:         "65534:65534",
		WorkingDir:   "/tmp",
		Volumes:      map[string]struct{}{"/data": {}},
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}},
		Labels:       map[string]string{"org.example.base": "rich"},
		StopSignal:   "SIGTERM",
		Healthcheck: &v1.HealthConfig{
			Test: []string{"CMD-SHELL", "true"}, Interval: 30 * time.Second, Timeout: 3 * time.Second, StartPeriod: time.Second, Retries: 2,
		},
	}
}

// recipeKey names a layer's inputs: the version of the recipes, the files in its folder of
// rootfs/, and whatever else is given.
func recipeKey(folder string, inputs ...string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s %s\n", recipeVersion, folder, runtime.GOARCH)
	for _, in := range inputs {
		fmt.Fprintf(h, "%q\n", in)
	}
	if folder == "" {
		return hex.EncodeToString(h.Sum(nil))[:16], nil
	}
	files, err := rootfs.ReadDir("rootfs/" + folder)
	if err != nil {
		return "", err
	}
	for _, f := range files {
		b, err := rootfs.ReadFile("rootfs/" + folder + "/" + f.Name())
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %x\n", f.Name(), sha256.Sum256(b))
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// fileSum identifies a file of this machine by its content.
func fileSum(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w (`make tools` installs what base images are made of)", err)
	}
	return fmt.Sprintf("%s %x", path, sha256.Sum256(b)), nil
}

func busyboxLayer() recipe {
	return recipe{
		name:        "busybox",
		compression: gzipFast,
		key: func() (string, error) {
			sum, err := fileSum(hostBusybox)
			if err != nil {
				return "", err
			}
			return recipeKey("", "busybox", sum)
		},
		write: func(ctx context.Context, _, w io.Writer) error {
			t := newTarball(w)
			busyboxTree(ctx, t, "busybox")
			return t.close()
		},
	}
}

// busyboxTree writes what alpine and busybox share: the directories, busybox under all its names,
// the users, and an os-release with the given id.
func busyboxTree(ctx context.Context, t *tarball, id string) {
	for _, d := range strings.Fields("bin etc etc/ssl etc/ssl/certs dev home lib media mnt opt proc root run sbin srv sys usr usr/bin usr/lib usr/local usr/local/bin usr/sbin usr/share var var/cache var/lib var/log var/spool") {
		t.dir(d, 0o755)
	}
	t.dir("tmp", 0o1777)
	t.dir("var/tmp", 0o1777)
	t.hostFile("bin/busybox", 0o755, hostBusybox)
	out, err := exec.CommandContext(ctx, hostBusybox, "--list").Output()
	if err != nil {
		t.err = errors.Join(t.err, fmt.Errorf("list busybox's programs: %w", err))
		return
	}
	for _, name := range strings.Fields(string(out)) {
		// Debian's busybox unpacks Debian packages; that is no program of these images.
		if name != "busybox" && name != "dpkg" && name != "dpkg-deb" && name != "rpm" {
			t.link("bin/"+name, "busybox")
		}
	}
	t.link("usr/bin/env", "../../bin/busybox")
	t.file("etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"))
	t.file("etc/group", 0o644, []byte("root:x:0:\ndaemon:x:1:\nbin:x:2:\nwww-data:x:33:\nusers:x:100:\nnobody:x:65534:\nnogroup:x:65533:\n"))
	t.file("etc/shadow", 0o640, []byte("root:*::0:::::\nnobody:!::0:::::\n"))
	t.file("etc/os-release", 0o644, []byte(fmt.Sprintf("NAME=%q\nID=%s\nPRETTY_NAME=%q\n", id+" (hbuild stand-in)", id, id+" (hbuild stand-in)")))
}

// alpineLayer is busybox with apk, addgroup and adduser as scripts, and with what apk can add under /usr/share/apk.
func alpineLayer() recipe {
	return recipe{
		name:        "alpine",
		compression: gzipFast,
		key: func() (string, error) {
			inputs := []string{"alpine"}
			for _, f := range []string{hostBusybox, hostCerts, hostZoneinfo + "/tzdata.zi"} {
				sum, err := fileSum(f)
				if err != nil {
					return "", err
				}
				inputs = append(inputs, sum)
			}
			return recipeKey("alpine", inputs...)
		},
		write: func(ctx context.Context, _, w io.Writer) error {
			t := newTarball(w)
			busyboxTree(ctx, t, "alpine")
			t.file("etc/alpine-release", 0o644, []byte("3.22.0\n"))
			t.script("sbin/apk", "alpine/apk")
			t.script("usr/sbin/addgroup", "alpine/addgroup")
			t.script("usr/sbin/adduser", "alpine/adduser")
			for _, d := range strings.Fields("usr/share/apk usr/share/apk/ca-certificates usr/share/apk/ca-certificates/etc usr/share/apk/ca-certificates/etc/ssl usr/share/apk/ca-certificates/etc/ssl/certs usr/share/apk/tzdata usr/share/apk/tzdata/usr usr/share/apk/tzdata/usr/share") {
				t.dir(d, 0o755)
			}
			t.hostFile("usr/share/apk/ca-certificates/etc/ssl/certs/ca-certificates.crt", 0o644, hostCerts)
			t.link("usr/share/apk/ca-certificates/etc/ssl/cert.pem", "certs/ca-certificates.crt")
			t.hostTree("usr/share/apk/tzdata/usr/share/zoneinfo", hostZoneinfo, func(rel string) bool {
				// The same zones twice more, and Debian's link to this machine's zone.
				return rel == "right" || rel == "posix" || rel == "localtime"
			})
			return t.close()
		},
	}
}

// script writes an embedded file as a program.
func (t *tarball) script(path, embedded string) { t.embedded(path, 0o755, embedded) }

func (t *tarball) embedded(path string, mode int64, name string) {
	b, err := rootfs.ReadFile("rootfs/" + name)
	if err != nil {
		t.err = errors.Join(t.err, err)
		return
	}
	t.file(path, mode, b)
}

func nginxLayer() recipe {
	return recipe{
		name:        "nginx",
		compression: gzipFast,
		key:         func() (string, error) { return recipeKey("nginx") },
		write: func(_ context.Context, _, w io.Writer) error {
			t := newTarball(w)
			for _, d := range strings.Fields("etc/nginx etc/nginx/conf.d usr/share/nginx usr/share/nginx/html var/log/nginx") {
				t.dir(d, 0o755)
			}
			t.embedded("etc/nginx/nginx.conf", 0o644, "nginx/nginx.conf")
			t.embedded("etc/nginx/conf.d/default.conf", 0o644, "nginx/default.conf")
			t.embedded("usr/share/nginx/html/index.html", 0o644, "nginx/index.html")
			return t.close()
		},
	}
}

// goLayer is this machine's GOROOT, without its tests and documentation, and the certificates that
// module downloads need.
func goLayer() recipe {
	return recipe{
		name:        "go",
		compression: zstdFast,
		key: func() (string, error) {
			root, err := goroot()
			if err != nil {
				return "", err
			}
			version, err := fileSum(filepath.Join(root, "VERSION"))
			if err != nil {
				return "", err
			}
			certs, err := fileSum(hostCerts)
			if err != nil {
				return "", err
			}
			return recipeKey("", "go", version, certs)
		},
		write: func(_ context.Context, _, w io.Writer) error {
			root, err := goroot()
			if err != nil {
				return err
			}
			t := newTarball(w)
			for _, d := range strings.Fields("etc/ssl etc/ssl/certs go go/bin go/src usr/local") {
				t.dir(d, 0o755)
			}
			t.hostFile("etc/ssl/certs/ca-certificates.crt", 0o644, hostCerts)
			t.hostTree("usr/local/go", root, skipInGoroot)
			return t.close()
		},
	}
}

// skipInGoroot leaves out what no build reads.
func skipInGoroot(rel string) bool {
	switch rel {
	case "api", "doc", "misc", "test", ".git":
		return true
	}
	return strings.HasSuffix(rel, "_test.go") || strings.HasSuffix(rel, "/testdata")
}

func goroot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the Go tree: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// goNetworkEnv is the part of this machine's settings that a module download depends on, so that it
// works in a RUN as it does here: the variables of the go command that are not at their defaults, and proxies.
func goNetworkEnv() []string {
	var env []string
	names := []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE"}
	changed := map[string]string{}
	// A go command that cannot say leaves the defaults, which the image's own has too.
	if out, err := exec.Command("go", append([]string{"env", "-json", "-changed"}, names...)...).Output(); err == nil {
		_ = json.Unmarshal(out, &changed)
	}
	for _, name := range names {
		if v, ok := changed[name]; ok {
			env = append(env, name+"="+v)
		}
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		v := os.Getenv(name)
		if v == "" {
			v = os.Getenv(strings.ToLower(name))
		}
		if v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// debianLayer is debootstrap's minbase of Debian 12. It takes about a minute, once.
func debianLayer() recipe {
	return recipe{
		name:        "debian",
		compression: gzipFast,
		key: func() (string, error) {
			inputs := []string{"debian", debianMirror()}
			conf, err := aptFiles()
			if err != nil {
				return "", err
			}
			for _, name := range sortedKeys(conf) {
				inputs = append(inputs, name, string(conf[name]))
			}
			return recipeKey("debian", inputs...)
		},
		write: debootstrap,
	}
}

func sortedKeys(m map[string][]byte) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// debootstrap makes the root file system in a temporary directory, cleans it of what differs from
// run to run, and writes it as a tar. Devices and owners need root, so another user goes through sudo.
func debootstrap(ctx context.Context, log, w io.Writer) error {
	work, err := os.MkdirTemp("", "hbuild-debian-")
	if err != nil {
		return err
	}
	root := filepath.Join(work, "root")
	defer func() {
		// Not the context's command: a cancelled run cleans up as well.
		asRoot(context.Background(), "rm", "-rf", work).Run()
	}()

	out := &tail{}
	fmt.Fprintln(log, "base images: debootstrap bookworm (about a minute, once)")
	args := []string{"--variant=minbase", "bookworm", root}
	if mirror := debianMirror(); mirror != "" {
		args = append(args, mirror)
	}
	cmd := asRoot(ctx, "debootstrap", args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("debootstrap: %w\n%s", err, out)
	}
	out.buf = nil // debootstrap's long success says nothing about what fails later
	overlay, err := debianOverlay(work)
	if err != nil {
		return err
	}
	script, err := rootfs.ReadFile("rootfs/debian/finish.sh")
	if err != nil {
		return err
	}
	finish := asRoot(ctx, "sh", "-eu", "-s", root, overlay)
	finish.Stdin = bytes.NewReader(script)
	finish.Stdout, finish.Stderr = out, out
	if err := finish.Run(); err != nil {
		return fmt.Errorf("clean the Debian tree: %w\n%s", err, out)
	}
	tar := asRoot(ctx, "tar", "-C", root, "--sort=name", "--mtime=@0", "--numeric-owner", "--format=posix",
		"--pax-option=delete=atime,delete=ctime", "--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*", "-cf", "-", ".")
	tar.Stdout, tar.Stderr = w, out
	if err := tar.Run(); err != nil {
		return fmt.Errorf("tar the Debian tree: %w\n%s", err, out)
	}
	return nil
}

// asRoot is a command that runs as root.
func asRoot(ctx context.Context, name string, args ...string) *exec.Cmd {
	if os.Geteuid() != 0 {
		args, name = append([]string{name}, args...), "sudo"
	}
	return exec.CommandContext(ctx, name, args...)
}

// tail keeps the end of a program's output, for its error message.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - 4096; over > 0 {
		t.buf = t.buf[over:]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf) }

// debianOverlay writes the files that a Debian image has beyond debootstrap's tree.
func debianOverlay(work string) (string, error) {
	conf, err := aptFiles()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(work, "overlay")
	for name, data := range conf {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}
