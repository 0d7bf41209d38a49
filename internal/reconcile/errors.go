package reconcile

import (
	"errors"
	"fmt"
	"time"
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
)

// Error is an error with its meaning: why Ready is not True, and when to look again.
type Error struct {
	// Reason is the reason of the Ready condition, CamelCase.
	Reason string
	// Err says what is wrong, where and how to mend it. It never holds a secret.
	Err error

	meaning meaning
	after   time.Duration
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

// asError gives every error a meaning: a plain one is a failure that is retried.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		if e.Err.Error() == err.Error() {
			return e
		}
		return &Error{Reason: e.Reason, Err: err, meaning: e.meaning, after: e.after}
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
