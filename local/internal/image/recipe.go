package image

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"sigs.k8s.io/yaml"
)

// recipeFile is the name of the file that makes a folder a recipe.
const recipeFile = "image.yaml"

// Recipe is the content of an image.yaml. Paths inside the image are absolute; sources of files lie in the recipe's folder.
type Recipe struct {
	// Name is the repository that the image is pushed to, such as library/redis.
	Name string `json:"name"`
	// Tag is the image's tag. Quote it in YAML: 7 would be a number.
	Tag string `json:"tag"`
	// Packages are Debian packages, which come with everything they depend on.
	Packages []string `json:"packages,omitempty"`
	// Assume names packages that count as installed although they are not: they stay out with all that only they need.
	Assume []string `json:"assume,omitempty"`
	// Remove lists patterns of paths to leave out of the packages; * does not cross a slash, a folder goes with its content.
	Remove []string `json:"remove,omitempty"`
	// Directories are made after the packages were unpacked.
	Directories []Directory `json:"directories,omitempty"`
	// Files are copied from the recipe's folder; they replace files of packages.
	Files []File `json:"files,omitempty"`
	// Programs are built from the Go module in the recipe's folder, whose go.mod and go.sum pin them.
	Programs []Program `json:"programs,omitempty"`
	// Links are symbolic links.
	Links []Link `json:"links,omitempty"`
	// Users are written to /etc/passwd and /etc/group after root and nobody, each with a group of its own name.
	Users []User `json:"users,omitempty"`

	// The rest is the image's configuration, with the meaning of the OCI image specification.

	Env        map[string]string `json:"env,omitempty"`
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	Workdir    string            `json:"workdir,omitempty"`
	User       string            `json:"user,omitempty"`
	Ports      []string          `json:"ports,omitempty"`
	Volumes    []string          `json:"volumes,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`
	StopSignal string            `json:"stopSignal,omitempty"`

	dir string
}

// Directory is a folder of the image.
type Directory struct {
	Path string `json:"path"`
	Mode Mode   `json:"mode,omitempty"` // 0755 when empty
	UID  int    `json:"uid,omitempty"`
	GID  int    `json:"gid,omitempty"`
}

// File is a file of the image.
type File struct {
	Path   string `json:"path"`
	Source string `json:"source"`
	Mode   Mode   `json:"mode,omitempty"` // 0644 when empty
	UID    int    `json:"uid,omitempty"`
	GID    int    `json:"gid,omitempty"`
}

// Program is a Go program of the image, linked statically.
type Program struct {
	Path    string `json:"path"`
	Package string `json:"package"`
}

// Link is a symbolic link of the image.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// User is an account of the image.
type User struct {
	Name  string `json:"name"`
	UID   int    `json:"uid"`
	GID   int    `json:"gid"`
	Home  string `json:"home"`
	Shell string `json:"shell,omitempty"` // /usr/sbin/nologin when empty
}

// Mode is a file's permission bits, written in octal as a string such as "0755".
type Mode string

func (m Mode) bits(otherwise int64) (int64, error) {
	if m == "" {
		return otherwise, nil
	}
	bits, err := strconv.ParseInt(string(m), 8, 16)
	if err != nil || bits < 0 || bits > 0o7777 {
		return 0, fmt.Errorf(`mode %q is not octal: write it as "0755"`, string(m))
	}
	return bits, nil
}

var (
	packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	importPath  = regexp.MustCompile(`^[A-Za-z0-9.][A-Za-z0-9._~/-]*$`)
	portName    = regexp.MustCompile(`^[0-9]{1,5}(/(tcp|udp|sctp))?$`)
)

func (r *Recipe) reference() string { return r.Name + ":" + r.Tag }

// readRecipe reads and checks the recipe of a folder. An unknown field is an error.
func readRecipe(dir string) (*Recipe, error) {
	file := filepath.Join(dir, recipeFile)
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading recipe: %w", err)
	}
	recipe := &Recipe{dir: dir}
	if err := yaml.UnmarshalStrict(data, recipe); err != nil {
		return nil, fmt.Errorf("reading recipe %s: %w", file, err)
	}
	if err := recipe.check(); err != nil {
		return nil, fmt.Errorf("reading recipe %s: %w", file, err)
	}
	return recipe, nil
}

func (r *Recipe) check() error {
	if r.Name == "" || r.Tag == "" {
		return fmt.Errorf("name and tag are needed, such as name: library/redis and tag: \"7\"")
	}
	if _, err := name.NewTag("registry.invalid/"+r.reference(), name.StrictValidation); err != nil {
		return fmt.Errorf("name and tag: %w", err)
	}
	for field, names := range map[string][]string{"packages": r.Packages, "assume": r.Assume} {
		for _, one := range names {
			if !packageName.MatchString(one) {
				return fmt.Errorf("%s: %q is not the name of a Debian package", field, one)
			}
		}
	}
	for _, pattern := range r.Remove {
		if _, err := path.Match(pattern, "/"); err != nil || !path.IsAbs(pattern) {
			return fmt.Errorf("remove: %q is not a pattern of an absolute path", pattern)
		}
	}
	for _, port := range r.Ports {
		if !portName.MatchString(port) {
			return fmt.Errorf("ports: %q is not a port such as 5432/tcp", port)
		}
	}
	if err := r.checkPaths(); err != nil {
		return err
	}
	return r.checkUsers()
}

func (r *Recipe) checkPaths() error {
	for i, d := range r.Directories {
		if err := checkEntry(d.Path, d.Mode); err != nil {
			return fmt.Errorf("directories[%d]: %w", i, err)
		}
	}
	for i, l := range r.Links {
		if err := checkEntry(l.Path, ""); err != nil {
			return fmt.Errorf("links[%d]: %w", i, err)
		}
		if l.Target == "" {
			return fmt.Errorf("links[%d]: target is empty", i)
		}
	}
	for i, f := range r.Files {
		if err := checkEntry(f.Path, f.Mode); err != nil {
			return fmt.Errorf("files[%d]: %w", i, err)
		}
		if !fs.ValidPath(f.Source) {
			return fmt.Errorf("files[%d]: source %q does not lie in the recipe's folder", i, f.Source)
		}
		if !isFile(filepath.Join(r.dir, f.Source)) {
			return fmt.Errorf("files[%d]: source %q is not a file in the recipe's folder", i, f.Source)
		}
	}
	for i, p := range r.Programs {
		if err := checkEntry(p.Path, ""); err != nil {
			return fmt.Errorf("programs[%d]: %w", i, err)
		}
		if !importPath.MatchString(p.Package) {
			return fmt.Errorf("programs[%d]: package %q is not an import path", i, p.Package)
		}
		if !isFile(filepath.Join(r.dir, moduleFile)) {
			return fmt.Errorf("programs[%d]: the recipe's folder has no %s, which pins the package's version", i, moduleFile)
		}
	}
	for _, volume := range append([]string{r.Workdir}, r.Volumes...) {
		if volume != "" && !path.IsAbs(volume) {
			return fmt.Errorf("workdir and volumes: %q is not an absolute path", volume)
		}
	}
	return nil
}

func checkEntry(p string, mode Mode) error {
	if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
		return fmt.Errorf("path %q is not a clean absolute path", p)
	}
	_, err := mode.bits(0)
	return err
}

func (r *Recipe) checkUsers() error {
	seen := map[string]bool{"root": true, "nobody": true, "nogroup": true}
	for i, u := range r.Users {
		switch {
		case !accountName.MatchString(u.Name) || seen[u.Name]:
			return fmt.Errorf("users[%d]: name %q is malformed or taken", i, u.Name)
		case u.UID <= 0 || u.GID <= 0:
			return fmt.Errorf("users[%d]: uid and gid of %s must be greater than 0", i, u.Name)
		case !path.IsAbs(u.Home) || strings.ContainsAny(u.Home+u.Shell, ":\n"):
			return fmt.Errorf("users[%d]: home of %s is not an absolute path", i, u.Name)
		}
		seen[u.Name] = true
	}
	return nil
}

// accounts returns the image's /etc/passwd and /etc/group (passwd(5), group(5)).
func (r *Recipe) accounts() (passwd, group string) {
	passwd = "root:x:0:0:root:/root:/bin/sh\n"
	group = "root:x:0:\n"
	for _, u := range r.Users {
		shell := u.Shell
		if shell == "" {
			shell = "/usr/sbin/nologin"
		}
		passwd += fmt.Sprintf("%s:x:%d:%d::%s:%s\n", u.Name, u.UID, u.GID, u.Home, shell)
		group += fmt.Sprintf("%s:x:%d:\n", u.Name, u.GID)
	}
	passwd += "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
	group += "nogroup:x:65534:\n"
	return passwd, group
}
