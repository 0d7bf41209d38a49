package install

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// manager is the field manager of everything that an installation applies.
const manager = "peyk-install"

const definitionKind = "CustomResourceDefinition"

// Progress is told what happens.
type Progress interface {
	// Action is about to begin.
	Action(format string, args ...any)
	// Waiting says what the installation waits for.
	Waiting(format string, args ...any)
	// Success is done.
	Success(format string, args ...any)
}

// Installer applies installations to one cluster.
type Installer struct {
	// Client of the cluster; its scheme knows Kubernetes' own kinds.
	Client client.Client
	// Progress is told what happens.
	Progress Progress
	// Poll is the time between two looks at what is waited for. Zero: half a second.
	Poll time.Duration
}

// Install applies the objects, definitions first, and returns when the operator is available. It may be repeated: what
// is as it should be is left alone. The end of ctx is the end of patience, and the error then says what is missing.
func (i *Installer) Install(ctx context.Context, objects []*unstructured.Unstructured) error {
	first, rest := stages(objects)
	if err := i.apply(ctx, first); err != nil {
		return err
	}
	if err := i.waitForDefinitions(ctx, first); err != nil {
		return err
	}
	if err := i.apply(ctx, rest); err != nil {
		return err
	}
	for _, object := range rest {
		if object.GetKind() != "Deployment" {
			continue
		}
		if err := i.waitForDeployment(ctx, client.ObjectKeyFromObject(object)); err != nil {
			return err
		}
	}
	return nil
}

// DryRun asks the API server what it would do, and changes nothing.
func (i *Installer) DryRun(ctx context.Context, objects []*unstructured.Unstructured) error {
	missing := map[string]bool{}
	for _, object := range objects {
		if missing[object.GetNamespace()] && object.GetNamespace() != "" {
			i.Progress.Success("%s would be created", label(object))
			continue
		}
		outcome, err := i.applyOne(ctx, object, client.DryRunAll)
		if err != nil {
			return err
		}
		if object.GetKind() == "Namespace" && outcome == "created" {
			missing[object.GetName()] = true
		}
		switch outcome {
		case "unchanged":
			i.Progress.Success("%s is unchanged", label(object))
		default:
			i.Progress.Success("%s would be %s", label(object), outcome)
		}
	}
	return nil
}

// stages parts what must be there first from the rest.
func stages(objects []*unstructured.Unstructured) (first, rest []*unstructured.Unstructured) {
	for _, object := range objects {
		switch object.GetKind() {
		case definitionKind, "Namespace":
			first = append(first, object)
		default:
			rest = append(rest, object)
		}
	}
	return first, rest
}

func (i *Installer) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		outcome, err := i.applyOne(ctx, object)
		if err != nil {
			return err
		}
		i.Progress.Success("%s %s", label(object), outcome)
	}
	return nil
}

// applyOne applies a copy of the object, and returns created, configured or unchanged.
func (i *Installer) applyOne(ctx context.Context, object *unstructured.Unstructured, extra ...client.ApplyOption) (string, error) {
	before := &unstructured.Unstructured{}
	before.SetGroupVersionKind(object.GroupVersionKind())
	err := i.Client.Get(ctx, client.ObjectKeyFromObject(object), before)
	exists := err == nil
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading %s: %w", label(object), err)
	}
	applied := object.DeepCopy()
	options := append([]client.ApplyOption{client.FieldOwner(manager), client.ForceOwnership}, extra...)
	if err := i.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(applied), options...); err != nil {
		if apierrors.HasStatusCause(err, "NamespaceTerminating") {
			return "", fmt.Errorf("applying %s: the namespace %s is being deleted: wait until it is gone, then install again: %w", label(object), object.GetNamespace(), err)
		}
		return "", fmt.Errorf("applying %s: %w", label(object), err)
	}
	switch {
	case !exists:
		return "created", nil
	case sameContent(before, applied):
		return "unchanged", nil
	default:
		return "configured", nil
	}
}

// sameContent compares what people wrote of two objects.
func sameContent(a, b *unstructured.Unstructured) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	for _, object := range []*unstructured.Unstructured{a, b} {
		object.SetManagedFields(nil)
		object.SetResourceVersion("")
		delete(object.Object, "status")
	}
	return equality.Semantic.DeepEqual(a.Object, b.Object)
}

func (i *Installer) waitForDefinitions(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		if object.GetKind() != definitionKind {
			continue
		}
		var reason string
		err := i.until(ctx, func(ctx context.Context) (bool, error) {
			live := object.DeepCopy()
			if err := i.Client.Get(ctx, client.ObjectKeyFromObject(object), live); err != nil {
				return false, fmt.Errorf("reading %s: %w", label(object), err)
			}
			established, message := definitionState(live)
			reason = message
			return established, nil
		})
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("waiting for %s: the API server does not serve it yet: %s: %w", label(object), reason, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// definitionState says whether the API server serves the kind, and if not, why.
func definitionState(definition *unstructured.Unstructured) (bool, string) {
	conditions, _, _ := unstructured.NestedSlice(definition.Object, "status", "conditions")
	established, reason := false, "no condition is reported"
	for _, raw := range conditions {
		condition, ok := raw.(map[string]any)
		if !ok {
			continue
		}
		message, _ := condition["message"].(string)
		switch {
		case condition["type"] == "NamesAccepted" && condition["status"] == "False":
			return false, message
		case condition["type"] == "Established":
			established, reason = condition["status"] == "True", message
		}
	}
	return established, reason
}

// until polls, once at once, and returns the error of ctx when its time is over.
func (i *Installer) until(ctx context.Context, done wait.ConditionWithContextFunc) error {
	poll := i.Poll
	if poll == 0 {
		poll = 500 * time.Millisecond
	}
	if err := wait.PollUntilContextCancel(ctx, poll, true, done); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}
