package charts_test

import (
	"encoding/base64"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const oneApp = `
gonbad:
  workloads:
    main:
      usedSharedConfigs: [USED]
      containers:
        main:
          image: {repository: registry.example.com/app, tag: a1}
global:
  sharedConfigs: {USED: one, OTHER: one}
  sharedSecrets: {KEY: one}
`

// TestRestart holds which changes of values restart pods and which do not.
func TestRestart(t *testing.T) {
	postgres := "envs: {POSTGRES_PASSWORD: one}"
	redis := "password: one"
	for _, c := range []struct {
		name, chart, pod, values, from, to string
		restarts                           bool
	}{
		{"tag", "simplepack", "Deployment/app-main", oneApp, "tag: a1", "tag: b2", true},
		{"used config", "simplepack", "Deployment/app-main", oneApp, "USED: one", "USED: two", true},
		{"other config", "simplepack", "Deployment/app-main", oneApp, "OTHER: one", "OTHER: two", false},
		{"secret", "simplepack", "Deployment/app-main", oneApp, "KEY: one", "KEY: two", true},
		{"postgres variables", "postgres", "StatefulSet/app-postgres", postgres, "PASSWORD: one", "PASSWORD: two", true},
		{"postgres files", "postgres", "StatefulSet/app-postgres", postgres, "envs", "configs: {postgresql.conf: work_mem = 8MB}\nenvs", false},
		{"postgres size", "postgres", "StatefulSet/app-postgres", postgres, "envs", "persistence: {size: 2Gi}\nenvs", false},
		{"redis password", "redis", "StatefulSet/app-redis", redis, "one", "two", true},
		{"redis file", "redis", "StatefulSet/app-redis", redis, "password", "configs: {redis.conf: appendonly yes}\npassword", true},
		{"redis-ha password", "redis-ha", "StatefulSet/app-redis-ha-server", "redisPassword: one", "one", "two", true},
		{"redis-ha proxies' password", "redis-ha", "Deployment/app-redis-ha-haproxy", "redisPassword: one", "one", "two", true},
		{"redis-ha setting", "redis-ha", "StatefulSet/app-redis-ha-server", "{}", "{}", "redis: {config: {hz: 20}}", true},
		{"redis-ha setting, proxies", "redis-ha", "Deployment/app-redis-ha-haproxy", "{}", "{}", "redis: {config: {hz: 20}}", false},
		{"redis-ha generated password", "redis-ha", "StatefulSet/app-redis-ha-server", "", "", "", false},
		{"redis generated password", "redis", "StatefulSet/app-redis", "", "", "", false},
		{"postgres generated password", "postgres", "StatefulSet/app-postgres", "", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			template := func(values string) any {
				object := release{chart: c.chart, name: "app", values: parse(t, values)}.objects(t)[c.pod]
				if object == nil {
					t.Fatalf("there is no %s", c.pod)
				}
				found, _, err := unstructured.NestedMap(object.Object, "spec", "template")
				if err != nil {
					t.Fatal(err)
				}
				return found
			}
			changed := strings.Replace(c.values, c.from, c.to, 1)
			if diff := cmp.Diff(template(c.values), template(changed)); (diff != "") != c.restarts {
				t.Errorf("pods restart: want %v, difference of the pod template:\n%s", c.restarts, diff)
			}
		})
	}
}

// TestSelector holds that a release can move from simplepack to genpack: selectors are immutable.
func TestSelector(t *testing.T) {
	want := map[string]string{"app.kubernetes.io/instance": "app", "app.kubernetes.io/component": "main"}
	for _, chart := range []string{"simplepack", "genpack"} {
		objects := release{chart: chart, name: "app", values: parse(t, oneApp)}.objects(t)
		got, _, err := unstructured.NestedStringMap(objects["Deployment/app-main"].Object, "spec", "selector", "matchLabels")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: selector (-want +got):\n%s", chart, diff)
		}
	}
}

// TestLabels holds that every object can be found by the standard labels, and pods by the selector of their owner.
func TestLabels(t *testing.T) {
	for _, chart := range charts {
		values := map[string]any{}
		if chart == "simplepack" || chart == "genpack" {
			values = parse(t, oneApp)
		}
		for id, object := range (release{chart: chart, name: "app", values: values}).objects(t) {
			for _, label := range []string{"name", "instance", "managed-by"} {
				if object.GetLabels()["app.kubernetes.io/"+label] == "" {
					t.Errorf("%s: %s has no label %s", chart, id, label)
				}
			}
			if !strings.HasPrefix(object.GetLabels()["helm.sh/chart"], chart+"-") {
				t.Errorf("%s: %s has the chart label %q", chart, id, object.GetLabels()["helm.sh/chart"])
			}
			selector, found, _ := unstructured.NestedStringMap(object.Object, "spec", "selector", "matchLabels")
			pod, hasPods, _ := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "labels")
			if !found || !hasPods {
				continue
			}
			both := maps.Clone(pod)
			maps.Copy(both, selector)
			if diff := cmp.Diff(pod, both); diff != "" {
				t.Errorf("%s: the pods of %s lack labels of its selector:\n%s", chart, id, diff)
			}
			if slices.Contains(slices.Collect(maps.Keys(pod)), "helm.sh/chart") {
				t.Errorf("%s: pods of %s carry the chart's version, so a new chart restarts them", chart, id)
			}
		}
	}
}

// TestPassword holds where the password of a database comes from, and that its address is right for every password.
func TestPassword(t *testing.T) {
	for _, c := range []struct{ name, chart, values, live, want string }{
		{"postgres given", "postgres", "envs: {POSTGRES_PASSWORD: 'p @s/s:%+'}", "", "p @s/s:%+"},
		{"postgres given wins", "postgres", "envs: {POSTGRES_PASSWORD: new}", "old", "new"},
		{"postgres number", "postgres", "envs: {POSTGRES_PASSWORD: 12345678}", "", "12345678"},
		{"postgres kept", "postgres", "", "made before", "made before"},
		{"postgres generated", "postgres", "", "", ""},
		{"redis given", "redis", "password: 'p @s\"s\\:%+'", "", "p @s\"s\\:%+"},
		{"redis variable", "redis", "envs: {REDIS_PASSWORD: var}", "old", "var"},
		{"redis kept", "redis", "", "made before", "made before"},
		{"redis generated", "redis", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := strings.ToUpper(c.chart)
			r := release{chart: c.chart, name: c.chart, values: parse(t, c.values)}
			if c.live != "" {
				r.live = []runtime.Object{secret(c.chart, key+"_PASSWORD", c.live)}
			}
			data := secretData(t, r)
			if c.want == "" {
				if len(data[key+"_PASSWORD"]) != 40 {
					t.Errorf("the generated password has %d characters", len(data[key+"_PASSWORD"]))
				}
			} else if data[key+"_PASSWORD"] != c.want {
				t.Errorf("password %q, want %q", data[key+"_PASSWORD"], c.want)
			}
			if file, ok := data["auth.conf"]; ok {
				quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(data["REDIS_PASSWORD"])
				if want := `requirepass "` + quoted + "\"\n"; file != want {
					t.Errorf("redis reads %q, want %q", file, want)
				}
			}
			address, err := url.Parse(data[key+"_URI"])
			if err != nil {
				t.Fatal(err)
			}
			if password, _ := address.User.Password(); password != data[key+"_PASSWORD"] {
				t.Errorf("the address has the password %q", password)
			}
			if address.Scheme != c.chart || address.Hostname() != c.chart+"."+namespace {
				t.Errorf("the address is %s", address.Redacted())
			}
		})
	}
}

func secret(name, key, value string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret",
		"metadata": map[string]any{"name": name, "namespace": namespace},
		"data":     map[string]any{key: base64.StdEncoding.EncodeToString([]byte(value))},
	}}
}

func secretData(t *testing.T, r release) map[string]string {
	t.Helper()
	data, _, err := unstructured.NestedStringMap(r.objects(t)["Secret/"+r.name].Object, "data")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range data {
		plain, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			t.Fatal(err)
		}
		data[key] = string(plain)
	}
	return data
}

// TestNoSecretOutside holds that passwords are in Secrets and nowhere else.
func TestNoSecretOutside(t *testing.T) {
	const mark = "tr1cky-s3cret"
	for chart, values := range map[string]string{
		"postgres": "envs: {POSTGRES_PASSWORD: " + mark + ", POSTGRES_USER: me}",
		"redis":    "password: " + mark,
		"redis-ha": "redisPassword: " + mark,
		"postgresql-ha": "superuserPassword: " + mark + "\ndatabases: [{database: a, username: me, password: " + mark + "}]\n" +
			"backup: {enabled: true, s3: {bucket: b, accessKey: " + mark + ", secretKey: " + mark + "}}\n" +
			"tls: {enabled: true, ca.crt: x, tls.crt: x, tls.key: " + mark + "}",
		"simplepack": strings.Replace(oneApp, "KEY: one", "KEY: "+mark, 1),
		"alerting": "route: {receiver: all}\nreceivers: {all: {emailConfigs: [{to: a@example.com, authPassword: " + mark + ", authSecret: " + mark + ",\n" +
			" tlsConfig: {ca: " + mark + ", cert: " + mark + ", keySecret: " + mark + "}}],\n" +
			" slackConfigs: [{apiURL: 'https://example.com/" + mark + "', httpConfig: {bearerTokenSecret: " + mark + "}}],\n" +
			" webhookConfigs: [{urlSecret: 'https://example.com/" + mark + "', httpConfig: {basicAuth: {username: " + mark + ", password: " + mark + "}}},\n" +
			" {url: 'https://example.com', httpConfig: {authorization: {credentials: " + mark + "}}},\n" +
			" {url: 'https://example.com', httpConfig: {oauth2: {clientId: " + mark + ", clientSecret: " + mark + ", tokenUrl: 'https://example.com'}}}]}}",
	} {
		text, err := release{chart: chart, name: "app", values: parse(t, values)}.text()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, mark) {
			t.Errorf("%s shows the secret in plain text", chart)
		}
	}
}

// TestVersions holds that the constraints of Packs that are around find these charts.
func TestVersions(t *testing.T) {
	for chart, constraint := range map[string]string{
		"simplepack": ">=0.3.1, <0.4", "postgres": ">=0.6.1, <0.7", "redis": ">=0.3.2, <0.4", "genpack": ">=0.1.97, <0.2",
		"postgresql-ha": ">=0.6.17, <0.7", "redis-ha": "=4.15.2",
	} {
		loaded, err := loader.LoadDir(chart)
		if err != nil {
			t.Fatal(err)
		}
		allowed, err := semver.NewConstraint(constraint)
		if err != nil {
			t.Fatal(err)
		}
		if version := semver.MustParse(loaded.Metadata.Version); !allowed.Check(version) {
			t.Errorf("%s %s is not within %s", chart, version, constraint)
		}
	}
}

// TestReadme renders the examples of the charts' own pages.
func TestReadme(t *testing.T) {
	for _, chart := range charts {
		_, rest, found := strings.Cut(read(t, chart+"/README.md"), "```yaml\n")
		if !found {
			t.Fatalf("%s/README.md has no example", chart)
		}
		example, _, _ := strings.Cut(rest, "```")
		values := parse(t, example)
		if values["kind"] == "Pack" {
			values, _, _ = unstructured.NestedMap(values, "spec", "values")
		}
		for id, object := range (release{chart: chart, name: chart, values: values}).objects(t) {
			if err := strict(object); err != nil {
				t.Errorf("%s: %s: %v", chart, id, err)
			}
		}
	}
}
