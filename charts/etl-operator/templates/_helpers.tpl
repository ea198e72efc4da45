{{- /* Names, labels and rights that more than one template uses. */}}

{{- define "etl-operator.name" -}}
{{ .Values.fullnameOverride }}
{{- end }}

{{- define "etl-operator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "etl-operator.name" .) }}
{{- end }}

{{- /* What selects the pods; it never changes. */}}
{{- define "etl-operator.selector" -}}
app.kubernetes.io/name: {{ include "etl-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "etl-operator.testSelector" -}}
app.kubernetes.io/name: {{ include "etl-operator.name" . }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "etl-operator.labels" -}}
{{ include "etl-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: etl-router
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "etl-operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}
{{- end }}

{{- /* Pods of routers, whatever their cluster is called. */}}
{{- define "etl-operator.routers" -}}
app.kubernetes.io/part-of: etl-router
app.kubernetes.io/component: router
{{- end }}

{{- /*
What the operator does with clusters, wherever they are: a namespace that is deleted loses its Role at once, and its clusters
would wait for ever for an operator that may not let go of them.
*/}}
{{- define "etl-operator.clusterRules" -}}
- apiGroups: [etl.router]
  resources: [etlrouterclusters]
  verbs: [get, list, watch, patch]
- apiGroups: [etl.router]
  resources: [etlrouterclusters/status]
  verbs: [patch]
{{- end }}

{{- /* What the operator does in a namespace that it watches. It updates nothing but its lease: what it changes is applied or patched. */}}
{{- define "etl-operator.rules" -}}
# Asked of whoever makes an object that its owner waits for.
- apiGroups: [etl.router]
  resources: [etlrouterclusters/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: ['']
  resources: [configmaps, services, serviceaccounts]
  verbs: [get, list, watch, create, patch]
# The certificates. It lists metadata alone and gets those that it made; RBAC knows no difference.
- apiGroups: ['']
  resources: [secrets]
  verbs: [get, list, watch, create, patch]
- apiGroups: ['']
  resources: [pods]
  verbs: [list, watch, delete]
- apiGroups: ['']
  resources: [persistentvolumeclaims]
  verbs: [list, watch, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}
