package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Every command says what it does and shows how, and every flag says what it is for.
func TestEveryCommandIsDescribed(t *testing.T) {
	count := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		count++
		if c.Short == "" || c.Long == "" || c.Example == "" {
			t.Errorf("%s: short %q, long %q, example %q: want all of them", c.CommandPath(), c.Short, c.Long, c.Example)
		}
		if c.RunE == nil {
			t.Errorf("%s does nothing", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			line = strings.TrimSpace(line)
			if words := strings.Fields(line); len(words) > 0 && words[0] == "peyk" {
				checkExample(t, c, words[1:])
			}
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: the flag --%s is not described", c.CommandPath(), f.Name)
			}
		})
		for _, below := range c.Commands() {
			if below.IsAvailableCommand() && below.Name() != "completion" {
				walk(below)
			}
		}
	}
	walk((&App{}).newRoot())
	if count < 100 {
		t.Errorf("only %d commands were found", count)
	}
}

// checkExample says whether the flags of an example are known to the command that it runs.
func checkExample(t *testing.T, c *cobra.Command, words []string) {
	t.Helper()
	found, _, err := c.Root().Find(words)
	if err != nil {
		t.Errorf("%s: the example 'peyk %s' runs no command: %v", c.CommandPath(), strings.Join(words, " "), err)
		return
	}
	for _, word := range words {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && found.Flag(name) == nil {
			t.Errorf("%s: the example uses --%s, which '%s' does not have", c.CommandPath(), name, found.CommandPath())
		}
	}
}
