{{/* The programs' configurations, as they lie in the ConfigMaps. */}}

{{/* How Elasticsearch is reached: (root, auth). */}}
{{- define "headroom.elasticsearch" -}}
{{- $values := .root.Values.elasticsearch -}}
endpoints:
{{- toYaml $values.endpoints | nindent 2 }}
{{- with include "headroom.auth" (dict "prefix" "ES" "auth" .auth) }}
{{ . }}
{{- end }}
{{- with include "headroom.tls" (dict "part" "elasticsearch" "values" $values) }}
{{ . }}
{{- end }}
{{- end -}}

{{/* Who asks: (prefix, auth). */}}
{{- define "headroom.auth" -}}
{{- if eq .auth.strategy "basic" -}}
auth:
  strategy: basic
  user: {{ .auth.user | quote }}
  password: {{ printf "${%s_PASSWORD}" .prefix }}
{{- else if eq .auth.strategy "api_key" -}}
auth:
  strategy: api_key
  api_key: {{ printf "${%s_API_KEY}" .prefix }}
{{- end -}}
{{- end -}}

{{/* Which certificates are trusted: (part, values). */}}
{{- define "headroom.tls" -}}
{{- $ca := or .values.ca.configMap .values.ca.secret -}}
{{- $unverified := and (hasKey .values "verifyCertificate") (not .values.verifyCertificate) -}}
{{- if or $ca $unverified -}}
tls:
  {{- if $ca }}
  ca_file: /etc/headroom/ca/{{ .part }}.crt
  {{- end }}
  {{- if $unverified }}
  verify_certificate: false
  {{- end }}
{{- end -}}
{{- end -}}

{{/* The bucket, with the same keys for collector and engine. */}}
{{- define "headroom.bucket" -}}
type: aws_s3
bucket: {{ .Values.archive.bucket | quote }}
{{- with .Values.archive.region }}
region: {{ . | quote }}
{{- end }}
{{- with .Values.archive.endpoint }}
endpoint: {{ . | quote }}
{{- end }}
{{- with .Values.archive.keyPrefix }}
key_prefix: {{ . | quote }}
{{- end }}
force_path_style: {{ .Values.archive.forcePathStyle }}
auth:
  access_key_id: ${AWS_ACCESS_KEY_ID}
  secret_access_key: ${AWS_SECRET_ACCESS_KEY}
{{- with include "headroom.tls" (dict "part" "archive" "values" .Values.archive) }}
{{ . }}
{{- end }}
{{- end -}}

{{- define "headroom.collectorConfig" -}}
{{- $buffer := printf "buffer: {type: disk, max_size: %d, when_full: %s}" (int64 .Values.collector.buffer.maxSize) .Values.collector.buffer.whenFull -}}
data_dir: /var/lib/headroom
api:
  enabled: true
  address: {{ printf "%s:8686" .Values.listenHost | quote }}
sources:
  pods:
    type: kubernetes_logs
    {{- if .Values.discovery.enabled }}
    self_node_name: ${NODE_NAME}
    {{- end }}
    {{- with .Values.collector.source }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
transforms:
  requests:
    type: sli
    inputs: [pods]
    {{- with .Values.sli }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.collector.transforms }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
sinks:
  engine:
    type: slo_engine
    inputs: [requests]
    endpoint: {{ include "headroom.engineUrl" . | quote }}
    token: ${HEADROOM_COUNTS_TOKEN}
    {{ $buffer }}
  {{- if .Values.elasticsearch.endpoints }}
  elasticsearch:
    type: elasticsearch
    inputs:
      {{- toYaml .Values.elasticsearch.inputs | nindent 6 }}
    {{- include "headroom.elasticsearch" (dict "root" . "auth" (include "headroom.collectorAuth" . | fromYaml)) | nindent 4 }}
    bulk:
      index: headroom-logs-{{ .Values.environment }}-%Y.%m.%d
    compression: {{ .Values.elasticsearch.compression }}
    {{- with .Values.elasticsearch.batch }}
    batch:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{ $buffer }}
  {{- end }}
  {{- if .Values.archive.bucket }}
  archive:
    {{- include "headroom.bucket" . | nindent 4 }}
    inputs: [pods]
    {{- with .Values.archive.batch }}
    batch:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{ $buffer }}
  {{- end }}
{{- end -}}

{{/* All that `probe` reads. It is a part of engine.yaml, word by word, and needs no other secret than Elasticsearch's. */}}
{{- define "headroom.probeConfig" -}}
environment: {{ .Values.environment | quote }}
{{- if .Values.elasticsearch.endpoints }}
elasticsearch:
  {{- include "headroom.elasticsearch" (dict "root" . "auth" .Values.elasticsearch.auth) | nindent 2 }}
  retention_days: {{ int64 .Values.elasticsearch.retentionDays }}
{{- end }}
{{- end -}}

{{- define "headroom.engineConfig" -}}
listen: {{ printf "%s:8080" .Values.listenHost | quote }}
data_dir: /var/lib/headroom
{{ include "headroom.probeConfig" . }}
counts:
  token: ${HEADROOM_COUNTS_TOKEN}
{{- with .Values.engine.access.tokens }}
access:
  tokens:
    {{- range . }}
    - name: {{ .name | quote }}
      scopes: {{ toJson .scopes }}
      token_file: {{ printf "/etc/headroom-tokens/%s/%s" .name .key | quote }}
    {{- end }}
{{- end }}
{{- with .Values.engine.limits }}
limits:
  {{- range $key, $value := . }}
  {{ snakecase $key }}: {{ int64 $value }}
  {{- end }}
{{- end }}
{{- if .Values.engine.tls.secretName }}
tls:
  crt_file: /etc/headroom-tls/tls.crt
  key_file: /etc/headroom-tls/tls.key
{{- end }}
{{- if .Values.discovery.enabled }}
kubernetes: {}
{{- end }}
{{- with .Values.engine.services }}
services:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.engine.slos }}
slos:
  {{- range $file, $_ := . }}
  - /etc/headroom/{{ $file }}
  {{- end }}
{{- end }}
{{- with .Values.engine.reports }}
reports:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dashboards }}
{{- if .url }}
dashboards:
  url: {{ .url | quote }}
  space: {{ .space | quote }}
  {{- with include "headroom.auth" (dict "prefix" "KIBANA" "auth" .auth) }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "headroom.tls" (dict "part" "dashboards" "values" .) }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .runbookUrl }}
  runbook_url: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- if .Values.archive.bucket }}
archive:
  {{- include "headroom.bucket" . | nindent 2 }}
{{- end }}
refill:
  within_secs: {{ int64 .Values.engine.refillWithinSecs }}
{{- with .Values.sli }}
sli:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.notifiers }}
notifiers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.escalation }}
escalation:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
