package helmrelease

import (
	"encoding/json"
	"errors"
	"testing"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/peyk/peyk/internal/tenancy"
)

func jsonOf(values map[string]any) *apiextensionsv1.JSON {
	raw, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	return &apiextensionsv1.JSON{Raw: raw}
}

func TestInstallUpgradeUninstall(t *testing.T) {
	p := start(t, t.TempDir(), tenancy.Policy{})
	ns := space(t)
	p.publish(t, ns, "app", web("1.0.0", map[string]string{"cm.yaml": configMapTemplate}))
	key := release(t, ns, "app", values("one"))
	obj := ready(t, key, v2.InstallSucceededReason)
	if got, want := message(obj, "Ready"), "Helm install succeeded for release "+ns+"/app.v1 with chart web@1.0.0"; got != want {
		t.Errorf("Ready says %q, want %q", got, want)
	}
	if got := settings(t, ns, "app-settings"); got["text"] != "one" {
		t.Errorf("the settings are %v", got)
	}
	update(t, key, func(obj *v2.HelmRelease) { obj.Spec.Values = jsonOf(map[string]any{"text": "two"}) })
	obj = ready(t, key, v2.UpgradeSucceededReason)
	if got := settings(t, ns, "app-settings"); got["text"] != "two" || got["revision"] != "2" {
		t.Errorf("the settings are %v", got)
	}
	if h := obj.Status.History; len(h) != 2 || h[0].Version != 2 || h[0].Status != "deployed" || h[1].Status != "superseded" {
		t.Errorf("the history is %+v", h)
	}
	check(t, api.Delete(t.Context(), obj))
	eventually(t, "the HelmRelease is to go", func() error {
		err := api.Get(t.Context(), key, &v2.HelmRelease{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errStill
	})
	if got := settings(t, ns, "app-settings"); got != nil {
		t.Errorf("the settings are still there: %v", got)
	}
}

var errStill = errors.New("it is still there")
