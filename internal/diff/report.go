package diff

import (
	"fmt"
	"io"

	"github.com/gonvenience/ytbx"
	"github.com/homeport/dyff/pkg/dyff"
	"sigs.k8s.io/yaml"
)

// Write writes the difference of what drifted, field by field. For other changes it writes nothing.
func (c Change) Write(w io.Writer) error {
	if c.Action != Drifted {
		return nil
	}
	before, err := file("before", c.before.Object)
	if err != nil {
		return err
	}
	after, err := file("after", c.after.Object)
	if err != nil {
		return err
	}
	report, err := dyff.CompareInputFiles(before, after, dyff.IgnoreOrderChanges(false), dyff.KubernetesEntityDetection(true))
	if err != nil {
		return fmt.Errorf("comparing %s: %w", c.Subject, err)
	}
	human := &dyff.HumanReport{Report: report, OmitHeader: true}
	if err := human.WriteReport(w); err != nil {
		return fmt.Errorf("writing the difference of %s: %w", c.Subject, err)
	}
	return nil
}

func file(location string, object map[string]any) (ytbx.InputFile, error) {
	text, err := yaml.Marshal(object)
	if err != nil {
		return ytbx.InputFile{}, fmt.Errorf("encoding the object: %w", err)
	}
	documents, err := ytbx.LoadYAMLDocuments(text)
	if err != nil {
		return ytbx.InputFile{}, fmt.Errorf("reading the object: %w", err)
	}
	return ytbx.InputFile{Location: location, Documents: documents}, nil
}
