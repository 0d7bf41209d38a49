package decrypt

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"
)

// DisabledAnnotation leaves an object encrypted when its value is disabled, in any case.
const DisabledAnnotation = "kustomize.toolkit.fluxcd.io/decrypt"

// Disabled says whether the annotations of an object leave it encrypted.
func Disabled(annotations map[string]string) bool {
	return strings.EqualFold(annotations[DisabledAnnotation], "disabled")
}

// document is one document of a manifest.
type document struct {
	text     []byte
	mac      string // of the file that the document was encrypted in; empty when it is not encrypted
	disabled bool
}

var separator = regexp.MustCompile(`(?m)^---(?:[ \t].*)?\r?\n`)

// split cuts a manifest into documents. A document that is not YAML is left to whoever reads the manifest next.
func split(data []byte) []document {
	var documents []document
	rest := data
	for len(rest) > 0 {
		text := rest
		if at := separator.FindIndex(rest[1:]); at != nil {
			text = rest[:at[0]+1]
		}
		rest = rest[len(text):]
		d := document{text: text}
		var head struct {
			Metadata struct {
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"metadata"`
			Sops struct {
				MAC string `yaml:"mac"`
			} `yaml:"sops"`
		}
		if bytes.Contains(text, []byte("sops")) && yaml.Unmarshal(text, &head) == nil {
			d.mac, d.disabled = head.Sops.MAC, Disabled(head.Metadata.Annotations)
		}
		documents = append(documents, d)
	}
	return documents
}

// Manifest opens the encrypted objects of a manifest. Documents that SOPS encrypted together are opened together, so that
// its MAC can be checked over the file as SOPS wrote it, before anything else changes the objects. Objects that are
// annotated to stay encrypted do.
func (o *Opener) Manifest(data []byte, format Format) ([]byte, error) {
	if format == JSON {
		return o.File(data, JSON, JSON)
	}
	if !bytes.Contains(data, []byte("ENC[")) {
		return data, nil
	}
	var out bytes.Buffer
	documents := split(data)
	for len(documents) > 0 {
		n := 1
		for n < len(documents) && documents[n].mac == documents[0].mac {
			n++
		}
		if err := o.group(&out, documents[:n]); err != nil {
			return nil, err
		}
		documents = documents[n:]
	}
	return out.Bytes(), nil
}

// group writes documents that were encrypted together, or not at all.
func (o *Opener) group(out *bytes.Buffer, documents []document) error {
	var whole []byte
	opened := false
	for _, d := range documents {
		whole = append(whole, d.text...)
		opened = opened || (d.mac != "" && !d.disabled)
	}
	if !opened {
		out.Write(whole)
		return nil
	}
	branches, err := o.open(whole, YAML)
	if err != nil {
		return err
	}
	for i, d := range documents {
		if d.disabled || i >= len(branches) {
			out.Write(d.text)
			continue
		}
		plain, err := emit(sops.TreeBranches{branches[i]}, YAML)
		if err != nil {
			return err
		}
		out.WriteString("---\n")
		out.Write(plain)
	}
	return nil
}
