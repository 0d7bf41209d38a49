package nodes_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/testkit"
)

// TestSampleApp runs the application of the samples with the database and the cache that it wants, and calls it as people do. Its
// packages are Debian's, of other versions than requirements.txt says.
func TestSampleApp(t *testing.T) {
	dir := testkit.Samples(t)
	needImages(t)
	app := filepath.Join(dir, "seed", "sample_app")
	image := t.TempDir()
	check(t, os.CopyFS(image, os.DirFS("testdata/app")))
	check(t, os.CopyFS(image, os.DirFS(app)))
	_, err := local("load", image)
	check(t, err)
	// A name without a registry is one of library/; the sample has a registry of its own.
	check(t, crane.Copy(cluster.URLs.Registry+"/library/app-image-v4:python", cluster.URLs.Registry+"/app-image-v4:python", crane.Insecure))

	const namespace = "base"
	needNamespace(t, namespace)
	database, cache, pack := newPack("base/postgres"), newPack("base/redis"), newPack("base/sample-app")
	for _, one := range []*packv1.Pack{database, cache, pack} {
		defer remove(t, one)
	}
	applyFile(t, filepath.Join(dir, "seed", "postgres.pack.yaml"))
	applyText(t, namespace, `
apiVersion: k8s.kubit.ir/v1alpha1
kind: Pack
metadata: {name: redis}
spec: {chart: {name: redis}}
`)
	ready(t, database)
	ready(t, cache)

	text := readFile(t, filepath.Join(dir, "seed", "sample-app.pack.yaml"))
	for _, to := range []struct{ start, is string }{
		{"tag: ", "python"},
		{"POSTGRES_URI: postgres://postgres", connectionOf(t, namespace, "postgres")},
		{"REDIS_URI: ", connectionOf(t, namespace, "redis")},
		// Nobody listens there: what it reports is for nobody.
		{"SENTRY_DSN: ", "http://key@127.0.0.1:9/1"},
	} {
		text = withValue(t, text, to.start, to.is)
	}
	applyText(t, namespace, text)
	ready(t, pack)
	running(t, namespace)

	eventually(t, time.Minute, "an answer of the application", func() error { return ping(t, "new.demo.sabz.cloud") })
	out, err := kubectl("logs", "-n", namespace, "deployment/sample-app-main")
	check(t, err)
	for _, service := range []string{"Sentry", "Redis", "PostgreSQL"} {
		if !strings.Contains(out, "Successfully connected to "+service) {
			t.Errorf("the application is not connected to %s:\n%s", service, out)
		}
	}
	out, err = kubectl("exec", "-n", namespace, "redis-0", "--", "redis-cli", "get", "last_ping")
	check(t, err)
	if !strings.HasPrefix(out, fmt.Sprint(time.Now().UTC().Year())) {
		t.Errorf("last_ping is %q, want the time of the call", out)
	}
}

// withValue replaces the value of the one line whose field begins so.
func withValue(t *testing.T, text, start, value string) string {
	t.Helper()
	var out strings.Builder
	found := 0
	for line := range strings.Lines(text) {
		if blank := line[:len(line)-len(strings.TrimLeft(line, " "))]; strings.HasPrefix(line[len(blank):], start) {
			found++
			field, _, _ := strings.Cut(start, ":")
			line = fmt.Sprintf("%s%s: %q\n", blank, field, value)
		}
		out.WriteString(line)
	}
	if found != 1 {
		t.Fatalf("%d lines begin with %q, want one", found, start)
	}
	return out.String()
}

// ping calls the application at the host of its ingress.
func ping(t *testing.T, host string) error {
	edge := strings.Replace(cluster.URLs.HTTP, "*.localhost", "127.0.0.1", 1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, edge+"/ping", http.NoBody)
	check(t, err)
	req.Host = host
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return err
	}
	var answer struct{ Message string }
	if err := json.Unmarshal(body, &answer); err != nil || res.StatusCode != http.StatusOK || answer.Message != "Ping received and processed." {
		return fmt.Errorf("%s: %.200s", res.Status, body)
	}
	return nil
}
