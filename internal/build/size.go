package build

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// measure returns the size of the layers unpacked and as they travel, in bytes.
func measure(image v1.Image) (unpacked, packed int64, err error) {
	layers, err := image.Layers()
	if err != nil {
		return 0, 0, fmt.Errorf("reading the layers: %w", err)
	}
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return 0, 0, fmt.Errorf("measuring a layer: %w", err)
		}
		packed += size
		size, err = unpackedSize(layer)
		if err != nil {
			return 0, 0, fmt.Errorf("measuring a layer: %w", err)
		}
		unpacked += size
	}
	return unpacked, packed, nil
}

func unpackedSize(layer v1.Layer) (int64, error) {
	content, err := layer.Uncompressed()
	if err != nil {
		return 0, err
	}
	defer func() { _ = content.Close() }()
	return io.Copy(io.Discard, content)
}

// FormatSize writes a size in bytes for people, in powers of 1000 as registries do: 18.2 MB.
func FormatSize(bytes int64) string {
	size := float64(bytes)
	for _, unit := range []string{"B", "kB", "MB"} {
		if size < 1000 {
			return strings.TrimSuffix(strconv.FormatFloat(size, 'f', 1, 64), ".0") + " " + unit
		}
		size /= 1000
	}
	return strconv.FormatFloat(size, 'f', 1, 64) + " GB"
}

// ParseSize reads a size such as 20MB, 512KiB or 1000000. The error names the forms that are understood.
func ParseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "kKMGiB ")
	units := map[string]int64{
		"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30,
	}
	unit, known := units[strings.ToUpper(strings.TrimSpace(text[len(digits):]))]
	number, err := strconv.ParseFloat(digits, 64)
	if err != nil || !known || number < 0 || number > 1e12 {
		return 0, fmt.Errorf("size %q: write it like 20MB, 512KiB or 1000000", text)
	}
	return int64(number * float64(unit)), nil
}
