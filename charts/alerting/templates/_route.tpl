{{- /* Which alerts are meant, and where they go. */ -}}

{{- /*
alerting.matchers: JSON array of matchers. A matcher compares letter by letter unless it says regex: true; a value of the
map of labels is a pattern when it has a character beyond letters, digits, _ and -. Input: matchers, labels, path, and
labelsPath for messages.
*/ -}}
{{- define "alerting.matchers" -}}
{{- $out := list -}}
{{- $paths := list -}}
{{- $path := .path -}}
{{- $labelsPath := .labelsPath -}}
{{- range $i, $matcher := .matchers -}}
{{- $type := ternary "=~" "=" (eq (toString $matcher.regex) "true") -}}
{{- $out = append $out (dict "name" $matcher.name "value" (include "gonbad.scalar" $matcher.value) "matchType" $type) -}}
{{- $paths = append $paths (printf "%s[%d].value" $path $i) -}}
{{- end -}}
{{- $count := len $out -}}
{{- range $name, $value := include "gonbad.strings" .labels | fromJson -}}
{{- $type := ternary "=" "=~" (regexMatch "^[A-Za-z0-9_-]*$" $value) -}}
{{- $out = append $out (dict "name" $name "value" $value "matchType" $type) -}}
{{- $paths = append $paths (printf "%s.%s" $labelsPath $name) -}}
{{- end -}}
{{- range $i, $matcher := $out -}}
{{- /* With an empty branch added, every pattern that can be read matches the empty text. */ -}}
{{- if and (eq $matcher.matchType "=~") (not (regexMatch (printf "^(?:%s)$|" $matcher.value) "")) -}}
{{- $mend := ternary "leave out regex" "give it as a matcher" (lt $i $count) -}}
{{- fail (printf "%s: %q is not a regular expression of the syntax RE2; mend it, or %s" (index $paths $i) $matcher.value $mend) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* alerting.routeMatchers: JSON array of the matchers of a route. Input: route, path. */ -}}
{{- define "alerting.routeMatchers" -}}
{{- include "alerting.matchers" (dict "matchers" .route.matchers "labels" .route.matchLabels "path" (printf "%s.matchers" .path) "labelsPath" (printf "%s.matchLabels" .path)) -}}
{{- end -}}

{{- /* alerting.route: JSON of a route with those below it. Input: route, path, receivers (the names there are). */ -}}
{{- define "alerting.route" -}}
{{- $route := .route -}}
{{- $path := .path -}}
{{- $receivers := .receivers -}}
{{- $out := include "gonbad.copy" (dict "from" $route "fields" (list "continue" "groupBy")) | fromJson -}}
{{- with $route.receiver -}}
{{- if not (has . $receivers) -}}
{{- $choice := ternary (printf ", or give one of %s" (sortAlpha $receivers | join ", ")) "" (gt (len $receivers) 0) -}}
{{- fail (printf "%s.receiver: there is no receiver %s; add it to receivers%s" $path . $choice) -}}
{{- end -}}
{{- $_ := set $out "receiver" . -}}
{{- end -}}
{{- if and (has "..." ($route.groupBy | default list)) (gt (len $route.groupBy) 1) -}}
{{- fail (printf "%s.groupBy: ... means all labels; remove the others, or remove ..." $path) -}}
{{- end -}}
{{- range $field := list "groupWait" "groupInterval" "repeatInterval" -}}
{{- $value := index $route $field -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $duration := include "gonbad.duration" $value -}}
{{- if and (ne $field "groupWait") (not (regexMatch "[1-9]" $duration)) -}}
{{- fail (printf "%s.%s: must be longer than 0; give a duration such as 5m" $path $field) -}}
{{- end -}}
{{- $_ := set $out $field $duration -}}
{{- end -}}
{{- end -}}
{{- with include "alerting.routeMatchers" . | fromJsonArray -}}{{- $_ := set $out "matchers" . -}}{{- end -}}
{{- $below := list -}}
{{- range $i, $inner := $route.routes -}}
{{- $below = append $below (include "alerting.route" (dict "route" $inner "path" (printf "%s.routes[%d]" $path $i) "receivers" $receivers) | fromJson) -}}
{{- end -}}
{{- with $below -}}{{- $_ := set $out "routes" . -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* alerting.inhibitMatchers: JSON array of the matchers of one side, source or target. Input: rule, side, path. */ -}}
{{- define "alerting.inhibitMatchers" -}}
{{- $field := printf "%sMatch" .side -}}
{{- $labels := printf "%sMatchLabels" .side -}}
{{- include "alerting.matchers" (dict "matchers" (index .rule $field) "labels" (index .rule $labels) "path" (printf "%s.%s" .path $field) "labelsPath" (printf "%s.%s" .path $labels)) -}}
{{- end -}}

{{- /*
alerting.inhibitRules: JSON array of the rules. A side without matchers would mean every alert of the namespace, which
keeps all of them quiet. Input: the rules.
*/ -}}
{{- define "alerting.inhibitRules" -}}
{{- $out := list -}}
{{- range $i, $rule := . -}}
{{- $path := printf "inhibitRules[%d]" $i -}}
{{- $made := include "gonbad.copy" (dict "from" $rule "fields" (list "equal")) | fromJson -}}
{{- range $side := list "source" "target" -}}
{{- $matchers := include "alerting.inhibitMatchers" (dict "rule" $rule "side" $side "path" $path) | fromJsonArray -}}
{{- if not $matchers -}}
{{- fail (printf "%s: does not say which alerts are its %s; give %sMatch or %sMatchLabels" $path $side $side $side) -}}
{{- end -}}
{{- $_ := set $made (printf "%sMatch" $side) $matchers -}}
{{- end -}}
{{- $out = append $out $made -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}
