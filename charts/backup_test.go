package charts_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// TestBackupSecret holds that backups find their bucket in the Secret that the values name, where the values leave it out, and
// that what is nowhere is named.
func TestBackupSecret(t *testing.T) {
	// The sample of the reference names the Secret and no bucket.
	const sample = "testdata/postgresql-ha/my-postgresql-ha/values.yaml"
	const keys = "accessKey: a, secretKey: s3cret"
	for _, c := range []struct {
		name, s3, secret string
		path, endpoint   string
		region           string
		want             string
	}{
		{name: "all in the Secret", secret: keys + ", bucket: b, endpoint: 'https://s3.example.com', region: north, pathPrefix: /x/", path: "s3://b/x/", endpoint: "https://s3.example.com", region: "postgresbackupcreds/region"},
		{name: "little in the Secret", secret: keys + `, bucket: "b\n"`, path: "s3://b/"},
		{name: "values win", s3: "bucket: mine, endpoint: 'https://mine.example.com', region: south, pathPrefix: deep", secret: keys + ", bucket: b, endpoint: 'https://s3.example.com', region: north, pathPrefix: x", path: "s3://mine/deep/", endpoint: "https://mine.example.com", region: "my-postgresql-ha-backup-region/region"},
		{name: "no Secret yet", s3: "bucket: mine", path: "s3://mine/"},
		{name: "other names of the keys", s3: "accessKeyKey: AWS_ID, secretKeyKey: AWS_KEY", secret: "AWS_ID: a, AWS_KEY: b, bucket: b", path: "s3://b/"},
		{name: "no Secret", want: "backup.s3.bucket: is empty, and there is no Secret postgresbackupcreds in the namespace base"},
		{name: "no bucket", secret: keys, want: "backup.s3.bucket: is empty, and the Secret postgresbackupcreds has no key bucket"},
		{name: "no access key", secret: "secretKey: s3cret, bucket: b", want: "backup.s3.existingSecret: the Secret postgresbackupcreds has no key accessKey; add it, or name another in backup.s3.accessKeyKey"},
		{name: "no secret key", s3: "bucket: b", secret: "accessKey: s3cret", want: "backup.s3.existingSecret: the Secret postgresbackupcreds has no key secretKey"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := release{chart: "postgresql-ha", name: "my-postgresql-ha", values: parse(t, read(t, sample))}
			s3 := parse(t, "{existingSecret: postgresbackupcreds, "+c.s3+"}")
			if err := unstructured.SetNestedMap(r.values, s3, "backup", "s3"); err != nil {
				t.Fatal(err)
			}
			if c.secret != "" {
				r.live = []runtime.Object{secretOf(t, "postgresbackupcreds", c.secret)}
			}
			text, err := r.text()
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("the error is %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text, "s3cret") {
				t.Error("the key of the Secret is written out")
			}
			cluster := r.objects(t)["Cluster/my-postgresql-ha"].Object
			field := func(path ...string) string {
				found, _, err := unstructured.NestedString(cluster, append([]string{"spec", "backup", "barmanObjectStore"}, path...)...)
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			region := strings.Trim(field("s3Credentials", "region", "name")+"/"+field("s3Credentials", "region", "key"), "/")
			if diff := cmp.Diff([]string{c.path, c.endpoint, c.region}, []string{field("destinationPath"), field("endpointURL"), region}); diff != "" {
				t.Errorf("path, endpoint and region (-want +got):\n%s", diff)
			}
		})
	}
}

// secretOf is a Secret with the keys that are given as a map in YAML.
func secretOf(t *testing.T, name, data string) *unstructured.Unstructured {
	t.Helper()
	out := secret(name, "", "")
	out.Object["data"] = map[string]any{}
	for key, value := range parse(t, "{"+data+"}") {
		more := secret(name, key, value.(string))
		if err := unstructured.SetNestedField(out.Object, more.Object["data"].(map[string]any)[key], "data", key); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
