{{- /* One container of a pod. */ -}}

{{- /* gonbad.container: JSON of a container. Input: root, workload, host (the pod is a part of its
node), container {name, path, spec, ports}. */ -}}
{{- define "gonbad.container" -}}
{{- $c := .container -}}
{{- $image := $c.spec.image | default dict -}}
{{- $out := dict "name" $c.name -}}
{{- with include "gonbad.containerSecurity" . | fromJson -}}{{- $_ := set $out "securityContext" . -}}{{- end -}}
{{- $_ := set $out "image" (include "gonbad.image" (dict "root" .root "image" $image "path" $c.path)) -}}
{{- $_ := set $out "imagePullPolicy" ($image.pullPolicy | default "IfNotPresent") -}}
{{- range list "command" "args" -}}
{{- if index $c.spec . -}}{{- $_ := set $out . (include "gonbad.list" (index $c.spec .) | fromJsonArray) -}}{{- end -}}
{{- end -}}
{{- with include "gonbad.env" (dict "env" $c.spec.env "path" $c.path) | fromJsonArray -}}{{- $_ := set $out "env" . -}}{{- end -}}
{{- with include "gonbad.envFrom" (dict "root" .root "spec" $c.spec) | fromJsonArray -}}{{- $_ := set $out "envFrom" . -}}{{- end -}}
{{- with include "gonbad.resources" $c.spec.resources | fromJson -}}{{- $_ := set $out "resources" . -}}{{- end -}}
{{- with include "gonbad.lifecycle" (dict "lifecycle" $c.spec.lifecycle "path" $c.path) | fromJson -}}{{- $_ := set $out "lifecycle" . -}}{{- end -}}
{{- with include "gonbad.mounts" . | fromJsonArray -}}{{- $_ := set $out "volumeMounts" . -}}{{- end -}}
{{- range list "livenessProbe" "readinessProbe" "startupProbe" -}}
{{- $probe := include "gonbad.probe" (dict "container" $c "name" .) | fromJson -}}
{{- if $probe -}}{{- $_ := set $out . $probe -}}{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range $c.ports -}}
{{- $ports = append $ports (dict "name" .name "containerPort" .number "protocol" .protocol) -}}
{{- end -}}
{{- with $ports -}}{{- $_ := set $out "ports" . -}}{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /*
gonbad.image: [registry/]repository:tag, or repository@digest as it is given. global.commonImageRegistry stands in for
an absent registry, unless the repository begins with a host already. Input: root, image, path.
*/ -}}
{{- define "gonbad.image" -}}
{{- $repository := .image.repository | default "" -}}
{{- if not $repository -}}
{{- fail (printf "%s.image.repository: is missing; give the image's name" .path) -}}
{{- end -}}
{{- $registry := .image.registry -}}
{{- $first := first (splitList "/" $repository) -}}
{{- $hosted := and (contains "/" $repository) (or (contains "." $first) (contains ":" $first) (eq "localhost" $first)) -}}
{{- if and (not $registry) (not $hosted) -}}
{{- $registry = (.root.Values.global | default dict).commonImageRegistry -}}
{{- end -}}
{{- $tag := include "gonbad.scalar" (default "" .image.tag) -}}
{{- if and (not $tag) (not (contains "@" $repository)) -}}{{- $tag = "latest" -}}{{- end -}}
{{- with $registry -}}{{- regexReplaceAll "^[a-z]+://" . "" | trimSuffix "/" -}}/{{- end -}}
{{- $repository -}}{{- with $tag -}}:{{- . -}}{{- end -}}
{{- end -}}

{{- /* gonbad.resources: JSON of requests and limits with every quantity as text. Input: the resources. */ -}}
{{- define "gonbad.resources" -}}
{{- $out := dict -}}
{{- range $side, $quantities := . -}}
{{- with include "gonbad.strings" $quantities | fromJson -}}{{- $_ := set $out $side . -}}{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}
