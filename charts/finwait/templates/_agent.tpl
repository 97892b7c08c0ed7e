{{/* The agent's capabilities: each has its value, and its feature in values.yaml. */}}
{{- define "finwait.agentCapabilities" -}}
{{- $mode := .Values.agent.mode }}
{{- $names := list }}
{{- with .Values.agent.capabilities }}
{{- if .netAdmin }}{{ $names = append $names "NET_ADMIN" }}{{ end }}
{{- if and .netRaw (ne $mode "observe") }}{{ $names = append $names "NET_RAW" }}{{ end }}
{{- if and .sysAdmin (eq $mode "inspect") }}{{ $names = append $names "SYS_ADMIN" }}{{ end }}
{{- if and .sysPtrace (eq $mode "inspect") }}{{ $names = append $names "SYS_PTRACE" }}{{ end }}
{{- if and .dacReadSearch (eq $mode "inspect") }}{{ $names = append $names "DAC_READ_SEARCH" }}{{ end }}
{{- end }}
{{- join ", " $names }}
{{- end }}

{{/* Port of the kubelet's probes, and the address where it is not one of the pod's (which are the node's). */}}
{{- define "finwait.agentProbeHost" -}}
port: http
{{- with .Values.agent.http.host }}
{{- if not (has . (list "0.0.0.0" "::" "[::]")) }}
host: {{ . | trimAll "[]" | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The agent's settings (finwait agent --help). */}}
{{- define "finwait.agentEnv" -}}
- name: FINWAIT_NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
- name: FINWAIT_MODE
  value: {{ .Values.agent.mode }}
- name: FINWAIT_OPERATOR_URL
  value: https://{{ include "finwait.ingestHost" . }}:{{ .Values.operator.ingest.port }}
- name: FINWAIT_TOKEN_FILE
  value: /var/run/secrets/finwait/token
- name: FINWAIT_CA_FILE
  value: /etc/finwait/ca/ca.crt
- name: FINWAIT_STATE_DIR
  value: /var/lib/finwait
- name: FINWAIT_SPOOL_LIMIT
  value: {{ .Values.agent.state.spoolLimit | quote }}
- name: FINWAIT_SWEEP_INTERVAL
  value: {{ .Values.agent.sweepInterval }}
- name: FINWAIT_REPORT_INTERVAL
  value: {{ .Values.operator.reportInterval }}
{{- if .Values.agent.http.host }}
- name: FINWAIT_HTTP_LISTEN
  value: {{ include "finwait.hostPort" .Values.agent.http | quote }}
{{- else }}
- name: HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
- name: FINWAIT_HTTP_LISTEN
  value: $(HOST_IP):{{ .Values.agent.http.port }}
{{- end }}
{{- if ne .Values.agent.mode "observe" }}
- name: FINWAIT_REQUIRE_TUN
  value: {{ .Values.agent.tun.required | quote }}
- name: FINWAIT_PROBE_LOCAL_LISTENERS
  value: {{ .Values.agent.probeLocalListeners | quote }}
- name: FINWAIT_ALLOW_FORWARDING
  value: {{ .Values.agent.allowForwarding | quote }}
- name: FINWAIT_FOOTPRINT
  value: {{ .Values.agent.footprint | quote }}
- name: FINWAIT_MTU
  value: {{ .Values.agent.tun.mtu | quote }}
{{- with .Values.agent.tun.device }}
- name: FINWAIT_DEVICE
  value: {{ . | quote }}
{{- end }}
{{- with .Values.agent.tun.prefixV4 }}
- name: FINWAIT_PREFIX_V4
  value: {{ . | quote }}
{{- end }}
{{- with .Values.agent.tun.prefixV6 }}
- name: FINWAIT_PREFIX_V6
  value: {{ . | quote }}
{{- end }}
{{- include "finwait.probePolicyEnv" . }}
{{- end }}
- name: FINWAIT_LOG_LEVEL
  value: {{ .Values.agent.logLevel }}
- name: FINWAIT_LOG_FORMAT
  value: {{ .Values.agent.logFormat }}
{{- with .Values.agent.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What may be probed: enforced by the agent, told by the operator. */}}
{{- define "finwait.probePolicyEnv" -}}
{{- with .Values.probePolicy.allow }}
- name: FINWAIT_PROBE_ALLOW
  value: {{ join "," . | quote }}
{{- end }}
{{- with .Values.probePolicy.deny }}
- name: FINWAIT_PROBE_DENY
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
