package decrypt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peyk/peyk/internal/decrypt/sopstest"
)

func TestEncryptIsReadLikeAFileOfSOPS(t *testing.T) {
	key, second := sopstest.NewKey(t), sopstest.NewKey(t)
	s := Sealer{Recipients: []string{key.Recipient(), second.Recipient()}, Regex: SecretFields}
	for name, tc := range map[string]struct{ file, plain string }{
		"secret": {"secret.yaml", secret}, "two": {"two.yaml", secret + "---\n" + strings.ReplaceAll(secret, "name: db", "name: other")},
		"json": {"secret.json", `{"kind":"Secret","stringData":{"password":"hunter22"}}`},
		"env":  {"a.env", "PASSWORD=hunter22\n"}, "binary": {"key.pem", "hunter22\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			format := FormatOf(tc.file)
			closed, err := s.Encrypt([]byte(tc.plain), format)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(closed), "hunter22") || !Encrypted(closed, format) {
				t.Fatalf("not encrypted:\n%s", closed)
			}
			if format == YAML && !strings.Contains(string(closed), "kind: Secret") {
				t.Errorf("what is no secret is not readable:\n%s", closed)
			}
			for _, owner := range []sopstest.Key{key, second} {
				o := &Opener{Keys: keysOf(t, map[string][]byte{"a.agekey": owner.Private()})}
				plain, err := o.File(closed, format, format)
				if err != nil {
					t.Fatal(err)
				}
				space := func(s string) string { return strings.Join(strings.Fields(s), "") }
				if diff := cmp.Diff(space(tc.plain), space(string(plain))); diff != "" {
					t.Errorf("plain text (-want +got):\n%s", diff)
				}
			}
			if format != YAML {
				return
			}
			o := &Opener{Keys: keysOf(t, map[string][]byte{"a.agekey": key.Private()})}
			if plain, err := o.Manifest(closed, YAML); err != nil || !strings.Contains(string(plain), "hunter22") {
				t.Errorf("as a manifest of a Kustomization: %v\n%s", err, plain)
			}
		})
	}
}

func TestEncryptRefuses(t *testing.T) {
	key := sopstest.NewKey(t)
	s := Sealer{Recipients: []string{key.Recipient()}, Regex: SecretFields}
	closed, err := s.Encrypt([]byte(secret), YAML)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		sealer Sealer
		data   string
		want   string
	}{
		"twice":            {s, string(closed), "already"},
		"nothing in it":    {s, "kind: ConfigMap\nmetadata:\n  name: hunter22\n", "nothing would be encrypted"},
		"no recipient":     {Sealer{Regex: SecretFields}, secret, "recipient"},
		"not a recipient":  {Sealer{Recipients: []string{"hunter22"}}, secret, "recipient"},
		"a private key":    {Sealer{Recipients: []string{strings.Fields(string(key.Private()))[4]}}, secret, "recipient"},
		"not YAML":         {s, "a: b: hunter22", "cannot be read"},
		"a bad expression": {Sealer{Recipients: s.Recipients, Regex: "("}, secret, "expression"},
	} {
		_, err := tc.sealer.Encrypt([]byte(tc.data), YAML)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter22") || strings.Contains(err.Error(), "SECRET-KEY") {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

func TestRekey(t *testing.T) {
	old, another := sopstest.NewKey(t), sopstest.NewKey(t)
	opener := func(k sopstest.Key) *Opener {
		return &Opener{Keys: keysOf(t, map[string][]byte{"a.agekey": k.Private()})}
	}
	closed := sopstest.File{Store: storeOf(YAML), Regex: "^stringData$", Key: old}.Encrypt(t, secret)
	done, err := Sealer{Recipients: []string{another.Recipient()}}.Rekey(opener(old), []byte(closed), YAML)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stringData.password", "stringData.port"}, done.Read); diff != "" {
		t.Errorf("what the old key could read (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(done.Content), "kind: Secret") || !strings.Contains(string(done.Content), "encrypted_regex: ^stringData$") {
		t.Errorf("other fields are encrypted than before:\n%s", done.Content)
	}
	if plain, err := opener(another).File(done.Content, YAML, YAML); err != nil || !strings.Contains(string(plain), "hunter22") {
		t.Errorf("the new key: %v", err)
	}
	if _, err := opener(old).File(done.Content, YAML, YAML); err == nil {
		t.Error("the old key still opens the file")
	}
	if _, err := (Sealer{Recipients: []string{another.Recipient()}}).Rekey(opener(another), []byte(closed), YAML); err == nil {
		t.Error("rekeying without the key: no error")
	}
	if _, err := (Sealer{Recipients: []string{another.Recipient()}}).Rekey(opener(old), []byte(secret), YAML); err == nil || !strings.Contains(err.Error(), "not encrypted") {
		t.Errorf("a plain file: %v", err)
	}
}
