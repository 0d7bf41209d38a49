package vault

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mixed returns n letters and figures.
func mixed(n int) string { return strings.Repeat("aB3dE6gH9j", n/10+1)[:n] }

func TestScanFinds(t *testing.T) {
	sealed, _ := newKey(t, "a", password, "").Encrypt([]byte("x"))
	sealed = strings.ReplaceAll(strings.TrimSpace(sealed), "\n", "\n          ")
	for name, tc := range map[string]struct {
		file, content string
		want          []string // line, field and rule
	}{
		"values of a Secret": {
			"a.yaml", "apiVersion: v1\nkind: ConfigMap\ndata: {password_file: /run/x}\n---\nkind: Secret\ndata:\n  user: " +
				base64.StdEncoding.EncodeToString([]byte("postgres")) + "\nstringData:\n  password: |\n    hunter22\n  empty: ''\n  later: REPLACE_ME\n",
			[]string{"7 data.user: a value of a Secret", "10 stringData.password: a value of a Secret"},
		},
		"a list": {"a.json", `{"kind":"List","items":[{"kind":"Secret","stringData":{"a":"hunter22"}}]}`, []string{"1 stringData.a: a value of a Secret"}},
		"an encrypted Secret": {
			"a.yaml", "kind: Secret\nstringData:\n  password: ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]\nsops:\n  mac: ENC[x]\n", nil,
		},
		"a SealedSecret": {"a.yaml", "kind: SealedSecret\nspec:\n  encryptedData:\n    password: " + mixed(60) + "\n", nil},
		"a Pack": {
			"a.pack.yaml", "kind: Pack\nspec:\n  vars:\n    DB_PASSWORD: hunter22\n    DSN: '{{ vars.X }}'\n  values:\n    databases:\n      - username: app\n        password: 12345678\n" +
				"      - password: |\n          " + sealed + "\n    existingSecret: creds\n    secretName: tls\n    passwordKey: password\n    automountServiceAccountToken: false\n    imagePullSecrets: [one]\n",
			[]string{"4 spec.vars.DB_PASSWORD: a value under the name of a secret", "9 spec.values.databases[0].password: a value under the name of a secret"},
		},
		"variables of a container": {
			"d.yaml", "env:\n  - name: API_TOKEN\n    value: hunter22\n  - name: MODE\n    value: fast\n  - name: OTHER_TOKEN\n    valueFrom: {secretKeyRef: {name: a, key: token}}\n  - name: T_PASSWORD\n    value: $(API_TOKEN)\n",
			[]string{"3 env[0].value: a value under the name of a secret"},
		},
		"variables of genpack":    {"v.yaml", "env:\n  DB_PASSWORD:\n    value: hunter22\n  X_PASSWORD:\n    secretKeyRef: {name: a, key: password}\n", []string{"3 env.DB_PASSWORD.value: a value under the name of a secret"}},
		"an address":              {"a.md", "Use postgres://app:Zx9kQ2@db/app\nor http://user:password@host or http://u:${PW}@h or printf redis://:%s@h\n", []string{"1 : the password of an address"}},
		"a weak password":         {"a.yaml", "uri: amqp://app:password@db/app\n", []string{"1 uri: the password of an address"}},
		"a key in a block":        {"a.yaml", "files:\n  id: |\n    # x\n    -----BEGIN EC PRIVATE KEY-----\n    " + mixed(64) + "\n", []string{"4 files.id: a private key"}},
		"a private key":           {"id", "-----BEGIN OPENSSH PRIVATE KEY-----\n" + mixed(64) + "\n", []string{"1 : a private key"}},
		"a key in a string":       {"a.go", `x := "-----BEGIN RSA PRIVATE KEY-----\n` + mixed(64) + `"`, []string{"1 : a private key"}},
		"the head of a key":       {"a.go", "if strings.HasPrefix(s, \"-----BEGIN RSA PRIVATE KEY-----\") {\n\treturn true\n", nil},
		"an age key":              {"keys.txt", "# public key: age1x\nAGE-SECRET-KEY-1" + strings.Repeat("Q", 58) + "\n", []string{"2 : an age private key"}},
		"a token of GitHub":       {"run.sh", "curl -H x " + "ghp" + "_" + mixed(36), []string{"1 : a token of GitHub"}},
		"a token of GitLab":       {".gitlab-ci.yml", "script:\n  - curl " + "gl" + "pat-" + mixed(20), []string{"2 script[0]: a token of GitLab"}},
		"a token of Slack":        {"a.txt", "xo" + "xb-" + strings.Repeat("1", 12) + "-abc", []string{"1 : a token of Slack"}},
		"a key of AWS":            {"a.tf", `access = "` + "AK" + "IA" + strings.Repeat("Q2", 8) + `"`, []string{"1 : an access key of AWS"}},
		"a login":                 {"a.sh", "curl -H 'Authorization: Bearer " + mixed(30) + "'\ncurl -H \"Authorization: Bearer $TOKEN\"\n", []string{"1 : a login in a header"}},
		"a random text":           {"a.yaml", "license: " + "q8Zr3TnW6xLp0VbK" + "c5Yh2MdS\n", []string{"1 license: a random text"}},
		"digests and identifiers": {"a.yaml", "image: a@sha256:" + strings.Repeat("0af1", 16) + "\nuid: 6f1d4c1e-0000-4000-8000-000000000001\ncaBundle: " + mixed(100) + "\ncommit: " + strings.Repeat("0af1", 10) + "\nurl: https://Example.org/a/B/c/D1/e2/F3/g4/h5\n", nil},
		"a schema":                {"values.schema.json", `{"properties":{"password":{"type":"string","description":"Password of the user"},"token":{"type":["string","null"],"default":""}}}`, nil},
		"broken YAML":             {"a.yaml", "a: b: c\n  password: hunter22\n  token: \"{{ .Values.token }}\"\n", []string{"2 password: a value under the name of a secret"}},
		"a template":              {"t.yaml", "{{- if .Values.password }}\npassword: {{ .Values.password | quote }}\nuri: redis://:{{ .Values.password }}@redis\n{{- end }}\n", nil},
		"a file of variables":     {".env.prod", "# x\nexport DB_PASSWORD=\"hunter22\"\nDB_HOST=db\nTOKEN=\nTOKEN_TTL=300\n", []string{"2 DB_PASSWORD: a value under the name of a secret"}},
		"allowed in the line":     {"a.yaml", "password: hunter22 # peyk:allow-secret of a test\n", nil},
		"allowed in the line above": {
			"a.yaml", "# peyk:allow-secret: of a test\npassword: hunter22\nother:\n  password: hunter23\n", []string{"4 other.password: a value under the name of a secret"},
		},
		"a binary file": {"a.bin", "\x00password=hunter22 postgres://a:Zx9kQ2@h", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, f := range Scan(tc.file, []byte(tc.content)) {
				got = append(got, fmt.Sprintf("%d %s: %s", f.Line, f.Field, f.Rule))
				if shown := f.String(); strings.Contains(shown, "hunter") || strings.Contains(shown, "Zx9k") || strings.Contains(shown, mixed(12)) {
					t.Errorf("the finding shows the secret: %s", shown)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNamesOfSecrets(t *testing.T) {
	for name, want := range map[string]bool{
		"password": true, "DB_PASSWORD": true, "superuserPassword": true, "apiKey": true, "AWS_SECRET_ACCESS_KEY": true, "token": true, "SECRET_KEY": true, "dsn": true, "DATABASE_DSN": true, "redisPwd": true,
		"passwordSecretRef": false, "secretName": false, "existingSecret": false, "tokenPath": false, "usedSharedSecrets": false, "compass": false, "bypass": false, "key": false, "publicKey": false,
		"tokenExpirationSeconds": false, "password_file": false, "imagePullSecrets": false, "checksum/shared-secrets": false, "automountServiceAccountToken": false, "secretRef": false, "secretKeyRef": false,
	} {
		if got := secretName(name); got != want {
			t.Errorf("secretName(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestAdded(t *testing.T) {
	before := "vars:\n  TAG: one\nvalues:\n  password: hunter22\n"
	for name, c := range map[string]struct {
		after string
		want  int
	}{
		"another tag":      {strings.Replace(before, "one", "two", 1), 0},
		"moved":            {"# comment\n" + before, 0},
		"another password": {strings.Replace(before, "hunter22", "hunter23", 1), 1},
		"one more":         {before + "  token: hunter23\n", 1},
		"taken out":        {"vars: {}\n", 0},
	} {
		if got := Added("a.yaml", []byte(before), []byte(c.after)); len(got) != c.want {
			t.Errorf("%s: added %v, want %d", name, got, c.want)
		}
	}
}

func TestScanTree(t *testing.T) {
	root := t.TempDir()
	for file, content := range map[string]string{
		"a/pack.yaml": "password: hunter22\n", "b.yaml": "a: b\n", ".git/config": "url = https://u:Zx9kQ2@h/r\n", "local/.env": "TOKEN=hunter22\n",
		"testdata/x.yaml": "password: hunter22\n", "testdata/keep.yaml": "password: hunter22\n", ".gitignore": "local/\n", ".peykignore": "testdata/*\n!testdata/keep.yaml\n",
	} {
		file = filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	findings, files, err := ScanTree(root)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range findings {
		paths = append(paths, strings.TrimPrefix(f.Path, filepath.ToSlash(root)+"/"))
	}
	if diff := cmp.Diff([]string{"a/pack.yaml", "testdata/keep.yaml"}, paths); diff != "" || files != 5 {
		t.Errorf("of %d files (-want +got):\n%s", files, diff)
	}
	if one, _, err := ScanTree(filepath.Join(root, "a", "pack.yaml")); err != nil || len(one) != 1 || !strings.HasSuffix(one[0].Path, "/a/pack.yaml") {
		t.Errorf("of one file: %v, %v", one, err)
	}
	if _, _, err := ScanTree(filepath.Join(root, "none")); err == nil {
		t.Error("a folder that is not there: no error")
	}
}

// The charts and manifests that Peyk comes with hold no secrets; their tests do.
func TestFewFalseAlarms(t *testing.T) {
	for _, folder := range []string{"charts", "api", "images", "docs", "internal/install/manifests"} {
		findings, _, err := ScanTree(filepath.Join("../..", folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if !strings.Contains(f.Path, "/testdata/") {
				t.Error(f)
			}
		}
	}
}
