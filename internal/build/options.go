package build

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// Scratch is the base that holds nothing but what every program expects of a system: certificates, users, /tmp.
const Scratch = "scratch"

// Registry is where base images come from and where images go.
type Registry interface {
	// Pull returns an image and its digest.
	Pull(ctx context.Context, reference string, platform v1.Platform) (v1.Image, v1.Hash, error)
	// Push writes an image under every reference.
	Push(ctx context.Context, image v1.Image, references []string) error
}

// Options say what to build from what.
type Options struct {
	// Path of a Go main package or of a folder of files.
	Path string
	// Files takes Path for a folder of files even when it holds Go code.
	Files bool
	// Tags are the references that the image gets, such as localhost:5000/app:1.
	Tags []string
	// TagFromGit sets the tag of every reference to the short hash of the commit that Path is at.
	TagFromGit bool
	// Base is Scratch or the reference of an image.
	Base string
	// Platform as os/architecture, such as linux/amd64.
	Platform string
	// Push the image to the registries of Tags.
	Push bool
	// Output is a file that gets the image as docker save writes it. Empty: none.
	Output string

	// Ldflags are added to the flags of the Go linker, such as "-X main.version=1".
	Ldflags []string
	// At is the folder in the image that the files of a folder go to.
	At string
	// Entrypoint, User ("uid:gid"), Env ("NAME=value"), Labels ("name=value"), Ports ("5000" or "5000/udp") and Workdir
	// go to the image's configuration.
	Entrypoint []string
	User       string
	Env        []string
	Labels     []string
	Ports      []string
	Workdir    string
	// MaxSize is the largest size of the unpacked image in bytes. Zero: no limit.
	MaxSize int64
}

// platform is the parsed form of Options.Platform.
func (o Options) platform() (v1.Platform, error) {
	system, architecture, ok := strings.Cut(o.Platform, "/")
	if !ok || system != "linux" || architecture == "" || strings.Contains(architecture, "/") {
		return v1.Platform{}, fmt.Errorf("platform %q: write it as linux/ARCHITECTURE, such as linux/amd64 or linux/arm64", o.Platform)
	}
	return v1.Platform{OS: system, Architecture: architecture}, nil
}

func (o Options) check() error {
	if len(o.Tags) == 0 && o.Output == "" {
		return errors.New("the image would go nowhere: name it with --tag, or write it to a file with --output")
	}
	if o.Push && len(o.Tags) == 0 {
		return errors.New("--push needs at least one --tag that says where to push to")
	}
	if o.Output != "" && len(o.Tags) == 0 {
		return errors.New("--output needs a --tag: the file names the image")
	}
	for _, env := range o.Env {
		if name, _, ok := strings.Cut(env, "="); !ok || name == "" {
			return fmt.Errorf("environment variable %q: write it as NAME=value", env)
		}
	}
	for _, port := range o.Ports {
		if _, err := parsePort(port); err != nil {
			return err
		}
	}
	if o.User != "" && !validUser(o.User) {
		return fmt.Errorf("user %q: write it as UID or UID:GID in numbers, so that Kubernetes can tell it is not root", o.User)
	}
	if o.At != "" && !strings.HasPrefix(o.At, "/") {
		return fmt.Errorf("folder %q in the image: write it from the root, such as /srv", o.At)
	}
	_, err := o.labels()
	return err
}

func (o Options) labels() (map[string]string, error) {
	labels := map[string]string{}
	for _, label := range o.Labels {
		name, value, ok := strings.Cut(label, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("label %q: write it as name=value", label)
		}
		labels[name] = value
	}
	return labels, nil
}

// parsePort returns a port as the image configuration spells it, such as 5000/tcp.
func parsePort(port string) (string, error) {
	number, protocol, _ := strings.Cut(port, "/")
	if protocol == "" {
		protocol = "tcp"
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > 65535 || (protocol != "tcp" && protocol != "udp") {
		return "", fmt.Errorf("port %q: write a number from 1 to 65535, with /udp after it if it is not TCP", port)
	}
	return number + "/" + protocol, nil
}

func validUser(user string) bool {
	for part := range strings.SplitSeq(user, ":") {
		if _, err := strconv.ParseUint(part, 10, 32); err != nil {
			return false
		}
	}
	return strings.Count(user, ":") <= 1
}
