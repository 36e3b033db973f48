package testimage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var debianURI = regexp.MustCompile(`(?m)^(?:deb\s+(?:\[[^\]]*\]\s+)?|URIs:\s*)(https?://[^\s]+/debian)/?(?:\s|$)`)

// debianMirror is the first Debian archive among this machine's apt sources; "" leaves the choice to
// debootstrap.
func debianMirror() string {
	for _, f := range hostSources() {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if m := debianURI.FindSubmatch(b); m != nil {
			return string(m[1])
		}
	}
	return ""
}

func hostSources() []string {
	files := []string{"/etc/apt/sources.list"}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, _ := filepath.Glob("/etc/apt/sources.list.d/" + pattern)
		files = append(files, more...)
	}
	return files
}

// aptFiles are the files below / that make apt in the image reach what apt reaches here: path → content.
func aptFiles() (map[string][]byte, error) {
	files := map[string][]byte{
		"etc/apt/sources.list.d/debian.sources": sourcesFor(debianMirror()),
		// Writes of dpkg need no sync in an image, and descriptions in other languages are not read.
		"etc/dpkg/dpkg.cfg.d/image":  []byte("force-unsafe-io\n"),
		"etc/apt/apt.conf.d/10image": []byte("Acquire::Languages \"none\";\n"),
	}
	conf, err := filepath.Glob("/etc/apt/apt.conf.d/*")
	if err != nil {
		return nil, err
	}
	for _, f := range append(conf, "/etc/apt/apt.conf") {
		b, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		if lines := acquireLines(b); len(lines) > 0 {
			files["etc/apt/apt.conf.d/90host-"+filepath.Base(f)] = lines
		}
	}
	return files, nil
}

// sourcesFor names bookworm, its updates and its security archive, which lies beside the main one.
func sourcesFor(mirror string) []byte {
	return fmt.Appendf(nil, `Types: deb
URIs: %s
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: %s-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`, mirror, strings.TrimSuffix(mirror, "/"))
}

// acquireLines keeps the one-line settings about how packages are fetched (proxies, checks of
// dates); hooks and settings of other programs stay out.
func acquireLines(conf []byte) []byte {
	var kept bytes.Buffer
	for line := range bytes.Lines(conf) {
		s := strings.TrimSpace(string(line))
		if strings.HasPrefix(s, "Acquire::") && strings.HasSuffix(s, ";") && !strings.HasPrefix(s, "Acquire::Languages") && !strings.HasPrefix(s, "Acquire::Gzip") {
			kept.WriteString(s + "\n")
		}
	}
	return kept.Bytes()
}
