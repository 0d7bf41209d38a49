package build_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/peyk/peyk/internal/build"
)

func TestBadInputNamesTheMend(t *testing.T) {
	program := write(t, hello)
	files := write(t, map[string]string{"a.txt": "aaaaaaaaaa"})
	cases := map[string]struct {
		change func(*build.Options)
		want   string
	}{
		"no path":       {func(o *build.Options) { o.Path = "/nonexistent" }, "name a Go main package or a folder of files"},
		"a file":        {func(o *build.Options) { o.Path = filepath.Join(files, "a.txt") }, "name the folder that holds it"},
		"nowhere to go": {func(o *build.Options) { o.Tags = nil }, "name it with --tag"},
		"bad tag":       {func(o *build.Options) { o.Tags = []string{"Bad Tag"} }, `"Bad Tag"`},
		"bad platform":  {func(o *build.Options) { o.Platform = "windows/amd64" }, "linux/ARCHITECTURE"},
		"bad env":       {func(o *build.Options) { o.Env = []string{"x"} }, "NAME=value"},
		"bad label":     {func(o *build.Options) { o.Labels = []string{"=x"} }, "name=value"},
		"bad port":      {func(o *build.Options) { o.Ports = []string{"http"} }, "number from 1 to 65535"},
		"user by name":  {func(o *build.Options) { o.User = "nobody" }, "in numbers"},
		"too large":     {func(o *build.Options) { o.MaxSize = 100 }, "more than the 100 B that --max-size allows"},
		"empty folder":  {func(o *build.Options) { o.Path = t.TempDir() }, "holds no file"},
		"not a main package": {func(o *build.Options) {
			o.Path = write(t, map[string]string{"go.mod": "module x\n", "x.go": "package x\n", "cmd/y/main.go": "package main\nfunc main() {}\n"})
		}, "./cmd/y"},
		"only packages below": {func(o *build.Options) {
			o.Path = write(t, map[string]string{"go.mod": "module x\n", "cmd/y/main.go": "package main\nfunc main() {}\n"})
		}, "./cmd/y"},
		"does not compile": {func(o *build.Options) {
			o.Path = write(t, map[string]string{"go.mod": "module x\n", "x.go": "package main\nfunc main() { y() }\n"})
		}, "undefined: y"},
		"ldflags for files": {func(o *build.Options) { o.Path, o.Ldflags = files, []string{"-X a=b"} }, "--ldflags is for Go programs"},
		"outside Git":       {func(o *build.Options) { o.TagFromGit = true }, "the commit of"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := options(program, "example.org/a:1")
			o.Push = false
			c.change(&o)
			if _, err := build.Build(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want one that says %q", err, c.want)
			}
		})
	}
}

func TestSpecialFilesAreRefused(t *testing.T) {
	root := write(t, map[string]string{"a": "b"})
	if err := syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(root, "example.org/a:1")
	o.Push = false
	if _, err := build.Build(t.Context(), o, nil); err == nil || !strings.Contains(err.Error(), "pipe is not a file") {
		t.Errorf("error = %v, want one that names the pipe", err)
	}
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	args = append([]string{"-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"}, args...)
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir = dir
	command.Env = append(command.Environ(), "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v (install git if it is missing): %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestTagFromGit(t *testing.T) {
	client, host := serve(t)
	root := write(t, map[string]string{"a.txt": "a", ".dockerignore": ".git\n"})
	git(t, root, "init")
	git(t, root, "add", ".")
	git(t, root, "commit", "-m", "first")
	git(t, root, "remote", "add", "origin", "https://me:very-secret@git.example.org/a.git")
	hash := git(t, root, "rev-parse", "HEAD")

	o := options(root, host+"/a")
	o.TagFromGit = true
	result, err := build.Build(t.Context(), o, client)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{host + "/a:" + hash[:8]}; !cmp.Equal(want, result.Tags) {
		t.Errorf("tags = %v, want %v", result.Tags, want)
	}
	image, _, err := client.Pull(t.Context(), result.Tags[0], v1.Platform{OS: "linux", Architecture: "amd64"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"org.opencontainers.image.created":  "2026-01-02T03:04:05Z",
		"org.opencontainers.image.revision": hash,
		"org.opencontainers.image.source":   "https://git.example.org/a.git",
	}
	if diff := cmp.Diff(want, mustConfig(t, image).Config.Labels); diff != "" {
		t.Errorf("labels differ (-want +got):\n%s", diff)
	}

	if err := exec.CommandContext(t.Context(), "touch", filepath.Join(root, "b.txt")).Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := build.Build(t.Context(), o, client); err == nil || !strings.Contains(err.Error(), "commit them first") {
		t.Errorf("error with an uncommitted file = %v, want one that says to commit", err)
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{"20MB": 20e6, "512KiB": 512 << 10, "1000": 1000, "1.5 GB": 15e8} {
		if got, err := build.ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "MB", "5 apples", "-1", "1TB"} {
		if got, err := build.ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
	for size, want := range map[int64]string{0: "0 B", 999: "999 B", 1500: "1.5 kB", 18_230_000: "18.2 MB", 2e9: "2.0 GB"} {
		if got := build.FormatSize(size); got != want {
			t.Errorf("FormatSize(%d) = %q, want %q", size, got, want)
		}
	}
}
