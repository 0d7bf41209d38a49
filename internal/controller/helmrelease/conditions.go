package helmrelease

import (
	"slices"

	v2 "github.com/fluxcd/helm-controller/api/v2"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// longestMessage is the longest message of a condition, in bytes.
const longestMessage = 20000

// mark sets a condition.
func (p *pass) mark(conditionType string, status metav1.ConditionStatus, reason, message string) {
	if len(message) > longestMessage {
		message = message[:longestMessage-3] + "..."
	}
	apimeta.SetStatusCondition(&p.obj.Status.Conditions, metav1.Condition{
		Type: conditionType, Status: status, Reason: reason, Message: message, ObservedGeneration: p.obj.Generation,
	})
}

func (p *pass) unmark(conditionType string) {
	apimeta.RemoveStatusCondition(&p.obj.Status.Conditions, conditionType)
}

func (p *pass) condition(conditionType string) *metav1.Condition {
	return apimeta.FindStatusCondition(p.obj.Status.Conditions, conditionType)
}

// summary is what Ready is to show: the latest of the conditions about the release, the more telling one of two of the same
// generation. It is nil when nothing was done yet.
func (p *pass) summary() *metav1.Condition {
	order := []string{v2.RemediatedCondition, v2.ReleasedCondition}
	if test := p.obj.GetTest(); test.Enable && !test.IgnoreFailures {
		order = []string{v2.RemediatedCondition, v2.TestSuccessCondition, v2.ReleasedCondition}
	}
	var found []metav1.Condition
	for _, conditionType := range order {
		if c := p.condition(conditionType); c != nil {
			found = append(found, *c)
		}
	}
	if len(found) == 0 {
		return nil
	}
	slices.SortStableFunc(found, func(a, b metav1.Condition) int { return int(b.ObservedGeneration - a.ObservedGeneration) })
	c := found[0]
	if c.Type == v2.RemediatedCondition {
		c.Status = metav1.ConditionFalse
	}
	return &c
}

// summarize brings the rest of the status up to date after an action.
func (p *pass) summarize() {
	if !p.obj.GetTest().Enable {
		p.unmark(v2.TestSuccessCondition)
	}
	p.obj.Status.ObservedPostRenderersDigest = postRenderersDigest(p.obj)
	p.obj.Status.ObservedCommonMetadataDigest = commonMetadataDigest(p.obj)
}

// replaced says that a remediated release turned out to be what is wanted now.
func (p *pass) replaceRemediated() {
	c := p.condition(v2.RemediatedCondition)
	if c == nil || c.Status != metav1.ConditionTrue {
		return
	}
	p.unmark(v2.RemediatedCondition)
	cur := p.obj.Status.History.Latest()
	p.mark(v2.ReleasedCondition, metav1.ConditionTrue, v2.UpgradeSucceededReason, succeeded("upgrade", cur))
}
