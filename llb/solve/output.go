package solve

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildctl/build"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/tonistiigi/go-csvvalue"
)

// output is one `--output`.
type output struct {
	kind  string // "image", "oci", "docker", "local", "tar", "moby"
	attrs map[string]string
	dest  string // "" for none, "-" for standard output
	dir   bool   // dest is a directory
	load  bool   // the archive goes into a Docker or Podman
}

// here says that the output comes to this side, and so needs a session of its
// own.
func (o output) here() bool { return o.load || o.dest != "" }

// byDigest is an output that pushes what o pushes, without its tags; nil when o
// pushes nothing.
func (o output) byDigest() map[string]string {
	if o.kind != client.ExporterImage || o.attrs["push"] != "true" || o.attrs["name"] == "" {
		return nil
	}
	var names []string
	for _, ref := range strings.Split(o.attrs["name"], ",") {
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			return nil // the exporter says so
		}
		if name := reference.TrimNamed(named).String(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	attrs := maps.Clone(o.attrs)
	attrs["name"], attrs["push-by-digest"], attrs["store"] = strings.Join(names, ","), "true", "false"
	delete(attrs, "unpack")
	return attrs
}

// CheckOutput says what is wrong with the CSV form of `--output`.
func CheckOutput(s string) error {
	_, err := parseOutput(s)
	return err
}

// parseOutput reads the CSV form of `--output`; a bare path is a directory, "-"
// a tar archive on standard output, as in docker build.
func parseOutput(s string) (output, error) {
	fields, err := csvvalue.Fields(s, nil)
	if err != nil {
		return output{}, fmt.Errorf("output %q: %w", s, err)
	}
	if len(fields) == 1 && !strings.Contains(fields[0], "=") {
		if fields[0] == "-" {
			return output{kind: client.ExporterTar, attrs: map[string]string{}, dest: "-"}, nil
		}
		return output{kind: client.ExporterLocal, attrs: map[string]string{}, dest: fields[0], dir: true}, nil
	}
	o := output{attrs: map[string]string{}}
	for _, field := range fields {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			return o, fmt.Errorf("output %q: %q is not key=value", s, field)
		}
		switch key = strings.ToLower(key); key {
		case "type":
			o.kind = value
		case "dest":
			o.dest = value
		default:
			o.attrs[key] = value
		}
	}
	if err := o.check(); err != nil {
		return o, fmt.Errorf("output %q: %w", s, err)
	}
	return o, nil
}

func (o *output) check() error {
	switch o.kind {
	case "":
		return errors.New("type is missing (oci, docker, tar, local, image, registry, cacheonly)")
	case "cacheonly":
	case "registry":
		o.kind = client.ExporterImage
		o.attrs["push"] = "true"
		fallthrough
	case client.ExporterImage:
		if o.dest != "" {
			return errors.New("an image has no dest: it stays in the engine or is pushed; use type=oci for a file")
		}
	case client.ExporterLocal:
		o.dir = true
		if o.dest == "" || o.dest == "-" {
			return errors.New("dest, a directory, is missing")
		}
		if _, err := client.ParseLocalExporterMode(o.attrs["mode"]); err != nil {
			return err
		}
	case client.ExporterTar:
		if o.dest == "" {
			o.dest = "-"
		}
	case client.ExporterOCI, client.ExporterDocker:
		return o.checkArchive()
	default:
		return fmt.Errorf("unknown type %q (oci, docker, tar, local, image, registry, cacheonly)", o.kind)
	}
	return nil
}

// checkArchive decides between an archive and a directory in OCI layout. A docker
// archive without a dest is for the Docker on this machine, as in docker build.
func (o *output) checkArchive() error {
	if v, ok := o.attrs["tar"]; ok {
		tar, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("tar=%s is not a boolean", v)
		}
		o.dir = !tar
	}
	switch {
	case o.dir && (o.dest == "" || o.dest == "-"):
		return errors.New("dest, a directory, is missing")
	case o.dest == "" && o.kind == client.ExporterDocker:
		o.load = true
	case o.dest == "":
		o.dest = "-"
	}
	return nil
}

// parseCache reads the CSV forms of `--cache-from` and `--cache-to`; a bare
// reference is a registry's.
func parseCache(root string, from, to []string) (imports, exports []client.CacheOptionsEntry, err error) {
	imports, err = build.ParseImportCache(registryCSV(from))
	if err != nil {
		return nil, nil, fmt.Errorf("cache-from: %w", err)
	}
	exports, err = build.ParseExportCache(registryCSV(to))
	if err != nil {
		return nil, nil, fmt.Errorf("cache-to: %w", err)
	}
	// BuildKit names local stores by their path in the session; one spelling per
	// directory.
	for _, e := range imports {
		if err := absolute(root, e, "src"); err != nil {
			return nil, nil, fmt.Errorf("cache-from: %w", err)
		}
	}
	for _, e := range exports {
		if err := absolute(root, e, "dest"); err != nil {
			return nil, nil, fmt.Errorf("cache-to: %w", err)
		}
	}
	return imports, exports, nil
}

func registryCSV(specs []string) []string {
	out := slices.Clone(specs)
	for i, s := range out {
		if !strings.Contains(s, "type=") {
			out[i] = "type=registry,ref=" + s
		}
	}
	return out
}

func absolute(root string, e client.CacheOptionsEntry, key string) (err error) {
	dir := e.Attrs[key]
	switch {
	case e.Type != "local":
		return nil
	case dir == "":
		return fmt.Errorf("type=local: %s is missing", key)
	case !filepath.IsAbs(dir):
		dir = filepath.Join(root, dir)
	}
	e.Attrs[key], err = filepath.Abs(dir)
	return err
}

// confine resolves a destination from the build file and refuses one that leads
// out of the root, by dots or by a link.
func confine(root, dest string) (string, error) {
	rel := dest
	if filepath.IsAbs(dest) {
		var err error
		if rel, err = filepath.Rel(root, dest); err != nil {
			return "", err
		}
	}
	if !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is outside the root; only the command line (-o) may write there", dest)
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return "", err
	}
	defer dir.Close()
	for p := rel; ; p = filepath.Dir(p) {
		_, err := dir.Stat(p)
		switch {
		case err == nil || p == ".":
			return filepath.Join(root, rel), err
		case errors.Is(err, os.ErrNotExist):
		default:
			return "", escapes(dest, err)
		}
	}
}

// attestSBOM is the frontend attribute that asks for an SBOM.
const attestSBOM = "attest:sbom"

// parseAttest reads the CSV form of `--attest` into the frontend attributes that
// the daemon reads it from.
func parseAttest(specs []string) (map[string]string, error) {
	attrs := map[string]string{}
	for _, spec := range specs {
		fields, err := csvvalue.Fields(spec, nil)
		if err != nil {
			return nil, fmt.Errorf("attest %q: %w", spec, err)
		}
		kind, disabled := "", false
		var params []string
		for _, field := range fields {
			key, value, _ := strings.Cut(field, "=")
			switch key {
			case "type":
				kind = value
			case "disabled":
				if disabled, err = strconv.ParseBool(value); err != nil {
					return nil, fmt.Errorf("attest %q: disabled=%s is not a boolean", spec, value)
				}
			default:
				params = append(params, field)
			}
		}
		if kind != "provenance" && kind != "sbom" {
			return nil, fmt.Errorf("attest %q: type is provenance or sbom", spec)
		}
		delete(attrs, "attest:"+kind)
		if !disabled {
			attrs["attest:"+kind] = strings.Join(params, ",")
		}
	}
	return attrs, nil
}

var annotationKey = regexp.MustCompile(`^(?:([a-z-]+(?:,[a-z-]+)*)(?:\[([A-Za-z0-9_/-]+)\])?:)?(\S+)$`)

// annotationAttrs are the exporter's attributes for an annotation.
func annotationAttrs(key, value string) (map[string]string, error) {
	m := annotationKey.FindStringSubmatch(key)
	if m == nil {
		return nil, fmt.Errorf("annotation %q: not a key, or TYPE:KEY", key)
	}
	if m[1] == "" {
		return map[string]string{"annotation." + m[3]: value}, nil
	}
	attrs := map[string]string{}
	for kind := range strings.SplitSeq(m[1], ",") {
		a := exptypes.AnnotationKey{Type: kind, Key: m[3]}
		switch kind {
		case exptypes.AnnotationManifest, exptypes.AnnotationManifestDescriptor:
			if m[2] != "" {
				p, err := platforms.Parse(m[2])
				if err != nil {
					return nil, fmt.Errorf("annotation %q: %w", key, err)
				}
				a.Platform = &p
			}
		case exptypes.AnnotationIndex, exptypes.AnnotationIndexDescriptor:
		default:
			return nil, fmt.Errorf("annotation %q: unknown type %q (manifest, index, manifest-descriptor, index-descriptor)", key, kind)
		}
		attrs[a.String()] = value
	}
	return attrs, nil
}

// planOutputs decides what becomes of a job's result.
func (j *job) planOutputs(e engine, root string) error {
	var all []output
	for _, s := range j.Outputs {
		o, err := parseOutput(s)
		if err != nil {
			return err
		}
		if o.kind == "cacheonly" {
			j.solveOnly = true
			continue
		}
		if j.OutputsInRoot && o.dest != "" && o.dest != "-" {
			if o.dest, err = confine(root, o.dest); err != nil {
				return fmt.Errorf("output %q: %w", s, err)
			}
		}
		all = append(all, o)
	}
	j.solveOnly = j.solveOnly || j.SolveOnly
	if j.hasImage {
		all = j.imageOutputs(all)
	}
	if (j.hasImage || len(all) > 0) && !j.solveOnly {
		if err := j.finishOutputs(all, e); err != nil {
			return err
		}
	}
	if j.Push && j.hasImage && len(j.Tags) == 0 {
		return errors.New("push needs a tag")
	}
	if slices.ContainsFunc(j.outputs, func(o output) bool { return o.load }) && len(j.Builds) > 1 {
		return errors.New("load takes an image of one platform: choose one with --platform, or use -o type=oci,dest=FILE")
	}
	return nil
}

// imageOutputs adds what push and load ask for, and the default.
func (j *job) imageOutputs(all []output) []output {
	if j.Push && !slices.ContainsFunc(all, func(o output) bool { return o.attrs["push"] == "true" }) {
		all = append(all, output{kind: client.ExporterImage, attrs: map[string]string{"push": "true"}})
	}
	if j.Load && !slices.ContainsFunc(all, func(o output) bool { return o.load }) {
		all = append(all, output{kind: client.ExporterDocker, attrs: map[string]string{}, load: true})
	}
	if len(all) == 0 && !j.solveOnly {
		all = append(all, output{kind: client.ExporterImage, attrs: map[string]string{}})
	}
	return all
}

func (j *job) finishOutputs(all []output, e engine) error {
	stdout := 0
	for i := range all {
		o := &all[i]
		if o.load && e.docker {
			// The engine is the Docker that would take the image.
			*o = output{kind: client.ExporterImage, attrs: o.attrs}
		}
		if e.docker && !e.images {
			if err := o.forOldDocker(); err != nil {
				return err
			}
		}
		if o.dest == "-" {
			stdout++
		}
		if err := j.imageAttrs(o); err != nil {
			return err
		}
		if o.kind == client.ExporterLocal && !j.hasImage {
			// Files are installed by this side, so that they are whole or not
			// there at all.
			if j.filesRoot != "" {
				return errors.New("files have one directory to go to: two outputs of type=local")
			}
			j.filesRoot = o.dest
			continue
		}
		j.outputs = append(j.outputs, *o)
	}
	if stdout > 1 {
		return errors.New("only one output can go to standard output")
	}
	return nil
}

// forOldDocker takes an output to a Docker that keeps images in its own store,
// not in containerd's: its engine has no exporter but moby, local and tar.
func (o *output) forOldDocker() error {
	const hint = "enable its containerd image store, or use another engine (--engine)"
	switch {
	case o.attrs["push"] == "true":
		return errors.New("this Docker's engine cannot push from a build: " + hint)
	case o.kind == client.ExporterImage:
		o.kind = "moby"
	case o.kind == client.ExporterOCI || o.kind == client.ExporterDocker:
		return fmt.Errorf("this Docker's engine makes no archives of type %s: %s", o.kind, hint)
	}
	return nil
}

// imageAttrs gives tags and annotations to the outputs that take them.
func (j *job) imageAttrs(o *output) error {
	switch o.kind {
	case client.ExporterImage, client.ExporterOCI, client.ExporterDocker, "moby":
	default:
		return nil
	}
	if !j.hasImage {
		return fmt.Errorf("type=%s is for images; a target with files takes local or tar", o.kind)
	}
	if len(j.Tags) > 0 {
		setDefault(o.attrs, "name", strings.Join(j.Tags, ","))
	}
	for key, value := range j.Annotations {
		attrs, err := annotationAttrs(key, value)
		if err != nil {
			return err
		}
		for k, v := range attrs {
			setDefault(o.attrs, k, v)
		}
	}
	return nil
}

func setDefault(m map[string]string, key, value string) {
	if _, ok := m[key]; !ok {
		m[key] = value
	}
}

func checkAllow(allow []string) error {
	for _, a := range allow {
		if _, _, err := entitlements.Parse(a); err != nil {
			return fmt.Errorf("%w: allow %q: known are network.host, security.insecure, device[=NAME]", ErrRequest, a)
		}
	}
	return nil
}

// archive is a file being received: beside its destination until it is whole.
type archive struct {
	dest    string
	f       *os.File
	claimed io.Closer
	err     error // of the first write that failed
}

func createArchive(dest string) (*archive, error) {
	if fi, err := os.Stat(dest); err == nil && fi.IsDir() {
		return nil, fmt.Errorf("%w: %s is a directory", ErrRequest, dest)
	}
	sweep(filepath.Dir(dest))
	for {
		f, err := os.CreateTemp(filepath.Dir(dest), ownedPrefix+"*")
		if err != nil {
			return nil, err
		}
		a := &archive{dest: dest, f: f}
		var ok bool
		if a.claimed, ok = claim(f.Name()); !ok {
			a.discard()
			continue
		}
		if err := f.Chmod(0o644); err != nil {
			a.discard()
			return nil, err
		}
		return a, nil
	}
}

// Close ends the receiving; the file is not in place before commit.
func (a *archive) Close() error { return a.f.Close() }

func (a *archive) Write(p []byte) (int, error) {
	n, err := a.f.Write(p)
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("write %s: %w", a.dest, cause(err))
	}
	return n, err
}

func (a *archive) commit() error {
	defer a.unclaim()
	// A symbolic link as destination stays one: what it names is replaced.
	dest := a.dest
	if real, err := filepath.EvalSymlinks(dest); err == nil {
		dest = real
	}
	if fi, err := os.Lstat(dest); err == nil && !fi.Mode().IsRegular() {
		return copyInto(dest, a.f.Name())
	}
	return os.Rename(a.f.Name(), dest)
}

func (a *archive) discard() {
	a.f.Close()
	os.Remove(a.f.Name())
	a.unclaim()
}

func (a *archive) unclaim() {
	if a.claimed != nil {
		a.claimed.Close() // it was opened for nothing but the claim
	}
}
