{{- /* Ingresses and the release's certificate. */ -}}

{{- define "gonbad.ingresses" -}}
{{- $root := . -}}
{{- range $key, $given := (.Values.gonbad | default dict).ingresses -}}
{{- if include "gonbad.enabled" $given -}}
{{- include "gonbad.checkName" (dict "name" $key "path" "gonbad.ingresses") -}}
{{- include "gonbad.ingress" (dict "root" $root "given" $given "key" $key "path" (printf "gonbad.ingresses.%s" $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* gonbad.ingress: one Ingress. Input: root, key, given, path. */ -}}
{{- define "gonbad.ingress" -}}
{{- $i := . -}}
{{- $given := .given -}}
{{- $common := (.root.Values.global | default dict).ingress | default dict -}}
{{- if not $given.hosts -}}
{{- fail (printf "%s.hosts: is empty; give at least one entry with a host" .path) -}}
{{- end -}}
{{- $names := list -}}
{{- $rules := list -}}
{{- range $n, $host := $given.hosts -}}
{{- $path := printf "%s.hosts[%d]" $i.path $n -}}
{{- $name := include "gonbad.host" (dict "host" .host "path" (printf "%s.host" $path)) -}}
{{- $names = append $names $name -}}
{{- $paths := list -}}
{{- range $p, $entry := .paths | default (list "/") -}}
{{- $object := ternary $entry (dict "path" $entry) (kindIs "map" $entry) -}}
{{- $paths = append $paths (include "gonbad.ingressPath" (dict "root" $i.root "given" $given "entry" $object "path" $i.path) | fromJson) -}}
{{- end -}}
{{- $rules = append $rules (dict "host" $name "http" (dict "paths" $paths)) -}}
{{- end -}}
{{- $spec := dict "rules" $rules -}}
{{- with $given.ingressClassName -}}{{- $_ := set $spec "ingressClassName" . -}}{{- end -}}
{{- $tls := include "gonbad.ingressTLS" (dict "entries" (concat ($given.tls | default list) ($common.tls | default list)) "hosts" $names "path" .path) | fromJsonArray -}}
{{- with $tls -}}{{- $_ := set $spec "tls" . -}}{{- end -}}
{{- $annotations := mergeOverwrite (include "gonbad.strings" $common.annotations | fromJson) (include "gonbad.strings" $given.annotations | fromJson) -}}
{{- $name := $given.fullnameOverride | default (printf "%s-%s" .root.Release.Name .key) -}}
{{- $metadata := include "gonbad.metadata" (dict "root" .root "name" $name "labels" $given.labels "annotations" $annotations) | fromJson -}}
{{- include "gonbad.print" (dict "apiVersion" "networking.k8s.io/v1" "kind" "Ingress" "metadata" $metadata "spec" $spec) -}}
{{- end -}}

{{- /* gonbad.ingressPath: JSON of one path; what it does not say comes from the ingress. Input: root, given, entry, path. */ -}}
{{- define "gonbad.ingressPath" -}}
{{- $workload := .given.workloadName -}}
{{- $service := .given.serviceName -}}
{{- if or .entry.workloadName .entry.serviceName -}}
{{- $workload = .entry.workloadName -}}
{{- $service = .entry.serviceName -}}
{{- end -}}
{{- if $workload -}}{{- $service = printf "%s-%s" .root.Release.Name $workload -}}{{- end -}}
{{- if not $service -}}
{{- fail (printf "%s.workloadName: is missing; name the workload that answers, or give serviceName" .path) -}}
{{- end -}}
{{- $port := .entry.servicePort | default .given.servicePort -}}
{{- if not $port -}}
{{- fail (printf "%s.servicePort: is missing; give the name or the number of the service's port" .path) -}}
{{- end -}}
{{- $value := (include "gonbad.intOrString" $port | fromJson).value -}}
{{- $backend := dict "name" $service "port" (dict (ternary "name" "number" (kindIs "string" $value)) $value) -}}
{{- toJson (dict "path" .entry.path "pathType" (.entry.pathType | default "ImplementationSpecific") "backend" (dict "service" $backend)) -}}
{{- end -}}

{{- /*
gonbad.ingressTLS: JSON array of tls entries, each secret once. An entry without hosts gets those of the rules: some
ingress controllers do not look at an entry without any. Input: entries, hosts, path.
*/ -}}
{{- define "gonbad.ingressTLS" -}}
{{- $hosts := .hosts -}}
{{- $path := printf "%s.tls.hosts" .path -}}
{{- $seen := dict -}}
{{- $out := list -}}
{{- range .entries -}}
{{- if not (hasKey $seen .secretName) -}}
{{- $_ := set $seen .secretName true -}}
{{- $out = append $out (dict "secretName" .secretName "hosts" (include "gonbad.hosts" (dict "hosts" (.hosts | default $hosts) "path" $path) | fromJsonArray)) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.certificate: the Certificate of global.certificate. Input: the root. */ -}}
{{- define "gonbad.certificate" -}}
{{- $global := .Values.global | default dict -}}
{{- $given := $global.certificate | default dict -}}
{{- if $given.create -}}
{{- $issuer := $global.issuer | default dict -}}
{{- if not $issuer.name -}}
{{- fail "global.issuer.name: is missing; a certificate needs an issuer, or set global.certificate.create: false" -}}
{{- end -}}
{{- if not $given.hosts -}}
{{- fail "global.certificate.hosts: is empty; give at least one host name" -}}
{{- end -}}
{{- $name := $given.secretName | default (printf "%s-tls" .Release.Name) -}}
{{- $metadata := include "gonbad.metadata" (dict "root" . "name" $name) | fromJson -}}
{{- $spec := dict "secretName" $name "dnsNames" (include "gonbad.hosts" (dict "hosts" $given.hosts "path" "global.certificate.hosts") | fromJsonArray) "issuerRef" (dict "name" $issuer.name "kind" ($issuer.kind | default "Issuer") "group" "cert-manager.io") -}}
{{- include "gonbad.print" (dict "apiVersion" "cert-manager.io/v1" "kind" "Certificate" "metadata" $metadata "spec" $spec) -}}
{{- end -}}
{{- end -}}
