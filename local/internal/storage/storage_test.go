package storage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func class() *storagev1.StorageClass {
	reclaim, binding := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingWaitForFirstConsumer
	return &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: "local-path"}, Provisioner: DefaultProvisioner,
		ReclaimPolicy: &reclaim, VolumeBindingMode: &binding,
	}
}

// claim is one whose pod was scheduled to node-1.
func claim() *corev1.PersistentVolumeClaim {
	name := "local-path"
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "data", UID: "1234", Annotations: map[string]string{
			"volume.kubernetes.io/storage-provisioner": DefaultProvisioner,
			"volume.kubernetes.io/selected-node":       "node-1",
		}},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &name,
			AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
}

func options() controller.ProvisionOptions {
	return controller.ProvisionOptions{StorageClass: class(), PVName: "pvc-1234", PVC: claim(), SelectedNodeName: "node-1"}
}

func TestProvisionAndDeleteAreIdempotent(t *testing.T) {
	dir := t.TempDir()
	p, err := newProvisioner(dir)
	if err != nil {
		t.Fatal(err)
	}
	var pv *corev1.PersistentVolume
	for range 2 {
		if pv, _, err = p.Provision(t.Context(), options()); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pvc-1234", "file"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "pvc-1234"))
	if err != nil || info.Mode().Perm() != 0o777 {
		t.Errorf("directory %v (%v), want mode 0777", info, err)
	}
	if pv.Spec.Local.Path != filepath.Join(dir, "pvc-1234") || pv.Spec.Capacity.Storage().String() != "1Gi" {
		t.Errorf("volume %+v", pv.Spec)
	}
	terms := pv.Spec.NodeAffinity.Required.NodeSelectorTerms[0].MatchExpressions[0]
	if diff := cmp.Diff(corev1.NodeSelectorRequirement{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"node-1"}}, terms); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if err := p.Delete(t.Context(), pv); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "pvc-1234")); !os.IsNotExist(err) {
		t.Errorf("the directory is still there (%v)", err)
	}
}

func TestForeignVolumesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := newProvisioner(filepath.Join(dir, "volumes"))
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"outside": outside, "pvc-1": filepath.Join(dir, "volumes", "..", "outside")} {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
		pv.Spec.Local = &corev1.LocalVolumeSource{Path: path}
		var ignored *controller.IgnoredError
		if err := p.Delete(t.Context(), pv); !errors.As(err, &ignored) {
			t.Errorf("%s: %v, want it ignored", name, err)
		}
	}
	pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: ".."}}
	pv.Spec.Local = &corev1.LocalVolumeSource{Path: dir}
	if err := p.Delete(t.Context(), pv); err == nil {
		t.Error("a volume named .. is deleted")
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

func TestRefusals(t *testing.T) {
	p, err := newProvisioner(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says   string
		change func(*controller.ProvisionOptions)
	}{
		{"spec.accessModes: ReadWriteMany is not offered", func(o *controller.ProvisionOptions) {
			o.PVC.Spec.AccessModes = append(o.PVC.Spec.AccessModes, corev1.ReadWriteMany)
		}},
		{"spec.selector", func(o *controller.ProvisionOptions) { o.PVC.Spec.Selector = &metav1.LabelSelector{} }},
		{"spec.dataSource", func(o *controller.ProvisionOptions) {
			o.PVC.Spec.DataSourceRef = &corev1.TypedObjectReference{Name: "x"}
		}},
		{`unknown parameter "fsType"`, func(o *controller.ProvisionOptions) {
			o.StorageClass.Parameters = map[string]string{"fsType": "ext4"}
		}},
		{"volumeBindingMode must be WaitForFirstConsumer", func(o *controller.ProvisionOptions) { o.SelectedNodeName = "" }},
		{"cannot be a directory name", func(o *controller.ProvisionOptions) { o.PVName = "../x" }},
	} {
		opts := options()
		c.change(&opts)
		var refused *refusedError
		if _, _, err := p.Provision(t.Context(), opts); !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want a refusal that says %q", err, c.says)
		}
	}
}

func TestBadFolders(t *testing.T) {
	for _, dir := range []string{"", "relative", "/"} {
		if _, err := newProvisioner(dir); err == nil {
			t.Errorf("folder %q is taken", dir)
		}
	}
}

// world runs the provisioner against a cluster of objects.
func world(t *testing.T, pvc *corev1.PersistentVolumeClaim) (*fake.Clientset, string) {
	t.Helper()
	client, dir := fake.NewClientset(class(), pvc), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, client, Config{Dir: dir}) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return client, dir
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come", what)
		}
	}
}

func TestClaimGetsAVolumeAndItsReleaseDeletesTheDirectory(t *testing.T) {
	client, dir := world(t, claim())
	ctx, volumes := t.Context(), client.CoreV1().PersistentVolumes()
	var pv *corev1.PersistentVolume
	eventually(t, "the volume", func() (found bool) {
		var err error
		pv, err = volumes.Get(ctx, "pvc-1234", metav1.GetOptions{})
		return err == nil
	})
	if pv.Spec.ClaimRef.Name != "data" || len(pv.Finalizers) == 0 || pv.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete {
		t.Errorf("volume %+v", pv)
	}
	if _, err := os.Stat(filepath.Join(dir, "pvc-1234")); err != nil {
		t.Error(err)
	}
	pv.Status.Phase = corev1.VolumeReleased
	if _, err := volumes.UpdateStatus(ctx, pv, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the directory's end", func() bool { _, err := os.Stat(filepath.Join(dir, "pvc-1234")); return os.IsNotExist(err) })
	eventually(t, "the volume's end", func() bool {
		_, err := volumes.Get(ctx, "pvc-1234", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func TestRefusedClaimGetsAnEvent(t *testing.T) {
	pvc := claim()
	pvc.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteMany}
	client, dir := world(t, pvc)
	eventually(t, "the event", func() bool {
		events, err := client.CoreV1().Events("ns").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range events.Items {
			if event.Reason == "ProvisioningFailed" && strings.Contains(event.Message, "ask for ReadWriteOnce") {
				return true
			}
		}
		return false
	})
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("folder holds %v (%v)", left, err)
	}
}
