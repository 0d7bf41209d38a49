package redeploy

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestNext(t *testing.T) {
	for name, c := range map[string]struct {
		was              state
		now              map[string]string
		keep             bool
		then             state
		changed, missing []string
	}{
		"first sight":        {state{}, map[string]string{"secret/a": "1"}, false, state{"secret/a": "1"}, nil, nil},
		"nothing new":        {state{"secret/a": "1"}, map[string]string{"secret/a": "1"}, false, state{"secret/a": "1"}, nil, nil},
		"a change":           {state{"secret/a": "1"}, map[string]string{"secret/a": "2"}, false, state{"secret/a": "2"}, []string{"secret/a"}, nil},
		"never there":        {state{}, map[string]string{"secret/a": ""}, false, state{}, nil, []string{"secret/a"}},
		"gone":               {state{"secret/a": "1"}, map[string]string{"secret/a": ""}, false, state{"secret/a": "1"}, nil, []string{"secret/a"}},
		"one more":           {state{"secret/a": "1"}, map[string]string{"secret/a": "1", "secret/b": "1"}, false, state{"secret/a": "1", "secret/b": "1"}, nil, nil},
		"one less":           {state{"secret/a": "1", "secret/b": "1"}, map[string]string{"secret/a": "1"}, false, state{"secret/a": "1"}, nil, nil},
		"one less, for now":  {state{"secret/a": "1", "secret/b": "1"}, map[string]string{"secret/a": "1"}, true, state{"secret/a": "1", "secret/b": "1"}, nil, nil},
		"a change and a gap": {state{"secret/a": "1", "secret/b": "1"}, map[string]string{"secret/a": "", "secret/b": "2"}, false, state{"secret/a": "1", "secret/b": "2"}, []string{"secret/b"}, []string{"secret/a"}},
	} {
		then, changed, missing := c.was.next(c.now, c.keep)
		if diff := cmp.Diff([]any{c.then, c.changed, c.missing}, []any{then, changed, missing}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff(then, readState(then.String())); diff != "" {
			t.Errorf("%s: the annotation does not say the same: %s", name, diff)
		}
	}
	if got := readState("not JSON"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestPending(t *testing.T) {
	const quiet = 5 * time.Second
	start := time.Unix(1000, 0)
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	var p pending
	for _, step := range []struct {
		at     int
		digest string
		left   int
	}{
		{0, "a", 5}, {1, "a", 4}, {3, "b", 5}, {7, "b", 1}, {8, "b", 0},
	} {
		if left := p.wait(step.digest, at(step.at), quiet); left != time.Duration(step.left)*time.Second {
			t.Errorf("at %d: %s left, want %d s", step.at, left, step.left)
		}
	}
	p = pending{}
	rolled := 0
	for s := range 200 {
		if p.wait(at(s).String(), at(s), quiet) == 0 {
			rolled = s
			break
		}
	}
	if want := patience * 5; rolled != want {
		t.Errorf("what changes each second is rolled after %d s, want %d", rolled, want)
	}
}

func TestHash(t *testing.T) {
	one := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{UID: "1"}, Data: map[string][]byte{"ab": []byte("c")}}
	same := one.DeepCopy()
	same.Labels, same.ResourceVersion = map[string]string{"a": "b"}, "7"
	if hashSecret(one) != hashSecret(same) {
		t.Error("labels and versions count")
	}
	for name, change := range map[string]func(*corev1.Secret){
		"value":      func(s *corev1.Secret) { s.Data["ab"] = []byte("d") },
		"border":     func(s *corev1.Secret) { s.Data = map[string][]byte{"a": []byte("bc")} },
		"more":       func(s *corev1.Secret) { s.Data["x"] = nil },
		"secret key": func(s *corev1.Secret) { s.UID = "2" },
	} {
		other := one.DeepCopy()
		change(other)
		if hashSecret(one) == hashSecret(other) {
			t.Errorf("%s does not count", name)
		}
	}
	text := &corev1.ConfigMap{Data: map[string]string{"a": "b"}}
	binary := &corev1.ConfigMap{BinaryData: map[string][]byte{"a": []byte("c")}}
	if hashConfigMap(text) == hashConfigMap(binary) || hashConfigMap(text) == hashConfigMap(&corev1.ConfigMap{}) {
		t.Error("what a ConfigMap holds does not count")
	}
}
