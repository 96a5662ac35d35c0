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
        {{- include "headgate.env" $root | nindent 8 }}
      ports:
        {{- if eq .role "gateway" }}
        - name: http
          containerPort: 8080
        {{- end }}
        - name: admin
          containerPort: {{ $values.admin.port }}
      startupProbe:
        httpGet: {path: /livez, port: admin}
        {{- toYaml $values.probes.startup | nindent 8 }}
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        {{- toYaml $values.probes.liveness | nindent 8 }}
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        {{- toYaml $values.probes.readiness | nindent 8 }}
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

{{- define "headgate.env" -}}
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
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headgate.tokenSecret" -}}
{{- .Values.admin.tokenSecret.name | default .Values.existingSecret -}}
{{- end -}}
