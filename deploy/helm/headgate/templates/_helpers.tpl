{{- define "headgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 55 characters leave room for the suffixes -gateway, -worker and the like. */}}
{{- define "headgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else if contains (include "headgate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "headgate.name" .) | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "headgate.selector" -}}
app.kubernetes.io/name: {{ include "headgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headgate.labels" -}}
{{ include "headgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "headgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* headgate.yaml: what the operator wrote, and what only the chart can know. */}}
{{- define "headgate.config" -}}
{{- range $key := list "listen" "admin" "routes" -}}
{{- if hasKey $.Values.config $key -}}
{{- fail (printf "config.%s is set by the chart; leave it out" $key) -}}
{{- end -}}
{{- end -}}
{{- if eq (dig "redis" "url" "" .Values.config) "embedded" -}}
{{- fail "config.redis.url: embedded is for one process; gateway and worker pods need a Redis that they share" -}}
{{- end -}}
{{- $own := dict
  "listen" "0.0.0.0:8080"
  "admin" (dict "listen" (printf "0.0.0.0:%d" (int .Values.admin.port)) "token" (dict "env" "HEADGATE_ADMIN_TOKEN"))
  "routes" (list "routes/*.yaml") -}}
{{- merge $own .Values.config | toYaml -}}
{{- end -}}

{{/* A pod of one role: (dict "root" . "role" "gateway" "values" .Values.gateway). */}}
{{- define "headgate.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    {{- include "headgate.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
  annotations:
    checksum/config: {{ include "headgate.config" $root | sha256sum }}
    checksum/files: {{ printf "%s%s" (toJson $root.Values.routes) (toJson $root.Values.schemas) | sha256sum }}
    {{- with .values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "headgate.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $root.Values.terminationGracePeriodSeconds }}
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: headgate
      image: {{ printf "%s:%s" $root.Values.image.repository (default $root.Chart.AppVersion $root.Values.image.tag) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [serve, -c, /etc/headgate/headgate.yaml, --role, {{ .role }}]
      envFrom:
        - secretRef:
            name: {{ $root.Values.existingSecret }}
      {{- with $root.Values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        {{- if eq .role "gateway" }}
        - name: http
          containerPort: 8080
        {{- end }}
        - name: admin
          containerPort: {{ $root.Values.admin.port }}
      # A start loads keys and compiles routes; a minute is plenty.
      startupProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 2
        failureThreshold: 30
      livenessProbe:
        httpGet: {path: /livez, port: admin}
        periodSeconds: 10
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: admin}
        periodSeconds: 5
        timeoutSeconds: 3
      {{- if and (eq .role "gateway") (gt (int $root.Values.preStopSleepSeconds) 0) }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ $root.Values.preStopSleepSeconds }}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      resources:
        {{- toYaml .values.resources | nindent 8 }}
      volumeMounts:
        - name: config
          mountPath: /etc/headgate
          readOnly: true
        {{- if $root.Values.redisTLS.existingSecret }}
        - name: redis-tls
          mountPath: /etc/headgate-redis-tls
          readOnly: true
        {{- end }}
        - name: tmp
          mountPath: /tmp
  volumes:
    - name: config
      projected:
        sources:
          - configMap:
              name: {{ include "headgate.fullname" $root }}
          {{- range $folder := list "routes" "schemas" }}
          {{- with get $root.Values $folder }}
          - configMap:
              name: {{ include "headgate.fullname" $root }}-{{ $folder }}
              items:
                {{- range $name, $content := . }}
                - key: {{ $name | quote }}
                  path: {{ printf "%s/%s" $folder $name | quote }}
                {{- end }}
          {{- end }}
          {{- end }}
    {{- with $root.Values.redisTLS.existingSecret }}
    - name: redis-tls
      secret:
        secretName: {{ . | quote }}
        defaultMode: 0444
    {{- end }}
    - name: tmp
      emptyDir: {}
  {{- range $key := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
  {{- with get $.values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
{{- end -}}
