{{- /* What is allowed and most likely not meant. */ -}}

{{- /* gonbad.notes: JSON array of sentences about the values. Input: the root. */ -}}
{{- define "gonbad.notes" -}}
{{- $out := list -}}
{{- range $key, $workload := (.Values.gonbad | default dict).workloads -}}
{{- if include "gonbad.enabled" $workload -}}
{{- $path := printf "gonbad.workloads.%s" $key -}}
{{- if eq (default "" $workload.kind) "simple" -}}
{{- $out = concat $out (include "gonbad.containerNotes" (dict "container" $workload "path" $path) | fromJsonArray) -}}
{{- else -}}
{{- range $list := list "initContainers" "containers" -}}
{{- range $name, $container := index $workload $list -}}
{{- if include "gonbad.enabled" $container -}}
{{- $out = concat $out (include "gonbad.containerNotes" (dict "container" $container "path" (printf "%s.%s.%s" $path $list $name)) | fromJsonArray) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.containerNotes: JSON array of sentences about one container. Input: container, path. */ -}}
{{- define "gonbad.containerNotes" -}}
{{- $out := list -}}
{{- $path := .path -}}
{{- $image := .container.image | default dict -}}
{{- if and (has (toString (default "" $image.tag)) (list "" "latest")) (not (contains "@" ($image.repository | default ""))) -}}
{{- $out = append $out (printf "%s.image.tag: is latest, so it is not known which image runs, and a rollback brings none back; give a tag that never moves, such as the commit" $path) -}}
{{- end -}}
{{- $resources := .container.resources | default dict -}}
{{- range $side := list "limits" "requests" -}}
{{- $memory := include "gonbad.scalar" (((index $resources $side) | default dict).memory | default "") -}}
{{- if regexMatch "^[0-9.]+m$" $memory -}}
{{- $out = append $out (printf "%s.resources.%s.memory: %s is %s thousandths of a byte; write %sMi for mebibytes" $path $side $memory (trimSuffix "m" $memory) (trimSuffix "m" $memory)) -}}
{{- else if regexMatch "^[0-9]{1,6}$" $memory -}}
{{- $out = append $out (printf "%s.resources.%s.memory: %s means bytes; write %sMi for mebibytes" $path $side $memory $memory) -}}
{{- end -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}
