package helm

import (
	"bytes"
	"crypto/sha256"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas are the compiled schemas of charts: to compile one takes many times as long as to use it.
var schemas = schemaCache{known: map[[sha256.Size]byte]*jsonschema.Schema{}}

// mostSchemas is how many are kept. When there are more, all are let go: charts change seldom.
const mostSchemas = 64

type schemaCache struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]*jsonschema.Schema
}

// compiled returns a schema ready for use. References to other files and to the network are not followed.
func (c *schemaCache) compiled(text []byte) (*jsonschema.Schema, error) {
	digest := sha256.Sum256(text)
	c.mu.Lock()
	known := c.known[digest]
	c.mu.Unlock()
	if known != nil {
		return known, nil
	}
	const location = "values.schema.json"
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{})
	if err := compiler.AddResource(location, document); err != nil {
		return nil, err
	}
	schema, err := compiler.Compile(location)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= mostSchemas {
		clear(c.known)
	}
	c.known[digest] = schema
	return schema, nil
}
