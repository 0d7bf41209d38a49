package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// annotationDir records on the volume which directory it owns, for people who look at it.
const annotationDir = "local.peyk.dev/directory"

// refusedError is an answer that no retry changes; the provisioner library reads the code and slows its retries down.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return e.reason }

// GRPCStatus lets status.FromError see an invalid argument while the event text stays plain.
func (e *refusedError) GRPCStatus() *status.Status {
	return status.New(codes.InvalidArgument, e.reason)
}

// provisioner makes and deletes directories for volumes.
type provisioner struct{ dir string }

// Provision makes the directory of opts.PVName and returns a volume that only the selected node can mount.
func (p *provisioner) Provision(_ context.Context, opts controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	if err := check(opts); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	dir, err := p.path(opts.PVName)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	if err := makeOpenDir(dir); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("making the directory of volume %s: %w", opts.PVName, err)
	}
	return volume(opts, dir), controller.ProvisioningFinished, nil
}

// Delete removes the directory with everything in it; one that is gone already is fine.
func (p *provisioner) Delete(_ context.Context, pv *corev1.PersistentVolume) error {
	if pv.Spec.Local == nil {
		return &controller.IgnoredError{Reason: "volume " + pv.Name + " is not a local volume"}
	}
	dir, err := p.path(pv.Name)
	if err != nil {
		return err
	}
	if filepath.Clean(pv.Spec.Local.Path) != dir {
		return &controller.IgnoredError{Reason: "volume " + pv.Name + " lies outside of " + p.dir}
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("deleting the directory of volume %s: %w", pv.Name, err)
	}
	return nil
}

// path joins a volume's name to the folder; a name that could lead elsewhere is refused.
func (p *provisioner) path(name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", &refusedError{fmt.Sprintf("volume name %q cannot be a directory name", name)}
	}
	return filepath.Join(p.dir, name), nil
}

// check refuses what a directory on one node cannot give.
func check(opts controller.ProvisionOptions) error {
	spec := opts.PVC.Spec
	class := opts.StorageClass.Name
	for _, mode := range spec.AccessModes {
		if mode != corev1.ReadWriteOnce && mode != corev1.ReadWriteOncePod {
			return &refusedError{fmt.Sprintf("spec.accessModes: %s is not offered by storage class %s, whose volumes are directories of one node: ask for ReadWriteOnce", mode, class)}
		}
	}
	if spec.Selector != nil {
		return &refusedError{fmt.Sprintf("spec.selector: storage class %s makes a new volume for each claim and cannot select one: remove the selector", class)}
	}
	if spec.DataSource != nil || spec.DataSourceRef != nil {
		return &refusedError{fmt.Sprintf("spec.dataSource: storage class %s cannot fill a volume from a snapshot or another claim: remove it", class)}
	}
	for name := range opts.StorageClass.Parameters {
		return &refusedError{fmt.Sprintf("storage class %s: unknown parameter %q: remove it, this provisioner takes none", class, name)}
	}
	if opts.SelectedNodeName == "" {
		return &refusedError{fmt.Sprintf("storage class %s: volumeBindingMode must be WaitForFirstConsumer, as a directory belongs to the node of the first pod", class)}
	}
	return nil
}

// makeOpenDir makes a directory that a pod of any user may write to; an existing one is kept with its content.
func makeOpenDir(dir string) error {
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	// Mkdir's mode went through the umask.
	return os.Chmod(dir, 0o777)
}

// volume describes the directory. It is of kind local, not hostPath, because the kubelet applies a pod's fsGroup only there.
func volume(opts controller.ProvisionOptions, dir string) *corev1.PersistentVolume {
	reclaim := corev1.PersistentVolumeReclaimDelete
	if opts.StorageClass.ReclaimPolicy != nil {
		reclaim = *opts.StorageClass.ReclaimPolicy
	}
	mode := corev1.PersistentVolumeFilesystem
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        opts.PVName,
			Annotations: map[string]string{annotationDir: dir},
		},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: reclaim,
			AccessModes:                   opts.PVC.Spec.AccessModes,
			VolumeMode:                    &mode,
			MountOptions:                  opts.StorageClass.MountOptions,
			Capacity: corev1.ResourceList{
				corev1.ResourceStorage: opts.PVC.Spec.Resources.Requests[corev1.ResourceStorage],
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				Local: &corev1.LocalVolumeSource{Path: dir},
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{
						Key:      corev1.LabelHostname,
						Operator: corev1.NodeSelectorOpIn,
						Values:   []string{opts.SelectedNodeName},
					}},
				}},
			}},
		},
	}
}
