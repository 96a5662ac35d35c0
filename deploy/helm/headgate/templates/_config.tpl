{{/* Where files lie in the pods. Existing ConfigMaps are mounted outside of the first folder. */}}
{{- define "headgate.existingRoutesDir" -}}/etc/headgate-routes{{- end -}}
{{- define "headgate.redisTLSDir" -}}/etc/headgate-redis-tls{{- end -}}
{{- define "headgate.secretDir" -}}/run/secrets/{{ .name | default .secret }}{{- end -}}

{{/* headgate.yaml: what the operator wrote, and what only the chart can know. */}}
{{- define "headgate.config" -}}
{{- include "headgate.checkConfig" . -}}
{{- $config := deepCopy .Values.config -}}
{{- $admin := $config.admin | default dict -}}
{{- $_ := set $admin "listen" (printf ":%d" (int .Values.admin.port)) -}}
{{- $_ := set $admin "token" (dict "env" "HEADGATE_ADMIN_TOKEN") -}}
{{- $_ := set $config "admin" $admin -}}
{{- $_ := set $config "listen" ":8080" -}}
{{- $_ := set $config "data_dir" ($config.data_dir | default "/tmp/data") -}}

{{- $routes := list -}}
{{- if .Values.routes -}}
{{- $routes = append $routes "routes/*.yaml" -}}
{{- end -}}
{{- if .Values.existingRoutesConfigMaps -}}
{{- $routes = append $routes (printf "%s/*/*.yaml" (include "headgate.existingRoutesDir" .)) -}}
{{- end -}}
{{- $_ := set $config "routes" $routes -}}

{{- with .Values.redisTLS -}}
{{- if .existingSecret -}}
{{- $tls := $config.redis.tls | default dict -}}
{{- range $key := list "ca" "cert" "key" -}}
{{- with get $.Values.redisTLS $key -}}
{{- $_ := set $tls $key (printf "%s/%s" (include "headgate.redisTLSDir" $) .) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $config.redis "tls" $tls -}}
{{- end -}}
{{- end -}}

{{- $access := $config.routes_may_read | default dict -}}
{{- $files := $access.files | default list -}}
{{- range .Values.secretFiles -}}
{{- if .routesMayRead -}}
{{- $files = append $files (include "headgate.secretDir" .) -}}
{{- end -}}
{{- end -}}
{{- with $files -}}
{{- $_ := set $access "files" (uniq .) -}}
{{- end -}}
{{- $_ := set $config "routes_may_read" $access -}}
{{- toYaml $config -}}
{{- end -}}

{{/* What would leave pods that do not start, or that do what nobody asked for. */}}
{{- define "headgate.checkConfig" -}}
{{- range $key := list "listen" "routes" -}}
{{- if hasKey $.Values.config $key -}}
{{- fail (printf "config.%s is set by the chart; leave it out" $key) -}}
{{- end -}}
{{- end -}}
{{- range $key := list "listen" "token" -}}
{{- if hasKey ($.Values.config.admin | default dict) $key -}}
{{- fail (printf "config.admin.%s is set by the chart; leave it out (see the values admin.port and admin.tokenSecret)" $key) -}}
{{- end -}}
{{- end -}}
{{- if not (or .Values.routes .Values.existingRoutesConfigMaps) -}}
{{- fail "there are no routes, and without any the pods do not start: give routes (--set-file 'routes.profiles\\.yaml=routes/profiles.yaml') or existingRoutesConfigMaps" -}}
{{- end -}}
{{- if and .Values.schemas (not .Values.routes) -}}
{{- fail "schemas are for the files in routes, and there are none; put a team's schemas into its own ConfigMap (existingRoutesConfigMaps)" -}}
{{- end -}}
{{- $size := 0 -}}
{{- range $name, $text := .Values.routes -}}
{{- $size = add $size (len $text) -}}
{{- end -}}
{{- if gt $size 1048576 -}}
{{- fail (printf "routes are %d bytes together, and a ConfigMap takes 1048576: put some into ConfigMaps of their own (existingRoutesConfigMaps)" $size) -}}
{{- end -}}
{{- if regexMatch "^[^/]*//[^/@]*:[^/@]*@" .Values.config.redis.url -}}
{{- fail "config.redis.url: a password must not stand in it in clear, nor in a ConfigMap; leave it out, and write config.redis.password: {env: HEADGATE_REDIS_PASSWORD}" -}}
{{- end -}}
{{- if eq .Values.config.redis.url "embedded" -}}
{{- fail "config.redis.url: embedded is for one process; gateway and worker pods need a Redis that they share" -}}
{{- end -}}
{{- with .Values.redisTLS -}}
{{- if and .existingSecret (ne (empty .cert) (empty .key)) -}}
{{- fail "redisTLS.cert and redisTLS.key go together: name both keys of the Secret, or neither" -}}
{{- end -}}
{{- range $key := list "ca" "cert" "key" -}}
{{- if and $.Values.redisTLS.existingSecret (get $.Values.redisTLS $key) (hasKey ($.Values.config.redis.tls | default dict) $key) -}}
{{- fail (printf "config.redis.tls.%s and redisTLS.%s both say which file it is; leave one out" $key $key) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "headgate.checkNames" (dict "of" "secretFiles" "list" .Values.secretFiles) -}}
{{- include "headgate.checkNames" (dict "of" "existingRoutesConfigMaps" "list" .Values.existingRoutesConfigMaps) -}}
{{- end -}}

{{/* Two entries of a list that are mounted at the same place. */}}
{{- define "headgate.checkNames" -}}
{{- $seen := dict -}}
{{- range .list -}}
{{- $name := .name | default .secret -}}
{{- if hasKey $seen $name -}}
{{- fail (printf "%s: %s is there twice; give one of them another name" $.of $name) -}}
{{- end -}}
{{- $_ := set $seen $name true -}}
{{- end -}}
{{- end -}}

{{/* The ports in config.redis.url, as a JSON object with a list, for NetworkPolicies. */}}
{{- define "headgate.redisPorts" -}}
{{- $url := .Values.config.redis.url -}}
{{- $ports := list -}}
{{- if .Values.networkPolicy.egress.redis.ports -}}
{{- $ports = .Values.networkPolicy.egress.redis.ports -}}
{{- else if contains "${" $url -}}
{{- fail "networkPolicy.egress.redis.ports: config.redis.url has a ${…}, so the chart cannot read the port there; list the ports" -}}
{{- else if not (hasPrefix "unix:" $url) -}}
{{- $hosts := regexReplaceAll "^[a-z+]+://([^/]*@)?" $url "" -}}
{{- $hosts = regexReplaceAll "[/?].*$" $hosts "" -}}
{{- $port := "6379" -}}
{{- if contains "+sentinel:" $url -}}
{{- $ports = append $ports 6379 -}}{{/* of the servers that the sentinels name */}}
{{- $port = "26379" -}}
{{- end -}}
{{- range splitList "," $hosts -}}
{{- $ports = append $ports (regexFind ":[0-9]+$" . | trimPrefix ":" | default $port | int) -}}
{{- end -}}
{{- end -}}
{{- dict "ports" (uniq $ports) | toJson -}}
{{- end -}}
