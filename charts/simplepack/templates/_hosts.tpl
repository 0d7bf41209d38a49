{{- /* Host names, which the cluster wants in ASCII. */ -}}

{{- /*
gonbad.host: a host name as the cluster takes it: lower case, and a label that is not ASCII in its xn-- form (RFC 3492).
Helm cannot bring a text into Unicode's composed form, so characters that this would change are refused, rather than
making a name that no browser asks for. Input: host, path.
*/ -}}
{{- define "gonbad.host" -}}
{{- $path := .path -}}
{{- $given := .host -}}
{{- $host := $given -}}
{{- if not (regexMatch "^[ -~]*$" $given) -}}
{{- $labels := list -}}
{{- range splitList "." $given -}}
{{- $label := lower . -}}
{{- if not (regexMatch "^[!-~]*$" .) -}}
{{- /* Letters and digits of the scripts that this template can answer for, less those that browsers write otherwise. */ -}}
{{- $known := regexMatch "^[-a-z0-9\\x{DF}-\\x{24F}\\x{370}-\\x{52F}\\x{561}-\\x{586}\\x{5B0}-\\x{6FF}\\x{900}-\\x{97F}\\x{E01}-\\x{E59}\\x{10D0}-\\x{10FA}\\x{1E00}-\\x{1EFF}\\x{3041}-\\x{30FE}\\x{4E00}-\\x{9FFF}\\x{AC00}-\\x{D7A3}]+$" $label -}}
{{- $letters := regexMatch "^[-a-z0-9\\p{Ll}\\p{Lo}\\p{Mn}\\p{Mc}\\p{Nd}\\x{30FC}]+$" $label -}}
{{- $changed := regexMatch "[\\x{130}-\\x{133}\\x{13F}\\x{140}\\x{149}\\x{17F}\\x{1C4}-\\x{1CC}\\x{1F1}-\\x{1F3}\\x{3D0}-\\x{3D6}\\x{3F0}-\\x{3F9}\\x{653}-\\x{655}\\x{675}-\\x{678}\\x{93C}\\x{958}-\\x{95F}\\x{E33}\\x{1E9A}-\\x{1E9E}\\x{3099}\\x{309A}\\x{309F}]" (print . $label) -}}
{{- /* Marks on one letter have an order of their own; Thai has them in it already. */ -}}
{{- $marks := regexMatch "[^\\P{Mn}\\x{E00}-\\x{E7F}]{2}|[\\x{E48}-\\x{E4B}][\\x{E38}-\\x{E3A}]" $label -}}
{{- if or (not $known) (not $letters) $changed $marks (regexMatch "^([!-~]*$|-|\\p{M}|..--)|-$" $label) -}}
{{- fail (printf "%s: %s cannot be turned into ASCII here; write the name in its xn-- (punycode) form" $path $given) -}}
{{- end -}}
{{- $label = printf "xn--%s" (include "gonbad.punycode" $label) -}}
{{- end -}}
{{- $labels = append $labels $label -}}
{{- end -}}
{{- $host = join "." $labels -}}
{{- end -}}
{{- if not (and (le (len $host) 253) (regexMatch "^(\\*\\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$" $host)) -}}
{{- fail (printf "%s: %s is not a host name; give a name such as app.example.com, in lower case, without scheme, port or path" $path $given) -}}
{{- end -}}
{{- $host -}}
{{- end -}}

{{- /* gonbad.hosts: JSON array of host names as the cluster takes them. Input: hosts, path. */ -}}
{{- define "gonbad.hosts" -}}
{{- $path := .path -}}
{{- $out := list -}}
{{- range $i, $host := .hosts -}}
{{- $out = append $out (include "gonbad.host" (dict "host" $host "path" (printf "%s[%d]" $path $i))) -}}
{{- end -}}
{{- toJson $out -}}
{{- end -}}

{{- /* gonbad.punycode: a label in the encoding of RFC 3492, section 6.3, without its prefix. Input: the label. */ -}}
{{- define "gonbad.punycode" -}}
{{- $points := list -}}
{{- $basic := list -}}
{{- $others := list -}}
{{- range splitList "" . -}}
{{- if regexMatch "^[!-~]$" . -}}
{{- $basic = append $basic . -}}
{{- $points = append $points 0 -}}
{{- else -}}
{{- $point := int64 (regexReplaceAll "^\"\\\\[uU]([0-9a-f]+)\"$" (printf "%+q" .) "0x$1") -}}
{{- $points = append $points $point -}}
{{- $others = append $others (printf "%07d" $point) -}}
{{- end -}}
{{- end -}}
{{- $digits := splitList "" "abcdefghijklmnopqrstuvwxyz0123456789" -}}
{{- $out := $basic -}}
{{- if $basic -}}{{- $out = append $out "-" -}}{{- end -}}
{{- $n := 128 -}}
{{- $delta := 0 -}}
{{- $bias := 72 -}}
{{- $handled := len $basic -}}
{{- range $others | uniq | sortAlpha -}}
{{- $m := int64 (regexReplaceAll "^0+" . "") -}}
{{- $delta = add $delta (mul (sub $m $n) (add1 $handled)) -}}
{{- $n = $m -}}
{{- range $points -}}
{{- if lt (int64 .) $n -}}{{- $delta = add1 $delta -}}{{- end -}}
{{- if eq (int64 .) $n -}}
{{- $q := $delta -}}
{{- range $k := untilStep 36 2000 36 -}}
{{- $t := min 26 (max 1 (sub $k $bias)) -}}
{{- if lt $q $t -}}{{- break -}}{{- end -}}
{{- $out = append $out (index $digits (int (add $t (mod (sub $q $t) (sub 36 $t))))) -}}
{{- $q = div (sub $q $t) (sub 36 $t) -}}
{{- end -}}
{{- $out = append $out (index $digits (int $q)) -}}
{{- $delta = div $delta (ternary 700 2 (eq $handled (len $basic))) -}}
{{- $handled = add1 $handled -}}
{{- $delta = add $delta (div $delta $handled) -}}
{{- $rounds := 0 -}}
{{- range until 100 -}}
{{- if le $delta 455 -}}{{- break -}}{{- end -}}
{{- $delta = div $delta 35 -}}
{{- $rounds = add $rounds 36 -}}
{{- end -}}
{{- $bias = add $rounds (div (mul 36 $delta) (add $delta 38)) -}}
{{- $delta = 0 -}}
{{- end -}}
{{- end -}}
{{- $delta = add1 $delta -}}
{{- $n = add1 $n -}}
{{- end -}}
{{- join "" $out -}}
{{- end -}}
