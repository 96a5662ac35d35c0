{{/*
What pods mount, and where. Nothing is mounted by subPath: kubelet renews whole folders only, and
does so by swapping one link, so the files of a volume change at the same time.
*/}}
{{- define "headgate.mounts" -}}
- name: config
  mountPath: /etc/headgate
  readOnly: true
{{- range $i, $map := .Values.existingRoutesConfigMaps }}
- name: routes-{{ $i }}
  mountPath: {{ include "headgate.existingRoutesDir" $ }}/{{ $map.name }}
  readOnly: true
{{- end }}
{{- if .Values.redisTLS.existingSecret }}
- name: redis-tls
  mountPath: {{ include "headgate.redisTLSDir" . }}
  readOnly: true
{{- end }}
{{- range $i, $entry := .Values.secretFiles }}
- name: secret-{{ $i }}
  mountPath: {{ include "headgate.secretDir" $entry }}
  readOnly: true
{{- end }}
- name: tmp
  mountPath: /tmp
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headgate.volumes" -}}
{{- $fullname := include "headgate.fullname" . -}}
- name: config
  projected:
    sources:
      - configMap:
          name: {{ $fullname }}
      {{- with .Values.routes }}
      - configMap:
          name: {{ $fullname }}-routes
          items:
            {{- range $name, $_ := . }}
            - {key: {{ $name | quote }}, path: {{ printf "routes/%s" $name | quote }}}
            {{- end }}
      {{- end }}
      {{- with .Values.schemas }}
      - configMap:
          name: {{ $fullname }}-schemas
          items:
            {{- range $name, $_ := . }}
            - {key: {{ $name | quote }}, path: {{ printf "routes/schemas/%s" $name | quote }}}
            {{- end }}
      {{- end }}
{{- range $i, $map := .Values.existingRoutesConfigMaps }}
- name: routes-{{ $i }}
  configMap:
    name: {{ $map.name }}
    optional: {{ $map.optional | default false }}
{{- end }}
{{- with .Values.redisTLS.existingSecret }}
- name: redis-tls
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
{{- range $i, $entry := .Values.secretFiles }}
- name: secret-{{ $i }}
  secret:
    secretName: {{ $entry.secret }}
    defaultMode: 0440
    {{- with $entry.items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
- name: tmp
  emptyDir: {}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
