package helmchart

import (
	"fmt"
	"io"
	"os"
)

// write writes the chart, changed or as the source has it.
func (p *pass) write(w io.Writer) error {
	if p.draft != nil {
		return p.draft.Write(w)
	}
	file, err := os.Open(p.path)
	if err != nil {
		return fmt.Errorf("opening the chart: %w", err)
	}
	defer file.Close()
	if _, err := io.Copy(w, file); err != nil {
		return fmt.Errorf("copying the chart: %w", err)
	}
	return nil
}
