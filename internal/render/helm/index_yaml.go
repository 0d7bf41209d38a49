package helm

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"
)

// scanYAML finds the charts by the indentation of the lines, which YAML gives a meaning: what belongs to a key of a block
// is indented deeper than the key, or is a list at its height.
func (f *IndexFile) scanYAML(reader *bufio.Reader) error {
	s := &yamlScan{index: f, indent: -1}
	for {
		line, length, err := readLine(reader)
		if length > 0 {
			if err := s.line(line); err != nil {
				return fmt.Errorf("%w: %w", errNotIndex, err)
			}
			s.offset += length
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading an index: %w", err)
		}
	}
	s.close()
	if !s.hasVersion {
		return fmt.Errorf("%w: it has no apiVersion", errNotIndex)
	}
	return nil
}

// readLine returns the beginning of a line, and the length of all of it.
func readLine(reader *bufio.Reader) (line []byte, length int64, err error) {
	line, err = reader.ReadSlice('\n')
	length = int64(len(line))
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, length, err
	}
	const enough = 4 << 10
	line = bytes.Clone(line[:enough])
	for errors.Is(err, bufio.ErrBufferFull) {
		var more []byte
		more, err = reader.ReadSlice('\n')
		length += int64(len(more))
	}
	return line, length, err
}

// yamlScan is how far an index was read.
type yamlScan struct {
	index      *IndexFile
	offset     int64
	hasVersion bool
	inEntries  bool
	indent     int // of the names of charts; -1 before the first
	chart      string
	start      int64
}

func (s *yamlScan) line(line []byte) error {
	text := bytes.TrimRight(bytes.TrimPrefix(line, []byte("\ufeff")), "\r\n")
	trimmed := bytes.TrimLeft(text, " ")
	indent := len(text) - len(trimmed)
	if len(trimmed) == 0 || trimmed[0] == '#' {
		return nil
	}
	if indent == 0 && (!s.inEntries || trimmed[0] != '-') {
		return s.top(trimmed)
	}
	if !s.inEntries || isItem(trimmed) || s.indent >= 0 && indent > s.indent {
		return nil
	}
	if s.indent < 0 {
		s.indent = indent
	}
	if indent != s.indent {
		return fmt.Errorf("the line %q is indented less than the charts before it", beginning(trimmed))
	}
	name, err := keyOf(trimmed)
	if err != nil {
		return err
	}
	s.close()
	if _, twice := s.index.charts[name]; twice {
		return fmt.Errorf("chart %q is there twice", name)
	}
	s.chart, s.start = name, s.offset
	return nil
}

// top takes a line that is not indented.
func (s *yamlScan) top(text []byte) error {
	s.close()
	s.inEntries = false
	if bytes.HasPrefix(text, []byte("---")) || bytes.HasPrefix(text, []byte("...")) || text[0] == '%' {
		return nil
	}
	key, value, ok := bytes.Cut(text, []byte(":"))
	if !ok {
		return fmt.Errorf("%q is no key", beginning(text))
	}
	if value, _, _ = bytes.Cut(value, []byte(" #")); len(value) > 0 && value[0] == '#' {
		value = nil
	}
	value = bytes.TrimSpace(value)
	switch string(bytes.Trim(key, `"' `)) {
	case "apiVersion":
		s.hasVersion = len(value) > 0
	case "entries":
		if text := string(value); text != "" && text != "{}" && text != "null" && text != "~" {
			return errors.New("entries must begin on a line of their own")
		}
		s.inEntries = true
	}
	return nil
}

// close ends the chart that is being read.
func (s *yamlScan) close() {
	if s.chart != "" {
		s.index.charts[s.chart] = span{s.start, s.offset}
		s.chart = ""
	}
}

func isItem(text []byte) bool {
	return text[0] == '-' && (len(text) == 1 || text[1] == ' ')
}

// keyOf returns the key that a line begins with.
func keyOf(text []byte) (string, error) {
	end := bytes.Index(text, []byte(": "))
	if end < 0 {
		if end = len(bytes.TrimRight(text, " ")) - 1; end < 0 || text[end] != ':' {
			return "", fmt.Errorf("%q is not the name of a chart", beginning(text))
		}
	}
	var name string
	if err := yaml.Unmarshal(text[:end], &name); err != nil || name == "" {
		return strings.TrimSpace(string(text[:end])), nil
	}
	return name, nil
}

func beginning(text []byte) string {
	const most = 40
	return string(text[:min(len(text), most)])
}
