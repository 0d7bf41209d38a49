// Command generate writes the CustomResourceDefinitions in the folder above it: Peyk's own from ./api, and those of
// Flux's kinds that Peyk serves from Flux's API modules. Run it with go generate ./api/crds.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// packages hold the Go types, as controller-gen names them.
var packages = []string{
	"github.com/peyk/peyk/api/...",
	"github.com/fluxcd/source-controller/api/v1",
	"github.com/fluxcd/kustomize-controller/api/v1",
	"github.com/fluxcd/helm-controller/api/v2",
	"github.com/fluxcd/notification-controller/api/v1",
	"github.com/fluxcd/notification-controller/api/v1beta3",
}

// served are the definitions to keep: the packages define more kinds than Peyk implements.
var served = []string{
	"helm.toolkit.fluxcd.io_helmreleases.yaml",
	"k8s.kubit.ir_clusterconfigs.yaml",
	"k8s.kubit.ir_clusterpackrepositories.yaml",
	"k8s.kubit.ir_configs.yaml",
	"k8s.kubit.ir_packrepositories.yaml",
	"k8s.kubit.ir_packs.yaml",
	"k8s.kubit.ir_secretreflectors.yaml",
	"kustomize.toolkit.fluxcd.io_kustomizations.yaml",
	"notification.toolkit.fluxcd.io_alerts.yaml",
	"notification.toolkit.fluxcd.io_providers.yaml",
	"notification.toolkit.fluxcd.io_receivers.yaml",
	"peyk.dev_packsyncs.yaml",
	"source.toolkit.fluxcd.io_buckets.yaml",
	"source.toolkit.fluxcd.io_externalartifacts.yaml",
	"source.toolkit.fluxcd.io_gitrepositories.yaml",
	"source.toolkit.fluxcd.io_helmcharts.yaml",
	"source.toolkit.fluxcd.io_helmrepositories.yaml",
	"source.toolkit.fluxcd.io_ocirepositories.yaml",
}

const header = "# Code generated from the Go types by go generate ./api/crds. DO NOT EDIT.\n"

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(target string) error {
	scratch, err := os.MkdirTemp("", "crds-")
	if err != nil {
		return fmt.Errorf("making a scratch folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }()

	args := []string{"tool", "controller-gen", "crd", "output:crd:dir=" + scratch}
	for _, p := range packages {
		args = append(args, "paths="+p)
	}
	command := exec.Command("go", args...)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("running controller-gen: %w", err)
	}
	for _, name := range served {
		if err := finish(filepath.Join(scratch, name), filepath.Join(target, name)); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// finish labels a definition, so that no Kustomization substitutes variables in its descriptions and patterns, and adds
// the versions that repositories still use.
func finish(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	var definition map[string]any
	if err := yaml.Unmarshal(data, &definition); err != nil {
		return err
	}
	metadata, ok := definition["metadata"].(map[string]any)
	if !ok {
		return fmt.Errorf("%s has no metadata", from)
	}
	metadata["labels"] = map[string]any{
		"app.kubernetes.io/part-of":              "peyk",
		"kustomize.toolkit.fluxcd.io/substitute": "disabled",
	}
	if err := addOlder(definition); err != nil {
		return fmt.Errorf("adding older versions: %w", err)
	}
	out, err := yaml.Marshal(definition)
	if err != nil {
		return err
	}
	return os.WriteFile(to, bytes.Join([][]byte{[]byte(header), out}, nil), 0o644)
}
