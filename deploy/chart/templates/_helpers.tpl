{{- define "linepool.access" -}}
{{ .Files.Get "files/access.json" }}
{{- end }}

{{- define "linepool.name" -}}
{{ printf "%s-%s" (.root.Release.Name | trunc 40 | trimSuffix "-") .name }}
{{- end }}

{{- define "linepool.selector" -}}
app.kubernetes.io/name: linepool
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{- define "linepool.labels" -}}
{{ include "linepool.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "linepool.metadata" -}}
name: {{ include "linepool.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "linepool.labels" . | nindent 2 }}
{{- end }}

{{- define "linepool.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* What Pod Security's level "restricted" asks for, and no token for the API server. */ -}}
{{- define "linepool.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- if .Values.userNamespaces }}
hostUsers: false
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "linepool.containerSecurity" -}}
image: {{ include "linepool.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "linepool.secretEnv" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key }}}
{{- end }}

{{- define "linepool.caEnv" -}}
{{- if .Values.kafka.ca.existingSecret }}
- name: LINEPOOL_KAFKA_CA_FILE
  value: /etc/linepool/kafka/ca.crt
{{- end }}
{{- end }}

{{- define "linepool.caMount" -}}
{{- if .Values.kafka.ca.existingSecret }}
- {name: kafka-ca, mountPath: /etc/linepool/kafka, readOnly: true}
{{- end }}
{{- end }}

{{- define "linepool.caVolume" -}}
{{- with .Values.kafka.ca }}
{{- if .existingSecret }}
- name: kafka-ca
  secret:
    secretName: {{ .existingSecret | quote }}
    items:
      - {key: {{ .key | quote }}, path: ca.crt}
{{- end }}
{{- end }}
{{- end }}

{{- /* Where people reach the portal; the links in mails begin with it. */ -}}
{{- define "linepool.portalUrl" -}}
{{- $ingress := .Values.portal.ingress -}}
{{- $shown := ternary (printf "https://%s" $ingress.host) "" (and $ingress.enabled (ne $ingress.host "")) -}}
{{ required "portal.url is where people reach the portal, as mails name it" (.Values.portal.url | default $shown) }}
{{- end }}

{{- /* When a Job runs: before anything is replaced. A database that this release makes itself is there only afterwards. */ -}}
{{- define "linepool.hook" -}}
helm.sh/hook: {{ if .late }}post-install,pre-upgrade{{ else }}pre-install,pre-upgrade{{ end }}
helm.sh/hook-weight: {{ .weight | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}
