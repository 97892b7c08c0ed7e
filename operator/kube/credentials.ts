/**
 * Where the API server is and how it knows us, by @kubernetes/client-node's KubeConfig: in a pod the service account,
 * else a kubeconfig. The package costs 80 MB of memory, so it is loaded when it is needed and not before.
 */

import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { request as httpRequest } from 'node:http';
import type { RequestOptions } from 'node:https';
import { Agent, request as httpsRequest } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { FinwaitError } from '#base/errors.ts';

interface SendOptions {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface Transport {
  /**
   * Sends a request with the credentials of this moment: token and CA files are read again as they are rotated.
   * Rejects with what the connection failed of; the answer may have any status.
   */
  send(options: SendOptions): Promise<IncomingMessage>;
  /** Where the API server is. */
  readonly server: string;
  /** Namespace of the pod or of the kubeconfig's context. */
  readonly namespace: string;
  close(): void;
}

const HINT =
  'in a pod, let its service account token be mounted; elsewhere give --kubeconfig the path of a kubeconfig that works with kubectl';

/**
 * @param kubeconfig path of a kubeconfig; undefined in a pod
 * @throws FinwaitError KUBE_CONFIG_UNUSABLE
 */
export async function openTransport(kubeconfig: string | undefined): Promise<Transport> {
  const { KubeConfig: Config } = await import('@kubernetes/client-node');
  const load = (): KubeConfig => {
    const config = new Config();
    if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
    else if (process.env.KUBERNETES_SERVICE_HOST !== undefined) config.loadFromCluster();
    else throw new Error('KUBERNETES_SERVICE_HOST is not set: this is no pod');
    return config;
  };
  let config: KubeConfig;
  try {
    config = load();
  } catch (error) {
    throw new FinwaitError(
      'KUBE_CONFIG_UNUSABLE',
      'there is no way to the API server of a cluster',
      HINT,
      error,
    );
  }
  const cluster = config.getCurrentCluster();
  if (cluster === null || !URL.canParse(cluster.server)) {
    throw new FinwaitError('KUBE_CONFIG_UNUSABLE', 'the kubeconfig names no API server', HINT);
  }
  return transportOf(config, new URL(cluster.server), load);
}

/** @param reload reads the credentials anew; may throw */
function transportOf(loaded: KubeConfig, server: URL, reload: () => KubeConfig): Transport {
  let config = loaded;
  /** By what distinguishes connections: a rotated CA or client certificate gets new ones. */
  let shared: { readonly key: string; readonly agent: Agent } | undefined;
  const agentFor = (tls: RequestOptions): Agent => {
    const { ca, cert, key, servername, rejectUnauthorized } = tls;
    const hash = createHash('sha256');
    for (const part of [ca, cert, key, servername, rejectUnauthorized]) hash.update(`${String(part)}\0`);
    const digest = hash.digest('hex');
    if (shared?.key !== digest) {
      // Connections of before end by themselves when their requests are done.
      shared = { key: digest, agent: new Agent({ keepAlive: true, maxFreeSockets: 4, timeout: 60_000 }) };
    }
    return shared.agent;
  };

  async function sendOnce(sending: SendOptions): Promise<IncomingMessage> {
    const { method, path, headers, body, signal } = sending;
    const credentials: RequestOptions = {};
    await config.applyToHTTPSOptions(credentials);
    const { agent: _, auth, headers: own, ...tls } = credentials;
    const secure = server.protocol === 'https:';
    const options: RequestOptions = {
      ...(secure ? { ...tls, agent: agentFor(tls) } : {}),
      ...(auth === undefined ? {} : { auth }),
      method,
      host: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port,
      path: `${server.pathname.replace(/\/$/, '')}${path}`,
      headers: {
        ...(own as Record<string, string> | undefined),
        ...headers,
        ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
      },
      signal,
    };
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = (secure ? httpsRequest : httpRequest)(options);
    let answered = false;
    request.once('response', (answer) => {
      answered = true;
      resolve(answer);
    });
    request.on('error', (error: NodeJS.ErrnoException) => {
      // The server may close an idle connection just when it is used again: that says nothing of the server.
      const stale = request.reusedSocket && error.code === 'ECONNRESET' && !answered;
      if (stale) resolve(sendOnce(sending));
      else reject(error);
    });
    request.end(body);
    return promise;
  }

  return {
    server: server.origin,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? 'default',
    async send(options) {
      const answer = await sendOnce(options);
      if (answer.statusCode !== 401) return answer;
      // The token may have been rotated since it was read: KubeConfig keeps it for a minute.
      try {
        config = reload();
      } catch {
        return answer;
      }
      answer.resume();
      return sendOnce(options);
    },
    close: () => shared?.agent.destroy(),
  };
}
