package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// hostLists are the package lists of the machine, which are read and never changed.
const hostLists = "/var/lib/apt/lists"

// apt resolves and downloads packages as if for an empty machine. All its state lies in dir; the machine's own is not touched.
type apt struct {
	dir  string
	say  func(format string, args ...any)
	lock *os.File
}

// archive is a package file that was asked for.
type archive struct {
	name string // file name, with the version in it
	size int64
	sum  string // SHA-256 of the downloaded file, in hex
}

// newApt prepares the folder and waits for other runs in it to end. Close it to let them in.
func newApt(dir string, say func(string, ...any)) (*apt, error) {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("%w: images of Debian packages can be assembled on Debian and its kin only", err)
		}
	}
	for _, sub := range []string{"archives/partial", "none", "lists/partial", "log"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		lock.Close()
		return nil, err
	}
	return &apt{dir: dir, say: say, lock: lock}, nil
}

func (a *apt) close() { a.lock.Close() }

func (a *apt) path(name archive) string { return filepath.Join(a.dir, "archives", name.name) }

// fetch returns the files of the packages and of all they depend on, downloaded. It begins with the machine's package lists and
// refreshes lists of its own when those are missing or too old to download by.
func (a *apt) fetch(ctx context.Context, packages, assume []string) ([]archive, error) {
	if err := os.WriteFile(filepath.Join(a.dir, "status"), []byte(status(assume)), 0o644); err != nil {
		return nil, fmt.Errorf("writing the list of assumed packages: %w", err)
	}
	found, err := a.fetchWith(ctx, hostLists, packages)
	if err == nil || ctx.Err() != nil {
		return found, err
	}
	a.say("reading package lists")
	own := filepath.Join(a.dir, "lists")
	_, updateErr := a.run(ctx, own, "update")
	found, err = a.fetchWith(ctx, own, packages)
	if err != nil {
		return nil, errors.Join(err, updateErr)
	}
	return found, nil
}

func (a *apt) fetchWith(ctx context.Context, lists string, packages []string) ([]archive, error) {
	// With an empty folder of archives apt names every file, not only those still to be downloaded.
	out, err := a.run(ctx, lists, append([]string{"--print-uris", "-o", "Dir::Cache::Archives=" + filepath.Join(a.dir, "none"), "install"}, packages...)...)
	if err != nil {
		return nil, err
	}
	wanted, err := parseURIs(out)
	if err != nil {
		return nil, err
	}
	if !a.complete(wanted) {
		a.say("downloading %d packages (%s)", len(wanted), megabytes(total(wanted)))
		if _, err := a.run(ctx, lists, append([]string{"--download-only", "install"}, packages...)...); err != nil {
			return nil, err
		}
	}
	for i := range wanted {
		if wanted[i].sum, err = sum(a.path(wanted[i])); err != nil {
			return nil, fmt.Errorf("reading package %s: %w", wanted[i].name, err)
		}
	}
	return wanted, nil
}

func (a *apt) complete(wanted []archive) bool {
	for _, one := range wanted {
		info, err := os.Stat(a.path(one))
		if err != nil || info.Size() != one.size {
			return false
		}
	}
	return true
}

func total(archives []archive) (size int64) {
	for _, one := range archives {
		size += one.size
	}
	return size
}

// parseURIs reads lines of the form 'URI' FILE SIZE HASH.
func parseURIs(out []byte) ([]archive, error) {
	var found []archive
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "'") {
			continue
		}
		size, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil || strings.Contains(fields[1], "/") {
			return nil, fmt.Errorf("reading the answer of apt-get: unexpected line %q", strings.TrimSpace(line))
		}
		found = append(found, archive{name: fields[1], size: size})
	}
	return found, nil
}

// status is a dpkg database (deb-control(5)) in which only the assumed packages are installed, in a version that satisfies all.
func status(assume []string) string {
	var text strings.Builder
	for _, name := range assume {
		fmt.Fprintf(&text, "Package: %s\nStatus: install ok installed\nVersion: 9999:0\nArchitecture: all\nMulti-Arch: foreign\nMaintainer: nobody\nDescription: assumed\n\n", name)
	}
	return text.String()
}

// configure writes two files: the first is read before the machine's configuration and puts the second in the place of its last
// part, so that ours has the final word while proxies and sources stay the machine's.
func (a *apt) configure(lists string) error {
	quote := strconv.Quote
	last := ""
	if isFile("/etc/apt/apt.conf") {
		last += "#include \"/etc/apt/apt.conf\";\n"
	}
	// Hooks would act on the machine.
	for _, hooks := range []string{"DPkg::Pre-Invoke", "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs", "APT::Update::Pre-Invoke",
		"APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"} {
		last += "#clear " + hooks + ";\n"
	}
	for _, setting := range [][2]string{
		{"Dir::State::status", filepath.Join(a.dir, "status")},
		{"Dir::State::extended_states", filepath.Join(a.dir, "extended_states")},
		{"Dir::State::lists", lists + "/"},
		{"Dir::Cache", a.dir + "/"},
		{"Dir::Cache::archives", "archives/"},
		{"Dir::Cache::pkgcache", ""},
		{"Dir::Cache::srcpkgcache", ""},
		{"Dir::Log", filepath.Join(a.dir, "log")},
		{"APT::Install-Recommends", "false"},
		{"APT::Install-Suggests", "false"},
		{"APT::Sandbox::User", "root"},
		{"APT::Keep-Downloaded-Packages", "true"},
		{"Acquire::Languages", "none"},
		{"Debug::NoLocking", "true"},
		{"Dpkg::Use-Pty", "false"},
	} {
		last += setting[0] + " " + quote(setting[1]) + ";\n"
	}
	first := "Dir::Etc::main " + quote(filepath.Join(a.dir, "last.conf")) + ";\n"
	if err := os.WriteFile(filepath.Join(a.dir, "last.conf"), []byte(last), 0o644); err != nil {
		return fmt.Errorf("configuring apt-get: %w", err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "first.conf"), []byte(first), 0o644); err != nil {
		return fmt.Errorf("configuring apt-get: %w", err)
	}
	return nil
}

func (a *apt) run(ctx context.Context, lists string, args ...string) ([]byte, error) {
	if err := a.configure(lists); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--yes", "--quiet=2"}, args...)...)
	cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(a.dir, "first.conf"), "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running apt-get: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

func sum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	digest := sha256.New()
	if _, err := io.Copy(digest, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(digest.Sum(nil)), nil
}
