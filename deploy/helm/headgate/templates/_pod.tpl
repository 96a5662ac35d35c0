{{/* A pod of one role: (dict "root" . "role" "gateway" "values" .Values.gateway). */}}
{{- define "headgate.pod" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $own := include "headgate.roleSelector" . | fromYaml -}}
metadata:
  labels:
    {{- include "headgate.labels" (dict "root" $root "component" .role "more" .values.podLabels "pod" true) | nindent 4 }}
  annotations:
    # Most keys of headgate.yaml take a restart. Routes and schemas do not: no checksum of theirs.
    checksum/config: {{ include "headgate.config" $root | sha256sum }}
    {{- with omit (merge (deepCopy .values.podAnnotations) (deepCopy $values.commonAnnotations)) "checksum/config" }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "headgate.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "headgate.grace" . }}
  {{- with .values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $values.podSecurityContext | nindent 4 }}
  containers:
    - name: headgate
      image: {{ include "headgate.image" (dict "root" $root "role" .role) }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [serve, -c, /etc/headgate/headgate.yaml, --role, {{ .role }}]
      envFrom:
        - secretRef:
            name: {{ $values.existingSecret }}
        {{- with $values.extraEnvFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      env:
        {{- include "headgate.env" . | nindent 8 }}
      ports:
        {{- if eq .role "gateway" }}
        - name: http
          containerPort: 8080
        {{- end }}
        - name: admin
          containerPort: {{ $values.admin.port }}
      {{- range $kind, $path := dict "startup" "/livez" "liveness" "/livez" "readiness" "/readyz" }}
      {{- with get $values.probes $kind }}
      {{ $kind }}Probe:
        httpGet: {path: {{ $path }}, port: admin}
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- end }}
      {{- if and (eq .role "gateway") (gt (int $values.preStopSleepSeconds) 0) }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $values.preStopSleepSeconds }}
      {{- end }}
      securityContext:
        {{- toYaml $values.securityContext | nindent 8 }}
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        {{- include "headgate.mounts" $root | nindent 8 }}
  volumes:
    {{- include "headgate.volumes" $root | nindent 4 }}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" }}
  {{- with get $.values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- with .values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- $all := list }}
    {{- range . }}
    {{- $default := dict }}
    {{- if not (hasKey . "labelSelector") }}
    {{- $default = dict "labelSelector" (dict "matchLabels" $own) "matchLabelKeys" (list "pod-template-hash") }}
    {{- end }}
    {{- $all = append $all (merge (deepCopy .) $default) }}
    {{- end }}
    {{- toYaml $all | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* The image of a role: (dict "root" . "role" "worker"). A worker's own tag or digest goes before the common one. */}}
{{- define "headgate.image" -}}
{{- $image := .root.Values.image -}}
{{- $own := dig "image" dict (get .root.Values .role) -}}
{{- $digest := or $own.digest (ternary "" $image.digest (ne ($own.tag | default "") "")) -}}
{{- if $digest -}}
{{- printf "%s@%s" $image.repository $digest | quote -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (include "headgate.version" .) | quote -}}
{{- end -}}
{{- end -}}

{{- define "headgate.version" -}}
{{- $own := dig "image" dict (get .root.Values (.role | default "gateway")) -}}
{{- $own.tag | default .root.Values.image.tag | default .root.Chart.AppVersion -}}
{{- end -}}

{{/*
Variables of a role's container: (dict "root" . "role" "gateway" "values" .Values.gateway). The operator's
stand first: kubelet replaces $(NAME) where NAME stands before, as in http://$(NODE_IP):4318.
*/}}
{{- define "headgate.env" -}}
{{- $own := list "HEADGATE_ADMIN_TOKEN" -}}
{{- if .root.Values.otel -}}
{{- $own = concat $own (list "POD_NAME" "OTEL_RESOURCE_ATTRIBUTES") (keys .root.Values.otel) -}}
{{- end -}}
{{- $given := list -}}
{{- range .root.Values.extraEnv -}}
{{- $given = append $given .name -}}
{{- if has .name $own -}}
{{- fail (printf "extraEnv: %s is set by the chart, from admin.tokenSecret or otel; leave it out here" .name) -}}
{{- end -}}
{{- end -}}
{{- with .root.Values.extraEnv }}
{{- toYaml . }}
{{ end -}}
{{- $limit := include "headgate.memoryLimit" (dig "limits" "memory" "" (.values.resources | default dict)) -}}
{{- if and $limit (not (has "GOMEMLIMIT" $given)) -}}
- name: GOMEMLIMIT
  value: {{ $limit | quote }}
{{ end -}}
{{- with .root -}}
- name: HEADGATE_ADMIN_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ include "headgate.tokenSecret" . }}
      key: {{ .Values.admin.tokenSecret.key }}
{{- if .Values.otel }}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- if not (hasKey .Values.otel "OTEL_RESOURCE_ATTRIBUTES") }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name={{ .Release.Namespace }},k8s.pod.name=$(POD_NAME),k8s.container.name=headgate
{{- end }}
{{- range $name, $value := .Values.otel }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/*
What of a container's memory the Go runtime may take, in bytes: nine tenths, so that it collects
garbage before the kernel ends the process. Empty where there is no limit, or one in another notation.
*/}}
{{- define "headgate.memoryLimit" -}}
{{- $text := kindIs "string" . | ternary . (printf "%.0f" (float64 .)) -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?([kMGT]|[KMGT]i)?$" $text -}}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $units (regexFind "[A-Za-z]*$" $text)) 0.9 | int64 -}}
{{- end -}}
{{- end -}}

{{- define "headgate.tokenSecret" -}}
{{- .Values.admin.tokenSecret.name | default .Values.existingSecret -}}
{{- end -}}
