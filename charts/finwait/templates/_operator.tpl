{{/* The operator's settings (finwait operator --help). */}}
{{- define "finwait.operatorEnv" -}}
- name: FINWAIT_KUBERNETES
  value: "true"
- name: FINWAIT_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: FINWAIT_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: FINWAIT_ADVERTISE_ADDRESS
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: FINWAIT_INGEST_LISTEN
  value: {{ include "finwait.hostPort" (dict "host" .Values.operator.listenHost "port" .Values.operator.ingest.port) | quote }}
- name: FINWAIT_WEB_LISTEN
  value: {{ include "finwait.hostPort" (dict "host" .Values.operator.listenHost "port" .Values.operator.web.port) | quote }}
- name: FINWAIT_LEASE_NAME
  value: {{ include "finwait.operatorName" . }}
- name: FINWAIT_AGENT_SERVICE_ACCOUNT
  value: {{ .Release.Namespace }}/{{ include "finwait.serviceAccountName" (dict "root" . "component" "agent") }}
- name: FINWAIT_TOKEN_AUDIENCE
  value: {{ include "finwait.tokenAudience" . }}
{{- if eq .Values.tls.mode "self" }}
- name: FINWAIT_TLS_MODE
  value: secret
- name: FINWAIT_TLS_SECRET
  value: {{ include "finwait.tlsSecretName" . }}
- name: FINWAIT_TLS_CONFIG_MAP
  value: {{ include "finwait.caConfigMapName" . }}
- name: FINWAIT_TLS_NAMES
  value: {{ include "finwait.ingestHost" . }}
{{- else }}
- name: FINWAIT_TLS_MODE
  value: files
- name: FINWAIT_TLS_DIR
  value: /etc/finwait/tls
{{- end }}
- name: FINWAIT_REPORT_INTERVAL
  value: {{ .Values.operator.reportInterval }}
{{- include "finwait.probePolicyEnv" . }}
- name: FINWAIT_LOG_LEVEL
  value: {{ .Values.operator.logLevel }}
- name: FINWAIT_LOG_FORMAT
  value: {{ .Values.operator.logFormat }}
{{- if .Values.otel.endpoint }}
{{- include "finwait.otelEnv" . }}
{{- end }}
{{- with .Values.operator.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* OpenTelemetry's own variables. */}}
{{- define "finwait.otelEnv" -}}
{{- with .Values.otel }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ .protocol }}
{{- with .headersSecret }}
{{- if .name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .name }}
      key: {{ .key }}
{{- end }}
{{- end }}
{{- if .caSecret.name }}
- name: OTEL_EXPORTER_OTLP_CERTIFICATE
  value: /etc/finwait/otel/ca.crt
{{- end }}
{{- if not .traces.enabled }}
- name: OTEL_TRACES_EXPORTER
  value: none
{{- else if lt (float64 .traces.sampling) 1.0 }}
- name: OTEL_TRACES_SAMPLER
  value: traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .traces.sampling | quote }}
{{- end }}
{{- if not .metrics.enabled }}
- name: OTEL_METRICS_EXPORTER
  value: none
{{- else }}
- name: OTEL_METRIC_EXPORT_INTERVAL
  value: {{ mul .metrics.intervalSeconds 1000 | quote }}
{{- end }}
{{- with .resourceAttributes }}
{{- $pairs := list }}
{{- range $name, $value := . }}
{{- $pairs = append $pairs (printf "%s=%s" $name ($value | toString | urlquery | replace "+" "%20")) }}
{{- end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: {{ join "," $pairs | quote }}
{{- end }}
{{- end }}
{{- end }}
