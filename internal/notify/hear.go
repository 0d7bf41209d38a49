package notify

import (
	"context"
	"maps"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/peyk/peyk/internal/notify/event"
	"github.com/peyk/peyk/internal/reconcile"
)

// patience is how long a pass over an object waits for its event to be taken.
const patience = 10 * time.Second

// Hear takes an event of a controller of this process. It implements reconcile.Listener.
func (b *Bus) Hear(heard reconcile.Event) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	gvk, err := apiutil.GVKForObject(heard.Object, b.scheme)
	if err == nil {
		labels := heard.Object.GetLabels()
		of := func(context.Context) (map[string]string, error) { return labels, nil }
		_, err = b.Publish(ctx, b.compose(heard, gvk), of)
	}
	if err != nil {
		b.metrics.count("", "lost")
		b.log.Error("an event cannot be notified", "object", heard.Object.GetNamespace()+"/"+heard.Object.GetName(), "error", err.Error())
	}
}

// compose gives an event the form in which it travels.
func (b *Bus) compose(heard reconcile.Event, gvk schema.GroupVersionKind) event.Event {
	obj := heard.Object
	e := event.Event{
		InvolvedObject: corev1.ObjectReference{
			APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName(),
			UID: obj.GetUID(), ResourceVersion: obj.GetResourceVersion(),
		},
		Severity: event.Info, Timestamp: metav1.NewTime(b.clock.Now().UTC().Truncate(time.Second)),
		Message: heard.Message, Reason: heard.Reason, Metadata: map[string]string{},
		ReportingController: controllerOf(gvk), ReportingInstance: b.instance,
	}
	if heard.Failed {
		e.Severity = event.Error
	}
	for key, value := range heard.Metadata {
		if value != "" {
			e.Metadata[gvk.Group+"/"+key] = value
		}
	}
	annotations := maps.Clone(obj.GetAnnotations())
	maps.DeleteFunc(annotations, func(key, _ string) bool { return !strings.HasPrefix(key, event.Annotations) })
	maps.Copy(e.Metadata, annotations)
	return e
}

// controllerOf is the name that receivers of notifications know for the controller of a kind.
func controllerOf(gvk schema.GroupVersionKind) string {
	switch name, isFlux := strings.CutSuffix(gvk.Group, ".toolkit.fluxcd.io"); {
	case !isFlux:
		return "peyk"
	case name == "image" && gvk.Kind == "ImageUpdateAutomation":
		return "image-automation-controller"
	case name == "image":
		return "image-reflector-controller"
	default:
		return name + "-controller"
	}
}

// LabelsOf reads the labels of the object that an event of another process is about.
func LabelsOf(reader client.Reader, e *event.Event) Labels {
	return func(ctx context.Context) (map[string]string, error) {
		obj := &metav1.PartialObjectMetadata{}
		obj.SetGroupVersionKind(e.InvolvedObject.GroupVersionKind())
		err := reader.Get(ctx, client.ObjectKey{Namespace: e.InvolvedObject.Namespace, Name: e.InvolvedObject.Name}, obj)
		return obj.GetLabels(), err
	}
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "peyk"
	}
	return name
}
