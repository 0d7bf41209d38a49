package hooks

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
	"github.com/peyk/peyk/internal/controller/packsync"
	"github.com/peyk/peyk/internal/reconcile"
)

// TestGitPush checks who may ask a PackSync for a look at its repository.
func TestGitPush(t *testing.T) {
	now := time.Now()
	id := func(letter string) string { return strings.Repeat(letter, 64) }
	address := func(letter string, left time.Duration) *peykv1.WebhookAddress {
		return &peykv1.WebhookAddress{Path: packsync.WebhookPrefix + id(letter) + "/", Expires: metav1.NewTime(now.Add(left))}
	}
	for name, tt := range map[string]struct {
		path    string
		suspend bool
		code    int
		asked   bool
	}{
		"the address":          {id("a") + "/", false, http.StatusOK, true},
		"without a slash":      {id("a"), false, http.StatusOK, true},
		"the one before":       {id("b") + "/", false, http.StatusOK, true},
		"one that has expired": {id("c") + "/", false, http.StatusNotFound, false},
		"a guess":              {id("d") + "/", false, http.StatusNotFound, false},
		"the beginning":        {id("a")[:63] + "/", false, http.StatusNotFound, false},
		"suspended":            {id("a") + "/", true, http.StatusServiceUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := peykv1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			one := &peykv1.PackSync{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "one"}, Spec: peykv1.PackSyncSpec{Suspend: tt.suspend}}
			one.Status.Webhook, one.Status.PreviousWebhook = address("a", time.Hour), address("b", time.Minute)
			two := &peykv1.PackSync{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "two"}}
			two.Status.Webhook = address("c", -time.Second)
			c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(one, two).WithStatusSubresource(one).Build()
			mux := http.NewServeMux()
			for _, pattern := range []string{"POST /api/core/git-webhook/{id}", "POST /api/core/git-webhook/{id}/{$}"} {
				mux.Handle(pattern, GitPush(c, slog.New(slog.DiscardHandler)))
			}
			answer := httptest.NewRecorder()
			mux.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, packsync.WebhookPrefix+tt.path, strings.NewReader(`{"object_kind":"push"}`)))
			if answer.Code != tt.code {
				t.Errorf("the answer is %d %s, want %d", answer.Code, answer.Body, tt.code)
			}
			var all peykv1.PackSyncList
			if err := c.List(t.Context(), &all); err != nil {
				t.Fatal(err)
			}
			for _, sync := range all.Items {
				asked := sync.Annotations[reconcile.RequestAnnotation] != ""
				if asked != (tt.asked && client.ObjectKeyFromObject(&sync) == client.ObjectKeyFromObject(one)) {
					t.Errorf("%s: asked = %v", sync.Name, asked)
				}
			}
		})
	}
}
