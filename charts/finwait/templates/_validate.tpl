{{/* What the schema cannot say, or not in words that help: all problems at once, each with what to do. */}}
{{- define "finwait.validate" -}}
{{- $problems := list }}
{{- with .Values.agent }}
{{- if and (ne .mode "observe") (not .capabilities.netAdmin) }}
{{- $problems = append $problems (printf "agent.mode %s needs the capability NET_ADMIN for its TUN device: set agent.capabilities.netAdmin=true, or agent.mode=observe." .mode) }}
{{- end }}
{{- if and (eq .mode "inspect") (not .capabilities.sysAdmin) (not .capabilities.sysPtrace) }}
{{- $problems = append $problems "agent.mode inspect with neither SYS_ADMIN nor SYS_PTRACE inspects nothing: set agent.capabilities.sysAdmin=true or agent.capabilities.sysPtrace=true, or agent.mode=probe." }}
{{- end }}
{{- if and (ne .mode "observe") .tun.prefixV6 (lt (int .tun.mtu) 1280) }}
{{- $problems = append $problems (printf "agent.tun.prefixV6 is set, but a device with agent.tun.mtu %d has no IPv6: give it 1280 or more, or leave the prefix out." (int .tun.mtu)) }}
{{- end }}
{{- if and (eq .mode "observe") .tun.required }}
{{- $problems = append $problems "agent.tun.required asks for a TUN device that agent.mode observe does not make: set agent.mode=probe, or agent.tun.required=false." }}
{{- end }}
{{- if and (eq .mode "observe") .probeLocalListeners }}
{{- $problems = append $problems "agent.probeLocalListeners asks for probes that agent.mode observe does not make: set agent.mode=probe, or agent.probeLocalListeners=false." }}
{{- end }}
{{- end }}
{{- range $where, $cidrs := dict "probePolicy.allow" .Values.probePolicy.allow "probePolicy.deny" .Values.probePolicy.deny "networkPolicy.ingestFrom" .Values.networkPolicy.ingestFrom }}
{{- range $cidrs }}
{{- if not (regexMatch "^([0-9]{1,3}([.][0-9]{1,3}){3}/[0-9]{1,2}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*/[0-9]{1,3})$" .) }}
{{- $problems = append $problems (printf "%s has %q, which is no address range: write it as 10.0.0.0/8 or fd00::/8, a single address as 10.0.0.1/32." $where .) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.tls }}
{{- if and (eq .mode "secret") (not .secretName) }}
{{- $problems = append $problems "tls.mode secret needs tls.secretName: a Secret of this namespace with tls.crt, tls.key and ca.crt (kubectl create secret generic finwait-tls --from-file=tls.crt --from-file=tls.key --from-file=ca.crt)." }}
{{- end }}
{{- if and (ne .mode "secret") .secretName }}
{{- $problems = append $problems (printf "tls.secretName is for tls.mode secret, and tls.mode is %s: set tls.mode=secret, or leave tls.secretName out." .mode) }}
{{- end }}
{{- if and (eq .mode "self") .caConfigMap }}
{{- $problems = append $problems "tls.caConfigMap is for tls.mode secret and certManager; in mode self the operator fills a ConfigMap of its own." }}
{{- end }}
{{- if and (eq .mode "certManager") (not ($.Capabilities.APIVersions.Has "cert-manager.io/v1")) }}
{{- $problems = append $problems "tls.mode certManager needs cert-manager, which this cluster does not have: install it first, or set tls.mode=self (with helm template: --api-versions cert-manager.io/v1)." }}
{{- end }}
{{- end }}
{{- if and (or .Values.podMonitor.enabled .Values.serviceMonitor.enabled) (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) }}
{{- $problems = append $problems "podMonitor and serviceMonitor need the Prometheus operator, which this cluster does not have: install it first, or leave them off (with helm template: --api-versions monitoring.coreos.com/v1)." }}
{{- end }}
{{- range $component := list "agent" "operator" }}
{{- $account := index $.Values.serviceAccount $component }}
{{- if and (not $account.create) (not $account.name) }}
{{- $problems = append $problems (printf "serviceAccount.%s.create is false, so serviceAccount.%s.name must name one that exists." $component $component) }}
{{- end }}
{{- end }}
{{- if eq (include "finwait.serviceAccountName" (dict "root" . "component" "agent")) (include "finwait.serviceAccountName" (dict "root" . "component" "operator")) }}
{{- $problems = append $problems "agent and operator would share a ServiceAccount, and every agent could then do what the operator may: give serviceAccount.agent.name and serviceAccount.operator.name different names." }}
{{- end }}
{{- with .Values.otel }}
{{- if and .endpoint (not (regexMatch "^https?://[^/]" .endpoint)) }}
{{- $problems = append $problems (printf "otel.endpoint is %q, which is no URL: write it with http:// or https://, such as http://collector.observability:4318." .endpoint) }}
{{- end }}
{{- if and (not .endpoint) (or .headersSecret.name .caSecret.name) }}
{{- $problems = append $problems "otel.headersSecret and otel.caSecret are for an endpoint, and otel.endpoint is empty: set it, such as http://collector.observability:4318." }}
{{- end }}
{{- if and .caSecret.name (hasPrefix "http://" .endpoint) }}
{{- $problems = append $problems "otel.caSecret is given, but otel.endpoint is not encrypted: begin it with https://." }}
{{- end }}
{{- end }}
{{- if eq (int .Values.operator.ingest.port) (int .Values.operator.web.port) }}
{{- $problems = append $problems "operator.ingest.port and operator.web.port are the same: one of them must be another." }}
{{- end }}
{{- if and .Values.networkPolicy.webFrom (not .Values.networkPolicy.enabled) }}
{{- $problems = append $problems "networkPolicy.webFrom is given, but networkPolicy.enabled is false: without a policy everybody may ask the web port." }}
{{- end }}
{{- if $problems }}
{{- fail (printf "\n\nThe values of this release do not go together:\n\n  - %s\n" (join "\n  - " $problems)) }}
{{- end }}
{{- end }}
