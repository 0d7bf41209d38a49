package charts_test

import (
	"slices"
	"strings"
	"testing"
)

// TestAlertingNotes holds what a user is told of matchers that are allowed and most likely take nothing.
func TestAlertingNotes(t *testing.T) {
	const literal = "is compared letter by letter; add regex: true if it is a pattern, regex: false if it is not."
	namespaced := func(matcher string) string {
		return matcher + " matches no alert of the namespace base, and Prometheus Operator passes no others on to this release, " +
			"unless the Alertmanager has another alertmanagerConfigMatcherStrategy."
	}
	for _, c := range []struct {
		name, values string
		want         []string
	}{
		{"fine", `{route: {matchers: [{name: a, value: b.c-d}, {name: a, value: "b|c", regex: true}], matchLabels: {a: b|c}}}`, nil},
		{"literal", `{route: {matchers: [{name: a, value: "b|c"}]}}`, []string{`route.matchers[0]: "b|c" ` + literal}},
		{"literal below", `{route: {routes: [{}, {routes: [{matchers: [{name: a, value: b}, {name: a, value: b.+}]}]}]}}`, []string{`route.routes[1].routes[0].matchers[1]: "b.+" ` + literal}},
		{"literal and meant", `{route: {matchers: [{name: a, value: "b|c", regex: false}]}}`, nil},
		{"literal with a line break", `{route: {matchers: [{name: a, value: "(b\nNote: c"}]}}`, []string{`route.matchers[0]: "(b\nNote: c" ` + literal}},
		{"literal of an inhibit rule", `{inhibitRules: [{sourceMatch: [{name: a, value: b*}], targetMatchLabels: {a: b}}]}`, []string{`inhibitRules[0].sourceMatch[0]: "b*" ` + literal}},
		{"own namespace", `{route: {matchers: [{name: namespace, value: base}], matchLabels: {namespace: ba.+|other}}}`, nil},
		{"other namespace", `{route: {matchLabels: {namespace: prod}}}`, []string{namespaced(`route.matchers: namespace="prod"`)}},
		{"other namespaces", `{route: {matchers: [{name: namespace, value: prod-.+, regex: true}]}}`, []string{namespaced(`route.matchers: namespace=~"prod-.+"`)}},
		{"other namespace of an inhibit rule", `{inhibitRules: [{sourceMatchLabels: {a: b}, targetMatchLabels: {namespace: prod}}]}`, []string{namespaced(`inhibitRules[0].targetMatch: namespace="prod"`)}},
	} {
		files, err := release{chart: "alerting", name: "app", values: parse(t, c.values)}.files()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var got []string
		for line := range strings.Lines(files["alerting/templates/NOTES.txt"]) {
			if note, ok := strings.CutPrefix(strings.TrimSpace(line), "Note: "); ok {
				got = append(got, note)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: the notes are %q, want %q", c.name, got, c.want)
		}
	}
}

// TestNotes holds what a user is told of values that are allowed and most likely not meant.
func TestNotes(t *testing.T) {
	for _, c := range []struct{ name, values, want string }{
		{"fine", `{containers: {main: {image: {repository: app, tag: "1"}, resources: {limits: {memory: 400Mi}, requests: {memory: 1000000}}}}}`, ""},
		{"no tag", `{containers: {main: {image: {repository: app}}}}`, "gonbad.workloads.web.containers.main.image.tag: is latest"},
		{"latest", `{containers: {main: {image: {repository: app, tag: latest}}}}`, "gonbad.workloads.web.containers.main.image.tag: is latest"},
		{"latest in an init container", `{containers: {main: {image: {repository: app, tag: "1"}}}, initContainers: {first: {image: {repository: app}}}}`, "gonbad.workloads.web.initContainers.first.image.tag: is latest"},
		{"latest in a simple one", `{kind: simple, image: {repository: app}}`, "gonbad.workloads.web.image.tag: is latest"},
		{"digest", `{containers: {main: {image: {repository: app@sha256:6c3c624b58dbbcd3c0dd82b4c53f04194d1247c6eebdaab7c610cf7d66709b3b}}}}`, ""},
		{"number", `{containers: {main: {image: {repository: app, tag: 12}}}}`, ""},
		{"thousandths", `{containers: {main: {image: {repository: app, tag: "1"}, resources: {limits: {memory: 400m}}}}}`, "gonbad.workloads.web.containers.main.resources.limits.memory: 400m is 400 thousandths of a byte; write 400Mi for mebibytes"},
		{"bytes", `{containers: {main: {image: {repository: app, tag: "1"}, resources: {requests: {memory: 400}}}}}`, "gonbad.workloads.web.containers.main.resources.requests.memory: 400 means bytes; write 400Mi for mebibytes"},
		{"switched off", `{enabled: false, containers: {main: {image: {repository: app}}}}`, ""},
	} {
		for _, chart := range []string{"genpack", "simplepack"} {
			values := parse(t, "gonbad: {workloads: {web: "+c.values+"}}")
			if chart == "simplepack" {
				values["gonbad"].(map[string]any)["workloads"].(map[string]any)["main"] = map[string]any{"enabled": false}
			}
			files, err := release{chart: chart, name: "app", values: values}.files()
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			got := strings.TrimSpace(strings.TrimPrefix(files[chart+"/templates/NOTES.txt"], "app is in the namespace base."))
			if c.want == "" && got != "" || !strings.HasPrefix(got, strings.TrimSpace("Note: "+c.want)) && c.want != "" {
				t.Errorf("%s, %s: the notes are %q, want %q", c.name, chart, got, c.want)
			}
		}
	}
}
