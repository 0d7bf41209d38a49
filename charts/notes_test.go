package charts_test

import (
	"strings"
	"testing"
)

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
