package charts_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// TestDefinedKinds holds that the definitions in cloudnative-pg accept the objects that postgresql-ha makes, and know each of
// their fields.
func TestDefinedKinds(t *testing.T) {
	schemas := definedSchemas(t)
	cases, err := filepath.Glob("testdata/postgresql-ha/*/values.yaml")
	if err != nil || len(cases) == 0 {
		t.Fatalf("there is no case: %v", err)
	}
	seen := map[string]bool{}
	for _, file := range cases {
		name := filepath.Base(filepath.Dir(file))
		for id, object := range (release{chart: "postgresql-ha", name: name, values: parse(t, read(t, file))}).objects(t) {
			if !strings.HasPrefix(object.GetAPIVersion(), "postgresql.cnpg.io/") {
				continue
			}
			seen[object.GetKind()] = true
			if err := accept(schemas[object.GetKind()], object); err != nil {
				t.Errorf("%s: %s: %v", name, id, err)
			}
		}
	}
	for _, kind := range []string{"Cluster", "Database", "ScheduledBackup"} {
		if !seen[kind] {
			t.Errorf("no case makes a %s", kind)
		}
	}
}

// definedSchemas returns the schemas of the kinds that cloudnative-pg defines.
func definedSchemas(t *testing.T) map[string]*apiextensions.JSONSchemaProps {
	t.Helper()
	files, err := filepath.Glob("cloudnative-pg/files/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	schemas := map[string]*apiextensions.JSONSchemaProps{}
	for _, file := range files {
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal([]byte(read(t, file)), &definition); err != nil {
			t.Fatal(err)
		}
		schema := &apiextensions.JSONSchemaProps{}
		if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(
			definition.Spec.Versions[0].Schema.OpenAPIV3Schema, schema, nil); err != nil {
			t.Fatal(err)
		}
		schemas[definition.Spec.Names.Kind] = schema
	}
	return schemas
}

// accept does what an API server does with an object of a defined kind, and refuses fields that it would drop.
func accept(schema *apiextensions.JSONSchemaProps, object *unstructured.Unstructured) error {
	validator, _, err := validation.NewSchemaValidator(schema)
	if err != nil {
		return err
	}
	if errs := validation.ValidateCustomResource(nil, object.Object, validator); len(errs) > 0 {
		return errs.ToAggregate()
	}
	structural, err := structuralschema.NewStructural(schema)
	if err != nil {
		return err
	}
	options := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	if dropped := pruning.PruneWithOptions(runtime.DeepCopyJSON(object.Object), structural, true, options); len(dropped) > 0 {
		return fmt.Errorf("the kind has no %s", strings.Join(dropped, ", "))
	}
	return nil
}
