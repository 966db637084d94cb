{{- define "sessionlake.name" -}}
{{- if contains "sessionlake" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}{{ printf "%s-sessionlake" (.Release.Name | trunc 40 | trimSuffix "-") }}{{ end }}
{{- end }}

{{- define "sessionlake.selector" -}}
app.kubernetes.io/name: sessionlake
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sessionlake.labels" -}}
{{ include "sessionlake.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sessionlake.scheme" -}}
{{ if .Values.tls.secret }}HTTPS{{ else }}HTTP{{ end }}
{{- end }}

{{- /* What is missing is said here, and not by pods that do not start. */ -}}
{{- define "sessionlake.check" -}}
{{- if not (regexMatch "^(s3|gs|az)://." .Values.lake) }}
{{- fail "lake: name a bucket, such as s3://bucket/prefix. A directory would be in the one pod" }}
{{- end }}
{{- if not (or .Values.insecureListen (and .Values.tls.secret .Values.credentials.secret)) }}
{{- fail "name the secrets tls.secret and credentials.secret, or set insecureListen for a network where every sender is trusted" }}
{{- end }}
{{- if le (int .Values.drain.limitSeconds) (int .Values.drain.delaySeconds) }}
{{- fail "drain.limitSeconds counts from the signal too: give it more than drain.delaySeconds" }}
{{- end }}
{{- end }}
