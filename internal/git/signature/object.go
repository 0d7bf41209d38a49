package signature

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ErrUnsigned is the error of an object that nobody signed.
var ErrUnsigned = errors.New("it is not signed")

// headers are where a commit holds its signatures: over the object as it is, and over its form with sha256 names. Neither
// is a part of what is signed.
var headers = []string{"gpgsig", "gpgsig-sha256"}

// Commit splits a commit, as Git keeps it, into what is signed and the signature.
func Commit(raw []byte) (payload, signature []byte, err error) {
	found, in := 0, ""
	for rest := raw; len(rest) > 0; {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line = rest[:end+1]
		}
		if line[0] == '\n' {
			payload = append(payload, rest...)
			break
		}
		rest = rest[len(line):]
		if line[0] != ' ' {
			in = signatureHeader(line)
			if in == headers[0] {
				found++
			}
		}
		switch in {
		case "":
			payload = append(payload, line...)
		case headers[0]:
			line = bytes.TrimPrefix(line, []byte(in))
			signature = append(signature, line[1:]...)
		}
	}
	switch {
	case found > 1:
		return nil, nil, errors.New("it has more than one signature")
	case len(bytes.TrimSpace(signature)) == 0:
		return nil, nil, ErrUnsigned
	}
	return payload, signature, nil
}

func signatureHeader(line []byte) string {
	for _, header := range headers {
		if bytes.HasPrefix(line, []byte(header+" ")) {
			return header
		}
	}
	return ""
}

// Tag splits an annotated tag, as Git keeps it, into what is signed and the signature. It fails where the tag was made
// for another name: a signed tag must not be found under the name of a newer one.
func Tag(raw []byte, name string) (payload, signature []byte, err error) {
	start := -1
	for at := 0; at < len(raw); {
		if formatOf(raw[at:]) != unknown {
			start = at
		}
		end := bytes.IndexByte(raw[at:], '\n')
		if end < 0 {
			break
		}
		at += end + 1
	}
	if start < 0 {
		return nil, nil, ErrUnsigned
	}
	if own := tagName(raw[:start]); own != name {
		return nil, nil, fmt.Errorf("it was made for the name %q", own)
	}
	return raw[:start], raw[start:], nil
}

// tagName is the name in the header of a tag.
func tagName(raw []byte) string {
	header, _, _ := strings.Cut(string(raw), "\n\n")
	for line := range strings.Lines(header) {
		if name, ok := strings.CutPrefix(line, "tag "); ok {
			return strings.TrimSuffix(name, "\n")
		}
	}
	return ""
}
