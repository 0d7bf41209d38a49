package apply

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// What the API server refuses it quotes. The content of a Secret is not shown, whoever reads the error.
func TestARefusedSecretIsNotQuoted(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "quotes"}
	r := newRig(t)
	r.mustApply(t, r.request(t, owner, space(ns)))
	const digits = "48151623"
	for name, content := range map[string]string{
		"a number":               `stringData: {pin: 48151623}`,
		"a number in data":       `data: {pin: 48151623}`,
		"two of them":            `data: {pin: 48151623, pun: 48151623}`,
		"a list":                 `stringData: {pin: ["48151623"]}`,
		"no base64":              `data: {pin: "48151623-"}`,
		"an unknown field":       `stringdata: {pin: "48151623"}`,
		"a text for a map":       `data: "48151623"`,
		"a type that needs more": `type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "48151623{"}`,
	} {
		t.Run(name, func(t *testing.T) {
			secret := fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: %s}, %s}", ns, content)
			_, err := r.Apply(t.Context(), r.request(t, owner, space(ns), secret))
			if err == nil || !strings.Contains(err.Error(), "Secret/"+ns+"/s") || strings.Contains(err.Error(), digits) {
				t.Errorf("the error is %v, want one that names the object and holds nothing of it", err)
			}
		})
	}
}

// A defect that the state of an object brings to light, in the rules of an owner or of its kind, is that object's: the
// watch goes on, and so does the process.
func TestAPanicInTheRulesIsOneObjectsState(t *testing.T) {
	ns, owner := namespace(t), Owner{"Kustomization", "flux-system", "panics"}
	r := newRig(t)
	if err := r.Judge(t.Context(), owner, Rules{Key: "defect", Of: func(u *unstructured.Unstructured) (State, bool) {
		if u.GetName() == "bad" {
			panic("a defect")
		}
		return State{}, false
	}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	request := r.request(t, owner, space(ns), settings(ns, "bad", "1"), settings(ns, "good", "1"))
	if _, err := r.Apply(ctx, request); err != nil {
		t.Fatal(err)
	}
	r.edit(t, ns, "bad", "by hand")
	r.edit(t, ns, "good", "by hand")
	eventually(t, "both are repaired", func() bool {
		r.mustApply(t, request)
		bad, _ := r.data(t, ns, "bad")
		good, _ := r.data(t, ns, "good")
		return bad == "1" && good == "1"
	})
	report := r.Health(owner, nil)
	if report.Ready || !strings.Contains(report.Message(), "bad") || strings.Contains(report.Message(), "good") {
		t.Errorf("the report says %q, want only the bad one in it", report.Message())
	}
}
