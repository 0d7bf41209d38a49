package charts_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// databases are the charts that hand a connection to applications, with where each keeps its password.
var databases = []struct {
	chart, give, secret, key, scheme, host, port, user, database string
}{
	{"postgres", "envs: {POSTGRES_PASSWORD: %}", "app-postgres", "POSTGRES_PASSWORD", "postgres", "app-postgres.base", "5432", "postgres", "postgres"},
	{"redis", "password: %", "app-redis", "REDIS_PASSWORD", "redis", "app-redis.base", "6379", "", "0"},
	{"redis-ha", "redisPassword: %", "app-redis-ha", "auth", "redis", "app-redis-ha-haproxy.base", "6379", "", "0"},
	{"postgresql-ha", "superuserPassword: %", "app-postgresql-ha-superuser", "password", "postgres", "app-postgresql-ha.base", "5432", "postgres", "postgres"},
	{
		"postgresql-ha", "databases: [{database: shop, username: owner, password: %}]", "app-postgresql-ha-user-owner", "password",
		"postgres", "app-postgresql-ha.base", "5432", "owner", "shop",
	},
}

// TestConnection holds that the Secret NAME-connection has what an application needs, whatever the password looks like, and
// that a password which was generated once is found again, also when the pack was removed in between.
func TestConnection(t *testing.T) {
	for _, d := range databases {
		for _, c := range []struct{ name, values, live, want string }{
			{"given", strings.Replace(d.give, "%", `'p @s"s\:/%+'`, 1), "", `p @s"s\:/%+`},
			{"given wins", strings.Replace(d.give, "%", "new", 1), "old", "new"},
			{"kept", strings.Replace(d.give, "%", `""`, 1), "made before", "made before"},
			{"generated", strings.Replace(d.give, "%", `""`, 1), "", ""},
		} {
			t.Run(d.chart+" "+d.user+" "+c.name, func(t *testing.T) {
				r := release{chart: d.chart, name: "app", values: parse(t, c.values)}
				if c.live != "" {
					r.live = []runtime.Object{secret(d.secret, d.key, c.live)}
				}
				objects := r.objects(t)
				password := decoded(t, objects, d.secret)[d.key]
				if c.want == "" && len(password) != 40 || c.want != "" && password != c.want {
					t.Errorf("the password is %q, want %q", password, c.want)
				}
				kept := objects["Secret/"+d.secret].GetAnnotations()["helm.sh/resource-policy"] == "keep"
				if given := c.name == "given" || c.name == "given wins"; kept == given {
					t.Errorf("the Secret outlives the pack: %v", kept)
				}
				fullname, _, _ := strings.Cut(d.secret, d.chart)
				got := decoded(t, objects, fullname+d.chart+"-connection")
				for key, want := range map[string]string{"host": d.host, "port": d.port, "username": d.user, "password": password, "database": d.database} {
					if got[key] != want {
						t.Errorf("%s is %q, want %q", key, got[key], want)
					}
				}
				address, err := url.Parse(got["uri"])
				if err != nil {
					t.Fatal(err)
				}
				inside, _ := address.User.Password()
				if address.Scheme != d.scheme || address.Host != d.host+":"+d.port || inside != password || address.User.Username() != d.user {
					t.Errorf("the address is %s", address.Redacted())
				}
			})
		}
	}
}

// decoded returns what a Secret holds.
func decoded(t *testing.T, objects map[string]*unstructured.Unstructured, name string) map[string]string {
	t.Helper()
	object := objects["Secret/"+name]
	if object == nil {
		t.Fatalf("there is no Secret %s", name)
	}
	data, _, err := unstructured.NestedStringMap(object.Object, "data")
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

// TestRestrictedPods holds that what the database charts run fits the restricted Pod Security Standard.
func TestRestrictedPods(t *testing.T) {
	for chart, values := range map[string]string{
		"postgres": "metrics: {enabled: true}", "redis": "metrics: {enabled: true}", "redis-ha": "exporter: {enabled: true}", "cloudnative-pg": "",
	} {
		pods := 0
		for id, object := range (release{chart: chart, name: "app", values: parse(t, values)}).objects(t) {
			spec, found, _ := unstructured.NestedMap(object.Object, "spec", "template", "spec")
			if !found {
				continue
			}
			pods++
			if nonRoot, _, _ := unstructured.NestedBool(spec, "securityContext", "runAsNonRoot"); !nonRoot {
				t.Errorf("%s: %s may run as root", chart, id)
			}
			if profile, _, _ := unstructured.NestedString(spec, "securityContext", "seccompProfile", "type"); profile != "RuntimeDefault" {
				t.Errorf("%s: %s has the seccomp profile %q", chart, id, profile)
			}
			containers, _, _ := unstructured.NestedSlice(spec, "containers")
			for _, one := range containers {
				container := one.(map[string]any)
				escalation, set, _ := unstructured.NestedBool(container, "securityContext", "allowPrivilegeEscalation")
				readOnly, _, _ := unstructured.NestedBool(container, "securityContext", "readOnlyRootFilesystem")
				drop, _, _ := unstructured.NestedStringSlice(container, "securityContext", "capabilities", "drop")
				if !set || escalation || !readOnly || len(drop) != 1 || drop[0] != "ALL" {
					t.Errorf("%s: container %v of %s is not restricted", chart, container["name"], id)
				}
			}
		}
		if pods == 0 {
			t.Errorf("%s runs nothing", chart)
		}
	}
}
