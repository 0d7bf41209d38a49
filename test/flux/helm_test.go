package flux

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/peyk/peyk/internal/testkit"
)

const webTemplate = `
apiVersion: v1
kind: ConfigMap
metadata: {name: web}
data: {key: {{ .Values.text | quote }}}
---
apiVersion: v1
kind: Secret
metadata: {name: web}
stringData: {password: {{ .Values.password | quote }}}
`

const addedTemplate = `---
apiVersion: v1
kind: ConfigMap
metadata: {name: web-added}
`

// chartArchive is the archive of a chart named web.
func chartArchive(t *testing.T, version, template string) []byte {
	t.Helper()
	var buffer bytes.Buffer
	zipped := gzip.NewWriter(&buffer)
	tarred := tar.NewWriter(zipped)
	for _, file := range [][2]string{
		{"Chart.yaml", "apiVersion: v2\nname: web\nversion: " + version + "\n"},
		{"values.yaml", "text: default\npassword: first-password\n"},
		{"templates/objects.yaml", template},
	} {
		check(t, tarred.WriteHeader(&tar.Header{Name: "web/" + file[0], Mode: 0o644, Size: int64(len(file[1]))}))
		_, err := io.WriteString(tarred, file[1])
		check(t, err)
	}
	check(t, errors.Join(tarred.Close(), zipped.Close()))
	return buffer.Bytes()
}

// helmRepository serves two versions of the chart, of which the second has one more object.
func helmRepository(t *testing.T) string {
	t.Helper()
	served := map[string][]byte{}
	index := "apiVersion: v1\nentries:\n  web:\n"
	for version, template := range map[string]string{"1.0.0": webTemplate, "1.1.0": webTemplate + addedTemplate} {
		data := chartArchive(t, version, template)
		sum := sha256.Sum256(data)
		served["/web-"+version+".tgz"] = data
		index += fmt.Sprintf("  - {apiVersion: v2, name: web, version: %s, urls: [web-%s.tgz], digest: %s}\n", version, version, hex.EncodeToString(sum[:]))
	}
	served["/index.yaml"] = []byte(index)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := served[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// The objects of every kind beside Kustomizations are made by the stock command line, and worked with by both.
func TestStockCommandLineWithHelm(t *testing.T) {
	work(t)
	url := helmRepository(t)
	contains(t, mustRun(t, "flux", "create", "source", "helm", "charts", "--url", url, "--interval", "10m"), "✔ HelmRepository source reconciliation completed")
	contains(t, mustRun(t, "flux", "create", "helmrelease", "web", "--source", "HelmRepository/charts", "--chart", "web", "--chart-version", "1.0.0", "--interval", "10m"),
		"✔ HelmRelease web is ready", "✔ applied revision 1.0.0")
	makeSources(t)
	makeNotifications(t)

	t.Run("same output", func(t *testing.T) {
		same(t,
			"get all", "get sources helm", "get sources chart", "get sources oci", "get sources bucket", "get sources all", "get sources oci manifests", "get hr", "get hr web", "get hr --show-source",
			"get receivers", "get alerts", "get alert-providers", "get helmreleases -A --status-selector ready=true",
			"export helmrelease web", "export source helm charts", "export source oci --all", "export source bucket --all", "export receiver hook", "export alert all", "export alert-provider hook",
			"trace configmap web", "trace configmap web --namespace "+namespace, "get sources helm none", "get hr none", "export hr none", "reconcile hr none", "tree ks none",
		)
	})
	t.Run("reconcile, suspend and resume", func(t *testing.T) {
		for _, line := range []string{
			"reconcile helmrelease web", "reconcile helmrelease web --with-source", "reconcile helmrelease web --force", "reconcile source helm charts", "reconcile source oci manifests", "reconcile source bucket files",
			"reconcile source chart " + namespace + "-web", "reconcile receiver hook",
			"suspend helmrelease web", "resume helmrelease web", "suspend source oci manifests", "resume source oci manifests", "suspend alert all", "resume alert all", "suspend receiver hook", "resume receiver hook",
		} {
			args := strings.Fields(line)
			want, wantCode := run(t, "flux", args...)
			got, gotCode := run(t, "peyk", args...)
			if diff := cmp.Diff(comparable(want), comparable(got)); diff != "" || wantCode != gotCode || wantCode != 0 {
				t.Errorf("%s: exit codes %d and %d (-flux +peyk):\n%s", line, wantCode, gotCode, diff)
			}
		}
	})
	t.Run("events and stats", func(t *testing.T) {
		for _, line := range []string{"events --for HelmRelease/web", "events --for HelmRepository/charts", "events --types Warning --for HelmRelease/web", "stats"} {
			want, got := mustRun(t, "flux", strings.Fields(line)...), mustRun(t, "peyk", strings.Fields(line)...)
			if diff := cmp.Diff(tidyEvents(want), tidyEvents(got)); diff != "" {
				t.Errorf("%s (-flux +peyk):\n%s", line, diff)
			}
		}
	})
	t.Run("debug", func(t *testing.T) { debugs(t) })
	t.Run("diff", func(t *testing.T) { diffsRelease(t) })
	t.Run("diff of a Pack", func(t *testing.T) { diffsPack(t, url) })
	t.Run("delete", func(t *testing.T) {
		for line, want := range map[string]string{
			"flux delete helmrelease web": "✔ helmrelease deleted", "peyk delete source oci manifests": "✔ source oci deleted", "flux delete source helm charts": "✔ source helm deleted",
			"peyk delete source bucket files": "✔ source bucket deleted", "flux delete receiver hook": "✔ receiver deleted", "peyk delete alert all": "✔ alert deleted", "flux delete alert-provider hook": "✔ alert-provider deleted",
		} {
			args := strings.Fields(line)
			contains(t, strings.ReplaceAll(mustRun(t, args[0], append(args[1:], "--silent")...), "alert provider", "alert-provider"), want)
		}
	})
}

// same compares what both programs print and answer.
func same(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		args := strings.Fields(line)
		want, wantCode := run(t, "flux", args...)
		got, gotCode := run(t, "peyk", args...)
		if wantCode != 0 && gotCode != 0 {
			continue // each says in its own words what is wrong
		}
		if diff := cmp.Diff(comparable(want), comparable(got)); diff != "" || wantCode != gotCode {
			t.Errorf("%s: exit code %d with flux, %d with peyk (-flux +peyk):\n%s", line, wantCode, gotCode, diff)
		}
	}
}

// makeSources makes an OCIRepository of what flux pushes, and a Bucket.
func makeSources(t *testing.T) {
	t.Helper()
	registry := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(registry.Close)
	address := "oci://" + strings.TrimPrefix(registry.URL, "http://") + "/manifests"
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "one.yaml"), []byte(configMap("from-oci", "1")), 0o600))
	mustRun(t, "flux", "push", "artifact", address+":v1", "--path", dir, "--source", "https://git.example.org/a", "--revision", "main@sha1:"+strings.Repeat("a", 40), "--insecure-registry")
	contains(t, mustRun(t, "flux", "create", "source", "oci", "manifests", "--url", address, "--tag", "v1", "--insecure", "--interval", "10m"), "✔ OCIRepository reconciliation completed")

	store, err := testkit.StartObjectStore()
	check(t, err)
	t.Cleanup(func() { check(t, store.Stop()) })
	s3, err := minio.New(store.Endpoint, &minio.Options{Creds: credentials.NewStaticV4(store.AccessKey, store.SecretKey, "")})
	check(t, err)
	check(t, s3.MakeBucket(t.Context(), "files", minio.MakeBucketOptions{}))
	content := configMap("from-bucket", "1")
	_, err = s3.PutObject(t.Context(), "files", "one.yaml", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{})
	check(t, err)
	contains(t, mustRun(t, "flux", "create", "source", "bucket", "files", "--bucket-name", "files", "--endpoint", store.Endpoint, "--insecure", "--access-key", store.AccessKey,
		"--secret-key", store.SecretKey, "--interval", "10m"), "✔ Bucket source reconciliation completed")
}

func makeNotifications(t *testing.T) {
	t.Helper()
	mustRun(t, "flux", "create", "secret", "receiver", "token", "--type", "generic", "--token", "t0ken", "--hostname", "hooks.example.org")
	contains(t, mustRun(t, "flux", "create", "receiver", "hook", "--type", "generic", "--secret-ref", "token", "--resource", "HelmRepository/charts"), "✔ Receiver hook is ready")
	mustRun(t, "flux", "create", "alert-provider", "hook", "--type", "generic", "--address", "http://127.0.0.1:1/")
	mustRun(t, "flux", "create", "alert", "all", "--provider-ref", "hook", "--event-source", "HelmRelease/*")
}

func debugs(t *testing.T) {
	for _, line := range []string{"debug hr web --show-values", "debug helmrelease web --show-status", "debug hr web --show-history"} {
		args := strings.Fields(line)
		if diff := cmp.Diff(withoutNotes(mustRun(t, "flux", args...)), withoutNotes(mustRun(t, "peyk", args...))); diff != "" {
			t.Errorf("%s (-flux +peyk):\n%s", line, diff)
		}
	}
}

// withoutNotes leaves out where the documentation is, and the warning.
func withoutNotes(out string) string {
	var kept strings.Builder
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "# ") && !strings.HasPrefix(line, "⚠") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// diffsRelease shows what changed HelmReleases would do, of which nothing is done.
func diffsRelease(t *testing.T) {
	dir, before := t.TempDir(), mustRun(t, "peyk", "get", "hr", "web")
	spec := mustRun(t, "flux", "export", "helmrelease", "web")
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		check(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	values := file("values.yaml", spec+"  values:\n    text: changed\n    password: second-password\n")
	newer := file("newer.yaml", strings.Replace(spec, "version: 1.0.0", "version: 1.1.0", 1))
	wrong := file("wrong.yaml", strings.Replace(spec, "version: 1.0.0", "version: 9.9.9", 1))
	check(t, os.Mkdir(filepath.Join(dir, "chart"), 0o700))
	chart := file("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.1\n")
	cases := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"nothing changed", nil, 0, nil},
		{"other values", []string{"-f", values}, 1, []string{"► ConfigMap/flux-system/web drifted", "- default", "+ changed", "► Secret/flux-system/web drifted", "*** (after)"}},
		{"newer chart", []string{"-f", newer}, 1, []string{"► ConfigMap/flux-system/web-added created"}},
		{"chart of this machine", []string{"--chart", filepath.Dir(chart)}, 1, []string{"► ConfigMap/flux-system/web deleted", "► Secret/flux-system/web deleted"}},
		{"no such version", []string{"-f", wrong}, 2, []string{"spec.version"}},
		{"no such file", []string{"-f", filepath.Join(dir, "none")}, 2, []string{"--filename"}},
	}
	for _, c := range cases {
		out, code := run(t, "peyk", append([]string{"diff", "hr", "web"}, c.args...)...)
		if code != c.code || strings.Contains(out, "second-password") || strings.Contains(out, "c2Vjb25kLXBhc3N3b3Jk") {
			t.Errorf("%s: exit code %d, want %d, and no password:\n%s", c.name, code, c.code, out)
		}
		contains(t, out, c.want...)
	}
	out := mustRun(t, "peyk", "build", "hr", "web", "-f", values)
	contains(t, out, "key: changed", "password: '******'", "helm.toolkit.fluxcd.io/name: web")
	if after := mustRun(t, "peyk", "get", "hr", "web"); after != before {
		t.Errorf("the HelmRelease was changed: before\n%safter\n%s", before, after)
	}
}

// diffsPack is diffsRelease for a Pack.
func diffsPack(t *testing.T, url string) {
	dir := t.TempDir()
	manifest := func(name, text string) string {
		name = filepath.Join(dir, name)
		check(t, os.WriteFile(name, []byte(text), 0o600))
		return name
	}
	const pack = "apiVersion: k8s.kubit.ir/v1alpha1\nkind: Pack\nmetadata: {name: shop, namespace: packs}\n" +
		"spec:\n  chart: {name: web, version: 1.0.0, repository: {kind: PackRepository, name: own}}\n  vars: {TEXT: first}\n  values: {text: '{{ vars.TEXT }}'}\n"
	kubectl(t, "apply", "-f", manifest("pack.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: packs}\n---\n"+
		"apiVersion: k8s.kubit.ir/v1alpha1\nkind: PackRepository\nmetadata: {name: own, namespace: packs}\nspec: {url: "+url+"}\n---\n"+pack))
	soon(t, func() error {
		if out, code := run(t, "peyk", "get", "packs", "shop", "--namespace", "packs"); code != 0 || !strings.Contains(out, "Applied") {
			return errors.New(out)
		}
		return nil
	})
	if out, code := run(t, "peyk", "diff", "pack", "shop", "--namespace", "packs"); code != 0 {
		t.Errorf("nothing changed: exit code %d, want 0\n%s", code, out)
	}
	changed := manifest("changed.yaml", strings.NewReplacer("TEXT: first", "TEXT: second", "1.0.0", "1.1.0").Replace(pack))
	out, code := run(t, "peyk", "diff", "pack", "shop", "--namespace", "packs", "-f", changed)
	if code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	contains(t, out, "► ConfigMap/packs/web drifted", "- first", "+ second", "► ConfigMap/packs/web-added created")
}

func kubectl(t *testing.T, args ...string) {
	mustRun(t, "kubectl", append(args, "--namespace", "packs")...)
}
