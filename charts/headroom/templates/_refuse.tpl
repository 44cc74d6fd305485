{{/* What the schema cannot say: keys that do not go together. All of it is told at once. */}}

{{- define "headroom.refuse" -}}
{{- $wrong := list -}}
{{- with .Values.engine -}}
{{- if gt (int .replicas) 1 -}}
{{- $wrong = append $wrong (printf "engine.replicas is %d: the engine's state is SQLite, which has one writer; set it to 1" (int .replicas)) -}}
{{- end -}}
{{- end -}}
{{- $auths := dict "elasticsearch.auth" .Values.elasticsearch.auth "elasticsearch.collectorAuth" .Values.elasticsearch.collectorAuth "dashboards.auth" .Values.dashboards.auth -}}
{{- range $path, $auth := $auths -}}
{{- if and $auth.strategy (not $auth.existingSecret) -}}
{{- $wrong = append $wrong (printf "%s.strategy is set, and existingSecret is not: make a Secret and name it there" $path) -}}
{{- else if and $auth.existingSecret (not $auth.strategy) -}}
{{- $wrong = append $wrong (printf "%s.existingSecret is set, and strategy is not: set it to basic or api_key" $path) -}}
{{- end -}}
{{- end -}}
{{- range $path, $ca := dict "elasticsearch.ca" .Values.elasticsearch.ca "archive.ca" .Values.archive.ca "dashboards.ca" .Values.dashboards.ca -}}
{{- if and $ca.configMap $ca.secret -}}
{{- $wrong = append $wrong (printf "%s names a configMap and a secret: keep one" $path) -}}
{{- end -}}
{{- end -}}
{{- with .Values.archive -}}
{{- if and .bucket (not .auth.existingSecret) -}}
{{- $wrong = append $wrong "archive.bucket is set, and archive.auth.existingSecret is not: make a Secret with both keys of the credentials and name it there" -}}
{{- end -}}
{{- if and .bucket (not .endpoint) (not .region) -}}
{{- $wrong = append $wrong "archive.bucket is set, and neither archive.region (AWS) nor archive.endpoint (another server) is" -}}
{{- end -}}
{{- end -}}
{{- $urls := dict "archive.endpoint" .Values.archive.endpoint "collector.engineUrl" .Values.collector.engineUrl "dashboards.url" .Values.dashboards.url "otlp.endpoint" .Values.otlp.endpoint -}}
{{- range $at, $url := .Values.elasticsearch.endpoints -}}{{- $_ := set $urls (printf "elasticsearch.endpoints[%d]" $at) $url -}}{{- end -}}
{{- range $name, $notifier := .Values.notifiers -}}{{- $_ := set $urls (printf "notifiers.%s.url" $name) ($notifier.url | default "") -}}{{- end -}}
{{- range $path, $url := $urls -}}
{{- if contains "@" $url -}}
{{- $wrong = append $wrong (printf "%s holds an @: credentials do not belong into a URL; put them into a Secret" $path) -}}
{{- end -}}
{{- end -}}
{{- range $path, $own := dict "collector" .Values.collector "engine" .Values.engine -}}
{{- range $own.secretEnv -}}
{{- if hasKey $own.env .name -}}
{{- $wrong = append $wrong (printf "%s.env and %s.secretEnv both set %s: keep one" $path $path .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nthese values are refused:\n  - %s\n" (join "\n  - " $wrong)) -}}
{{- end -}}
{{- end -}}
