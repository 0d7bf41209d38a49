package cli

import (
	notificationv1 "github.com/fluxcd/notification-controller/api/v1"
	notificationv1beta3 "github.com/fluxcd/notification-controller/api/v1beta3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// notifications are the kinds that speak with other services.
func notifications() []kind { return []kind{receivers(), providers(), alerts()} }

func receivers() kind {
	return kind{
		gvk: notificationv1.GroupVersion.WithKind(notificationv1.ReceiverKind), word: "receiver", plural: "receivers",
		list:    func() client.ObjectList { return &notificationv1.ReceiverList{} },
		columns: []string{"SUSPENDED"},
		cells:   func(o client.Object) []string { return []string{title(o.(*notificationv1.Receiver).Spec.Suspend)} },
		done:    completed,
	}
}

func providers() kind {
	return kind{
		gvk: notificationv1beta3.GroupVersion.WithKind(notificationv1beta3.ProviderKind), word: "alert-provider", plural: "alert-providers", static: true,
		list:  func() client.ObjectList { return &notificationv1beta3.ProviderList{} },
		cells: func(client.Object) []string { return nil },
		ready: alwaysReady("Provider is Ready"), done: completed,
	}
}

func alerts() kind {
	return kind{
		gvk: notificationv1beta3.GroupVersion.WithKind(notificationv1beta3.AlertKind), word: "alert", plural: "alerts", static: true,
		list:    func() client.ObjectList { return &notificationv1beta3.AlertList{} },
		columns: []string{"SUSPENDED"},
		cells:   func(o client.Object) []string { return []string{title(o.(*notificationv1beta3.Alert).Spec.Suspend)} },
		ready:   alwaysReady("Alert is Ready"), done: completed,
	}
}

func completed(o *unstructured.Unstructured) string { return o.GetKind() + " reconciliation completed" }
