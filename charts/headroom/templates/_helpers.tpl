{{/* Names, labels, images and the small pieces that several objects share. */}}

{{- define "headroom.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 52 characters: "-collector" follows, and a name has 63. */}}
{{- define "headroom.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "headroom.selector" -}}
app.kubernetes.io/name: {{ include "headroom.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "headroom.labels" -}}
{{ include "headroom.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: headroom
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The image of (root, image). */}}
{{- define "headroom.image" -}}
{{- $repository := .image.repository -}}
{{- with .root.Values.images.registry -}}{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "headroom.countsSecret" -}}
{{- default (printf "%s-counts" (include "headroom.fullname" .)) .Values.countsToken.existingSecret -}}
{{- end -}}

{{- define "headroom.engineUrl" -}}
{{- $inCluster := printf "http://%s-engine.%s.svc:8080" (include "headroom.fullname" .) .Release.Namespace -}}
{{- default $inCluster .Values.collector.engineUrl -}}
{{- end -}}

{{/* The port of a URL. */}}
{{- define "headroom.port" -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host -}}
{{- if $port -}}{{- trimPrefix ":" $port -}}{{- else if eq $url.scheme "https" -}}443{{- else -}}80{{- end -}}
{{- end -}}

{{- define "headroom.collectorAuth" -}}
{{- if .Values.elasticsearch.collectorAuth.strategy -}}
{{- toYaml .Values.elasticsearch.collectorAuth -}}
{{- else -}}
{{- toYaml .Values.elasticsearch.auth -}}
{{- end -}}
{{- end -}}

{{/* A variable from a Secret: (name, secret, key). */}}
{{- define "headroom.secretEnv" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
{{- end -}}

{{/* The secret of an `auth`: (prefix, auth). */}}
{{- define "headroom.authEnv" -}}
{{- if .auth.strategy -}}
{{- $name := ternary "API_KEY" "PASSWORD" (eq .auth.strategy "api_key") -}}
{{ include "headroom.secretEnv" (dict "name" (printf "%s_%s" .prefix $name) "secret" .auth.existingSecret "key" .auth.key) }}
{{- end -}}
{{- end -}}

{{/* Variables that both programs have: (root, own, auth). */}}
{{- define "headroom.env" -}}
{{- $values := .root.Values -}}
- name: HEADROOM_LOG
  value: {{ $values.logLevel | quote }}
{{ include "headroom.secretEnv" (dict "name" "HEADROOM_COUNTS_TOKEN" "secret" (include "headroom.countsSecret" .root) "key" $values.countsToken.key) }}
{{- if $values.elasticsearch.endpoints }}
{{- with include "headroom.authEnv" (dict "prefix" "ES" "auth" .auth) }}
{{ . }}
{{- end }}
{{- end }}
{{- if $values.archive.bucket }}
{{- $auth := $values.archive.auth }}
{{ include "headroom.secretEnv" (dict "name" "AWS_ACCESS_KEY_ID" "secret" $auth.existingSecret "key" $auth.accessKeyIdKey) }}
{{ include "headroom.secretEnv" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" $auth.existingSecret "key" $auth.secretAccessKeyKey) }}
{{- end }}
{{- with $values.otlp }}
{{- if .endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .samplerArg | quote }}
{{- end }}
{{- end }}
{{- range $name, $value := .own.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range .own.secretEnv }}
{{ include "headroom.secretEnv" . }}
{{- end }}
{{- end -}}

{{/* Variables of the engine. */}}
{{- define "headroom.engineEnv" -}}
{{ include "headroom.env" (dict "root" . "own" .Values.engine "auth" .Values.elasticsearch.auth) }}
{{- if .Values.dashboards.url }}
{{- with include "headroom.authEnv" (dict "prefix" "KIBANA" "auth" .Values.dashboards.auth) }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The directory /etc/headroom: a ConfigMap or one file of it, and authorities: (root, name, file, parts). */}}
{{- define "headroom.configVolume" -}}
- name: config
  projected:
    defaultMode: 0444
    sources:
      - configMap:
          name: {{ .name }}
          {{- with .file }}
          items:
            - key: {{ . }}
              path: {{ . }}
          {{- end }}
      {{- $values := .root.Values }}
      {{- $used := dict "archive" $values.archive.bucket "dashboards" $values.dashboards.url "elasticsearch" $values.elasticsearch.endpoints }}
      {{- range $part := .parts }}
      {{- $ca := (index $values $part).ca }}
      {{- if and (index $used $part) (or $ca.configMap $ca.secret) }}
      - {{ ternary "configMap" "secret" (ne $ca.configMap "") }}:
          name: {{ $ca.configMap | default $ca.secret }}
          items:
            - key: {{ $ca.key }}
              path: ca/{{ $part }}.crt
      {{- end }}
      {{- end }}
{{- end -}}

{{/* Annotations of a pod; those of the values replace the chart's: (own, port, replace). */}}
{{- define "headroom.podAnnotations" -}}
{{- $scrape := dict "prometheus.io/scrape" "true" "prometheus.io/port" .port "prometheus.io/path" "/metrics" -}}
{{- toYaml (merge (dict) (.replace | default dict) .own $scrape) -}}
{{- end -}}

{{- define "headroom.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
