package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	ksv1 "github.com/fluxcd/kustomize-controller/api/v1"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/peyk/peyk/internal/decrypt"
	"github.com/peyk/peyk/internal/git/ignore"
	"github.com/peyk/peyk/internal/render/kustomize"
)

// localBuild builds a Kustomization from files of this machine.
type localBuild struct {
	path, file string
	strict     bool
	// dry leaves the cluster alone: the Kustomization is that of the file, and variables are only those in it.
	dry bool
	// missing lets the Kustomization be missing in the cluster.
	missing bool
	// sources are the folders of other sources, as Kind/namespace/name=folder; recursive builds what they hold, too.
	sources   map[string]string
	recursive bool
	// ignored are patterns of files that are left out.
	ignored []string
}

func (b *localBuild) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&b.path, "path", "", "folder on this machine that stands for spec.path")
	flags.StringVar(&b.file, "kustomization-file", "", "file with the Kustomization, in place of the one in the cluster")
	flags.BoolVar(&b.strict, "strict-substitute", false, "fail for variables that have neither value nor default, as the operator does")
	flags.BoolVarP(&b.recursive, "recursive", "r", false, "go on with the Kustomizations that are found, see --local-sources")
	flags.StringToStringVar(&b.sources, "local-sources", nil, "folders that stand for sources, as Kind/namespace/name=folder")
	flags.StringSliceVar(&b.ignored, "ignore-paths", nil, "files below the folder to leave out, as patterns in the form of .gitignore")
	flags.Bool("in-memory-build", true, "nothing is ever written to the folder")
	_ = flags.MarkHidden("in-memory-build")
}

func (b *localBuild) check() error {
	info, err := os.Stat(b.path)
	if b.path == "" || err != nil || !info.IsDir() {
		return usagef("path %q: name a folder that exists", b.path)
	}
	if b.dry && b.file == "" {
		return usagef("--dry-run needs --kustomization-file: the cluster is not asked")
	}
	return nil
}

// kustomization reads the Kustomization from the file, with the status of the one in the cluster, or from the cluster.
func (b *localBuild) kustomization(ctx context.Context, c client.Client, key client.ObjectKey) (*ksv1.Kustomization, error) {
	live := &ksv1.Kustomization{}
	if !b.dry {
		err := c.Get(ctx, key, live)
		if err != nil && !(apierrors.IsNotFound(err) && (b.file != "" || b.missing)) {
			if apierrors.IsNotFound(err) {
				return nil, notFoundError{fmt.Errorf("there is no Kustomization %q%s: give --kustomization-file for one that is not there yet", key.Name, where(key))}
			}
			return nil, fmt.Errorf("reading Kustomization %s: %w", key, err)
		}
		live.Name, live.Namespace = key.Name, key.Namespace
	}
	if b.file == "" {
		return live, nil
	}
	found, err := findKustomization(b.file, key)
	if err != nil {
		return nil, err
	}
	found.Status = live.Status
	return found, nil
}

// findKustomization looks for the Kustomization of that name among the documents of a file.
func findKustomization(file string, key client.ObjectKey) (*ksv1.Kustomization, error) {
	found, err := findDocument(file, kustomizations(), key)
	if err != nil {
		return nil, err
	}
	k, err := asKustomization(found)
	if err != nil {
		return nil, err
	}
	k.Namespace = cmp.Or(k.Namespace, key.Namespace, "default")
	return k, nil
}

// findDocument looks for the object of that kind and name among the documents of a file.
func findDocument(file string, k kind, key client.ObjectKey) (*unstructured.Unstructured, error) {
	data, err := os.Open(file) //nolint:gosec // the user names it
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", k.gvk.Kind, err)
	}
	defer func() { _ = data.Close() }()
	for decoder := utilyaml.NewYAMLOrJSONDecoder(data, 4096); ; {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return nil, usagef("%s holds no %s %s of %s", file, k.gvk.Kind, key, k.gvk.Group)
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		ours := object.GroupVersionKind().GroupKind() == k.gvk.GroupKind()
		if ours && object.GetName() == key.Name && (object.GetNamespace() == key.Namespace || object.GetNamespace() == "" || key.Namespace == "") {
			return object, nil
		}
	}
}

// objects builds what the Kustomization would apply from the folder.
func (b *localBuild) objects(ctx context.Context, c client.Client, k *ksv1.Kustomization, folder string) ([]*unstructured.Unstructured, error) {
	root, path, err := rootOf(folder)
	if err != nil {
		return nil, err
	}
	spec := k.Spec
	request := kustomize.Request{
		Root: root, Path: path, Namespace: spec.TargetNamespace, NamePrefix: spec.NamePrefix, NameSuffix: spec.NameSuffix,
		Patches: spec.Patches, Images: spec.Images, Components: spec.Components, IgnoreMissingComponents: spec.IgnoreMissingComponents,
	}
	if len(b.ignored) > 0 {
		rules := ignore.Plain(b.ignored...)
		request.Ignore = func(path string) bool { return rules.Excludes(strings.Split(path, "/")) }
	}
	if m := spec.CommonMetadata; m != nil {
		request.Labels, request.Annotations = m.Labels, m.Annotations
	}
	owner := map[string]string{ksv1.GroupVersion.Group + "/name": k.Name, ksv1.GroupVersion.Group + "/namespace": k.Namespace}
	request.Labels = joined(owner, request.Labels)
	if request.Opener, err = b.opener(ctx, c, k); err != nil {
		return nil, err
	}
	if request.Variables, err = b.variables(ctx, c, k, request); err != nil {
		return nil, err
	}
	built, err := kustomize.Build(request)
	if err != nil {
		return nil, err
	}
	objects := make([]*unstructured.Unstructured, 0, len(built.Objects))
	for _, object := range built.Objects {
		objects = append(objects, object.Unstructured)
	}
	return objects, nil
}

// rootOf finds what stands for the source: the Git work tree that the folder is in, or the folder itself. Nothing outside
// it is read.
func rootOf(folder string) (root, path string, err error) {
	folder, err = filepath.Abs(folder)
	if err != nil {
		return "", "", fmt.Errorf("finding %s: %w", folder, err)
	}
	for dir := folder; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			path, err := filepath.Rel(dir, folder)
			return dir, filepath.ToSlash(path), err
		}
		if dir == filepath.Dir(dir) {
			return folder, ".", nil
		}
	}
}

// opener opens what is encrypted with the keys that the Kustomization names, which the user must be allowed to read.
func (b *localBuild) opener(ctx context.Context, c client.Client, k *ksv1.Kustomization) (*decrypt.Opener, error) {
	d := k.Spec.Decryption
	if d == nil || d.SecretRef == nil || b.dry {
		return nil, nil
	}
	secret := &corev1.Secret{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: d.SecretRef.Name}, secret); err != nil {
		return nil, fmt.Errorf("spec.decryption.secretRef: reading the keys: %w", err)
	}
	keys, err := decrypt.ParseKeys(secret.Data, decrypt.AllKeys)
	if err != nil {
		return nil, fmt.Errorf("spec.decryption.secretRef: %w", err)
	}
	return &decrypt.Opener{Keys: keys, IgnoreMAC: k.Annotations[decrypt.MACAnnotation] == decrypt.MACIgnored}, nil
}

// variables are those of spec.postBuild; nil when nothing is substituted.
func (b *localBuild) variables(ctx context.Context, c client.Client, k *ksv1.Kustomization, request kustomize.Request) (map[string]string, error) {
	if k.Spec.PostBuild == nil {
		return nil, nil
	}
	if b.dry {
		c = nil
	}
	variables, err := givenVariables(ctx, c, k)
	if err != nil {
		return nil, err
	}
	if len(variables) == 0 && k.GetSubstituteStrategy() != ksv1.SubstituteStrategyAlways {
		return nil, nil
	}
	if b.strict {
		return variables, nil
	}
	return variables, addUndefined(variables, request)
}

// givenVariables are those that spec.postBuild gives. Without a client, what it refers to is left out.
func givenVariables(ctx context.Context, c client.Client, k *ksv1.Kustomization) (map[string]string, error) {
	variables := map[string]string{}
	for i, ref := range k.Spec.PostBuild.SubstituteFrom {
		if c == nil {
			break
		}
		data, err := readVariables(ctx, c, k.Namespace, ref)
		if err != nil {
			return nil, fmt.Errorf("spec.postBuild.substituteFrom[%d]: %w", i, err)
		}
		maps.Copy(variables, data)
	}
	maps.Copy(variables, k.Spec.PostBuild.Substitute)
	for name, value := range variables {
		variables[name] = strings.ReplaceAll(value, "\n", "")
	}
	return variables, nil
}

func readVariables(ctx context.Context, c client.Client, namespace string, ref ksv1.SubstituteReference) (map[string]string, error) {
	key := client.ObjectKey{Namespace: namespace, Name: ref.Name}
	data := map[string]string{}
	var err error
	if ref.Kind == "Secret" {
		secret := &corev1.Secret{}
		err = c.Get(ctx, key, secret)
		for name, value := range secret.Data {
			data[name] = string(value)
		}
	} else {
		cm := &corev1.ConfigMap{}
		err = c.Get(ctx, key, cm)
		maps.Copy(data, cm.Data)
	}
	if apierrors.IsNotFound(err) && ref.Optional {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", ref.Kind, key, err)
	}
	return data, nil
}

// bare is a variable without a default.
var bare = regexp.MustCompile(`\$\{([_[:alpha:]][_[:alnum:]]*)\}`)

// addUndefined gives variables that have neither value nor default the empty value, as `flux build` does.
func addUndefined(variables map[string]string, request kustomize.Request) error {
	built, err := kustomize.Build(request)
	if err != nil {
		return err
	}
	for _, object := range built.Objects {
		text, err := object.MarshalJSON()
		if err != nil {
			return fmt.Errorf("encoding %s: %w", object.GetName(), err)
		}
		for _, found := range bare.FindAllSubmatch(text, -1) {
			if _, known := variables[string(found[1])]; !known {
				variables[string(found[1])] = ""
			}
		}
	}
	return nil
}

// nested finds the folder that stands for the source of a Kustomization that was built.
func (b *localBuild) nested(object *unstructured.Unstructured, parent client.ObjectKey) (*ksv1.Kustomization, string, error) {
	if object.GroupVersionKind().GroupKind() != kustomizations().gvk.GroupKind() || client.ObjectKeyFromObject(object) == parent {
		return nil, "", nil
	}
	k, err := asKustomization(object)
	if err != nil {
		return nil, "", err
	}
	ref := k.Spec.SourceRef
	source := sourceCell(ref.Kind, ref.Namespace, ref.Name, k)
	folder, known := b.sources[source]
	if !known {
		return nil, "", usagef("the source %s of Kustomization %s is not known here: add --local-sources %s=FOLDER", source, k.Name, source)
	}
	return k, filepath.Join(folder, filepath.FromSlash(k.Spec.Path)), nil
}
