package main

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// publish puts a version of all applications into the source, and notes the revisions that are to be applied.
func (r *round) publish(ctx context.Context, version string) error {
	switch r.source {
	case sourceHelm:
		r.wanted[""] = strings.TrimPrefix(version, "v") + ".0.0"
		return r.charts.publish(r.wanted[""])
	case sourceGit:
		files := map[string]string{}
		for i := range r.n {
			for name, content := range appFiles(version) {
				files["apps/"+appName(i)+"/"+name] = content
			}
		}
		return r.commit(ctx, files)
	}
	for i := range r.n {
		digest, err := r.registry.push(ctx, appName(i), appFiles(version))
		if err != nil {
			return err
		}
		r.wanted[r.key(i)] = digest
	}
	return nil
}

// commit commits files, after which every Kustomization is to have the new revision.
func (r *round) commit(ctx context.Context, files map[string]string) error {
	hash, err := r.git.commit(ctx, files)
	r.wanted[""] = hash
	return err
}

func appFiles(version string) map[string]string {
	return map[string]string{
		"app.yaml":           manifest(version),
		"kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [app.yaml]\n",
	}
}

// sources returns the sources of all applications.
func (r *round) sources() ([]*unstructured.Unstructured, error) {
	switch r.source {
	case sourceHelm:
		return parse(fmt.Sprintf(`apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: apps, namespace: %s, labels: {%s: %s}}
spec: {url: %q, interval: %s}`, sourcesSpace, runLabel, r.run, r.charts.url, r.o.interval))
	case sourceGit:
		return parse(fmt.Sprintf(`apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: apps, namespace: %s, labels: {%s: %s}}
spec: {url: %q, interval: %s, ref: {branch: main}}`, sourcesSpace, runLabel, r.run, r.git.url, r.o.interval))
	}
	var all []*unstructured.Unstructured
	for i := range r.n {
		objects, err := parse(fmt.Sprintf(`apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: %[1]s, namespace: %[2]s, labels: {%[3]s: %[4]s}}
spec: {url: "oci://%[5]s/%[1]s", interval: %[6]s, insecure: true, ref: {tag: main}}`, appName(i), sourcesSpace, runLabel, r.run, r.registry.host, r.o.interval))
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

// apps returns the Kustomizations, or the HelmReleases, of all applications.
func (r *round) apps() ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for i := range r.n {
		obj, err := r.app(i)
		if err != nil {
			return nil, err
		}
		all = append(all, obj)
	}
	return all, nil
}

func (r *round) app(i int) (*unstructured.Unstructured, error) {
	switch r.source {
	case sourceHelm:
		return r.helmRelease(space(r.source, i), appName(i))
	case sourceOCI:
		return r.kustomization(space(r.source, i), appName(i), r.sourceRef(i), "./")
	}
	return r.kustomization(space(r.source, i), appName(i), r.sourceRef(i), "./apps/"+appName(i))
}

func (r *round) sourceRef(i int) string {
	name := "apps"
	if r.source == sourceOCI {
		name = appName(i)
	}
	return fmt.Sprintf("{kind: %s, name: %s, namespace: %s}", r.sourceKind(), name, sourcesSpace)
}
