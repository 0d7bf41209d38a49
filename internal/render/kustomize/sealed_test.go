package kustomize

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/stores/dotenv"
	"github.com/getsops/sops/v3/stores/json"
	"github.com/getsops/sops/v3/stores/yaml"

	"github.com/peyk/peyk/internal/decrypt"
	"github.com/peyk/peyk/internal/decrypt/sopstest"
)

const plainSecret = `apiVersion: v1
kind: Secret
metadata:
    name: db
    namespace: base
stringData:
    password: hunter22
`

func openerOf(t *testing.T, key sopstest.Key) *decrypt.Opener {
	t.Helper()
	keys, err := decrypt.ParseKeys(map[string][]byte{"a.agekey": key.Private()}, decrypt.AllKeys)
	if err != nil {
		t.Fatal(err)
	}
	return &decrypt.Opener{Keys: keys}
}

// secretValue returns a value of the built Secret of a name, whether it is in data or in stringData.
func secretValue(t *testing.T, built *Result, name, key string) string {
	t.Helper()
	for _, o := range built.Objects {
		if o.GetKind() != "Secret" || !strings.HasPrefix(o.GetName(), name) {
			continue
		}
		if plain, ok := o.Object["stringData"].(map[string]any); ok {
			return plain[key].(string)
		}
		text, _ := o.Object["data"].(map[string]any)[key].(string)
		value, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(value)
	}
	t.Fatalf("no Secret %s", name)
	return ""
}

func TestBuildOpensWhatIsEncrypted(t *testing.T) {
	key := sopstest.NewKey(t)
	stores := config.NewStoresConfig()
	seal := sopstest.File{Store: yaml.NewStore(&stores.YAML), Regex: "^(data|stringData)$", Key: key}
	sealed := seal.Encrypt(t, plainSecret)
	env := sopstest.File{Store: dotenv.NewStore(&stores.Dotenv), Key: key}.Encrypt(t, "TOKEN=geheim-env\n")
	binary := sopstest.File{Store: json.NewBinaryStore(&stores.JSONBinary), Key: key}.Encrypt(t, "geheim-pem")
	patch := seal.Encrypt(t, strings.ReplaceAll(plainSecret, "hunter22", "patched-22"))
	nested := "apiVersion: v1\nkind: Secret\nmetadata: {name: nested, namespace: base}\ndata:\n  cert.pem: " +
		base64.StdEncoding.EncodeToString([]byte(binary)) + "\n"
	files := map[string]string{
		"plain/secret.yaml":       sealed,
		"plain/nested.yaml":       nested,
		"gen/kustomization.yaml":  "namespace: gen\nresources: [../base]\nsecretGenerator:\n- name: env\n  envs: [my.env]\n- name: pem\n  files: [cert=my.pem]\n",
		"gen/my.env":              env,
		"gen/my.pem":              binary,
		"base/kustomization.yaml": "resources: [secret.yaml]\npatches:\n- path: patch.yaml\n",
		"base/secret.yaml":        sealed,
		"base/patch.yaml":         patch,
	}
	root := tree(t, files)
	plain, err := Build(Request{Root: root, Path: "plain", Namespace: "prod", NamePrefix: "my-", Opener: openerOf(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	generated, err := Build(Request{Root: root, Path: "gen", Opener: openerOf(t, key)})
	if err != nil {
		t.Fatal(err)
	}
	for what, got := range map[string][2]string{
		"a Secret":             {secretValue(t, plain, "my-db", "password"), "hunter22"},
		"a value of a Secret":  {secretValue(t, plain, "my-nested", "cert.pem"), "geheim-pem"},
		"generated from env":   {secretValue(t, generated, "env", "TOKEN"), "geheim-env"},
		"generated from files": {secretValue(t, generated, "pem", "cert"), "geheim-pem"},
		"patched in a base":    {secretValue(t, generated, "db", "password"), "patched-22"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %q, want %q", what, got[0], got[1])
		}
	}
	for _, o := range plain.Objects {
		if _, has := o.Object["sops"]; has {
			t.Errorf("%s has the metadata of SOPS still", o.GetName())
		}
	}
	err = filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if relative, _ := filepath.Rel(root, name); string(data) != files[relative] {
			t.Errorf("%s was written to", relative)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestASealedSecretIsNotApplied(t *testing.T) {
	key := sopstest.NewKey(t)
	stores := config.NewStoresConfig()
	seal := sopstest.File{Store: yaml.NewStore(&stores.YAML), Regex: "^stringData$", Key: key}
	sealed := seal.Encrypt(t, plainSecret)
	left := seal.Encrypt(t, strings.Replace(plainSecret, "name: db", "name: db\n    annotations: {kustomize.toolkit.fluxcd.io/decrypt: disabled}", 1))
	for name, tc := range map[string]struct {
		text   string
		opener *decrypt.Opener
		want   []string
	}{
		"without decryption":         {sealed, nil, []string{"s.yaml", "Secret/db", "spec.decryption"}},
		"without the key":            {sealed, &decrypt.Opener{Keys: &decrypt.Keys{}}, []string{"s.yaml", key.Recipient()}},
		"changed by hand":            {strings.Replace(sealed, "name: db", "name: bd", 1), openerOf(t, key), []string{"s.yaml", "MAC"}},
		"annotated to stay sealed":   {left, nil, nil},
		"annotated, with decryption": {left, openerOf(t, key), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Build(Request{Root: tree(t, map[string]string{"s.yaml": tc.text}), Opener: tc.opener})
			if (err == nil) != (tc.want == nil) {
				t.Fatalf("got %v", err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
}

// kustomize quotes a patch that it cannot apply.
func TestErrorsHoldNoPlainText(t *testing.T) {
	key := sopstest.NewKey(t)
	stores := config.NewStoresConfig()
	sealed := sopstest.File{Store: yaml.NewStore(&stores.YAML), Regex: "^stringData$", Key: key}.Encrypt(t,
		"kind: Secret\nstringData:\n    password: hunter22\n")
	root := tree(t, map[string]string{
		"kustomization.yaml": "resources: [c.yaml]\npatches:\n- path: p.yaml\n  target: {kind: ConfigMap}\n", "c.yaml": configMap, "p.yaml": sealed,
	})
	_, err := Build(Request{Root: root, Opener: openerOf(t, key)})
	if err == nil {
		t.Fatal("want an error")
	}
	if strings.Contains(err.Error(), "hunter22") {
		t.Errorf("the error shows a secret: %v", err)
	}
	t.Log(err)
}
