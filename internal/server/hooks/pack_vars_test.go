package hooks

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	packv1 "github.com/peyk/peyk/api/pack/v1alpha1"
	"github.com/peyk/peyk/internal/pack"
	"github.com/peyk/peyk/internal/pack/token"
)

// webhook is a webhook with one Pack.
type webhook struct {
	client client.Client
	server *httptest.Server
	url    string
	token  string
	log    *bytes.Buffer

	hook     *PackVars
	releases fakeReleases
	tags     fakeTags
	git      fakeGit
}

func newWebhook(t *testing.T) *webhook {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := packv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	obj := &packv1.Pack{
		TypeMeta: metav1.TypeMeta{APIVersion: packv1.GroupVersion.String(), Kind: packv1.PackKind},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "base", Name: "web", UID: "u-1",
			Annotations: map[string]string{allowAnnotation: "FEATURE, REGION\nZONE"},
		},
		Spec: packv1.PackSpec{
			Chart: packv1.PackChart{Name: "simplepack"},
			Vars:  map[string]apiextensionsv1.JSON{"DOCKER_TAG": {Raw: []byte(`"one"`)}, "KEPT": {Raw: []byte(`"x"`)}},
		},
	}
	w := &webhook{log: &bytes.Buffer{}}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(obj).WithReturnManagedFields().Build()
	var err error
	if w.token, err = token.Create(t.Context(), w.client, obj, token.Wish{}); err != nil {
		t.Fatal(err)
	}
	w.hook = NewPackVars(PackVarsDeps{
		Client: w.client, Fresh: w.client, Releases: &w.releases, Tags: &w.tags, Git: &w.git, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	})
	mux := http.NewServeMux()
	mux.Handle("/api/core/packs/{uid}/vars/{$}", w.hook)
	w.server = httptest.NewServer(mux)
	t.Cleanup(w.server.Close)
	w.url = w.server.URL + token.Path(obj)
	return w
}

// sent is one request.
type sent struct {
	method, kind, body, bearer, uid, query, key string
}

func form(pairs ...string) string {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Add(pairs[i], pairs[i+1])
	}
	return values.Encode()
}

func (w *webhook) send(t *testing.T, c sent) (int, map[string]any) {
	t.Helper()
	address := w.url
	if c.uid != "" {
		address = w.server.URL + "/api/core/packs/" + c.uid + "/vars/"
	}
	method := c.method
	if method == "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(t.Context(), method, address+c.query, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	if c.kind == "" {
		c.kind = "application/x-www-form-urlencoded"
	}
	request.Header.Set("Content-Type", c.kind)
	if c.key != "" {
		request.Header.Set("Idempotency-Key", c.key)
	}
	if c.bearer != "" {
		request.Header.Set("Authorization", "Bearer "+c.bearer)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

func (w *webhook) object(t *testing.T) *packv1.Pack {
	t.Helper()
	var obj packv1.Pack
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "web"}, &obj); err != nil {
		t.Fatal(err)
	}
	return &obj
}

func (w *webhook) vars(t *testing.T) map[string]string {
	t.Helper()
	var obj packv1.Pack
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "web"}, &obj); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{}
	for name, value := range obj.Spec.Vars {
		vars[name] = string(value.Raw)
	}
	return vars
}

func multipartBody(t *testing.T, pairs ...string) (kind, body string) {
	t.Helper()
	var buffer bytes.Buffer
	writer := multipart.NewWriter(&buffer)
	for i := 0; i < len(pairs); i += 2 {
		if err := writer.WriteField(pairs[i], pairs[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return writer.FormDataContentType(), buffer.String()
}

func TestPackVars(t *testing.T) {
	multi := func(t *testing.T, w *webhook) sent {
		kind, body := multipartBody(t, "variables[DOCKER_TAG]", "two", "token", w.token)
		return sent{kind: kind, body: body}
	}
	tests := []struct {
		name    string
		call    func(t *testing.T, w *webhook) sent
		changed bool
		want    map[string]string
	}{
		{"form", func(_ *testing.T, w *webhook) sent { return sent{body: form("DOCKER_TAG", "two"), bearer: w.token} }, true, map[string]string{"DOCKER_TAG": `"two"`}},
		{"form with token", func(_ *testing.T, w *webhook) sent { return sent{body: form("DOCKER_TAG", "two", "token", w.token)} }, true, map[string]string{"DOCKER_TAG": `"two"`}},
		{"multipart", multi, true, map[string]string{"DOCKER_TAG": `"two"`}},
		{"JSON", func(_ *testing.T, w *webhook) sent {
			return sent{kind: "application/json; charset=utf-8", body: `{"DOCKER_TAG":"two","token":"` + w.token + `"}`}
		}, true, map[string]string{"DOCKER_TAG": `"two"`}},
		{"JSON variables", func(_ *testing.T, w *webhook) sent {
			return sent{kind: "application/json", body: `{"variables":{"DOCKER_TAG":"two","FEATURE":true}}`, bearer: w.token}
		}, true, map[string]string{"DOCKER_TAG": `"two"`, "FEATURE": "true"}},
		{"unchanged", func(_ *testing.T, w *webhook) sent { return sent{body: form("DOCKER_TAG", "one"), bearer: w.token} }, false, map[string]string{"DOCKER_TAG": `"one"`}},
		{"digits stay text", func(_ *testing.T, w *webhook) sent { return sent{body: form("DOCKER_TAG", "1e3"), bearer: w.token} }, true, map[string]string{"DOCKER_TAG": `"1e3"`}},
		{"several tags", func(_ *testing.T, w *webhook) sent {
			return sent{body: form("DOCKER_TAG.web-1", "two", "DOCKER_TAG_B", "three"), bearer: w.token}
		}, true, map[string]string{"DOCKER_TAG": `"one"`, "DOCKER_TAG.web-1": `"two"`, "DOCKER_TAG_B": `"three"`}},
		{"approved names", func(_ *testing.T, w *webhook) sent {
			return sent{body: form("REGION", "", "ZONE", "a"), bearer: w.token}
		}, true, map[string]string{"DOCKER_TAG": `"one"`, "REGION": `""`, "ZONE": `"a"`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWebhook(t)
			code, body := w.send(t, tt.call(t, w))
			if code != http.StatusOK || body["changed"] != tt.changed || body["pack"] != "base/web" {
				t.Fatalf("answered %d %v", code, body)
			}
			tt.want["KEPT"] = `"x"`
			if diff := cmp.Diff(tt.want, w.vars(t)); diff != "" {
				t.Errorf("vars (-want +got):\n%s", diff)
			}
			if !strings.Contains(w.log.String(), "pack=base/web") || strings.Contains(w.log.String(), w.token) {
				t.Errorf("the log must name the Pack and not hold the token: %s", w.log)
			}
		})
	}
}

func TestPackVarsRefused(t *testing.T) {
	fine := form("DOCKER_TAG", "two")
	tests := []struct {
		name string
		call sent
		code int
		word string
	}{
		{"no token", sent{body: fine}, 401, "token"},
		{"wrong token", sent{body: fine, bearer: "0123456789abcdef0123456789abcdef"}, 401, "token"},
		{"unknown Pack", sent{body: fine, bearer: "TOKEN", uid: "pabcdefgh"}, 401, "token"},
		{"name of the Pack", sent{body: fine, bearer: "TOKEN", uid: "web"}, 401, "token"},
		{"other var", sent{body: form("KEPT", "y"), bearer: "TOKEN"}, 403, "KEPT"},
		{"like the tag", sent{body: form("MY_DOCKER_TAG", "y"), bearer: "TOKEN"}, 403, "MY_DOCKER_TAG"},
		{"no name", sent{body: form("variables[]", "y"), bearer: "TOKEN"}, 400, "not a name"},
		{"name with blanks", sent{body: form("DOCKER TAG", "y"), bearer: "TOKEN"}, 400, "not a name"},
		{"no var", sent{bearer: "TOKEN"}, 400, "no var"},
		{"empty tag", sent{body: form("DOCKER_TAG", ""), bearer: "TOKEN"}, 400, "empty"},
		{"twice", sent{body: "DOCKER_TAG=a&DOCKER_TAG=b", bearer: "TOKEN"}, 400, "2 times"},
		{"refers to another var", sent{body: form("DOCKER_TAG", "{{ vars.KEPT }}"), bearer: "TOKEN"}, 400, "refers to another var"},
		{"line break", sent{body: form("DOCKER_TAG", "a\nb"), bearer: "TOKEN"}, 400, "line break"},
		{"list", sent{kind: "application/json", body: `{"DOCKER_TAG":["a"]}`, bearer: "TOKEN"}, 400, "scalar"},
		{"broken JSON", sent{kind: "application/json", body: `{"DOCKER_TAG":`, bearer: "TOKEN"}, 400, "cannot be read"},
		{"too large", sent{body: form("DOCKER_TAG", strings.Repeat("a", maxBody)), bearer: "TOKEN"}, 413, "64 KiB"},
		{"too long", sent{body: form("DOCKER_TAG", strings.Repeat("a", maxValue+1)), bearer: "TOKEN"}, 400, "longer"},
		{"other type", sent{kind: "text/plain", body: fine, bearer: "TOKEN"}, 415, "text/plain"},
		{"GET", sent{method: http.MethodGet, bearer: "TOKEN"}, 405, "POST"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWebhook(t)
			before := w.vars(t)
			if tt.call.bearer == "TOKEN" {
				tt.call.bearer = w.token
			}
			code, body := w.send(t, tt.call)
			text, _ := body["error"].(string)
			mend, _ := body["mend"].(string)
			if code != tt.code || !strings.Contains(text, tt.word) || mend == "" {
				t.Errorf("answered %d %v, want %d with %q", code, body, tt.code, tt.word)
			}
			if diff := cmp.Diff(before, w.vars(t)); diff != "" {
				t.Errorf("the Pack was changed:\n%s", diff)
			}
		})
	}
}

func TestPackVarsOfAnInvalidPack(t *testing.T) {
	w := newWebhook(t)
	var obj packv1.Pack
	if err := w.client.Get(t.Context(), client.ObjectKey{Namespace: "base", Name: "web"}, &obj); err != nil {
		t.Fatal(err)
	}
	obj.Spec.Vars["BROKEN"] = apiextensionsv1.JSON{Raw: []byte(`"{{ vars.NOPE }}"`)}
	if err := w.client.Update(t.Context(), &obj); err != nil {
		t.Fatal(err)
	}
	code, body := w.send(t, sent{body: form("DOCKER_TAG", "two"), bearer: w.token})
	if text, _ := body["error"].(string); code != http.StatusUnprocessableEntity || !strings.Contains(text, "NOPE") {
		t.Errorf("answered %d %v", code, body)
	}
	if uid := pack.UID(obj.UID); !strings.Contains(w.url, uid) {
		t.Errorf("the URL %s does not hold the short id %s", w.url, uid)
	}
}
