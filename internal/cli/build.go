package cli

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/internal/build"
	"github.com/peyk/peyk/internal/registry"
)

func (a *App) newBuild() *cobra.Command {
	o := build.Options{Base: build.Scratch, Platform: "linux/" + runtime.GOARCH, User: "65532:65532", At: "/"}
	var maxSize string
	var insecure bool
	format := "text"
	cmd := &cobra.Command{
		Use:   "build [PATH]",
		Short: "Build a container image without Docker",
		Long: `Build a container image from a Go main package or from a folder of files, without a daemon and without root.

A Go program becomes a static binary, on scratch together with certificates, users and time zones. A folder goes in as it
is, without what its .dockerignore excludes. Equal input gives an equal digest. Credentials for the registry come from
the Docker or Podman configuration. The time of the image is SOURCE_DATE_EPOCH or that of the commit.`,
		Example: `  # a Go program, tagged with the short hash of its commit
  peyk build . --tag localhost:5000/app --tag-from-git --push

  # a folder of files on a base image
  peyk build ./site --tag registry.example.org/site:1 --base nginx:1.29 --at /usr/share/nginx/html --user 101 --push

  # refuse an image that grew too large
  peyk build . --tag app:1 --output app.tar --max-size 20MB`,
		Args: wants(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Path = "."
			if len(args) == 1 {
				o.Path = args[0]
			}
			if err := checkFormat(format, "text", "json", "yaml"); err != nil {
				return err
			}
			if maxSize != "" {
				limit, err := build.ParseSize(maxSize)
				if err != nil {
					return usageError{err}
				}
				o.MaxSize = limit
			}
			return a.build(cmd, o, insecure, format)
		},
	}
	cmd.AddCommand(a.newBuildKustomization(), a.newBuildRelease(helmReleases()), a.newBuildRelease(packs()))
	flags := cmd.Flags()
	flags.StringSliceVarP(&o.Tags, "tag", "t", nil, "reference of the image, such as localhost:5000/app:1 (several: repeat it)")
	flags.BoolVar(&o.TagFromGit, "tag-from-git", false, "tag with the short hash of the commit; the work tree must be clean")
	flags.StringVar(&o.Base, "base", o.Base, "base image, or scratch")
	flags.StringVar(&o.Platform, "platform", o.Platform, "platform of the image")
	flags.BoolVar(&o.Push, "push", false, "push the image to its registries")
	flags.BoolVar(&insecure, "insecure", false, "speak plain HTTP to registries that are not on this machine")
	flags.StringVar(&o.Output, "output", "", "write the image to this file, as docker save does")
	flags.BoolVar(&o.Files, "files", false, "take PATH for a folder of files even when it holds Go code")
	flags.StringArrayVar(&o.Ldflags, "ldflags", nil, "more flags for the Go linker, such as '-X main.version=1'")
	flags.StringVar(&o.At, "at", o.At, "folder in the image that the files of a folder go to")
	flags.StringSliceVar(&o.Entrypoint, "entrypoint", nil, "program and arguments that the image runs (default: the Go program, or that of the base)")
	flags.StringVar(&o.User, "user", o.User, "user and group that the image runs as, in numbers")
	flags.StringArrayVar(&o.Env, "env", nil, "environment variable as NAME=value")
	flags.StringArrayVar(&o.Labels, "label", nil, "label as name=value")
	flags.StringSliceVar(&o.Ports, "port", nil, "port that the program listens on")
	flags.StringVar(&o.Workdir, "workdir", "", "folder that the program starts in")
	flags.StringVar(&maxSize, "max-size", "", "fail when the unpacked image is larger than this, such as 20MB")
	flags.StringVarP(&format, "format", "o", format, "text, json or yaml")
	return cmd
}

func (a *App) build(cmd *cobra.Command, o build.Options, insecure bool, format string) error {
	say := newPrinter(cmd.ErrOrStderr(), a.plain)
	say.Action("building %s for %s", o.Path, o.Platform)
	result, err := build.Build(cmd.Context(), o, registry.New(registry.Options{Insecure: insecure}))
	if err != nil {
		return err
	}
	for _, warning := range result.Warnings {
		say.Warning("%s", warning)
	}
	say.Success("%s", summary(result))
	if format != "text" {
		return writeValue(cmd.OutOrStdout(), format, result)
	}
	lines := result.References
	if !result.Pushed {
		lines = []string{result.Digest}
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.Join(lines, "\n"))
	return err
}

func summary(r *build.Result) string {
	verb := "built"
	if r.Pushed {
		verb = "pushed"
	}
	return fmt.Sprintf("%s %s: %s (%s to download) in %.1f s",
		verb, strings.Join(r.Tags, ", "), build.FormatSize(r.Size), build.FormatSize(r.Download), r.Seconds)
}
