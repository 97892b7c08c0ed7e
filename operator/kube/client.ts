/** Requests to the API server: typed failures, a deadline for each, and a count of all. */

import type { IncomingMessage } from 'node:http';
import { noAnswer, parsed, readLines, readText } from './answer.ts';
import { bodyText } from './body.ts';
import type { Transport } from './credentials.ts';
import { openTransport } from './credentials.ts';
import { errorOfAnswer, KubeError } from './kube-error.ts';
import type { Resource } from './resource.ts';
import { apiVersionOf, pathOf } from './resource.ts';

export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata?: ObjectMeta;
  readonly [field: string]: unknown;
}

export interface ObjectMeta {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

export interface ListOptions {
  /** Undefined for all namespaces. */
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Only metadata is answered: PartialObjectMetadata. */
  readonly metadataOnly?: boolean;
}

export interface Page {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: string;
  /** For the next page; undefined on the last. */
  readonly continue: string | undefined;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR' | (string & {});
  readonly object: KubeObject;
}

/** Ends a request before its deadline. */
export interface Cancellable {
  readonly signal?: AbortSignal;
}

export interface ApplyOptions extends Cancellable {
  readonly fieldManager: string;
  readonly subresource?: 'status';
}

export interface KubeClient {
  readonly server: string;
  readonly namespace: string;
  get(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options?: Cancellable,
  ): Promise<KubeObject>;
  list(
    resource: Resource,
    options?: ListOptions & Cancellable & { limit?: number; continue?: string },
  ): Promise<Page>;
  /** Events from a resource version on, until the server or `signal` ends it. Lines that are no event are errors. */
  watch(
    resource: Resource,
    options: ListOptions & {
      readonly resourceVersion: string;
      readonly timeoutSeconds: number;
      readonly signal: AbortSignal;
      /** The server has accepted the watch. */
      readonly onOpen?: () => void;
    },
  ): AsyncIterable<WatchEvent>;
  create(resource: Resource, object: KubeObject, options?: Cancellable): Promise<KubeObject>;
  /** Replaces the object; `metadata.resourceVersion` guards against a change in between (Conflict). */
  update(resource: Resource, object: KubeObject, options?: Cancellable): Promise<KubeObject>;
  /** JSON merge patch (RFC 7396). */
  patch(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    patch: object,
    options?: Cancellable,
  ): Promise<KubeObject>;
  /** Server-side apply; takes fields over from other managers. */
  apply(resource: Resource, object: KubeObject, options: ApplyOptions): Promise<KubeObject>;
  /** Deletes an object; one that is not there is no failure. */
  delete(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options?: Cancellable,
  ): Promise<void>;
  /** Requests since start by `VERB PLURAL CODE`; code 0 where there was no answer. */
  readonly requests: ReadonlyMap<string, number>;
  close(): void;
}

const DEADLINE_MS = 15_000;
const METADATA_ONLY = {
  list: 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',
  watch: 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',
} as const;

/**
 * @param kubeconfig path of a kubeconfig; undefined in a pod
 * @throws FinwaitError KUBE_CONFIG_UNUSABLE
 */
export async function createKubeClient(options: { readonly kubeconfig?: string }): Promise<KubeClient> {
  return clientOn(await openTransport(options.kubeconfig));
}

interface ObjectRequest extends Cancellable {
  readonly body?: { readonly type: string; readonly value: unknown };
  readonly accept?: string;
}

/** A client on a given transport. */
function clientOn(transport: Transport): KubeClient {
  const requests = new Map<string, number>();
  const count = (verb: string, { plural }: Resource, code: number): void => {
    const key = `${verb} ${plural} ${code}`;
    requests.set(key, (requests.get(key) ?? 0) + 1);
  };

  async function send(
    verb: string,
    resource: Resource,
    request: {
      readonly method: string;
      readonly path: string;
      readonly type?: string;
      readonly accept?: string;
      readonly body?: unknown;
      readonly signal: AbortSignal;
    },
  ): Promise<IncomingMessage> {
    const what = `${verb} ${resource.plural}`;
    let answer: IncomingMessage;
    try {
      answer = await transport.send({
        method: request.method,
        path: request.path,
        headers: {
          accept: request.accept ?? 'application/json',
          ...(request.type === undefined ? {} : { 'content-type': request.type }),
          'user-agent': 'finwait-operator',
        },
        ...(request.body === undefined ? {} : { body: bodyText(request.body) }),
        signal: request.signal,
      });
    } catch (error) {
      count(verb, resource, 0);
      throw noAnswer(what, error, request.signal);
    }
    const status = answer.statusCode ?? 0;
    count(verb, resource, status);
    if (status >= 200 && status < 300) return answer;
    const body = await readText(what, answer, request.signal);
    throw errorOfAnswer(what, status, body, answer.headers['retry-after']);
  }

  async function object(
    verb: string,
    resource: Resource,
    method: string,
    path: string,
    { body, accept, signal: cancel }: ObjectRequest = {},
  ): Promise<KubeObject> {
    const deadline = AbortSignal.timeout(DEADLINE_MS);
    const signal = cancel === undefined ? deadline : AbortSignal.any([deadline, cancel]);
    const answer = await send(verb, resource, {
      method,
      path,
      signal,
      ...(body === undefined ? {} : { type: body.type, body: body.value }),
      ...(accept === undefined ? {} : { accept }),
    });
    const what = `${verb} ${resource.plural}`;
    return parsed(what, await readText(what, answer, signal));
  }

  return {
    server: transport.server,
    namespace: transport.namespace,
    requests,
    get: (resource, namespace, name, options) =>
      object('get', resource, 'GET', pathOf(resource, namespace, name), options),
    async list(resource, options = {}) {
      const query = queryOf(options);
      if (options.limit !== undefined) query.set('limit', String(options.limit));
      if (options.continue !== undefined) query.set('continue', options.continue);
      const path = `${pathOf(resource, options.namespace)}?${query}`;
      const list = await object('list', resource, 'GET', path, {
        ...(options.metadataOnly === true ? { accept: METADATA_ONLY.list } : {}),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      const { resourceVersion = '', continue: next } = list.metadata ?? {};
      const items = Array.isArray(list.items) ? (list.items as KubeObject[]) : [];
      return { items, resourceVersion, continue: typeof next === 'string' && next !== '' ? next : undefined };
    },
    async *watch(resource, options) {
      const query = queryOf(options);
      query.set('watch', 'true');
      query.set('allowWatchBookmarks', 'true');
      query.set('resourceVersion', options.resourceVersion);
      query.set('timeoutSeconds', String(options.timeoutSeconds));
      const what = `watch ${resource.plural}`;
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(new DOMException('no answer', 'TimeoutError')), DEADLINE_MS);
      const answer = await send('watch', resource, {
        method: 'GET',
        path: `${pathOf(resource, options.namespace)}?${query}`,
        signal: AbortSignal.any([options.signal, late.signal]),
        ...(options.metadataOnly === true ? { accept: METADATA_ONLY.watch } : {}),
      }).finally(() => clearTimeout(timer));
      options.onOpen?.();
      for await (const line of readLines(what, answer)) yield parsed(what, line) as unknown as WatchEvent;
    },
    create: (resource, value, options) => {
      const path = pathOf(resource, value.metadata?.namespace);
      return object('create', resource, 'POST', path, { ...options, body: json(resource, value) });
    },
    update: (resource, value, options) => {
      const { namespace, name } = value.metadata ?? {};
      const path = pathOf(resource, namespace, name);
      return object('update', resource, 'PUT', path, { ...options, body: json(resource, value) });
    },
    patch: (resource, namespace, name, value, options) =>
      object('patch', resource, 'PATCH', pathOf(resource, namespace, name), {
        ...options,
        body: { type: 'application/merge-patch+json', value },
      }),
    apply: (resource, value, { fieldManager, subresource, ...options }) => {
      const { namespace, name } = value.metadata ?? {};
      const query = new URLSearchParams({ fieldManager, force: 'true' });
      const path = `${pathOf(resource, namespace, name, subresource)}?${query}`;
      const { value: body } = json(resource, value);
      return object('apply', resource, 'PATCH', path, {
        ...options,
        body: { type: 'application/apply-patch+yaml', value: body },
      });
    },
    async delete(resource, namespace, name, options) {
      try {
        await object('delete', resource, 'DELETE', pathOf(resource, namespace, name), options);
      } catch (error) {
        if (!(error instanceof KubeError) || error.status !== 404) throw error;
      }
    },
    close: () => transport.close(),
  };
}

function json(resource: Resource, value: KubeObject): { type: string; value: KubeObject } {
  return {
    type: 'application/json',
    value: { ...value, apiVersion: apiVersionOf(resource), kind: resource.kind },
  };
}

function queryOf({ labelSelector, fieldSelector }: ListOptions): URLSearchParams {
  const query = new URLSearchParams();
  if (labelSelector !== undefined) query.set('labelSelector', labelSelector);
  if (fieldSelector !== undefined) query.set('fieldSelector', fieldSelector);
  return query;
}
