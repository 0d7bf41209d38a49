package notify

import (
	"context"
	"testing"

	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	"github.com/fluxcd/notification-controller/api/v1beta3"
	corev1 "k8s.io/api/core/v1"

	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/tenancy"
)

func TestMatches(t *testing.T) {
	source := func(change func(*notificationv1.CrossNamespaceObjectReference)) func(*v1beta3.AlertSpec) {
		return func(s *v1beta3.AlertSpec) { change(&s.EventSources[0]) }
	}
	for name, tt := range map[string]struct {
		change    func(*v1beta3.AlertSpec)
		namespace string
		severity  string
		policy    tenancy.Policy
		want      bool
	}{
		"all of a kind":     {nil, "team", event.Info, tenancy.Policy{}, true},
		"another namespace": {nil, "else", event.Info, tenancy.Policy{}, false},
		"a named namespace": {source(func(r *notificationv1.CrossNamespaceObjectReference) { r.Namespace = "else" }), "else", event.Info, tenancy.Policy{}, true},
		"locked down":       {source(func(r *notificationv1.CrossNamespaceObjectReference) { r.Namespace = "else" }), "else", event.Info, tenancy.Policy{NoCrossNamespaceRefs: true}, false},
		"another kind":      {source(func(r *notificationv1.CrossNamespaceObjectReference) { r.Kind = "GitRepository" }), "team", event.Info, tenancy.Policy{}, false},
		"the name":          {source(func(r *notificationv1.CrossNamespaceObjectReference) { r.Name = "app" }), "team", event.Info, tenancy.Policy{}, true},
		"another name":      {source(func(r *notificationv1.CrossNamespaceObjectReference) { r.Name = "other" }), "team", event.Info, tenancy.Policy{}, false},
		"the labels": {source(func(r *notificationv1.CrossNamespaceObjectReference) {
			r.MatchLabels = map[string]string{"tier": "web"}
		}), "team", event.Info, tenancy.Policy{}, true},
		"other labels":       {source(func(r *notificationv1.CrossNamespaceObjectReference) { r.MatchLabels = map[string]string{"tier": "db"} }), "team", event.Info, tenancy.Policy{}, false},
		"errors only":        {func(s *v1beta3.AlertSpec) { s.EventSeverity = event.Error }, "team", event.Info, tenancy.Policy{}, false},
		"an error":           {func(s *v1beta3.AlertSpec) { s.EventSeverity = event.Error }, "team", event.Error, tenancy.Policy{}, true},
		"suspended":          {func(s *v1beta3.AlertSpec) { s.Suspend = true }, "team", event.Info, tenancy.Policy{}, false},
		"included":           {func(s *v1beta3.AlertSpec) { s.InclusionList = []string{"x", "^Reconc.*ed$"} }, "team", event.Info, tenancy.Policy{}, true},
		"not included":       {func(s *v1beta3.AlertSpec) { s.InclusionList = []string{"x"} }, "team", event.Info, tenancy.Policy{}, false},
		"a broken inclusion": {func(s *v1beta3.AlertSpec) { s.InclusionList = []string{"("} }, "team", event.Info, tenancy.Policy{}, false},
		"excluded":           {func(s *v1beta3.AlertSpec) { s.ExclusionList = []string{"finished"} }, "team", event.Info, tenancy.Policy{}, false},
		"a broken exclusion": {func(s *v1beta3.AlertSpec) { s.ExclusionList = []string{"("} }, "team", event.Info, tenancy.Policy{}, true},
		"in and out":         {func(s *v1beta3.AlertSpec) { s.InclusionList, s.ExclusionList = []string{"."}, []string{"."} }, "team", event.Info, tenancy.Policy{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := &event.Event{
				InvolvedObject: corev1.ObjectReference{Kind: "Kustomization", Namespace: tt.namespace, Name: "app"},
				Severity:       tt.severity, Message: "Reconciliation finished",
			}
			labels := func(context.Context) (map[string]string, error) { return map[string]string{"tier": "web"}, nil }
			if got := (&Bus{policy: tt.policy}).matches(t.Context(), alert("a", "p", tt.change), e, labels); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestWants(t *testing.T) {
	const group = "kustomize.toolkit.fluxcd.io/"
	for name, tt := range map[string]struct {
		kind     string
		metadata map[string]string
		severity string
		want     bool
	}{
		"a chat":                         {"slack", nil, event.Info, true},
		"a chat about a commit's state":  {"slack", map[string]string{group + "commit_status": "update"}, event.Info, false},
		"a relay about a commit's state": {"generic", map[string]string{group + "commit_status": "update"}, event.Info, true},
		"a type that is not supported":   {"nats", nil, event.Error, false},
		"a Git server":                   {"github", nil, event.Info, false},
		"a Git server about a state":     {"github", map[string]string{group + "commit_status": "update"}, event.Info, true},
		"a Git server about a commit":    {"gitlab", map[string]string{event.Annotations + "commit": "1"}, event.Info, true},
		"a Git server about an error":    {"gitea", nil, event.Error, true},
		"a comment":                      {"gitlabmergerequestcomment", nil, event.Error, false},
		"a comment on a request":         {"githubpullrequestcomment", map[string]string{event.Annotations + "change_request": "1"}, event.Info, true},
		"a comment about a state":        {"githubpullrequestcomment", map[string]string{event.Annotations + "change_request": "1", group + "commit_status": "update"}, event.Info, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := &event.Event{
				InvolvedObject: corev1.ObjectReference{APIVersion: "kustomize.toolkit.fluxcd.io/v1", Kind: "Kustomization"},
				Metadata:       tt.metadata, Severity: tt.severity,
			}
			if got := wants(tt.kind, e); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
