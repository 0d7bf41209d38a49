{{- /* What is allowed and most likely not meant. */ -}}

{{- /* alerting.notes: JSON array of sentences about the values. Input: the root. */ -}}
{{- define "alerting.notes" -}}
{{- $root := . -}}
{{- $out := list -}}
{{- with .Values.route -}}
{{- $out = include "alerting.routeNotes" (dict "root" $root "route" . "path" "route") | fromJsonArray -}}
{{- end -}}
{{- range $i, $rule := .Values.inhibitRules -}}
{{- range $side := list "source" "target" -}}
{{- $path := printf "inhibitRules[%d]" $i -}}
{{- $made := include "alerting.inhibitMatchers" (dict "rule" $rule "side" $side "path" $path) | fromJsonArray -}}
{{- $given := index $rule (printf "%sMatch" $side) -}}
{{- $out = concat $out (include "alerting.matcherNotes" (dict "root" $root "given" $given "made" $made "path" (printf "%s.%sMatch" $path $side)) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* alerting.routeNotes: JSON array of sentences about a route and those below it. Input: root, route, path. */ -}}
{{- define "alerting.routeNotes" -}}
{{- $in := . -}}
{{- $made := include "alerting.routeMatchers" . | fromJsonArray -}}
{{- $out := include "alerting.matcherNotes" (dict "root" .root "given" .route.matchers "made" $made "path" (printf "%s.matchers" .path)) | fromJsonArray -}}
{{- range $i, $inner := .route.routes -}}
{{- $out = concat $out (include "alerting.routeNotes" (dict "root" $in.root "route" $inner "path" (printf "%s.routes[%d]" $in.path $i)) | fromJsonArray) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /*
alerting.matcherNotes: JSON array of sentences about matchers. Input: root, given (the matchers of the values), made (those,
and after them the labels, as they come out), path of the matchers.
*/ -}}
{{- define "alerting.matcherNotes" -}}
{{- $out := list -}}
{{- $path := .path -}}
{{- range $i, $matcher := .given -}}
{{- $value := include "gonbad.scalar" $matcher.value -}}
{{- if and (kindIs "invalid" $matcher.regex) (regexMatch "[*+?|^$\\\\()\\[\\]{}]" $value) -}}
{{- $out = append $out (printf "%s[%d]: %q is compared letter by letter; add regex: true if it is a pattern, regex: false if it is not" $path $i $value) -}}
{{- end -}}
{{- end -}}
{{- $namespace := .root.Release.Namespace -}}
{{- range .made -}}
{{- if eq .name "namespace" -}}
{{- $matches := eq .value $namespace -}}
{{- if eq .matchType "=~" -}}{{- $matches = regexMatch (printf "^(?:%s)$" .value) $namespace -}}{{- end -}}
{{- if not $matches -}}
{{- $out = append $out (printf "%s: namespace%s%q matches no alert of the namespace %s, and Prometheus Operator passes no others on to this release, unless the Alertmanager has another alertmanagerConfigMatcherStrategy" $path .matchType .value $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}
