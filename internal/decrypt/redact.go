package decrypt

import (
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// shortest is the length from which a text counts as a secret: shorter ones are in every message by chance.
const shortest = 4

// Redact returns err without the secrets, whole, by line, quoted or in base64, that its message holds. An error that
// holds none is returned as it is.
func Redact(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	message := err.Error()
	var forms []string
	for _, s := range secrets {
		quoted := strconv.Quote(s)
		forms = append(forms, s, quoted[1:len(quoted)-1], base64.StdEncoding.EncodeToString([]byte(s)))
		for line := range strings.Lines(s) {
			forms = append(forms, strings.TrimSpace(line))
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	clean := message
	for _, form := range forms {
		if len(form) >= shortest {
			clean = strings.ReplaceAll(clean, form, "*****")
		}
	}
	if clean == message {
		return err
	}
	return errors.New(clean)
}
