package charts_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The table of values in a README stands between these lines.
const (
	valuesBegin = "<!-- The values come from values.schema.json: go test ./charts -run TestReadmeValues -update -->\n"
	valuesEnd   = "<!-- End of the values. -->\n"
)

// valuesSection is a part of a schema with a table of its own, which is named where the part is used.
type valuesSection struct{ def, title string }

var valuesSections = map[string][]valuesSection{
	"genpack": {
		{"workload", "A workload"}, {"container", "A container"}, {"image", "An image"}, {"env", "Variables"},
		{"envFrom", "Variables from whole objects"}, {"probe", "A probe"}, {"hook", "A lifecycle hook"}, {"ports", "Ports"},
		{"quantities", "Resources"}, {"fileMounts", "Mounts of files"}, {"volumeMounts", "Mounts of volumes"},
		{"podSecurity", "Security of a pod"}, {"containerSecurity", "Security of a container"}, {"hpa", "Scaling"},
		{"pullSecrets", "Pull secrets"}, {"volume", "A volume"}, {"ingress", "An ingress"}, {"tls", "TLS"},
		{"externalService", "An external service"}, {"prometheusRule", "Rules"}, {"rawResource", "A raw resource"},
	},
	"alerting": {
		{"route", "A route"}, {"matchers", "Matchers"}, {"inhibitRules", "Inhibit rules"}, {"receiver", "A receiver"},
		{"emailConfig", "Mail"}, {"slackConfig", "Slack"}, {"webhookConfig", "A webhook"}, {"httpConfig", "A request"},
		{"tlsConfig", "TLS"}, {"secret", "A secret"}, {"source", "A secret or a setting"}, {"prometheusRule", "Rules"},
	},
}

// TestReadmeValues holds that the pages of genpack and alerting list every value of the schema, and simplepack's every default
// of its own. A release record carries the page of its chart, so simplepack's does not repeat what genpack's says.
func TestReadmeValues(t *testing.T) {
	genpack := loadSchema(t, "genpack")
	for chart, table := range map[string]string{
		"genpack":    valuesTables(genpack, kindsOfFields(t)),
		"simplepack": defaultsTable(t, genpack),
		"alerting":   valuesTables(loadSchema(t, "alerting"), nil),
	} {
		path := chart + "/README.md"
		text := read(t, path)
		before, rest, found := strings.Cut(text, valuesBegin)
		_, after, closed := strings.Cut(rest, valuesEnd)
		if !found || !closed {
			t.Fatalf("%s has no place for the values: a line %s and a line %s", path, valuesBegin, valuesEnd)
		}
		compare(t, path, before+valuesBegin+"\n"+table+valuesEnd+after)
	}
}

// defaultsTable lists the values of simplepack's values.yaml.
func defaultsTable(t *testing.T, s *valuesSchema) string {
	t.Helper()
	var out strings.Builder
	out.WriteString("| Value | Type | Default | What it is |\n| --- | --- | --- | --- |\n")
	s.visit(parse(t, read(t, "simplepack/values.yaml")), nil, "#", func(steps []string, place string, value any) {
		if inner, ok := value.(map[string]any); ok && (len(inner) > 0 || len(steps) == 1) {
			return
		}
		if _, ok := value.([]any); ok {
			return
		}
		description, _ := s.get(place, "description")
		path := regexp.MustCompile(`\.(\d+)`).ReplaceAllString(strings.Join(steps, "."), "[$1]")
		fmt.Fprintf(&out, "| `%s` | %s | %s | %s |\n", path, typeOf(s, place), code(value), description)
	})
	return out.String() + "\n"
}

// kindsOfFields reads from the templates which kinds of workload have a value; one that is not there belongs to all.
func kindsOfFields(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, found := range regexp.MustCompile(`(?m)^(\w+): \[(.*)\]$`).FindAllStringSubmatch(read(t, "genpack/templates/_kinds.tpl"), -1) {
		out[found[1]] = found[2]
	}
	if len(out) == 0 {
		t.Fatal("genpack/templates/_kinds.tpl names no kinds")
	}
	return out
}

func valuesTables(s *valuesSchema, kinds map[string]string) string {
	var out strings.Builder
	table := func(title, place, prefix string) {
		fmt.Fprintf(&out, "### %s\n\n| Value | Type | Default | What it is |\n| --- | --- | --- | --- |\n", title)
		writeRows(&out, s, place, prefix, func(place, note string) string {
			name := strings.TrimPrefix(place, "#/$defs/workload/properties/")
			if only, ok := kinds[name]; ok && name != place {
				return note + " Kinds: " + only + "."
			}
			return note
		})
		out.WriteString("\n")
	}
	table("The whole", "#", "")
	for _, section := range s.sections {
		table(section.title, "#/$defs/"+section.def, "")
	}
	return out.String()
}

// writeRows writes a row for every value below a place, as far as the next section.
func writeRows(out *strings.Builder, s *valuesSchema, place, prefix string, note func(place, text string) string) {
	body := s.places[place]
	properties, _ := body["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		writeRow(out, s, place+"/properties/"+name, prefix+name, note)
	}
	patterns, _ := body["patternProperties"].(map[string]any)
	for _, pattern := range slices.Sorted(maps.Keys(patterns)) {
		if next := place + "/patternProperties/" + pattern; s.places[next] != nil {
			writeRow(out, s, next, prefix+"NAME", note)
		}
	}
	if next := place + "/additionalProperties"; s.places[next] != nil {
		writeRow(out, s, next, prefix+"NAME", note)
	}
	// A list of plain text needs no row for its items.
	if next := place + "/items"; s.places[next] != nil && (s.places[s.target(next)]["properties"] != nil || s.places[next]["enum"] != nil) {
		writeRow(out, s, next, strings.TrimSuffix(prefix, ".")+"[]", note)
	}
}

func writeRow(out *strings.Builder, s *valuesSchema, place, name string, note func(place, text string) string) {
	description, _ := s.get(place, "description")
	text, _ := description.(string)
	if rest := limits(s, place); rest != "" {
		text += " " + rest
	}
	standard := ""
	if value, ok := s.get(place, "default"); ok {
		standard = code(value)
	}
	target := s.target(place)
	kind, link := typeOf(s, place), false
	for _, section := range s.sections {
		if target == "#/$defs/"+section.def {
			anchor := strings.ReplaceAll(strings.ToLower(section.title), " ", "-")
			kind, link = fmt.Sprintf("[%s](#%s)", strings.ToLower(section.title), anchor), true
		}
	}
	fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", name, kind, standard, strings.ReplaceAll(note(place, text), "|", "\\|"))
	// Labels, annotations and the like are described by their own row.
	if plain := regexp.MustCompile(`/(labels|annotations|settings|quantities|ruleTexts|matchLabels|native)$`); link || plain.MatchString(target) {
		return
	}
	writeRows(out, s, target, name+".", note)
}

// typeOf names the types of a place without null, which every value may be.
func typeOf(s *valuesSchema, place string) string {
	value, _ := s.get(place, "type")
	switch value := value.(type) {
	case string:
		return plainType(value)
	case []any:
		var out []string
		for _, name := range value {
			if name != "null" {
				out = append(out, plainType(name.(string)))
			}
		}
		return strings.Join(out, " or ")
	}
	return "choice"
}

func plainType(name string) string {
	switch name {
	case "object":
		return "map"
	case "array":
		return "list"
	case "string":
		return "text"
	case "integer":
		return "whole number"
	}
	return name
}

// limits says what a value must keep to, and shows examples.
func limits(s *valuesSchema, place string) string {
	var out []string
	if choices, ok := s.get(place, "enum"); ok {
		var names []string
		for _, value := range choices.([]any) {
			if value != nil {
				names = append(names, code(value))
			}
		}
		out = append(out, "One of "+strings.Join(names, ", ")+".")
	}
	low, hasLow := s.get(place, "minimum")
	high, hasHigh := s.get(place, "maximum")
	switch {
	case hasLow && hasHigh:
		out = append(out, fmt.Sprintf("From %v to %v.", low, high))
	case hasLow && low != 0.0:
		out = append(out, fmt.Sprintf("At least %v.", low))
	}
	if examples, ok := s.get(place, "examples"); ok {
		var shown []string
		for _, value := range examples.([]any) {
			shown = append(shown, code(value))
		}
		out = append(out, "Such as "+strings.Join(shown, ", ")+".")
	}
	return strings.Join(out, " ")
}

func code(value any) string {
	if text, ok := value.(string); ok && text != "" {
		return "`" + text + "`"
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return "`" + string(text) + "`"
}
