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
{{- $v4 := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])){3}" }}
{{- $v6 := "[0-9A-Fa-f:.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*" }}
{{- range $where, $cidrs := dict "probePolicy.allow" .Values.probePolicy.allow "probePolicy.deny" .Values.probePolicy.deny "networkPolicy.ingestFrom" .Values.networkPolicy.ingestFrom }}
{{- range $cidrs }}
{{- if not (regexMatch (printf "^(%s/(3[0-2]|[12]?[0-9])|%s/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$" $v4 $v6) .) }}
{{- $problems = append $problems (printf "%s has %q, which is no address range: write it as 10.0.0.0/8 or fd00::/8, a single address as 10.0.0.1/32." $where .) }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.agent.tun.prefixV4 }}
{{- if not (regexMatch (printf "^%s/([89]|[12][0-9]|30)$" $v4) .) }}
{{- $problems = append $problems (printf "agent.tun.prefixV4 is %q, which is no IPv4 prefix of 8 to 30 bits: write it as 198.18.77.0/29." .) }}
{{- end }}
{{- end }}
{{- with .Values.agent.tun.prefixV6 }}
{{- if not (regexMatch (printf "^%s/(1[6-9]|[2-9][0-9]|1[01][0-9]|12[0-6])$" $v6) .) }}
{{- $problems = append $problems (printf "agent.tun.prefixV6 is %q, which is no IPv6 prefix of 16 to 126 bits: write it as fd66:696e:7761:6974::/64." .) }}
{{- end }}
{{- end }}
{{- range $where, $host := dict "agent.http.host" .Values.agent.http.host "operator.listenHost" .Values.operator.listenHost }}
{{- if and $host (not (regexMatch (printf "^(%s|%s|\\[%s\\])$" $v4 $v6 $v6) $host)) }}
{{- $problems = append $problems (printf "%s is %q, which is no address: write it as 0.0.0.0, 127.0.0.1 or ::, the port has a value of its own." $where $host) }}
{{- end }}
{{- end }}
{{- range $where, $time := dict "agent.sweepInterval" (list .Values.agent.sweepInterval 100) "operator.reportInterval" (list .Values.operator.reportInterval 200) }}
{{- $ms := mulf (regexFind "^[0-9.]+" (first $time) | float64) (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) (regexFind "[a-z]+$" (first $time))) }}
{{- if or (lt $ms (last $time | float64)) (gt $ms 300000.0) }}
{{- $problems = append $problems (printf "%s is %s, which is not between %dms and 5m." $where (first $time) (last $time)) }}
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
