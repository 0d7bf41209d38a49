package helm

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	ggcrregistry "github.com/google/go-containerregistry/pkg/registry"
	"helm.sh/helm/v4/pkg/provenance"
	"helm.sh/helm/v4/pkg/registry"
)

// pgpSigner makes somebody with a key: what signs an archive, and the public key.
func pgpSigner(t *testing.T, name string) (sign func(archive []byte, file string) []byte, public []byte) {
	t.Helper()
	entity, err := openpgp.NewEntity(name, "", name+"@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var ring bytes.Buffer
	if err := entity.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	signatory := provenance.Signatory{Entity: entity}
	return func(archive []byte, file string) []byte {
		text, err := signatory.ClearSign(archive, file, []byte("name: web\n"))
		if err != nil {
			t.Fatal(err)
		}
		return []byte(text)
	}, ring.Bytes()
}

func TestProvenance(t *testing.T) {
	friend, friendly := pgpSigner(t, "friend")
	stranger, _ := pgpSigner(t, "stranger")
	chart := archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.0.0")})
	other := archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.0.1")})
	keys := &Verification{Keyrings: map[string][]byte{"friend.gpg": friendly}, Fingerprint: "friend"}
	for name, tt := range map[string]struct {
		statement []byte
		want      string // part of the error; none when it is to be accepted
	}{
		"signed":            {friend(chart, "web-1.0.0.tgz"), ""},
		"by a stranger":     {stranger(chart, "web-1.0.0.tgz"), "no signature that counts"},
		"for other bytes":   {friend(other, "web-1.0.0.tgz"), "sha256 sum does not match"},
		"for another chart": {friend(chart, "web-9.9.9.tgz"), "no signature that counts"},
		"not at all":        {nil, "web-1.0.0.tgz.prov is not there"},
		"damaged":           {[]byte("rubbish"), "no signature that counts"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string][]byte{"/index.yaml": indexYAML(entry("1.0.0", "web-1.0.0.tgz", digestOf(chart))), "/web-1.0.0.tgz": chart}
			if tt.statement != nil {
				files["/web-1.0.0.tgz.prov"] = tt.statement
			}
			address, _ := serve(t, "", files)
			store := newStore(t, nil)
			r := Repository{URL: address}
			index, err := store.Index(t.Context(), r, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			v, _ := index.Find("web", "1.0.0")
			// That somebody else has it already, who demands no signature, makes no difference.
			if _, err := store.Chart(t.Context(), r, v); err != nil {
				t.Fatal(err)
			}
			r.Verify = keys
			_, err = store.Chart(t.Context(), r, v)
			var refused *VerificationError
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &refused) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if again, err2 := store.Chart(t.Context(), r, v); (err2 == nil) != (err == nil) {
				t.Errorf("a second look gives %v, %v", again, err2)
			}
		})
	}
}

func TestSignedInARegistry(t *testing.T) {
	server := httptest.NewServer(ggcrregistry.New(ggcrregistry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	push, err := registry.NewClient(registry.ClientOptPlainHTTP())
	if err != nil {
		t.Fatal(err)
	}
	pushed, err := push.Push(archive(t, "web", map[string]string{"Chart.yaml": chartYAML("web", "1.0.0")}), host+"/charts/web:1.0.0", registry.PushOptStrictMode(false))
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(t, nil)
	var asked []Signed
	var verdict error
	r := Repository{URL: "oci://" + host + "/charts", Insecure: true, Verify: &Verification{Signed: func(_ context.Context, s Signed) error {
		asked = append(asked, s)
		return verdict
	}}}
	index, err := store.Index(t.Context(), r, []string{"web"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, _ := index.Find("web", "1.0.0")
	verdict = errors.New("no matching signature")
	var refused *VerificationError
	if _, err := store.Chart(t.Context(), r, v); !errors.As(err, &refused) {
		t.Errorf("an unsigned chart: %v", err)
	}
	verdict = nil
	for range 2 {
		if _, err := store.Chart(t.Context(), r, v); err != nil {
			t.Fatal(err)
		}
	}
	if len(asked) != 2 || asked[1].Digest != pushed.Manifest.Digest {
		t.Errorf("verified were %v, want %s, and nothing for a chart that is kept", asked, pushed.Manifest.Digest)
	}
	for url, want := range map[string]string{"http://charts.example": "pgp", "builtin://shop": "pgp"} {
		r.URL = url
		if _, err := store.Index(t.Context(), r, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("cosign for %s: %v", url, err)
		}
	}
}
