{{/* Rules of NetworkPolicies. An empty `to` in the values is no restriction: then the rule is by ports alone. */}}

{{/* (to, ports as a list of numbers, protocols) */}}
{{- define "headroom.rule" -}}
{{- $protocols := .protocols | default (list "TCP") -}}
- ports:
    {{- range $port := .ports }}
    {{- range $protocols }}
    - port: {{ int $port }}
      protocol: {{ . }}
    {{- end }}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* (urls, to) */}}
{{- define "headroom.egressRule" -}}
{{- $ports := list -}}
{{- range .urls -}}{{- $ports = append $ports (include "headroom.port" .) -}}{{- end -}}
{{- include "headroom.rule" (dict "ports" (uniq $ports) "to" .to) -}}
{{- end -}}

{{- define "headroom.dnsRule" -}}
{{- include "headroom.rule" (dict "ports" .ports "to" .to "protocols" (list "UDP" "TCP")) -}}
{{- end -}}

{{- define "headroom.apiServerRule" -}}
{{- include "headroom.rule" (dict "ports" .ports "to" .to) -}}
{{- end -}}

{{/* Where the engine goes beside the stores: the API server, Kibana, notifiers. */}}
{{- define "headroom.engineEgress" -}}
{{- $policy := .Values.networkPolicy -}}
{{- if .Values.discovery.enabled }}
{{ include "headroom.apiServerRule" $policy.apiServer }}
{{- end }}
{{- with .Values.dashboards.url }}
{{ include "headroom.egressRule" (dict "urls" (list .) "to" $policy.dashboardsTo) }}
{{- end }}
{{- if .Values.notifiers }}
{{- $ports := list "443" }}
{{- range .Values.notifiers }}{{- with .url }}{{- $ports = append $ports (include "headroom.port" .) }}{{- end }}{{- end }}
{{- range $policy.notifiersPorts }}{{- $ports = append $ports (toString .) }}{{- end }}
{{ include "headroom.rule" (dict "ports" (uniq $ports | sortAlpha) "to" $policy.notifiersTo) }}
{{- end }}
{{- end -}}
