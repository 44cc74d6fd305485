{{/* What the schema cannot say: keys that do not go together. All of it is told at once. */}}

{{- define "headroom.refuse" -}}
{{- $wrong := list -}}
{{- with .Values.engine -}}
{{- $names := dict -}}
{{- range $at, $token := .access.tokens -}}
{{- if hasKey $names $token.name -}}
{{- $wrong = append $wrong (printf "engine.access.tokens[%d]: there is another token %s; names tell them apart" $at $token.name) -}}
{{- end -}}
{{- $_ := set $names $token.name true -}}
{{- end -}}
{{- if le (int .terminationGracePeriodSeconds) (int (.limits.shutdownSecs | default 20)) -}}
{{- $wrong = append $wrong (printf "engine.terminationGracePeriodSeconds is %d: requests in flight have %d s (engine.limits.shutdownSecs) and the commit comes after them; give it 5 s more than that" (int .terminationGracePeriodSeconds) (int (.limits.shutdownSecs | default 20))) -}}
{{- end -}}
{{- if and .tls.secretName (not (hasPrefix "https://" $.Values.collector.engineUrl)) -}}
{{- $wrong = append $wrong "engine.tls.secretName is set, and collector.engineUrl is no https:// address: set it to the name that the certificate is of, by an authority that the collectors' image trusts" -}}
{{- end -}}
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
{{- if eq .Values.countsToken.existingSecret (printf "%s-counts" (include "headroom.fullname" .)) -}}
{{- $wrong = append $wrong (printf "countsToken.existingSecret is %s, the name of the Secret that the chart makes: leave it empty for that one, or give yours another name" .Values.countsToken.existingSecret) -}}
{{- end -}}
{{- $ours := dict "HEADROOM_LOG" "logLevel" "HEADROOM_COUNTS_TOKEN" "countsToken" "NODE_NAME" "discovery" "ES_PASSWORD" "elasticsearch.auth" "ES_API_KEY" "elasticsearch.auth" "AWS_ACCESS_KEY_ID" "archive.auth" "AWS_SECRET_ACCESS_KEY" "archive.auth" "KIBANA_PASSWORD" "dashboards.auth" "KIBANA_API_KEY" "dashboards.auth" "OTEL_EXPORTER_OTLP_ENDPOINT" "otlp" "OTEL_TRACES_SAMPLER_ARG" "otlp" -}}
{{- range $path, $own := dict "collector" .Values.collector "engine" .Values.engine -}}
{{- $names := keys $own.env | sortAlpha -}}
{{- range $own.secretEnv -}}{{- $names = append $names .name -}}{{- end -}}
{{- range uniq $names -}}
{{- if hasKey $ours . -}}
{{- $wrong = append $wrong (printf "%s.env or %s.secretEnv sets %s, which the chart sets itself: see %s, or take another name" $path $path . (get $ours .)) -}}
{{- end -}}
{{- end -}}
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
