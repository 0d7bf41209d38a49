package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/peyk/peyk/local/internal/image"
	"github.com/peyk/peyk/local/internal/lifecycle"
)

const loadHelp = `Put images into the cluster's registry, from which every node pulls, whatever registry an image names.

A PATH is a recipe's folder (see images/README.md), a folder of such folders, an OCI layout (folder or tar), or a tar of
"docker save". Recipes are assembled from Debian packages, without Docker.`

func newCmdLoad(t *target) *cobra.Command {
	var cache string
	cmd := &cobra.Command{
		Use:     "load PATH...",
		Short:   "Put images into the cluster's registry",
		Long:    loadHelp,
		Example: "  sudo peyk-local load images/postgres images/redis\n  sudo peyk-local load app.tar",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("load wants at least one PATH: see --help")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := t.dir()
			if err != nil {
				return err
			}
			s, err := lifecycle.Describe(dir)
			if err != nil {
				return err
			}
			if !s.Running || s.URLs.Registry == "" {
				return fmt.Errorf("the cluster %q has no running registry: start it with `peyk-local up --name %s`", s.Name, s.Name)
			}
			for _, path := range args {
				options := image.Options{Source: path, Registry: s.URLs.Registry, CacheDir: cache, Progress: cmd.ErrOrStderr()}
				loaded, err := image.Load(cmd.Context(), options)
				if err != nil {
					return err
				}
				for _, l := range loaded {
					fmt.Fprintf(cmd.OutOrStdout(), "%s@%s\n", l.Name, l.Digest)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&cache, "cache-dir", "", "directory that keeps packages and assembled images (default below ~/.cache)")
	return cmd
}
