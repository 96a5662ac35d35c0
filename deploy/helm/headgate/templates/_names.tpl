{{- define "headgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 58 | trimAll "-." -}}
{{- end -}}

{{/*
53 characters leave room for the suffixes -gateway, -dashboard and the like. A release's name may have
dots and begin with a digit, a Service's may not.
*/}}
{{- define "headgate.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = .Release.Name -}}
{{- if not (contains (include "headgate.name" .) $name) -}}
{{- $name = printf "%s-%s" $name (include "headgate.name" .) -}}
{{- end -}}
{{- end -}}
{{- $name = $name | replace "." "-" | trunc 53 | trimAll "-" -}}
{{- if regexMatch "^[0-9]" $name -}}
{{- fail (printf "the objects would be named %q, and the name of a Service begins with a letter: give fullnameOverride one that does" $name) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "headgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What all pods of the release have in common, and those of `helm test` have not. */}}
{{- define "headgate.selector" -}}
app.kubernetes.io/name: {{ include "headgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* The pods of a role: (dict "root" . "role" "gateway"). */}}
{{- define "headgate.roleSelector" -}}
{{ include "headgate.selector" .root }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{/* The pods of `helm test`: no Service, budget or policy of the others selects them. */}}
{{- define "headgate.testSelector" -}}
app.kubernetes.io/name: {{ include "headgate.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/*
Labels of an object: (dict "root" . "component" "gateway" "more" .Values.x.labels "pod" true), all but
root as needed. The chart's own go before the operator's, so that no selector can break.
*/}}
{{- define "headgate.labels" -}}
{{- $own := include "headgate.selector" .root | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" (include "headgate.version" (dict "root" .root "role" (ternary "worker" "gateway" (eq .component "worker"))) | trunc 63 | trimAll "-._") -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "headgate" -}}
{{- if not .pod -}}{{/* a new version of the chart alone starts no pod anew */}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63) -}}
{{- end -}}
{{- with .component -}}
{{- $_ := set $own "app.kubernetes.io/component" . -}}
{{- end -}}
{{- merge $own (deepCopy (.more | default dict)) (deepCopy .root.Values.commonLabels) | toYaml -}}
{{- end -}}

{{/*
Name, labels and annotations of an object: (dict "root" . "suffix" "-gateway" "component" "gateway"
"labels" … "annotations" …), all but root as needed.
*/}}
{{- define "headgate.metadata" -}}
name: {{ .name | default (printf "%s%s" (include "headgate.fullname" .root) (.suffix | default "")) }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "headgate.labels" (dict "root" .root "component" .component "more" .labels) | nindent 2 }}
{{- with merge (deepCopy (.annotations | default dict)) (deepCopy .root.Values.commonAnnotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
