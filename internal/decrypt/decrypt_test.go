package decrypt

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/internal/decrypt/sopstest"
)

const secret = `apiVersion: v1
kind: Secret
metadata:
    name: db
stringData:
    password: hunter22
    port: "5432"
`

func keysOf(t *testing.T, data map[string][]byte) *Keys {
	t.Helper()
	keys, err := ParseKeys(data, AllKeys)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestFileOfEveryFormat(t *testing.T) {
	key := sopstest.NewKey(t)
	keys := keysOf(t, map[string][]byte{"age.agekey": key.Private()})
	for name, tc := range map[string]struct{ file, plain string }{
		"yaml":   {"values.yaml", "a: geheim\nb:\n    - 1\n    - true\n"},
		"json":   {".dockerconfigjson", "{\n\t\"auths\": {\n\t\t\"password\": \"geheim\"\n\t}\n}"},
		"env":    {"prod.env", "A=geheim\nB=2\n"},
		"ini":    {"my.ini", "[a]\nb = geheim\n"},
		"binary": {"cert.pem", "geheim\x00\xff binary"},
	} {
		t.Run(name, func(t *testing.T) {
			format := FormatOf(tc.file)
			closed := sopstest.File{Store: storeOf(format), Key: key}.Encrypt(t, tc.plain)
			if strings.Contains(closed, "geheim") || !Encrypted([]byte(closed), format) {
				t.Fatalf("not encrypted:\n%s", closed)
			}
			o := &Opener{Keys: keys}
			plain, err := o.File([]byte(closed), format, format)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimSpace(tc.plain), strings.ReplaceAll(strings.TrimSpace(string(plain)), "b       =", "b =")); diff != "" {
				t.Errorf("plain text (-want +got):\n%s", diff)
			}
			if !strings.Contains(strings.Join(o.Secrets(), "\n"), "geheim") {
				t.Errorf("secrets %q", o.Secrets())
			}
			if plain, err = o.Value(tc.file, []byte(closed)); err != nil || !strings.Contains(string(plain), "geheim") {
				t.Errorf("as a value of a Secret: %q, %v", plain, err)
			}
		})
	}
}

func TestPlainFilesStayAsTheyAre(t *testing.T) {
	o := &Opener{Keys: &Keys{}}
	for _, name := range []string{"a.yaml", "a.json", "a.env", "a.ini", "a.bin"} {
		if got, err := o.File([]byte("x: y"), FormatOf(name), FormatOf(name)); err != nil || string(got) != "x: y" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got, err := o.Value("a", []byte("text")); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestManifest(t *testing.T) {
	key := sopstest.NewKey(t)
	other := sopstest.NewKey(t)
	keys := keysOf(t, map[string][]byte{"one.agekey": key.Private(), "two.agekey": other.Private()})
	closed := sopstest.File{Store: storeOf(YAML), Regex: "^(data|stringData)$", Key: key}.Encrypt(t, secret)
	second := sopstest.File{Store: storeOf(YAML), Regex: "^stringData$", Key: other}.Encrypt(t, strings.ReplaceAll(secret, "name: db", "name: other"))
	together := sopstest.File{Store: storeOf(YAML), Key: key}.Encrypt(t, secret+"---\n"+strings.ReplaceAll(secret, "hunter22", "hunter23"))
	disabled := sopstest.File{Store: storeOf(YAML), Regex: "^stringData$", Key: key}.Encrypt(t,
		strings.ReplaceAll(secret, "name: db", "name: db\n    annotations:\n        kustomize.toolkit.fluxcd.io/decrypt: Disabled"))
	for name, tc := range map[string]struct {
		text      string
		has, lack []string
	}{
		"one":                    {closed, []string{"hunter22", `"5432"`}, []string{"sops", "ENC["}},
		"among others":           {"# text\nkind: A\n---\n" + closed + "---\nkind: B\n", []string{"hunter22", "kind: A", "kind: B"}, []string{"ENC["}},
		"two of different files": {closed + "---\n" + second, []string{"name: db", "name: other", "hunter22"}, []string{"ENC["}},
		"two of one file":        {together, []string{"hunter22", "hunter23"}, []string{"ENC["}},
		"switched off":           {disabled + "---\nkind: A\n", []string{"ENC[", "sops:", "kind: A"}, []string{"hunter22"}},
	} {
		t.Run(name, func(t *testing.T) {
			plain, err := (&Opener{Keys: keys}).Manifest([]byte(tc.text), YAML)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range tc.has {
				if !strings.Contains(string(plain), part) {
					t.Errorf("no %q in:\n%s", part, plain)
				}
			}
			for _, part := range tc.lack {
				if strings.Contains(string(plain), part) {
					t.Errorf("%q in:\n%s", part, plain)
				}
			}
		})
	}
}

func TestAChangedFileIsRefused(t *testing.T) {
	key := sopstest.NewKey(t)
	keys := keysOf(t, map[string][]byte{"a.agekey": key.Private()})
	closed := sopstest.File{Store: storeOf(YAML), Regex: "^stringData$", Key: key}.Encrypt(t, secret)
	renamed := strings.Replace(closed, "name: db", "name: admin", 1)
	o := &Opener{Keys: keys}
	if _, err := o.Manifest([]byte(renamed), YAML); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), MACAnnotation) {
		t.Errorf("got %v, want ErrChanged", err)
	}
	o.IgnoreMAC = true
	if plain, err := o.Manifest([]byte(renamed), YAML); err != nil || !strings.Contains(string(plain), "admin") {
		t.Errorf("with the MAC ignored: %v", err)
	}
	moved := strings.Replace(closed, "password: ENC", "token: ENC", 1)
	_, err := o.Manifest([]byte(moved), YAML)
	if err == nil || strings.Contains(err.Error(), "hunter22") || !strings.Contains(err.Error(), "cannot be opened") {
		t.Errorf("a renamed key: got %v", err)
	}
	for name, damaged := range map[string]string{
		"no metadata":    strings.Replace(closed, "lastmodified", "x", 1),
		"a cut off file": closed[:strings.Index(closed, "mac: ENC[")+12],
	} {
		if _, err := o.File([]byte(damaged), YAML, YAML); err == nil || strings.Contains(err.Error(), "hunter22") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestPGP(t *testing.T) {
	entity, private := sopstest.NewPGP(t)
	closed := sopstest.File{Store: storeOf(YAML), PGP: entity}.Encrypt(t, secret)
	o := &Opener{Keys: keysOf(t, map[string][]byte{"team.asc": private})}
	if plain, err := o.Manifest([]byte(closed), YAML); err != nil || !strings.Contains(string(plain), "hunter22") {
		t.Errorf("%v", err)
	}
	_, err := (&Opener{Keys: &Keys{}}).Manifest([]byte(closed), YAML)
	if err == nil || !strings.Contains(err.Error(), "pgp F00D") || !strings.Contains(err.Error(), "<name>.asc") {
		t.Errorf("without the key: %v", err)
	}
}

func TestTheWrongKeyIsNamed(t *testing.T) {
	key, other := sopstest.NewKey(t), sopstest.NewKey(t)
	closed := sopstest.File{Store: storeOf(YAML), Key: key}.Encrypt(t, secret)
	for name, data := range map[string]map[string][]byte{
		"no key":      {},
		"another key": {"a.agekey": other.Private()},
	} {
		_, err := (&Opener{Keys: keysOf(t, data)}).Manifest([]byte(closed), YAML)
		if err == nil || !strings.Contains(err.Error(), key.Recipient()) || !strings.Contains(err.Error(), "secretRef") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	_, err := (&Opener{Keys: keysOf(t, map[string][]byte{"sops.vault-token": []byte("s.x")})}).Manifest([]byte(closed), YAML)
	if err == nil || !strings.Contains(err.Error(), "Vault) are not supported") {
		t.Errorf("a key service: %v", err)
	}
}

func TestParseKeysNeverShowsThem(t *testing.T) {
	for name, text := range map[string]string{
		"x.agekey": "AGE-SECRET-KEY-1BROKEN", "y.agekey": "-----BEGIN OPENSSH PRIVATE KEY-----\nBROKEN\n", "z.asc": "-----BEGIN PGP PRIVATE KEY BLOCK-----\nBROKEN",
	} {
		_, err := ParseKeys(map[string][]byte{name: []byte(text)}, AllKeys)
		if err == nil || strings.Contains(err.Error(), "BROKEN") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := ParseKeys(map[string][]byte{"z.asc": []byte("x"), "other": []byte("y")}, AgeOnly); err != nil {
		t.Errorf("with age keys only: %v", err)
	}
}
