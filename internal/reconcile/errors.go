package reconcile

import (
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The generic reasons of the Ready condition.
const (
	ReasonSucceeded   = "Succeeded"
	ReasonFailed      = "Failed"
	ReasonProgressing = "Progressing"
	ReasonInternal    = "InternalError"
)

// meaning is what an Error asks of Run.
type meaning int

const (
	retry meaning = iota
	stall
	wait
	progress
	settled
)

// Error is an error with its meaning: why Ready is not True, and when to look again.
type Error struct {
	// Reason is the reason of the Ready condition, CamelCase.
	Reason string
	// Err says what is wrong, where and how to mend it. It never holds a secret.
	Err error

	meaning meaning
	after   time.Duration
	unsaid  bool
	shown   *metav1.Condition
}

// Showing makes err, one of this package's, show ready as the Ready condition, where that says something else than err
// does: that no attempt is left, say, where Ready is to tell what went wrong with the last one.
func Showing(err error, status metav1.ConditionStatus, reason, message string) error {
	e := *asError(err)
	e.shown = &metav1.Condition{Status: status, Reason: reason, Message: message}
	return &e
}

// Error returns the message of the wrapped error.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the wrapped error.
func (e *Error) Unwrap() error { return e.Err }

// Fail marks err as one that is retried with back-off.
func Fail(reason string, err error) error { return &Error{Reason: reason, Err: err} }

// Failf is Fail with a formatted error; %w wraps.
func Failf(reason, format string, args ...any) error {
	return Fail(reason, fmt.Errorf(format, args...))
}

// RetryAfter is Fail for one who said when to try again: not before after is over, and not before the back-off is.
func RetryAfter(reason string, err error, after time.Duration) error {
	return &Error{Reason: reason, Err: err, after: after}
}

// Stall marks err as one that no retry can mend: the object is left alone until its spec changes.
func Stall(reason string, err error) error { return &Error{Reason: reason, Err: err, meaning: stall} }

// Stallf is Stall with a formatted error; %w wraps.
func Stallf(reason, format string, args ...any) error {
	return Stall(reason, fmt.Errorf(format, args...))
}

// Wait parks the object: Ready is False for reason, nothing is wrong with the object itself. Whoever can end the wait
// wakes the object; after is the safety net.
func Wait(reason, message string, after time.Duration) error {
	return &Error{Reason: reason, Err: errors.New(message), meaning: wait, after: after}
}

// Progress parks the object while something that it started goes on: Ready is Unknown. Whoever can end the wait wakes
// the object; after is the safety net.
func Progress(message string, after time.Duration) error {
	return &Error{Reason: ReasonProgressing, Err: errors.New(message), meaning: progress, after: after}
}

// ProgressUnsaid is Progress that is not written to the status: for what is over in a moment most of the time. What the
// phases did to the status is lost; the pass after it does it again.
func ProgressUnsaid(message string, after time.Duration) error {
	return &Error{Reason: ReasonProgressing, Err: errors.New(message), meaning: progress, after: after, unsaid: true}
}

// Settled ends a pass that has nothing left to do and that nothing will do again, though Ready, as given, is not True.
func Settled(status metav1.ConditionStatus, reason, message string) error {
	e := &Error{Reason: reason, Err: errors.New(message), meaning: settled}
	return Showing(e, status, reason, message)
}

// asError gives every error a meaning: a plain one is a failure that is retried.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Err.Error() == err.Error() {
			return e
		}
		return &Error{Reason: e.Reason, Err: err, meaning: e.meaning, after: e.after, shown: e.shown, unsaid: e.unsaid}
	}
	return &Error{Reason: ReasonFailed, Err: err}
}

// IsFailure says whether err, from a phase, is a failure and not just a wait.
func IsFailure(err error) bool {
	if err == nil {
		return false
	}
	e := asError(err)
	return e.meaning == retry || e.meaning == stall
}

// ReasonOf returns the reason of the Ready condition that err, from a phase, leads to.
func ReasonOf(err error) string { return asError(err).Reason }
