package app

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/peyk/peyk/samples/ping/internal/settings"
)

type pack struct {
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		Vars   map[string]string
		Values struct {
			Password string
			Envs     map[string]string
			Global   struct {
				SharedConfigs map[string]string `yaml:"sharedConfigs"`
			}
		}
	}
}

func readPack(t *testing.T, name string) pack {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	var p pack
	if err := yaml.Unmarshal(text, &p); err != nil {
		t.Fatalf("reading %s: %v", name, err)
	}
	return p
}

// The settings that the sample-app Pack hands to the service are valid, and lead to the two other Packs.
func TestPacksFitTogether(t *testing.T) {
	postgres, redis, sample := readPack(t, "postgres.pack.yaml"), readPack(t, "redis.pack.yaml"), readPack(t, "sample-app.pack.yaml")
	configs := sample.Spec.Values.Global.SharedConfigs
	s, err := settings.Load(func(name string) string { return configs[name] })
	if err != nil {
		t.Fatal(err)
	}
	user, password := postgres.Spec.Values.Envs["POSTGRES_USER"], postgres.Spec.Values.Envs["POSTGRES_PASSWORD"]
	wants := map[string]url.URL{
		s.PostgresURI: {Scheme: "postgres", User: url.UserPassword(user, password), Host: address(postgres) + ":5432", Path: "/" + user},
		s.RedisURI:    {Scheme: "redis", User: url.UserPassword("", redis.Spec.Values.Password), Host: address(redis) + ":6379", Path: "/"},
	}
	for got, want := range wants {
		if got != want.String() {
			t.Errorf("%s, want %s", got, want.String())
		}
	}
	if sample.Spec.Vars["DOCKER_TAG"] == "" {
		t.Error("the sample-app Pack does not set DOCKER_TAG")
	}
}

func address(p pack) string { return p.Metadata.Name + "." + p.Metadata.Namespace }
