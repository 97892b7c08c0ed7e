{{/* The schema of one condition, as metav1.Condition has it. */}}
{{- define "finwait.crdCondition" -}}
type: object
description: One aspect of the state.
required: [type, status, reason, message, lastTransitionTime]
properties:
  type:
    type: string
    maxLength: 63
    pattern: "^[A-Z][A-Za-z]*$"
    description: Which aspect.
  status:
    type: string
    enum: ["True", "False", Unknown]
    description: Whether it is so.
  reason:
    type: string
    minLength: 1
    maxLength: 128
    pattern: "^[A-Z][A-Za-z0-9]*$"
    description: Why, in a word for programs.
  message:
    type: string
    maxLength: 1024
    description: Why, in a sentence for people.
  lastTransitionTime:
    type: string
    format: date-time
    description: When the status last changed.
  observedGeneration:
    type: integer
    minimum: 0
    description: Generation of the spec that this is about.
{{- end }}
