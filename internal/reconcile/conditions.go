package reconcile

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The types of the conditions that every kind has. Reconciling and Stalled are present only while True, so that
// kstatus reads the objects rightly.
const (
	Ready       = "Ready"
	Reconciling = "Reconciling"
	Stalled     = "Stalled"
)

// maxMessage is the longest message of a condition, in bytes; the API allows 32768.
const maxMessage = 20000

func set(obj Object, conditionType string, status metav1.ConditionStatus, reason, message string) {
	conditions := obj.GetConditions()
	meta.SetStatusCondition(&conditions, metav1.Condition{
		Type: conditionType, Status: status, Reason: reason, Message: cut(message, maxMessage),
		ObservedGeneration: obj.GetGeneration(),
	})
	obj.SetConditions(conditions)
}

func remove(obj Object, conditionType string) {
	conditions := obj.GetConditions()
	if meta.RemoveStatusCondition(&conditions, conditionType) {
		obj.SetConditions(conditions)
	}
}

func setReady(obj Object, reason, message string) {
	remove(obj, Reconciling)
	remove(obj, Stalled)
	set(obj, Ready, metav1.ConditionTrue, reason, message)
}

func setNotReady(obj Object, e *Error) {
	status := metav1.ConditionFalse
	switch e.meaning {
	case stall:
		remove(obj, Reconciling)
		set(obj, Stalled, metav1.ConditionTrue, e.Reason, e.Error())
	case progress:
		status = metav1.ConditionUnknown
		remove(obj, Stalled)
		set(obj, Reconciling, metav1.ConditionTrue, ReasonProgressing, e.Error())
	case settled:
		remove(obj, Stalled)
		remove(obj, Reconciling)
	default:
		remove(obj, Stalled)
		set(obj, Reconciling, metav1.ConditionTrue, "ProgressingWithRetry", e.Error())
	}
	if e.shown != nil {
		set(obj, Ready, e.shown.Status, e.shown.Reason, e.shown.Message)
		return
	}
	set(obj, Ready, status, e.Reason, e.Error())
}

func setPhaseCondition(obj Object, phase Phase, e *Error) {
	if e.meaning == progress && phase.Done != "" {
		set(obj, phase.Done, metav1.ConditionUnknown, e.Reason, e.Error())
	}
	if e.meaning == wait || e.meaning == progress || e.meaning == settled {
		return
	}
	if phase.Failed != "" {
		set(obj, phase.Failed, metav1.ConditionTrue, e.Reason, e.Error())
	}
	if phase.Done != "" {
		set(obj, phase.Done, metav1.ConditionFalse, e.Reason, e.Error())
	}
}

func clearPhaseCondition(obj Object, phase Phase) {
	if phase.Failed != "" {
		remove(obj, phase.Failed)
	}
	if phase.Done != "" {
		message := phase.Name + " succeeded"
		if phase.Message != nil {
			message = phase.Message()
		}
		reason := ReasonSucceeded
		if phase.Reason != nil {
			reason = phase.Reason()
		}
		set(obj, phase.Done, metav1.ConditionTrue, reason, message)
	}
}

func setBehind(obj Object, b Behind, err error) {
	if b.Type == "" {
		return
	}
	if err == nil {
		remove(obj, b.Type)
	} else if reason, message := b.Why(); reason != "" {
		set(obj, b.Type, metav1.ConditionTrue, reason, message)
	}
}

// readiness is the part of the Ready condition that people act on.
type readiness struct {
	status          metav1.ConditionStatus
	reason, message string
}

func ready(obj Object) readiness {
	c := meta.FindStatusCondition(obj.GetConditions(), Ready)
	if c == nil {
		return readiness{}
	}
	return readiness{c.Status, c.Reason, c.Message}
}

// IsReady says whether obj is Ready for its present generation, given the generation that its status was written for.
func IsReady(obj Object, observedGeneration int64) bool {
	return ready(obj).status == metav1.ConditionTrue && observedGeneration == obj.GetGeneration()
}

// InProgress says whether obj was left while something that it started went on.
func InProgress(obj Object) bool {
	is := ready(obj)
	return is.status == metav1.ConditionUnknown && is.reason == ReasonProgressing
}
