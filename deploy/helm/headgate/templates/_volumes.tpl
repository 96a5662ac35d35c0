{{/*
What pods mount, and where. Nothing is mounted by subPath, and no volume lists the keys of a
ConfigMap: kubelet renews whole folders only, and a list would be a part of the pod, so that a new file
would start pods anew. Kubelet makes the folders for mounts inside of mounts. A folder's files change
at the same time, by one link.
*/}}
{{- define "headgate.mounts" -}}
- name: config
  mountPath: /etc/headgate
  readOnly: true
- name: routes
  mountPath: /etc/headgate/routes
  readOnly: true
- name: schemas
  mountPath: /etc/headgate/routes/schemas
  readOnly: true
{{- range $i, $map := .Values.existingRoutesConfigMaps }}
- name: team-routes-{{ $i }}
  mountPath: {{ include "headgate.existingRoutesDir" $ }}/{{ $map.name }}
  readOnly: true
{{- end }}
{{- if include "headgate.onlyOptionalRoutes" . }}
- name: no-routes
  mountPath: {{ include "headgate.existingRoutesDir" . }}/_none
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

{{/*
Whether each of the existing ConfigMaps may be missing: text for yes. A glob in headgate.yaml has to match
some file, so that a folder that has gone takes no routes with it; one without routes is given then.
*/}}
{{- define "headgate.onlyOptionalRoutes" -}}
{{- $only := .Values.existingRoutesConfigMaps -}}
{{- range .Values.existingRoutesConfigMaps -}}
{{- if not .optional -}}{{- $only = false -}}{{- end -}}
{{- end -}}
{{- if $only -}}yes{{- end -}}
{{- end -}}

{{- define "headgate.volumes" -}}
{{- $fullname := include "headgate.fullname" . -}}
- name: config
  configMap:
    name: {{ $fullname }}
- name: routes
  configMap:
    name: {{ $fullname }}-routes
- name: schemas
  configMap:
    name: {{ $fullname }}-schemas
{{- range $i, $map := .Values.existingRoutesConfigMaps }}
- name: team-routes-{{ $i }}
  configMap:
    name: {{ $map.name }}
    optional: {{ $map.optional | default false }}
{{- end }}
{{- if include "headgate.onlyOptionalRoutes" . }}
- name: no-routes
  configMap:
    name: {{ $fullname }}-no-routes
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
