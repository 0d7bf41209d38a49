package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ociname "github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
)

// registryHost is a registry's host and port, which are all that the name of an image has of its address.
func registryHost(t *testing.T, address string) string {
	t.Helper()
	if !strings.Contains(address, "://") {
		return address
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// archived returns files as a tar.gz.
func archived(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	archive := tar.NewWriter(zipped)
	for file, content := range files {
		if err := archive.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content))}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// pushArtifact pushes files as an OCI artifact to the cluster's registry, as `flux push artifact` does.
func pushArtifact(t *testing.T, repository, tag string, files map[string]string) {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, static.NewLayer(archived(t, files), "application/vnd.cncf.flux.content.v1.tar+gzip"))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := ociname.ParseReference(registryHost(t, local.URLs.Registry)+"/"+repository+":"+tag, ociname.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
}

// TestOCIRepository applies manifests that a pipeline pushed to the registry, by semver.
func TestOCIRepository(t *testing.T) {
	applyText(t, space("ocikind"))
	t.Cleanup(func() {
		kubectlQuietly("delete", "kustomization,ocirepository", "-n", "ocikind", "--all", "--wait=true")
		kubectlQuietly("delete", "namespace", "ocikind", "--wait=false")
	})
	pushArtifact(t, "manifests/app", "1.0.0", map[string]string{"app/a.yaml": settings("ocikind", "a", "one")})
	applyText(t, fmt.Sprintf(`
apiVersion: source.toolkit.fluxcd.io/v1beta2
kind: OCIRepository
metadata: {name: app, namespace: ocikind}
spec: {interval: 2s, url: "oci://%s/manifests/app", insecure: true, ref: {semver: "1.x"}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app, namespace: ocikind}
spec: {interval: 10m, path: ./app, prune: true, sourceRef: {kind: OCIRepository, name: app}}
`, registryHost(t, local.Inside.Registry)))
	becomesReady(t, "kustomization", "ocikind", "app")
	pushArtifact(t, "manifests/app", "1.1.0", map[string]string{"app/a.yaml": settings("ocikind", "a", "two")})
	soon(t, 90*time.Second, func() error {
		if got := value(t, "ocikind", "a"); got != "two" {
			return fmt.Errorf("value %q, want two", got)
		}
		return nil
	})
	if revision := kubectl(t, "get", "ocirepository", "-n", "ocikind", "app", "-o", "jsonpath={.status.artifact.revision}"); !strings.HasPrefix(revision, "1.1.0@sha256:") {
		t.Errorf("revision %q, want 1.1.0@sha256:...", revision)
	}
}

// shopChart is a chart with a Deployment of the stand-in image and a test.
func shopChart(version string) map[string]string {
	return map[string]string{
		"shop/Chart.yaml":  "apiVersion: v2\nname: shop\nversion: " + version + "\n",
		"shop/values.yaml": "replicas: 1\nmessage: from-values\n",
		"shop/templates/deployment.yaml": fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}, version: {{ .Chart.Version | replace "+" "_" | quote }}}}
    spec: {containers: [{name: app, image: %q}]}
`, standIn),
		"shop/templates/settings.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {key: {{ .Values.message | quote }}, version: {{ .Chart.Version }}}\n",
	}
}

// TestHelmRelease installs a chart from a registry, upgrades it when a newer version is pushed, repairs its drift, and
// uninstalls it; stock helm sees it all. The same chart comes from a Git repository too.
func TestHelmRelease(t *testing.T) {
	applyText(t, space("helmkind"))
	t.Cleanup(func() {
		kubectlQuietly("delete", "helmrelease,helmchart,helmrepository,gitrepository", "-n", "helmkind", "--all", "--wait=true")
		kubectlQuietly("delete", "namespace", "helmkind", "--wait=false")
	})
	pushChart(t, "0.1.0")
	applyText(t, fmt.Sprintf(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts, namespace: helmkind}
spec: {type: oci, insecure: true, interval: 5m, url: "oci://%s/charts"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: values, namespace: helmkind}
data: {values.yaml: "message: from-a-config-map"}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: shop, namespace: helmkind}
spec:
  interval: 5m
  chart: {spec: {chart: shop, version: "0.x", interval: 2s, sourceRef: {kind: HelmRepository, name: charts}}}
  driftDetection: {mode: enabled}
  valuesFrom: [{kind: ConfigMap, name: values}]
`, registryHost(t, local.Inside.Registry)))
	becomesReady(t, "helmrelease", "helmkind", "shop")
	if got := value(t, "helmkind", "shop"); got != "from-a-config-map" {
		t.Errorf("value %q, want from-a-config-map", got)
	}
	if out := try(t, "", "helm", "list", "-n", "helmkind"); !strings.Contains(out, "shop-0.1.0") || !strings.Contains(out, "deployed") {
		t.Errorf("helm list does not show the release:\n%s", out)
	}
	kubectl(t, "patch", "configmap", "-n", "helmkind", "shop", "--type=merge", "-p", `{"data":{"key":"by hand"}}`)
	soon(t, 90*time.Second, func() error {
		if got := value(t, "helmkind", "shop"); got != "from-a-config-map" {
			return fmt.Errorf("value %q, want it repaired", got)
		}
		return nil
	})
	pushChart(t, "0.2.0")
	soon(t, time.Minute, func() error {
		if got := kubectl(t, "get", "configmap", "-n", "helmkind", "shop", "-o", "jsonpath={.data.version}"); got != "0.2.0" {
			return fmt.Errorf("version %q, want 0.2.0", got)
		}
		return nil
	})
	kubectl(t, "delete", "helmrelease", "-n", "helmkind", "shop")
	if out := try(t, "", "helm", "list", "-n", "helmkind", "-q"); strings.TrimSpace(out) != "" {
		t.Errorf("the release is left: %s", out)
	}
}

// packChart packs the chart with stock helm and returns the archive's path.
func packChart(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for file, content := range shopChart(version) {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	packs := t.TempDir()
	try(t, "", "helm", "package", filepath.Join(dir, "shop"), "-d", packs)
	return filepath.Join(packs, "shop-"+version+".tgz")
}

// pushChart pushes the chart to the cluster's registry with stock helm.
func pushChart(t *testing.T, version string) {
	t.Helper()
	try(t, "", "helm", "push", packChart(t, version), "oci://"+registryHost(t, local.URLs.Registry)+"/charts", "--plain-http")
}

// TestHelmChartFromGit installs a chart that is a folder of a Git repository.
func TestHelmChartFromGit(t *testing.T) {
	r := newRepository(t, "gitchart")
	r.push(t, shopChart("0.3.0"))
	applyText(t, fmt.Sprintf(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: gitchart, namespace: peyk-system}
spec: {url: %q, interval: 5m, ref: {branch: main}, secretRef: {name: gitchart}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: gitchart, namespace: peyk-system}
spec:
  interval: 5m
  targetNamespace: gitchart
  install: {createNamespace: true}
  chart: {spec: {chart: ./shop, sourceRef: {kind: GitRepository, name: gitchart}, reconcileStrategy: Revision}}
  values: {replicas: 2}
`, r.inside))
	t.Cleanup(func() {
		kubectlQuietly("delete", "helmrelease,gitrepository", "-n", "peyk-system", "gitchart", "--wait=true")
		kubectlQuietly("delete", "namespace", "gitchart", "--wait=false")
	})
	becomesReady(t, "helmrelease", "peyk-system", "gitchart")
	if got := kubectl(t, "get", "deployment", "-n", "gitchart", "gitchart-gitchart", "-o", "jsonpath={.status.readyReplicas}"); got != "2" {
		t.Errorf("%s replicas are ready, want 2", got)
	}
}
