{{- /* Probes and lifecycle hooks of a container. */ -}}

{{- /*
gonbad.probe: JSON of a probe, empty when there is none. A command wins over a port; a path makes it HTTP, a bare port
TCP. A probe of a port that is switched off goes with it. Input: container, name (the probe's).
*/ -}}
{{- define "gonbad.probe" -}}
{{- $out := dict -}}
{{- $probe := index .container.spec .name -}}
{{- $path := printf "%s.%s" .container.path .name -}}
{{- if include "gonbad.enabled" $probe -}}
{{- $timing := include "gonbad.copy" (dict "from" $probe "fields" (list "initialDelaySeconds" "periodSeconds" "timeoutSeconds" "successThreshold" "failureThreshold")) | fromJson -}}
{{- if $probe.command -}}
{{- $out = merge $timing (dict "exec" (dict "command" (include "gonbad.list" $probe.command | fromJsonArray))) -}}
{{- else if kindIs "invalid" $probe.port -}}
{{- fail (printf "%s: has neither port nor command; give one of them, or enabled: false" $path) -}}
{{- else if eq (include "gonbad.portState" (dict "container" .container "port" $probe.port "path" (printf "%s.port" $path))) "on" -}}
{{- $out = merge $timing (include "gonbad.netAction" (dict "action" $probe "path" $path) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /*
gonbad.portState: "on" or "off" for the port that a probe names; a number is always on. A name that the container does
not know is refused, unless it has no port at all any more. Input: container, port, path.
*/ -}}
{{- define "gonbad.portState" -}}
{{- $name := include "gonbad.scalar" .port -}}
{{- $names := list -}}
{{- range .container.ports -}}{{- $names = append $names .name -}}{{- end -}}
{{- if or (regexMatch "^[0-9]+$" $name) (has $name $names) -}}on
{{- else if not $names -}}off
{{- else -}}
{{- $off := list -}}
{{- range $key, $given := .container.spec.ports -}}
{{- if and (kindIs "map" $given) (not (include "gonbad.enabled" $given)) -}}{{- $off = append $off ($given.name | default $key) -}}{{- end -}}
{{- end -}}
{{- if not (has $name $off) -}}
{{- fail (printf "%s: the container has no port %s; give one of its ports (%s), or switch the probe off with enabled: false" .path $name (join ", " $names)) -}}
{{- end -}}
off
{{- end -}}
{{- end -}}

{{- /* gonbad.netAction: JSON of httpGet or tcpSocket. Input: action {port, path, host, scheme, httpHeaders}, path. */ -}}
{{- define "gonbad.netAction" -}}
{{- $out := dict "port" (include "gonbad.intOrString" .action.port | fromJson).value -}}
{{- with .action.host -}}{{- $_ := set $out "host" . -}}{{- end -}}
{{- if .action.path -}}
{{- $_ := set $out "path" .action.path -}}
{{- with .action.scheme -}}{{- $_ := set $out "scheme" . -}}{{- end -}}
{{- $headers := list -}}
{{- range $name, $value := include "gonbad.strings" .action.httpHeaders | fromJson -}}
{{- $headers = append $headers (dict "name" $name "value" $value) -}}
{{- end -}}
{{- with $headers -}}{{- $_ := set $out "httpHeaders" . -}}{{- end -}}
{{- toJson (dict "httpGet" $out) -}}
{{- else -}}
{{- toJson (dict "tcpSocket" $out) -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.lifecycle: JSON of postStart and preStop. Input: lifecycle, path. */ -}}
{{- define "gonbad.lifecycle" -}}
{{- $out := dict -}}
{{- $path := .path -}}
{{- range $hook, $given := .lifecycle -}}
{{- if kindIs "map" $given -}}
{{- $tcp := $given.tcpSocket | default $given.tcpSecket -}}
{{- if $given.exec -}}
{{- $_ := set $out $hook (dict "exec" (dict "command" (include "gonbad.list" $given.exec.command | fromJsonArray))) -}}
{{- else if $given.httpGet -}}
{{- $action := merge (dict "scheme" ($given.httpGet.scheme | default $given.httpGet.schema) "path" ($given.httpGet.path | default "/")) $given.httpGet -}}
{{- $_ := set $out $hook (include "gonbad.netAction" (dict "action" $action) | fromJson) -}}
{{- else if $tcp -}}
{{- $_ := set $out $hook (include "gonbad.netAction" (dict "action" (omit $tcp "path")) | fromJson) -}}
{{- else -}}
{{- fail (printf "%s.lifecycle.%s: does nothing; give one of exec, httpGet, tcpSocket" $path $hook) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}
