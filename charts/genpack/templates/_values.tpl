{{- /*
Reading values. Builders return JSON, their callers read it with fromJson, and only gonbad.print writes YAML: so no
indentation and no quoting is done by hand. The copies of these files in charts/simplepack, and of some in charts/alerting,
are written by `go test ./charts -run TestSharedFiles -update`; edit them in charts/genpack.
*/ -}}

{{- /* gonbad.print: one object as a YAML document. Input: the object. */ -}}
{{- define "gonbad.print" }}
---
{{ toYaml . }}
{{- end }}

{{- /* gonbad.enabled: "true" unless the map is absent or says enabled: false. Input: the map. */ -}}
{{- define "gonbad.enabled" -}}
{{- if kindIs "map" . -}}{{- if ne (toString .enabled) "false" -}}true{{- end -}}{{- end -}}
{{- end -}}

{{- /*
gonbad.scalar: a number, boolean or string as text. Numbers of values arrive as floats, whose plain form is 1e+06
from a million on; JSON keeps the digits. Input: the scalar.
*/ -}}
{{- define "gonbad.scalar" -}}
{{- if kindIs "float64" . -}}{{- toJson . -}}{{- else -}}{{- toString . -}}{{- end -}}
{{- end -}}

{{- /* gonbad.strings: JSON of a map with every value as text, nulls left out. Input: the map. */ -}}
{{- define "gonbad.strings" -}}
{{- $out := dict -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $_ := set $out $key (include "gonbad.scalar" $value) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.list: JSON array of a list with every item as text. Input: the list. */ -}}
{{- define "gonbad.list" -}}
{{- $out := list -}}
{{- range . -}}{{- $out = append $out (include "gonbad.scalar" .) -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.intOrString: JSON {"value": x} where digits become a number. Input: the scalar. */ -}}
{{- define "gonbad.intOrString" -}}
{{- $text := include "gonbad.scalar" . -}}
{{- if regexMatch "^[0-9]+$" $text -}}
{{- toJson (dict "value" (int64 $text)) -}}
{{- else -}}
{{- toJson (dict "value" $text) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.duration: a whole number means seconds, text is taken as it is. Input: the scalar. */ -}}
{{- define "gonbad.duration" -}}
{{- $text := include "gonbad.scalar" . -}}
{{- if regexMatch "^[0-9]+$" $text -}}{{- $text -}}s{{- else -}}{{- $text -}}{{- end -}}
{{- end -}}

{{- /* gonbad.copy: JSON of those fields that a map really has, nulls left out. Input: from, fields. */ -}}
{{- define "gonbad.copy" -}}
{{- $out := dict -}}
{{- $from := .from -}}
{{- range .fields -}}
{{- $value := index $from . -}}
{{- if not (kindIs "invalid" $value) -}}{{- $_ := set $out . $value -}}{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /*
gonbad.checkTopLevel: refuses unknown keys of global. The schema leaves global open, because a chart that wraps this one
shares it with others; where this chart stands alone an unknown key is a slip of the pen. Input: the root.
*/ -}}
{{- define "gonbad.checkTopLevel" -}}
{{- if .Chart.IsRoot -}}
{{- $known := list "issuer" "certificate" "commonImageRegistry" "commonImagePullSecrets" "sharedConfigs" "sharedSecrets" "sharedConfigmapName" "sharedSecretName" "ingress" "metrics" -}}
{{- range $key, $_ := .Values.global -}}
{{- if not (or (has $key $known) (hasPrefix "x-" $key)) -}}
{{- fail (printf "global.%s: no such value; global has %s" $key (join ", " $known)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
