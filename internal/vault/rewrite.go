package vault

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// heads finds where encrypted texts begin in files; digitLine and escaped match what may follow.
var (
	heads     = regexp.MustCompile(`\$KUBIT_VAULT;[0-9.]+;[A-Z0-9]+(?:;[^\s;"'\\]+)?`)
	digitLine = regexp.MustCompile(`^[ \t]*\r?\n[ \t]*[0-9A-Fa-f]+`)
	lineEnd   = regexp.MustCompile(`^[ \t]*(?:\r?\n|\r?$)`)
	escaped   = regexp.MustCompile(`^(?:\\r)?\\n[0-9A-Fa-f]+`)
)

// spans returns where encrypted texts begin and end: in lines of their own, indented or not, or escaped in a quoted string.
func spans(content []byte) [][2]int {
	var all [][2]int
	for _, head := range heads.FindAllIndex(content, -1) {
		end := head[1]
		for {
			more := digitLine.FindIndex(content[end:])
			if more == nil || !lineEnd.Match(content[end+more[1]:]) {
				break
			}
			end += more[1]
		}
		for more := escaped.FindIndex(content[end:]); more != nil; more = escaped.FindIndex(content[end:]) {
			end += more[1]
		}
		if end > head[1] {
			all = append(all, [2]int{head[0], end})
		}
	}
	return all
}

// lineBreak is what stands between two lines of an embedded text: a real break with the indentation, or an escaped one.
var lineBreak = regexp.MustCompile(`[ \t]*\r?\n[ \t]*|(?:\\r)?\\n`)

// Place is an encrypted text inside of a file.
type Place struct {
	// Line that it begins in, from 1.
	Line int
	// Text is the encrypted text.
	Text string
}

// Find returns the encrypted texts in a file.
func Find(content []byte) []Place {
	var places []Place
	for _, at := range spans(content) {
		places = append(places, Place{
			Line: 1 + bytes.Count(content[:at[0]], []byte("\n")),
			Text: lineBreak.ReplaceAllString(string(content[at[0]:at[1]]), "\n") + "\n",
		})
	}
	return places
}

// Names says whether a text names the key.
func Names(text, id string) bool {
	t, err := parseHeader(strings.TrimSpace(strings.SplitN(strings.TrimSpace(text), "\n", 2)[0]))
	return err == nil && t.ID == id
}

// Rekeyed is a file with other encrypted texts in it.
type Rekeyed struct {
	Content []byte
	// Changed is how many texts were encrypted anew, Current how many of the key were encrypted with its password already.
	Changed, Current int
}

// Rekey encrypts every text of the key in a file anew that was not encrypted with its password. It changes nothing else.
// Errors name the line.
func (k *Key) Rekey(content []byte) (*Rekeyed, error) { return k.rekey(content, k) }

// RekeyWith encrypts every text of the key in a file anew with another one, which may have another ID.
func (k *Key) RekeyWith(content []byte, other *Key) (*Rekeyed, error) { return k.rekey(content, other) }

func (k *Key) rekey(content []byte, to *Key) (*Rekeyed, error) {
	result := &Rekeyed{}
	var failures []error
	var out bytes.Buffer
	end := 0
	for _, at := range spans(content) {
		old := content[at[0]:at[1]]
		out.Write(content[end:at[0]])
		end = at[1]
		anew, err := k.renew(string(old), to)
		switch {
		case err != nil:
			failures = append(failures, fmt.Errorf("line %d: %w", 1+bytes.Count(content[:at[0]], []byte("\n")), err))
		case anew == string(old):
			if Names(lineBreak.ReplaceAllString(string(old), "\n"), k.id) {
				result.Current++
			}
		default:
			result.Changed++
		}
		out.WriteString(anew)
	}
	out.Write(content[end:])
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	result.Content = out.Bytes()
	return result, nil
}

// renew encrypts an embedded text anew and lays it out as it was.
func (k *Key) renew(old string, to *Key) (string, error) {
	text := lineBreak.ReplaceAllString(old, "\n")
	if !Names(text, k.id) {
		return old, nil
	}
	t, err := Parse(text)
	if err != nil {
		return old, err
	}
	plain, current, err := k.Decrypt(t)
	if err != nil {
		return old, err
	}
	if current && k == to {
		return old, nil
	}
	anew, err := to.Encrypt(plain)
	if err != nil {
		return old, err
	}
	return strings.ReplaceAll(strings.TrimSuffix(anew, "\n"), "\n", lineBreak.FindString(old)), nil
}
