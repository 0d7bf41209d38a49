package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// stripped are folders of packages that no program needs to run. Copyright files stay: their licences ask for it.
func stripped() []string {
	return []string{
		"/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/locale", "/usr/share/lintian", "/usr/share/bug",
		"/usr/share/doc-base", "/usr/share/menu", "/usr/share/pixmaps", "/usr/share/applications", "/usr/share/bash-completion",
		"/usr/share/zsh", "/usr/share/gdb", "/usr/share/gcc", "/usr/share/debconf", "/usr/lib/systemd", "/etc/init.d", "/etc/cron.daily",
		"/etc/logrotate.d", "/etc/systemd", "/usr/share/apport", "/usr/share/initramfs-tools",
	}
}

// assemble makes the image of a recipe, or takes it from the cache when nothing of its input changed.
func (l *loader) assemble(ctx context.Context, r *Recipe) (v1.Image, error) {
	apt, err := newApt(filepath.Join(l.CacheDir, "apt"), l.say)
	if err != nil {
		return nil, fmt.Errorf("preparing apt-get: %w", err)
	}
	defer apt.close()
	l.say("resolving packages of %s", r.reference())
	var archives []archive
	if len(r.Packages) > 0 {
		if archives, err = apt.fetch(ctx, r.Packages, r.Assume); err != nil {
			return nil, err
		}
	}
	key, err := cacheKey(r, archives)
	if err != nil {
		return nil, err
	}
	cached := filepath.Join(l.CacheDir, "images", strings.ReplaceAll(r.Name, "/", "_")+"_"+r.Tag)
	if image, err := fromCache(cached, key); err == nil {
		l.say("nothing changed in %s since it was last assembled", r.reference())
		return image, nil
	}
	l.say("assembling %s from %d packages", r.reference(), len(archives))
	image, err := l.build(ctx, r, apt, archives)
	if err != nil {
		return nil, err
	}
	if err := toCache(cached, key, image); err != nil {
		return nil, fmt.Errorf("keeping the image in the cache: %w", err)
	}
	return fromCache(cached, key)
}

func (l *loader) build(ctx context.Context, r *Recipe, apt *apt, archives []archive) (v1.Image, error) {
	t, err := newTree(l.work)
	if err != nil {
		return nil, err
	}
	defer t.close()
	keep := keeper(r.Remove)
	for _, one := range archives {
		if err := unpack(ctx, t, apt.path(one), keep); err != nil {
			return nil, err
		}
	}
	if err := t.addRecipe(r); err != nil {
		return nil, err
	}
	for _, p := range r.Programs {
		l.say("building %s of %s", p.Path, r.reference())
		if err := l.addProgram(ctx, t, r.dir, p); err != nil {
			return nil, err
		}
	}
	if err := t.finish(); err != nil {
		return nil, err
	}
	layer, err := l.layer(t)
	if err != nil {
		return nil, err
	}
	return configured(r, layer)
}

// keeper says which paths of packages go into the image.
func keeper(remove []string) func(string) bool {
	return func(p string) bool {
		if path.Base(p) == "copyright" && strings.HasPrefix(p, "/usr/share/doc/") {
			return true
		}
		for _, dir := range stripped() {
			if p == dir || strings.HasPrefix(p, dir+"/") {
				return false
			}
		}
		for _, pattern := range remove {
			// A pattern also takes what lies below the folders it names.
			for up := p; up != "/"; up = path.Dir(up) {
				if matched, _ := path.Match(pattern, up); matched {
					return false
				}
			}
		}
		return true
	}
}

// unpack reads the files of a package through dpkg-deb, which knows all its formats. Maintainer scripts are no part of them.
func unpack(ctx context.Context, t *tree, file string, keep func(string) bool) error {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", file)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stream, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("unpacking package %s: %w", filepath.Base(file), err)
	}
	addErr := t.addPackage(filepath.Base(file), stream, keep)
	stream.Close()
	waitErr := cmd.Wait()
	if addErr != nil {
		return addErr
	}
	if waitErr != nil {
		return fmt.Errorf("unpacking package %s: %w: %s", filepath.Base(file), waitErr, strings.TrimSpace(errs.String()))
	}
	return nil
}

// addRecipe puts the recipe's own entries on top of the packages'.
func (t *tree) addRecipe(r *Recipe) error {
	passwd, group := r.accounts()
	for p, content := range map[string]string{"/etc/passwd": passwd, "/etc/group": group} {
		if err := t.put(p, 0o644, 0, 0, strings.NewReader(content)); err != nil {
			return err
		}
	}
	if t.nodes["/tmp"] == nil {
		t.nodes["/tmp"] = &node{kind: tar.TypeDir, mode: 0o1777}
	}
	for _, d := range r.Directories {
		mode, err := d.Mode.bits(0o755)
		if err != nil {
			return err
		}
		t.nodes[location(d.Path)] = &node{kind: tar.TypeDir, mode: mode, uid: d.UID, gid: d.GID}
	}
	for _, link := range r.Links {
		t.nodes[location(link.Path)] = &node{kind: tar.TypeSymlink, mode: 0o777, link: link.Target}
	}
	for _, f := range r.Files {
		if err := t.addFile(r.dir, f); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) addFile(dir string, f File) error {
	mode, err := f.Mode.bits(0o644)
	if err != nil {
		return err
	}
	source, err := os.Open(filepath.Join(dir, f.Source))
	if err != nil {
		return fmt.Errorf("reading the recipe's files: %w", err)
	}
	defer source.Close()
	return t.put(location(f.Path), mode, f.UID, f.GID, source)
}

// layer compresses the tree once, into the work folder.
func (l *loader) layer(t *tree) (v1.Layer, error) {
	file, err := os.CreateTemp(l.work, "layer-*.tar.gz")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	zipped := gzip.NewWriter(file)
	if err := errors.Join(t.writeTar(zipped), zipped.Close(), file.Close()); err != nil {
		return nil, fmt.Errorf("writing the layer: %w", err)
	}
	return tarball.LayerFromFile(file.Name(), tarball.WithMediaType(types.OCILayer))
}

// configured adds the layer and the recipe's configuration to an empty image.
func configured(r *Recipe, layer v1.Layer) (v1.Image, error) {
	base := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "peyk-local load " + r.reference()}})
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Created = v1.Time{Time: epoch()}
	file.Config = v1.Config{
		Env: environment(r.Env), Entrypoint: r.Entrypoint, Cmd: r.Cmd, WorkingDir: r.Workdir, User: r.User,
		Labels: r.Labels, StopSignal: r.StopSignal, ExposedPorts: set(r.Ports), Volumes: set(r.Volumes),
	}
	return mutate.ConfigFile(image, file)
}

func environment(env map[string]string) []string {
	var list []string
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}

func set(names []string) map[string]struct{} {
	if len(names) == 0 {
		return nil
	}
	made := map[string]struct{}{}
	for _, one := range names {
		made[one] = struct{}{}
	}
	return made
}
