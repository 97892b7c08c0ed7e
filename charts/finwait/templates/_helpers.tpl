{{/* Name of the chart, or what replaces it. */}}
{{- define "finwait.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Prefix of all names: the release's, with the chart's where that does not hold it already. */}}
{{- define "finwait.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "finwait.name" . }}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Labels that never change; "component" is agent or operator. Takes a dict of root and component. */}}
{{- define "finwait.selectorLabels" -}}
app.kubernetes.io/name: {{ include "finwait.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of all objects. Takes a dict of root and, where there is one, component. */}}
{{- define "finwait.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "finwait.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: finwait
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of a namespaced object. Takes a dict of root, name and component. */}}
{{- define "finwait.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "finwait.labels" . | nindent 2 }}
{{- end }}

{{/* Labels of a CustomResourceDefinition, and whether it outlives the release. Takes a dict of root and keep. */}}
{{- define "finwait.crdMetadata" -}}
labels:
  {{- include "finwait.labels" (dict "root" .root) | nindent 2 }}
{{- if and .keep .root.Values.crds.keep }}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{- define "finwait.agentName" -}}
{{ include "finwait.fullname" . }}-agent
{{- end }}

{{- define "finwait.operatorName" -}}
{{ include "finwait.fullname" . }}-operator
{{- end }}

{{/* Name of a ServiceAccount. Takes a dict of root and component. */}}
{{- define "finwait.serviceAccountName" -}}
{{- $account := index .root.Values.serviceAccount .component }}
{{- $account.name | default (printf "%s-%s" (include "finwait.fullname" .root) .component) }}
{{- end }}

{{- define "finwait.image" -}}
{{- with .Values.image -}}
{{- if .registry }}{{ .registry }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "finwait.tokenAudience" -}}
{{ .Values.tokenAudience | default (printf "finwait.%s" .Release.Namespace) }}
{{- end }}

{{/* The name agents know the operator by, whichever replica they talk to. */}}
{{- define "finwait.ingestHost" -}}
{{ include "finwait.fullname" . }}-ingest.{{ .Release.Namespace }}.svc
{{- end }}

{{/* Secret with the operator's key and certificate. */}}
{{- define "finwait.tlsSecretName" -}}
{{- if eq .Values.tls.mode "secret" }}{{ .Values.tls.secretName }}{{ else }}{{ include "finwait.fullname" . }}-tls{{ end }}
{{- end }}

{{/* ConfigMap with ca.crt for the agents; empty where they read it from the Secret. */}}
{{- define "finwait.caConfigMapName" -}}
{{- if eq .Values.tls.mode "self" }}{{ include "finwait.fullname" . }}-ca{{ else }}{{ .Values.tls.caConfigMap }}{{ end }}
{{- end }}

{{/* PriorityClass of a pod. Takes a dict of root and name. */}}
{{- define "finwait.priorityClassName" -}}
{{- if .name }}{{ .name }}{{ else if .root.Values.priorityClass.create }}{{ include "finwait.fullname" .root }}{{ end }}
{{- end }}

{{/* HOST:PORT with the brackets of IPv6. Takes a dict of host and port. */}}
{{- define "finwait.hostPort" -}}
{{- if and (contains ":" .host) (not (hasPrefix "[" .host)) }}[{{ .host }}]{{ else }}{{ .host }}{{ end }}:{{ .port }}
{{- end }}
