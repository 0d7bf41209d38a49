{{- /* Who is told, and with which secrets. */ -}}

{{- /*
alerting.shapes: YAML of shape -> fields of it that are more than copied. secret is a key of a Secret, secretURL such a key
with an address in it, source a key of a Secret or a ConfigMap; another name is a shape of its own.
*/ -}}
{{- define "alerting.shapes" -}}
receiver: {emailConfigs: email, slackConfigs: slack, webhookConfigs: webhook}
email: {authPassword: secret, authSecret: secret, headers: headers, tlsConfig: tls}
slack: {apiURL: secretURL, actions: action, httpConfig: http}
webhook: {url: url, urlSecret: secretURL, httpConfig: http}
http: {authorization: authorization, basicAuth: basicAuth, bearerTokenSecret: secret, oauth2: oauth2, tlsConfig: tls}
authorization: {credentials: secret}
basicAuth: {username: secret, password: secret}
oauth2: {clientId: source, clientSecret: secret}
tls: {ca: source, cert: source, keySecret: secret}
{{- end -}}

{{- /* alerting.receivers: JSON array of the receivers. Input: receivers, secret (name, and data that is added to). */ -}}
{{- define "alerting.receivers" -}}
{{- $secret := .secret -}}
{{- $out := list -}}
{{- range $name, $receiver := .receivers -}}
{{- /* A key of a Secret has few characters, a receiver's name may have any. */ -}}
{{- $key := ternary $name (sha256sum $name | trunc 16) (regexMatch "^[-._a-zA-Z0-9]{1,100}$" $name) -}}
{{- $made := include "alerting.value" (dict "value" ($receiver | default dict) "shape" "receiver" "path" (printf "receivers.%s" $name) "key" $key "secret" $secret) | fromJson -}}
{{- $out = append $out (set $made.value "name" $name) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /*
alerting.value: JSON {"value": x} of a value in the form that the AlertmanagerConfig wants, nulls left out. Input: value,
shape (none for what is copied), path for messages, key and secret for what goes into the Secret.
*/ -}}
{{- define "alerting.value" -}}
{{- $in := . -}}
{{- $out := .value -}}
{{- $isText := not (or (kindIs "map" .value) (kindIs "slice" .value)) -}}
{{- if and (has .shape (list "secret" "secretURL" "source")) $isText -}}
{{- $out = include "alerting.secretKey" . | fromJson -}}
{{- if eq .shape "source" -}}{{- $out = dict "secret" $out -}}{{- end -}}
{{- else if eq .shape "url" -}}
{{- include "alerting.checkURL" . -}}
{{- else if eq .shape "headers" -}}
{{- $out = include "alerting.headers" . | fromJsonArray -}}
{{- else if kindIs "map" .value -}}
{{- include "alerting.check" . -}}
{{- $shapes := index (include "alerting.shapes" . | fromYaml) .shape | default dict -}}
{{- $out = dict -}}
{{- range $name, $value := .value -}}
{{- if not (kindIs "invalid" $value) -}}
{{- $inner := dict "value" $value "shape" (index $shapes $name | default "") "path" (printf "%s.%s" $in.path $name) "key" (printf "%s.%s" $in.key $name) "secret" $in.secret -}}
{{- $_ := set $out $name (include "alerting.value" $inner | fromJson).value -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- $out = list -}}
{{- range $i, $value := .value -}}
{{- $inner := dict "value" $value "shape" $in.shape "path" (printf "%s[%d]" $in.path $i) "key" (printf "%s.%d" $in.key $i) "secret" $in.secret -}}
{{- $out = append $out (include "alerting.value" $inner | fromJson).value -}}
{{- end -}}
{{- end -}}
{{- toJson (dict "value" $out) -}}
{{- end -}}

{{- /* alerting.secretKey: JSON of the reference to a text that is put into the Secret. Input: as of alerting.value. */ -}}
{{- define "alerting.secretKey" -}}
{{- $text := include "gonbad.scalar" .value -}}
{{- if not $text -}}
{{- fail (printf "%s: is empty; give the text, or name and key of a Secret, or remove it" .path) -}}
{{- end -}}
{{- if eq .shape "secretURL" -}}{{- include "alerting.checkURL" . -}}{{- end -}}
{{- $_ := set .secret.data .key (b64enc $text) -}}
{{- toJson (dict "name" .secret.name "key" .key) -}}
{{- end -}}

{{- /* alerting.checkURL: refuses what is no address, without repeating it, for it may have a password. Input: value, path. */ -}}
{{- define "alerting.checkURL" -}}
{{- if not (regexMatch "^(https?://[^\\s/]|\\{\\{)" (toString .value)) -}}
{{- fail (printf "%s: is not an address that begins with http:// or https://; give a whole one" .path) -}}
{{- end -}}
{{- end -}}

{{- /* alerting.headers: JSON array of the headers of a mail, which may be given as a map. Input: value, path. */ -}}
{{- define "alerting.headers" -}}
{{- $out := list -}}
{{- if kindIs "map" .value -}}
{{- range $name, $value := include "gonbad.strings" .value | fromJson -}}{{- $out = append $out (dict "key" $name "value" $value) -}}{{- end -}}
{{- else -}}
{{- range .value -}}{{- $out = append $out (dict "key" .key "value" (include "gonbad.scalar" .value)) -}}{{- end -}}
{{- end -}}
{{- $seen := list -}}
{{- $path := .path -}}
{{- range $out -}}
{{- if has (lower .key) $seen -}}{{- fail (printf "%s: has %s twice; case makes no difference there" $path .key) -}}{{- end -}}
{{- $seen = append $seen (lower .key) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* alerting.check: refuses what Prometheus Operator would not take, and with it the whole object. Input: value, shape, path. */ -}}
{{- define "alerting.check" -}}
{{- $given := list -}}
{{- range $name, $value := .value -}}{{- if not (kindIs "invalid" $value) -}}{{- $given = append $given $name -}}{{- end -}}{{- end -}}
{{- if eq .shape "webhook" -}}
{{- if eq (has "url" $given) (has "urlSecret" $given) -}}
{{- fail (printf "%s: give either url or urlSecret" .path) -}}
{{- end -}}
{{- else if eq .shape "action" -}}
{{- if not (or .value.url .value.name) -}}
{{- fail (printf "%s: leads nowhere; give url or name" .path) -}}
{{- end -}}
{{- else if eq .shape "http" -}}
{{- $ways := list -}}
{{- range list "authorization" "basicAuth" "bearerTokenSecret" "oauth2" -}}{{- if has . $given -}}{{- $ways = append $ways . -}}{{- end -}}{{- end -}}
{{- if gt (len $ways) 1 -}}
{{- fail (printf "%s: has %s; keep one of them" .path (join " and " $ways)) -}}
{{- end -}}
{{- else if eq .shape "authorization" -}}
{{- if eq (lower (.value.type | default "")) "basic" -}}
{{- fail (printf "%s.type: Basic has a name and a password; give them as basicAuth instead of authorization" .path) -}}
{{- end -}}
{{- else if eq .shape "tls" -}}
{{- if ne (has "cert" $given) (has "keySecret" $given) -}}
{{- fail (printf "%s: a certificate of the client needs its key; give both cert and keySecret, or neither" .path) -}}
{{- end -}}
{{- end -}}
{{- end -}}
