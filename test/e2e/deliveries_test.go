package e2e

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// delivery is a way for a workload into the cluster: a source, and what consumes it. Both have the delivery's name, as
// have the Deployment and the ConfigMap that come of them.
type delivery struct {
	name     string
	source   string // kind
	consumer string // kind
	// manifest of both; the source is told of by the test, not by its interval.
	manifest string
	// publish puts a version of the workload where the source finds it.
	publish func(t *testing.T, version string)
}

// lifeNamespace is the namespace of all deliveries.
const lifeNamespace = "life"

// deliveries are all that Peyk knows. The site serves what must be served by HTTP, the repository what comes by Git.
func deliveries(t *testing.T, s *site, r *repository) []delivery {
	t.Helper()
	return []delivery{
		byGit(t, r), byRegistry(t), byBucket(t), byExternalArtifact(s), byChartRepository(s), byChartRegistry(t), byPackRepository(s),
	}
}

// workload is a Deployment of the stand-in image and a ConfigMap, both of which show the version.
func workload(name, version string) map[string]string {
	return map[string]string{"app/all.yaml": fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s, version: %[3]q}}
    spec: {containers: [{name: app, image: %[4]q}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: %[1]s, namespace: %[2]s}
data: {version: %[3]q}
`, name, lifeNamespace, version, standIn)}
}

// withKustomization adds a Kustomization of the same name to the manifest of a source.
func withKustomization(name, source, manifest string) string {
	return manifest + fmt.Sprintf(`
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: %[1]s, namespace: %[3]s}
spec: {interval: 1h, path: ./app, prune: true, wait: true, timeout: 2m, sourceRef: {kind: %[2]s, name: %[1]s}}
`, name, source, lifeNamespace)
}

// withRelease adds a HelmRelease of the same name to the manifest of a HelmRepository.
func withRelease(name, manifest string) string {
	return manifest + fmt.Sprintf(`
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  interval: 1h
  chart: {spec: {chart: shop, version: "0.x", interval: 1h, sourceRef: {kind: HelmRepository, name: %[1]s}}}
`, name, lifeNamespace)
}

func byGit(t *testing.T, r *repository) delivery {
	manifest := fmt.Sprintf(`
{apiVersion: v1, kind: Secret, metadata: {name: git, namespace: life}, stringData: {username: peyk, password: %q}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: git, namespace: life}
spec: {interval: 1h, url: %q, ref: {branch: main}, secretRef: {name: git}}`, forgeToken(t, r.name, "read"), r.inside)
	return delivery{
		name: "git", source: "GitRepository", consumer: "Kustomization", manifest: withKustomization("git", "GitRepository", manifest),
		publish: func(t *testing.T, version string) { r.push(t, workload("git", version)) },
	}
}

func byRegistry(t *testing.T) delivery {
	manifest := fmt.Sprintf(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: oci, namespace: life}
spec: {interval: 1h, url: "oci://%s/life/oci", insecure: true, ref: {semver: "0.x"}}`, registryHost(t, local.Inside.Registry))
	return delivery{
		name: "oci", source: "OCIRepository", consumer: "Kustomization", manifest: withKustomization("oci", "OCIRepository", manifest),
		publish: func(t *testing.T, version string) { pushArtifact(t, "life/oci", version, workload("oci", version)) },
	}
}

func byBucket(t *testing.T) delivery {
	endpoint, err := url.Parse(local.URLs.S3)
	if err != nil {
		t.Fatal(err)
	}
	keys := credentials.NewFileAWSCredentials(local.S3Keys, "default")
	client, err := minio.New(endpoint.Host, &minio.Options{Creds: keys})
	if err != nil {
		t.Fatal(err)
	}
	known, err := keys.GetWithContext(nil)
	if err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf(`
{apiVersion: v1, kind: Secret, metadata: {name: bucket, namespace: life}, stringData: {accesskey: %q, secretkey: %q}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: Bucket
metadata: {name: bucket, namespace: life}
spec: {interval: 1h, provider: generic, bucketName: life, endpoint: %q, insecure: true, secretRef: {name: bucket}}`,
		known.AccessKeyID, known.SecretAccessKey, strings.TrimPrefix(local.Inside.S3, "http://"))
	return delivery{
		name: "bucket", source: "Bucket", consumer: "Kustomization", manifest: withKustomization("bucket", "Bucket", manifest),
		publish: func(t *testing.T, version string) {
			if found, err := client.BucketExists(t.Context(), "life"); err != nil {
				t.Fatal(err)
			} else if !found {
				if err := client.MakeBucket(t.Context(), "life", minio.MakeBucketOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			for file, content := range workload("bucket", version) {
				if _, err := client.PutObject(t.Context(), "life", file, strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
					t.Fatal(err)
				}
			}
		},
	}
}

// byExternalArtifact plays the controller that makes the artifact: it puts the archive on the site and names it in the status.
func byExternalArtifact(s *site) delivery {
	manifest := `
apiVersion: source.toolkit.fluxcd.io/v1
kind: ExternalArtifact
metadata: {name: external, namespace: life}
spec: {sourceRef: {apiVersion: example.org/v1, kind: Maker, name: external}}`
	return delivery{
		name: "external", source: "ExternalArtifact", consumer: "Kustomization", manifest: withKustomization("external", "ExternalArtifact", manifest),
		publish: func(t *testing.T, version string) {
			content, path := archived(t, workload("external", version)), "/external-"+version+".tar.gz"
			s.put(t, path, content)
			// Whoever makes artifacts makes the object first.
			applyText(t, manifest)
			status := fmt.Sprintf(`{"status": {"artifact": {"url": %q, "path": %q, "revision": %q, "digest": "sha256:%x", "size": %d, "lastUpdateTime": "2026-01-01T00:00:00Z"}}}`,
				s.inside+path, strings.TrimPrefix(path, "/"), version, sha256.Sum256(content), len(content))
			kubectl(t, "patch", "externalartifact", "-n", lifeNamespace, "external", "--subresource=status", "--type=merge", "-p", status)
		},
	}
}

// publishChart adds a version of the chart to a Helm repository of the site, whose index stock helm writes.
func publishChart(t *testing.T, s *site, path, version string) {
	t.Helper()
	archive := packChart(t, version)
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(archive)
	args := []string{"repo", "index", dir, "--url", s.inside + path}
	if code, before := get(t, s.outside+path+"/index.yaml"); code == 200 {
		old := filepath.Join(t.TempDir(), "index.yaml")
		if err := os.WriteFile(old, []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--merge", old)
	}
	try(t, "", "helm", args...)
	index, err := os.ReadFile(filepath.Join(dir, "index.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, path+"/"+filepath.Base(archive), content)
	s.put(t, path+"/index.yaml", index)
}

func byChartRepository(s *site) delivery {
	manifest := fmt.Sprintf(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: charts, namespace: life}
spec: {interval: 1h, url: "%s/charts"}`, s.inside)
	return delivery{
		name: "charts", source: "HelmRepository", consumer: "HelmRelease", manifest: withRelease("charts", manifest),
		publish: func(t *testing.T, version string) { publishChart(t, s, "/charts", version) },
	}
}

func byChartRegistry(t *testing.T) delivery {
	manifest := fmt.Sprintf(`
apiVersion: source.toolkit.fluxcd.io/v1
kind: HelmRepository
metadata: {name: registry, namespace: life}
spec: {type: oci, insecure: true, interval: 1h, url: "oci://%s/life"}`, registryHost(t, local.Inside.Registry))
	return delivery{
		// An OCI HelmRepository is an address and has no artifact: that is the HelmChart's.
		name: "registry", source: "HelmChart", consumer: "HelmRelease", manifest: withRelease("registry", manifest),
		publish: func(t *testing.T, version string) {
			try(t, "", "helm", "push", packChart(t, version), "oci://"+registryHost(t, local.URLs.Registry)+"/life", "--plain-http")
		},
	}
}

func byPackRepository(s *site) delivery {
	return delivery{
		name: "pack", source: "PackRepository", consumer: "Pack", manifest: fmt.Sprintf(`
apiVersion: k8s.kubit.ir/v1alpha1
kind: PackRepository
metadata: {name: pack, namespace: life}
spec: {interval: 1s, url: "%s/packs"}
---
apiVersion: k8s.kubit.ir/v1alpha1
kind: Pack
metadata: {name: pack, namespace: life}
spec: {autoUpgrade: true, chart: {name: shop, version: "~=0.1", repository: {kind: PackRepository, name: pack}}}`, s.inside),
		publish: func(t *testing.T, version string) { publishChart(t, s, "/packs", version) },
	}
}
