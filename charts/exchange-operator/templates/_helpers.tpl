{{/* Name of the chart's objects: the release's and the chart's, once where one is in the other. */}}
{{- define "exchange-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else if hasPrefix (printf "%s-" .Release.Name) $name -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Name of what belongs to no namespace: releases of one name may be in several. */}}
{{- define "exchange-operator.clusterName" -}}
{{- printf "%s-%s" .Release.Namespace (include "exchange-operator.fullname" .) -}}
{{- end }}

{{- define "exchange-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "exchange-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{- define "exchange-operator.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end }}

{{/* What finds the operator's pods. It can never change. */}}
{{- define "exchange-operator.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "exchange-operator.labels" -}}
{{ include "exchange-operator.commonLabels" . }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "exchange-operator.commonLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: exchange-platform
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Whether anything but one replica: then they agree through a peering object who works. */}}
{{- define "exchange-operator.peering" -}}
{{- if gt (int .Values.replicas) 1 }}true{{ end -}}
{{- end }}

{{/* What the image's container may do, and may not: the restricted pod security standard and a read-only root. */}}
{{- define "exchange-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "exchange-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
