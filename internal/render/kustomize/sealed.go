package kustomize

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kustypes "sigs.k8s.io/kustomize/api/types"

	"github.com/peyk/peyk/internal/decrypt"
)

// openSources opens the encrypted files that the kustomization in dir makes Secrets and patches of.
func (s *survey) openSources(dir string, k *kustypes.Kustomization) error {
	for _, patch := range k.Patches {
		if err := s.manifest(at(dir, patch.Path)); patch.Path != "" && err != nil {
			return err
		}
	}
	for _, generator := range k.SecretGenerator {
		for _, source := range generator.FileSources {
			key, name, named := strings.Cut(source, "=")
			if !named {
				name = key
			}
			if err := s.file(at(dir, name), decrypt.FormatOf(key)); err != nil {
				return err
			}
		}
		for _, name := range generator.EnvSources {
			format := decrypt.FormatOf(name)
			if format == decrypt.Binary {
				format = decrypt.Dotenv
			}
			if err := s.file(at(dir, name), format); err != nil {
				return err
			}
		}
	}
	return nil
}

// manifest looks at a file of objects or patches: it must not unfold, and its encrypted objects are opened.
func (s *survey) manifest(name string) error {
	name = local(name)
	if s.opener == nil && s.tree.documents[name] != nil {
		return nil // it was looked at when it was decoded
	}
	data, err := s.tree.ReadFile(name)
	if err != nil || s.opened[name] {
		return limitOnly(err)
	}
	s.opened[name] = true
	if err := checkExpansion(data); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if s.opener == nil {
		return nil
	}
	format := decrypt.FormatOf(name)
	if format != decrypt.JSON {
		format = decrypt.YAML
	}
	plain, err := s.opener.Manifest(data, format)
	return s.lay(name, data, plain, err)
}

// file opens a file that a Secret is made of.
func (s *survey) file(name string, format decrypt.Format) error {
	name = local(name)
	if s.opener == nil || s.opened[name] {
		return nil
	}
	s.opened[name] = true
	data, err := s.tree.ReadFile(name)
	if err != nil {
		return limitOnly(err)
	}
	plain, err := s.opener.File(data, format, format)
	return s.lay(name, data, plain, err)
}

// limitOnly drops the error of a file that is not there or no file: kustomize says it better.
func limitOnly(err error) error {
	if errors.Is(err, errLimit) {
		return err
	}
	return nil
}

// lay puts what was opened over the file. It is in memory only.
func (s *survey) lay(name string, data, plain []byte, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if string(data) != string(plain) {
		s.tree.overlay[name] = plain
	}
	return nil
}

// checkSealed opens the values of a Secret that are encrypted files, and refuses a Secret that is still encrypted itself.
func (r *Request) checkSealed(obj *unstructured.Unstructured) error {
	if obj.GetKind() != "Secret" || obj.GetAPIVersion() != "v1" || decrypt.Disabled(obj.GetAnnotations()) {
		return nil
	}
	if _, sealed := obj.Object["sops"]; sealed {
		if r.Opener == nil {
			return errors.New("the Secret is encrypted with SOPS: set spec.decryption, or annotate it with " + decrypt.DisabledAnnotation + ": disabled")
		}
		return errors.New("the Secret is still encrypted after the build: keep it in a file of its own that resources names")
	}
	if r.Opener == nil {
		return nil
	}
	data, _, _ := unstructured.NestedMap(obj.Object, "data")
	for key, value := range data {
		text, _ := value.(string)
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue // the API server says it
		}
		plain, err := r.Opener.Value(key, decoded)
		if err != nil {
			return fmt.Errorf("data[%s]: %w", key, err)
		}
		data[key] = base64.StdEncoding.EncodeToString(plain)
	}
	if len(data) > 0 {
		obj.Object["data"] = data
	}
	return nil
}
