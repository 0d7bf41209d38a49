{{- /* Ports of containers and external services. */ -}}

{{- /*
gonbad.ports: JSON array of the enabled ports, each with name, number, protocol, servicePort and what else was given.
A key is a port number, with /tcp or /udp behind it if wished, or the port's name. Input: ports, path.
*/ -}}
{{- define "gonbad.ports" -}}
{{- $out := list -}}
{{- $path := .path -}}
{{- range $key, $value := .ports -}}
{{- $given := $value -}}
{{- if kindIs "invalid" $value -}}{{- $given = dict -}}{{- else if not (kindIs "map" $value) -}}{{- $given = dict "name" (include "gonbad.scalar" $value) -}}{{- end -}}
{{- if include "gonbad.enabled" $given -}}
{{- $where := printf "%s.ports.%s" $path $key -}}
{{- if not (regexMatch "^([0-9]{1,5}(/(tcp|udp))?|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$" (toString $key)) -}}
{{- fail (printf "%s: is not a port; use its number, such as 8080 or 53/udp, or its name" $where) -}}
{{- end -}}
{{- $parts := splitList "/" (toString $key) -}}
{{- $head := first $parts -}}
{{- $numeric := regexMatch "^[0-9]+$" $head -}}
{{- $suffix := ternary (last $parts) "tcp" (eq (len $parts) 2) -}}
{{- $protocol := upper ($given.protocol | default $suffix) -}}
{{- if and (not $numeric) (not $given.number) -}}
{{- fail (printf "%s.number: is missing; give the port's number, or use the number as the key" $where) -}}
{{- end -}}
{{- $number := int64 (include "gonbad.scalar" ($given.number | default $head)) -}}
{{- $name := $given.name | default (ternary (printf "%s-%s" (lower $protocol) $head) $head $numeric) -}}
{{- if not (and (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name) (regexMatch "[a-z]" $name) (le (len $name) 15)) -}}
{{- fail (printf "%s.name: %s is not a port name; use at most 15 lower-case letters, digits and dashes, with a letter among them" $where $name) -}}
{{- end -}}
{{- $port := include "gonbad.copy" (dict "from" $given "fields" (list "nodePort" "scrapePath" "scrapeInterval" "scrapeTimeout" "scrapeExtraProperties")) | fromJson -}}
{{- $servicePort := int64 (include "gonbad.scalar" ($given.servicePort | default $number)) -}}
{{- $out = append $out (merge $port (dict "name" $name "number" $number "protocol" $protocol "servicePort" $servicePort "path" $where)) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /*
gonbad.servicePorts: JSON array of a Service's ports; two that would collide are refused. Input: ports, type (the
Service's), path.
*/ -}}
{{- define "gonbad.servicePorts" -}}
{{- $out := list -}}
{{- $names := dict -}}
{{- $numbers := dict -}}
{{- $type := .type -}}
{{- $owner := .path -}}
{{- range .ports -}}
{{- $slot := printf "%v/%s" (int64 .servicePort) .protocol -}}
{{- if hasKey $names .name -}}
{{- fail (printf "%s: its name %s is taken by %s; give it another name, or remove one of the two with null" .path .name (index $names .name)) -}}
{{- end -}}
{{- if hasKey $numbers $slot -}}
{{- fail (printf "%s: %s is taken by %s; give it another servicePort" .path $slot (index $numbers $slot)) -}}
{{- end -}}
{{- $_ := set $names .name .path -}}
{{- $_ := set $numbers $slot .path -}}
{{- $port := dict "name" .name "port" .servicePort "targetPort" .name "protocol" .protocol -}}
{{- if .nodePort -}}
{{- if ne $type "NodePort" -}}
{{- fail (printf "%s.nodePort: needs a Service of type NodePort; set %s.service.type: NodePort, or remove it" .path $owner) -}}
{{- end -}}
{{- $_ := set $port "nodePort" .nodePort -}}
{{- end -}}
{{- $out = append $out $port -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}
