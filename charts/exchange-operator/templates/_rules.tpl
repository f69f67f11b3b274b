{{/*
What the operator does in a namespace with Exchanges, and no more. It applies objects on the server's side, which is
`patch`, and `create` where one is missing; it reads a Secret by its name and never lists them. Which kinds there are
it asks as every account may. It has no rights outside of the namespaces that it watches.
*/}}
{{- define "exchange-operator.rules" -}}
- apiGroups: [trading.exchange]
  resources: [exchanges]
  verbs: [get, list, watch, patch]
- apiGroups: [trading.exchange]
  resources: [exchanges/status]
  verbs: [patch]
# Where the cluster asks whether an owner's deletion may be held up by what it owns.
- apiGroups: [trading.exchange]
  resources: [exchanges/finalizers]
  verbs: [update]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, delete]
- apiGroups: [""]
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [cronjobs, jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [ingresses, networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [monitoring.coreos.com]
  resources: [servicemonitors]
  verbs: [get, list, create, patch, delete]
{{- end }}

{{/* What replicas need to agree, of this kind of peering object. */}}
{{- define "exchange-operator.peeringRules" -}}
- apiGroups: [kopf.dev]
  resources: [{{ .resource }}]
  verbs: [list, watch]
- apiGroups: [kopf.dev]
  resources: [{{ .resource }}]
  resourceNames: [{{ .name }}]
  verbs: [get, patch]
{{- end }}
