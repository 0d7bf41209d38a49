package kube

import (
	"errors"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// quoted is how the API server quotes a value of another type than its field has, to the end of what it says: a value can
// hold anything, so nothing that follows is known to be none of it.
var quoted = regexp.MustCompile(`(?s), got &.*`)

// HideSecret returns err, which the API server answered for an object of a kind, without the values that it quotes where
// the object is a Secret. Other errors, and those of other kinds, are returned as they are.
func HideSecret(kind schema.GroupKind, err error) error {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || kind != (schema.GroupKind{Kind: "Secret"}) || !quoted.MatchString(err.Error()) {
		return err
	}
	hide := func(text string) string {
		return quoted.ReplaceAllString(text, ", got something else, which is not shown")
	}
	answer := *status.ErrStatus.DeepCopy()
	answer.Message = hide(answer.Message)
	if answer.Details != nil {
		for i, cause := range answer.Details.Causes {
			answer.Details.Causes[i].Message = hide(cause.Message)
		}
	}
	return &apierrors.StatusError{ErrStatus: answer}
}
