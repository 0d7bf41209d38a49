package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/peyk/peyk/internal/ci"
	"github.com/peyk/peyk/internal/registry"
)

func (a *App) newCIInit() *cobra.Command {
	o := ci.Options{Dockerfile: "Dockerfile"}
	var output string
	var manual, force bool
	cmd := &cobra.Command{
		Use:   "init gitlab|github",
		Short: "Write a pipeline for GitLab or GitHub",
		Long: `Write a pipeline that tests an application, builds one image for each commit of the main branch, named by the commit, and
has Peyk deploy it and waits for the rollout. Commits that Peyk makes start no build. No secret is in the file: what has to be
set on the platform is printed.

A pipeline that is there and differs is not overwritten without --force; the difference is shown.`,
		Example: `  peyk ci init gitlab --pack base/sample-app

  # each commit is deployed, nobody has to click
  peyk ci init github --auto --registry registry.example.org

  # see it first
  peyk ci init gitlab --output -`,
		Args: wants(cobra.ExactArgs(1)), ValidArgs: []string{ci.GitLab, ci.GitHub},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Platform = args[0]
			if manual && o.Auto {
				return usagef("--manual and --auto exclude each other")
			}
			if err := checkCI(o); err != nil {
				return err
			}
			o.Test = ci.Detect(".")
			text, err := ci.Render(o)
			if err != nil {
				return err
			}
			if output == "-" {
				_, err := cmd.OutOrStdout().Write(text)
				return err
			}
			if output == "" {
				output = o.File()
			}
			return a.writePipeline(cmd, o, pipeline{output, text, force})
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&output, "output", "o", "", "file to write, or - for the standard output (default: where the platform looks for it)")
	flags.StringVar(&o.Pack, "pack", "", "Pack that is deployed, as namespace/name")
	flags.StringVar(&o.Registry, "registry", "", "registry of the image, such as registry.example.org (default: the platform's variables say it)")
	flags.StringVar(&o.Dockerfile, "dockerfile", o.Dockerfile, "Dockerfile of the image, in the repository")
	flags.BoolVar(&manual, "manual", false, "somebody starts each deployment; the default")
	flags.BoolVar(&o.Auto, "auto", false, "deploy each commit of the main branch")
	flags.BoolVar(&o.Minimal, "minimal", false, "write no more than build and deploy")
	flags.BoolVar(&force, "force", false, "overwrite a pipeline that differs")
	return cmd
}

// checkCI refuses what would make another file than was meant: the values end up in a shell.
func checkCI(o ci.Options) error {
	if o.Platform != ci.GitLab && o.Platform != ci.GitHub {
		return usagef("platform %q: choose gitlab or github", o.Platform)
	}
	if o.Pack != "" {
		namespace, name, ok := strings.Cut(o.Pack, "/")
		if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
			return usagef("--pack %q: write namespace/name, such as base/sample-app", o.Pack)
		}
	}
	if o.Registry != "" {
		if _, err := registry.Repository(o.Registry + "/app:1"); err != nil || strings.ContainsAny(o.Registry, "\"'$` ") {
			return usagef("--registry %q: write its host and perhaps a path, such as registry.example.org/team", o.Registry)
		}
	}
	if !filepath.IsLocal(o.Dockerfile) || strings.ContainsAny(o.Dockerfile, "\"'$`\\ \t\n;&|<>(){}[]*?#:") {
		return usagef("--dockerfile %q: write the path of a file in the repository, without blanks and special characters", o.Dockerfile)
	}
	return nil
}

// pipeline is a file to be written.
type pipeline struct {
	path  string
	text  []byte
	force bool
}

func (a *App) writePipeline(cmd *cobra.Command, o ci.Options, p pipeline) error {
	say := newPrinter(cmd.ErrOrStderr(), a.plain)
	old, err := os.ReadFile(p.path)
	switch {
	case err == nil && bytes.Equal(old, p.text):
		say.Success("%s is as it would be written", p.path)
		return a.listVariables(cmd, o)
	case err == nil:
		if err := showDifference(cmd, p, old); err != nil || !p.force {
			return errors.Join(err, fmt.Errorf("%s is there already: --force overwrites it, --output names another file", p.path))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("reading %s: %w", p.path, err)
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o755); err != nil { //nolint:gosec // of a work tree
		return fmt.Errorf("making the folder of %s: %w", p.path, err)
	}
	if err := os.WriteFile(p.path, p.text, 0o644); err != nil { //nolint:gosec // a file of a work tree
		return fmt.Errorf("writing %s: %w", p.path, err)
	}
	say.Success("wrote %s", p.path)
	if o.Test == nil && !o.Minimal {
		say.Warning("no tests were found, so the pipeline has no job for them: add one before the build")
	}
	return a.listVariables(cmd, o)
}

func showDifference(cmd *cobra.Command, p pipeline, old []byte) error {
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
		A: difflib.SplitLines(string(old)), B: difflib.SplitLines(string(p.text)), FromFile: p.path, ToFile: p.path + " (new)", Context: 3,
	})
	if err != nil {
		return fmt.Errorf("comparing %s: %w", p.path, err)
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	return err
}

// listVariables says what is to be set, and where.
func (a *App) listVariables(cmd *cobra.Command, o ci.Options) error {
	var text strings.Builder
	fmt.Fprintf(&text, "Set these under %s:\n", ci.Place(o))
	for _, v := range ci.Variables(o) {
		secret := ""
		if v.Secret {
			secret = " (secret)"
		}
		fmt.Fprintf(&text, "  %-30s %s\n", v.Name+secret, v.Value)
	}
	if o.Pack != "" {
		namespace, name, _ := strings.Cut(o.Pack, "/")
		fmt.Fprintf(&text, "For the first two:\n  peyk pack token %s -n %s\n", name, namespace)
	}
	_, err := fmt.Fprint(cmd.OutOrStdout(), text.String())
	return err
}
