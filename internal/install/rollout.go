package install

import (
	"context"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patience is how many looks in a row may find the same hopeless state before the installation gives up: a registry
// that starts together with the cluster may answer a moment later.
const patience = 30

// finding is what keeps a Deployment from being available.
type finding struct {
	message string
	// hopeless says that waiting alone will hardly help.
	hopeless bool
}

func (i *Installer) waitForDeployment(ctx context.Context, key client.ObjectKey) error {
	i.Progress.Waiting("waiting until Deployment/%s is available", key.Name)
	var last finding
	repeated := 0
	err := i.until(ctx, func(ctx context.Context) (bool, error) {
		found, err := i.look(ctx, key)
		if err != nil {
			return false, err
		}
		if found == nil {
			return true, nil
		}
		if found.message != last.message {
			i.Progress.Waiting("%s", found.message)
		}
		repeated++
		if !found.hopeless || !last.hopeless {
			repeated = 0
		}
		last = *found
		if repeated >= patience {
			return false, fmt.Errorf("waiting for Deployment/%s: %s", key.Name, found.message)
		}
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("waiting for Deployment/%s: it is not available in time (--timeout): %s: %w", key.Name, last.message, err)
	}
	if err != nil {
		return err
	}
	i.Progress.Success("Deployment/%s is available", key.Name)
	return nil
}

// look returns nil when the Deployment is available in its present form.
func (i *Installer) look(ctx context.Context, key client.ObjectKey) (*finding, error) {
	var deployment appsv1.Deployment
	if err := i.Client.Get(ctx, key, &deployment); err != nil {
		return nil, fmt.Errorf("reading Deployment/%s: %w", key.Name, err)
	}
	if available(&deployment) {
		return nil, nil
	}
	for _, c := range deployment.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return &finding{"its pod cannot be created: " + c.Message, true}, nil
		}
	}
	pod, err := i.newestPod(ctx, &deployment)
	if err != nil {
		return nil, err
	}
	if pod == nil {
		return &finding{message: "its pod is not there yet"}, nil
	}
	return explain(pod), nil
}

func available(d *appsv1.Deployment) bool {
	wanted := int32(1)
	if d.Spec.Replicas != nil {
		wanted = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= wanted &&
		d.Status.AvailableReplicas >= wanted && d.Status.Replicas == d.Status.UpdatedReplicas
}

func (i *Installer) newestPod(ctx context.Context, d *appsv1.Deployment) (*corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("reading the selector of Deployment/%s: %w", d.Name, err)
	}
	var pods corev1.PodList
	if err := i.Client.List(ctx, &pods, client.InNamespace(d.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("listing the pods of Deployment/%s: %w", d.Name, err)
	}
	var newest *corev1.Pod
	for n := range pods.Items {
		pod := &pods.Items[n]
		if pod.DeletionTimestamp == nil && (newest == nil || newest.CreationTimestamp.Before(&pod.CreationTimestamp)) {
			newest = pod
		}
	}
	return newest, nil
}

// explain says in the words of an operator why the pod does not serve.
func explain(pod *corev1.Pod) *finding {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return &finding{fmt.Sprintf("pod %s finds no node: %s", pod.Name, c.Message), false}
		}
	}
	for n := range pod.Status.ContainerStatuses {
		if found := explainContainer(pod, &pod.Status.ContainerStatuses[n]); found != nil {
			return found
		}
	}
	return &finding{message: fmt.Sprintf("pod %s is starting", pod.Name)}
}

func explainContainer(pod *corev1.Pod, c *corev1.ContainerStatus) *finding {
	logs := fmt.Sprintf("see 'kubectl -n %s logs %s --previous'", pod.Namespace, pod.Name)
	if waiting := c.State.Waiting; waiting != nil {
		switch waiting.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull":
			return &finding{fmt.Sprintf("the image %s cannot be pulled (%s): check that it is pushed and that the nodes reach its registry, or give another one with --image: %s",
				c.Image, waiting.Reason, waiting.Message), true}
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return &finding{fmt.Sprintf("the container of pod %s cannot start (%s): %s", pod.Name, waiting.Reason, waiting.Message), true}
		case "CrashLoopBackOff":
			return &finding{fmt.Sprintf("the operator stops again and again%s: %s", lastWords(c), logs), true}
		}
		return nil
	}
	if c.State.Terminated != nil {
		return &finding{fmt.Sprintf("the operator stopped with exit code %d: %s", c.State.Terminated.ExitCode, logs), true}
	}
	if c.State.Running != nil && !c.Ready {
		return &finding{message: fmt.Sprintf("pod %s runs but is not ready yet", pod.Name)}
	}
	return nil
}

// lastWords are the end of what the container said before it stopped.
func lastWords(c *corev1.ContainerStatus) string {
	last := c.LastTerminationState.Terminated
	if last == nil {
		return ""
	}
	words := strings.TrimSpace(last.Message)
	if at := strings.LastIndex(words, "\n"); at >= 0 {
		words = words[at+1:]
	}
	if words == "" {
		return fmt.Sprintf(" (exit code %d)", last.ExitCode)
	}
	return fmt.Sprintf(" (exit code %d, last words: %s)", last.ExitCode, words)
}
