package vault

import (
	"bytes"
	"testing"
)

// FuzzRekey holds that a file keeps every byte around the texts, and that damaged ones harm nobody.
func FuzzRekey(f *testing.F) {
	key, err := NewKey("a", "one", []byte("0123456789abcdef"))
	if err != nil {
		f.Fatal(err)
	}
	text, err := key.Encrypt([]byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(text), []byte("a: |\n"), []byte("b: 1\n"))
	f.Add([]byte("$KUBIT_VAULT;1.2;AES256;a\n00\n"), []byte(""), []byte("\r\n\x00ff"))
	f.Add([]byte(`$KUBIT_VAULT;1.1;AES256\n00`), []byte("$KUBIT_VAULT"), []byte("\\n00"))
	f.Fuzz(func(t *testing.T, middle, before, after []byte) {
		content := bytes.Join([][]byte{before, middle, after}, nil)
		_, _ = Parse(string(middle))
		_ = Scan("a.yaml", content)
		done, err := key.Rekey(content)
		if err == nil && !bytes.Equal(done.Content, content) {
			t.Errorf("%q became %q, although the key did not change", content, done.Content)
		}
	})
}
