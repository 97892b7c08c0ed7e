/** OTLP in JSON, flattened for reading in tests: spans and metric points with plain attributes. */

export type Attributes = Readonly<Record<string, unknown>>;

export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for a root. */
  readonly parentSpanId: string;
  readonly name: string;
  /** SpanKind as numbered by OTLP: 1 internal, 2 server, 3 client. */
  readonly kind: number;
  /** Unix time, nanoseconds. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Attributes;
  readonly events: readonly {
    readonly name: string;
    readonly timeNs: bigint;
    readonly attributes: Attributes;
  }[];
  /** 0 unset, 1 ok, 2 error. */
  readonly status: number;
  readonly resource: Attributes;
}

export interface CollectedPoint {
  readonly name: string;
  readonly unit: string;
  readonly type: 'sum' | 'gauge' | 'histogram';
  readonly attributes: Attributes;
  /** The value of a sum or gauge, the count of a histogram. */
  readonly value: number;
  /** The sum of a histogram. */
  readonly sum?: number;
  readonly timeNs: bigint;
  readonly resource: Attributes;
}

// The shapes of opentelemetry/proto in their JSON mapping, as far as they are read here.
interface KeyValue {
  readonly key: string;
  readonly value: AnyValue;
}
interface AnyValue {
  readonly stringValue?: string;
  readonly intValue?: string;
  readonly doubleValue?: number;
  readonly boolValue?: boolean;
  readonly arrayValue?: { readonly values?: readonly AnyValue[] };
}
interface JsonSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind?: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes?: readonly KeyValue[];
  readonly events?: readonly {
    readonly name: string;
    readonly timeUnixNano: string;
    readonly attributes?: readonly KeyValue[];
  }[];
  readonly status?: { readonly code?: number };
}
interface JsonPoint {
  readonly attributes?: readonly KeyValue[];
  readonly asInt?: string;
  readonly asDouble?: number;
  readonly count?: string;
  readonly sum?: number;
  readonly timeUnixNano?: string;
}
interface JsonMetric {
  readonly name: string;
  readonly unit?: string;
  readonly sum?: { readonly dataPoints?: readonly JsonPoint[] };
  readonly gauge?: { readonly dataPoints?: readonly JsonPoint[] };
  readonly histogram?: { readonly dataPoints?: readonly JsonPoint[] };
}
interface Resource {
  readonly attributes?: readonly KeyValue[];
}

export interface TracesBody {
  readonly resourceSpans?: readonly {
    readonly resource?: Resource;
    readonly scopeSpans?: readonly { readonly spans?: readonly JsonSpan[] }[];
  }[];
}
export interface MetricsBody {
  readonly resourceMetrics?: readonly {
    readonly resource?: Resource;
    readonly scopeMetrics?: readonly { readonly metrics?: readonly JsonMetric[] }[];
  }[];
}

export function spansOf(body: TracesBody): CollectedSpan[] {
  return (body.resourceSpans ?? []).flatMap(({ resource, scopeSpans = [] }) =>
    scopeSpans.flatMap(({ spans = [] }) =>
      spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parentSpanId: span.parentSpanId ?? '',
        name: span.name,
        kind: span.kind ?? 0,
        startNs: BigInt(span.startTimeUnixNano),
        endNs: BigInt(span.endTimeUnixNano),
        attributes: attributesOf(span.attributes),
        events: (span.events ?? []).map((event) => ({
          name: event.name,
          timeNs: BigInt(event.timeUnixNano),
          attributes: attributesOf(event.attributes),
        })),
        status: span.status?.code ?? 0,
        resource: attributesOf(resource?.attributes),
      })),
    ),
  );
}

export function pointsOf(body: MetricsBody): CollectedPoint[] {
  return (body.resourceMetrics ?? []).flatMap(({ resource, scopeMetrics = [] }) =>
    scopeMetrics.flatMap(({ metrics = [] }) =>
      metrics.flatMap((metric) =>
        (['sum', 'gauge', 'histogram'] as const).flatMap((type) =>
          (metric[type]?.dataPoints ?? []).map((point) => ({
            name: metric.name,
            unit: metric.unit ?? '',
            type,
            attributes: attributesOf(point.attributes),
            value: Number(point.asInt ?? point.asDouble ?? point.count ?? 0),
            ...(point.sum === undefined ? {} : { sum: point.sum }),
            timeNs: BigInt(point.timeUnixNano ?? 0),
            resource: attributesOf(resource?.attributes),
          })),
        ),
      ),
    ),
  );
}

function attributesOf(list: readonly KeyValue[] = []): Attributes {
  return Object.fromEntries(list.map(({ key, value }) => [key, plain(value)]));
}

function plain(value: AnyValue): unknown {
  if (value.intValue !== undefined) return Number(value.intValue);
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(plain);
  return value.stringValue ?? value.doubleValue ?? value.boolValue;
}
