{{/* Seconds, rounded up, in a duration as headgate.yaml has it: (dict "text" "1m30s" "of" "config.limits.shutdown"). */}}
{{- define "headgate.seconds" -}}
{{- $text := toString .text -}}
{{- if not (regexMatch "^(([0-9.]+(ns|us|µs|ms|s|m|h))+|[0-9.]+d|0)$" $text) -}}
{{- fail (printf "%s is %q: the chart has to know it for terminationGracePeriodSeconds; write a duration such as 45s" .of $text) -}}
{{- end -}}
{{- $units := dict "ns" 0.000000001 "us" 0.000001 "µs" 0.000001 "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+[a-zµ]+" $text -1 -}}
{{- $sum = addf $sum (mulf (regexFind "^[0-9.]+" . | float64) (get $units (regexFind "[a-zµ]+$" .))) -}}
{{- end -}}
{{- ceil $sum | int -}}
{{- end -}}

{{/*
Seconds that a pod of a role gets to end: (dict "root" . "role" "gateway"). A process ends
within config.limits.shutdown and 5 s for the rest; a gateway sleeps and drains before.
*/}}
{{- define "headgate.grace" -}}
{{- $values := .root.Values -}}
{{- $shutdown := include "headgate.seconds" (dict "text" (dig "limits" "shutdown" "25s" $values.config) "of" "config.limits.shutdown") | int -}}
{{- $preStop := ternary (int $values.preStopSleepSeconds) 0 (eq .role "gateway") -}}
{{- $drain := ternary (include "headgate.seconds" (dict "text" (dig "limits" "drain" "0s" $values.config) "of" "config.limits.drain") | int) 0 (eq .role "gateway") -}}
{{- $need := add $preStop $drain $shutdown 5 | int -}}
{{- if kindIs "invalid" $values.terminationGracePeriodSeconds -}}
{{- add $need 5 -}}
{{- else if lt (int $values.terminationGracePeriodSeconds) $need -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but a %s pod may take %d: preStopSleepSeconds %d, config.limits.drain %d, config.limits.shutdown %d and 5 for the rest; raise it, or leave it null to have it computed"
  (int $values.terminationGracePeriodSeconds) .role $need $preStop $drain $shutdown) -}}
{{- else -}}
{{- int $values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}
