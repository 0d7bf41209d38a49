package packsync

import (
	"regexp"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	peykv1 "github.com/peyk/peyk/api/peyk/v1alpha1"
)

// TestWebhook follows an address through its life.
func TestWebhook(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	p := &pass{Controller: &Controller{clock: clock}, obj: &peykv1.PackSync{}}
	p.obj.Spec.Webhook = &peykv1.PackSyncWebhook{Validity: &metav1.Duration{Duration: 100 * time.Hour}}
	step := func(d time.Duration) peykv1.PackSyncStatus {
		t.Helper()
		clock.Step(d)
		if err := p.webhook(); err != nil {
			t.Fatal(err)
		}
		return *p.obj.Status.DeepCopy()
	}
	first := step(0)
	if !regexp.MustCompile(`^/api/core/git-webhook/[0-9a-f]{64}/$`).MatchString(first.Webhook.Path) || first.Webhook.Expires.Sub(clock.Now()) != 100*time.Hour {
		t.Fatalf("%+v", first.Webhook)
	}
	if same := step(80 * time.Hour); same.Webhook.Path != first.Webhook.Path || same.PreviousWebhook != nil {
		t.Errorf("the address changed too early: %+v", same)
	}
	p.obj.Annotations = map[string]string{peykv1.ExtendWebhookAnnotation: "1"}
	if extended := step(0); extended.Webhook.Path != first.Webhook.Path || extended.Webhook.Expires.Sub(clock.Now()) != 100*time.Hour {
		t.Errorf("it was not extended: %+v", extended.Webhook)
	}
	second := step(91 * time.Hour)
	if second.Webhook.Path == first.Webhook.Path || second.PreviousWebhook == nil || second.PreviousWebhook.Path != first.Webhook.Path {
		t.Errorf("there is no new address beside the old one: %+v", second)
	}
	if third := step(10 * time.Hour); third.Webhook.Path != second.Webhook.Path || third.PreviousWebhook != nil {
		t.Errorf("the old address does not end: %+v", third)
	}
	// A long sleep: nothing of the old time is good any more.
	if late := step(1000 * time.Hour); late.Webhook.Path == second.Webhook.Path || late.PreviousWebhook != nil {
		t.Errorf("%+v", late)
	}
}

// TestMerge checks the three-way merge field by field.
func TestMerge(t *testing.T) {
	vars := func(pairs ...any) spec {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return spec{"vars": m}
	}
	for name, tt := range map[string]struct {
		base, git, cluster, want spec
		p                        prefer
		both                     int
	}{
		"different fields": {vars("a", "1", "b", "1"), vars("a", "2", "b", "1"), vars("a", "1", "b", "3"), vars("a", "2", "b", "3"), preferNobody, 0},
		"the same change":  {vars("a", "1"), vars("a", "2"), vars("a", "2"), vars("a", "2"), preferNobody, 0},
		"removed in Git":   {vars("a", "1", "b", "1"), vars("b", "1"), vars("a", "1", "b", "2"), vars("b", "2"), preferNobody, 0},
		"added in both":    {vars("a", "1"), vars("a", "1", "x", "1"), vars("a", "1", "y", "1"), vars("a", "1", "x", "1", "y", "1"), preferNobody, 0},
		"Git's":            {vars("a", "1"), vars("a", "2"), vars("a", "3"), vars("a", "2"), preferGit, 1},
		"the cluster's":    {vars("a", "1"), vars("a", "2"), vars("a", "3"), vars("a", "3"), preferCluster, 1},
		"removed, changed": {vars("a", "1", "b", "1"), vars("b", "1"), vars("a", "3", "b", "1"), vars("a", "3", "b", "1"), preferCluster, 1},
		"without a base":   {nil, vars("a", "1", "b", "1"), vars("a", "2", "b", "1"), vars("a", "2", "b", "1"), preferCluster, 1},
		"a list is one":    {vars("l", []any{"1"}), vars("l", []any{"1", "2"}), vars("l", []any{"1", "3"}), vars("l", []any{"1", "2"}), preferGit, 1},
	} {
		got, both := merge(tt.base, tt.git, tt.cluster, tt.p)
		if got.digest() != tt.want.digest() || len(both) != tt.both {
			t.Errorf("%s: %v with %v, want %v with %d", name, got, both, tt.want, tt.both)
		}
	}
}

// TestSpare checks that Packs are not deleted when all files go at once.
func TestSpare(t *testing.T) {
	gone, fine := decision{action: deletePack, hide: true}, decision{state: peykv1.PackSynced}
	for name, tt := range map[string]struct {
		in   []decision
		kept bool
	}{
		"one of two": {[]decision{gone, fine}, false}, "the only one": {[]decision{gone}, false}, "all": {[]decision{gone, gone}, true},
	} {
		spare(tt.in)
		if (tt.in[0].action == nothing) != tt.kept {
			t.Errorf("%s: %+v", name, tt.in[0])
		}
	}
}
